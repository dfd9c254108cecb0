/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Functions of libc under the names that the linker gives them, see posix.c.
 */
#ifndef EXPLORE_POSIX_H
#define EXPLORE_POSIX_H

#include <pthread.h>
#include <stddef.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "unknown.h"

#define W(name) __wrap_##name

int W(pthread_create)(pthread_t *thread, const pthread_attr_t *attr,
		      void *(*fn)(void *), void *arg);
int W(pthread_join)(pthread_t thread, void **result);
int W(pthread_detach)(pthread_t thread);
void W(pthread_exit)(void *result) __attribute__((noreturn));
pthread_t W(pthread_self)(void);
int W(pthread_once)(pthread_once_t *once, void (*fn)(void));
int W(pthread_atfork)(void (*prepare)(void), void (*parent)(void),
		      void (*child)(void));
int W(pthread_key_create)(pthread_key_t *key, void (*fn)(void *));
int W(pthread_key_delete)(pthread_key_t key);
int W(pthread_setspecific)(pthread_key_t key, const void *value);
void *W(pthread_getspecific)(pthread_key_t key);

int W(pthread_mutex_init)(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int W(pthread_mutex_destroy)(pthread_mutex_t *m);
int W(pthread_mutex_lock)(pthread_mutex_t *m);
int W(pthread_mutex_trylock)(pthread_mutex_t *m);
int W(pthread_mutex_timedlock)(pthread_mutex_t *m, const struct timespec *at);
int W(pthread_mutex_unlock)(pthread_mutex_t *m);

int W(pthread_rwlock_init)(pthread_rwlock_t *l,
			   const pthread_rwlockattr_t *attr);
int W(pthread_rwlock_destroy)(pthread_rwlock_t *l);
int W(pthread_rwlock_rdlock)(pthread_rwlock_t *l);
int W(pthread_rwlock_tryrdlock)(pthread_rwlock_t *l);
int W(pthread_rwlock_wrlock)(pthread_rwlock_t *l);
int W(pthread_rwlock_trywrlock)(pthread_rwlock_t *l);
int W(pthread_rwlock_unlock)(pthread_rwlock_t *l);

int W(pthread_spin_init)(pthread_spinlock_t *l, int shared);
int W(pthread_spin_destroy)(pthread_spinlock_t *l);
int W(pthread_spin_lock)(pthread_spinlock_t *l);
int W(pthread_spin_trylock)(pthread_spinlock_t *l);
int W(pthread_spin_unlock)(pthread_spinlock_t *l);

int W(pthread_cond_init)(pthread_cond_t *c, const pthread_condattr_t *attr);
int W(pthread_cond_destroy)(pthread_cond_t *c);
int W(pthread_cond_wait)(pthread_cond_t *c, pthread_mutex_t *m);
int W(pthread_cond_timedwait)(pthread_cond_t *c, pthread_mutex_t *m,
			      const struct timespec *at);
int W(pthread_cond_signal)(pthread_cond_t *c);
int W(pthread_cond_broadcast)(pthread_cond_t *c);

void *W(malloc)(size_t size);
void *W(calloc)(size_t n, size_t size);
void *W(realloc)(void *memory, size_t size);
void W(free)(void *memory);
void *W(aligned_alloc)(size_t align, size_t size);
int W(posix_memalign)(void **ret, size_t align, size_t size);
char *W(strdup)(const char *text);
void *W(mmap)(void *addr, size_t size, int prot, int flags, int fd, off_t at);
void *W(mmap64)(void *addr, size_t size, int prot, int flags, int fd, off_t at);
int W(munmap)(void *addr, size_t size);
void *W(memcpy)(void *to, const void *from, size_t size);
void *W(memmove)(void *to, const void *from, size_t size);
void *W(memset)(void *to, int byte, size_t size);

unsigned int W(sleep)(unsigned int seconds);
int W(usleep)(useconds_t us);
int W(nanosleep)(const struct timespec *t, struct timespec *left);
int W(sched_yield)(void);
int W(clock_gettime)(clockid_t clock, struct timespec *ret);
int W(gettimeofday)(struct timeval *ret, void *zone);
time_t W(time)(time_t *ret);

void W(__assert_fail)(const char *what, const char *file, unsigned int line,
		      const char *function) __attribute__((noreturn));
void W(abort)(void) __attribute__((noreturn));
void W(exit)(int status) __attribute__((noreturn));
/* Of these no execution knows what they do. */
#define DECLARE_UNKNOWN(name) \
	long W(name)(long a, long b, long c, long d, long e, long f);
UNKNOWN_CALLS(DECLARE_UNKNOWN)
#undef DECLARE_UNKNOWN

#endif
