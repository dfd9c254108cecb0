/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What the stand-in for libcuda notes, under the name fake_cuda. */
#ifndef FAKE_CUDA_H
#define FAKE_CUDA_H

#include <stdint.h>

#include "fake_device.h"

#define FAKE_CUDA_ROOM 64
/* From host to device pointers. */
#define FAKE_CUDA_OFFSET 0x7000000000UL

struct fake_cuda {
	int push_fails;		/* CUresult of all calls; 0: they succeed */
	int reg_fails;
	int pointer_fails;
	int unreg_fails;
	struct fake_device device;
	unsigned int flags;	/* of the last one */
	int depth;		/* contexts pushed and not popped */
	int without;		/* calls without the right context */
	void *context;		/* the right one */
	struct {
		uintptr_t start, end;
	} registered[FAKE_CUDA_ROOM];
};

#endif
