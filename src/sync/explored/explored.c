/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The words of sync.h in the explored world: each is the explorer's.
 */
#include "../sync.h"

#include <errno.h>
#include <string.h>

#include "../../explore/hooks.h"
#include "../held.h"

#define PC __builtin_return_address(0)

bool sync_asymmetric = true;

void cpu_relax(void)
{
}

/* Where a scenario says that there is no membarrier it is a fence. */
void smp_mb_others(void)
{
	if (sync_asymmetric)
		explore_membarrier(PC);
	else
		explore_fence(PC);
}

void sync_register_membarrier(void)
{
}

void spin_lock(spinlock_t *lock) __no_context_analysis
{
	explore_lock(&lock->locked, PC);
}

void spin_unlock(spinlock_t *lock) __no_context_analysis
{
	explore_unlock(&lock->locked, PC);
}

static unsigned int *word(void *lock)
{
	return lock;
}

void mutex_init(struct mutex *lock)
{
	memset(&lock->m, 0, sizeof(lock->m));
}

void mutex_lock(struct mutex *lock) __no_context_analysis
{
	explore_lock(word(&lock->m), PC);
}

void mutex_unlock(struct mutex *lock) __no_context_analysis
{
	explore_unlock(word(&lock->m), PC);
}

bool sync_mutex_held(void *mutex)
{
	return explore_lock_mine(mutex);
}

/* The explorer's lock is in the mutex; what else there is is not used. */
void init_rwsem(struct rw_semaphore *sem)
{
	memset(&sem->m, 0, sizeof(sem->m));
	sem->holders = 0;
	sem->writers_waiting = 0;
}

void destroy_rwsem(struct rw_semaphore *sem)
{
}

void down_read(struct rw_semaphore *sem)
{
	explore_read_lock(word(&sem->m), PC);
}

bool down_read_trylock(struct rw_semaphore *sem)
{
	return explore_read_trylock(word(&sem->m), PC);
}

void up_read(struct rw_semaphore *sem)
{
	explore_read_unlock(word(&sem->m), PC);
}

void down_write(struct rw_semaphore *sem)
{
	explore_lock(word(&sem->m), PC);
}

bool down_write_trylock(struct rw_semaphore *sem)
{
	return explore_trylock(word(&sem->m), PC);
}

void up_write(struct rw_semaphore *sem)
{
	explore_unlock(word(&sem->m), PC);
}

void downgrade_write(struct rw_semaphore *sem)
{
	explore_downgrade(word(&sem->m), PC);
}

int rwsem_holders(struct rw_semaphore *sem)
{
	return explore_lock_holders(word(&sem->m));
}

int wait_word(unsigned int *w, unsigned int value, int64_t timeout_ns)
{
	return explore_wait(w, value, timeout_ns, PC);
}

void wake_word(unsigned int *w)
{
	explore_wake(w, PC);
}

int64_t ktime_get_ns(void)
{
	return explore_now();
}

void sync_yield(void)
{
	explore_yield(PC);
}

void sync_complain(const char *rule, const char *what, const char *text)
{
	if (*rule)
		explore_broken_rule(rule, what);
}

/* There is no fork in an execution, so a number is a thread. */
unsigned long sync_thread_number(void)
{
	return explore_self() + 1;
}

void sync_thread_renumber(void)
{
}

bool sync_thread_alive(unsigned long number)
{
	return !explore_thread_ended((unsigned int)number - 1);
}

void sync_at_thread_exit(void (*fn)(void))
{
	explore_at_exit(fn);
}

void sync_at_fork(void (*prepare)(void), void (*parent)(void),
		  void (*child)(void))
{
}

int *sync_errno(void)
{
	return &errno;
}

long sync_thread_sleeps(void)
{
	return (long)explore_sleeps();
}

void *sync_alloc_pages(size_t size)
{
	return explore_alloc(size, 4096);
}

void sync_keep(const void *p, size_t size)
{
}

void sync_unkeep(const void *p, size_t size)
{
}

void sync_free_pages(void *pages, size_t size)
{
	explore_free(pages);
}

void sync_wipe_in_child(void *pages, size_t size)
{
}

void sync_want_huge_pages(void *pages, size_t size)
{
}

void sync_populate_pages(void *pages, size_t size)
{
}

void sync_drop_pages(void *pages, size_t size)
{
}
