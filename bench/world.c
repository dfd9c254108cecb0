/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * How worlds lie in their address space, and in memory: subscriptions of large
 * worlds are on huge pages, of both schemes alike, unless --pages small says
 * otherwise (see struct setup).
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK 512UL		/* nested: slots of a block */
#define FAMILY 256UL		/* of which those under others */
#define PARENTS 14UL
#define CHILDREN 14UL
#define BLOCK_SUBS (BLOCK + PARENTS + 1)

const char *const shape_name[SHAPES] = {
	[SHAPE_FLAT] = "flat",
	[SHAPE_DENSE] = "dense",
	[SHAPE_UMBRELLA] = "umbrella",
	[SHAPE_NESTED] = "nested",
};

const char *const op_name[OPS] = {
	[OP_LOOP] = "loop alone",
	[OP_OUTSIDE] = "outside",
	[OP_HIT0_HOT] = "hit0 hot",
	[OP_HIT0_HOT_SERIAL] = "hit0 hot serial",
	[OP_HIT0_RANDOM] = "hit0 random",
	[OP_HIT0_RANDOM_SERIAL] = "hit0 random serial",
	[OP_HIT1_HOT] = "hit1 hot",
	[OP_HIT1_RANDOM] = "hit1 random",
	[OP_HIT1_RANDOM_SERIAL] = "hit1 random serial",
	[OP_HIT64_HOT] = "hit64 hot",
	[OP_HIT64_RANDOM] = "hit64 random",
	[OP_READ_HOT] = "read hot",
	[OP_READ_RANDOM] = "read random",
	[OP_READ_HOT_BARE] = "read hot bare",
	[OP_READ_RANDOM_BARE] = "read random bare",
	[OP_READ_EACH_BARE] = "read each bare",
	[OP_HIT1_READ_RANDOM] = "hit1 + read random",
	[OP_REMOVE_INSERT_HOT] = "remove + insert hot",
	[OP_REMOVE_INSERT_RANDOM] = "remove + insert random",
	[OP_INSERT_READ_REMOVE] = "insert, read, remove",
	[OP_INSERT_REMOVE_HOT] = "insert + remove hot",
	[OP_INSERT_REMOVE_RANDOM] = "insert + remove random",
	[OP_TAG_CHECK] = "tag check",
	[OP_CALLBACK_RANDOM] = "callback of a random one, not searched",
	[OP_MUTEX_ALONE] = "read hot: its mutex alone",
	[OP_ANNOUNCE_ALONE] = "hit0 hot: announcing alone",
};

void plan_init(struct plan *plan, enum shape shape, unsigned long n)
{
	bool dense = shape == SHAPE_DENSE;

	*plan = (struct plan){
		.shape = shape,
		.n = n,
		.stride = dense ? 2 * PAGE : 32 * PAGE,
		.length = dense ? PAGE : 16 * PAGE,
		.slots = shape == SHAPE_UMBRELLA ? n - 1 : n,
		.mask = ~0UL,
	};
	if (shape == SHAPE_NESTED) {
		plan->slots = n / BLOCK_SUBS * FAMILY;
		plan->mask = FAMILY - 1;
		plan->shift = 1;
		plan->offset = FAMILY;
	}
}

static void nested_interval(const struct plan *plan, unsigned long i,
			    unsigned long *first, unsigned long *count)
{
	unsigned long block = i / BLOCK_SUBS, k = i % BLOCK_SUBS;

	*first = block * BLOCK;
	*count = 1;
	if (k < BLOCK) {
		*first += k;
	} else if (k < BLOCK + PARENTS) {
		*first += (k - BLOCK) * (CHILDREN + 2);
		*count = CHILDREN;
	} else {
		*count = PARENTS * (CHILDREN + 2);
	}
}

void plan_interval(const struct plan *plan, unsigned long i,
		   unsigned long *ret_start, unsigned long *ret_length)
{
	unsigned long first = i, count = 1;

	if (plan->shape == SHAPE_NESTED) {
		nested_interval(plan, i, &first, &count);
	} else if (plan->shape == SHAPE_UMBRELLA && i == plan->n - 1) {
		first = 0;
		count = plan->n;
	}
	*ret_start = PLAN_BASE + first * plan->stride;
	*ret_length = (count - 1) * plan->stride + plan->length;
}

unsigned int *random_order(unsigned long n, unsigned long seed)
{
	unsigned int *order = malloc(n * sizeof(*order));
	unsigned long rng = seed * 2 + 1;

	if (!order)
		abort();
	for (unsigned long i = 0; i < n; i++) {
		unsigned long j;

		rng = rng * 6364136223846793005UL + 1442695040888963407UL;
		j = (rng >> 32) * (i + 1) >> 32;
		order[i] = order[j];
		order[j] = (unsigned int)i;
	}
	return order;
}

/* ------------------------------------------------------------------- memory */

#define HUGE (2UL << 20)
#define MIB (1UL << 20)

/* Bytes that large worlds have asked for, and of those on huge pages. */
static unsigned long asked, on_huge;

/* Bytes of this process on huge pages. */
static unsigned long huge_bytes(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	unsigned long kib = 0;
	char line[128];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

void *world_memory(const struct setup *setup, size_t size)
{
	bool large = setup_large(setup);
	size_t align = large ? HUGE : 64;
	unsigned long before = 0;
	void *memory;

	size = (size + align - 1) & ~(align - 1);
	memory = aligned_alloc(align, size);
	if (!memory)
		return NULL;
	if (large) {
		before = huge_bytes();
		/* Refused or not, it works. */
		madvise(memory, size,
			setup->small_pages ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	}
	memset(memory, 0, size);
	if (large) {
		asked += size;
		on_huge += huge_bytes() - before;
	}
	return memory;
}

bool world_pages(char *text, size_t size)
{
	if (!asked)
		return false;
	snprintf(text, size, "%lu of %lu MiB of subscriptions on huge pages",
		 on_huge / MIB, asked / MIB);
	return true;
}
