/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The checker's page table: leaves of 512 pages, found by a hash. Never freed,
 * never moved; read and written under the device's lock.
 */
#ifndef AGENT_TABLE_H
#define AGENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_PAGE 4096UL
#define LEAF_PAGES 512UL
#define LEAF_SIZE (LEAF_PAGES * TABLE_PAGE)
#define LEAF_BASE(addr) ((addr) & ~(LEAF_SIZE - 1))

#define ENTRY_VALID (1ULL << 63)
#define ENTRY_COPIES (1ULL << 62)	/* a write may replace the page */
#define ENTRY_FRAME(entry) ((entry) & ~(ENTRY_VALID | ENTRY_COPIES))

/**
 * struct leaf - 512 pages of the program
 * @base: address of the first
 * @seen: the look in which it was last visited
 * @valid: how many entries are
 * @next: the leaf made before it
 * @entry: frame, ENTRY_VALID, ENTRY_COPIES
 * @events: how many events should have killed the entry
 * @made: @events when the entry was made
 */
struct leaf {
	unsigned long base;
	unsigned long seen;
	unsigned long valid;
	struct leaf *next;
	uint64_t entry[LEAF_PAGES];
	uint32_t events[LEAF_PAGES];
	uint32_t made[LEAF_PAGES];
};

/**
 * struct table - all of them
 * @hash: by base
 * @leaves: the newest first
 * @hit: the one that an event was for last; NULL: there was none
 * @nleaves: how many there are
 * @valid: entries, of all
 * @room: for the next leaves
 * @left: how much room
 */
struct table {
	struct leaf **hash;
	struct leaf *leaves;
	struct leaf *hit;
	unsigned long nleaves;
	unsigned long valid;
	char *room;
	size_t left;
};

int table_init(struct table *table);
/* The leaf that begins at @base, made if there is none; NULL: no room. */
struct leaf *table_make(struct table *table, unsigned long base);
/* Entry @i of @leaf is valid, and is not any more. */
void table_drop(struct table *table, struct leaf *leaf, size_t i);
/* An event for [start, end): false if it would kill nothing. */
bool table_any(const struct table *table, unsigned long start,
	       unsigned long end);
/* It is counted, and kills unless @deaf. */
void table_event(struct table *table, unsigned long start, unsigned long end,
		 bool deaf);

#endif
