/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Addresses in 32 bits, so that a node of the index compares its keys in one
 * line and their bounds in another. A scale is a base and a unit, a page or
 * more, in one word; an address becomes the number of its unit, counted from
 * the base, or the least or the greatest number if it lies outside.
 *
 * Order survives that, differences may not: a <= b is never mistaken for a > b,
 * a > b may be for a <= b. So a comparison finds all that it must, and perhaps
 * more; who needs to know looks at the addresses themselves.
 */
#ifndef LIB_INDEX_SCALE_H
#define LIB_INDEX_SCALE_H

#include <limits.h>
#include <stdbool.h>

#define SCALE_UNIT 12U		/* log2 of the least unit, in bytes */
#define SCALE_NONE 0UL		/* no node's */

static inline unsigned int scale_shift(unsigned long scale)
{
	return scale & 63;
}

static inline unsigned long scale_base(unsigned long scale)
{
	return scale & ~63UL;
}

/* Of what does not lie before the base. */
static inline unsigned int scaled_above(unsigned long scale,
					unsigned long address)
{
	unsigned long units = (address - scale_base(scale)) >>
			      scale_shift(scale);

	return units < UINT_MAX ? (unsigned int)units : UINT_MAX;
}

static inline unsigned int scaled(unsigned long scale, unsigned long address)
{
	return address < scale_base(scale) ? 0 : scaled_above(scale, address);
}

/* Does it lie inside? */
static inline bool scale_fits(unsigned long scale, unsigned long address)
{
	unsigned long base = scale_base(scale);

	return address >= base &&
	       (address - base) >> scale_shift(scale) <= UINT_MAX;
}

/* Of what fits. */
static inline unsigned int scale_units(unsigned long scale,
				       unsigned long address)
{
	return (unsigned int)((address - scale_base(scale)) >>
			      scale_shift(scale));
}

/* Is [first, last] nothing but whole units? */
static inline bool scale_whole(unsigned long scale, unsigned long first,
			       unsigned long last)
{
	return !((first | (last + 1)) & ((1UL << scale_shift(scale)) - 1));
}

/* The first byte of a unit. */
static inline unsigned long scale_first(unsigned long scale, unsigned int units)
{
	return scale_base(scale) + ((unsigned long)units << scale_shift(scale));
}

/* The last byte of a unit. */
static inline unsigned long scale_last(unsigned long scale, unsigned int units)
{
	return scale_first(scale, units) + (1UL << scale_shift(scale)) - 1;
}

/* The last byte that fits. */
static inline unsigned long scale_top(unsigned long scale)
{
	unsigned long top = scale_last(scale, UINT_MAX);

	return top < scale_base(scale) ? ~0UL : top;
}

/*
 * The finest in which both fit. Bases are few, so that neighbours share one:
 * multiples of half of what a scale has room for.
 */
static inline unsigned long scale_for(unsigned long first, unsigned long last)
{
	for (unsigned int shift = SCALE_UNIT;; shift++) {
		unsigned long scale = (first >> (31 + shift) << (31 + shift)) |
				      shift;

		if (scale_fits(scale, last))
			return scale;
	}
}

#endif
