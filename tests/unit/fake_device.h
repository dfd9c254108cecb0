/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the libraries that stand in for those of devices have in common. */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H

#include <stddef.h>

struct fake_device {
	int calls;		/* of all functions */
	int made;		/* registrations */
	int alive;
	const int *memory;	/* what is there is copied when it is registered, */
	int copied;
	void (*hook)(void);	/* and then this is called, once */
};

static inline void fake_device_registers(struct fake_device *d)
{
	void (*hook)(void) = d->hook;

	d->made++;
	d->alive++;
	d->hook = NULL;
	if (d->memory)
		d->copied = *d->memory;
	if (hook)
		hook();
}

#endif
