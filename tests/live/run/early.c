/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A library that has a thread before anybody else is asked. */
#include <pthread.h>
#include <unistd.h>

static void *sleep_on(void *unused)
{
	while (pause())
		;
	return NULL;
}

static __attribute__((constructor)) void begin(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, sleep_on, NULL);
}
