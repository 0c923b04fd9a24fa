#!/bin/sh
# test-java.sh [--jvm N] MODULE…: runs the tests of Java modules and reports them in TAP. Called by make
# (bindings/java/native.mk), which sets the variables.
#
# --jvm N: compiled as ever, run in a JVM of version N, from JAVAN_HOME or /usr/lib/jvm.
set -u
cd "$(dirname "$0")/.." || exit 1

fail() { echo "1..1"; echo "# $*"; echo "not ok 1 - a JVM for the tests"; exit 1; }

jvm=
if [ "${1:-}" = --jvm ]; then
    wanted=$2; shift 2
    home=$(eval "echo \${JAVA${wanted}_HOME:-}")
    for candidate in "$home" /usr/lib/jvm/*"$wanted"*; do
        [ -n "$candidate" ] && [ -x "$candidate/bin/java" ] && { jvm=$candidate/bin/java; break; }
    done
    [ -n "$jvm" ] || fail "there is no Java $wanted: set JAVA${wanted}_HOME, or get one from https://adoptium.net"
    "$jvm" -version 2>&1 | grep -q "version \"$wanted[.\"]" || fail "$jvm is not a Java $wanted"
fi

modules= reports=
for module; do
    modules=$modules,$module
    artifact=$(sed -n 's|^  <artifactId>\(.*\)</artifactId>|\1|p' "bindings/java/$module/pom.xml")
    # The reports of an earlier run would count again.
    rm -rf "target/java/$artifact/surefire-reports"
    reports="$reports target/java/$artifact/surefire-reports"
done
# What the modules build on is made, too; of that core has tests, which run only if it was named.
case $modules, in *,core,*) skip_core=false ;; *) skip_core=true ;; esac

log=target/java/maven.log
# A module's failed tests must not hide the tests of the next one.
$MVN --batch-mode -Dstyle.color=never --file bindings/java/pom.xml test \
    --projects "${modules#,}" --also-make --fail-at-end \
    -Dcore.skipTests=$skip_core ${jvm:+-Djvm="$jvm"} \
    -Dseglift.library="$NATIVE/libseglift.$JAVA_SHARED" -Dseglift.jni="$JAVA_SHIM" \
    -Dseglift.command="$NATIVE/seglift" >"$log" 2>&1
# shellcheck disable=SC2086 # a list of folders
python3 scripts/surefire-tap.py $? "$log" $reports
