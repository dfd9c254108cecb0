/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * As much of libfabric's binary interface as its memory monitors take; the tests
 * compare it with the header where there is one.
 */
#ifndef RCACHE_FABRIC_H
#define RCACHE_FABRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FABRIC_VERSION (1U << 16 | 13)
#define FABRIC_CLASS_MEM_MONITOR 23

struct fabric_fid;

struct fabric_ops {
	size_t size;
	int (*close)(struct fabric_fid *fid);
	int (*bind)(struct fabric_fid *fid, struct fabric_fid *other,
		    uint64_t flags);
	void *rest[4];
};

struct fabric_fid {
	size_t fclass;
	void *context;
	struct fabric_ops *ops;
};

struct fabric_monitor;

/* What libfabric calls, with its caches' lock held. */
struct fabric_monitor_ops {
	size_t size;
	int (*start)(struct fabric_monitor *monitor);
	void (*stop)(struct fabric_monitor *monitor);
	int (*subscribe)(struct fabric_monitor *monitor, const void *addr,
			 size_t length);
	void (*unsubscribe)(struct fabric_monitor *monitor, const void *addr,
			    size_t length);
	bool (*valid)(struct fabric_monitor *monitor, const void *addr,
		      size_t length);
};

/* What it is called by; takes that lock. */
struct fabric_notify_ops {
	size_t size;
	void (*notify)(struct fabric_monitor *monitor, const void *addr,
		       size_t length);
};

struct fabric_monitor {
	struct fabric_fid fid;
	struct fabric_monitor_ops *ops;
	struct fabric_notify_ops *notify_ops;
};

typedef int (*fabric_open_fn)(uint32_t version, const char *name, void *attr,
			      size_t attr_len, uint64_t flags,
			      struct fabric_fid **ret_fid, void *context);

#endif
