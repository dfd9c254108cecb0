#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# The lock comments (__guarded_by, __must_hold, ...) hold, says clang 19.
# lint_context.sh [ROOT]
set -u

cd "${1:-$(dirname "$0")/..}" || exit 1
if ! command -v clang-19 >/dev/null; then
	echo 'clang-19 is not there' >&2
	exit 77
fi

bad=0
for file in $(find src -name '*.c' | LC_ALL=C sort); do
	world=
	case $file in src/sync/explored/*) world=-DUHMM_EXPLORED ;; esac
	clang-19 -fsyntax-only -std=gnu11 -D_GNU_SOURCE -Iinclude -Isrc \
		-DUHMM_PROBES_H='"lib/probes_none.h"' \
		-fexperimental-late-parse-attributes \
		-Wthread-safety -Werror=thread-safety $world "$file" 2>&1 || bad=1
done
exit $bad
