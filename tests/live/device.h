/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A device with memory of a fixed number of pages, for tests and
 * benchmarks of the live address space: no page table of its own, only pages
 * that go there and come home.
 */
#ifndef TESTS_LIVE_DEVICE_H
#define TESTS_LIVE_DEVICE_H

#include <pthread.h>
#include <stdbool.h>

#include <uhmm/memremap.h>
#include <uhmm/migrate.h>
#include <uhmm/mm.h>

#define DEVICE_BATCH 512

/**
 * struct device - the device
 * @pgmap: its memory
 * @lock: for @taken, @nfree, @lowest
 * @npages: how many pages it has
 * @taken: which are in use
 * @nfree: how many are not
 * @lowest: all below it are
 * @no_copy: frames are given to migrate_vma_setup(), and stand in for memory
 * @lost: migrate_to_ram() fails
 * @touched: where a page was touched last, as that was told
 * @freed: called when a page has come back; NULL: nothing
 * @between: called between setup and the end of each migration; NULL: nothing
 */
struct device {
	struct dev_pagemap pgmap;
	pthread_mutex_t lock;
	unsigned long npages;
	bool *taken;
	unsigned long nfree;
	unsigned long lowest;
	bool no_copy;
	bool lost;
	struct uhmm_vma touched;
	void (*freed)(struct device *device);
	void (*between)(struct device *device);
};

/* With private memory. 0 or -errno. */
int device_make(struct device *device, unsigned long npages, bool no_copy);
int device_make_coherent(struct device *device, unsigned long npages,
			 bool no_copy);
/* How many pages are not in use. */
unsigned long device_nfree(struct device *device);
/* All pages have come home. */
void device_destroy(struct device *device);
/* Pages go, all in one area; returns how many did, or -errno. */
long device_take(struct device *device, struct mm_struct *mm, void *start,
		 unsigned long npages);
/* Not more than @most at a time, which is at most DEVICE_BATCH. */
long device_take_by(struct device *device, struct mm_struct *mm, void *start,
		    unsigned long npages, unsigned long most);
/* Back again, as a driver does that wants its memory. */
long device_return(struct device *device, struct mm_struct *mm, void *start,
		   unsigned long npages);
/* The bytes of the page that is away at @addr; NULL: it is not. */
char *device_bytes(struct mm_struct *mm, const void *addr);

#endif
