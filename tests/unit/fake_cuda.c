/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What stands in for libcuda.so.1: as CUDA it registers no byte twice, and wants
 * a context; it counts, and fails when told to.
 */
#include <stddef.h>

#include "fake_cuda.h"

enum { OUT_OF_MEMORY = 2, ALREADY_REGISTERED = 712, NOT_REGISTERED = 713 };

struct fake_cuda fake_cuda;

int cuCtxPushCurrent_v2(void *context);
int cuCtxPopCurrent_v2(void **ret_context);
int cuMemHostRegister_v2(void *addr, size_t length, unsigned int flags);
int cuMemHostUnregister(void *addr);
int cuMemHostGetDevicePointer_v2(uint64_t *ret_pointer, void *addr,
				 unsigned int flags);

static void *current;

int cuCtxPushCurrent_v2(void *context)
{
	fake_cuda.device.calls++;
	if (fake_cuda.push_fails)
		return fake_cuda.push_fails;
	current = context;
	fake_cuda.depth++;
	return 0;
}

int cuCtxPopCurrent_v2(void **ret_context)
{
	fake_cuda.device.calls++;
	*ret_context = current;
	current = NULL;
	fake_cuda.depth--;
	return 0;
}

static void look_at_context(void)
{
	fake_cuda.device.calls++;
	fake_cuda.without += current != fake_cuda.context;
}

int cuMemHostRegister_v2(void *addr, size_t length, unsigned int flags)
{
	uintptr_t start = (uintptr_t)addr, end = start + length;
	int room = -1;

	look_at_context();
	if (fake_cuda.reg_fails)
		return fake_cuda.reg_fails;
	for (int i = 0; i < FAKE_CUDA_ROOM; i++) {
		if (start < fake_cuda.registered[i].end &&
		    end > fake_cuda.registered[i].start)
			return ALREADY_REGISTERED;
		if (!fake_cuda.registered[i].end)
			room = i;
	}
	if (room < 0)
		return OUT_OF_MEMORY;
	fake_cuda.registered[room].start = start;
	fake_cuda.registered[room].end = end;
	fake_cuda.flags = flags;
	fake_device_registers(&fake_cuda.device);
	return 0;
}

int cuMemHostUnregister(void *addr)
{
	look_at_context();
	if (fake_cuda.unreg_fails)
		return fake_cuda.unreg_fails;
	for (int i = 0; i < FAKE_CUDA_ROOM; i++) {
		if (!fake_cuda.registered[i].end ||
		    fake_cuda.registered[i].start != (uintptr_t)addr)
			continue;
		fake_cuda.registered[i].start = 0;
		fake_cuda.registered[i].end = 0;
		fake_cuda.device.alive--;
		return 0;
	}
	return NOT_REGISTERED;
}

int cuMemHostGetDevicePointer_v2(uint64_t *ret_pointer, void *addr,
				 unsigned int flags)
{
	look_at_context();
	if (fake_cuda.pointer_fails)
		return fake_cuda.pointer_fails;
	*ret_pointer = (uintptr_t)addr + FAKE_CUDA_OFFSET;
	return 0;
}
