#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Each public header stands alone, may be included twice, and is clean as
# pedantic C99 and C++17.   lint_headers.sh [ROOT]
set -u

cd "${1:-$(dirname "$0")/..}" || exit 1

bad=0
check()
{
	compiler=$1
	language=$2
	standard=$3
	if ! command -v "$compiler" >/dev/null; then
		echo "$compiler is not there: not tried" >&2
		return
	fi
	for header in include/uhmm/*.h; do
		name=uhmm/${header##*/}
		printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
			"$compiler" -x "$language" -std="$standard" -pedantic \
				-Wall -Wextra -Werror -Iinclude -fsyntax-only \
				- 2>&1 && continue
		echo "$header:1: not clean as $standard with $compiler"
		bad=1
	done
}

check gcc c c99
check g++ c++ c++17
check clang c c99
check clang++ c++ c++17
exit $bad
