/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* src/rcache/verbs.c goes without the header: what it takes for granted. */
#include <infiniband/verbs.h>

_Static_assert(IBV_ACCESS_LOCAL_WRITE == 1 << 0, "");
_Static_assert(IBV_ACCESS_REMOTE_WRITE == 1 << 1, "");
_Static_assert(IBV_ACCESS_REMOTE_READ == 1 << 2, "");
_Static_assert(IBV_ACCESS_REMOTE_ATOMIC == 1 << 3, "");

#undef ibv_reg_mr
_Static_assert(_Generic(&ibv_reg_mr, struct ibv_mr *(*)(struct ibv_pd *, void *,
							 size_t, int): 1), "");
_Static_assert(_Generic(&ibv_dereg_mr, int (*)(struct ibv_mr *): 1), "");
