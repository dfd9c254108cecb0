/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Files for ui.perfetto.dev: tracks, and slices on them. The format is protocol
 * buffers; field numbers from Perfetto's trace_packet.proto.
 */
#ifndef UHMM_CLI_PFTRACE_H
#define UHMM_CLI_PFTRACE_H

#include <stdint.h>
#include <stdio.h>

enum pftrace_type {
	PFTRACE_BEGIN = 1,
	PFTRACE_END = 2,
	PFTRACE_INSTANT = 3,
	PFTRACE_COUNTER = 4,
};

/**
 * struct pftrace_event - the beginning or end of a slice, or a point in time
 * @type: what it is
 * @track: from 1 on
 * @at_ns: when
 * @name: NULL at the end of one
 * @value: of a counter
 * @flows: arrows that begin or end here: numbers that are in no other
 * @nflows: how many
 */
struct pftrace_event {
	enum pftrace_type type;
	uint64_t track;
	uint64_t at_ns;
	const char *name;
	int64_t value;
	const uint64_t *flows;
	unsigned int nflows;
};

/* @counter: of values over time. */
void pftrace_track(FILE *out, uint64_t track, const char *name, int counter);
void pftrace_event(FILE *out, const struct pftrace_event *event);

#endif
