/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "rcache_util.h"

struct device device;

static int dev_reg(void *arg, unsigned long start, size_t length,
		   unsigned int access, uint64_t *ret_key)
{
	struct device *d = arg;

	if (d->hook) {
		void (*hook)(void) = d->hook;

		d->hook = NULL;
		hook();
	}
	if (d->refuse > 0) {
		d->refuse--;
		return -ENOMEM;
	}
	if (access & d->refuse_access ||
	    (d->refuse_above && length > d->refuse_above))
		return -EFAULT;
	count(&d->regs);
	*ret_key = ++d->next_key;
	return 0;
}

static int dev_dereg(void *arg, unsigned long start, size_t length,
		     uint64_t key)
{
	struct device *d = arg;

	if (d->stuck) {
		d->stuck--;
		return -EIO;
	}
	count(&d->deregs);
	return 0;
}

const struct uhmm_rcache_ops dev_ops = {
	.name = "test", .reg = dev_reg, .dereg = dev_dereg,
};

struct uhmm_rcache *cache;

void make_with(const struct uhmm_rcache_options *options)
{
	memset(&device, 0, sizeof(device));
	assert_int_equal(uhmm_rcache_create(mm, &dev_ops, &device, options,
					    &cache), 0);
}

void make(unsigned int flags, unsigned long max_entries,
	  unsigned long max_bytes, unsigned int queue)
{
	struct uhmm_rcache_options options = {
		.size = sizeof(options), .flags = flags,
		.max_entries = max_entries, .max_bytes = max_bytes,
		.queue = queue,
	};

	make_with(&options);
}

void unmake(void)
{
	assert_int_equal(uhmm_rcache_destroy(cache), 0);
	assert_int_equal(look(&device.regs), look(&device.deregs));
}

struct uhmm_registration get(unsigned long start, unsigned long length,
			     unsigned int access)
{
	struct uhmm_registration reg;

	assert_int_equal(uhmm_rcache_get(cache, start, length, access, &reg), 0);
	assert_true(reg.start <= start);
	assert_true(reg.start + reg.length >= start + length);
	assert_int_equal(reg.access & access, access);
	return reg;
}

uint64_t touch(unsigned long start, unsigned long length, unsigned int access)
{
	struct uhmm_registration reg = get(start, length, access);

	uhmm_rcache_put(&reg);
	return reg.key;
}

struct uhmm_rcache_stats cache_stats(void)
{
	struct uhmm_rcache_stats s = { .size = sizeof(s) };

	assert_int_equal(uhmm_rcache_get_stats(cache, &s), 0);
	return s;
}
