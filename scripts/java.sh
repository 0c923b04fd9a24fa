#!/bin/sh
# java.sh FOLDER: packages the Java modules, and leaves in FOLDER what a Kafka broker's
# remote.log.storage.manager.class.path points to: seglift.jar, the jar of its native libraries, and
# seglift-kafka.jar. Called by make (bindings/java/native.mk), which sets the variables.
set -eu
cd "$(dirname "$0")/.."
folder=$1
root=$(pwd)

# The native jar is the image of this folder. Each load writes the library to a disk, so it goes without
# what only a debugger reads: a tenth is left.
image=target/java/image
natives=$image/META-INF/native/$JAVA_PLATFORM
rm -rf "$image"
mkdir -p "$natives"
cp "$NATIVE/libseglift.$JAVA_SHARED" "$JAVA_SHIM" "$natives"
strip -S "$natives"/*

$MVN --batch-mode --quiet -Dstyle.color=never --file bindings/java/pom.xml package --projects core,kafka -DskipTests \
    -Dseglift.native="$root/$image" -Dseglift.platform="$JAVA_PLATFORM"

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
rm -rf "$folder"
mkdir -p "$folder"
cp "target/java/seglift/seglift-$version.jar" "target/java/seglift/seglift-$version-$JAVA_PLATFORM.jar" \
    "target/java/seglift-kafka/seglift-kafka-$version.jar" "$folder"
