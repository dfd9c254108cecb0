/* SPDX-License-Identifier: 0BSD */
/*
 * Mail: as 10-missing-acquire.c,
 * <9dc2b3c7-f945-b645-b3a3-313a21d2fdfc@nvidia.com>: the same under C11's memory
 * model on the library and on the kernel's scheme as rebuilt here, where each
 * acquire and release names its partner.
 *
 * Bad: the device reads a page that is freed
 * Result: Never
 */
#include "device.h"

static void ordered(const struct uhmm_design *of)
{
	begin(of);
	TOGETHER(device, unmap);
}

static void run_uhmm(void)
{
	ordered(&uhmm_as_uhmm);
}

static void run_classic(void)
{
	ordered(&uhmm_as_classic);
}

#define FROM .source = "mail, 7 November 2019", .model = UHMM_MODEL_C11, \
	     .bad = "the device reads a freed page", \
	     .result = UHMM_RESULT_NEVER
UHMM_SCENARIO(ordered_uhmm, FROM, .run = run_uhmm);
UHMM_SCENARIO(ordered_classic, FROM, .run = run_classic);
