/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A small program of random steps, for engines to agree on.
 */
#ifndef TESTS_EXPLORE_PROGRAM_H
#define TESTS_EXPLORE_PROGRAM_H

#define PROGRAM_THREADS 3
#define PROGRAM_STEPS 4
#define PROGRAM_WORDS 2

enum program_kind {
	PROGRAM_LOAD,
	PROGRAM_STORE,
	PROGRAM_ADD,
	PROGRAM_SWAP_IF_ZERO,
	PROGRAM_FENCE,
	PROGRAM_LOCKED_ADD,
	PROGRAM_TRYLOCK,
	PROGRAM_CHOOSE,
	PROGRAM_SLEEP,		/* on the condition variable */
	PROGRAM_WAKE,
	PROGRAM_KINDS
};

/* @strong: acquire, release, seq_cst; else relaxed, acq_rel of fences. */
struct program_step {
	unsigned char kind, word, value, strong;
};

struct program {
	unsigned int nthreads;
	unsigned int nsteps[PROGRAM_THREADS];
	struct program_step steps[PROGRAM_THREADS][PROGRAM_STEPS];
};

#endif
