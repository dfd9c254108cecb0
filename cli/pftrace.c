/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "pftrace.h"

#include <string.h>

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

void pftrace_track(FILE *out, uint64_t track, const char *name, int counter)
{
	struct message descriptor = { .n = 0 }, packet = { .n = 0 };
	struct message none = { .n = 0 };

	put_number(&descriptor, 1, track);
	put_bytes(&descriptor, 2, name, strlen(name));
	if (counter)
		put_message(&descriptor, 8, &none);
	put_message(&packet, 60, &descriptor);
	write_packet(out, &packet);
}

void pftrace_event(FILE *out, const struct pftrace_event *event)
{
	struct message m = { .n = 0 }, packet = { .n = 0 };
	unsigned int i;

	put_number(&m, 9, event->type);
	put_number(&m, 11, event->track);
	if (event->name)
		put_bytes(&m, 23, event->name, strlen(event->name));
	if (event->type == PFTRACE_COUNTER)
		put_number(&m, 30, (uint64_t)event->value);
	for (i = 0; i < event->nflows; i++)
		put_fixed64(&m, 47, event->flows[i]);
	put_number(&packet, 8, event->at_ns);
	put_message(&packet, 11, &m);
	write_packet(out, &packet);
}
