/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The writers' side of the stream. Runs wherever memory is changed. */
#include "watcher.h"

#include <stdbool.h>
#include <string.h>

struct stream_record *stream_take(struct stream *stream, uint32_t process)
{
	uint64_t number = __atomic_load_n(&stream->taken, __ATOMIC_RELAXED), read;
	struct stream_record *record;

	do {
		/*
		 * Ordering: (RECORD-FREE) pairs with (RECORD-READ) in
		 * stream_done(): what is written over has been read.
		 */
		read = __atomic_load_n(&stream->read, __ATOMIC_ACQUIRE);
		/* The program does not wait for who reads. */
		if (number - read >= STREAM_RECORDS) {
			__atomic_fetch_add(&stream->lost, 1, __ATOMIC_RELAXED);
			return NULL;
		}
	} while (!__atomic_compare_exchange_n(&stream->taken, &number,
					      number + 1, true,
					      __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	record = &stream->records[number % STREAM_RECORDS];
	/* For who waits for the rest, which may never come. */
	__atomic_store_n(&record->process, process, __ATOMIC_RELAXED);
	__atomic_store_n(&record->number, 2 * (number + 1), __ATOMIC_RELAXED);
	return record;
}

void stream_put(struct stream_record *record)
{
	/*
	 * Ordering: (RECORD) pairs with (RECORD-SEEN) in stream_complete():
	 * who finds it complete finds all of it.
	 */
	__atomic_store_n(&record->number, record->number + 1, __ATOMIC_RELEASE);
}

static bool is_named(const struct stream_object *object, const char *name)
{
	/*
	 * Ordering: (OBJECT-SEEN) pairs with (OBJECT) in stream_object(): a
	 * name that has a beginning is whole.
	 */
	return __atomic_load_n(&object->name[0], __ATOMIC_ACQUIRE) &&
	       !strcmp(object->name, name);
}

/* Two processes may name the same one twice: names are what counts. */
unsigned int stream_object(struct stream *stream, const char *name)
{
	uint32_t n = __atomic_load_n(&stream->nobjects, __ATOMIC_RELAXED);
	size_t length = strlen(name);
	char *to;

	if (length >= STREAM_NAME) {
		name += length - STREAM_NAME + 1;
		length = STREAM_NAME - 1;
	}
	for (uint32_t i = 0; i < n && i < STREAM_OBJECTS; i++)
		if (is_named(&stream->objects[i], name))
			return i + 1;
	n = __atomic_fetch_add(&stream->nobjects, 1, __ATOMIC_RELAXED);
	if (n >= STREAM_OBJECTS || !length)
		return 0;
	to = stream->objects[n].name;
	memcpy(to + 1, name + 1, length);
	/*
	 * Ordering: (OBJECT) pairs with (OBJECT-SEEN) in is_named(): see
	 * there.
	 */
	__atomic_store_n(to, name[0], __ATOMIC_RELEASE);
	return n + 1;
}
