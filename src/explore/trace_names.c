/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "explore/trace.h"

#define NAME(table, index) \
	((size_t)(index) < sizeof(table) / sizeof((table)[0]) ? \
		 (table)[index] : "?")

const char *trace_kind_name(enum trace_kind kind)
{
	static const char *const names[] = {
		[TRACE_LOAD] = "load",
		[TRACE_STORE] = "store",
		[TRACE_RMW] = "rmw",
		[TRACE_FLUSH] = "flush",
		[TRACE_FENCE] = "fence",
		[TRACE_MEMBARRIER] = "membarrier",
		[TRACE_READ] = "read",
		[TRACE_WRITE] = "write",
		[TRACE_LOCK] = "lock",
		[TRACE_TRYLOCK] = "trylock",
		[TRACE_UNLOCK] = "unlock",
		[TRACE_READ_LOCK] = "read_lock",
		[TRACE_READ_TRYLOCK] = "read_trylock",
		[TRACE_READ_UNLOCK] = "read_unlock",
		[TRACE_WAIT] = "wait",
		[TRACE_WOKEN] = "woken",
		[TRACE_WAKE] = "wake",
		[TRACE_CREATE] = "create",
		[TRACE_JOIN] = "join",
		[TRACE_EXIT] = "exit",
		[TRACE_YIELD] = "yield",
		[TRACE_SLEEP] = "sleep",
		[TRACE_CHOOSE] = "choose",
		[TRACE_NOTE] = "note",
		[TRACE_FREE] = "free",
	};

	return NAME(names, kind);
}

const char *trace_order_name(unsigned char order)
{
	static const char *const names[] = {
		[__ATOMIC_RELAXED] = "relaxed",
		[__ATOMIC_CONSUME] = "consume",
		[__ATOMIC_ACQUIRE] = "acquire",
		[__ATOMIC_RELEASE] = "release",
		[__ATOMIC_ACQ_REL] = "acq_rel",
		[__ATOMIC_SEQ_CST] = "seq_cst",
	};

	return NAME(names, order);
}

const char *trace_model_name(enum uhmm_model model)
{
	static const char *const names[] = {
		[UHMM_MODEL_SC] = "sc",
		[UHMM_MODEL_TSO] = "tso",
		[UHMM_MODEL_C11] = "c11",
	};

	return NAME(names, model);
}

const char *trace_defect_name(enum uhmm_defect defect)
{
	static const char *const names[] = {
		[UHMM_DEFECT_NONE] = "nothing bad",
		[UHMM_DEFECT_ASSERTION] = "assertion",
		[UHMM_DEFECT_STALE] = "stale access",
		[UHMM_DEFECT_LOST] = "lost invalidation",
		[UHMM_DEFECT_USE_AFTER_FREE] = "use after free",
		[UHMM_DEFECT_RACE] = "data race",
		[UHMM_DEFECT_DEADLOCK] = "deadlock",
		[UHMM_DEFECT_HELD_WAIT] = "lock held across a wait",
		[UHMM_DEFECT_LOST_WAKEUP] = "lost wakeup",
		[UHMM_DEFECT_LOCK_ORDER] = "lock order",
		[UHMM_DEFECT_SLEEP] = "sleep where none is allowed",
		[UHMM_DEFECT_LIVELOCK] = "livelock",
		[UHMM_DEFECT_OVERTAKEN] = "overtaken",
		[UHMM_DEFECT_CONTRACT] = "contract",
		[UHMM_DEFECT_TOO_LONG] = "too long",
		[UHMM_DEFECT_UNSUPPORTED] = "unsupported",
	};

	return NAME(names, defect);
}
