/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What stands in for libfabric.so.1, under the name fake_fabric: the least of a
 * cache that does as libfabric's does. It registers outside its lock, then takes
 * the entry in and subscribes; what it is notified of goes; what is not valid is
 * not returned.
 */
#ifndef FAKE_FABRIC_H
#define FAKE_FABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fabric_monitor;

struct fake_fabric {
	int bind_fails;			/* -errno */
	int caches;			/* opened and not closed */
	struct fabric_monitor *monitor;
	/* Called where the device registers. */
	void (*registering)(void);
	void (*begin)(void);		/* the first cache */
	void (*end)(void);
	/* What was registered, from a counter, or the one that is in the cache. */
	unsigned long (*search)(uintptr_t addr, size_t length);
};

#endif
