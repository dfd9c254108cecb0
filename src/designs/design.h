/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * One small table through which every scheme can be driven: the library's own,
 * the kernel's, and those that came before. Conformance, histories, stress and
 * benchmark are written once, on this.
 *
 *	struct mirror {
 *		struct design_client client;	may serve many subscriptions
 *		...
 *		struct design_sub sub;		container_of() leads back
 *	};
 *	design->prepare(&m->client);
 *	design->mm_create(&mm);
 *	design->insert(&m->sub, mm, start, length, &m->client);
 *	  ... start, end; read_begin, read_retry; remove ...
 *	design->release(mm);
 *	design->mm_destroy(mm);
 *
 * A function that a design has no counterpart for is NULL.
 */
#ifndef DESIGNS_DESIGN_H
#define DESIGNS_DESIGN_H

#include <uhmm/mmu_notifier.h>

#include "designs/active_list.h"
#include "designs/classic.h"
#include "designs/valid_flag.h"

struct design_mm;

/*
 * All zero before the first insert. A design uses &uhmm_design.sub_size bytes
 * of it: whoever counts memory puts it last in an object of his own and
 * allocates less. @other is for a design that a test brings along.
 */
struct design_sub {
	union {
		struct mmu_interval_notifier uhmm;
		struct classic_interval_notifier classic;
		struct active_list_sub active_list;
		struct valid_flag_sub valid_flag;
		unsigned long other[12];
	} as;
};

struct design_list {
	union {
		struct mmu_notifier uhmm;
		struct classic_notifier classic;
		unsigned long other[12];
	} as;
};

struct design_range {
	union {
		struct mmu_notifier_range uhmm;
		struct classic_range classic;
		struct active_list_range active_list;
		struct valid_flag_range valid_flag;
	} as;
};

/*
 * @invalidate is called as &mmu_interval_notifier_ops.invalidate, and has to
 * call &uhmm_design.set_seq under its own lock; [start, end) is the range as
 * announced. @finish, if not NULL, makes it two passes: @invalidate is the
 * first. prepare() fills @native; then the client may be shared by any number
 * of subscriptions of this design.
 */
struct design_client {
	bool (*invalidate)(struct design_sub *sub, unsigned long start,
			   unsigned long end, bool blockable,
			   enum mmu_notifier_event event, void *owner,
			   unsigned long cur_seq);
	void (*finish)(struct design_sub *sub);
	union {
		struct mmu_interval_notifier_ops uhmm;
		struct classic_interval_ops classic;
	} native;
};

/*
 * A list notifier: @start returns 0, or -EAGAIN if not @blockable; who may
 * refuse has no @end. All three may be NULL. @native as above.
 */
struct design_list_client {
	int (*start)(struct design_list *list, unsigned long start,
		     unsigned long end, bool blockable,
		     enum mmu_notifier_event event);
	void (*end)(struct design_list *list, unsigned long start,
		    unsigned long end, enum mmu_notifier_event event);
	void (*release)(struct design_list *list);
	union {
		struct mmu_notifier_ops uhmm;
		struct classic_ops classic;
	} native;
};

/**
 * struct uhmm_design - a scheme
 * @name: one word
 * @since: where it comes from, a few words
 * @sub_size: bytes of a subscription
 * @mm_create: an address space; 0 or -ENOMEM
 * @release: its end: RELEASE is sent; to be called once
 * @mm_destroy: after release() and the last remove: gives the memory back
 * @prepare: see &struct design_client; 0, or -EOPNOTSUPP: no second pass
 * @insert: 0 or -errno
 * @remove: waits for callbacks; not in a callback
 * @read_begin: may wait
 * @read_retry: under the client's lock: true: do it again
 * @check_retry: without it: true: a retry is certain
 * @set_seq: in @invalidate, under the client's lock
 * @start: fills @range; 0, -EAGAIN if not @blockable, -EINVAL: bad range;
 *	-EOPNOTSUPP: there is no such thing as non-blockable
 * @end: after a start that returned 0
 * @prepare_list: see &struct design_list_client
 * @list_register: 0 or -errno
 * @list_unregister: waits for callbacks
 */
struct uhmm_design {
	const char *name;
	const char *since;
	size_t sub_size;
	int (*mm_create)(struct design_mm **ret_mm);
	void (*release)(struct design_mm *mm);
	void (*mm_destroy)(struct design_mm *mm);
	int (*prepare)(struct design_client *client);
	int (*insert)(struct design_sub *sub, struct design_mm *mm,
		      unsigned long start, unsigned long length,
		      const struct design_client *client);
	void (*remove)(struct design_sub *sub);
	unsigned long (*read_begin)(struct design_sub *sub);
	bool (*read_retry)(struct design_sub *sub, unsigned long seq);
	bool (*check_retry)(struct design_sub *sub, unsigned long seq);
	void (*set_seq)(struct design_sub *sub, unsigned long cur_seq);
	int (*start)(struct design_range *range, struct design_mm *mm,
		     unsigned long start, unsigned long end, bool blockable,
		     enum mmu_notifier_event event, void *owner);
	void (*end)(struct design_range *range);
	void (*prepare_list)(struct design_list_client *client);
	int (*list_register)(struct design_list *list, struct design_mm *mm,
			     const struct design_list_client *client);
	void (*list_unregister)(struct design_list *list,
				struct design_mm *mm);
};

extern const struct uhmm_design uhmm_as_uhmm;
extern const struct uhmm_design uhmm_as_classic;
extern const struct uhmm_design uhmm_as_active_list;
extern const struct uhmm_design uhmm_as_valid_flag;
extern const struct uhmm_design uhmm_as_valid_bool;

/* All of them, the library's own first; ends with NULL. */
extern const struct uhmm_design *const uhmm_designs[];
/* NULL if there is none of this name. */
const struct uhmm_design *uhmm_design_by_name(const char *name);

#endif
