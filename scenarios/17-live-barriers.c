/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c, message-id
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: "What does the above pair with?"
 * Of the barriers in the library those of 17-live.c, for one look alone.
 *
 * Bad: a page is used that was gone before it was asked for
 * Result: Never
 */
#include "linux.h"

#define NOW 0

static void *fault_once(void *unused)
{
	unsigned long seq;

	uhmm_thread_name("device");
	if (!uhmm_interval_read_begin_timeout(&sub, NOW, &seq))
		look_up(seq);
	return NULL;
}

static void told(void)
{
	begin_live(0);
	linux_register();
	TOGETHER(fault_once, unmap_unannounced);
	use_kept(true);
	end_live();
}

UHMM_SCENARIO(ordered_told, .run = told, .bad = "a page is used that was gone",
	      .model = UHMM_MODEL_C11, .result = UHMM_RESULT_NEVER,
	      .source = "mail, 7 November 2019 (barriers)");
