#!/bin/sh
# Reports in TAP whether the library compiles with the oldest compiler that Cargo.toml names, and for the platforms that
# deny.toml names.
#
# Only types are checked: nothing is linked or run. So the C parts of dependencies need no compiler for those platforms,
# and a stand-in that makes empty files builds them.
set -u
cd "$(dirname "$0")/.." || exit 1

dir=target/portable
number=0 failures=0
check() { # NAME COMMAND…
    name=$1; shift
    number=$((number + 1))
    if output=$("$@" 2>&1); then
        echo "ok $number - $name"
    else
        failures=$((failures + 1))
        printf '%s\n' "$output" | tail -n 40 | sed 's/^/# /'
        echo "not ok $number - $name"
    fi
}

stand_in=$PWD/$dir/no-compiler
mkdir -p "$dir" || exit 1
# What follows -o is made, an archive too; whatever is asked on standard output is answered with nothing.
cat >"$stand_in" <<'END'
#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in -o) shift; : >"$1" ;; *.a) [ -e "$1" ] || printf '!<arch>\n' >"$1" ;; esac
    shift
done
END
chmod +x "$stand_in"

oldest() {
    version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    rustup toolchain install "$version.0" --profile minimal >/dev/null 2>&1 ||
        { echo "rust $version could not be installed; run: rustup toolchain install $version.0"; return 1; }
    cargo "+$version.0" check --locked --target-dir "$dir"
}

platform() {
    rustup target add "$1" >/dev/null 2>&1 ||
        { echo "the standard library for $1 could not be installed; run: rustup target add $1"; return 1; }
    CC=$stand_in AR=$stand_in RANLIB=$stand_in CRATE_CC_NO_DEFAULTS=1 \
        cargo check --locked --lib --bins --target "$1" --target-dir "$dir"
}

platforms=$(sed -n '/^targets = \[/,/^\]/s/^ *"\(.*\)",$/\1/p' deny.toml)
check "the oldest compiler accepts the code" oldest
for target in $platforms x86_64-unknown-linux-musl; do
    check "the code is accepted for $target" platform "$target"
done
echo "1..$number"
rm -rf "$dir"
[ $failures -eq 0 ]
