#!/bin/sh
# `make run`: shows seglift at work. Builds the library and minibroker, feeds the broker 200 MiB of the
# sources of seglift's own dependencies, lets it move them to a tier of plain files, reads everything
# back through the broker, and compares digests.
#
# Needs make, a C compiler and Rust. Everything it writes is in target/run, and is there afterwards to
# be looked at; the next run begins with an empty folder.
set -eu
cd "$(dirname "$0")/.."

mib=200
run=target/run
tier=$PWD/$run/tier
broker_log=$run/broker.txt
client="target/c/minibroker_client"

fail() { echo "make run: $*" >&2; exit 1; }
[ "$(uname -s)" = Linux ] || fail "minibroker uses epoll and runs on Linux only; the library itself does not need it"

# ---- build

if [ ! -e target/release/libseglift.so ]; then
    echo "Building seglift. The first time this takes about 6 minutes on two cores (this machine has" \
        "$(nproc)), most of it for the AWS SDK; later a moment."
fi
# With a test among its targets cargo takes the features of dependencies that tests take, so that
# `make test` finds the SDK built.
"${CARGO:-cargo}" build --release --locked --lib --bins --test layers
"${MAKE:-make}" --no-print-directory minibroker

# ---- a clean run folder, and no broker left over from a run that was killed

if [ -e $run/pid ] && [ "$(readlink "/proc/$(cat $run/pid)/exe" || :)" = "$PWD/target/c/minibroker" ]; then
    kill "$(cat $run/pid)"
    while [ -e "/proc/$(cat $run/pid)" ]; do sleep 0.1; done
fi
rm -rf $run
mkdir -p $run

# ---- the input: sources of the dependencies, in sorted order

host=$(rustc -vV | sed -n 's/^host: //p')
"${CARGO:-cargo}" fetch --locked --target "$host" --quiet
# One package a line: whatever the metadata's layout, each names its manifest once.
"${CARGO:-cargo}" metadata --format-version 1 --locked --offline --filter-platform "$host" |
    tr ',' '\n' | sed -n 's/.*"manifest_path":"\(.*\)\/Cargo.toml".*/\1/p' | grep -Fvx "$PWD" >$run/crates ||
    fail "cargo metadata names no dependency"
while read -r crate; do
    find "$crate" -type f \( -name '*.rs' -o -name '*.[chS]' -o -name '*.md' -o -name '*.toml' \)
done <$run/crates | LC_ALL=C sort >$run/sources
bytes=$(tr '\n' '\0' <$run/sources | xargs -0 cat | wc -c)
[ "$bytes" -gt 0 ] || fail "the dependencies have no sources"
echo "Input: $mib MiB from $(wc -l <$run/sources) source files ($((bytes >> 20)) MiB) of" \
    "$(wc -l <$run/crates) crates that seglift depends on."

# The sources once, then again and again with numbered lines, so that no pass repeats another.
feed() {
    tr '\n' '\0' <$run/sources | xargs -0 cat
    pass=2
    while [ $((pass * bytes)) -lt $(((mib << 20) + bytes)) ]; do
        tr '\n' '\0' <$run/sources | xargs -0 cat | LC_ALL=C awk -v pass=$pass '{ print pass ":" NR ": " $0 }'
        pass=$((pass + 1))
    done
}

# ---- the broker

target/c/minibroker --dir $run/log --tier "file://$tier" --library target/release/libseglift.so \
    --set policy.size.threshold=0 --set policy.deletion.lag=0s >$run/port 2>$broker_log &
broker=$!
echo $broker >$run/pid
trap 'kill $broker 2>/dev/null || :; rm -f $run/pid' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
while ! grep -q listening $run/port; do
    kill -0 $broker 2>/dev/null || { cat $broker_log >&2; fail "the broker did not start"; }
    sleep 0.05
done
address=127.0.0.1:$(sed 's/.* //' $run/port)

now_ms() { echo $(($(date +%s%N) / 1000000)); }
# step FILE COMMAND…: runs a step of the story; its answer goes to the file, its time to $ms.
step() {
    answer=$1; shift
    begin=$(now_ms)
    "$@" >"$answer" || { tail -n 5 $broker_log >&2; fail "this step failed; the broker's words are in $broker_log"; }
    ms=$(($(now_ms) - begin))
    [ $ms -gt 0 ] || ms=1
}
produce() { feed 2>/dev/null | head -c $((mib << 20)) | $client "$address" produce; }

echo "Producing into minibroker, which seals a segment every 16 MiB and offloads it at once:"
step $run/produced produce
produce_ms=$ms
echo "Waiting until the rest is in the tier and every local copy is dropped:"
step $run/settled $client "$address" settle
settle_ms=$ms
$client "$address" stat >$run/stat.json
local_bytes=$(cat $run/log/*.log | wc -c)
objects=$(find "$tier" -type f | wc -l)
object_bytes=$(find "$tier" -type f -exec cat {} + | wc -c)
echo "Reading everything back through the broker:"
step $run/consumed $client "$address" consume --digest
consume_ms=$ms

produced=$(cat $run/produced) consumed=$(cat $run/consumed)
bytes_of() { echo "$1" | sed 's/.* records \([0-9]*\) bytes .*/\1/'; }
[ "$(bytes_of "$produced")" = $((mib << 20)) ] || fail "only this was produced: $produced"
[ "$produced" = "$consumed" ] ||
    fail "what came back is not what went in:
  in:  $produced
  out: $consumed"

# ---- the report

# row TEXT BYTES MILLISECONDS
row() {
    awk -v text="$1" -v bytes="$2" -v ms="$3" 'BEGIN {
        printf "  %-44s %9.1f MiB", text, bytes / 1048576
        if (ms > 0) printf "  %6.1f s  %6.0f MiB/s", ms / 1000, bytes / 1048576 / (ms / 1000)
        print ""
    }'
}
echo
row "produced into the broker" "$(bytes_of "$produced")" $produce_ms
row "in the tier, $objects objects ($(awk -v a="$(bytes_of "$produced")" -v b="$object_bytes" \
    'BEGIN { printf "1 : %.2f", a / b }'))" "$object_bytes" 0
row "still in the broker's own log" "$local_bytes" 0
row "read back from the tier, through the broker" "$(bytes_of "$consumed")" $consume_ms
awk -v ms=$settle_ms 'BEGIN { printf "  the tier was complete %.1f s after the last record\n", ms / 1000 }'
echo "  sha256 of both: ${produced##* }"
echo
key=$(sed -n 's/.*"key":"\([^"]*\)".*/\1/p' $run/stat.json | head -n 1)
echo "The tier is a folder of plain files. Three commands to try:"
echo "    target/release/seglift ls --long file://$tier"
echo "    target/release/seglift stat file://$tier/$key"
# The log's first record: its payload stands behind a header of 16 bytes.
echo "    target/release/seglift cat file://$tier/$key --range 16-4111 | head"
