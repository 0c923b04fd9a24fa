#!/bin/sh
# Installs the object stores that `make test-stores` talks to, and prints where they are.
#
#   test-servers.sh          installs all of them: a line "NAME PATH" for each
#   test-servers.sh NAME     installs one: its path
#
# Each is built once from its pinned Go module into ${XDG_CACHE_HOME:-~/.cache}/seglift/servers,
# outside the tree, in a folder that names its version: a clean checkout builds nothing again and a
# new pin never meets an old program. The first time takes about 7 minutes on two cores and needs
# the network; afterwards neither.
#
# They are programs of their own that only tests start (MinIO is under the AGPL): nothing of them is
# linked or shipped.
set -u

cache=${XDG_CACHE_HOME:-$HOME/.cache}/seglift/servers
versitygw_version=1.8.0
minio_version=20260212201848-7aac2a2c5b7c

fail() { echo "test-servers.sh: $*" >&2; exit 1; }

# install NAME VERSION MODULE@VERSION: leaves the program at $cache/NAME-VERSION/NAME.
install() {
    program=$cache/$1-$2/$1
    [ -x "$program" ] && return 0
    command -v go >/dev/null 2>&1 ||
        fail "building $1 needs go; get it from https://go.dev/dl/ (scripts/check-tools.sh go says which)"
    mkdir -p "$cache" && build=$(mktemp -d "$cache/build.XXXXXX") || fail "cannot write to $cache"
    trap 'rm -rf "$build"' EXIT
    echo "test-servers.sh: building $1 $2 into $cache, once; this takes minutes" >&2
    # Two compilers at a time and the lowest priority: whoever works on this machine comes first.
    # -buildvcs=false: this tree's version has no place in them.
    GOBIN=$build nice -n 19 go install -p 2 -trimpath -buildvcs=false -ldflags "-s -w" "$3" >&2 ||
        fail "$3 did not build; it needs a Go module proxy once (go env GOPROXY)"
    # The rename makes a build that was interrupted invisible, and of two at once either will do.
    mkdir -p "${program%/*}" && mv -f "$build/$1" "$program" || fail "cannot write to ${program%/*}"
    rm -rf "$build"
}

versitygw() { install versitygw $versitygw_version github.com/versity/versitygw/cmd/versitygw@v$versitygw_version; }
minio() { install minio "$minio_version" github.com/minio/minio@v0.0.0-"$minio_version"; }

case ${1:-} in
versitygw | minio) "$1" && echo "$program" ;;
"") for server in versitygw minio; do $server && echo "$server $program"; done ;;
*) fail "there is no server '$1'; versitygw and minio there are" ;;
esac
