/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Structs of options begin with their size, as those of Linux that grow do
 * (sched_setattr(2), openat2(2)). A longer one comes from a program that was
 * built for a later version: what is behind what is known here must say "as ever",
 * which is 0, and is refused otherwise, as it would be lost without a word. Once
 * a struct has grown, one of its first size is as if it went on with 0.
 */
#ifndef LIB_OPTIONS_H
#define LIB_OPTIONS_H

#include <errno.h>
#include <stddef.h>

/*
 * Is all of @options known, of which @known bytes are? NULL: nothing is asked for.
 * 0; -EINVAL: too short; -E2BIG: no.
 */
static inline int options_check(const void *options, size_t known)
{
	const unsigned char *byte = options;
	size_t size = options ? *(const size_t *)options : known;

	if (size < known)
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (byte[i])
			return -E2BIG;
	return 0;
}

#endif
