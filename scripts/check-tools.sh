#!/bin/sh
# Looks for every tool that a make target needs, before anything is compiled, and names all that
# are missing at once, with one line that installs them. It only looks: it never installs.
#
#   check-tools.sh TOOL…       for people: what is missing and how to get it
#   check-tools.sh -q TOOL…    for scripts: the missing Debian packages, one line, or nothing
#
# A TOOL is one of: make cc c++ rust go openssl python3 zstd valgrind pkg-config cmake java mvn
# Exit status: 0 all there, 1 something is missing or too old, 2 wrong use.
set -u

rust_needed=1.95 # the rust-version of Cargo.toml; a test compares the two
go_needed=1.25   # what scripts/test-servers.sh builds wants
java_needed=17   # the release that bindings/java compiles for

quiet=
[ "${1:-}" = -q ] && { quiet=yes; shift; }
[ $# -gt 0 ] || { echo "usage: check-tools.sh [-q] TOOL…" >&2; exit 2; }

have() { command -v "$1" >/dev/null 2>&1; }

# version_below A B: whether dotted version A comes before B.
version_below() {
    awk -v a="$1" -v b="$2" 'BEGIN {
        n = split(a, x, "."); m = split(b, y, ".")
        for (i = 1; i <= (n > m ? n : m); i++) if (x[i] + 0 != y[i] + 0) exit !(x[i] + 0 < y[i] + 0)
        exit 1
    }'
}

# A container has no sudo, and root needs none.
sudo="sudo "
[ "$(id -u 2>/dev/null)" = 0 ] && sudo=

missing=; debian=; fedora=; brew=; rustup=; godev=
# lacks WHAT DEBIAN FEDORA BREW: notes one tool that is not there and the packages that bring it.
lacks() {
    missing="$missing    $1
"
    debian="$debian $2" fedora="$fedora $3" brew="$brew $4"
}

for tool; do
    case $tool in
    make) have make || lacks "make" make make make ;;
    cc) have cc || lacks "cc (a C11 compiler)" gcc gcc llvm ;;
    c++) have c++ || lacks "c++ (a C++20 compiler)" g++ gcc-c++ llvm ;;
    python3) have python3 || lacks "python3 (3.8 or later)" python3 python3 python ;;
    zstd) have zstd || lacks "zstd (the command)" zstd zstd zstd ;;
    valgrind) have valgrind || lacks "valgrind" valgrind valgrind valgrind ;;
    pkg-config) have pkg-config || lacks "pkg-config" pkg-config pkgconf pkgconf ;;
    openssl) have openssl || lacks "openssl (the command)" openssl openssl openssl ;;
    cmake) have cmake || lacks "cmake (3.16 or later)" cmake cmake cmake ;;
    mvn) have mvn || lacks "mvn (Maven 3.6.3 or later)" maven maven maven ;;
    java)
        # "javac 17.0.15". A machine may have the java of a runtime and no compiler, so javac is asked.
        version=$(javac -version 2>&1 | awk '$1 == "javac" { sub(/-.*/, "", $2); print $2 }')
        if [ -z "$version" ]; then
            lacks "javac (a JDK $java_needed or later)" default-jdk-headless java-devel openjdk
        elif version_below "$version" $java_needed; then
            lacks "javac $java_needed or later (this one is $version)" default-jdk-headless java-devel openjdk
        fi ;;
    rust)
        if ! have cargo || ! have rustc; then
            missing="$missing    cargo and rustc $rust_needed or later
"
            rustup="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
        else
            version=$(rustc --version | awk '{ print $2 }')
            if version_below "${version%%-*}" $rust_needed; then
                missing="$missing    rustc $rust_needed or later (this one is $version)
"
                rustup="rustup update stable"
            fi
        fi ;;
    go)
        # Distributions have it too old for years, so no package is named.
        if ! have go; then
            missing="$missing    go $go_needed or later
"
            godev="https://go.dev/dl/"
        else
            version=$(go env GOVERSION | awk '{ sub(/^go/, ""); print $1 }')
            if version_below "${version:-0}" $go_needed; then
                missing="$missing    go $go_needed or later (this one is ${version:-unknown})
"
                godev="https://go.dev/dl/"
            fi
        fi ;;
    *) echo "check-tools.sh: it does not know the tool '$tool'" >&2; exit 2 ;;
    esac
done

if [ -n "$quiet" ]; then
    [ -z "$debian" ] || echo "${debian# }"
    [ -z "$missing" ]
    exit
fi
[ -n "$missing" ] || exit 0

echo "These tools are missing:"
printf '%s' "$missing"
if [ -n "$debian$rustup" ]; then
    if have apt-get; then install="${sudo}apt-get install -y$debian"
    elif have dnf; then install="${sudo}dnf install -y$fedora"
    elif have brew; then install="brew install$brew"
    else install="your package manager: Debian's names are$debian"
    fi
    [ -n "$debian" ] || install=
    [ -z "$install" ] || [ -z "$rustup" ] || rustup=" && $rustup"
    echo "Install them with:"
    echo "    $install$rustup"
fi
[ -z "$godev" ] || echo "Get Go from $godev"
exit 1
