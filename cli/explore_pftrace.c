/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * An execution as a file for ui.perfetto.dev: a track for each thread, a slice
 * for each row of the ladder, an arrow from a store to the load in another
 * thread that reads it. There is no time in an execution; a step takes 1 us.
 *
 * The format is protocol buffers; field numbers from Perfetto's trace_packet.proto.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "explore.h"
#include "explore/ladder.h"

struct message {
	unsigned char bytes[2048];
	size_t n;
};

static void put_byte(struct message *m, unsigned char byte)
{
	if (m->n < sizeof(m->bytes))
		m->bytes[m->n++] = byte;
}

static void put_varint(struct message *m, uint64_t value)
{
	for (; value > 127; value >>= 7)
		put_byte(m, value | 128);
	put_byte(m, value);
}

static void put_number(struct message *m, unsigned int field, uint64_t value)
{
	put_varint(m, field << 3);
	put_varint(m, value);
}

static void put_fixed64(struct message *m, unsigned int field, uint64_t value)
{
	unsigned int i;

	put_varint(m, field << 3 | 1);
	for (i = 0; i < 8; i++)
		put_byte(m, value >> 8 * i);
}

static void put_bytes(struct message *m, unsigned int field, const void *bytes,
		      size_t n)
{
	size_t i;

	put_varint(m, field << 3 | 2);
	put_varint(m, n);
	for (i = 0; i < n; i++)
		put_byte(m, ((const unsigned char *)bytes)[i]);
}

static void put_message(struct message *m, unsigned int field,
			const struct message *inner)
{
	put_bytes(m, field, inner->bytes, inner->n);
}

/* Trace.packet, with the sequence that all are of. */
static void write_packet(FILE *out, struct message *packet)
{
	struct message trace = { .n = 0 };

	put_number(packet, 10, 1);
	put_message(&trace, 1, packet);
	fwrite(trace.bytes, 1, trace.n, out);
}

static void write_track(FILE *out, unsigned int thread, const char *name)
{
	struct message track = { .n = 0 }, packet = { .n = 0 };

	put_number(&track, 1, thread + 1);
	put_bytes(&track, 2, name, strlen(name));
	put_message(&packet, 60, &track);
	write_packet(out, &packet);
}

/* What tells an arrow: the event that it comes from. */
static void put_flows(const struct ladder *ladder, const struct ladder_row *row,
		      struct message *event)
{
	const struct trace *trace = ladder->trace;
	unsigned int j;
	int i;

	for (i = row->first; i <= row->last; i++) {
		const struct trace_event *e = &trace->events[i];

		if (e->from >= 0 && trace->events[e->from].thread != e->thread)
			put_fixed64(event, 47, e->from + 1);
		for (j = i + 1; j < trace->nevents; j++)
			if (trace->events[j].from == i &&
			    trace->events[j].thread != e->thread) {
				put_fixed64(event, 47, i + 1);
				break;
			}
	}
}

static void write_row(const struct ladder *ladder, const struct ladder_row *row,
		      FILE *out)
{
	struct message begin = { .n = 0 }, end = { .n = 0 };
	struct message packet = { .n = 0 };
	char text[200];

	ladder_text(ladder, row, text, sizeof(text));
	put_number(&begin, 9, 1);
	put_number(&begin, 11, row->thread + 1);
	put_bytes(&begin, 23, text, strlen(text));
	put_flows(ladder, row, &begin);
	put_number(&packet, 8, 1000ULL * row->first);
	put_message(&packet, 11, &begin);
	write_packet(out, &packet);
	packet.n = 0;
	put_number(&end, 9, 2);
	put_number(&end, 11, row->thread + 1);
	put_number(&packet, 8, 1000ULL * (row->last + 1));
	put_message(&packet, 11, &end);
	write_packet(out, &packet);
}

int trace_pftrace(const struct trace *trace, FILE *out)
{
	struct ladder ladder;
	unsigned int i;

	if (ladder_make(&ladder, trace, 0))
		return -1;
	for (i = 0; i < trace->nthreads; i++)
		if (ladder.column[i] >= 0)
			write_track(out, i, trace->threads[i].name ?
				    trace->threads[i].name : "thread");
	for (i = 0; i < ladder.nrows; i++)
		if (ladder.rows[i].number)
			write_row(&ladder, &ladder.rows[i], out);
	ladder_free(&ladder);
	return ferror(out) ? -1 : 0;
}
