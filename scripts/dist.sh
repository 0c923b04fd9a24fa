#!/bin/sh
# Packs what `cargo build --profile dist` made into target/dist/seglift-VERSION-HOST.tar.gz, laid out as
# `make install` lays it out under its prefix.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=seglift-$version-$(rustc -vV | sed -n 's/^host: //p')
stage=target/dist/stage
rm -rf $stage
scripts/install.sh target/dist "$PWD/$stage" "/$name"
cp LICENSE "$stage/$name"
# The files find themselves, so that the folder may be unpacked anywhere.
sed -i.bak 's|^prefix=.*|prefix=${pcfiledir}/../..|' "$stage/$name/lib/pkgconfig/seglift.pc"
rm "$stage/$name/lib/pkgconfig/seglift.pc.bak"
tar -C $stage -czf "target/dist/$name.tar.gz" "$name"
rm -rf $stage
echo "target/dist/$name.tar.gz"
