#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Runs one benchmark of a build, or all of them: run_bench.sh BUILD NAME [ARG...]
# stdout is the benchmark's alone.
set -u

build=$1
name=$2
shift 2

if [ -n "$name" ]; then
	if [ ! -x "$build/bench/bench_$name" ]; then
		echo "run_bench.sh: no benchmark '$name'; there are:" \
			$(ls "$build/bench" 2>/dev/null |
			  sed -n '/\./d; s/^bench_//p') >&2
		exit 129
	fi
	exec "$build/bench/bench_$name" "$@"
fi

# A benchmark that is interrupted prints what it has; those behind it do not run.
interrupted=false
trap 'interrupted=true' INT

ran=0
status=0
for exe in "$build"/bench/bench_*; do
	[ -f "$exe" ] && [ -x "$exe" ] || continue
	$interrupted && break
	ran=$((ran + 1))
	echo "== ${exe##*/bench_}" >&2
	"$exe" "$@"
	got=$?
	[ "$got" = 129 ] && exit 129
	[ "$got" = 0 ] || { status=1; echo "${exe##*/}: failed" >&2; }
done
if [ "$ran" = 0 ]; then
	echo "run_bench.sh: $build has no benchmark" >&2
	exit 1
fi
exit $status
