/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What `uhmm watch` has in a process: no device and no thread, a record for
 * each change.
 */
#ifndef AGENT_WATCHER_H
#define AGENT_WATCHER_H

#include <stdbool.h>

#include "board.h"
#include "stream.h"

/* watcher.c: from now on changes are written down; @process: its number. */
void watcher_start(struct stream *stream, uint32_t process, bool forked);
void watcher_end(void);

/* stream.c. NULL: there is no room, and it is counted. */
struct stream_record *stream_take(struct stream *stream, uint32_t process);
void stream_put(struct stream_record *record);
/* The number of an object, from 1 on; 0: there are too many. */
unsigned int stream_object(struct stream *stream, const char *name);

/* site.c: who made a call, by the words on the stack behind it. */
void site_init(struct stream *stream);
void site_find(const unsigned long *stack, uint64_t *ret_site,
	       uint64_t *ret_caller);
/* An object may have gone. */
void site_forget(unsigned long start, unsigned long end);

#endif
