#!/bin/sh
# Prints Debian's package descriptions as records for `tagma load`, one JSON
# object a line in key order: key PACKAGE/VERSION, value the whole description.
# Needs apt-cache and its lists (apt-get update).
set -eu
apt-cache dumpavail | LC_ALL=C awk -v RS= '
{
	k = v = ""
	n = split($0, line, "\n")
	for (i = 1; i <= n; i++) {
		if (line[i] ~ /^Package: /) k = substr(line[i], 10)
		else if (line[i] ~ /^Version: /) v = substr(line[i], 10)
	}
	s = $0
	gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s); gsub(/\t/, "\\t", s); gsub(/\n/, "\\n", s)
	print "{\"key\":\"" k "/" v "\",\"value\":\"" s "\"}"
}' | LC_ALL=C sort -t '"' -u -k 4,4
