/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * explored/protocol.c as a model for spin: one fault, two invalidations. Which
 * variant it is says the environment.
 */
#define GOOD		0
#define VALID_BOOL	1
#define VALID_COUNT	2
#define READ_UNDER_LOCK	3
#define LOST_WAKEUP	4

#define LOCK(l)		atomic { !l -> l = true }
#define UNLOCK(l)	l = false

byte variant = GOOD;
bool mm_lock, user_lock;
bool queued, woken;		/* the fault, in the queue */
byte seq = 2, sub_seq = 1;
byte busy;
bool valid = true;
byte pte = 1, next = 2;
bool freed[5];

inline cond_wait()
{
	atomic { queued = true; UNLOCK(mm_lock) };
	atomic { woken -> woken = false };
	LOCK(mm_lock)
}

inline broadcast()
{
	d_step {
		if
		:: queued -> queued = false; woken = true
		:: else -> skip
		fi
	}
}

proctype fault()
{
	byte begun, page;

again:
	if
	:: variant == READ_UNDER_LOCK -> LOCK(user_lock)
	:: else -> skip
	fi;
	LOCK(mm_lock);
	begun = sub_seq;
	do
	:: begun == seq ->
		if
		:: variant == LOST_WAKEUP -> UNLOCK(mm_lock); LOCK(mm_lock)
		:: else -> skip
		fi;
		cond_wait()
	:: begun != seq -> break
	od;
	UNLOCK(mm_lock);
	page = pte;
	if
	:: variant != READ_UNDER_LOCK -> LOCK(user_lock)
	:: else -> skip
	fi;
	if
	:: (variant == VALID_BOOL || variant == VALID_COUNT) && !valid ||
	   variant != VALID_BOOL && variant != VALID_COUNT &&
	   sub_seq != begun -> UNLOCK(user_lock); goto again
	:: else -> skip
	fi;
	assert(!freed[page]);
	UNLOCK(user_lock)
}

proctype invalidate()
{
	byte cur, page, old;

	LOCK(mm_lock);
	busy++;
	seq = seq | 1;
	cur = seq;
	UNLOCK(mm_lock);

	LOCK(user_lock);
	valid = false;
	sub_seq = cur;
	UNLOCK(user_lock);

	d_step { page = next; next++ };
	d_step { old = pte; pte = page };
	freed[old] = true;

	LOCK(mm_lock);
	busy--;
	if
	:: busy == 0 -> seq++
	:: else -> skip
	fi;
	if
	:: busy == 0 || variant == VALID_BOOL -> valid = true
	:: else -> skip
	fi;
	broadcast();
	UNLOCK(mm_lock)
}

init {
	c_code { now.variant = (unsigned char)atoi(getenv("VARIANT")); };
	atomic { run fault(); run invalidate(); run invalidate() }
}
