#!/bin/sh
# install.sh BUILD DESTDIR PREFIX: copies what was built in BUILD (target/release, target/dist) to
# DESTDIR/PREFIX: the library, its headers, the command with its manual pages and completions, and the
# files for pkg-config and CMake.
set -eu
cd "$(dirname "$0")/.."
build=$1 destdir=$2 prefix=$3
case $prefix in /*) ;; *) echo "install.sh: PREFIX must be an absolute path, not '$prefix'" >&2; exit 2 ;; esac
to=$destdir$prefix

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
abi=$(sed -n 's/^#define SEGLIFT_ABI_MAJOR //p' include/seglift.h)
case $(uname -s) in
Darwin) library=libseglift.dylib versioned=libseglift.$abi.dylib ;;
*) library=libseglift.so versioned=libseglift.so.$abi ;;
esac
fill() { sed -e "s|@PREFIX@|$prefix|g" -e "s|@VERSION@|$version|g" "$1" >"$2"; chmod 644 "$2"; }

install -d "$to/bin" "$to/include" "$to/lib/pkgconfig" "$to/lib/cmake/seglift"
install -m 755 "$build/$library" "$to/lib/$versioned"
ln -sf "$versioned" "$to/lib/$library"
install -m 644 include/seglift.h bindings/c/seglift_loader.h "$to/include"
install -m 755 "$build/seglift" "$to/bin/seglift"
# The command writes its own pages and completions, so they always fit it.
install -d "$to/share/man/man1" "$to/share/bash-completion/completions" \
    "$to/share/zsh/site-functions" "$to/share/fish/vendor_completions.d"
"$build/seglift" man --dir "$to/share/man/man1" >/dev/null
"$build/seglift" completions bash >"$to/share/bash-completion/completions/seglift"
"$build/seglift" completions zsh >"$to/share/zsh/site-functions/_seglift"
"$build/seglift" completions fish >"$to/share/fish/vendor_completions.d/seglift.fish"
fill bindings/c/seglift.pc.in "$to/lib/pkgconfig/seglift.pc"
install -m 644 bindings/c/cmake/seglift-config.cmake "$to/lib/cmake/seglift"
fill bindings/c/cmake/seglift-config-version.cmake.in "$to/lib/cmake/seglift/seglift-config-version.cmake"
[ -n "$destdir" ] || echo "Installed into $prefix. On Linux, run ldconfig as root if the linker caches $prefix/lib."
