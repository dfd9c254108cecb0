/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What stands in for libibverbs.so.1: it counts, and fails when told to. */
#include <errno.h>
#include <stdlib.h>

#include "fake_verbs.h"

struct fake_verbs fake_verbs;

void *ibv_reg_mr(void *pd, void *addr, size_t length, int access);
int ibv_dereg_mr(void *mr);

void *ibv_reg_mr(void *pd, void *addr, size_t length, int access)
{
	fake_verbs.device.calls++;
	if (fake_verbs.reg_fails) {
		errno = fake_verbs.reg_fails;
		return NULL;
	}
	fake_verbs.pd = pd;
	fake_verbs.addr = addr;
	fake_verbs.length = length;
	fake_verbs.access = access;
	fake_device_registers(&fake_verbs.device);
	return malloc(1);
}

int ibv_dereg_mr(void *mr)
{
	fake_verbs.device.calls++;
	if (fake_verbs.dereg_fails)
		return fake_verbs.dereg_fails;
	free(mr);
	fake_verbs.device.alive--;
	return 0;
}
