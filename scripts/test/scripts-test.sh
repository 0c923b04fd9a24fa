#!/bin/sh
# Proves, in TAP, that the machinery under `make test` sees what goes wrong: a suite that counts
# wrongly would let every other test lie.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
number=0 failures=0

# expect NAME WANTED_STATUS WANTED_LINE: compares with $status and the last line of $output.
expect() {
    number=$((number + 1))
    last=$(printf '%s\n' "$output" | tail -n 1)
    if [ "$status" = "$2" ] && [ "$last" = "$3" ]; then
        echo "ok $number - $1"
    else
        failures=$((failures + 1))
        printf '%s\n' "$output" | sed 's/^/# /'
        echo "# wanted status $2 and '$3', got status $status and '$last'"
        echo "not ok $number - $1"
    fi
}

# suite COMMANDS…: runs the suite over targets t1, t2, … that each run one of the commands.
suite() {
    : >"$tmp/Makefile"
    targets= n=0
    for commands; do
        n=$((n + 1))
        printf 't%d:\n\t@%s\n' $n "$commands" >>"$tmp/Makefile"
        targets="$targets t$n:1"
    done
    # shellcheck disable=SC2086
    output=$(cd "$tmp" && MAKEFLAGS= MAKE=make SUITE_LOGS="$tmp/logs" "$here/run-suite.sh" $targets 2>&1)
    status=$?
}

# tools PATH ARGUMENTS…: runs check-tools with only that PATH.
tools() {
    path=$1; shift
    output=$(PATH=$path "$here/check-tools.sh" "$@" 2>&1)
    status=$?
}

echo 1..25

suite 'echo "test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured"' 'echo 1..2; echo "ok 1 - a"; echo "ok 2 - b"'
expect "cargo's tests and TAP tests are summed" 0 "9 passed, 0 failed"

suite 'echo 1..2; echo "ok 1 - a"; echo "not ok 2 - b"; exit 1' 'echo 1..1; echo "ok 1 - c"'
expect "a failed test counts once, and the targets after it still run" 1 "2 passed, 1 failed"

suite 'echo 1..1; echo "not ok 1 - a"'
expect "a failed test fails the suite even when its runner exits with zero" 1 "0 passed, 1 failed"

suite 'echo "nothing to do here"' 'echo 1..1; echo "ok 1 - a"'
expect "a target that reports no test is a failure" 1 "1 passed, 1 failed"

suite 'echo "test result: ok. 3 passed; 0 failed; 0 ignored"; exit 3'
expect "a target that ends with an error is a failure although its tests passed" 1 "3 passed, 1 failed"

suite 'echo "error: could not compile"; exit 101'
expect "a target that does not compile is a failure" 1 "0 passed, 1 failed"

suite 'echo "test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured"'
expect "an ignored test is a failure" 1 "3 passed, 1 failed"

suite 'echo 1..2; echo "ok 1 - a"; echo "ok 2 - b # SKIP no tool"'
expect "a skipped test is a failure" 1 "1 passed, 1 failed"

suite 'echo 1..3; echo "ok 1 - a"; kill -9 $$$$'
expect "a runner that dies before its last test is a failure" 1 "1 passed, 1 failed"

suite 'echo "ok 1 - a"'
expect "tests without a plan are a failure: their runner may have died" 1 "1 passed, 1 failed"

suite 'echo 1..1; echo "ok 1 - a"; echo "ok 1 - b"; echo "ok 2 - c"; echo 1..2; echo 1..1; echo "ok 1 - d"'
expect "runners whose plans stand first and last may share a target" 0 "4 passed, 0 failed"

# Only what the script itself calls, so that every tool is missing.
mkdir "$tmp/bin"
for tool in sh awk printf; do ln -s "$(command -v $tool)" "$tmp/bin/$tool"; done
tools "$tmp/bin" -q cc c++ python3 zstd valgrind pkg-config cmake
expect "all missing tools are named at once, as packages" 1 "gcc g++ python3 zstd valgrind pkg-config cmake"

printf '#!/bin/sh\necho "rustc 1.80.1 (abc 2024-08-06)"\n' >"$tmp/bin/rustc"
printf '#!/bin/sh\n' >"$tmp/bin/cargo"
chmod +x "$tmp/bin/rustc" "$tmp/bin/cargo"
tools "$tmp/bin" rust
expect "a Rust that is too old is named with its remedy" 1 "    rustup update stable"

printf '#!/bin/sh\necho "rustc 1.100.0-nightly (abc 2027-01-01)"\n' >"$tmp/bin/rustc"
tools "$tmp/bin" rust
expect "Rust 1.100 is later than 1.95" 0 ""

printf '#!/bin/sh\necho go1.21.13\n' >"$tmp/bin/go"
chmod +x "$tmp/bin/go"
tools "$tmp/bin" go
expect "a Go that is too old is named with its remedy" 1 "Get Go from https://go.dev/dl/"

printf '#!/bin/sh\necho "go1.25.1 X:nodwarf5"\n' >"$tmp/bin/go"
tools "$tmp/bin" go
expect "a Go of an experimental build counts by its version" 0 ""

output=$(XDG_CACHE_HOME=$tmp/cache PATH=/nowhere "$here/test-servers.sh" versitygw 2>&1)
status=$?
expect "a test server that cannot be built is an error that names what is missing" 1 \
    "test-servers.sh: building versitygw needs go; get it from https://go.dev/dl/ (scripts/check-tools.sh go says which)"

printf '#!/bin/sh\necho "javac 11.0.2-ea"\n' >"$tmp/bin/javac"
chmod +x "$tmp/bin/javac"
tools "$tmp/bin" -q java mvn
expect "a JDK that is too old, and a Maven that is not there, are named as packages" 1 "default-jdk-headless maven"

printf '#!/bin/sh\necho "javac 25"\n' >"$tmp/bin/javac"
tools "$tmp/bin" java
expect "Java 25 is later than 17" 0 ""

# surefire STATUS: what surefire-tap.py makes of the report in $tmp/reports and the log, counted by the suite.
mkdir -p "$tmp/reports"
surefire() { suite "python3 '$here/surefire-tap.py' $1 '$tmp/maven.log' '$tmp/reports'"; }
# reports BODY: the report of one class, with that in its testcase.
reports() {
    echo "<testsuite><testcase classname='a.B' name='c'>$1</testcase></testsuite>" >"$tmp/reports/TEST-a.B.xml"
}
echo "[INFO] BUILD SUCCESS" >"$tmp/maven.log"

surefire 0
expect "a Java module without reports is a failure" 1 "2 passed, 1 failed"

reports ""
surefire 0
expect "a Java test, Maven's end and the silence of -Xcheck:jni are three tests" 0 "3 passed, 0 failed"

reports "<failure message='boom'>AssertionError: boom</failure>"
surefire 1
expect "a failed Java test counts once" 1 "2 passed, 1 failed"

reports "<skipped message='not today'/>"
surefire 0
expect "a skipped Java test is a failure" 1 "2 passed, 1 failed"

reports ""
echo "[ERROR] The forked VM terminated without properly saying goodbye" >"$tmp/maven.log"
surefire 1
expect "a JVM that dies is a failure although the tests before it passed" 1 "2 passed, 1 failed"

echo "WARNING in native method: JNI call made with exception pending" >"$tmp/maven.log"
surefire 0
expect "a complaint of -Xcheck:jni is a failure" 1 "2 passed, 1 failed"
[ $failures -eq 0 ]
