/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * &mmu_interval_notifier.verified while it is even: from the bottom a 0,
 * "known", 16 bits of how many threads have it reserved, and the number of
 * the first of these reservations.
 */
#ifndef CORE_RESERVE_H
#define CORE_RESERVE_H

#include "internal.h"

#define VERIFIED_KNOWN 2UL
#define VERIFIED_ONE 4UL
#define VERIFIED_MAX 65535UL
#define VERIFIED_NUMBER_SHIFT 18
#define VERIFIED_RESERVERS(verified) \
	((verified) & 1 ? 0UL : (verified) >> 2 & VERIFIED_MAX)

static inline bool sub_reserved(const struct mmu_interval_notifier *sub)
{
	return VERIFIED_RESERVERS(READ_ONCE(sub->verified));
}

/* Shall the read that begins be looked at closely when it ends? */
bool reserve_colliding(const struct mmu_interval_notifier *sub);
/* This thread's reservation ends with the subscription. */
void reserve_forget(struct mmu_interval_notifier *sub);
/* The read has ended. */
void reserve_result(struct mmu_interval_notifier *sub, bool collided);

#endif
