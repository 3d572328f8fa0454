# Functions for the scripts that run real clusters. Source it with T set to the
# binary and W to a scratch folder. Every process it ends, it started.

fail() { echo "FAIL: $*" >&2; exit 1; }

now_ms() { date +%s%3N; }

# start_demo DIR ARGS…: starts a demo cluster in the background, waits for ready.
start_demo() {
	dir=$1; shift
	"$T" demo --dir "$dir" "$@" >"$dir.out" 2>&1 &
	demo_pid=$!
	tries=0
	until [ "$(tail -n 1 "$dir.out" 2>/dev/null)" = ready ]; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || { cat "$dir.out" >&2; fail "$dir: not ready in 60 s"; }
		kill -0 $demo_pid 2>/dev/null || { cat "$dir.out" >&2; fail "$dir: demo ended"; }
		sleep 0.1
	done
}

# stop_demo: ends the demo that start_demo started last.
stop_demo() {
	kill -TERM $demo_pid 2>/dev/null || true
	wait $demo_pid 2>/dev/null || true
}

# kill9 DIR ID: kill -9 of one replica.
kill9() { kill -9 "$(cat "$1/node-$2/pid")"; }

# verdicts DIR: "ID:VERDICT" of every replica that is not ok, in one line.
verdicts() {
	"$T" status --dir "$1" -w json 2>/dev/null | tr '{' '\n' |
		sed -n 's/.*"id":\([0-9]*\).*"verdict":"\([a-z]*\)".*/\1:\2/p' | grep -v ':ok$' | tr '\n' ' ' | sed 's/ $//'
}

# primary DIR: the primary as status sees it.
primary() { "$T" status --dir "$1" -w json 2>/dev/null | sed -n 's/.*"primary":\([0-9]*\).*/\1/p' | head -n 1; }
