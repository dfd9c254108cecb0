/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#ifndef EXPLORE_RACE_H
#define EXPLORE_RACE_H

#include "clock.h"

/*
 * The last accesses to a piece of memory, by the time of their thread; of the
 * piece that begins at a byte, if it is a border. All zero: none.
 */
struct cell {
	uint64_t epoch;
	int16_t write_time;
	uint8_t writer;
	union times read, atomic_read, atomic_write;
};

#endif
