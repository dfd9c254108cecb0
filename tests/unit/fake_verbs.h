/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the stand-in for libibverbs notes, under the name fake_verbs. */
#ifndef FAKE_VERBS_H
#define FAKE_VERBS_H

#include <stddef.h>

#include "fake_device.h"

struct fake_verbs {
	int reg_fails;		/* errno of all registrations; 0: they succeed */
	int dereg_fails;
	struct fake_device device;
	void *pd;		/* of the last registration */
	void *addr;
	size_t length;
	int access;
};

#endif
