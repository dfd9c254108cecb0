/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A kernel that knows no membarrier, if the test wants one. Who links it wraps
 * syscall (-Wl,--wrap=syscall).
 */
#ifndef TESTS_STRESS_REFUSE_MEMBARRIER_H
#define TESTS_STRESS_REFUSE_MEMBARRIER_H

#include <stdbool.h>

/* To be set before the first address space is made. */
extern bool refuse_membarrier;

#endif
