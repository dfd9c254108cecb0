/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The words of sync.h on Linux: pthread, futex, membarrier.
 */
#include "sync.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000LL
#define PAGE 4096UL
#define HUGE_PAGE (1UL << 21)

bool sync_asymmetric __hot_data;
/* It was true; who read that then may still act on it. */
static bool lost;

void cpu_relax(void)
{
	arch_cpu_relax();
}

void smp_mb_others(void)
{
	static const struct timespec long_enough = { .tv_nsec = 1000000 };

	smp_mb();
	if (!smp_load_acquire(&sync_asymmetric) && !READ_ONCE(lost))
		return;
	while (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0)) {
		bool forbidden = errno != ENOMEM;

		/*
		 * A filter came after the registration. From now on the other
		 * side has fences; a store that has none is out of every
		 * processor's buffer by the time we wake up.
		 */
		if (forbidden) {
			WRITE_ONCE(lost, true);
			smp_store_release(&sync_asymmetric, false);
		}
		nanosleep(&long_enough, NULL);
		if (forbidden)
			return;
	}
}

void sync_register_membarrier(void)
{
	static bool refused;

	if (READ_ONCE(refused))
		return;
	if (syscall(SYS_membarrier,
		    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
		WRITE_ONCE(refused, true);
	else if (!READ_ONCE(sync_asymmetric))
		WRITE_ONCE(sync_asymmetric, true);
}

int wait_word(unsigned int *word, unsigned int value, int64_t timeout_ns)
{
	struct timespec ts;
	/* With a timeout every handler ends the wait, SA_RESTART or not. */
	int64_t ns = timeout_ns < 0 ? 3600 * NSEC_PER_SEC : timeout_ns;

	ts.tv_sec = ns / NSEC_PER_SEC;
	ts.tv_nsec = ns % NSEC_PER_SEC;
	if (!syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &ts, NULL, 0))
		return 0;
	if (errno == EINTR)
		return -EINTR;
	if (errno == ETIMEDOUT && timeout_ns >= 0)
		return -ETIMEDOUT;
	return 0;
}

void wake_word(unsigned int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static bool spin_try(spinlock_t *lock)
{
	unsigned int free = 0;

	return !READ_ONCE(lock->locked) &&
	       __atomic_compare_exchange_n(&lock->locked, &free, 1, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void spin_lock_slow(spinlock_t *lock)
{
	for (int i = 0; i < SYNC_SPINS; i++) {
		if (spin_try(lock))
			return;
		cpu_relax();
	}
	fetch_add(&lock->waiters, 1);
	while (!spin_try(lock)) {
		/*
		 * Announced as a waiter before this fence: an unlock that does
		 * not see us has stored 0 before wait_word() looks.
		 */
		smp_mb_others();
		wait_word(&lock->locked, 1, -1);
	}
	fetch_sub(&lock->waiters, 1);
}

void spin_unlock_wake(spinlock_t *lock)
{
	wake_word(&lock->locked);
}

void mutex_init(struct mutex *lock)
{
	pthread_mutex_init(&lock->m, NULL);
}

__warm void mutex_lock(struct mutex *lock) __no_context_analysis
{
	pthread_mutex_lock(&lock->m);
}

__warm void mutex_unlock(struct mutex *lock) __no_context_analysis
{
	pthread_mutex_unlock(&lock->m);
}

void init_rwsem(struct rw_semaphore *sem)
{
	pthread_mutex_init(&sem->m, NULL);
	pthread_cond_init(&sem->changed, NULL);
	sem->holders = 0;
	sem->writers_waiting = 0;
}

void destroy_rwsem(struct rw_semaphore *sem)
{
	pthread_cond_destroy(&sem->changed);
	pthread_mutex_destroy(&sem->m);
}

void down_read(struct rw_semaphore *sem)
{
	pthread_mutex_lock(&sem->m);
	while (sem->holders < 0 || sem->writers_waiting)
		pthread_cond_wait(&sem->changed, &sem->m);
	sem->holders++;
	pthread_mutex_unlock(&sem->m);
}

bool down_read_trylock(struct rw_semaphore *sem)
{
	bool got;

	pthread_mutex_lock(&sem->m);
	got = sem->holders >= 0 && !sem->writers_waiting;
	if (got)
		sem->holders++;
	pthread_mutex_unlock(&sem->m);
	return got;
}

static void release(struct rw_semaphore *sem, int holders)
{
	sem->holders = holders;
	pthread_cond_broadcast(&sem->changed);
	pthread_mutex_unlock(&sem->m);
}

void up_read(struct rw_semaphore *sem)
{
	pthread_mutex_lock(&sem->m);
	/* In a forked child nobody holds what was held at the fork. */
	release(sem, sem->holders > 0 ? sem->holders - 1 : 0);
}

void down_write(struct rw_semaphore *sem)
{
	pthread_mutex_lock(&sem->m);
	sem->writers_waiting++;
	while (sem->holders)
		pthread_cond_wait(&sem->changed, &sem->m);
	sem->writers_waiting--;
	sem->holders = -1;
	pthread_mutex_unlock(&sem->m);
}

bool down_write_trylock(struct rw_semaphore *sem)
{
	bool got;

	pthread_mutex_lock(&sem->m);
	got = !sem->holders;
	if (got)
		sem->holders = -1;
	pthread_mutex_unlock(&sem->m);
	return got;
}

void up_write(struct rw_semaphore *sem)
{
	pthread_mutex_lock(&sem->m);
	release(sem, 0);
}

void downgrade_write(struct rw_semaphore *sem)
{
	pthread_mutex_lock(&sem->m);
	release(sem, sem->holders ? 1 : 0);
}

int rwsem_holders(struct rw_semaphore *sem)
{
	int holders;

	pthread_mutex_lock(&sem->m);
	holders = sem->holders;
	pthread_mutex_unlock(&sem->m);
	return holders;
}

int64_t ktime_get_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

void sync_yield(void)
{
	sched_yield();
}

/* One call, so that texts do not mix. */
void sync_complain(const char *rule, const char *what, const char *text)
{
	ssize_t ret = write(STDERR_FILENO, text, strlen(text));

	/* There is nowhere to complain to. */
	(void)ret;
}

/* Thread ids of Linux have 22 bits at most. */
#define TID_BITS 22

static __thread unsigned long thread_number
	__attribute__((tls_model("initial-exec")));

void sync_thread_renumber(void)
{
	static unsigned long last;

	thread_number = (fetch_add(&last, 1) + 1) << TID_BITS |
			(unsigned long)syscall(SYS_gettid);
}

__hot_first unsigned long sync_thread_number(void)
{
	if (unlikely(!thread_number))
		sync_thread_renumber();
	return thread_number;
}

bool sync_thread_alive(unsigned long number)
{
	unsigned long tid = number & ((1UL << TID_BITS) - 1);

	return !syscall(SYS_tgkill, getpid(), tid, 0) || errno != ESRCH;
}

static void *thread_run(void *arg)
{
	struct sync_thread *thread = arg;

	WRITE_ONCE(thread->tid, (unsigned long)syscall(SYS_gettid));
	thread->fn(thread->arg);
	return NULL;
}

int sync_thread_start(struct sync_thread *thread, void (*fn)(void *arg),
		      void *arg)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int ret;

	*thread = (struct sync_thread){ .fn = fn, .arg = arg };
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&thread->thread, NULL, thread_run, thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	/* Not by the thread itself: malloc() may be held up by who waits for it. */
	if (!ret && !pthread_getattr_np(thread->thread, &attr)) {
		pthread_attr_getstack(&attr, &thread->stack,
				      &thread->stack_size);
		pthread_attr_destroy(&attr);
		sync_keep(thread->stack, thread->stack_size);
	}
	return -ret;
}

/* The number of who is gone may be another's by then. */
#define JOIN_TRIES 10000

void sync_thread_join(struct sync_thread *thread)
{
	pthread_join(thread->thread, NULL);
	/* The kernel counts it a moment longer, and refuses to who is not alone. */
	for (int i = 0; i < JOIN_TRIES && sync_thread_alive(READ_ONCE(thread->tid)); i++)
		sync_yield();
	sync_thread_forget(thread);
}

void sync_thread_forget(struct sync_thread *thread)
{
	sync_unkeep(thread->stack, thread->stack_size);
}

__hot int *sync_errno(void)
{
	static __thread int *at __attribute__((tls_model("initial-exec")));

	if (unlikely(!at))
		at = &errno;
	return at;
}

/* Of libc's: those that pthread.h has now work by the compiler, which longjmp() does not. */
extern void _pthread_cleanup_push(struct _pthread_cleanup_buffer *buffer,
				  void (*fn)(void *arg), void *arg)
	__attribute__((weak));
extern void _pthread_cleanup_pop(struct _pthread_cleanup_buffer *buffer,
				 int execute) __attribute__((weak));

static typeof(_pthread_cleanup_push) *frame_push __hot_data = _pthread_cleanup_push;
static typeof(_pthread_cleanup_pop) *frame_pop __hot_data = _pthread_cleanup_pop;

__hot void sync_frame_begin(struct sync_frame *frame, void (*fn)(void *arg),
			    void *arg)
{
	if (frame_push)
		frame_push(&frame->buffer, fn, arg);
}

__hot void sync_frame_end(struct sync_frame *frame)
{
	if (frame_push)
		frame_pop(&frame->buffer, 0);
}

static pthread_key_t exit_key;
static bool exit_key_made;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static void (*exit_fn)(void);

static void thread_exits(void *unused)
{
	(void)unused;
	READ_ONCE(exit_fn)();
}

static void make_exit_key(void)
{
	exit_key_made = !pthread_key_create(&exit_key, thread_exits);
}

void sync_at_thread_exit(void (*fn)(void))
{
	WRITE_ONCE(exit_fn, fn);
	pthread_once(&exit_once, make_exit_key);
	/* A process may have used all its keys up. */
	if (exit_key_made)
		pthread_setspecific(exit_key, &exit_key);
}

void sync_at_fork(void (*prepare)(void), void (*parent)(void),
		  void (*child)(void))
{
	pthread_atfork(prepare, parent, child);
}

long sync_thread_sleeps(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* What nobody has used: as a system call, not by libc, so that nobody is told. */
static void unmap(void *p, size_t size)
{
	if (size)
		syscall(SYS_munmap, p, size);
}

/* Of more than is asked for; what is too much at either end goes again. */
static void *map_huge(size_t size)
{
	char *all = map(size + HUGE_PAGE), *p;

	if (!all)
		return NULL;
	p = all + (-(uintptr_t)all & (HUGE_PAGE - 1));
	unmap(all, (size_t)(p - all));
	unmap(p + size, HUGE_PAGE - (size_t)(p - all));
	return p;
}

/* Linux 6.7 finds places for huge pages by itself. */
void *sync_alloc_pages(size_t size)
{
	void *p = map(size), *huge = NULL;

	if (p && size >= HUGE_PAGE && (uintptr_t)p & (HUGE_PAGE - 1))
		huge = map_huge(size);
	if (huge) {
		unmap(p, size);
		p = huge;
	}
	if (p)
		sync_keep(p, size);
	return p;
}

unsigned int *sync_alloc_alive(void)
{
	unsigned int *word = sync_alloc_pages(PAGE);

	if (!word)
		return NULL;
	sync_wipe_in_child(word, PAGE);
	*word = 1;
	return word;
}

void sync_wipe_in_child(void *pages, size_t size)
{
	/* Linux 4.14. */
	madvise(pages, size, MADV_WIPEONFORK);
}

void sync_free_pages(void *pages, size_t size)
{
	sync_unkeep(pages, size);
	munmap(pages, size);
}

void sync_want_huge_pages(void *pages, size_t size)
{
	/* Refused or not, it works. */
	madvise(pages, size, MADV_HUGEPAGE);
}

/* Of pages that are part of it the whole; Linux 5.14 or else faults as ever. */
void sync_populate_pages(void *pages, size_t size)
{
	size_t before = (uintptr_t)pages % PAGE;

	madvise((char *)pages - before, before + size, MADV_POPULATE_WRITE);
}

/* Nobody is to be told: as a system call, not by libc. */
void sync_drop_pages(void *pages, size_t size)
{
	syscall(SYS_madvise, pages, size, MADV_DONTNEED);
}
