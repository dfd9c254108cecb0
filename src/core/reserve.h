/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * &mmu_interval_notifier.verified while it is even: from the bottom a 0,
 * "known", 16 bits of how many threads have it reserved, and the number of
 * the first of these reservations.
 */
#ifndef CORE_RESERVE_H
#define CORE_RESERVE_H

#include "internal.h"

/* Odd, and no number of an invalidation: never verified. */
#define VERIFIED_NEW 5UL
#define VERIFIED_KNOWN 2UL
#define VERIFIED_ONE 4UL
#define VERIFIED_MAX 65535UL
#define VERIFIED_NUMBER_SHIFT 18
#define VERIFIED_RESERVERS(verified) \
	((verified) & 1 ? 0UL : (verified) >> 2 & VERIFIED_MAX)

/* Does every invalidation that is open know the subscription? */
static inline bool verified_known(unsigned long verified)
{
	return verified & 1 ? verified != VERIFIED_NEW :
			      verified & VERIFIED_KNOWN;
}

/* @until: held to the caller's benefit; after that it may be lost. */
struct reservation {
	struct mmu_interval_notifier *sub;
	unsigned long number;
	int64_t until;
};

/**
 * struct reserve_thread - what a thread has reserved, and where it collides
 * @held: reservations; some may be lost; NULL: there never were any
 * @nheld: how many
 * @room: for how many @held has room
 * @first: room for what is enough for most
 * @colliding: the subscription whose reads collided last; NULL: none
 * @collisions: how often in a row
 */
struct reserve_thread {
	struct reservation *held;
	unsigned int nheld;
	unsigned int room;
	const struct mmu_interval_notifier *colliding;
	unsigned int collisions;
	struct reservation first[4];
};

extern __thread struct reserve_thread reserve_thread
	__attribute__((tls_model("initial-exec")));

/* May this thread have @sub reserved, or have collided with it last? */
static inline bool reserve_knows(const struct mmu_interval_notifier *sub)
{
	return reserve_thread.nheld || reserve_thread.colliding == sub;
}

/* The subscription ends, and with it what this thread knows of it. */
static inline void reserve_forget(struct mmu_interval_notifier *sub)
{
	if (unlikely(reserve_thread.nheld))
		uhmm_interval_unreserve(sub);
	if (unlikely(reserve_thread.colliding == sub))
		reserve_thread.colliding = NULL;
}

static inline bool sub_reserved(const struct mmu_interval_notifier *sub)
{
	return VERIFIED_RESERVERS(READ_ONCE(sub->verified));
}

/* Shall the read that begins be looked at closely when it ends? */
bool reserve_colliding(const struct mmu_interval_notifier *sub);
void reserve_thread_exit(void);
/* The read has ended. */
void reserve_result(struct mmu_interval_notifier *sub, bool collided);

#endif
