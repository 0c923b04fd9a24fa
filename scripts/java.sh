#!/bin/sh
# java.sh FOLDER [PHASE]: packages the Java modules, and leaves in FOLDER what a Kafka broker's
# remote.log.storage.manager.class.path points to: the jars of seglift, of its native libraries and of
# seglift-kafka. PHASE: Maven's, package unless told; install puts them into the local repository as well.
# Called by make (bindings/java/native.mk), which sets the variables.
set -eu
cd "$(dirname "$0")/.."
folder=$1 phase=${2:-package}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# The native jar is the image of this folder. Each load writes the library to a disk, so it goes without
# what only a debugger reads: a tenth is left.
image=$(pwd)/target/java/image
natives=$image/META-INF/native/$JAVA_PLATFORM
mkdir -p "$natives"
cp "$NATIVE/libseglift.$JAVA_SHARED" "$JAVA_SHIM" "$natives"
strip -S "$natives"/*

log=target/java/maven.log
$MVN --batch-mode --file bindings/java/pom.xml "$phase" --projects .,core,kafka -DskipTests \
    -Dseglift.native="$image" -Dseglift.platform="$JAVA_PLATFORM" >$log 2>&1 ||
    { grep -E '^\[ERROR\]|\[WARNING\].*\.java:' $log >&2; exit 1; }
rm -r "$image"

rm -rf "$folder"
mkdir -p "$folder"
cp "target/java/seglift/seglift-$version.jar" "target/java/seglift/seglift-$version-$JAVA_PLATFORM.jar" \
    "target/java/seglift-kafka/seglift-kafka-$version.jar" "$folder"
