/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the parts of io_uring's device share. */
#ifndef RCACHE_URING_H
#define RCACHE_URING_H

#include <uhmm/rcache_uring.h>

#include "../sync/sync.h"

/* Of a tag: which pin, and which of its lives. */
#define PIN_INDEX_BITS 24
#define PIN_LIFE_BITS 24
#define TAG_BITS (PIN_INDEX_BITS + PIN_LIFE_BITS)

/* Pins are cut from chunks, each twice as large as the one before. */
#define PIN_FIRST SYNC_SIZE(64UL, 2UL)
#define PIN_CHUNKS SYNC_SIZE(18U, 4U)

enum pin_state {
	PIN_FREE,
	PIN_IN_SLOT,		/* requests find it */
	PIN_HELD,		/* none does any more; some may have */
};

/**
 * struct pin - a buffer with a tag, until the kernel has let go of it
 * @start: first byte
 * @length: bytes
 * @number: of those that are held, when it became so
 * @index: of itself
 * @life: which use it is, of all devices' together
 * @slot: where it is, or was
 * @state: see there
 * @next: among the free or the held
 * @prev: among the held
 */
struct pin {
	unsigned long start;
	size_t length;
	uint64_t number;
	unsigned int index;
	unsigned int life;
	unsigned int slot;
	enum pin_state state;
	struct pin *next, *prev;
};

/**
 * struct pins - those of a device
 * @chunk: their memory, which stays as long as the device
 * @made: how many there are in it
 * @free: of these
 * @first: that is held, of the smallest number
 * @last: of the greatest
 * @numbers: given so far
 * @in_slots: how many are
 * @bytes: of these
 * @held: how many are
 * @held_bytes: of these; also read without the lock
 * @released: how many were
 * @strays: tags that named none
 * @changed: with each that is released; slept on
 * @sleepers: on that
 */
struct pins {
	struct pin *chunk[PIN_CHUNKS];
	unsigned long made;
	struct pin *free;
	struct pin *first, *last;
	uint64_t numbers;
	unsigned long in_slots;
	unsigned long bytes;
	unsigned long held;
	unsigned long held_bytes;
	unsigned long released;
	unsigned long strays;
	unsigned int changed;
	unsigned int sleepers;
};

/**
 * struct uring_slot - a place in the ring's table
 * @free: of the stack of those: one that is
 * @pin: what is in it
 */
struct uring_slot {
	unsigned int free;
	struct pin *pin;
};

/**
 * struct uhmm_rcache_uring - a ring's table of buffers
 * @fd: the ring
 * @options: as given; &uhmm_rcache_uring_options.tags is 0: without tags
 * @features: that were found
 * @size: bytes of all this
 * @ended: in a child: the ring is its parent's
 * @next: in the list of all
 * @lock: of all below
 * @pins: with tags
 * @nslots: how many there are
 * @nfree: how many are free
 * @slot: all
 */
struct uhmm_rcache_uring {
	int fd;
	struct uhmm_rcache_uring_options options;
	unsigned int features;
	size_t size;
	bool ended;
	struct uhmm_rcache_uring *next;
	spinlock_t lock;
	struct pins pins;
	unsigned int nslots;
	unsigned int nfree;
	struct uring_slot slot[];
};

static inline bool uring_tagged(const struct uhmm_rcache_uring *u)
{
	return u->options.tags;
}

/* What register does; one call for all of it. */
int uring_call(void *unused, int fd, unsigned int opcode, void *arg,
	       unsigned int nr_args);

/* uring_pins.c */
/* A tag for a buffer that is about to be in @slot; 0: no memory. */
uint64_t pin_begin(struct uhmm_rcache_uring *u, unsigned int slot,
		   unsigned long start, size_t length);
/* The kernel has refused it. */
void pin_cancel(struct uhmm_rcache_uring *u, unsigned int slot);
/*
 * What is in @slot is about to be taken out, and from here on its tag may come.
 * Returns it, or 0: there was nothing.
 */
uint64_t pin_hold(struct uhmm_rcache_uring *u, unsigned int slot);
/* It could not be taken out. */
void pin_unhold(struct uhmm_rcache_uring *u, uint64_t tag);
/* In a child: none of them is its own. */
void pins_forget(struct pins *p);
void pins_destroy(struct uhmm_rcache_uring *u);

#endif
