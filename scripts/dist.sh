#!/bin/sh
# Packs what `cargo build --profile dist` made into target/dist/seglift-VERSION-HOST.tar.gz, laid out as
# `make install` lays it out under its prefix.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=seglift-$version-$(rustc -vV | sed -n 's/^host: //p')
stage=target/dist/stage
# A library with the feature `testing` stops where its environment says so (src/pause.rs).
if grep -q SEGLIFT_PAUSE target/dist/libseglift.* target/dist/seglift; then
    echo "dist.sh: target/dist was built with --features testing; run make dist, which does not" >&2
    exit 1
fi
rm -rf $stage
scripts/install.sh target/dist "$PWD/$stage" "/$name"
cp LICENSE "$stage/$name"
# The files find themselves, so that the folder may be unpacked anywhere.
sed -i.bak 's|^prefix=.*|prefix=${pcfiledir}/../..|' "$stage/$name/lib/pkgconfig/seglift.pc"
rm "$stage/$name/lib/pkgconfig/seglift.pc.bak"
tar -C $stage -czf "target/dist/$name.tar.gz" "$name"
rm -rf $stage
echo "target/dist/$name.tar.gz"
