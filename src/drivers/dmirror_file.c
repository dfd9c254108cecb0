/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Devices and their open files: how they come and go. */
#include "../lib/options.h"
#include "dmirror.h"

#define CHUNK_PAGES 65536

static bool options_good(const struct uhmm_dmirror_options *how)
{
	return (how->type == MEMORY_DEVICE_PRIVATE ||
		how->type == MEMORY_DEVICE_COHERENT) &&
	       !(how->quirks & ~(UHMM_DMIRROR_INCLUSIVE_END |
				 UHMM_DMIRROR_DEVICE_FILTER)) &&
	       how->chunk_pages % TABLE_PAGES == 0;
}

int uhmm_dmirror_create(const struct uhmm_dmirror_options *options,
			struct uhmm_dmirror_device **ret_device)
{
	struct uhmm_dmirror_options how = {
		.size = sizeof(how),
		.type = MEMORY_DEVICE_PRIVATE,
	};
	int err = options_check(options, sizeof(*options));
	struct uhmm_dmirror_device *device;

	if (err)
		return err;
	if (options)
		how = *options;
	if (!ret_device || !options_good(&how))
		return -EINVAL;
	device = calloc(1, sizeof(*device));
	if (!device)
		return -ENOMEM;
	if (!how.chunk_pages)
		how.chunk_pages = CHUNK_PAGES;
	device->how = how;
	pthread_mutex_init(&device->lock, NULL);
	*ret_device = device;
	return 0;
}

int uhmm_dmirror_destroy(struct uhmm_dmirror_device *device)
{
	int ret = dmirror_remove_memory(device);

	if (ret)
		return ret;
	pthread_mutex_destroy(&device->lock);
	free(device);
	return 0;
}

int uhmm_dmirror_open(struct uhmm_dmirror_device *device, struct mm_struct *mm,
		      struct uhmm_dmirror **ret_dmirror)
{
	struct uhmm_dmirror *dmirror;
	int ret;

	if (!device || !mm || !ret_dmirror)
		return -EINVAL;
	dmirror = calloc(1, sizeof(*dmirror));
	if (!dmirror)
		return -ENOMEM;
	dmirror->device = device;
	dmirror->mm = mm;
	pthread_mutex_init(&dmirror->lock, NULL);
	pthread_rwlock_init(&dmirror->use, NULL);
	ret = mmu_interval_notifier_insert(&dmirror->sub, mm, 0,
					   ~0UL & ~(UHMM_PAGE_SIZE - 1),
					   &dmirror_ops);
	if (ret) {
		free(dmirror);
		return ret;
	}
	*ret_dmirror = dmirror;
	return 0;
}

void uhmm_dmirror_close(struct uhmm_dmirror *dmirror)
{
	mmu_interval_notifier_remove(&dmirror->sub);
	dmirror_remove_memory(dmirror->device);
	dmirror_free_tables(dmirror);
	pthread_rwlock_destroy(&dmirror->use);
	pthread_mutex_destroy(&dmirror->lock);
	free(dmirror);
}

enum uhmm_dmirror_right uhmm_dmirror_peek(struct uhmm_dmirror *dmirror,
					  unsigned long addr,
					  unsigned long *ret_pfn)
{
	unsigned long entry;

	pthread_mutex_lock(&dmirror->lock);
	entry = dmirror_get(dmirror, addr);
	pthread_mutex_unlock(&dmirror->lock);
	if (ret_pfn)
		*ret_pfn = entry >> 2;
	return right_of(entry);
}

void *uhmm_dmirror_owner(struct uhmm_dmirror_device *device)
{
	return device;
}

unsigned long uhmm_dmirror_pages(struct uhmm_dmirror_device *device)
{
	unsigned long used;

	pthread_mutex_lock(&device->lock);
	used = device->used;
	pthread_mutex_unlock(&device->lock);
	return used;
}
