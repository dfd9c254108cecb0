/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An address space as the memory monitor of libfabric's own registration cache,
 * in place of the monitors that it brings along (memhooks, userfaultfd).
 *
 *	uhmm_rcache_fabric_create(mm, NULL, &monitor);
 *	fi_domain(...);			 before anything is registered
 *	...
 *	fi_close(&domain->fid);
 *	uhmm_rcache_fabric_destroy(monitor);
 *
 * libfabric registers memory first and asks to be told of changes afterwards, and
 * is told before a change, but not after it; so what is registered meanwhile stays
 * in its cache and is stale. This monitor tells it before and after; while a
 * change is under way nothing that it touches is valid; and what may have changed
 * since the registration began, it refuses to watch: then libfabric does not keep
 * the entry. The registration at hand is used all the same, once: only
 * uhmm_rcache_get() would make it anew.
 *
 * Where the guarantee of a live process falls below G1 nothing is valid from then
 * on, and it watches nothing more: libfabric registers, but keeps nothing.
 *
 * After fork(2) nothing is valid in a child, and libfabric is told of nothing there.
 *
 * The library is opened at run time, so that none is needed to build or to load
 * this one. Interface: libfabric 1.13, <rdma/fi_ext.h>.
 */
#ifndef UHMM_RCACHE_FABRIC_H
#define UHMM_RCACHE_FABRIC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mm_struct;
struct uhmm_rcache_fabric;

/**
 * struct uhmm_rcache_fabric_stats - what a monitor has done
 * @size: sizeof(struct uhmm_rcache_fabric_stats), set by the caller
 * @subscribed: registrations that libfabric asked to be told of
 * @refused: of them, those that may be stale already
 * @notified: changes that libfabric was told of, before and after
 * @invalid: entries found that were not valid
 */
struct uhmm_rcache_fabric_stats {
	size_t size;
	unsigned long subscribed;
	unsigned long refused;
	unsigned long notified;
	unsigned long invalid;
};

/**
 * uhmm_rcache_fabric_create() - have libfabric's cache watch an address space
 * @mm: the address space: bare, model, or live with G1 or more
 * @library: name of the library; NULL: libfabric.so.1
 * @ret_monitor: returns the monitor
 *
 * There is one in a process. The application's own libfabric is the one that is
 * meant, so it is linked dynamically.
 *
 * Context: may sleep. No invalidation of @mm is open in this thread.
 * Return: 0; -EINVAL: a NULL pointer; -ENOENT: there is no such library, or it
 * is none that takes monitors; -EBUSY: it has one already, or caches that use
 * another; -EOPNOTSUPP: a live address space below G1, which is told after
 * changes, and only where it was asked to look; -ENOMEM; an error of
 * mmu_notifier_register() or of libfabric. On error *@ret_monitor is left alone.
 */
int uhmm_rcache_fabric_create(struct mm_struct *mm, const char *library,
			      struct uhmm_rcache_fabric **ret_monitor);

/**
 * uhmm_rcache_fabric_destroy() - take it back
 * @monitor: the monitor; no cache uses it any more
 *
 * Context: may sleep. Not in a callback.
 */
void uhmm_rcache_fabric_destroy(struct uhmm_rcache_fabric *monitor);

/**
 * uhmm_rcache_fabric_get_stats() - read the counters of a monitor
 * @monitor: the monitor
 * @ret_stats: returns them; its size is set
 *
 * Context: any.
 * Return: 0; -EINVAL: a NULL pointer, or a size smaller than this version's
 * struct.
 */
int uhmm_rcache_fabric_get_stats(struct uhmm_rcache_fabric *monitor,
				 struct uhmm_rcache_fabric_stats *ret_stats);

#ifdef __cplusplus
}
#endif

#endif
