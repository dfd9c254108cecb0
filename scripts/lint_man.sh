#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# mandoc has nothing to say about the manual pages.   lint_man.sh PAGE...
if ! command -v mandoc >/dev/null; then
	echo 'mandoc is not there' >&2
	exit 77
fi
mandoc -T lint -W warning "$@"
