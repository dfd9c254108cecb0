/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Who hears what the case's machine announces: in words, in order. "CLEAR 0+2"
 * is from PG(0) on; "~": must not sleep; "[", "]": what is inside of it.
 */
#ifndef TESTS_MODEL_EAR_H
#define TESTS_MODEL_EAR_H

#include "model_util.h"

extern const char *const event_names[];
extern char heard[2000];

/* From here on it is listened to; a test remakes its machine before that. */
void listen_now(void);

/* What was heard since; it is @expected, and is forgotten. */
#define assert_heard(expected)                                               \
	do {                                                                 \
		assert_string_equal(heard, expected);                        \
		*heard = '\0';                                               \
	} while (0)

int events_end(void **state);
/* As machine_begin(), of the newest kernel. */
int newest_begin(void **state);
bool at_newest(void);

#define HEARD(fn)                                                            \
	cmocka_unit_test_setup_teardown(fn, machine_begin, events_end)
#define CASE_NEWEST(fn)                                                      \
	cmocka_unit_test_setup_teardown(fn, newest_begin, machine_end)
#define HEARD_NEWEST(fn)                                                     \
	cmocka_unit_test_setup_teardown(fn, newest_begin, events_end)

#endif
