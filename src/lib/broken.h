/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Known-bad variants: what tests leave out, to see what it is good for. They are
 * in objects that are compiled for tests, and in no library that is installed.
 */
#ifndef LIB_BROKEN_H
#define LIB_BROKEN_H

#include "../sync/sync.h"

#ifdef UHMM_KNOBS
#define BROKEN(knob, what) unlikely(READ_ONCE(knob) & (what))
#else
#define BROKEN(knob, what) false
#endif

#endif
