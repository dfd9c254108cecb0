/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "fake_rdma.h"

#include <errno.h>
#include <infiniband/verbs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct {
	const struct uhmm_rcache_ops *ops;
	void *arg;
} memory;

static struct ibv_device device = {
	.node_type = IBV_NODE_CA, .transport_type = IBV_TRANSPORT_IB,
	.name = "fake", .dev_name = "fake",
};
static struct ibv_context context = { .device = &device };
static struct ibv_pd domain = { .context = &context };

void fake_rdma_set_device(const struct uhmm_rcache_ops *ops, void *arg)
{
	memory.ops = ops;
	memory.arg = arg;
}

/* ---------------------------------------------------------------- libibverbs */

struct ibv_device **ibv_get_device_list(int *ret_n)
{
	static struct ibv_device *list[] = { &device, NULL };

	if (ret_n)
		*ret_n = 1;
	return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
}

struct ibv_context *ibv_open_device(struct ibv_device *unused)
{
	return &context;
}

int ibv_close_device(struct ibv_context *unused)
{
	return 0;
}

int ibv_query_device(struct ibv_context *unused, struct ibv_device_attr *attr)
{
	*attr = (struct ibv_device_attr){
		.max_mr_size = ~0UL, .page_size_cap = 4096, .max_mr = 1 << 20,
		.max_qp = 16, .max_qp_wr = 64, .max_sge = 4, .max_sge_rd = 4,
		.max_cq = 16, .max_cqe = 64, .max_pd = 16, .max_ah = 16,
		.max_qp_rd_atom = 4, .max_qp_init_rd_atom = 4,
		.max_res_rd_atom = 16, .max_srq = 16, .max_srq_wr = 64,
		.max_srq_sge = 4, .max_pkeys = 1, .phys_port_cnt = 1,
	};
	return 0;
}

/* What is called by a macro of this name gives less than all. */
#undef ibv_query_port
int ibv_query_port(struct ibv_context *unused, uint8_t port,
		   struct _compat_ibv_port_attr *ret)
{
	struct ibv_port_attr attr = {
		.state = IBV_PORT_ACTIVE, .max_mtu = IBV_MTU_4096,
		.active_mtu = IBV_MTU_4096, .max_msg_sz = 1U << 30,
		.gid_tbl_len = 1, .pkey_tbl_len = 1, .lid = 1,
		.active_width = 2, .active_speed = 16,
		.link_layer = IBV_LINK_LAYER_ETHERNET,
	};

	memcpy(ret, &attr, offsetof(struct ibv_port_attr, port_cap_flags2));
	return 0;
}

int ibv_query_gid(struct ibv_context *unused, uint8_t port, int index,
		  union ibv_gid *ret_gid)
{
	*ret_gid = (union ibv_gid){ .raw = { [15] = 1 } };
	return 0;
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *unused)
{
	return &domain;
}

int ibv_dealloc_pd(struct ibv_pd *unused)
{
	return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *unused, int n, void *arg,
			     struct ibv_comp_channel *channel, int vector)
{
	struct ibv_cq *cq = calloc(1, sizeof(*cq));

	if (cq)
		cq->context = &context;
	return cq;
}

int ibv_destroy_cq(struct ibv_cq *cq)
{
	free(cq);
	return 0;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *unused,
			     struct ibv_qp_init_attr *attr)
{
	struct ibv_qp *qp = calloc(1, sizeof(*qp));

	if (qp)
		qp->context = &context;
	return qp;
}

int ibv_destroy_qp(struct ibv_qp *qp)
{
	free(qp);
	return 0;
}

#undef ibv_reg_mr
struct ibv_mr *ibv_reg_mr(struct ibv_pd *unused, void *addr, size_t length,
			  int access)
{
	struct ibv_mr *mr = calloc(1, sizeof(*mr));
	uint64_t key = 0;
	int err;

	if (!mr)
		return NULL;
	err = memory.ops->reg(memory.arg, (unsigned long)addr, length,
			      UHMM_RCACHE_WRITE, &key);
	if (err) {
		free(mr);
		errno = -err;
		return NULL;
	}
	mr->context = &context;
	mr->pd = &domain;
	mr->addr = addr;
	mr->length = length;
	mr->lkey = mr->rkey = (uint32_t)key;
	return mr;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length,
				uint64_t iova, unsigned int access)
{
	return ibv_reg_mr(pd, addr, length, (int)access);
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	int err = memory.ops->dereg(memory.arg, (unsigned long)mr->addr,
				    mr->length, mr->lkey);

	if (!err)
		free(mr);
	return -err;
}

/* ------------------------------------------ librdmacm, and another's provider */

struct rdma_cm_id {
	struct ibv_context *verbs;
	char rest[1016];
};

struct rdma_addrinfo {
	int flags;
	int family;
	int qp_type;
	int port_space;
	socklen_t src_len;
	socklen_t dst_len;
	struct sockaddr *src;
	void *rest[8];
};

struct ibv_context **rdma_get_devices(int *ret_n);
void rdma_free_devices(struct ibv_context **list);
int rdma_create_id(void *channel, struct rdma_cm_id **ret_id, void *arg,
		   int port_space);
int rdma_destroy_id(struct rdma_cm_id *id);
int rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *addr);
int rdma_getaddrinfo(const char *node, const char *service, const void *hints,
		     struct rdma_addrinfo **ret_info);
void rdma_freeaddrinfo(struct rdma_addrinfo *info);
int efadv_query_device(struct ibv_context *unused, void *attr, uint32_t length);

struct ibv_context **rdma_get_devices(int *ret_n)
{
	static struct ibv_context *list[] = { &context, NULL };

	if (ret_n)
		*ret_n = 1;
	return list;
}

void rdma_free_devices(struct ibv_context **list)
{
}

int rdma_create_id(void *channel, struct rdma_cm_id **ret_id, void *arg,
		   int port_space)
{
	*ret_id = calloc(1, sizeof(**ret_id));
	return *ret_id ? 0 : -1;
}

int rdma_destroy_id(struct rdma_cm_id *id)
{
	free(id);
	return 0;
}

int rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *addr)
{
	id->verbs = &context;
	return 0;
}

int rdma_getaddrinfo(const char *node, const char *service, const void *hints,
		     struct rdma_addrinfo **ret_info)
{
	static struct sockaddr_in here = { .sin_family = AF_INET };
	static struct rdma_addrinfo info = {
		.flags = 1,		/* passive */
		.family = AF_INET, .qp_type = IBV_QPT_RC,
		.port_space = 0x106,	/* as TCP's */
		.src = (struct sockaddr *)&here, .src_len = sizeof(here),
	};

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*ret_info = &info;
	return 0;
}

void rdma_freeaddrinfo(struct rdma_addrinfo *info)
{
}

/* It is none of these. */
int efadv_query_device(struct ibv_context *unused, void *attr, uint32_t length)
{
	return EOPNOTSUPP;
}
