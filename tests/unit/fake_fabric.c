/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* See the header. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fake_fabric.h"
#include "rcache/fabric.h"

enum { ROOM = 16 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	uintptr_t start, end;
	unsigned long key;
} entry[ROOM];
static unsigned long registered;

static void begin(void);
static void end(void);
static unsigned long search(uintptr_t addr, size_t length);

struct fake_fabric fake_fabric = {
	.begin = begin, .end = end, .search = search,
};

static void notify(struct fabric_monitor *monitor, const void *addr,
		   size_t length)
{
	uintptr_t start = (uintptr_t)addr;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < ROOM; i++)
		if (entry[i].start < start + length && entry[i].end > start)
			entry[i].end = entry[i].start = 0;
	pthread_mutex_unlock(&lock);
}

static void begin(void)
{
	pthread_mutex_lock(&lock);
	memset(entry, 0, sizeof(entry));
	fake_fabric.monitor->ops->start(fake_fabric.monitor);
	pthread_mutex_unlock(&lock);
}

static void end(void)
{
	pthread_mutex_lock(&lock);
	fake_fabric.monitor->ops->stop(fake_fabric.monitor);
	pthread_mutex_unlock(&lock);
}

static int find(uintptr_t addr, size_t length)
{
	for (int i = 0; i < ROOM; i++)
		if (entry[i].start <= addr && entry[i].end >= addr + length)
			return i;
	return -1;
}

static unsigned long search(uintptr_t addr, size_t length)
{
	struct fabric_monitor *monitor = fake_fabric.monitor;
	unsigned long key;
	int i;

	pthread_mutex_lock(&lock);
	i = find(addr, length);
	if (i >= 0 && monitor->ops->valid(monitor, (void *)addr, length)) {
		key = entry[i].key;
		pthread_mutex_unlock(&lock);
		return key;
	}
	if (i >= 0)
		entry[i].end = entry[i].start = 0;
	pthread_mutex_unlock(&lock);
	key = __atomic_add_fetch(&registered, 1, __ATOMIC_SEQ_CST);
	if (fake_fabric.registering)
		fake_fabric.registering();
	pthread_mutex_lock(&lock);
	for (i = 0; i < ROOM && entry[i].end; i++)
		;
	if (i < ROOM &&
	    !monitor->ops->subscribe(monitor, (void *)addr, length)) {
		entry[i].start = addr;
		entry[i].end = addr + length;
		entry[i].key = key;
	}
	pthread_mutex_unlock(&lock);
	return key;
}

static int monitor_close(struct fabric_fid *fid)
{
	fake_fabric.monitor = NULL;
	return 0;
}

static int monitor_bind(struct fabric_fid *caches, struct fabric_fid *fid,
			uint64_t flags)
{
	static struct fabric_notify_ops notify_ops = {
		.size = sizeof(notify_ops), .notify = notify,
	};
	static struct fabric_ops ops = {
		.size = sizeof(ops), .close = monitor_close,
	};
	struct fabric_monitor *monitor = (struct fabric_monitor *)fid;

	if (fake_fabric.bind_fails)
		return fake_fabric.bind_fails;
	if (fid->fclass != FABRIC_CLASS_MEM_MONITOR ||
	    monitor->ops->size < sizeof(*monitor->ops))
		return -EINVAL;
	if (fake_fabric.monitor)
		return -EBUSY;
	fid->ops = &ops;
	monitor->notify_ops = &notify_ops;
	fake_fabric.monitor = monitor;
	return 0;
}

static int caches_close(struct fabric_fid *fid)
{
	fake_fabric.caches--;
	return 0;
}

int fi_open(uint32_t version, const char *name, void *attr, size_t attr_len,
	    uint64_t flags, struct fabric_fid **ret_fid, void *context);

int fi_open(uint32_t version, const char *name, void *attr, size_t attr_len,
	    uint64_t flags, struct fabric_fid **ret_fid, void *context)
{
	static struct fabric_ops ops = {
		.size = sizeof(ops), .close = caches_close,
		.bind = monitor_bind,
	};
	static struct fabric_fid fid = { .ops = &ops };

	if (version != FABRIC_VERSION || strcmp(name, "mr_cache"))
		return -ENOSYS;
	fake_fabric.caches++;
	*ret_fid = &fid;
	return 0;
}
