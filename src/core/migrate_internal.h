/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the entries of &migrate_vma.src and dst say, for who has many of them. */
#ifndef CORE_MIGRATE_INTERNAL_H
#define CORE_MIGRATE_INTERNAL_H

#include <uhmm/migrate.h>

#include "../lib/words.h"

/* From an entry to that of the next frame. */
#define MIGRATE_PFN_STEP (1UL << MIGRATE_PFN_SHIFT)
#define MIGRATE_PFN_GOES (MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE)

/* In src, of an address space: what is at dst is the entry's, and no migration's. */
#define MIGRATE_PFN_SETTLED (1UL << 2)

/* There is a page, and it goes. */
static inline bool migrate_goes(unsigned long src)
{
	return (src & MIGRATE_PFN_GOES) == MIGRATE_PFN_GOES;
}

/* One is put where there is none. */
static inline bool migrate_inserts(unsigned long src)
{
	return (src & MIGRATE_PFN_GOES) == MIGRATE_PFN_MIGRATE;
}

/*
 * How many of @n entries, beginning with the first, have frames in a row and are
 * alike otherwise.
 */
static inline unsigned long migrate_run(const unsigned long *mpfns,
					unsigned long n)
{
	return n ? words_run(mpfns, n, mpfns[0], MIGRATE_PFN_STEP) : 0;
}

#endif
