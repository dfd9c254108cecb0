/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Who holds a mutex of the program's?
 */
#ifndef SYNC_HELD_H
#define SYNC_HELD_H

#include <stdbool.h>

/* Does this thread hold @mutex, a pthread mutex that checks for errors? */
bool sync_mutex_held(void *mutex);

#endif
