#!/bin/sh
# kill -9 of all four replicas at a random moment under load, restart, again:
#   show-crash.sh BINARY ROUNDS
# After every restart each acknowledged record must be there, and the first
# commit must not have waited for a view time-out.
set -eu
T=$1 N=$2
W=$(mktemp -d)
. "$(dirname "$0")/lib.sh"
trap 'stop_demo; rm -rf "$W"' EXIT
acked=0 timeouts=0 worst=0
: >"$W/expected"
round=1
while [ $round -le "$N" ]; do
	began=$(now_ms)
	start_demo "$W/c"
	up=$(($(now_ms) - began))
	[ $up -le $worst ] || worst=$up
	if [ $round -gt 1 ]; then
		for log in "$W"/c/node-*/log.txt; do
			tail -n +"$(cat "$log.seen")" "$log" | grep -c 'msg=left.*timed out' || true
		done >"$W/counts"
		timeouts=$((timeouts + $(paste -sd+ "$W/counts" | bc)))
	fi
	"$T" dump --dir "$W/c" | LC_ALL=C sort >"$W/dump" || fail "dump in round $round"
	LC_ALL=C sort "$W/expected" | LC_ALL=C comm -23 - "$W/dump" >"$W/lost"
	[ ! -s "$W/lost" ] || { head -n 3 "$W/lost"; fail "round $round: $(wc -l <"$W/lost") acknowledged records lost"; }
	awk -v r=$round 'BEGIN { for (i = 0; i < 300000; i++) printf "{\"key\":\"r%03d/%06d\",\"value\":\"value %d of round %d\"}\n", r, i, i, r }' >"$W/input"
	"$T" load --dir "$W/c" --timeout 3s "$W/input" 2>"$W/load.err" & loader=$!
	sleep "$(awk -v s="$round$$" 'BEGIN { srand(s); printf "%.2f", 0.3 + rand() * 1.5 }')"
	for log in "$W"/c/node-*/log.txt; do wc -l <"$log" >"$log.seen"; done
	for id in 0 1 2 3; do kill9 "$W/c" $id; done
	if wait $loader; then fail "round $round: the load ended before the kill; give more input"; fi
	from=$(sed -n 's/.*--from-line \([0-9]*\).*/\1/p' "$W/load.err" | tail -n 1)
	[ -n "$from" ] || { tail -n 3 "$W/load.err"; fail "round $round: load does not say how to resume"; }
	head -n $((from - 1)) "$W/input" >>"$W/expected"
	acked=$((acked + from - 1))
	stop_demo
	round=$((round + 1))
done
start_demo "$W/c"
"$T" dump --dir "$W/c" | LC_ALL=C sort >"$W/dump"
LC_ALL=C sort "$W/expected" | LC_ALL=C comm -23 - "$W/dump" >"$W/lost"
[ ! -s "$W/lost" ] || fail "at the end: $(wc -l <"$W/lost") acknowledged records lost"
echo "crash rounds=$N acknowledged=$acked lost=0 view_timeouts_after_restart=$timeouts slowest_start_ms=$worst"
[ "$timeouts" = 0 ] || fail "$timeouts view time-outs after a restart of all"
