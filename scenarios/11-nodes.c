/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with?" Of the barriers in the library those of inner nodes of the index,
 * of which copies take the place, and which are used again.
 *
 * Bad: memory that was given back is used
 * Result: Never
 */
#include "bare.h"

#define LEAF 14
#define ROOT (LEAF * LEAF + LEAF + 1)	/* and a node of two leaves beside it */

static struct view *view[ROOT];

static void fill(unsigned int n)
{
	begin();
	for (unsigned int i = 0; i < n; i++)
		view[i] = view_at(i * PAGE, &ops);
}

/* One view is left in all leaves but the first, and in the last none. */
static void thin_out(void)
{
	fill(5 * LEAF + 1);
	for (unsigned int i = LEAF; i < 5 * LEAF; i++)
		if (i % LEAF)
			view_gone(view[i]);
	view_gone(view[5 * LEAF]);
}

static void *removes(unsigned int i)
{
	uhmm_thread_name("remove");
	view_gone(view[i]);
	return NULL;
}

#define REMOVES(I) \
	static void *removes_##I(void *unused) \
	{ \
		return removes(I); \
	}
REMOVES(28)
REMOVES(210)

/* One node is joined with the next, three times. */
static void *removes_three(void *unused)
{
	for (unsigned int i = LEAF; i <= 3 * LEAF; i += LEAF)
		removes(i);
	return NULL;
}

#define UNMAPS(FROM, TO) \
	static void *unmaps_##FROM(void *unused) \
	{ \
		uhmm_thread_name("unmap"); \
		invalidate(FROM * PAGE, (TO - FROM) * PAGE); \
		return NULL; \
	}
UNMAPS(0, 1)
UNMAPS(195, 200)		/* the last one below a node, and the next node */
UNMAPS(200, 201)

#define USED "memory that was given back is used"
ORDERED_RUN(root, USED, fill(2 * LEAF + 1), removes_28, unmaps_0);
ORDERED_RUN(node, USED, fill(ROOT), removes_210, unmaps_200);
ORDERED_RUN(node_next, USED, fill(ROOT), removes_210, unmaps_195);
ORDERED_RUN(node_again, USED, thin_out(), unmaps_0, removes_three);
