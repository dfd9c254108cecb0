/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * UCX's cache, by the header that it installs. Its library is opened late: it
 * puts hooks into libc as it is loaded, where G1 puts its own.
 */
#include "rcache_peer.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <ucm/api/ucm.h>
#include <ucs/memory/rcache.h>

static __typeof__(ucs_rcache_create) *create;
static __typeof__(ucs_rcache_destroy) *destroy;
static __typeof__(ucs_rcache_get) *get;
static __typeof__(ucs_rcache_region_put) *put;
/* What ucm_munmap() says of it before it unmaps; in no header that is installed. */
static void (*event_enter)(void);
static void (*event_dispatch)(ucm_event_type_t type, ucm_event_t *event);
static void (*event_leave)(void);

static void *symbol(void *library, const char *name)
{
	return library ? dlsym(library, name) : NULL;
}

const char *peer_open(const char **ret_why)
{
	void (*version)(unsigned int *, unsigned int *, unsigned int *);
	unsigned int major = 0, minor = 0, release = 0;
	void *ucs = dlopen("libucs.so.0", RTLD_NOW);
	void *ucp = dlopen("libucp.so.0", RTLD_NOW);
	void *ucm = dlopen("libucm.so.0", RTLD_NOW);
	static char name[32];

	*(void **)&create = symbol(ucs, "ucs_rcache_create");
	*(void **)&destroy = symbol(ucs, "ucs_rcache_destroy");
	*(void **)&get = symbol(ucs, "ucs_rcache_get");
	*(void **)&put = symbol(ucs, "ucs_rcache_region_put");
	*(void **)&event_enter = symbol(ucm, "ucm_event_enter");
	*(void **)&event_dispatch = symbol(ucm, "ucm_event_dispatch");
	*(void **)&event_leave = symbol(ucm, "ucm_event_leave");
	*(void **)&version = symbol(ucp, "ucp_get_version");
	*ret_why = "libucs has no such cache, or is not installed";
	if (!create || !destroy || !get || !put)
		return NULL;
	if (version)
		version(&major, &minor, &release);
	snprintf(name, sizeof(name), "UCX %u.%u.%u, here", major, minor, release);
	return name;
}

static ucs_status_t reg(void *context, ucs_rcache_t *cache, void *arg,
			ucs_rcache_region_t *region, uint16_t flags)
{
	(void)context;
	(void)cache;
	(void)arg;
	(void)region;
	(void)flags;
	return UCS_OK;
}

static void dereg(void *context, ucs_rcache_t *cache,
		  ucs_rcache_region_t *region)
{
	(void)context;
	(void)cache;
	(void)region;
}

static void dump(void *context, ucs_rcache_t *cache,
		 ucs_rcache_region_t *region, char *buf, size_t max)
{
	(void)context;
	(void)cache;
	(void)region;
	snprintf(buf, max, "nothing");
}

/* ------------------------------------------------------------ for a device */

struct region {
	ucs_rcache_region_t super;
	uint64_t key;
};

static struct {
	const struct uhmm_rcache_ops *ops;
	void *arg;
} device;

static ucs_status_t device_reg(void *context, ucs_rcache_t *cache, void *arg,
			       ucs_rcache_region_t *region, uint16_t flags)
{
	struct region *r = (struct region *)region;
	size_t length = region->super.end - region->super.start;

	(void)context;
	(void)cache;
	(void)arg;
	(void)flags;
	return device.ops->reg(device.arg, region->super.start, length,
			       UHMM_RCACHE_WRITE, &r->key) ?
		UCS_ERR_IO_ERROR : UCS_OK;
}

static void device_dereg(void *context, ucs_rcache_t *cache,
			 ucs_rcache_region_t *region)
{
	const struct region *r = (const struct region *)region;

	(void)context;
	(void)cache;
	device.ops->dereg(device.arg, region->super.start,
			  region->super.end - region->super.start, r->key);
}

static void *create_cache(const ucs_rcache_ops_t *ops, size_t granule,
			  int events)
{
	const ucs_rcache_params_t params = {
		.region_struct_size = sizeof(struct region),
		.alignment = granule,
		.max_alignment = granule,
		.ucm_events = events,
		.ucm_event_priority = 1000,
		.ops = ops,
		.flags = UCS_RCACHE_FLAG_NO_PFN_CHECK,
		.max_regions = ULONG_MAX,
		.max_size = SIZE_MAX,
		.max_unreleased = SIZE_MAX,
	};
	ucs_rcache_t *cache = NULL;

	return create(&params, "uhmm", NULL, &cache) == UCS_OK ? cache : NULL;
}

void *peer_create(void)
{
	static const ucs_rcache_ops_t ops = {
		.mem_reg = reg, .mem_dereg = dereg, .dump_region = dump,
	};

	/* No hooks for that: events do not come from anywhere else. */
	return create_cache(&ops, 4096, peer_hears() ?
			    UCM_EVENT_VM_UNMAPPED | UCM_EVENT_FLAG_NO_INSTALL : 0);
}

bool peer_hears(void)
{
	return event_enter && event_dispatch && event_leave;
}

void peer_event(unsigned long addr, size_t length)
{
	ucm_event_t event = {
		.vm_unmapped = { .address = (void *)addr, .size = length },
	};

	event_enter();
	event_dispatch(UCM_EVENT_VM_UNMAPPED, &event);
	event_leave();
}

void *peer_create_for(const struct uhmm_rcache_ops *ops, void *arg,
		      size_t granule)
{
	static const ucs_rcache_ops_t device_ops = {
		.mem_reg = device_reg, .mem_dereg = device_dereg,
		.dump_region = dump,
	};

	device.ops = ops;
	device.arg = arg;
	return create_cache(&device_ops, granule, UCM_EVENT_VM_UNMAPPED);
}

bool peer_get(void *cache, unsigned long addr, size_t length, void **ret_region,
	      uint64_t *ret_key)
{
	ucs_rcache_region_t *region;

	if (get(cache, (void *)addr, length, PROT_READ | PROT_WRITE, NULL,
		&region) != UCS_OK)
		return false;
	*ret_region = region;
	*ret_key = ((struct region *)region)->key;
	return true;
}

void peer_put(void *cache, void *region)
{
	put(cache, region);
}

/* --------------------------------------------------------------------------- */

void peer_destroy(void *cache)
{
	destroy(cache);
}

bool peer_get_put(void *cache, unsigned long addr, size_t length)
{
	ucs_rcache_region_t *region;

	if (get(cache, (void *)addr, length, PROT_READ | PROT_WRITE, NULL,
		&region) != UCS_OK)
		return false;
	put(cache, region);
	return true;
}
