#!/bin/sh
# Campaigns add up. Each run goes on where the last one on the same code stopped and
# appends a line to docs/campaigns/NAME.tsv.
#
#   scripts/campaign.sh sim     RUNS simulated runs (200), with seeds never tried on this code
#   scripts/campaign.sh fuzz    every fuzz target for FUZZTIME (30s)
#
# "The same code" is a digest of the covered packages as they stand in the working tree, so
# a change starts a new count and an unrelated commit does not. A failure is recorded, ends
# the campaign with a non-zero exit, and is run again first next time. RECORD=no keeps no record.
set -eu

cd "$(dirname "$0")/.."
name=${1:-}
record=${RECORD:-yes}
file=docs/campaigns/$name.tsv
tab=$(printf '\t')

die() {
	echo "campaign: $*" >&2
	exit 1
}

# digest: of the content of the files that are named on the input.
digest() {
	sort -u | while read -r path; do
		[ ! -f "$path" ] || echo "$(git hash-object -- "$path") $path"
	done | sha256sum | cut -c 1-16
}

# files PATHSPEC…: the files in the working tree that are not ignored.
files() { git ls-files --cached --others --exclude-standard -- "$@"; }

# covered PACKAGE: what fuzzing it covers, its tests and corpora and the code it stands on.
covered() {
	module=$(go list -m)
	{
		files go.mod ":(glob)${1#"$module"/}/**"
		for dir in $(go list -deps "$1" | sed -n "s,^$module/,,p"); do
			files ":(glob)$dir/*.go" | grep -v '_test\.go$'
		done
	} | digest
}

# append FIELD…: one line: date, commit, code, then the fields.
append() {
	[ "$record" = yes ] || return 0
	commit=$(git rev-parse --short HEAD 2>/dev/null) || commit=none
	[ -z "$(git status --porcelain -- . ':!docs/campaigns')" ] || commit=$commit-dirty
	if [ ! -f "$file" ]; then
		mkdir -p docs/campaigns
		printf '%s\n' "$header" | tr ' ' '\t' >"$file"
	fi
	{
		printf '%s\t%s\t%s' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$commit" "$code"
		for field in "$@"; do printf '\t%s' "$field"; done
		printf '\n'
	} >>"$file"
}

# mine: the lines of this code, without date, commit and code.
mine() {
	[ ! -f "$file" ] || sed -n "s/^[^$tab]*$tab[^$tab]*$tab$code$tab//p" "$file"
}

# number KEY FILE: the number under a key in a JSON text, nothing if there is none.
number() {
	sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\\([0-9][0-9]*\\).*/\\1/p" "$2" | head -n 1
}

campaign_sim() {
	header='date commit code result first_seed last_seed runs messages violations seconds first_failure'
	# A simulation does not depend on tests.
	code=$(files go.mod wire quorum machine auth merkle pbft kv placement host storage sim |
		grep -v -e '_test\.go$' -e '/testdata/' | digest)
	runs=${RUNS:-200}
	case $runs in '' | *[!0-9]* | 0) die "RUNS=$runs is not a positive number" ;; esac

	# Seeds up to the last passed one are done; a failed batch is run again.
	last=$(mine | sed -n "s/^ok$tab[0-9]*$tab\\([0-9]*\\)$tab.*/\\1/p" | sort -n | tail -n 1)
	first=$((${last:-0} + 1))

	CGO_ENABLED=0 go build -trimpath -o bin/tagma ./cmd/tagma
	out=$(mktemp)
	trap 'rm -f "$out"' EXIT
	echo "sim: seeds $first to $((first + runs - 1)), code $code"
	began=$(date +%s)
	status=0
	bin/tagma sim --runs "$runs" --seed "$first" -w json >"$out" || status=$?
	seconds=$(($(date +%s) - began))
	cat "$out"

	# 0: all passed; 4: violations were found; anything else is no statement about the code.
	ran=$(number runs "$out")
	bad=$(number violations "$out")
	case $status in 0 | 4) ;; *) die "tagma sim failed with exit code $status; nothing recorded" ;; esac
	[ -n "$ran" ] && [ -n "$bad" ] || die "tagma sim printed no runs and violations; nothing recorded"
	messages=$(number messages "$out")
	failure=$(sed -n 's/.*"first_failure"[[:space:]]*:[[:space:]]*\([^,}]*\).*/\1/p' "$out" | head -n 1)
	result=ok
	[ "$status" = 0 ] && [ "$bad" = 0 ] && [ "$ran" = "$runs" ] || result=FAIL
	append "$result" "$first" "$((first + ran - 1))" "$ran" "${messages:--}" "$bad" "$seconds" "${failure:--}"

	[ "$record" != yes ] || mine | {
		total=0
		while IFS=$tab read -r verdict _ _ passed _; do
			[ "$verdict" != ok ] || total=$((total + passed))
		done
		echo "sim: $total runs passed on code $code"
	}
	[ "$result" = ok ] || die "seeds from $first: $bad violations in $ran of $runs runs, first failure $failure"
}

# reached PACKAGE TARGET: the executions that passed on this code.
reached() {
	mine | {
		total=0
		while IFS=$tab read -r verdict package target execs _; do
			[ "$verdict $package $target" != "ok $1 $2" ] || total=$((total + execs))
		done
		echo "$total"
	}
}

# targets: lines "package target".
targets() {
	listing=$(go test -list '^Fuzz' ./...) || {
		printf '%s\n' "$listing" >&2
		die "the tests do not build"
	}
	printf '%s\n' "$listing" | {
		names=
		while read -r word package _; do
			case $word in
			Fuzz*) names="$names $word" ;;
			ok)
				for target in $names; do echo "$package $target"; done
				names=
				;;
			esac
		done
	}
}

campaign_fuzz() {
	header='date commit code result package target execs seconds'
	time=${FUZZTIME:-30s}
	out=$(mktemp)
	list=$(mktemp)
	trap 'rm -f "$out" "$list"' EXIT
	targets | grep -E "${FUZZ:-.}" >"$list" || true
	[ -s "$list" ] || die "there is no fuzz target"

	while read -r package target; do
		code=$(covered "$package")
		echo "fuzz: $package $target for $time, code $code"
		began=$(date +%s)
		result=ok
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" >"$out" 2>&1 </dev/null || result=FAIL
		execs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$out" | tail -n 1)
		append "$result" "$package" "$target" "${execs:-0}" "$(($(date +%s) - began))"
		if [ "$result" != ok ]; then
			cat "$out"
			die "$package $target failed; go test runs the input it kept under testdata/fuzz"
		fi
		echo "fuzz: $package $target: ${execs:-0} executions, $(reached "$package" "$target") recorded on this code"
	done <"$list"
}

case $name in
sim) campaign_sim ;;
fuzz) campaign_fuzz ;;
*) die "usage: scripts/campaign.sh sim|fuzz" ;;
esac
