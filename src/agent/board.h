/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The board: pages that `uhmm run` owns and that the agent in each process of
 * the program writes its counts into. They are there when the process is not
 * any more, however it ended; the program's side allocates nothing for them.
 *
 * One writer each but for the words said to be counted, which many threads,
 * and processes after a fork without the agent's knowledge, add to.
 */
#ifndef AGENT_BOARD_H
#define AGENT_BOARD_H

#include <stdint.h>

#define BOARD_MAGIC 0x75686d6d626f6131ULL
#define BOARD_ENV "UHMM_BOARD"		/* where it can be opened */
#define BOARD_PROCESSES 4096
#define BOARD_EVENTS 8			/* enum mmu_notifier_event, less RELEASE */
#define BOARD_LADDER 40
#define BOARD_COMMANDS 10		/* of dmirror, by number */

enum board_device {
	BOARD_CHECKER,
	BOARD_WATCH,		/* none: events alone */
	BOARD_DMIRROR,		/* files that the program opens */
};

enum board_state {
	BOARD_FREE,
	BOARD_STARTED,
	BOARD_RUNS,		/* its memory is mirrored */
	BOARD_ENDED,		/* by exit(), with a last look */
	BOARD_REFUSED,		/* &board_process.reason */
};

/* What happened in a fault of the device, or meanwhile. */
enum board_step {
	BOARD_READ_BEGIN,
	BOARD_WALK,
	BOARD_INVALIDATE,
	BOARD_RETRY,
	BOARD_INSTALL,
};

/**
 * struct board_record - one line of a ladder
 * @at_ns: since the fault began
 * @start: of the range
 * @end: of the range
 * @seq: number of the invalidation, or of what was read
 * @tid: of the thread
 * @step: enum board_step
 * @event: enum mmu_notifier_event
 */
struct board_record {
	uint64_t at_ns;
	uint64_t start;
	uint64_t end;
	uint64_t seq;
	uint32_t tid;
	uint16_t step;
	uint16_t event;
};

/**
 * struct board_ladder - the fault that had to try again most often
 * @retries: how often
 * @began_ns: of CLOCK_MONOTONIC
 * @ns: how long it took
 * @n: how many records
 * @lost: records that found no room
 * @records: oldest first
 */
struct board_ladder {
	uint64_t retries;
	uint64_t began_ns;
	uint64_t ns;
	uint32_t n;
	uint32_t lost;
	struct board_record records[BOARD_LADDER];
};

/**
 * struct board_counts - what happened in a process
 * @events: invalidations by event
 * @areas: areas mirrored, at the last look over all
 * @passes: looks over all
 * @faults: pages taken into the device's table
 * @reads: entries used and compared
 * @retries: faults and reads thrown away because of an invalidation
 * @waits: invalidations that were waited for
 * @wait_longest_ns: the longest of them
 * @stale: an entry was used that an event, or the end of its area, should have
 *	killed, and its frame was not the page's any more
 * @missed: of these, those that no event told of
 * @sampled: pages held from look to look, and compared by their data
 * @confirmed: stale entries that were found so
 * @moved: another frame, and no event: the kernel moved the page
 * @copied: of these, copies on write, which no process is told of
 * @dropped: invalidations that the device was deaf to, on purpose
 * @mirrored: pages in the table, summed over the looks in which @resident is known
 * @resident: pages in memory, summed over the looks; 0: not known
 * @opens: of dmirror's files
 * @commands: of dmirror, by number
 * @failed: of these
 * @exec_refused: programs that were not started, as a filter would stay
 * @own_ns: spent in the program's own threads
 * @device_ns: CPU time of the device's thread
 */
struct board_counts {
	uint64_t events[BOARD_EVENTS];
	uint64_t areas;
	uint64_t passes;
	uint64_t faults;
	uint64_t reads;
	uint64_t retries;
	uint64_t waits;
	uint64_t wait_longest_ns;
	uint64_t stale;
	uint64_t missed;
	uint64_t sampled;
	uint64_t confirmed;
	uint64_t moved;
	uint64_t copied;
	uint64_t dropped;
	uint64_t mirrored;
	uint64_t resident;
	uint64_t opens;
	uint64_t commands[BOARD_COMMANDS];
	uint64_t failed;
	uint64_t exec_refused;
	uint64_t own_ns;
	uint64_t device_ns;
};

/**
 * struct board_process - one process, or one program in it
 * @state: enum board_state
 * @pid: its number
 * @parent: its parent's
 * @forked: made by fork(), not by exec()
 * @asked: enum uhmm_guarantee
 * @guarantee: enum uhmm_guarantee
 * @frames: the device's entries have the kernel's frames
 * @user: whose it was, when last looked at
 * @start_ns: of CLOCK_MONOTONIC
 * @last_ns: of CLOCK_MONOTONIC, when anything was last written
 * @name: of the program
 * @reason: why less than asked for, or refused
 * @counts: see there
 * @ladder: see there
 */
struct board_process {
	uint32_t state;
	int32_t pid;
	int32_t parent;
	uint32_t forked;
	int32_t asked;
	int32_t guarantee;
	uint32_t frames;
	uint32_t user;
	uint64_t start_ns;
	uint64_t last_ns;
	char name[16];
	char reason[200];
	struct board_counts counts;
	struct board_ladder ladder;
} __attribute__((aligned(4096)));

/**
 * struct board - all of it
 * @magic: BOARD_MAGIC
 * @size: sizeof(struct board)
 * @device: enum board_device
 * @deaf: drop one in so many invalidations; 0: none
 * @guarantee: asked for, enum uhmm_guarantee
 * @newest: dmirror is as the newest Linux has it, not as 6.1
 * @used: how many of @processes were taken, counted; it may pass their number
 * @processes: of all, in the order in which they began
 */
struct board {
	uint64_t magic;
	uint64_t size;
	uint32_t device;
	uint32_t deaf;
	int32_t guarantee;
	uint32_t newest;
	uint32_t used;
	struct board_process processes[BOARD_PROCESSES]
		__attribute__((aligned(4096)));
};

static inline void board_set_state(struct board_process *process,
				   enum board_state state)
{
	/*
	 * Ordering: (BOARD-STATE) pairs with (BOARD-SEEN) in board_state():
	 * what a process wrote before is seen with its state.
	 */
	__atomic_store_n(&process->state, state, __ATOMIC_RELEASE);
}

static inline enum board_state board_state(const struct board_process *process)
{
	/*
	 * Ordering: (BOARD-SEEN) pairs with (BOARD-STATE) in
	 * board_set_state(): see there.
	 */
	return (enum board_state)__atomic_load_n(&process->state,
						 __ATOMIC_ACQUIRE);
}

#endif
