#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# What the library exports is what the version script lists is what the public
# headers declare.   lint_symbols.sh [ROOT [LIBRARY]]
set -u

scripts=$(cd "$(dirname "$0")" && pwd)
root=${1:-$scripts/..}
library=${2:-$root/build/libuhmm.so}
map=$root/libuhmm.map
export LC_ALL=C

lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT

nm -D --defined-only "$library" >"$lists/nm" || exit 1
# The names of the version nodes themselves are absolute symbols.
awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' "$lists/nm" |
	sort >"$lists/exported"
sed -e 's|/\*.*\*/||' "$map" | awk '
	/global:/ { global = 1; next }
	/local:/ { global = 0 }
	global { gsub(/[ \t;]/, ""); if ($0 != "") print }' |
	sort >"$lists/map"
# What scenarios call is the tool's.
"$scripts/public_functions.py" "$root" >"$lists/all" || exit 1
grep -v "^include/uhmm/explore\.h:" "$lists/all" >"$lists/functions"
awk '$3 != "static" { print $2 }' "$lists/functions" | sort -u >"$lists/headers"

bad=0
# Prints what the first list has and the second lacks.
lacks()
{
	comm -23 "$lists/$1" "$lists/$2" >"$lists/diff"
	while read -r name; do
		place=$(grep -n "^[[:space:]]*$name;" "$map" | cut -d: -f1)
		echo "libuhmm.map:${place:-1}: $name is $3"
		bad=1
	done <"$lists/diff"
}

lacks exported map 'exported, but not in the version script'
lacks map exported 'in the version script, but not exported'
lacks map headers 'in the version script, but in no public header'
lacks headers map 'declared in a public header, but not in the version script'
if uniq -d "$lists/map" | grep .; then
	echo 'libuhmm.map:1: these stand twice'
	bad=1
fi
[ -s "$lists/exported" ] || { echo "$library:1: exports nothing"; bad=1; }
exit $bad
