#!/bin/sh
# A killed primary: how long until the next acknowledged write.
#   show-primary.sh BINARY TIMES
# One caller writes without pause; its slowest write spans the outage.
set -eu
T=$1 N=$2
W=$(mktemp -d)
. "$(dirname "$0")/lib.sh"
trap 'stop_demo; rm -rf "$W"' EXIT
i=1
while [ $i -le "$N" ]; do
	start_demo "$W/c$i" --nodes 4
	"$T" bench --dir "$W/c$i" --workload put --callers 1 --seconds 4 --value 128 --keys 1000 -w json >"$W/bench" 2>"$W/err" & bench=$!
	sleep 2
	kill9 "$W/c$i" 0
	wait $bench || { cat "$W/err"; fail "bench in round $i"; }
	sed -n 's/.*"max_ms":\([0-9.]*\).*/\1/p' "$W/bench" >>"$W/outages"
	stop_demo
	rm -rf "$W/c$i"
	i=$((i + 1))
done
sort -n "$W/outages" | awk '{ a[NR] = $1 } END { printf "primary kills=%d outage_ms median=%.0f max=%.0f\n", NR, a[int((NR + 1) / 2)], a[NR] }'
