/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* src/rcache/fabric.c goes without the header: what it takes for granted. */
#include <rdma/fi_ext.h>

#include "rcache/fabric.h"

#define SAME(ours, ours_member, theirs, theirs_member)                        \
	_Static_assert(offsetof(struct ours, ours_member) ==                  \
		       offsetof(struct theirs, theirs_member), "")

_Static_assert(FABRIC_CLASS_MEM_MONITOR == FI_CLASS_MEM_MONITOR, "");
_Static_assert(FABRIC_VERSION == FI_VERSION(1, 13), "");
_Static_assert(sizeof(struct fabric_ops) == sizeof(struct fi_ops), "");
_Static_assert(sizeof(struct fabric_fid) == sizeof(struct fid), "");
_Static_assert(sizeof(struct fabric_monitor) == sizeof(struct fid_mem_monitor),
	       "");
_Static_assert(sizeof(struct fabric_monitor_ops) ==
	       sizeof(struct fi_ops_mem_monitor), "");
SAME(fabric_fid, fclass, fid, fclass);
SAME(fabric_fid, ops, fid, ops);
SAME(fabric_ops, close, fi_ops, close);
SAME(fabric_ops, bind, fi_ops, bind);
SAME(fabric_monitor, ops, fid_mem_monitor, export_ops);
SAME(fabric_monitor, notify_ops, fid_mem_monitor, import_ops);
SAME(fabric_monitor_ops, start, fi_ops_mem_monitor, start);
SAME(fabric_monitor_ops, stop, fi_ops_mem_monitor, stop);
SAME(fabric_monitor_ops, subscribe, fi_ops_mem_monitor, subscribe);
SAME(fabric_monitor_ops, unsubscribe, fi_ops_mem_monitor, unsubscribe);
SAME(fabric_monitor_ops, valid, fi_ops_mem_monitor, valid);
SAME(fabric_notify_ops, notify, fi_ops_mem_notify, notify);

_Static_assert(_Generic(&fi_open, int (*)(uint32_t, const char *, void *, size_t,
					   uint64_t, struct fid **, void *): 1),
	       "");
