#!/bin/sh
# Reports each check of style, lints and dependencies as one TAP test.
#
# cargo-deny is not a part of the Rust toolchain. A pinned version is built once into
# ${XDG_CACHE_HOME:-~/.cache}/seglift, outside the tree, so that a clean checkout does not build it
# again; that takes about four minutes on two cores. Without its advisories feature it needs no
# network afterwards.
set -u

deny_version=0.20.2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/seglift
deny=$cache/cargo-deny-$deny_version/bin/cargo-deny
features=${FEATURES:-}

number=0 failures=0
# check NAME COMMAND…: runs a command; its output shows only when it fails.
check() {
    name=$1; shift
    number=$((number + 1))
    if output=$("$@" 2>&1); then
        echo "ok $number - $name"
    else
        failures=$((failures + 1))
        printf '%s\n' "$output" | sed 's/^/# /'
        echo "not ok $number - $name"
    fi
}

# A debug build, because the checks take a second and an optimized build takes minutes more.
install_deny() {
    [ -x "$deny" ] && return 0
    echo "# building cargo-deny $deny_version into $cache, once"
    cargo install cargo-deny --version $deny_version --locked --debug --quiet \
        --no-default-features --root "$cache/cargo-deny-$deny_version"
}

every_script_parses() {
    for script in scripts/*.sh tests/servers/*.sh bindings/java/kafka/bin/* examples/*/*.sh; do sh -n "$script" || return 1; done
    bash -n .ci/run
}

# The check of the tools runs before cargo does, so it cannot ask cargo for the version.
rust_versions_agree() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    checked=$(sed -n 's/^rust_needed=\([0-9.]*\).*/\1/p' scripts/check-tools.sh)
    [ "$wanted" = "$checked" ] || {
        echo "Cargo.toml wants Rust $wanted, scripts/check-tools.sh looks for $checked"; return 1; }
}

# A module names its parent's version, so the poms say it more than once.
versions_agree() {
    wanted=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
    for pom in $(find bindings/java -name pom.xml); do
        said=$(sed -n 's|^ *<version>\([0-9].*\)</version>|\1|p' "$pom" | head -n 1)
        [ "$wanted" = "$said" ] || { echo "Cargo.toml says $wanted, $pom says $said"; return 1; }
    done
}

echo 1..7
check "every script parses" every_script_parses
check "the check of the tools asks for the Rust of Cargo.toml" rust_versions_agree
check "Cargo.toml and the poms say one version" versions_agree
check "the code is formatted (cargo fmt)" cargo fmt --check
# shellcheck disable=SC2086 # FEATURES is a list of words
check "clippy finds nothing" \
    cargo clippy --release --locked --all-targets $features --quiet -- -D warnings
# --all-targets leaves out what `cargo test` leaves out by default.
# shellcheck disable=SC2086
check "clippy finds nothing in the tests that need servers" \
    cargo clippy --release --locked --test stores $features --quiet -- -D warnings
if install_deny; then
    check "licenses, bans and sources of the dependencies (cargo deny)" \
        "$deny" --log-level error check licenses bans sources
else
    number=$((number + 1)) failures=$((failures + 1))
    echo "# cargo-deny $deny_version could not be fetched or built; it needs the crates registry once"
    echo "not ok $number - licenses, bans and sources of the dependencies (cargo deny)"
fi
[ $failures -eq 0 ]
