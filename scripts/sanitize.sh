#!/bin/sh
# Runs the tests that matter under one of the compiler's sanitizers, and proves first that it sees.
#
#   sanitize.sh address    memory that is not ours or not any more, and leaks: Rust tests, then the C programs of bindings/c
#   sanitize.sh thread     data races, in everything: the standard library is built with it, too
#
# Only a nightly compiler has sanitizers. The world is built anew into target/sanitize (about 5 GB), which is removed in the
# end unless SANITIZE_KEEP=1. SANITIZE_TESTS="chaos store_local" runs these instead of all.
#
# Invariant: nothing passes in silence. A missing compiler, a sanitizer that does not find what was planted for it, and a
# test that fails are all "not ok"; nothing is suppressed but what the file named below names with its reason.
set -u
cd "$(dirname "$0")/.." || exit 1

kind=${1:-}
case $kind in
address) flags="-Zsanitizer=address" std= ;;
thread) flags="-Zsanitizer=thread" std=-Zbuild-std ;;
*) echo "usage: sanitize.sh address|thread" >&2; exit 2 ;;
esac
host=$(rustc -vV | sed -n 's/^host: //p')
dir=target/sanitize
out=$dir/$host/sanitize
# What has threads, lent memory or C in it. `fork` and the counting of allocations do not go together with a sanitizer.
tests=${SANITIZE_TESTS:-chaos engine_budget engine_ops engine_queue reader_records reader_requests semantics store_local store_memory}

number=0 failures=0
report() { # STATUS NAME: one line of TAP
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then echo "ok $number - $2"; else failures=$((failures + 1)); echo "not ok $number - $2"; fi
}
finish() {
    echo "1..$number"
    [ -n "${SANITIZE_KEEP:-}" ] || rm -rf "$dir"
    [ $failures -eq 0 ]
    exit
}

if ! sysroot=$(rustc +nightly --print sysroot 2>/dev/null); then
    echo "# no nightly compiler; install it with: rustup toolchain install nightly --component rust-src"
    report 1 "there is a compiler with sanitizers"
    finish
fi
if [ -n "$std" ] && [ ! -d "$sysroot/lib/rustlib/src/rust/library" ]; then
    echo "# no source of the standard library; install it with: rustup component add rust-src --toolchain nightly"
    report 1 "there is the source of the standard library"
    finish
fi

export RUSTFLAGS="$flags -Cforce-frame-pointers=yes"
export CARGO_INCREMENTAL=0
# Everything takes three to twenty times as long; what a sanitizer looks for shows in the small sizes as well.
export SCALE=quick
export SEGLIFT_OPERATIONS=${SEGLIFT_OPERATIONS:-3000}
# The paths are absolute: tests run in folders of their own.
# A test asks for more memory than there is and wants an error, not the end.
export ASAN_OPTIONS="detect_stack_use_after_return=1:allocator_may_return_null=1"
export LSAN_OPTIONS="suppressions=$PWD/scripts/sanitize/leaks.supp:print_suppressions=0"
export TSAN_OPTIONS="allocator_may_return_null=1:suppressions=$PWD/scripts/sanitize/races.supp:print_suppressions=0:halt_on_error=1"

# cargo_tests ARGUMENTS…: with the same features and profile each time, so that everything is built once.
cargo_tests() {
    # shellcheck disable=SC2086 # a list of words, or nothing
    "${CARGO:-cargo}" +nightly test $std --profile sanitize --locked --no-fail-fast --features testing \
        --target "$host" --target-dir "$dir" "$@"
}

# planted NAME WHAT: the sanitizer must end the test of that name and say WHAT.
planted() {
    output=$(cargo_tests --test planted -- --exact "$1" 2>&1)
    status=$?
    found=1
    [ $status -ne 0 ] && printf '%s\n' "$output" | grep -q "$2" && found=0
    [ $found -eq 0 ] || printf '%s\n' "$output" | tail -n 40 | sed 's/^/# /'
    report $found "planted for it and found: $(echo "$1" | tr _ ' ')"
}

case $kind in
address)
    planted memory_that_the_library_fills_after_it_was_freed heap-use-after-free
    planted memory_that_nobody_has_any_more "detected memory leaks" ;;
thread)
    planted memory_that_the_host_reads_while_the_library_fills_it "data race" ;;
esac
[ $failures -eq 0 ] || finish

# cargo's own "test result:" lines count for these.
status=0
# shellcheck disable=SC2046
cargo_tests --lib $(printf -- '--test %s ' $tests) || status=1
report $status "the tests in Rust, with the $kind sanitizer"

if [ "$kind" = address ]; then
    cargo_build=0
    "${CARGO:-cargo}" +nightly build --profile sanitize --locked --features testing --target "$host" --target-dir "$dir" \
        --lib --test layers || cargo_build=1
    report $cargo_build "the shared library is built with the $kind sanitizer"
    # Reports in TAP by itself, with a plan of its own.
    echo "1..$number"
    SEGLIFT_LIB="$out/libseglift.so" SEGLIFT_SANITIZE=$kind python3 bindings/c/tests/run.py || failures=$((failures + 1))
    [ -n "${SANITIZE_KEEP:-}" ] || rm -rf "$dir"
    [ $failures -eq 0 ]
    exit
fi
finish
