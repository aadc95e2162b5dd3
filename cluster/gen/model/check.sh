#!/bin/sh
# Checks the model of the generation protocol with spin: no assertion may fail
# with all rules, and one must fail with each rule taken away.
set -eu
model=$(cd "$(dirname "$0")" && pwd)/generations.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# verify NAME DEFINES... prints the outcome of an exhaustive search.
verify() {
	name=$1
	shift
	spin "$@" -a "$model" >spin.txt 2>&1 || { cat spin.txt >&2; exit 1; }
	${CC:-cc} -O2 -w -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 -DMEMLIM=4000 -o pan pan.c
	./pan -m200000 -w24 >"$name.txt"
	grep -q "^State-vector" "$name.txt" || { cat "$name.txt" >&2; exit 1; }
}

errors() { sed -n 's/.*errors: *\([0-9]*\).*/\1/p' "$1.txt"; }
states() { sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$1.txt"; }

fail=0
for bounds in "-DNODES=3 -DMAXN=2 -DMAXT=1 -DCRASHES=0 -DWIPES=0" "-DMAXN=3 -DMAXT=2 -DCRASHES=0 -DWIPES=1" "-DMAXN=3 -DMAXT=1 -DCRASHES=1 -DWIPES=0" "-DMAXN=2 -DMAXT=2 -DCRASHES=1 -DWIPES=1"; do
	# shellcheck disable=SC2086
	verify good $bounds
	if [ "$(errors good)" = 0 ] && ! grep -q "max search depth too small\|out of memory" good.txt; then
		echo "all rules, $bounds: no assertion fails in $(states good) states"
	else
		echo "all rules, $bounds: an assertion fails, or the search was cut short" >&2
		cat good.txt >&2
		fail=1
	fi
done
for case in "NOFENCE 3 2 0 0" "NOCAS 3 2 0 0" "NOSTOP 3 2 0 0" "NOOPEN 3 2 0 0" "NOMAX 2 2 1 1" "NOACCOUNT 2 2 0 1"; do
	# shellcheck disable=SC2086
	set -- $case
	rule=$1
	verify "$rule" "-D$rule" "-DMAXN=$2" "-DMAXT=$3" "-DCRASHES=$4" "-DWIPES=$5"
	if [ "$(errors "$rule")" = 0 ]; then
		echo "$rule: nothing fails without the rule" >&2
		fail=1
	else
		echo "$rule: $(sed -n 's/^pan:1: *//p' "$rule.txt")"
	fi
done
exit $fail
