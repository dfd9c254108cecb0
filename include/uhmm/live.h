/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The live address space: the memory of the process that calls, kept coherent
 * with a second view while the program maps, unmaps, forks and frees, without
 * its help and without a kernel module.
 *
 * How far that can be trusted is a guarantee. It is asked for, and what was
 * got is reported, with the reasons; it is never weakened in silence:
 *
 *  G0  No code is changed and no privilege is needed. The kernel's userfaultfd
 *      tells of what was unmapped, moved or dropped *after* the fact, but
 *      whether something is on its way can be asked, and
 *      mmu_interval_read_retry() asks. So a result that it lets pass was good
 *      when it was asked, but a device is not stopped before its memory goes:
 *      ask before each use.
 *  G1  Each change that goes through libc or ld.so is bracketed: callbacks run
 *      before it, and the device is stopped. What goes around them is still
 *      seen as by G0, and counted. A signal's handler may leave such a call by
 *      longjmp(), or end its thread there; not by setcontext(), which libc tells
 *      nobody of: what was changed then stays held up.
 *  G2  System calls that go around libc are caught too: a seccomp filter has the
 *      kernel send their thread a SIGSYS, whose handler makes them, bracketed.
 *      It is for programs that start no others: exec() fails with EPERM, as the
 *      filter would stay and the handler would not. Raw clone3() and calls of
 *      32-bit code fail with ENOSYS, as on kernels without them. A raw call
 *      costs some microseconds, and needs the stack of a signal handler, the
 *      alternate one if the thread has one, which the call must not take away,
 *      and libc's thread pointer. SIGSYS cannot be blocked; who runs under a
 *      mask of sigsuspend(), ppoll(), setcontext() or
 *      pthread_attr_setsigmask_np() that blocks it, and makes a raw call then,
 *      is killed by the kernel. The program's own handler of SIGSYS is called
 *      for all that is not ours. What the kernel does by itself, io_uring's
 *      requests say, is seen as by G0, if that is there.
 *
 * _Fork() and clone() go round what fork() calls in the child. The address space
 * knows such a child all the same, by a page that the kernel empties in it: there
 * it has ended, nothing is told of, and nothing is done to the parent's. Pages that
 * a device has are in the child only if UHMM_LIVE_EVENT_FORK is there, and locks that
 * others held stay locked, as in all that is made without fork().
 *
 * Who is run by `uhmm run` has what he asked that for; others call
 * uhmm_live_patch() before they have threads.
 *
 * With UHMM_LIVE_DEVICE pages of private anonymous memory can go to a device:
 * migrate_vma_setup() and its like, make_device_exclusive(). A CPU that touches
 * such a page waits, and a thread of the library has the driver bring it home;
 * with UHMM_LIVE_SIGBUS he does it himself, in a handler of that signal, which
 * is faster, but system calls that are given such memory fail with EFAULT, and
 * no thread may block the signal. UHMM_LIVE_WHY_KERNEL says that they may fail.
 * It moves without a copy where the kernel can do that (6.8). A page that goes to
 * MEMORY_DEVICE_COHERENT is put into its place again, as one of the device's: CPUs
 * and system calls reach it as before, with no fault, and the device by the
 * address of its place. So uhmm_page_ptr() has no pointer to it, and what it
 * holds is gone when its place is unmapped, whoever has a reference.
 * What the library needs to bring a page home is left where it is: what it has
 * allocated, the stacks of its threads, the variables of shared libraries, and
 * around who calls migrate_vma_setup() his stack and arguments. (Where it is
 * linked statically, also the program's variables; link with -Wl,-z,now then.)
 * Not to be sent to a device, and not known to the library: stacks of other
 * threads that call it meanwhile, subscriptions, and memory that a driver touches
 * in a callback. A fork() brings everything home before, coherent pages too.
 *
 * An area of more than 4 GiB may come to be watched in parts that are several areas to
 * the kernel, and so does one that a device has a part of. At G0 mremap() of both at
 * once fails then with EFAULT, and in a process that was forked meanwhile, and all
 * stays where it is; from G1 on they are moved one after the other, other threads can
 * see that, and it does not fail.
 *
 * What no guarantee covers, as a process cannot see it: the kernel moving a
 * page to another frame (compaction, NUMA, KSM, swapping). The contents stay;
 * who uses frame numbers pins the pages, or locks them, or maps a memfd.
 */
#ifndef UHMM_LIVE_H
#define UHMM_LIVE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mm_struct;

/**
 * enum uhmm_guarantee - how far changes of the live process are seen
 * @UHMM_GUARANTEE_NONE: not at all, or not all that was mirrored
 * @UHMM_G0: after they happened, in time for mmu_interval_read_retry()
 * @UHMM_G1: before they happen, where libc or ld.so makes them; else as G0
 * @UHMM_G2: before they happen, raw system calls too
 */
enum uhmm_guarantee {
	UHMM_GUARANTEE_NONE = -1,
	UHMM_G0 = 0,
	UHMM_G1 = 1,
	UHMM_G2 = 2
};

/* What the kernel offers, &uhmm_live_info.features; each can be done without. */
#define UHMM_LIVE_UFFD		(1U << 0)	/* userfaultfd with events */
#define UHMM_LIVE_UFFD_KERNEL	(1U << 1)	/* and for accesses by the kernel */
#define UHMM_LIVE_EVENT_FORK	(1U << 2)	/* and of forks */
#define UHMM_LIVE_WP_ASYNC	(1U << 3)	/* any area can be watched */
#define UHMM_LIVE_MOVE		(1U << 4)	/* pages move without a copy */
#define UHMM_LIVE_PAGEMAP_SCAN	(1U << 5)	/* many entries in one call */
#define UHMM_LIVE_PROCMAP_QUERY	(1U << 6)	/* one area in one call */
#define UHMM_LIVE_FRAMES	(1U << 7)	/* frame numbers can be read */
#define UHMM_LIVE_MEMBARRIER	(1U << 8)	/* the end is one store */
#define UHMM_LIVE_FEATURES	9

/* Why less was got than asked for, &uhmm_live_info.reasons. */
#define UHMM_LIVE_WHY_UFFD	(1U << 0)	/* userfaultfd is refused */
#define UHMM_LIVE_WHY_THREAD	(1U << 1)	/* no monitor thread */
#define UHMM_LIVE_WHY_MEMORY	(1U << 2)	/* no memory to note what is watched */
#define UHMM_LIVE_WHY_DESCRIPTORS (1U << 3)	/* the limit of open files */
#define UHMM_LIVE_WHY_MAPS	(1U << 4)	/* the limit of areas, vm.max_map_count */
#define UHMM_LIVE_WHY_FOREIGN	(1U << 5)	/* the program watches a range itself */
#define UHMM_LIVE_WHY_UNWATCHED	(1U << 6)	/* an area that cannot be watched */
#define UHMM_LIVE_WHY_REMOVE	(1U << 7)	/* the end of a removal was not seen */
#define UHMM_LIVE_WHY_UNPATCHED	(1U << 8)	/* libc is not patched */
#define UHMM_LIVE_WHY_FILTER	(1U << 9)	/* raw system calls are not filtered */
#define UHMM_LIVE_WHY_LOST	(1U << 10)	/* a descriptor was closed under us */
#define UHMM_LIVE_WHY_PROC	(1U << 11)	/* /proc/self cannot be read */
#define UHMM_LIVE_WHY_KERNEL	(1U << 12)	/* it does not wait for a device */
#define UHMM_LIVE_REASONS	13

/* &uhmm_live_options.flags */
#define UHMM_LIVE_USE_FRAMES	(1U << 0)	/* @pfn is the kernel's frame */
#define UHMM_LIVE_UNWATCHED_TOO	(1U << 1)	/* mirror also what none watches */
#define UHMM_LIVE_CHECK		(1U << 2)	/* run the contract checker */
#define UHMM_LIVE_DEVICE	(1U << 3)	/* pages can go to devices */
#define UHMM_LIVE_SIGBUS	(1U << 4)	/* a touch of these is a signal */

/**
 * struct uhmm_live_options - how the process is to be watched
 * @size: sizeof(struct uhmm_live_options), so that it can grow
 * @flags: UHMM_LIVE_USE_FRAMES (needs CAP_SYS_ADMIN), without which
 *	&uhmm_pte.pfn is the number of the page in the address space;
 *	UHMM_LIVE_UNWATCHED_TOO, without which an area that cannot be watched
 *	as the guarantee asks reads as UHMM_PTE_SPECIAL, and with which it lowers
 *	the guarantee; UHMM_LIVE_CHECK, as UHMM_MM_CHECK; UHMM_LIVE_DEVICE, with
 *	which private memory can go to a device, see below, not together with
 *	UHMM_LIVE_USE_FRAMES; UHMM_LIVE_SIGBUS with it
 * @guarantee: what is asked for
 * @without: UHMM_LIVE_UFFD and its like, to be done without, as an older kernel
 *	has to; so is what the environment lists in UHMM_LIVE_WITHOUT, by name
 *	and separated by commas, see uhmm_live_feature_name()
 * @descriptors: how many userfaultfds at most, up to 16, 0: 4; more make reads
 *	collide less with changes elsewhere; with UHMM_LIVE_DEVICE 1
 * @watches: how many pieces are watched at most, 0: a quarter of
 *	vm.max_map_count
 * @remove_signal: sent to who drops pages, to learn when that is over; 0: a free
 *	real-time signal, < 0: none
 * @remove_limit_ms: how long that is waited for, 0: 1000
 * @reserve_after: see &uhmm_mm_options
 * @reserve_limit_us: see &uhmm_mm_options
 */
struct uhmm_live_options {
	size_t size;
	unsigned int flags;
	enum uhmm_guarantee guarantee;
	unsigned int without;
	unsigned int descriptors;
	unsigned int watches;
	int remove_signal;
	unsigned int remove_limit_ms;
	unsigned int reserve_after;
	unsigned int reserve_limit_us;
};

/**
 * struct uhmm_live_info - what was got
 * @size: sizeof(struct uhmm_live_info), set by the caller
 * @asked: the guarantee asked for
 * @guarantee: the one in force; it can fall while the program runs
 * @reasons: why it is less, UHMM_LIVE_WHY_*; those that cost nothing too
 * @features: of the kernel, UHMM_LIVE_UFFD and its like
 * @descriptors: userfaultfds in use
 */
struct uhmm_live_info {
	size_t size;
	enum uhmm_guarantee asked;
	enum uhmm_guarantee guarantee;
	unsigned int reasons;
	unsigned int features;
	unsigned int descriptors;
};

/**
 * struct uhmm_live_stats - what was seen of the process
 * @size: sizeof(struct uhmm_live_stats), set by the caller
 * @brackets: changes that were bracketed
 * @unmaps: told of afterwards: unmapped
 * @removes: told of: contents dropped
 * @remaps: told of: moved
 * @forks: told of: forks
 * @missed: of these, at G1 and G2, those that no bracket was open for
 * @handed_on: invalidations that a callback refused to take at once
 * @pending: reads that were told to try again because a change was on its way
 * @signalled: removals whose end a signal told
 * @quarantined: removals whose end had to be looked for
 * @ends_lost: removals whose end was not found within the limit
 * @watches: pieces of the address space that were taken under watch
 * @unwatched: areas met that cannot be watched
 * @foreign: areas met that the program itself watches
 * @to_device: pages moved to a device
 * @home: pages brought home
 * @home_touched: of these, by a touch
 */
struct uhmm_live_stats {
	size_t size;
	unsigned long brackets;
	unsigned long unmaps;
	unsigned long removes;
	unsigned long remaps;
	unsigned long forks;
	unsigned long missed;
	unsigned long handed_on;
	unsigned long pending;
	unsigned long signalled;
	unsigned long quarantined;
	unsigned long ends_lost;
	unsigned long watches;
	unsigned long unwatched;
	unsigned long foreign;
	unsigned long to_device;
	unsigned long home;
	unsigned long home_touched;
};

/**
 * uhmm_mm_create_live() - the address space of the calling process
 * @options: what is asked for; NULL: G0
 * @ret_mm: returns it
 *
 * A process has one. Where it is there already it is returned with one use
 * more, and @options are not looked at further: uhmm_live_get_info() says what
 * is in force. The last mmput() ends it, and then another can be made; in a
 * callback or in migrate_to_ram() it cannot end, which is said on standard error,
 * and is never freed. After fork(2) the child's memory is not the one that was
 * asked for: there it has ended, its operations answer -ESRCH, and the child makes
 * one of its own.
 *
 * Less than was asked for is not an error.
 *
 * Context: may sleep; starts a thread. Not in a callback.
 * Return: 0; -EINVAL: @ret_mm is NULL, @options->size is smaller than this
 * version's struct, too many descriptors, or an unknown flag, feature or
 * guarantee; -E2BIG: see uhmm_mm_create_with(); -EOPNOTSUPP: pages are not of 4 KiB; -EPERM:
 * UHMM_LIVE_USE_FRAMES, and frames cannot be read; -ENOMEM; an error of
 * opening /proc/self. On error *@ret_mm is left alone.
 */
int uhmm_mm_create_live(const struct uhmm_live_options *options,
			struct mm_struct **ret_mm);

/**
 * uhmm_live_patch() - have changes announced before they are made
 * @reach: UHMM_G1: where libc and ld.so make them; UHMM_G2: wherever
 * @ret_reason: if not NULL and this fails, why, in words
 *
 * Changes the code of libc and ld.so, and at UHMM_G2 filters system calls, for as
 * long as the process is there. Before or after uhmm_mm_create_live(), whose
 * &uhmm_live_options.guarantee does not do it. Where UHMM_G2 fails, UHMM_G1 may
 * have been reached: uhmm_live_get_info() says so.
 *
 * Context: the only thread of the process: before main(), or early in it.
 * Return: 0, also if it was done before; -EINVAL: @reach is neither;
 * -EOPNOTSUPP: there are more threads, or it cannot be done here.
 */
int uhmm_live_patch(enum uhmm_guarantee reach, const char **ret_reason);

/**
 * uhmm_live_get_info() - which guarantee is in force, and why
 * @mm: a live address space
 * @ret_info: returns it; its size is set
 *
 * Asks whether the descriptors are still there, too: a program may close all that it
 * has, as daemons do. What is mirrored is invalidated then, within two seconds, and
 * nothing is given out any more; pages that a device has are lost to the program.
 *
 * Context: any; takes no lock.
 * Return: 0; -EINVAL: a NULL pointer, a size smaller than this version's
 * struct, or @mm is not live.
 */
int uhmm_live_get_info(struct mm_struct *mm, struct uhmm_live_info *ret_info);

/**
 * uhmm_live_guarantee() - the guarantee in force now
 * @mm: a live address space
 *
 * As in &uhmm_live_info.guarantee, for who asks often: some loads.
 *
 * Context: any; takes no lock.
 * Return: one of enum uhmm_guarantee; UHMM_GUARANTEE_NONE: none, or @mm is not
 * live.
 */
enum uhmm_guarantee uhmm_live_guarantee(struct mm_struct *mm);

/**
 * uhmm_live_get_stats() - read the counters of a live address space
 * @mm: a live address space
 * @ret_stats: returns them; its size is set
 *
 * Context: any; takes no lock.
 * Return: 0; -EINVAL: a NULL pointer, a size smaller than this version's
 * struct, or @mm is not live.
 */
int uhmm_live_get_stats(struct mm_struct *mm,
			struct uhmm_live_stats *ret_stats);

/**
 * uhmm_live_watch() - take a range under watch
 * @mm: a live address space
 * @start: first byte
 * @length: bytes
 *
 * What uhmm_mm_walk() does for the pages it is asked for. For who learns of pages
 * in another way, a registration cache that pins them say: between
 * mmu_interval_read_begin() and that.
 *
 * Context: may sleep; mmap_lock held or not; no lock that a callback takes.
 * Return: 0; -EFAULT: there is no area in a part of it; -EAGAIN: a change is on
 * its way, try again; -EOPNOTSUPP: a part cannot be watched, and the
 * guarantee asks for that; -EBUSY: the program watches a part itself; -ENOSPC: a
 * limit is reached; -EINVAL: @mm is not live, or the range wraps; -ESRCH: it
 * has ended.
 */
int uhmm_live_watch(struct mm_struct *mm, unsigned long start,
		    unsigned long length);

/**
 * uhmm_live_pending() - may a change of a range be on its way?
 * @mm: a live address space
 * @start: first byte
 * @length: bytes
 *
 * For who keeps entries and compares them with uhmm_interval_tag_valid(),
 * which does not ask: at G0 an entry is good if nothing is pending, and its
 * tag is valid when looked at after that.
 *
 * Context: any.
 * Return: true if one may be.
 */
bool uhmm_live_pending(struct mm_struct *mm, unsigned long start,
		       unsigned long length);

#define UHMM_WRITTEN_CLEAR	(1U << 0)	/* count from now on */

/**
 * uhmm_live_written() - which pages were written?
 * @mm: a live address space
 * @start: first byte of the first page
 * @npages: how many pages
 * @flags: 0, or UHMM_WRITTEN_CLEAR: what is told now is not told again until it
 *	is written again, and no write falls in between
 * @bitmap: returns one bit for each page, the first in the lowest bit of the
 *	first word; there are (@npages + 63) / 64 words
 *
 * For who copies memory again and again and wants what has changed. Pages that
 * were never cleared, that appeared or were taken under watch anew (behind a
 * bracket say) count as written; what was dropped, and not touched since, does
 * not: notifiers tell of that. So do writes through a pin from before, by a
 * device or io_uring, not: they change no page table. The first write to a
 * page after UHMM_WRITTEN_CLEAR costs a fault, which the kernel handles.
 *
 * Context: may sleep; mmap_lock held or not; no lock that a callback takes.
 * Return: how many pages; -EOPNOTSUPP: UHMM_LIVE_WP_ASYNC or
 * UHMM_LIVE_PAGEMAP_SCAN is missing, or the area cannot be watched; -EINVAL: @mm
 * is not live, a NULL pointer, no pages, an unknown flag, or @start is not a
 * page's; what uhmm_live_watch() returns. On error nothing was cleared.
 */
long uhmm_live_written(struct mm_struct *mm, unsigned long start,
		       size_t npages, unsigned int flags,
		       unsigned long *bitmap);

/**
 * uhmm_live_sigbus() - a SIGBUS came: was it for a page that a device has?
 * @addr: &siginfo_t.si_addr
 *
 * For programs that install a handler of their own after the address space was
 * made, with UHMM_LIVE_SIGBUS: who did before is called where it is not. The
 * page comes home, and the handler returns, so that it is touched again.
 *
 * Context: a handler of SIGBUS.
 * Return: true if it was.
 */
bool uhmm_live_sigbus(const void *addr);

/**
 * uhmm_live_feature_name() - what a feature is called
 * @feature: its bit number, less than UHMM_LIVE_FEATURES
 *
 * Context: any.
 * Return: its name; NULL: there is none with this number.
 */
const char *uhmm_live_feature_name(unsigned int feature);

/**
 * uhmm_live_reason() - what a reason means, in words
 * @reason: its bit number, less than UHMM_LIVE_REASONS
 *
 * Context: any.
 * Return: a phrase; NULL: there is none with this number.
 */
const char *uhmm_live_reason(unsigned int reason);

#ifdef __cplusplus
}
#endif

#endif
