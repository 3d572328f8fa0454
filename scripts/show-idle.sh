#!/bin/sh
# An idle cluster after a load and five commands:
#   show-idle.sh BINARY RECORDS SECONDS
# Counts the frames that the four processes send (from their metrics, with curl),
# what they write at all (sockets and files; 8 bytes a write are the Go
# runtime's own wake-ups), their CPU and memory.
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
frames() {
	at=$(tr '\0' ' ' <"/proc/$1/cmdline" | grep -o '127.0.0.1:[0-9]*' | tail -n 1)
	curl -s "http://$at/metrics" | awk '/^tagma_frames_sent_total/ { s += $2 } END { printf "%d ", s }'
}
sample() {
	for id in 0 1 2 3; do
		p=$(cat "$W/c/node-$id/pid")
		awk -v id=$id '/^wchar|^syscw/ { v[$1] = $2 } END { printf "%s %s %s ", id, v["wchar:"], v["syscw:"] }' "/proc/$p/io"
		awk '{ printf "%d ", $14 + $15 }' "/proc/$p/stat"
		awk '/^VmRSS/ { printf "%d ", $2 / 1024 }' "/proc/$p/status"
		frames "$p"
		echo
	done
}
sample >"$W/before"
logs_before=$(du -sb "$W"/c/node-*/log | awk '{ s += $1 } END { print s }')
sleep "$S"
sample >"$W/after"
logs_after=$(du -sb "$W"/c/node-*/log | awk '{ s += $1 } END { print s }')
paste "$W/before" "$W/after" | awk -v s="$S" '{ printf "idle node=%d seconds=%d frames=%d bytes_written=%d writes=%d cpu_percent=%.2f rss_mib=%d\n", $1, s, $12 - $6, $8 - $2, $9 - $3, ($10 - $4) / s, $11 }'
echo "idle log_bytes_grown=$((logs_after - logs_before))"
