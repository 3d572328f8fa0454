#!/bin/sh
# An idle cluster after a load and five commands:
#   show-idle.sh BINARY RECORDS SECONDS
# Counts what the four processes write (sockets and files alike), their CPU and
# memory.
set -eu
T=$1 R=$2 S=$3
W=$(mktemp -d)
. "$(dirname "$0")/lib.sh"
trap 'stop_demo; rm -rf "$W"' EXIT
start_demo "$W/c" --nodes 4
"$T" load --dir "$W/c" "$R" 2>/dev/null
"$T" put --dir "$W/c" idle yes >/dev/null
"$T" get --dir "$W/c" idle >/dev/null
"$T" del --dir "$W/c" idle >/dev/null
"$T" status --dir "$W/c" >/dev/null
"$T" get --dir "$W/c" --prefix --limit 1 a >/dev/null
sleep 15
sample() {
	for id in 0 1 2 3; do
		p=$(cat "$W/c/node-$id/pid")
		awk -v id=$id '/^wchar|^syscw/ { v[$1] = $2 } END { printf "%s %s %s ", id, v["wchar:"], v["syscw:"] }' "/proc/$p/io"
		awk '{ printf "%d ", $14 + $15 }' "/proc/$p/stat"
		awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$p/status"
	done
}
sample >"$W/before"
logs_before=$(du -sb "$W"/c/node-*/log | awk '{ s += $1 } END { print s }')
sleep "$S"
sample >"$W/after"
logs_after=$(du -sb "$W"/c/node-*/log | awk '{ s += $1 } END { print s }')
paste "$W/before" "$W/after" | awk -v s="$S" '{ printf "idle node=%d seconds=%d bytes_written=%d writes=%d cpu_percent=%.2f rss_mib=%d\n", $1, s, $7 - $2, $8 - $3, ($9 - $4) / s, $10 }'
echo "idle log_bytes_grown=$((logs_after - logs_before))"
