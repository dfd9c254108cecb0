/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The model as a world. */
#include "replay.h"

static int create(const struct uhmm_model_options *options,
		  struct mm_struct **ret_mm)
{
	return uhmm_mm_create_model(options, NULL, ret_mm);
}

static int fork_model(struct replay *replay)
{
	return uhmm_mm_fork(replay->mm, &replay->child);
}

static void exit_child(struct replay *replay)
{
	mmput(replay->child);
}

const struct world_ops model_world = {
	.name = "model",
	.create = create,
	.fork = fork_model,
	.child_exit = exit_child,
	.exit = mmput,
	.mmap = uhmm_model_mmap,
	.munmap = uhmm_model_munmap,
	.mremap = uhmm_model_mremap,
	.mprotect = uhmm_model_mprotect,
	.madvise = uhmm_model_madvise,
	.mlock = uhmm_model_mlock,
	.munlock = uhmm_model_munlock,
	.read = uhmm_model_read,
	.write = uhmm_model_write,
	.file = uhmm_model_file,
	.file_close = uhmm_model_file_close,
	.file_read = uhmm_model_file_read,
	.file_write = uhmm_model_file_write,
	.file_truncate = uhmm_model_file_truncate,
	.file_punch = uhmm_model_file_punch,
	.file_sync = uhmm_model_file_sync,
	.uffd_register = uhmm_model_uffd_register,
	.uffd_unregister = uhmm_model_uffd_unregister,
	.uffd_write_protect = uhmm_model_uffd_write_protect,
	.uffd_copy = uhmm_model_uffd_copy,
	.pin = uhmm_model_pin,
	.unpin = uhmm_model_unpin,
	.pin_access = uhmm_model_pin_access,
	.clear_soft_dirty = uhmm_model_clear_soft_dirty,
	.clear_references = uhmm_model_clear_references,
	.area = uhmm_model_area,
	.pagemap = uhmm_model_pagemap,
};
