/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The commands of the device: data through the mirror, and the rest handed on. */
#include "dmirror.h"

/* A range of pages on its way to or from the caller. */
struct bounce {
	unsigned char *data;
	unsigned long pages;
};

/* ---------------------------------------------------------- read and write */

static int bounce_init(struct bounce *bounce, const struct hmm_dmirror_cmd *cmd)
{
	bounce->pages = 0;
	bounce->data = malloc(cmd->npages << UHMM_PAGE_SHIFT);
	return bounce->data ? 0 : -ENOMEM;
}

int dmirror_copy(const struct uhmm_dmirror *dmirror, void *to,
		 const void *from, size_t len)
{
	if (dmirror->device->how.copy)
		return dmirror->device->how.copy(to, from, len);
	memcpy(to, from, len);
	return 0;
}

static int transfer_page(struct uhmm_dmirror *dmirror, unsigned long addr,
			 void *data, bool write)
{
	unsigned long entry = dmirror_get(dmirror, addr);

	if (!entry || (write && right_of(entry) != UHMM_DMIRROR_PT_WRITE))
		return -ENOENT;
	return write ? uhmm_page_write(dmirror->mm, entry >> 2, 0, data,
				       UHMM_PAGE_SIZE) :
		       uhmm_page_read(dmirror->mm, entry >> 2, 0, data,
				      UHMM_PAGE_SIZE);
}

/* Through the mirror alone, from @bounce->pages on. -ENOENT: it is not there. */
static int transfer(struct uhmm_dmirror *dmirror, struct bounce *bounce,
		    const struct hmm_dmirror_cmd *cmd, bool write)
{
	int ret = 0;

	pthread_rwlock_rdlock(&dmirror->use);
	pthread_mutex_lock(&dmirror->lock);
	for (; bounce->pages < cmd->npages; bounce->pages++) {
		unsigned long at = bounce->pages << UHMM_PAGE_SHIFT;

		ret = transfer_page(dmirror, cmd->addr + at, bounce->data + at,
				    write);
		if (ret)
			break;
	}
	pthread_mutex_unlock(&dmirror->lock);
	pthread_rwlock_unlock(&dmirror->use);
	return ret;
}

/* What is not there is faulted. */
static int transfer_all(struct uhmm_dmirror *dmirror, struct bounce *bounce,
			struct hmm_dmirror_cmd *cmd, bool write, bool unlocked)
{
	unsigned long end = cmd->addr + (cmd->npages << UHMM_PAGE_SHIFT);
	int ret;

	for (;;) {
		ret = transfer(dmirror, bounce, cmd, write);
		if (ret != -ENOENT)
			return ret;
		ret = dmirror_fault(dmirror, cmd->addr +
				    (bounce->pages << UHMM_PAGE_SHIFT),
				    end, write, unlocked);
		if (ret)
			return ret;
		cmd->faults++;
	}
}

static int give(struct uhmm_dmirror *dmirror, const struct bounce *bounce,
		struct hmm_dmirror_cmd *cmd)
{
	cmd->cpages = bounce->pages;
	return dmirror_copy(dmirror, (void *)(uintptr_t)cmd->ptr, bounce->data,
		    bounce->pages << UHMM_PAGE_SHIFT);
}

static int cmd_read(struct uhmm_dmirror *dmirror, struct hmm_dmirror_cmd *cmd,
		    bool unlocked)
{
	struct bounce bounce;
	int ret = bounce_init(&bounce, cmd);

	if (ret)
		return ret;
	ret = transfer_all(dmirror, &bounce, cmd, false, unlocked);
	if (!ret)
		ret = give(dmirror, &bounce, cmd);
	free(bounce.data);
	return ret;
}

static int cmd_write(struct uhmm_dmirror *dmirror, struct hmm_dmirror_cmd *cmd)
{
	struct bounce bounce;
	int ret = bounce_init(&bounce, cmd);

	if (ret)
		return ret;
	ret = dmirror_copy(dmirror, bounce.data, (void *)(uintptr_t)cmd->ptr,
		   cmd->npages << UHMM_PAGE_SHIFT);
	if (!ret)
		ret = transfer_all(dmirror, &bounce, cmd, true, false);
	cmd->cpages = bounce.pages;
	free(bounce.data);
	return ret;
}

/* What the device has after a command that brings pages to it. */
static int give_what_is_there(struct uhmm_dmirror *dmirror,
			      struct hmm_dmirror_cmd *cmd)
{
	struct bounce bounce;
	int ret = bounce_init(&bounce, cmd);

	if (ret)
		return ret;
	ret = transfer(dmirror, &bounce, cmd, false);
	if (!ret)
		ret = give(dmirror, &bounce, cmd);
	free(bounce.data);
	return ret;
}

/* ------------------------------------------------------------------ commands */

static int cmd_flags(struct uhmm_dmirror_device *device,
		     const struct hmm_dmirror_cmd *cmd)
{
	pthread_mutex_lock(&device->lock);
	device->fail_alloc = cmd->npages & HMM_DMIRROR_FLAG_FAIL_ALLOC;
	pthread_mutex_unlock(&device->lock);
	return 0;
}

static int command(struct uhmm_dmirror *dmirror, unsigned long request,
		   struct hmm_dmirror_cmd *cmd)
{
	unsigned long start = cmd->addr;
	unsigned long end = start + (cmd->npages << UHMM_PAGE_SHIFT);
	int ret;

	switch (request) {
	case HMM_DMIRROR_READ:
		return cmd_read(dmirror, cmd, false);
	case HMM_DMIRROR_WRITE:
		return cmd_write(dmirror, cmd);
	case HMM_DMIRROR_MIGRATE_TO_DEV:
		ret = dmirror_to_dev(dmirror, start, end);
		return ret ? ret : give_what_is_there(dmirror, cmd);
	case HMM_DMIRROR_MIGRATE_TO_SYS:
		return dmirror_to_sys(dmirror, start, end, &cmd->cpages);
	case HMM_DMIRROR_SNAPSHOT:
		return dmirror_snapshot(dmirror, cmd);
	case HMM_DMIRROR_EXCLUSIVE:
		ret = dmirror_exclusive(dmirror, start, end);
		return ret ? ret : give_what_is_there(dmirror, cmd);
	case HMM_DMIRROR_CHECK_EXCLUSIVE:
		return dmirror_check_exclusive(dmirror, start, end);
	case HMM_DMIRROR_RELEASE:
		return dmirror_remove_memory(dmirror->device);
	case HMM_DMIRROR_FLAGS:
		return cmd_flags(dmirror->device, cmd);
	case HMM_DMIRROR_READ_UNLOCKED:
		return cmd_read(dmirror, cmd, true);
	default:
		return -EINVAL;
	}
}

int uhmm_dmirror_ioctl(struct uhmm_dmirror *dmirror, unsigned long request,
		       struct hmm_dmirror_cmd *cmd)
{
	struct hmm_dmirror_cmd own;
	int ret;

	if (!dmirror || !cmd)
		return -EINVAL;
	own = *cmd;
	own.cpages = own.faults = 0;
	if (own.addr % UHMM_PAGE_SIZE ||
	    own.addr + (own.npages << UHMM_PAGE_SHIFT) <= own.addr ||
	    own.npages > UINT64_MAX >> UHMM_PAGE_SHIFT)
		return -EINVAL;
	if (!dmirror->device->how.newest && request >= HMM_DMIRROR_FLAGS)
		return -EINVAL;
	ret = command(dmirror, request, &own);
	if (!ret)
		*cmd = own;
	return ret;
}
