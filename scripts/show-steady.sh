#!/bin/sh
# Saturating fault-free load: no view may change.
#   show-steady.sh BINARY SECONDS
set -eu
T=$1 S=$2
W=$(mktemp -d)
. "$(dirname "$0")/lib.sh"
trap 'stop_demo; rm -rf "$W"' EXIT
start_demo "$W/c" --nodes 4
"$T" bench --dir "$W/c" --workload put --callers 256 --seconds "$S" --value 128 --keys 10000 -w json >"$W/bench" 2>"$W/err" || { cat "$W/err"; fail bench; }
changes=$(cat "$W"/c/node-*/log.txt | grep -c 'msg=left' || true)
echo "steady seconds=$S view_changes=$changes $(sed 's/[{}"]//g' "$W/bench")"
[ "$(verdicts "$W/c")" = "" ] || fail "status names $(verdicts "$W/c")"
[ "$changes" = 0 ] || { grep -h 'msg=left' "$W"/c/node-*/log.txt | head; fail "$changes view changes"; }
