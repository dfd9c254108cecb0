/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef UHMM_CLI_FEATURES_H
#define UHMM_CLI_FEATURES_H

#include <stdbool.h>

/**
 * struct feature - one line of the report
 * @name: what it is
 * @present: it is there
 * @value: more about it
 */
struct feature {
	const char *name;
	bool present;
	char value[200];
};

#define FEATURES_LIVE_MOST 20

/* What a live process can have here; returns how many lines. */
unsigned int features_live(struct feature *to);

#endif
