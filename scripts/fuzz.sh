#!/bin/sh
# Fuzzes with libFuzzer; `make fuzz` calls it.
#
#   fuzz.sh MINUTES [TARGET…]    each target (all by default) for its share of the minutes, one after the other
#
# Needs the nightly toolchain. A pinned cargo-fuzz is built once into ${XDG_CACHE_HOME:-~/.cache}/seglift, outside the
# tree. New inputs go to fuzz/found/TARGET and stay there, so that the next run goes on where this one ended; what is
# worth keeping is minimized into the corpus with
#
#   fuzz.sh minimize [TARGET…]
#
# An input that breaks a promise ends its target, is kept in fuzz/artifacts/TARGET, and runs again without a fuzzer:
# FUZZ_INPUT=FILE cargo test --release --features testing --test fuzz_corpus TARGET
set -u

fuzz_version=0.13.2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/seglift
root=$cache/cargo-fuzz-$fuzz_version
triple=$(rustc -vV | sed -n 's/^host: //p')

fail() { echo "fuzz.sh: $*" >&2; exit 1; }

rustup run nightly rustc --version >/dev/null 2>&1 ||
    fail "libFuzzer's instrumentation needs the nightly compiler; install it with: rustup toolchain install nightly --profile minimal"
[ -x "$root/bin/cargo-fuzz" ] ||
    cargo +nightly install cargo-fuzz --version $fuzz_version --locked --debug --quiet --root "$root" ||
    fail "cargo-fuzz $fuzz_version did not build; it needs the crates registry once"
PATH=$root/bin:$PATH

minutes=${1:-}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(sed -n 's/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml | sed 1d)
for target in "$@"; do
    [ -f "fuzz/fuzz_targets/$target.rs" ] || fail "there is no target '$target'; see fuzz/src/lib.rs"
done
case $minutes in
minimize | [1-9]*) ;;
*) fail "say for how many minutes" ;;
esac

# Without the address sanitizer: what is fuzzed has no unsafe code, so it would find nothing and make each run several
# times as slow (`make test-address` has what does). More codegen units than cargo-fuzz's one, for the AWS SDK's sake.
echo "fuzz.sh: building; the first time takes ten minutes and more" >&2
cargo +nightly fuzz build --sanitizer none --codegen-units 16 || fail "the targets did not build"

status=0
for target in "$@"; do
    found=fuzz/found/$target artifacts=fuzz/artifacts/$target corpus=fuzz/corpus/$target
    program=fuzz/target/$triple/release/$target
    mkdir -p "$found" "$artifacts"
    if [ "$minutes" = minimize ]; then
        "$program" -merge=1 -max_len=4096 "$corpus" "$found" 2>&1 | tail -n 1
        continue
    fi
    seconds=$((minutes * 60 / $#))
    # A block of 64 MiB is the largest thing that any input may ask for, and the fuzzer itself has some 200 MiB. (What is asked
    # for at once is watched by tests/fuzz_corpus.rs, whose allocator counts.)
    "$program" "$found" "$corpus" -artifact_prefix="$artifacts/" -max_total_time=$((seconds > 10 ? seconds : 10)) \
        -timeout=30 -rss_limit_mb=640 -max_len=65536 -print_final_stats=1 >"$found.log" 2>&1
    ended=$?
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$found.log" | tail -n 1)
    if [ $ended -eq 0 ]; then
        echo "$target: ${executions:-0} executions, ${covered:-0} edges, nothing found"
    else
        status=1
        echo "$target: FOUND SOMETHING after ${executions:-some} executions: see $found.log and $artifacts"
    fi
done
exit $status
