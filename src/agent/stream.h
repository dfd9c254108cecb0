/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The stream: a ring of records behind the board, that the agents of all
 * processes write and that `uhmm watch` reads while they run.
 *
 * A place in it is taken by a number that is counted. What takes memory away
 * takes its number before it does, what brings some takes it afterwards: so for
 * each address the numbers are in the order of what happened.
 */
#ifndef AGENT_STREAM_H
#define AGENT_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#define STREAM_RECORDS (1UL << 19)
#define STREAM_OBJECTS 1024
#define STREAM_NAME 120

enum stream_kind {
	STREAM_NOTHING,		/* it failed */
	STREAM_START,		/* a program, or a process that was forked */
	STREAM_AREA,		/* it has from its start */
	STREAM_END,		/* exit() */
	STREAM_MMAP,
	STREAM_MUNMAP,
	STREAM_MREMAP,
	STREAM_MPROTECT,
	STREAM_MADVISE,
	STREAM_BRK,
	STREAM_SHMAT,
	STREAM_SHMDT,
	STREAM_TRUNCATE,	/* a hole in a file, or its end */
	STREAM_FORK,
	STREAM_KINDS,
};

/* Whose code made the system call; as enum live_from. */
enum stream_from {
	STREAM_LIBC,
	STREAM_LD,		/* ld.so */
	STREAM_SYSCALL,		/* syscall() of libc */
};

/* Places in code: an object's number from 1 on, and where in it. */
#define STREAM_OBJECT(place) ((unsigned int)((place) >> 48))
#define STREAM_OFFSET(place) ((place) & ((1UL << 48) - 1))

/**
 * struct stream_record - a change of an address space
 * @number: twice its number from 1 on: being written; one more: complete
 * @at_ns: of CLOCK_MONOTONIC
 * @addr: where
 * @length: how much; of a mremap() before it
 * @to: of a mremap() where it is then; of others what the system call returned
 * @to_length: of a mremap() after it
 * @site: who called libc, or ld.so, 0: not known
 * @caller: the nearest caller that is in neither, 0: not known
 * @took_ns: the system call alone
 * @process: index into &board.processes
 * @tid: of the thread
 * @flags: of mmap() its flags, of madvise() the advice, of mremap() its flags
 * @prot: of mmap() and mprotect()
 * @kind: enum stream_kind
 * @from: enum stream_from
 */
struct stream_record {
	uint64_t number;
	uint64_t at_ns;
	uint64_t addr;
	uint64_t length;
	uint64_t to;
	uint64_t to_length;
	uint64_t site;
	uint64_t caller;
	uint32_t took_ns;
	uint32_t process;
	uint32_t tid;
	uint32_t flags;
	uint32_t prot;
	uint16_t kind;
	uint16_t from;
};

/* An object that code was in: its file. Ready once @name is not empty. */
struct stream_object {
	char name[STREAM_NAME];
};

/**
 * struct stream - all of it
 * @taken: numbers taken
 * @read: numbers that the tool is done with
 * @lost: changes for which the ring had no room
 * @nobjects: how many @objects were taken, counted
 * @objects: by their numbers, less one
 * @records: by number, modulo their number
 */
struct stream {
	uint64_t taken __attribute__((aligned(64)));
	uint64_t read __attribute__((aligned(64)));
	uint64_t lost;
	uint32_t nobjects;
	struct stream_object objects[STREAM_OBJECTS];
	struct stream_record records[STREAM_RECORDS];
} __attribute__((aligned(4096)));

/* Is it there, and all of it? Numbers from 0 on. */
static inline bool stream_complete(const struct stream_record *record,
				   uint64_t number)
{
	/*
	 * Ordering: (RECORD-SEEN) pairs with (RECORD) in stream_put(): see
	 * there.
	 */
	return __atomic_load_n(&record->number, __ATOMIC_ACQUIRE) ==
	       2 * (number + 1) + 1;
}

/* All records before this one have been read. */
static inline void stream_done(struct stream *stream, uint64_t number)
{
	/*
	 * Ordering: (RECORD-READ) pairs with (RECORD-FREE) in stream_take():
	 * see there.
	 */
	__atomic_store_n(&stream->read, number, __ATOMIC_RELEASE);
}

#endif
