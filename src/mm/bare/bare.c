/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The bare address space: invalidations are all that the library sees of it.
 * It is what one gets who names no other.
 */
#include "../../core/internal.h"

static const struct uhmm_mm_ops bare_mm_ops = {
	.name = "bare",
};

int uhmm_mm_create_with(const struct uhmm_mm_options *options,
			struct mm_struct **ret_mm)
{
	static const struct uhmm_mm_options none = { .size = sizeof(none) };

	if (!options)
		options = &none;
	return mm_create(options, options->ops ? options->ops : &bare_mm_ops,
			 ret_mm);
}

int uhmm_mm_create(struct mm_struct **ret_mm)
{
	return uhmm_mm_create_with(NULL, ret_mm);
}
