/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "fabric_cache.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>

#include "fake_rdma.h"

static void *library;
static struct fid_fabric *fabric;
static struct fid_domain *domain;

static struct {
	__typeof__(fi_getinfo) *getinfo;
	__typeof__(fi_freeinfo) *freeinfo;
	__typeof__(fi_dupinfo) *dupinfo;
	__typeof__(fi_fabric) *fabric;
} calls;

static bool find_calls(void)
{
	library = dlopen("libfabric.so.1", RTLD_NOW);
	if (!library)
		return false;
	*(void **)&calls.getinfo = dlsym(library, "fi_getinfo");
	*(void **)&calls.freeinfo = dlsym(library, "fi_freeinfo");
	*(void **)&calls.dupinfo = dlsym(library, "fi_dupinfo");
	*(void **)&calls.fabric = dlsym(library, "fi_fabric");
	return calls.getinfo && calls.freeinfo && calls.dupinfo && calls.fabric;
}

static struct fi_info *find_provider(void)
{
	struct fi_info *hints = calls.dupinfo(NULL), *info = NULL;

	if (!hints)
		return NULL;
	hints->caps = FI_MSG | FI_RMA;
	hints->addr_format = FI_SOCKADDR_IN;
	hints->ep_attr->type = FI_EP_MSG;
	hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR |
				      FI_MR_ALLOCATED | FI_MR_PROV_KEY;
	hints->fabric_attr->prov_name = strdup("verbs");
	if (calls.getinfo(FI_VERSION(1, 13), NULL, NULL, 0, hints, &info))
		info = NULL;
	calls.freeinfo(hints);
	return info;
}

const char *fabric_cache_open(const char *monitor,
			      const struct uhmm_rcache_ops *ops, void *device)
{
	const char *why = NULL;
	struct fi_info *info;

	fake_rdma_set_device(ops, device);
	setenv("FI_PROVIDER", "verbs", 1);
	if (monitor)
		setenv("FI_MR_CACHE_MONITOR", monitor, 1);
	if (!library && !find_calls())
		return "libfabric.so.1 is not there";
	info = find_provider();
	if (!info)
		return "libfabric has no verbs provider, or one that asks for more";
	if (calls.fabric(info->fabric_attr, &fabric, NULL))
		why = "its fabric cannot be opened";
	else if (fi_domain(fabric, info, &domain, NULL))
		why = "its domain cannot be opened";
	calls.freeinfo(info);
	return why;
}

void fabric_cache_close(void)
{
	fi_close(&domain->fid);
	fi_close(&fabric->fid);
}

/* As who uses it registers: more at once than is asked for. */
static int get(unsigned long addr, size_t length, struct adversary_use *ret)
{
	unsigned long start = addr & ~(ADVERSARY_GRANULE - 1);
	struct fid_mr *mr;
	int err = fi_mr_reg(domain, (void *)start, ADVERSARY_GRANULE,
			    FI_READ | FI_WRITE, 0, 0, 0, &mr, NULL);

	if (err)
		return err;
	ret->other = mr;
	ret->key = fi_mr_key(mr);
	return 0;
}

static void put(struct adversary_use *use)
{
	struct fid_mr *mr = use->other;

	fi_close(&mr->fid);
}

const struct adversary_cache fabric_cache = { get, put };
