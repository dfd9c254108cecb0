/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Not written for this machine: aarch64, say, where the number may be loaded by
 * an instruction that stands apart from the trap, and other cores have to be
 * told of new code. G0 works.
 */
#include "patch.h"

#include <errno.h>
#include <unistd.h>

int live_patch_machine(void)
{
	return live_patch_refuse("code is patched on x86-64 only");
}

int live_patch_code(struct live_code *code)
{
	return live_patch_machine();
}

int live_patch_seal(struct live_code *code)
{
	return live_patch_machine();
}

enum live_from live_patch_from(const unsigned long *args)
{
	return LIVE_FROM_LIBC;
}

const unsigned long *live_patch_stack(const unsigned long *args)
{
	return NULL;
}

long live_raw_syscall(long nr, const unsigned long *args)
{
	long ret = syscall(nr, args[0], args[1], args[2], args[3], args[4],
			   args[5]);

	return ret == -1 ? -errno : ret;
}

const char live_patch_gate[1];
static uint64_t none_refused;
uint64_t *live_filter_refused = &none_refused;

int live_filter_install(const struct live_code *libc)
{
	return live_patch_machine();
}
