/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The registration cache: memory that a device may use, found again instead of
 * registered again, and never found once it has changed.
 *
 *	struct uhmm_registration reg;
 *
 *	uhmm_mm_create_live(NULL, &mm);		this process: <uhmm/live.h>
 *	uhmm_rcache_create(mm, &device_ops, device, NULL, &cache);
 *	...
 *	uhmm_rcache_get(cache, buffer, length, UHMM_RCACHE_WRITE, &reg);
 *	 ... have the device use reg.key, and wait for it ...
 *	uhmm_rcache_put(&reg);
 *
 * A get that finds takes no lock and writes no line that threads share. One
 * that does not find registers, outside all locks, and the result counts only
 * if no invalidation came in between (collision-retry): there is no moment at
 * which memory may be replaced unnoticed.
 *
 * Rules:
 *  - An entry serves a request that lies in it and asks for no more access.
 *    Requests are widened to multiples of &uhmm_rcache_options.granule.
 *  - Merge: a miss that overlaps entries registers the union, with the access
 *    of all; they are retired. Where the device refuses the union it registers
 *    the request alone. Neighbours that only touch are left alone.
 *  - A device that registers no byte twice answers -EEXIST: what overlaps is
 *    let go of first, what was retired too, and if some of that is in use, get
 *    fails so.
 *  - Upgrade: more access than an entry has is an overlap like any other.
 *  - No split: an invalidation that hits a part of an entry ends all of it.
 *  - Retired entries are never returned again. Who has one may use it until
 *    the put; then, or at once if nobody has it, it is deregistered. What a
 *    lazy cache leaves for later is at most what was live; a miss leaves no
 *    more than UHMM_RCACHE_BACKLOG of that, beyond those in use.
 *  - An invalidation deregisters what nobody uses before it goes on, where the
 *    address space has a start (all but live ones at G0), unless the cache was
 *    made with UHMM_RCACHE_LAZY: for devices that pin, whose pins keep stale
 *    pages from being used by others.
 *  - After fork(2) a child has none of it: get answers -ESRCH, put does
 *    nothing, destroy frees memory and leaves the device alone; a queue's
 *    descriptor is the parent's. The parent's go on. All may be used by handlers of
 *    pthread_atfork(3) that were registered after the library was loaded.
 *  - All may be called by several threads at once, but destroy is the last.
 *  - All but create and destroy may happen inside of malloc() and free(): a miss
 *    takes memory from the kernel, the others take none. What the device's own
 *    functions do is up to them. None may be used in a signal handler.
 */
#ifndef UHMM_RCACHE_H
#define UHMM_RCACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mm_struct;
struct uhmm_rcache;

/* Access: bits, and what they mean is the device's; these are the common ones. */
#define UHMM_RCACHE_READ	(1U << 0)	/* the device reads memory */
#define UHMM_RCACHE_WRITE	(1U << 1)	/* the device writes memory */
#define UHMM_RCACHE_ACCESS	0xffffU		/* all there can be */

/* &uhmm_rcache_options.flags */
#define UHMM_RCACHE_LAZY	(1U << 0)	/* invalidations deregister nothing */
#define UHMM_RCACHE_MEMLOCK	(1U << 1)	/* RLIMIT_MEMLOCK bounds @max_bytes */

/* &uhmm_rcache_ops.flags */
#define UHMM_RCACHE_FREES	(1U << 0)	/* @dereg may call free(3) */

/* How many retired and unused entries may wait to be deregistered. */
#define UHMM_RCACHE_BACKLOG 64

/**
 * struct uhmm_rcache_ops - a device
 * @name: for reports; goes into JSON as it is
 * @reg: make [@start, @start + @length) usable with @access and return what
 *	the device calls that in @ret_key; 0 or -errno. Called without locks,
 *	by several threads, also for ranges that overlap; may use the cache.
 * @dereg: end that; 0 or -errno, after which it is tried again later. Called
 *	by get, put and flush, and in callbacks: must not wait for a thread that
 *	changes memory, nor change memory itself, nor take a lock that is held
 *	where memory is changed, as malloc()'s is: see @flags; nor use the cache.
 * @held: how many bytes that were deregistered are still pinned, and count against
 *	&uhmm_rcache_options.max_bytes; NULL: none. Called with a lock held.
 * @flags: UHMM_RCACHE_FREES: @dereg takes the locks of malloc(3). In a live process
 *	its caches are lazy (UHMM_RCACHE_LAZY), as a callback may be inside of a
 *	free() that gives memory back, with that lock; elsewhere the program knows
 *	where it announces changes. So has a device to pin that says so.
 */
struct uhmm_rcache_ops {
	const char *name;
	int (*reg)(void *device, unsigned long start, size_t length,
		   unsigned int access, uint64_t *ret_key);
	int (*dereg)(void *device, unsigned long start, size_t length,
		     uint64_t key);
	unsigned long (*held)(void *device);
	unsigned int flags;
};

/**
 * struct uhmm_rcache_options - how a cache is to be
 * @size: sizeof(struct uhmm_rcache_options), so that it can grow
 * @flags: UHMM_RCACHE_LAZY and its like
 * @granule: what requests are widened to, bytes, a power of two; 0: 4096
 * @max_entries: how many, retired ones included; 0: no limit
 * @max_bytes: how many, retired entries included, and what the device still holds;
 *	0: no limit. UHMM_RCACHE_MEMLOCK: no more than RLIMIT_MEMLOCK is as the cache
 *	is made; what others lock does not count
 * @queue: how many invalidations are kept for uhmm_rcache_read(); 0: none
 */
struct uhmm_rcache_options {
	size_t size;
	unsigned int flags;
	unsigned int granule;
	unsigned long max_entries;
	unsigned long max_bytes;
	unsigned int queue;
};

/**
 * struct uhmm_registration - a use of an entry
 * @key: what the device calls it
 * @start: first byte that is registered
 * @length: bytes
 * @access: as it was registered
 *
 * A value: it may be copied, and put by another thread, once.
 */
struct uhmm_registration {
	uint64_t key;
	unsigned long start;
	unsigned long length;
	unsigned int access;
	/* private: */
	unsigned long *hold;
	unsigned long *life;
};

/**
 * struct uhmm_rcache_event - an entry that an invalidation ended
 * @start: first byte of the entry
 * @length: bytes
 * @key: what the device calls it
 * @merged: more happened than could be kept: an invalidation ended entries
 *	somewhere in this range, and @key is of the last one
 */
struct uhmm_rcache_event {
	unsigned long start;
	unsigned long length;
	uint64_t key;
	unsigned int merged;
};

/**
 * struct uhmm_rcache_stats - what has happened in a cache
 * @size: sizeof(struct uhmm_rcache_stats), set by the caller
 * @hits: gets that found
 * @misses: gets that did not
 * @registrations: calls of &uhmm_rcache_ops.reg that succeeded
 * @failures: that failed
 * @deregistrations: calls of &uhmm_rcache_ops.dereg that succeeded
 * @dereg_failures: that failed
 * @collisions: registrations thrown away because an invalidation came
 * @invalidated: entries ended by invalidations
 * @merged: entries retired because a wider one was registered
 * @evicted: entries retired to make room
 * @flushed: entries retired by uhmm_rcache_flush()
 * @overflows: invalidations that were merged in the queue
 * @entries: entries now, retired ones included
 * @bytes: registered now, retired ones included
 * @retired: retired ones
 */
struct uhmm_rcache_stats {
	size_t size;
	unsigned long hits;
	unsigned long misses;
	unsigned long registrations;
	unsigned long failures;
	unsigned long deregistrations;
	unsigned long dereg_failures;
	unsigned long collisions;
	unsigned long invalidated;
	unsigned long merged;
	unsigned long evicted;
	unsigned long flushed;
	unsigned long overflows;
	unsigned long entries;
	unsigned long bytes;
	unsigned long retired;
};

/**
 * uhmm_rcache_create() - make a cache for a device
 * @mm: the address space: bare, live or model
 * @ops: the device's operations; stay the caller's, and as long as the cache
 * @device: for them, likewise
 * @options: what is to differ from the default; NULL: nothing
 * @ret_cache: returns it
 *
 * Caches and devices may overlap as they like. The cache holds @mm, as mmgrab()
 * does, until it is destroyed.
 *
 * Context: may sleep.
 * Return: 0; -EINVAL: a pointer is NULL, an operation is missing,
 * @options->size is smaller than this version's struct, an unknown flag, also of
 * @ops, or a wrong granule; -E2BIG: see uhmm_mm_create_with(); -ENOMEM; an error
 * of eventfd(2). On error *@ret_cache is left alone.
 */
int uhmm_rcache_create(struct mm_struct *mm, const struct uhmm_rcache_ops *ops,
		       void *device, const struct uhmm_rcache_options *options,
		       struct uhmm_rcache **ret_cache);

/**
 * uhmm_rcache_destroy() - deregister all, and free the cache
 * @cache: the cache; no call for it is under way
 *
 * Allowed after the address space has ended. A cache that cannot be destroyed yet
 * is flushed, and lives on as any other; call it again. In a child that can always
 * be, and what is in use there ends with it: it is not to be put afterwards.
 *
 * Context: may sleep. Not in a callback.
 * Return: 0; -EBUSY: an entry is in use; -EIO: a deregistration failed.
 */
int uhmm_rcache_destroy(struct uhmm_rcache *cache);

/**
 * uhmm_rcache_get() - find a registration, or make it
 * @cache: the cache
 * @addr: first byte
 * @length: bytes
 * @access: what the device will do, UHMM_RCACHE_READ and its like
 * @ret_reg: returns it
 *
 * Context: may sleep. No lock held that a callback or the device's operations
 * take. A hit does not sleep, at G0 unless a change is on its way.
 * Return: 0; -EINVAL: a NULL pointer, nothing or too much access, or a range
 * that is empty, wraps, or is widened to all there is; -ENOSPC: a limit is
 * reached, and all are in use; -EBUSY: by what the device still holds alone, see
 * &uhmm_rcache_ops.held; -EAGAIN: it collided with invalidations for too
 * long; -ESRCH: the address space has ended, or this is a child of the process
 * that made the cache; -ENOMEM; an error of uhmm_live_watch() or of the device.
 * On error *@ret_reg is left alone.
 */
int uhmm_rcache_get(struct uhmm_rcache *cache, unsigned long addr,
		    size_t length, unsigned int access,
		    struct uhmm_registration *ret_reg);

/**
 * uhmm_rcache_put() - end a use
 * @reg: what uhmm_rcache_get() returned; any thread may do it
 *
 * The last use of a retired entry deregisters it.
 *
 * Context: may sleep if the entry was retired. Not in a callback.
 */
void uhmm_rcache_put(struct uhmm_registration *reg);

/**
 * uhmm_rcache_flush() - retire what overlaps a range
 * @cache: the cache
 * @addr: first byte
 * @length: bytes; 0: all from @addr on
 *
 * Retired entries that nobody uses are deregistered before it returns, those
 * of earlier invalidations too.
 *
 * Context: as uhmm_rcache_put().
 * Return: how many retired entries are still there: in use, or the device
 * refused.
 */
unsigned long uhmm_rcache_flush(struct uhmm_rcache *cache, unsigned long addr,
				size_t length);

/**
 * uhmm_rcache_fd() - a descriptor to poll for invalidations
 * @cache: the cache
 *
 * An eventfd(2), readable when the queue goes from empty to not empty.
 *
 * Context: any.
 * Return: the descriptor, the cache's own; -EINVAL: it has no queue.
 */
int uhmm_rcache_fd(struct uhmm_rcache *cache);

/**
 * uhmm_rcache_read() - take invalidations off the queue
 * @cache: the cache
 * @events: returns them, the oldest first
 * @n: how many at most
 *
 * Driver pattern: hfi1 expected receive, whose user reads which of his
 * registrations are gone.
 *
 * Context: any.
 * Return: how many.
 */
unsigned int uhmm_rcache_read(struct uhmm_rcache *cache,
			      struct uhmm_rcache_event *events, unsigned int n);

/**
 * uhmm_rcache_get_stats() - read the counters of a cache
 * @cache: the cache
 * @ret_stats: returns them; its size is set
 *
 * Context: any.
 * Return: 0; -EINVAL: a NULL pointer, or a size smaller than this version's
 * struct.
 */
int uhmm_rcache_get_stats(struct uhmm_rcache *cache,
			  struct uhmm_rcache_stats *ret_stats);

/**
 * uhmm_rcache_print_stats() - the counters as a JSON object on one line
 * @cache: the cache
 * @buf: where to, NUL-terminated if @size is not 0
 * @size: bytes at @buf
 *
 * Context: any.
 * Return: bytes that the text needs without the NUL, also if @size is
 * smaller; -EINVAL: @cache is NULL, or @buf is NULL and @size is not 0.
 */
int uhmm_rcache_print_stats(struct uhmm_rcache *cache, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
