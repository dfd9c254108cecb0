/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Scripts of the oracle, played anew: see tests/oracle/FORMAT.md for what they
 * say. script.c reads them, ops.c and device.c do what they say on a world (the
 * model or the live process), events.c and state.c say what came of it, text.c
 * how, and compare.c holds that against what Linux did.
 */
#ifndef TESTS_REPLAY_H
#define TESTS_REPLAY_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uhmm/dmirror.h>
#include <uhmm/model.h>

#define PAGE 4096UL
#define WORDS (PAGE / sizeof(uint64_t))
#define MOST_PAGES 1024UL
#define NR_REGIONS 6
#define NR_DEVICES 2
#define NR_FILES 4
#define NR_SLOTS 8
#define NR_ARGS 10

/* ----------------------------------------------------------------- scripts */

enum line_kind { LINE_OP, LINE_COMMENT, LINE_ASSERT, LINE_RESULT, LINE_END };

struct line {
	enum line_kind kind;
	char *text;
	unsigned int number;
};

/**
 * struct script - a file of the oracle
 * @name: of the file
 * @lines: as they stand there, but for empty ones
 * @n: how many
 * @profile: of a random script, "" of a written one
 * @around: the name says that pages of files come with their neighbours
 */
struct script {
	const char *name;
	struct line *lines;
	size_t n;
	char profile[16];
	bool around;
};

/* false, with a message that has the line: it is not one. */
bool script_read(struct script *script, const char *path);
/* @text: it ends with a NUL, and is changed. */
bool script_parse(struct script *script, char *text, size_t size,
		  const char *name);
void script_free(struct script *script);

/* An op, taken apart; @text: as it stood. */
struct op {
	const char *text;
	char buf[160];
	bool child;
	int n;
	char *args[NR_ARGS];	/* the first is the name */
};

/* false: there is no such op, or not with such arguments. */
bool op_parse(struct op *op, const char *text);
/* The file of a device that it is done by; NR_FILES: by none. */
unsigned long op_file_id(const struct op *op);

struct region {
	char name;
	unsigned long pages;
	unsigned long base;
};

extern const struct region regions[NR_REGIONS];
/* -1: there is none of that name. */
int region_by_name(const char *name);
/* The region of an address, or NULL. */
const struct region *region_of(unsigned long addr);

/* ------------------------------------------------------------------ worlds */

struct op;
struct replay;

/**
 * struct world_ops - what scripts need of an address space
 * @name: of the world
 * @outcomes_only: nothing can be seen but what ops return and read: neither
 *	what was announced nor how things stand
 * @fork: the child becomes &replay.child
 * @child_exit: and is no more
 * @child_op: let the child do an op by itself, and say what came of it; NULL:
 *	it is no process of its own
 * @emptied: what such a child has on a device is to go home too
 * @settle: before an op: what the last one has set going is over; or NULL
 *
 * The other operations are those of <uhmm/model.h>; NULL: this world has none.
 */
struct world_ops {
	const char *name;
	bool outcomes_only;
	int (*create)(const struct uhmm_model_options *options,
		      struct mm_struct **ret_mm);
	int (*fork)(struct replay *replay);
	void (*child_exit)(struct replay *replay);
	int (*child_op)(struct replay *replay, const struct op *op);
	void (*emptied)(struct replay *replay, unsigned int device);
	void (*settle)(struct mm_struct *mm);
	void (*exit)(struct mm_struct *mm);
	long (*mmap)(struct mm_struct *mm, unsigned long addr,
		     unsigned long len, int prot, int flags, int file,
		     unsigned long offset);
	int (*munmap)(struct mm_struct *mm, unsigned long addr,
		      unsigned long len);
	long (*mremap)(struct mm_struct *mm, unsigned long addr,
		       unsigned long old_len, unsigned long new_len, int flags,
		       unsigned long new_addr);
	int (*mprotect)(struct mm_struct *mm, unsigned long addr,
			unsigned long len, int prot);
	int (*madvise)(struct mm_struct *mm, unsigned long addr,
		       unsigned long len, int advice);
	int (*mlock)(struct mm_struct *mm, unsigned long addr,
		     unsigned long len);
	int (*munlock)(struct mm_struct *mm, unsigned long addr,
		       unsigned long len);
	int (*read)(struct mm_struct *mm, unsigned long addr, void *buf,
		    size_t len, size_t *ret_done);
	int (*write)(struct mm_struct *mm, unsigned long addr, const void *buf,
		     size_t len, size_t *ret_done);
	int (*file)(struct mm_struct *mm, enum uhmm_model_file_kind kind,
		    unsigned long size);
	int (*file_close)(struct mm_struct *mm, int file);
	long (*file_read)(struct mm_struct *mm, int file, void *buf, size_t len,
			  unsigned long offset);
	long (*file_write)(struct mm_struct *mm, int file, const void *buf,
			   size_t len, unsigned long offset);
	int (*file_truncate)(struct mm_struct *mm, int file,
			     unsigned long size);
	int (*file_punch)(struct mm_struct *mm, int file, unsigned long offset,
			  unsigned long len);
	int (*file_sync)(struct mm_struct *mm, int file);
	int (*uffd_register)(struct mm_struct *mm, unsigned long addr,
			     unsigned long len, unsigned int modes);
	int (*uffd_unregister)(struct mm_struct *mm, unsigned long addr,
			       unsigned long len);
	int (*uffd_write_protect)(struct mm_struct *mm, unsigned long addr,
				  unsigned long len, bool on);
	long (*uffd_copy)(struct mm_struct *mm, unsigned long addr,
			  const void *bytes, size_t npages);
	int (*pin)(struct mm_struct *mm, unsigned long addr, size_t npages,
		   bool write);
	int (*unpin)(struct mm_struct *mm, int id);
	int (*pin_access)(struct mm_struct *mm, int id, size_t page, void *buf,
			  bool write);
	void (*clear_soft_dirty)(struct mm_struct *mm);
	void (*clear_references)(struct mm_struct *mm);
	int (*area)(struct mm_struct *mm, unsigned long addr,
		    struct uhmm_model_area *ret_area);
	void (*pagemap)(struct mm_struct *mm, unsigned long addr, size_t npages,
			char *letters);
};

extern const struct world_ops model_world;
/* The process that plays; each script wants one of its own. */
extern const struct world_ops live_world;
/* How this machine is another than the one known of; NULL: in no way. */
const char *live_world_is_another(void);

/* pins_uring.c, or pins_none.c: pages pinned by a fixed buffer of io_uring. */
extern const bool pins_can_be;
int pins_add(struct mm_struct *mm, unsigned long addr, size_t npages,
	     bool write);
int pins_drop(struct mm_struct *mm, int id);
int pins_access(struct mm_struct *mm, int id, size_t page, void *buf,
		bool write);

/* ------------------------------------------------------------------ replays */

struct event {
	char mark;		/* '<' and '>'; 'p' change_pte, 'y' young */
	int what;
	void *owner;
	unsigned long start;
	unsigned long end;
	bool blockable;
};

struct event_log {
	struct mmu_notifier *mn;
	struct mm_struct *mm;
	struct event *events;
	size_t n;
	size_t room;
};

#define STATES 5	/* s0 s1 p m0 m1 */

/**
 * struct replay - a script that is being played
 * @world: on what
 * @newest: at the newest kernel's level, not that of 6.1
 * @quirks: what the devices get wrong
 * @out: where the results go
 * @mm: the process
 * @child: its child, or NULL; of a process of its own, @mm stands for it
 * @link: to such a one; 0: there is none
 * @child_opened: which files of its own it has, by id
 * @devices: two
 * @files: of the process, by id
 * @child_files: of the child; 0 and 1 are the parent's
 * @mem_file: T
 * @disk_file: X
 * @pins: ids, by slot; 0: none
 * @pin_pages: how many pages they have
 * @named: regions that the process has named so far, and its child
 * @last: state lines printed last, of the process and its child
 * @log: events since the op began
 * @result: the r line of the last op, without the r
 * @checks: asserts met
 * @different: those that did not hold
 */
struct replay {
	const struct world_ops *world;
	bool newest;
	unsigned int quirks;
	FILE *out;
	struct mm_struct *mm;
	struct mm_struct *child;
	int link;
	unsigned int child_opened;
	struct uhmm_dmirror_device *devices[NR_DEVICES];
	struct uhmm_dmirror *files[NR_FILES];
	struct uhmm_dmirror *child_files[NR_FILES];
	int mem_file;
	int disk_file;
	int pins[NR_SLOTS];
	unsigned long pin_pages[NR_SLOTS];
	bool named[2][NR_REGIONS];
	char *last[2][STATES][NR_REGIONS];
	struct event_log log;
	char result[64];
	unsigned int checks;
	unsigned int different;
};

/* An op, with its r line. 0; -1: it cannot be played. */
int replay_op(struct replay *replay, const char *text);
int replay_run(struct replay *replay, const struct script *script);

/* ops.c */
int op_run(struct replay *replay, const struct op *op);
/* With its files, in the order of exit(). */
void child_exit(struct replay *replay);
/* What a CPU finds at a page: 0, with its value; or a signal. */
int page_read(struct replay *replay, struct mm_struct *mm, unsigned long addr,
	      void *bytes);
void result(struct replay *replay, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void result_error(struct replay *replay, long error);
/* Bytes of @n pages of values from @value on; to be freed. */
uint64_t *pages_of(unsigned long n, unsigned long value);
void print_values(struct replay *replay, const uint64_t *bytes, size_t npages);

/* device.c */
bool op_device(struct replay *replay, const struct op *op, int *ret);
int devices_begin(struct replay *replay);
/* One of each, of the process. */
int files_begin(struct replay *replay);
/* What these files have on their devices goes home. */
void files_release(struct uhmm_dmirror **files, unsigned int ids);
void devices_end(struct replay *replay);
/* Those of the process are its child's too, and mirror the process. */
void child_files_inherit(struct replay *replay);
void child_files_close(struct replay *replay);

/* events.c */
int events_begin(struct replay *replay);
void events_end(struct replay *replay);
void events_print(struct replay *replay);
void events_change_pte(struct mm_struct *mm, unsigned long addr, void *arg);

/* state.c */
void state_print(struct replay *replay);
/* Of the child, all states; of its file @device only, if that is not -1. */
void state_forget_child(struct replay *replay, int device);
void state_end(struct replay *replay);
/* Bytes of HMM_DMIRROR_SNAPSHOT become letters. */
void snapshot_letters(unsigned char *prots, size_t n);

/* text.c */
/* "..ww" is ".2w2"; @buf takes 12 bytes a letter. */
void text_letters(char *buf, const char *letters, size_t n);
/* "3 4 5 7 7" is "3..5 7*2"; @torn: no value, but a hash of many. */
void text_values(FILE *out, const uint64_t *values, const bool *torn, size_t n);
const char *text_errno(long error);

/* compare.c */
#define NR_LEVELS 5
/**
 * struct comparison - how a replay differs from what stands in the file
 * @differences: of C1 to C5
 * @first: where the first of each is, in words
 */
struct comparison {
	unsigned long differences[NR_LEVELS];
	char first[NR_LEVELS][400];
};

/* @outcomes: of C1 alone, and without f=. */
void compare(struct comparison *ret, const struct script *expected,
	     const struct script *got, bool outcomes);

/**
 * struct outcome - what came of an op there, and here
 * @text: of the op
 * @r: the r lines, without f=
 * @v: the v lines; "": there is none
 * @scripts: all lines
 * @at: from where on there are those of the op; at the end: of the last reads
 */
struct outcome {
	const char *text;
	const char *r[2];
	const char *v[2];
	const struct script *scripts[2];
	size_t at[2];
};

/* Who is shown each op in turn, and the end. */
struct judge {
	void (*op)(void *arg, const struct outcome *outcome);
	void (*end)(void *arg, const struct outcome *outcome);
	void *arg;
};

void compare_judged(const struct judge *judge, const struct script *expected,
		    const struct script *got);

/* taint.c */
struct taint *taint_begin(void);
/* The roots that let anything differ, themselves included. */
uint64_t taint_end(struct taint *taint);
/* @root: of the op, a bit, or 0. false: a result differs, and may not. */
bool taint_judge(struct taint *taint, const struct outcome *outcome,
		 uint64_t root);
bool taint_judge_end(struct taint *taint, const struct outcome *outcome);

/* differences.c */
#define NR_REASONS 32
/**
 * struct difference - an op that a kernel answers otherwise, or that leaves
 *	something else behind
 * @op: "FILE NUMBER NAME"
 * @reason: why, in a word
 */
struct difference {
	char op[64];
	char reason[32];
};

/**
 * struct differences - those of a kernel
 * @kernel: which one
 * @reasons: words that may be given
 * @nreasons: how many
 * @list: as they stand in the file
 * @n: how many
 */
struct differences {
	char kernel[16];
	char reasons[NR_REASONS][32];
	size_t nreasons;
	struct difference *list;
	size_t n;
};

/* false, with a message: it cannot be read. */
bool differences_read(struct differences *all, const char *path);
/* With itself; NULL: there are none. */
void differences_free(struct differences *all);
/* false, having said so: a file differs where it is not known, or not where it
 * is. */
bool differences_judge(const struct differences *all, const char *path,
		       const struct script *expected, const struct script *got);

#endif
