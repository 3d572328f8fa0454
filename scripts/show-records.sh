#!/bin/sh
# Real records through a cluster with a fault, and out again:
#   show-records.sh BINARY RECORDS CASE
# CASE: a (7 nodes, 2 lies, the primary is killed halfway and stays dead),
#       b (4 nodes, 2 lies), c (4 nodes, the primary is killed halfway),
#       or ID=BEHAVIOUR (4 nodes, that replica misbehaves).
# Prints one line of figures; fails loudly.
set -eu
T=$1 R=$2 C=$3
W=$(mktemp -d)
. "$(dirname "$0")/lib.sh"
trap 'stop_demo; rm -rf "$W"' EXIT
lines=$(wc -l <"$R")
kill=no want=
case $C in
a) args="--nodes 7 --byzantine 2=lie"; kill=yes want="0:down 2:lying" ;;
b) args="--nodes 4 --byzantine 2=lie"; want="2:lying" ;;
c) args="--nodes 4"; kill=yes want="0:down" ;;
*=mute) args="--nodes 4 --byzantine $C"; want="${C%%=*}:silent" ;;
*=*) args="--nodes 4 --byzantine $C"; want="${C%%=*}:lying" ;;
*) fail "unknown case $C" ;;
esac
# shellcheck disable=SC2086
start_demo "$W/one" $args
began=$(now_ms)
if [ $kill = yes ]; then
	head -n $((lines / 2)) "$R" >"$W/first"
	tail -n +$((lines / 2 + 1)) "$R" >"$W/second"
	"$T" load --dir "$W/one" "$W/first" 2>"$W/load.err" || { tail -n 3 "$W/load.err"; fail "load, first half"; }
	"$T" load --dir "$W/one" "$W/second" 2>"$W/load.err" & loader=$!
	sleep 0.3
	kill9 "$W/one" 0
	wait $loader || { tail -n 3 "$W/load.err"; fail "load, second half"; }
else
	"$T" load --dir "$W/one" "$R" 2>"$W/load.err" || { tail -n 3 "$W/load.err"; fail load; }
fi
loaded=$(now_ms)
"$T" dump --dir "$W/one" >"$W/dump1" || fail dump
cmp "$R" "$W/dump1" || fail "the dump differs from the input"
dumped=$(now_ms)
got=$(verdicts "$W/one")
[ "$got" = "$want" ] || { "$T" status --dir "$W/one" || true; fail "status names '$got', not '$want'"; }
stop_demo
start_demo "$W/two" --nodes 4
"$T" load --dir "$W/two" - <"$W/dump1" 2>"$W/load.err" || { tail -n 3 "$W/load.err"; fail "load into the second cluster"; }
"$T" dump --dir "$W/two" >"$W/dump2" || fail "dump of the second cluster"
cmp "$W/dump1" "$W/dump2" || fail "the second dump differs"
echo "records case=$C lines=$lines load_s=$(((loaded - began) / 1000)) dump_s=$(((dumped - loaded) / 1000)) status='$got' identical=yes"
