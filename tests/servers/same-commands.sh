#!/bin/sh
# The same commands on any store: runs every command of seglift that touches one, and prints what it
# printed and how it ended, without what differs from run to run (object ids, times, the store's own
# name). Two stores behave alike when this prints the same for both.
#
#   same-commands.sh STORE_URI      in a store that is empty; SEGLIFT names the program
#
# Endpoint and credentials come from the environment, as for any tool: nothing here knows the store.
set -u

store=$1
seglift=${SEGLIFT:-seglift}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

normalized() {
    sed -E \
        -e "s#$store#STORE#g" \
        -e 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/OBJECT-ID/g' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{8,}Z?/TIME/g' \
        -e 's/("(created|modified)_us":)[0-9]+/\1TIME/g' \
        -e 's/("message":)"[^"]*"/\1…/; s/,"(hint|http_status|service_code|request_id|extended_request_id)":("[^"]*"|[0-9]+)//g'
}

# try COMMAND…: what it prints on standard output, and its status. How an error is worded is the
# store's affair (its host may show another path); its status and, in JSON, its code are not.
try() {
    echo "\$ seglift $*" | normalized
    "$seglift" --quiet "$@" >out 2>err
    status=$?
    normalized <out
    # Data that ends without a newline would swallow the next line.
    [ ! -s out ] || [ -z "$(tail -c 1 out)" ] || echo "[no newline]"
    [ $status -eq 0 ] || echo "status $status"
    [ $status -eq 0 ] || [ -s err ] || [ -s out ] || echo "and it says nothing"
    [ $status -ne 0 ] || [ ! -s err ] || { echo "it succeeded and complains:"; normalized <err; }
}

# bytes COMMAND…: the same, where the output is data.
bytes() {
    echo "\$ seglift $* | cksum" | normalized
    "$seglift" --quiet "$@" 2>err | cksum
}

awk 'BEGIN { for (i = 0; i < 250000; i++) printf "%08d level=info user=%d took=%d ms path=/items/%d\n", i, i % 977, i * 7919 % 1009, i * 31 % 10007 }' >segment
head -n 1000 segment >small
printf 'one\ntwo\n\nthree "quoted"\n' >records
: >empty
printf 'offset index' >index

echo "== offload"
try offload segment --to "$store" --key topic/0/zstd --attach index=index --meta content-type=text/plain --offsets 100-200
try offload segment --to "$store" --key topic/0/none --codec none
try offload records --to "$store" --key topic/1/records --records --first-id 40
try offload empty --to "$store" --key topic/1/empty
try offload small --to "$store" --prefix topic/10/ --json
try offload - --to "$store" --key topic/1/piped <small
try offload small --to "$store" --key plain
try offload small --to "$store" --key 'odd/ü +%41 "q"&=#' --codec none

echo "== offload what is there"
try offload segment --to "$store" --key topic/0/none --codec zstd --json
try offload segment --to "$store" --key topic/0/zstd --if-exists same-segment
try offload segment --to "$store" --key topic/0/zstd
try offload small --to "$store" --key topic/0/none --json
try offload segment --to "$store" --key topic/0/none --if-exists fail
try offload missing --to "$store" --key x
try offload small --to "$store" --key a//b

echo "== ls"
try ls "$store"
try ls "$store" topic/1
try ls "$store" --long
try ls "$store" topic/0 --json
try ls "$store" nothing

echo "== stat"
try stat "$store" topic/0/zstd topic/1/records topic/1/empty --ascii
try stat "$store" topic/0/none --json
try stat "$store/plain" --ascii
try stat "$store" topic/0/missing --json

echo "== cat"
bytes cat "$store/topic/0/zstd"
bytes cat "$store/topic/0/none"
cksum <segment
for range in 0-0 0-99 8388600-8388700 -100 14000000-; do
    bytes cat "$store" topic/0/none --range "$range"
    bytes cat "$store" topic/0/zstd --range "$range"
done
try cat "$store" topic/1/empty
try cat "$store" topic/1/records
try cat "$store" topic/1/records --records 41-42 --json
try cat "$store" topic/0/zstd --attachment index
try cat "$store" topic/0/zstd --attachment nothing
try cat "$store" topic/0/zstd --range 99999999-
try cat "$store" 'odd/ü +%41 "q"&=#' --range 0-30
try cat "$store" topic

echo "== get"
try get "$store/topic/0/zstd" --output whole
cksum <whole
try get "$store" topic/0/none --output whole
try get "$store" topic/0/none --output whole --force --json
cksum <whole
try get "$store" topic/1 --recursive --output folder
find folder -type f -exec cksum {} + | sort

echo "== verify"
try verify "$store" topic/0/zstd topic/0/none
try verify "$store" topic --recursive --json
try verify "$store" topic/0/missing

echo "== rm"
try rm "$store" topic/1 --recursive --dry-run
try rm "$store" topic/1 --recursive
try rm "$store" topic/0/zstd topic/0/missing --json
try rm "$store/plain" "$store" topic/0/none
try ls "$store"
try rm "$store" topic odd --recursive
try ls "$store" --json
