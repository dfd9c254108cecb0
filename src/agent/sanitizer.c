/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A sanitizer stands between a program and libc. Two things of it concern a
 * mirror:
 *
 * It looks for leaks when the program ends, or when the program asks for it. For
 * that a helper stops all threads, the monitor's too, and maps and unmaps memory
 * of its own meanwhile. If a device has seen that memory in between, the helper
 * waits for the monitor, and nobody goes on. But first of all it asks whether it
 * is turned off, by a function that is for programs to define: there the mirror
 * ends.
 *
 * It notes which threads there are, and changes its notes of all memory, which are
 * mirrored too, in a thread that begins: our monitor would wait for itself. In the
 * child of a fork it misses those of its list, and says so. Ours are not on it:
 * libc makes them.
 *
 * Valgrind, which runs a program on a processor of its own, is one of them here.
 */
#include "sanitizer.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef int (*create_fn)(pthread_t *thread, const pthread_attr_t *attr,
			 void *(*fn)(void *arg), void *arg);
typedef int (*join_fn)(pthread_t thread, void **ret);
typedef int (*turned_off_fn)(void);

static create_fn libc_create;
static join_fn libc_join;
static turned_off_fn next_turned_off;
static void (*ends)(void);

/* All of ours come here, by their names. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		   void *(*fn)(void *arg), void *arg)
{
	return libc_create ? libc_create(thread, attr, fn, arg) : EAGAIN;
}

int pthread_join(pthread_t thread, void **ret)
{
	return libc_join ? libc_join(thread, ret) : ESRCH;
}

/* Called with no lock of the sanitizer's that any of our threads may want. */
static int is_turned_off(void)
{
	if (ends)
		ends();
	return next_turned_off ? next_turned_off() : 0;
}

/* The program's own, where it has one, has the name instead. */
int __lsan_is_turned_off(void)
	__attribute__((visibility("default"), alias("is_turned_off")));

static bool is_there(const char *name)
{
	return dlsym(RTLD_DEFAULT, name);
}

static void find_threads(void)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

	if (!libc)
		libc = RTLD_DEFAULT;
	libc_create = (create_fn)dlsym(libc, "pthread_create");
	libc_join = (join_fn)dlsym(libc, "pthread_join");
}

/* It puts its own in front of what is preloaded. */
bool sanitizer_is_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "/vgpreload_");
}

/* One that is linked statically may have no name but those that it looks for. */
const char *sanitizer_find(void (*at_leaks)(void))
{
	find_threads();
	if (sanitizer_is_valgrind())
		return "valgrind knows no userfaultfd";
	if (is_there("__tsan_init"))
		return "ThreadSanitizer keeps signals back";
	if (is_there("__msan_init"))
		return "MemorySanitizer has to have built all there is";
	if (dlsym(RTLD_DEFAULT, "__lsan_is_turned_off") !=
	    (void *)is_turned_off)
		return "a sanitizer's leak check would stop the monitor";
	next_turned_off =
		(turned_off_fn)dlsym(RTLD_NEXT, "__lsan_is_turned_off");
	ends = at_leaks;
	return NULL;
}
