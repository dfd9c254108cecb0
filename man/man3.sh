#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# Pages of section 3 out of kernel-doc: man3.sh KERNEL-DOC VERSION OUTDIR HEADER...
# kernel-doc writes all pages of a header into one stream and says section 9 in
# each .TH; the page of "struct x" is x(3). What a page of a library has besides,
# the header and where to read on, is added here.
set -eu

kernel_doc=$1
version=$2
out=$3
shift 3

rm -rf "$out"
mkdir -p "$out"
for header in "$@"; do
	"$kernel_doc" -man "$header" | awk -v out="$out" -v version="$version" \
		-v header="${header##*/}" '
		function close_page()
		{
			if (!file)
				return
			print ".SH \"SEE ALSO\"" > file
			print ".BR uhmm_mmu_notifier (7)" > file
			close(file)
		}
		/^\.TH / {
			close_page()
			split($0, part, "\"")
			n = split(part[4], word, " ")
			file = out "/" word[n] ".3"
			printf ".TH \"%s\" 3 \"\" \"uhmm %s\" \"uhmm\"\n", \
				word[n], version > file
			next
		}
		!file { next }
		/^\.SH NAME/ { in_name = 1; print > file; next }
		in_name {
			# "struct x \- ...": the name that whatis(1) looks for.
			sub(/^(struct|enum|union) /, "")
			in_name = 0
		}
		{ print > file }
		/^\.SH SYNOPSIS/ {
			printf ".B \"#include <uhmm/%s>\"\n.sp\n", header > file
		}
		END { close_page() }'
done
