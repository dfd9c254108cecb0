/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Types of the schemes in valid_flag.c, which see.
 */
#ifndef DESIGNS_VALID_FLAG_H
#define DESIGNS_VALID_FLAG_H

#include "designs/mirrors.h"

struct valid_flag_mm;

struct valid_flag_sub {
	struct mirror mirror;	/* first: mirrors.c knows it as the sub */
	struct valid_flag_mm *mm;
	bool valid;		/* under mirrors.lock */
};

struct valid_flag_range {
	struct valid_flag_mm *mm;
	unsigned long start;
	unsigned long end;
};

#endif
