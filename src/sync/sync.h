/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The vocabulary of concurrency: the only header through which the library
 * touches threads, locks, fences, clocks and raw pages. The words are the
 * kernel's and mean what they mean there. What can block is a function, so
 * that another world can supply it.
 *
 * The shared words of the library are read and written with the macros below,
 * never plainly: another thread may be at it.
 */
#ifndef SYNC_SYNC_H
#define SYNC_SYNC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch.h"

/* ------------------------------------------------- lock comments as types */
#if defined(__clang__) && __clang_major__ >= 19
#define __capability(x) __attribute__((capability(x)))
#define __guarded_by(x) __attribute__((guarded_by(x)))
#define __acquires(x) __attribute__((acquire_capability(x)))
#define __try_acquires(x) __attribute__((try_acquire_capability(true, x)))
#define __releases(x) __attribute__((release_capability(x)))
#define __must_hold(x) __attribute__((requires_capability(x)))
#define __no_context_analysis __attribute__((no_thread_safety_analysis))
#else
#define __capability(x)
#define __guarded_by(x)
#define __acquires(x)
#define __try_acquires(x)
#define __releases(x)
#define __must_hold(x)
#define __no_context_analysis
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/*
 * In pages of code that lie together: who has just had the kernel change its memory
 * finds less of it in the TLB and the caches.
 */
#define __hot __attribute__((hot, section(".text.sorted.uhmm.2")))
/* The first of them, where such a page begins. */
#define __hot_first __attribute__((hot, aligned(4096), section(".text.sorted.uhmm.1")))
/* Of code that is run for some pages at once; the next pages. */
#define __warm __attribute__((section(".text.sorted.uhmm.3")))
/* For the same reason, of words that such code reads: beside each other. */
#define __hot_data __attribute__((section("uhmm_hot_data")))
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The compiler is not to keep what it has made of @x. */
#define forget_value(x) __asm__("" : "+r"(x))

/* The unit in which memory moves between cores. */
#define CACHE_LINE 64
#define __cacheline_aligned __attribute__((aligned(CACHE_LINE)))

/* ------------------------------------------------------ one word, ordering
 * smp_mb() is a full fence, not a read-modify-write: on aarch64 two
 * read-modify-writes followed by acquire loads may still miss each other.
 * smp_store_before_mb(), and directly behind it smp_mb_after_store() of the same,
 * are a release store and a full fence: one instruction where a machine has it. So are
 * word_is(), a READ_ONCE() that is compared, of a byte, too; word_choose(), one of two
 * pointers by that, without a branch; and count_one(), one more in a word that
 * nobody else writes.
 */
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)
#define smp_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define smp_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define smp_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define smp_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define smp_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#define barrier() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/*
 * Read-modify-writes, all of them full barriers for their own word's users. For others'
 * smp_mb__after_atomic() behind one makes it a full fence, which some machines have in
 * it already.
 */
#define xchg(p, v) __atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)
#define try_cmpxchg(p, pold, new) \
	__atomic_compare_exchange_n((p), (pold), (new), false, \
				    __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)
#define fetch_add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
#define fetch_sub(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST)
#define fetch_or(p, v) __atomic_fetch_or((p), (v), __ATOMIC_SEQ_CST)
#define fetch_and(p, v) __atomic_fetch_and((p), (v), __ATOMIC_SEQ_CST)

void cpu_relax(void);

/* ------------------------------------------------------ asymmetric fences
 * One side of a rare meeting pays for both: the frequent side has a plain
 * store, barrier(), load; the rare side calls smp_mb_others(), after which
 * every other thread of the process has passed a full fence. Where the kernel
 * refuses, sync_asymmetric is false, and the frequent side must use smp_mb().
 * Idea: membarrier(2), MEMBARRIER_CMD_PRIVATE_EXPEDITED.
 */
extern bool sync_asymmetric __attribute__((visibility("hidden")));
void smp_mb_others(void);
/* Once before use, and again in a forked child. Idempotent. */
void sync_register_membarrier(void);

/* ------------------------------------------------------------------- locks */

/*
 * For sections of some hundred instructions, some thousand at most. Waiters spin, then
 * sleep, so a holder that lost its CPU costs no more than that, or one that calls the
 * kernel, as who moves pages does. Unlocking is one store.
 */
typedef struct __capability("mutex") spinlock {
	unsigned int locked;
	unsigned int waiters;
} spinlock_t;

static inline void spin_lock_init(spinlock_t *lock)
{
	lock->locked = 0;
	lock->waiters = 0;
}

#ifdef UHMM_EXPLORED
/*
 * The explorer's: see explored/explored.c. How often somebody looks before he
 * goes to sleep is nothing to be explored: once.
 */
#define SYNC_SPINS 1
#define smp_store_before_mb(p, v) smp_store_release(p, v)
#define smp_mb_after_store(p, v) smp_mb()
#define smp_mb__after_atomic() smp_mb()
#define word_is(p, v) (READ_ONCE(*(p)) == (v))
#define word_choose(p, v, same, other) (word_is(p, v) ? (same) : (other))
#define count_one(p) WRITE_ONCE(*(p), READ_ONCE(*(p)) + 1)
/* What is done each so many times is done often there. */
#define SYNC_SIZE(native, explored) (explored)
void spin_lock(spinlock_t *lock) __acquires(lock);
void spin_unlock(spinlock_t *lock) __releases(lock);

static inline bool spin_lock_at_once(spinlock_t *lock)
	__try_acquires(lock) __no_context_analysis
{
	spin_lock(lock);
	return true;
}

static inline void spin_unlock_begin(spinlock_t *lock)
	__releases(lock) __no_context_analysis
{
	spin_unlock(lock);
}

static inline bool spin_has_waiters(const spinlock_t *lock)
{
	return false;
}

static inline void spin_unlock_wake(spinlock_t *lock)
{
}
#else
#define smp_store_before_mb(p, v) arch_store_before_mb(p, v)
#define smp_mb_after_store(p, v) arch_mb_after_store(p, v)
#define smp_mb__after_atomic() arch_mb_after_atomic()
#define word_is(p, v) arch_word_is(p, v)
#define word_choose(p, v, same, other) arch_word_choose(p, v, same, other)
#define count_one(p) arch_count_one(p)
#define SYNC_SPINS 100
#define SYNC_SIZE(native, explored) (native)
void spin_lock_slow(spinlock_t *lock);
void spin_unlock_wake(spinlock_t *lock);

static inline void spin_lock(spinlock_t *lock)
	__acquires(lock) __no_context_analysis
{
	if (unlikely(__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE)))
		spin_lock_slow(lock);
}

/* False: somebody has it. So there is no call where nobody has. */
static inline bool spin_lock_at_once(spinlock_t *lock)
	__try_acquires(lock) __no_context_analysis
{
	return !__atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE);
}

/*
 * spin_unlock() in steps, for who has a fence of his own to make: spin_unlock_begin(),
 * smp_mb(), and if spin_has_waiters(), spin_unlock_wake().
 */
static inline void spin_unlock_begin(spinlock_t *lock)
	__releases(lock) __no_context_analysis
{
	smp_store_release(&lock->locked, 0);
}

static inline bool spin_has_waiters(const spinlock_t *lock)
{
	return READ_ONCE(lock->waiters);
}

static inline void spin_unlock(spinlock_t *lock)
	__releases(lock) __no_context_analysis
{
	spin_unlock_begin(lock);
	if (likely(READ_ONCE(sync_asymmetric)))
		barrier();
	else
		smp_mb();
	if (unlikely(spin_has_waiters(lock)))
		spin_unlock_wake(lock);
}
#endif

struct __capability("mutex") mutex {
	pthread_mutex_t m;
};

#define MUTEX_INITIALIZER { PTHREAD_MUTEX_INITIALIZER }

void mutex_init(struct mutex *lock);
void mutex_lock(struct mutex *lock) __acquires(lock);
void mutex_unlock(struct mutex *lock) __releases(lock);

/* Readers and writers; writers first, not recursive, as the kernel's. */
struct rw_semaphore {
	pthread_mutex_t m;
	pthread_cond_t changed;
	int holders;		/* readers, or -1: a writer */
	int writers_waiting;
};

void init_rwsem(struct rw_semaphore *sem);
void destroy_rwsem(struct rw_semaphore *sem);
void down_read(struct rw_semaphore *sem);
bool down_read_trylock(struct rw_semaphore *sem);
void up_read(struct rw_semaphore *sem);
void down_write(struct rw_semaphore *sem);
bool down_write_trylock(struct rw_semaphore *sem);
void up_write(struct rw_semaphore *sem);
void downgrade_write(struct rw_semaphore *sem);
int rwsem_holders(struct rw_semaphore *sem);

/* ----------------------------------------------------------- sleep on a word
 * wait_word() sleeps while *word == value, for timeout_ns at most (< 0: for
 * ever), and may return early. 0, -ETIMEDOUT, or -EINTR when a signal handler
 * ran. wake_word() wakes all.
 */
int wait_word(unsigned int *word, unsigned int value, int64_t timeout_ns);
void wake_word(unsigned int *word);

/* ---------------------------------------------------------- time and threads */
int64_t ktime_get_ns(void);
void sync_yield(void);

/*
 * This thread's number: not 0, and never given to another one. It holds what
 * the kernel calls the thread, by which it can be found out whether it lives.
 */
unsigned long sync_thread_number(void);
/* In a forked child: this thread has become another one. */
void sync_thread_renumber(void);
bool sync_thread_alive(unsigned long number);
/* A thread of the library's own, with all signals blocked. 0; -errno. */
struct sync_thread {
	pthread_t thread;
	void (*fn)(void *arg);
	void *arg;
	void *stack;
	size_t stack_size;
	unsigned long tid;
};
int sync_thread_start(struct sync_thread *thread, void (*fn)(void *arg),
		      void *arg);
void sync_thread_join(struct sync_thread *thread);
/* In a forked child, where it does not run. */
void sync_thread_forget(struct sync_thread *thread);
/* Have @fn called when this thread ends, as late as libc allows. */
void sync_at_thread_exit(void (*fn)(void));
/* Where this thread's errno is; libc is asked once. */
int *sync_errno(void) __attribute__((const));
/*
 * Have @fn called if control leaves what lies between the two by longjmp() or with the
 * thread: libc calls it before it leaves the frame.
 */
struct sync_frame {
	struct _pthread_cleanup_buffer buffer;
};
void sync_frame_begin(struct sync_frame *frame, void (*fn)(void *arg), void *arg);
void sync_frame_end(struct sync_frame *frame);
void sync_at_fork(void (*prepare)(void), void (*parent)(void),
		  void (*child)(void));
/*
 * Who calls sync_at_fork() does so as the library is loaded, the core first: what a
 * program registers later runs outside of all that, and may use the library. Of
 * the live address space's handlers the first starts an invalidation and the
 * last ends it: what callbacks take is locked behind it, and what is held while
 * an invalidation is waited for, before.
 */
#define __at_load(order) __attribute__((constructor(order)))
#define AT_FORK_CORE 101
#define AT_FORK_IN_CALLBACKS 102
#define AT_FORK_LIVE 103
#define AT_FORK_AROUND 104
/*
 * A rule of the contract was broken, and nobody asked to be told. @text: all of
 * it, for stderr; to the explorer it is what an execution ends with.
 */
void sync_complain(const char *rule, const char *what, const char *text);
/* Voluntary context switches of this thread so far: did a call sleep? */
long sync_thread_sleeps(void);

/*
 * Memory that threads of the library cannot wait for is left where it is: that of
 * sync_alloc_pages(), the stacks of sync_thread_start(), and what is told here.
 */
void sync_keep(const void *p, size_t size);
void sync_unkeep(const void *p, size_t size);
/* The variables of the library, and of what it calls. */
void sync_keep_modules(void);
/*
 * What this thread needs at any time, with its stack around @frame; and @parts, which
 * it needs meanwhile. What is returned ends it, when that of later ones has.
 */
struct sync_part {
	const void *p;
	size_t size;
};
unsigned long sync_keep_caller(const void *frame, const struct sync_part *parts,
			       unsigned long n);
void sync_unkeep_caller(unsigned long kept, const void *frame,
			const struct sync_part *parts, unsigned long n);
/* Where nothing but a caller's is kept, as it was found; all 0 at first. */
struct sync_clear {
	unsigned long start;
	unsigned long end;
	unsigned long changes;
};
/* The first address from @start on that is kept, and up to where; @end: none. */
unsigned long sync_next_kept(struct sync_clear *clear, unsigned long start,
			     unsigned long end, unsigned long *ret_end);

/* A word that is 1, on a page of its own, and 0 in a child; NULL: no memory. */
unsigned int *sync_alloc_alive(void);
/* The same of pages of its own that a variable has. */
void sync_wipe_in_child(void *pages, size_t size);
/*
 * Pages straight from the kernel, zeroed: no lock of the process is taken. Where a
 * huge page fits its place is such that it may be one.
 */
void *sync_alloc_pages(size_t size);
void sync_free_pages(void *pages, size_t size);
/* Memory that is used all over: the kernel may back it with huge pages. */
void sync_want_huge_pages(void *pages, size_t size);
/* All of them now, by one call, rather than by a fault for each later. */
void sync_populate_pages(void *pages, size_t size);
/* What is in them is of no use any more: they may read as zeroes. */
void sync_drop_pages(void *pages, size_t size);

#endif
