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
	${CC:-cc} -O2 -DSAFETY -DNOFAIR -DVECTORSZ=2048 -DMEMLIM=6000 -w -o pan pan.c
	./pan -m200000 -w26 >"$name.txt"
	grep -q "^State-vector" "$name.txt" || { cat "$name.txt" >&2; exit 1; }
}

errors() { sed -n 's/.*errors: *\([0-9]*\).*/\1/p' "$1.txt"; }
states() { sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' "$1.txt"; }

fail=0
for bounds in "-DMAXN=3 -DMAXT=2 -DCRASHES=1 -DWIPES=1" "-DMAXN=4 -DMAXT=3 -DCRASHES=1 -DWIPES=0"; do
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
for rule in NOFENCE NOCAS NOSTOP NOOPEN NOMAX NOACCOUNT; do
	verify "$rule" "-D$rule" -DMAXN=3 -DMAXT=2 -DCRASHES=1 -DWIPES=1
	if [ "$(errors "$rule")" = 0 ]; then
		echo "$rule: nothing fails without the rule" >&2
		fail=1
	else
		echo "$rule: $(sed -n 's/^pan:1: *//p' "$rule.txt")"
	fi
done
exit $fail
