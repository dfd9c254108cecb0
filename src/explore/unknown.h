/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What may block, or make threads and processes, and is not explored: a call
 * in an execution ends it.
 */
#ifndef UHMM_EXPLORE_UNKNOWN_H
#define UHMM_EXPLORE_UNKNOWN_H

#define UNKNOWN_CALLS(UNKNOWN) \
	UNKNOWN(syscall) \
	UNKNOWN(fork) \
	UNKNOWN(vfork) \
	UNKNOWN(poll) \
	UNKNOWN(ppoll) \
	UNKNOWN(select) \
	UNKNOWN(pselect) \
	UNKNOWN(epoll_wait) \
	UNKNOWN(read) \
	UNKNOWN(recv) \
	UNKNOWN(accept) \
	UNKNOWN(sem_wait) \
	UNKNOWN(sem_timedwait) \
	UNKNOWN(sem_post) \
	UNKNOWN(sigwait) \
	UNKNOWN(pause) \
	UNKNOWN(waitpid) \
	UNKNOWN(clock_nanosleep) \
	UNKNOWN(pthread_barrier_wait) \
	UNKNOWN(pthread_cancel) \
	UNKNOWN(pthread_kill) \
	UNKNOWN(pthread_tryjoin_np) \
	UNKNOWN(pthread_timedjoin_np) \
	UNKNOWN(pthread_cond_clockwait) \
	UNKNOWN(pthread_mutex_clocklock) \
	UNKNOWN(pthread_rwlock_timedrdlock) \
	UNKNOWN(pthread_rwlock_timedwrlock) \
	UNKNOWN(thrd_create) \
	UNKNOWN(thrd_join) \
	UNKNOWN(thrd_sleep) \
	UNKNOWN(thrd_yield) \
	UNKNOWN(mtx_lock) \
	UNKNOWN(mtx_timedlock) \
	UNKNOWN(mtx_trylock) \
	UNKNOWN(mtx_unlock) \
	UNKNOWN(cnd_wait) \
	UNKNOWN(cnd_timedwait) \
	UNKNOWN(cnd_signal) \
	UNKNOWN(cnd_broadcast) \
	UNKNOWN(mprotect)

#endif
