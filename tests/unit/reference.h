/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Who is called by what, written down as simply as can be: sorted lists, no
 * threads. To be compared with. It has no read side: that a read is to be done
 * again if and only if its subscription was called since it began is for those
 * to know who count the calls.
 */
#ifndef TESTS_REFERENCE_H
#define TESTS_REFERENCE_H

#include "designs/design.h"

extern const struct uhmm_design reference;

/* Made wrong on purpose, to see that the comparison finds it. */
enum reference_mutant {
	SOUND,
	TIES_TURNED,		/* of equal ones the last is called first */
	EDGE_MISSED,		/* who touches by his last byte is left out */
	NEIGHBOUR_CALLED,	/* the byte behind the range belongs to it */
	NEVER_RETRIES,		/* whoever counts the calls looks away */
	GOES_ON,		/* a refusal does not stop the calls */
	NO_FINISHES,		/* ... no second passes after it */
	NO_ENDS,		/* ... no ends after one by the list */
	UNSEEN_ENDED,		/* an end goes to who did not see the start */
	LIST_TURNED,		/* the notifier registered first comes first */
	CALLED_AFTER_RELEASE,
	N_MUTANTS
};

extern enum reference_mutant reference_mutant;

#endif
