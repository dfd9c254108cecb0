/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What a system call does to the address space: which range a bracket around
 * it covers, and with which event. For the patched places of G1 and the traps
 * of G2. May run anywhere, see live.h: nothing is allocated.
 *
 * A change of a file reaches all places where the process has it mapped; they
 * lie in one range from the first to the last of them.
 */
#include "calls.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bracket.h"
#include "patch.h"

#define MAX_IOV 64
#define REJOIN_TRIES 8

/* Newer than the headers may be; the same for all machines. */
enum {
	ADVICE_DONTNEED_LOCKED = 24,
	ADVICE_COLLAPSE = 25,
	ADVICE_SOFT_OFFLINE = 101,
	ADVICE_GUARD_INSTALL = 102,
};

static unsigned long brk_now __hot_data;

/* ----------------------------------------------------------- what is covered */

static void cover(struct live_call *call, unsigned long addr,
		  unsigned long length, enum mmu_notifier_event event)
{
	struct live_bracket *b = &call->brackets[call->n];

	if (!length || call->n == LIVE_CALL_BRACKETS)
		return;
	/* From here on it ends if control leaves, see is_left(). */
	b->inside = NULL;
	barrier();
	call->n++;
	live_bracket_open(b, addr, length, event, 0);
}

static void cover_found(struct live_call *call, const struct live_extent *e,
			enum mmu_notifier_event event)
{
	if (e->start < e->end)
		cover(call, e->start, e->end - e->start, event);
}

/* Wherever the file is mapped, but for what is covered already. */
static void cover_file(struct live_call *call)
{
	struct live_extent e;

	if (!maps_find_file(&call->file, &e) ||
	    (e.start >= call->covered.start && e.end <= call->covered.end))
		return;
	call->covered = e;
	cover_found(call, &e, MMU_NOTIFY_CLEAR);
}

/* ------------------------------------------------------------- call by call */

static void at_mmap(struct live_call *call, const unsigned long *args)
{
	if (args[3] & MAP_FIXED && (args[3] & MAP_FIXED_NOREPLACE) !=
					   MAP_FIXED_NOREPLACE)
		cover(call, args[0], args[1], MMU_NOTIFY_UNMAP);
}

static __hot void at_munmap(struct live_call *call, const unsigned long *args)
{
	cover(call, args[0], args[1], MMU_NOTIFY_UNMAP);
}

static void at_mremap(struct live_call *call, const unsigned long *args)
{
	unsigned long old = args[1], new = args[2], flags = args[3];

	if (flags & MREMAP_FIXED)
		cover(call, args[4], new, MMU_NOTIFY_UNMAP);
	if (new >= old && !(flags & (MREMAP_MAYMOVE | MREMAP_FIXED)))
		return;
	/* What shrinks in place loses its tail alone. */
	if (new < old && !(flags & MREMAP_FIXED))
		cover(call, args[0] + new, old - new, MMU_NOTIFY_UNMAP);
	else
		cover(call, args[0], old, MMU_NOTIFY_UNMAP);
}

static void at_mprotect(struct live_call *call, const unsigned long *args)
{
	cover(call, args[0], args[1], MMU_NOTIFY_PROTECTION_VMA);
}

bool live_advice_clears(unsigned long advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_HWPOISON:
	case ADVICE_SOFT_OFFLINE:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_PAGEOUT:
	case ADVICE_DONTNEED_LOCKED:
	case ADVICE_COLLAPSE:
	case ADVICE_GUARD_INSTALL:
		return true;
	}
	return false;
}

static void at_madvise(struct live_call *call, const unsigned long *args)
{
	struct live_extent e;

	if (!live_advice_clears(args[2]))
		return;
	/* Punches the hole in the file: all that map it see it. */
	if (args[2] == MADV_REMOVE &&
	    maps_find_same(args[0], &call->file, &e)) {
		call->covered = e;
		cover_found(call, &e, MMU_NOTIFY_CLEAR);
	} else {
		cover(call, args[0], args[1], MMU_NOTIFY_CLEAR);
	}
}

/* Ours or another's: the range of one that is not ours costs no more. */
static void at_process_madvise(struct live_call *call,
			       const unsigned long *args)
{
	struct live_extent e = { ~0UL, 0 };
	struct iovec iov[MAX_IOV];
	struct iovec local = { iov, sizeof(iov) }, remote;
	size_t n = args[2] < MAX_IOV ? args[2] : MAX_IOV;

	if (!live_advice_clears(args[3]))
		return;
	local.iov_len = n * sizeof(*iov);
	remote.iov_base = (void *)args[1];
	remote.iov_len = local.iov_len;
	/* A bad pointer is the kernel's to refuse. */
	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		extent_add(&e, (unsigned long)iov[i].iov_base,
			   (unsigned long)iov[i].iov_base + iov[i].iov_len);
	if (args[2] > MAX_IOV)
		extent_add(&e, 0, ~0UL);
	cover_found(call, &e, MMU_NOTIFY_CLEAR);
}

static void at_brk(struct live_call *call, const unsigned long *args)
{
	unsigned long now = READ_ONCE(brk_now);

	if (!now) {
		unsigned long ask[6] = { 0 };

		now = (unsigned long)live_raw_syscall(SYS_brk, ask);
	}
	if (args[0] && args[0] < now)
		cover(call, args[0], now - args[0], MMU_NOTIFY_UNMAP);
}

static void at_shmat(struct live_call *call, const unsigned long *args)
{
	struct shmid_ds ds;

	if (args[2] & SHM_REMAP && !shmctl((int)args[0], IPC_STAT, &ds))
		cover(call, args[1], ds.shm_segsz, MMU_NOTIFY_UNMAP);
}

static void at_shmdt(struct live_call *call, const unsigned long *args)
{
	struct maps_file segment;
	struct live_extent e;

	if (maps_find_same(args[0], &segment, &e))
		cover_found(call, &e, MMU_NOTIFY_UNMAP);
}

/* A copy: what was writable is so no more, in the parent. */
static void at_clone(struct live_call *call, const unsigned long *args)
{
	if (!(args[0] & CLONE_VM) && !live_forking)
		cover(call, 0, ~0UL, MMU_NOTIFY_PROTECTION_PAGE);
}

static void at_clone3(struct live_call *call, const unsigned long *args)
{
	/* The flags come first, and libc has just written them. */
	if (args[1] >= sizeof(unsigned long))
		at_clone(call, (const unsigned long *)args[0]);
}

static const struct {
	long nr;
	void (*at)(struct live_call *call, const unsigned long *args);
} table[] = {
	{ SYS_mmap, at_mmap },
	{ SYS_madvise, at_madvise },
	{ SYS_mprotect, at_mprotect },
	{ SYS_brk, at_brk },
	{ SYS_mremap, at_mremap },
	{ SYS_pkey_mprotect, at_mprotect },
	{ SYS_clone, at_clone },
	{ SYS_clone3, at_clone3 },
	{ SYS_shmat, at_shmat },
	{ SYS_shmdt, at_shmdt },
	{ SYS_remap_file_pages, at_munmap },
	{ NR_PROCESS_MADVISE, at_process_madvise },
};

/* False: none of those that say in their arguments what they change. */
static __attribute__((noinline)) bool
cover_called(struct live_call *call, long nr, const unsigned long *args)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(table) && table[i].nr != nr)
		i++;
	if (i < ARRAY_SIZE(table))
		table[i].at(call, args);
	return i < ARRAY_SIZE(table);
}

/* -------------------------------------------------------------------- around */

static __hot void call_open(struct live_call *call, long nr,
			    const unsigned long *args)
{
	int saved = *sync_errno();

	call->n = 0;
	call->file.ino = 0;
	/* The most frequent one does without the page that the table is in. */
	if (likely(nr == SYS_munmap)) {
		at_munmap(call, args);
	} else if (!cover_called(call, nr, args) &&
		   live_call_cuts(nr, args, &call->file)) {
		call->covered = (struct live_extent){ ~0UL, 0 };
		cover_file(call);
	}
	*sync_errno() = saved;
}

/* What was opened is watched no more. Where the call is made, see bracket.h. */
static inline __attribute__((always_inline)) void
call_unwatch(struct live_call *call)
{
	for (unsigned int i = 0; i < call->n; i++)
		bracket_unwatch(&call->brackets[i]);
}

void live_call_before(struct live_call *call, long nr,
		      const unsigned long *args)
{
	call_open(call, nr, args);
	call_unwatch(call);
}

/* It may have been mapped elsewhere meanwhile, or its path been another's. */
static void look_again(struct live_call *call, long nr,
		       const unsigned long *args, long ret)
{
	struct maps_file was = call->file;
	int saved = *sync_errno();

	live_call_has_cut(nr, args, ret, &call->file);
	if (call->file.ino != was.ino || call->file.dev != was.dev)
		call->covered = (struct live_extent){ ~0UL, 0 };
	cover_file(call);
	call_unwatch(call);
	*sync_errno() = saved;
}

__hot void live_call_after(struct live_call *call, long nr,
			   const unsigned long *args, long ret)
{
	if (nr == SYS_brk)
		WRITE_ONCE(brk_now, (unsigned long)ret);
	if (call->file.ino && ret >= 0)
		look_again(call, nr, args, ret);
	while (call->n)
		live_bracket_end(&call->brackets[--call->n]);
}

const struct live_observer *live_observer __hot_data;
bool (*live_guard)(long nr, const unsigned long *args, long *ret) __hot_data;
void (*live_before_restriction)(void) __hot_data;
static bool restricted __hot_data;

/* Not so the question whether it could: there is no filter in that. */
static bool restricts(long nr, const unsigned long *args)
{
	if (nr == SYS_prctl)
		return args[0] == PR_SET_SECCOMP &&
		       (args[1] == SECCOMP_MODE_STRICT || args[2]);
	return nr == SYS_seccomp &&
	       (args[0] == SECCOMP_SET_MODE_STRICT ||
		(args[0] == SECCOMP_SET_MODE_FILTER && args[2]));
}

__hot bool live_is_restricted(long nr, const unsigned long *args)
{
	int saved;

	if (!restricted && live_before_restriction && restricts(nr, args)) {
		saved = *sync_errno();
		live_before_restriction();
		WRITE_ONCE(restricted, true);
		*sync_errno() = saved;
	}
	return READ_ONCE(restricted);
}

/* A signal came in the middle of a call, and its handler does not return. */
static void is_left(void *arg)
{
	struct live_call *call = arg;

	while (call->n)
		live_bracket_end(&call->brackets[--call->n]);
}

__hot long live_patched_call(long nr, const unsigned long *args)
{
	struct live_call call;
	struct sync_frame frame;
	int tries = 0;
	long ret;

	if (live_observer)
		return live_observer->call(nr, args);
	if (live_guard && live_guard(nr, args, &ret))
		return ret;
	if (live_is_restricted(nr, args))
		return live_raw_syscall(nr, args);
	call.n = 0;
	sync_frame_begin(&frame, is_left, &call);
	call_open(&call, nr, args);
	call_unwatch(&call);
	ret = live_raw_syscall(nr, args);
	/* What a reader has begun to watch in between may be half an area. */
	while (ret == -EFAULT && nr == SYS_mremap && tries++ < REJOIN_TRIES &&
	       live_bracket_rejoin(args[0], args[1]))
		ret = live_raw_syscall(nr, args);
	if (ret == -EFAULT && nr == SYS_mremap)
		ret = live_move_parts(args);
	sync_frame_end(&frame);
	live_call_after(&call, nr, args, ret);
	if (nr == SYS_mprotect)
		live_patch_recheck(args[0], args[0] + args[1]);
	return ret;
}

/*
 * libc has its threads cancelled by a signal wherever they are in such a call. Not
 * inside a bracket, which nobody would end: behind it, from there on outwards.
 */
static void change_mask(int how, const unsigned long *mask,
			unsigned long *ret_was)
{
	const unsigned long args[6] = { (unsigned long)how, (unsigned long)mask,
					(unsigned long)ret_was, sizeof(*mask) };

	live_raw_syscall(SYS_rt_sigprocmask, args);
}

static long try_inside(long nr, const unsigned long *args, unsigned long *ret_made)
{
	struct sync_frame frame;
	struct live_call call;
	long ret = nr;

	call.n = 0;
	sync_frame_begin(&frame, is_left, &call);
	live_call_before(&call, nr, args);
	*ret_made = call.file.ino != 0;
	if (*ret_made) {
		ret = live_raw_syscall(nr, args);
		live_call_after(&call, nr, args, ret);
	}
	sync_frame_end(&frame);
	return ret;
}

long live_patched_try(long nr, const unsigned long *args,
		      unsigned long *ret_made)
{
	const unsigned long cancellation = 1UL << (__SIGRTMIN - 1);
	unsigned long mask = 0;
	struct live_call call;
	int saved = *sync_errno();
	long ret = nr;

	*ret_made = 0;
	if (READ_ONCE(restricted))
		return nr;
	change_mask(SIG_BLOCK, &cancellation, &mask);
	if (live_observer) {
		*ret_made = live_call_cuts(nr, args, &call.file);
		*sync_errno() = saved;
		if (*ret_made)
			ret = live_observer->call(nr, args);
	} else {
		ret = try_inside(nr, args, ret_made);
	}
	change_mask(SIG_SETMASK, &mask, NULL);
	return ret;
}

/* One clone at a time in a thread; its child has a copy, or needs none. */
static __thread struct live_call cloning
	__attribute__((tls_model("initial-exec")));

void live_patched_fork(long nr, const unsigned long *args)
{
	if (live_observer)
		live_observer->fork(nr, args);
	cloning.n = 0;
	if (!READ_ONCE(restricted))
		live_call_before(&cloning, nr, args);
}

void live_patched_forked(void)
{
	live_call_after(&cloning, SYS_clone, NULL, 0);
}
