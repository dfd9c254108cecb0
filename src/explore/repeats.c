/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Beginnings of executions that need not be gone on with, where preemptions are
 * counted: the same steps were made before, and those that depend on one another
 * in the same order, by somebody who had no fewer preemptions left. What can
 * follow was explored there. Idea: Musuvathi, Qadeer 2007.
 *
 * Races of data are the same, too, since the order is: that is why a beginning is
 * known by its steps, and not by the state that it leads to.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "set.h"

/* Of who has just made a step, and can go on; behind the threads: nobody. */
#define NOBODY MAX_THREADS
#define BITS 4
#define MOST_COUNTED ((1U << BITS) - 2)
#define MOST_KEPT (1U << 23)

/*
 * @least: four bits for each of those, one more than the fewest preemptions with
 * which somebody came here as that one; 0: nobody did.
 */
struct known {
	uint64_t hash;
	uint64_t least;
};

static struct {
	struct known *slots;
	size_t room, n;
	uint64_t sum[MAX_STEPS + 1];	/* up to each decision */
} k;

void repeats_forget(void)
{
	free(k.slots);
	k.slots = NULL;
	k.room = k.n = 0;
}

/* A step, and what comes before it. */
uint64_t event_hash(const struct event *e)
{
	uint64_t hash = mix(e->actor * 131U + e->kind * 7U), four;

	for (unsigned int i = 0; i < e->ntouch; i++)
		hash = mix(hash * 31 + e->touch[i].object);
	for (unsigned int i = 0; i < MAX_ACTORS; i += 4) {
		memcpy(&four, &e->clock.at[i], sizeof(four));
		hash = mix(hash * 31 + four);
	}
	/* Whether anybody decided on it does not matter. */
	if (e->node >= 0 && x.nodes[e->node].choice)
		hash = mix(hash * 31 + x.nodes[e->node].choice);
	return hash;
}

/* Of all steps so far: their order is in the hash of each. */
static uint64_t beginning(void)
{
	uint64_t sum = 0;
	unsigned int i = 0;

	if (x.depth) {
		sum = k.sum[x.depth - 1];
		i = (unsigned int)x.nodes[x.depth - 1].event;
	}
	for (; i < x.nevents; i++)
		sum += event_hash(&x.events[i]);
	k.sum[x.depth] = sum;
	return mix(sum) | 1;
}

static struct known *find(struct known *slots, size_t room, uint64_t hash)
{
	size_t at = (size_t)(hash * 0x9e3779b97f4a7c15ULL >> 16) & (room - 1);

	while (slots[at].hash && slots[at].hash != hash)
		at = (at + 1) & (room - 1);
	return &slots[at];
}

static bool grow(void)
{
	size_t room = k.room ? 4 * k.room : 1 << 12;
	struct known *slots;

	if (room > MOST_KEPT)
		return false;
	slots = (struct known *)set_alloc(2 * room);
	if (!slots)
		return false;
	for (size_t i = 0; i < k.room; i++)
		if (k.slots[i].hash)
			*find(slots, room, k.slots[i].hash) = k.slots[i];
	free(k.slots);
	k.slots = slots;
	k.room = room;
	return true;
}

/* Could whoever came here before go on with all that is left to do now? */
static bool is_covered(uint64_t least, unsigned int last, unsigned int used)
{
	for (unsigned int i = 0; least; i++, least >>= BITS) {
		unsigned int before = least & ((1U << BITS) - 1);
		/* It preempts @i to go on as @last, or as anybody. */
		unsigned int more = i != last && i != NOBODY;

		if (before && before - 1 + more <= used)
			return true;
	}
	return false;
}

/*
 * Whom the next thread preempts, if that is not this one itself. A buffer that is
 * emptied may let a thread go on that could not, and whom nobody came after yet.
 */
static unsigned int preempted(unsigned int enabled)
{
	if (x.last < 0 || x.threads[x.last].ended ||
	    !(enabled >> x.last & 1 || enabled >> MAX_THREADS))
		return NOBODY;
	return (unsigned int)x.last;
}

/* At a new decision. */
bool repeats(const struct node *node)
{
	unsigned int last = preempted(node->enabled), at;
	uint64_t hash = beginning();
	struct known *known;

	if (node->preemptions > MOST_COUNTED ||
	    (2 * k.n >= k.room && !grow() && 8 * k.n > 7 * k.room))
		return false;
	known = find(k.slots, k.room, hash);
	if (!known->hash) {
		known->hash = hash;
		k.n++;
	} else if (is_covered(known->least, last, node->preemptions)) {
		return true;
	}
	at = last * BITS;
	known->least &= ~((uint64_t)((1U << BITS) - 1) << at);
	known->least |= (uint64_t)(node->preemptions + 1) << at;
	return false;
}
