/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 06-fault.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair
 * with? Should have a comment that specifies that." What the wait in read_begin
 * pairs with is the store at the end of an invalidation. If it is no acquire, a
 * machine like aarch64 may read the page table as it was before that.
 *
 * Bad: the device reads a page that is freed
 * Result: Never acquire_there
 * Result: Sometimes acquire_missing
 */
#include "protocol.h"

static void run(void)
{
	pthread_t a, b;

	pthread_create(&a, NULL, fault, NULL);
	pthread_create(&b, NULL, invalidate, (void *)2);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
}

static void missing(void)
{
	look = memory_order_relaxed;
	run();
}

#define FROM .source = "mail, 7 November 2019", .model = UHMM_MODEL_C11, \
	     .bad = "the device reads a freed page"
UHMM_SCENARIO(acquire_there, FROM, .run = run, .result = UHMM_RESULT_NEVER);
UHMM_SCENARIO(acquire_missing, FROM, .run = missing,
	      .result = UHMM_RESULT_SOMETIMES);
