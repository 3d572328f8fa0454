#!/bin/sh
# No acknowledgement before the sync: strace delays fdatasync by 500 ms.
#   show-sync.sh BINARY
# On all replicas no put may be acknowledged in under 500 ms; on one alone the
# median stays within 1.5 times. Needs strace and the right to attach.
set -eu
T=$1
command -v strace >/dev/null || { echo "needs strace: apt-get install strace" >&2; exit 1; }
W=$(mktemp -d)
. "$(dirname "$0")/lib.sh"
tracers=
trap 'kill $tracers 2>/dev/null || true; stop_demo; rm -rf "$W"' EXIT
delay() {
	strace -f -q -o /dev/null -e trace=fdatasync -e inject=fdatasync:delay_exit=500000 -p "$(cat "$W/c/node-$1/pid")" 2>"$W/strace$1" &
	tracers="$tracers $!"
}
bench() { "$T" bench --dir "$W/c" --workload put --callers 1 --seconds "$1" --value 128 --keys 100 -w json 2>/dev/null; }
field() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"; }
start_demo "$W/c" --nodes 4
bench 2 >/dev/null
plain=$(bench 5 | field p50_ms)
delay 2
sleep 1
one=$(bench 5 | field p50_ms)
delay 0; delay 1; delay 3
sleep 1
bench 10 >"$W/all"
min=$(field min_ms <"$W/all")
echo "sync plain_p50_ms=$plain one_delayed_p50_ms=$one all_delayed_min_ms=$min all_delayed_ops=$(field ops <"$W/all")"
awk -v p="$plain" -v o="$one" -v m="$min" 'BEGIN { exit !(o <= 1.5 * p && m >= 500) }' || fail "a bound does not hold"
