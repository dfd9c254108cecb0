#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Pages of section 3 out of kernel-doc: man3.sh KERNEL-DOC VERSION OUTDIR HEADER...
# kernel-doc writes all pages into one stream and says section 9 in each .TH.
set -eu

kernel_doc=$1
version=$2
out=$3
shift 3

rm -rf "$out"
mkdir -p "$out"
th='.TH "\1" 3 "" "uhmm VERSION" "uhmm"'
"$kernel_doc" -man "$@" >"$out/all"
sed -e "s/^\.TH \"[^\"]*\" 9 \"\(.*\)\" \"[^\"]*\" \"[^\"]*\" LINUX\$/$th/" \
	-e "/^\.TH/s/VERSION/$version/" "$out/all" |
	awk -v out="$out" '
		/^\.TH / {
			if (file)
				close(file)
			split($0, part, "\"")
			n = split(part[2], word, " ")
			file = out "/" word[n] ".3"
		}
		file { print > file }'
rm "$out/all"
