/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Address spaces full of subscriptions, and what is done to them: the same for
 * every scheme. What is timed is in ops.h, compiled once with each scheme's
 * own words, so that what is inline there stays inline.
 */
#ifndef BENCH_WORLD_H
#define BENCH_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index_search;

#define PAGE 4096UL

/*
 * flat: 64 KiB every 128 KiB. dense: 4 KiB every 8 KiB. umbrella: flat, and
 * one over all. nested: of 512 that are flat the first 256 have one over each
 * 14 of 16, and one over the first 224; what is asked for is in the others.
 */
enum shape { SHAPE_FLAT, SHAPE_DENSE, SHAPE_UMBRELLA, SHAPE_NESTED, SHAPES };

struct plan {
	enum shape shape;
	unsigned long n;
	unsigned long stride;
	unsigned long length;
	unsigned long slots;	/* those without any over them, counted */
	/* Of such a number the low bits, by mask, and the rest, shifted. */
	unsigned long mask;
	unsigned int shift;
	unsigned long offset;
};

extern const char *const shape_name[SHAPES];
void plan_init(struct plan *plan, enum shape shape, unsigned long n);
/* The i-th subscription; @length in bytes. */
void plan_interval(const struct plan *plan, unsigned long i,
		   unsigned long *ret_start, unsigned long *ret_length);

#define PLAN_BASE (1UL << 44)

static inline unsigned long plan_slot(const struct plan *plan,
				      unsigned long i)
{
	unsigned long slot = ((i & ~plan->mask) << plan->shift) +
			     plan->offset + (i & plan->mask);

	return PLAN_BASE + slot * plan->stride;
}

/* A random order of 0 .. n - 1; to be freed. */
unsigned int *random_order(unsigned long n, unsigned long seed);

/* ------------------------------------------------------------ what is done */

enum op {
	OP_LOOP,		/* nothing but what surrounds each operation */
	OP_OUTSIDE,		/* start + end far from everything */
	OP_HIT0_HOT,		/* start + end, hitting 0, 1, 64 */
	OP_HIT0_HOT_SERIAL,
	OP_HIT0_RANDOM,
	OP_HIT0_RANDOM_SERIAL,
	OP_HIT1_HOT,
	OP_HIT1_RANDOM,
	OP_HIT1_RANDOM_SERIAL,
	OP_HIT64_HOT,
	OP_HIT64_RANDOM,
	OP_READ_HOT,		/* begin + retry, in the user's mutex */
	OP_READ_RANDOM,
	OP_READ_HOT_BARE,	/* without it */
	OP_READ_RANDOM_BARE,
	OP_READ_EACH_BARE,	/* one after the other */
	OP_HIT1_READ_RANDOM,	/* start + end, then a read of who was hit */
	OP_INSERT_REMOVE_HOT,	/* one more, and away with it */
	OP_INSERT_REMOVE_RANDOM,
	OP_INSERT_READ_REMOVE,
	OP_REMOVE_INSERT_HOT,	/* one of those that are there */
	OP_REMOVE_INSERT_RANDOM,
	OP_TAG_CHECK,		/* is a tag still good? */
	OP_CALLBACK_RANDOM,	/* of a random one, which need not be found */
	OP_MUTEX_ALONE,		/* what a read in it, ... */
	OP_ANNOUNCE_ALONE,	/* ... and start + end, cannot do without */
	OPS
};

extern const char *const op_name[OPS];

enum callback {
	CALL_LOCKED,	/* set_seq under the user's mutex */
	CALL_BARE,	/* set_seq alone */
	CALL_BATCH,	/* one call for neighbours, one lock */
	CALL_TAGGED,	/* no call at all: for all of a world, from its making */
	CALL_DEVICE,	/* set_seq under the device's own mutex */
};

/*
 * What a world is made of. From WORLD_HUGE_FROM on its subscriptions lie on
 * huge pages, if they may be had: those of a kernel do, in its direct map, and
 * 4 KiB pages are scattered over the sets of the caches anew in each run. With
 * @small_pages they lie on 4 KiB pages. It is the same for all schemes.
 */
#define WORLD_HUGE_FROM 262144UL

struct setup {
	enum shape shape;
	unsigned long n;
	const struct index_search *search;
	enum callback callback;
	bool never_reserve;	/* collisions have no consequences */
	bool small_pages;
};

static inline bool setup_large(const struct setup *setup)
{
	return setup->n >= WORLD_HUGE_FROM;
}

/* For the subscriptions of a world: zeroed; to be freed with free(). */
void *world_memory(const struct setup *setup, size_t size);
/* How much of what large worlds asked for they got; false: there were none. */
bool world_pages(char *text, size_t size);

/* On one device, of one thread at a time. */
enum device_op {
	DEVICE_READ,	/* begin + retry under its mutex */
	DEVICE_HIT0,	/* start + end beside it */
	DEVICE_HIT1,	/* start + end on it */
	DEVICE_INSERT,	/* remove + insert */
	DEVICE_OPS
};

struct world;
struct device;

struct ops {
	const char *name;
	size_t sub_size;
	struct world *(*create)(const struct setup *setup);
	/* Subscriptions are abandoned, not removed one by one. */
	void (*destroy)(struct world *world);
	/* How all worlds of this scheme call back; false: it has no such way. */
	bool (*set_callback)(enum callback callback);
	/* NULL where the scheme has none. */
	void (*slice[OPS])(void *world, unsigned long n);
	/* Open an invalidation that hits one; and close it. */
	void (*open)(struct world *world);
	void (*close)(struct world *world);
	/*
	 * Insert @n while one is open, close it: how long the end takes, in ns.
	 * @elsewhere: the end of one that was open in an empty address space.
	 */
	double (*end_after_inserts)(struct world *world, unsigned long n,
				    bool elsewhere);
	/* Register a list notifier that does nothing; and take it off. */
	void (*list_register)(struct world *world);
	void (*list_unregister)(struct world *world);
	/* A subscription in the hole behind a slot, with a mutex of its own. */
	struct device *(*device_create)(struct world *world,
					unsigned long slot);
	void (*device_destroy)(struct device *device);
	void (*device_slice[DEVICE_OPS])(void *device, unsigned long n);
	/*
	 * Read, spending @body_ns on it, until it succeeds or @deadline has
	 * passed. Returns how often it collided, -1 if it never succeeded.
	 */
	long (*device_fault)(struct device *device, int64_t body_ns,
			     int64_t deadline);
	/* Open and close an invalidation that hits it, the @i-th of two. */
	void (*device_open)(struct device *device, unsigned int i);
	void (*device_close)(struct device *device, unsigned int i);
	void (*device_insert)(struct device *device);
	void (*device_remove)(struct device *device);
	/* Does anybody hold the lock of insert and remove? */
	bool (*locked)(struct world *world);
	/* Reservations lost to their limit. */
	unsigned long (*reserves_lost)(struct world *world);
	/* Bytes that the scheme itself has allocated beside subscriptions. */
	size_t (*own_bytes)(struct world *world);
};

/* Spare subscriptions that a world has for end_after_inserts(). */
#define SPARES 65536UL

extern const struct ops ops_uhmm;
extern const struct ops ops_classic;

#endif
