/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Types of the scheme in active_list.c, which see.
 */
#ifndef DESIGNS_ACTIVE_LIST_H
#define DESIGNS_ACTIVE_LIST_H

#include "designs/mirrors.h"

struct active_list_mm;

struct active_list_sub {
	struct mirror mirror;	/* first: mirrors.c knows it as the sub */
	struct active_list_mm *mm;
};

struct active_list_range {
	struct active_list_range *next;
	struct active_list_mm *mm;
	unsigned long start;
	unsigned long end;
};

#endif
