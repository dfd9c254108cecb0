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
	UNKNOWN(epoll_pwait) \
	UNKNOWN(read) \
	UNKNOWN(readv) \
	UNKNOWN(pread) \
	UNKNOWN(recv) \
	UNKNOWN(recvfrom) \
	UNKNOWN(recvmsg) \
	UNKNOWN(send) \
	UNKNOWN(sendto) \
	UNKNOWN(sendmsg) \
	UNKNOWN(accept) \
	UNKNOWN(accept4) \
	UNKNOWN(connect) \
	UNKNOWN(flock) \
	UNKNOWN(lockf) \
	UNKNOWN(msgrcv) \
	UNKNOWN(msgsnd) \
	UNKNOWN(semop) \
	UNKNOWN(semtimedop) \
	UNKNOWN(mq_receive) \
	UNKNOWN(mq_timedreceive) \
	UNKNOWN(mq_send) \
	UNKNOWN(sem_wait) \
	UNKNOWN(sem_trywait) \
	UNKNOWN(sem_timedwait) \
	UNKNOWN(sem_clockwait) \
	UNKNOWN(sem_post) \
	UNKNOWN(sigwait) \
	UNKNOWN(sigwaitinfo) \
	UNKNOWN(sigtimedwait) \
	UNKNOWN(sigsuspend) \
	UNKNOWN(pause) \
	UNKNOWN(wait) \
	UNKNOWN(waitid) \
	UNKNOWN(waitpid) \
	UNKNOWN(system) \
	UNKNOWN(popen) \
	UNKNOWN(pclose) \
	UNKNOWN(posix_spawn) \
	UNKNOWN(posix_spawnp) \
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
	UNKNOWN(pthread_rwlock_clockrdlock) \
	UNKNOWN(pthread_rwlock_clockwrlock) \
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
