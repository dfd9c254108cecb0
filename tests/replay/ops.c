/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a script tells a process, and the kernel below it, to do. */
#include "replay.h"

#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>

void result(struct replay *replay, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(replay->result, sizeof(replay->result), format, args);
	va_end(args);
}

/* 0 and what is above it are no error. */
void result_error(struct replay *replay, long error)
{
	result(replay, "%s", error < 0 ? text_errno(error) : "0");
}

uint64_t *pages_of(unsigned long n, unsigned long value)
{
	uint64_t *bytes = malloc(n * PAGE + 1);

	for (unsigned long i = 0; i < n * WORDS; i++)
		bytes[i] = value + i / WORDS;
	return bytes;
}

void print_values(struct replay *replay, const uint64_t *bytes, size_t npages)
{
	uint64_t values[MOST_PAGES];
	bool torn[MOST_PAGES] = { false };

	if (!npages)
		return;
	for (size_t i = 0; i < npages; i++) {
		const uint64_t *page = bytes + i * WORDS;
		uint64_t hash = 0;

		for (size_t j = 0; j < WORDS; j++) {
			torn[i] = torn[i] || page[j] != page[0];
			hash = hash * 31 + page[j];
		}
		values[i] = torn[i] ? hash : page[0];
	}
	fprintf(replay->out, " v");
	text_values(replay->out, values, torn, npages);
	fprintf(replay->out, "\n");
}

int page_read(struct replay *replay, struct mm_struct *mm, unsigned long addr,
	      void *bytes)
{
	return replay->world->read(mm, addr, bytes, PAGE, NULL);
}

/* ------------------------------------------------------------------ operands */

struct operands {
	struct mm_struct *mm;
	unsigned long addr;
	unsigned long n;
	unsigned long len;
	unsigned long first;
	unsigned long number;	/* what follows the range */
	const char *word;	/* the same */
};

static unsigned long number(const struct op *op, int i)
{
	return i < op->n ? strtoul(op->args[i], NULL, 10) : 0;
}

/* From the @at-th argument on: a region, a page, how many. */
static bool operands_range(const struct op *op, int at, struct operands *ret)
{
	int region = op->n > at + 2 ? region_by_name(op->args[at]) : -1;

	if (region < 0)
		return false;
	ret->first = number(op, at + 1);
	ret->n = number(op, at + 2);
	ret->addr = regions[region].base + ret->first * PAGE;
	ret->len = ret->n * PAGE;
	ret->word = op->n > at + 3 ? op->args[at + 3] : "";
	ret->number = number(op, at + 3);
	return ret->n && ret->n <= MOST_PAGES;
}

struct name {
	const char *name;
	int value;
};

/* -1: it is none of them. */
static int by_name(const struct name *names, const char *name)
{
	for (; names->name; names++)
		if (!strcmp(names->name, name))
			return names->value;
	return -1;
}

static const struct name prots[] = {
	{ "none", PROT_NONE },
	{ "r", PROT_READ },
	{ "rw", PROT_READ | PROT_WRITE },
	{ "w", PROT_WRITE },
	{ "rx", PROT_READ | PROT_EXEC },
	{ "rwx", PROT_READ | PROT_WRITE | PROT_EXEC },
	{ NULL, 0 }
};

static const struct name advice[] = {
	{ "dontneed", MADV_DONTNEED },
	{ "free", MADV_FREE },
	{ "remove", MADV_REMOVE },
	{ "cold", MADV_COLD },
	{ "pageout", MADV_PAGEOUT },
	{ "popr", MADV_POPULATE_READ },
	{ "popw", MADV_POPULATE_WRITE },
	{ "dontfork", MADV_DONTFORK },
	{ "wipeonfork", MADV_WIPEONFORK },
	{ "hugepage", MADV_HUGEPAGE },
	{ "willneed", MADV_WILLNEED },
	{ NULL, 0 }
};

/* ------------------------------------------------------------------ mappings */

static int do_mmap(struct replay *replay, const struct op *op,
		   struct operands *to)
{
	static const struct name kinds[] = {
		{ "anon", MAP_PRIVATE | MAP_ANONYMOUS },
		{ "shanon", MAP_SHARED | MAP_ANONYMOUS },
		{ "huge", MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB },
		{ "tpriv", MAP_PRIVATE },
		{ "tsh", MAP_SHARED },
		{ "xpriv", MAP_PRIVATE },
		{ "xsh", MAP_SHARED },
		{ "dev", MAP_PRIVATE },
		{ NULL, 0 }
	};
	int flags = by_name(kinds, to->word), file = 0;
	int prot = op->n > 5 ? by_name(prots, op->args[5]) : -1;
	bool device = !strcmp(to->word, "dev");

	if (flags < 0 || prot < 0)
		return -1;
	if (device)
		file = replay->world->file(to->mm, UHMM_MODEL_FILE_DEVICE,
					   to->len);
	else if (!(flags & MAP_ANONYMOUS))
		file = *to->word == 't' ? replay->mem_file : replay->disk_file;
	result_error(replay, replay->world->mmap(to->mm, to->addr, to->len,
			prot, flags | MAP_FIXED, file,
			file && !device ? to->first * PAGE : 0));
	if (device)
		replay->world->file_close(to->mm, file);
	return 0;
}

static int do_mremap(struct replay *replay, const struct op *op,
		     struct operands *to)
{
	static const struct name kinds[] = {
		{ "move", MREMAP_MAYMOVE | MREMAP_FIXED },
		{ "dontunmap", MREMAP_MAYMOVE | MREMAP_FIXED |
			       MREMAP_DONTUNMAP },
		{ "resize", 0 },
		{ NULL, 0 }
	};
	int flags = op->n > 7 ? by_name(kinds, op->args[7]) : -1;
	struct operands new;

	if (flags < 0 || !operands_range(op, 4, &new))
		return -1;
	result_error(replay, replay->world->mremap(to->mm, to->addr, to->len,
			new.len, flags, new.addr));
	return 0;
}

static int do_munmap(struct replay *replay, const struct op *op,
		     struct operands *to)
{
	result_error(replay, replay->world->munmap(to->mm, to->addr, to->len));
	return 0;
}

static int do_mprotect(struct replay *replay, const struct op *op,
		       struct operands *to)
{
	int prot = by_name(prots, to->word);

	if (prot < 0)
		return -1;
	result_error(replay, replay->world->mprotect(to->mm, to->addr, to->len,
						     prot));
	return 0;
}

static int do_madv(struct replay *replay, const struct op *op,
		   struct operands *to)
{
	int what = by_name(advice, to->word);

	if (what < 0)
		return -1;
	result_error(replay, replay->world->madvise(to->mm, to->addr, to->len,
						    what));
	return 0;
}

static int do_mlock(struct replay *replay, const struct op *op,
		    struct operands *to)
{
	result_error(replay, replay->world->mlock(to->mm, to->addr, to->len));
	return 0;
}

static int do_munlock(struct replay *replay, const struct op *op,
		      struct operands *to)
{
	result_error(replay, replay->world->munlock(to->mm, to->addr,
						    to->len));
	return 0;
}

/* ---------------------------------------------------------------------- CPUs */

static void result_signal(struct replay *replay, int signal, unsigned long at)
{
	if (signal)
		result(replay, "%s@%lu", signal == SIGBUS ? "BUS" : "SEGV", at);
}

static int do_cr(struct replay *replay, const struct op *op,
		 struct operands *to)
{
	uint64_t *bytes = pages_of(to->n, 0);
	unsigned long i;
	int signal = 0;

	for (i = 0; i < to->n; i++) {
		signal = page_read(replay, to->mm, to->addr + i * PAGE,
				   bytes + i * WORDS);
		if (signal)
			break;
	}
	result_signal(replay, signal, i);
	fprintf(replay->out, " r %s\n", replay->result);
	print_values(replay, bytes, i);
	free(bytes);
	return 0;
}

static int do_cw(struct replay *replay, const struct op *op,
		 struct operands *to)
{
	uint64_t *bytes = pages_of(to->n, to->number);
	unsigned long i;
	int signal = 0;

	for (i = 0; i < to->n && !signal; i++)
		signal = replay->world->write(to->mm, to->addr + i * PAGE,
					      bytes + i * WORDS, PAGE, NULL);
	result_signal(replay, signal, i - 1);
	free(bytes);
	return 0;
}

/* --------------------------------------------------------------- userfaultfd */

static int do_ureg(struct replay *replay, const struct op *op,
		   struct operands *to)
{
	unsigned int modes = 0;

	if (strchr(to->word, 'm'))
		modes |= UHMM_UFFD_MISSING;
	if (strchr(to->word, 'w'))
		modes |= UHMM_UFFD_WRITE_PROTECT;
	result_error(replay, replay->world->uffd_register(to->mm, to->addr,
							  to->len, modes));
	return 0;
}

static int do_uunreg(struct replay *replay, const struct op *op,
		     struct operands *to)
{
	result_error(replay, replay->world->uffd_unregister(to->mm, to->addr,
							    to->len));
	return 0;
}

static int do_uwp(struct replay *replay, const struct op *op,
		  struct operands *to)
{
	result_error(replay, replay->world->uffd_write_protect(to->mm,
			to->addr, to->len, to->number));
	return 0;
}

static int do_ucopy(struct replay *replay, const struct op *op,
		    struct operands *to)
{
	bool zero = !strcmp(op->args[0], "uzero");
	uint64_t *bytes = pages_of(to->n, to->number);
	long ret = replay->world->uffd_copy(to->mm, to->addr,
					    zero ? NULL : bytes, to->n);

	free(bytes);
	if (ret >= 0 && ret < (long)to->n)
		result(replay, "EAGAIN n=%ld", ret);
	else
		result_error(replay, ret);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct replay *replay, const struct op *op,
		   struct operands *to);
} range_ops[] = {
	{ "mmap", do_mmap },
	{ "munmap", do_munmap },
	{ "mremap", do_mremap },
	{ "mprotect", do_mprotect },
	{ "madv", do_madv },
	{ "mlock", do_mlock },
	{ "munlock", do_munlock },
	{ "cr", do_cr },
	{ "cw", do_cw },
	{ "ureg", do_ureg },
	{ "uunreg", do_uunreg },
	{ "uwp", do_uwp },
	{ "ucopy", do_ucopy },
	{ "uzero", do_ucopy },
};

/* ------------------------------------------------- files, pins, the process */

static bool op_file(struct replay *replay, const struct op *op,
		    struct mm_struct *mm)
{
	int file = op->n > 1 && *op->args[1] == 'X' ? replay->disk_file :
						      replay->mem_file;
	unsigned long at = number(op, 2) * PAGE, n = number(op, 3);
	const struct world_ops *world = replay->world;
	const char *name = op->args[0];
	uint64_t *bytes;
	long ret;

	if (!strcmp(name, "fsync")) {
		result_error(replay, world->file_sync(mm, file));
	} else if (!strcmp(name, "trunc")) {
		result_error(replay, world->file_truncate(mm, file, at));
	} else if (!strcmp(name, "punch")) {
		result_error(replay, world->file_punch(mm, file, at, n * PAGE));
	} else if (!strcmp(name, "fw") || !strcmp(name, "fr")) {
		bytes = pages_of(n, number(op, 4));
		ret = name[1] == 'w' ?
			world->file_write(mm, file, bytes, n * PAGE, at) :
			world->file_read(mm, file, bytes, n * PAGE, at);
		if (ret < 0)
			result_error(replay, ret);
		else
			result(replay, "0 n=%lu", ret / PAGE);
		fprintf(replay->out, " r %s\n", replay->result);
		if (name[1] == 'r' && ret > 0)
			print_values(replay, bytes, ret / PAGE);
		free(bytes);
	} else {
		return false;
	}
	return true;
}

/* A buffer of io_uring in 6.1: it is of one file, and not of a disk's. */
static int pin_refused(struct replay *replay, const struct operands *to)
{
	unsigned long addr = to->addr, inode = 0;
	struct uhmm_model_area area;

	while (!replay->newest && replay->world->area && addr < to->addr + to->len &&
	       !replay->world->area(to->mm, addr, &area)) {
		if (addr == to->addr)
			inode = area.inode;
		if (area.inode != inode)
			return -EINVAL;
		if (area.file == replay->disk_file)
			return -EOPNOTSUPP;
		addr = area.vma.end;
	}
	return 0;
}

static long pin(struct replay *replay, const struct operands *to, long slot)
{
	int id = replay->world->pin(to->mm, to->addr, to->n, true), ret;

	if (id < 0)
		return id;
	ret = pin_refused(replay, to);
	if (ret) {
		replay->world->unpin(to->mm, id);
		return ret;
	}
	if (replay->pins[slot])
		replay->world->unpin(to->mm, replay->pins[slot]);
	replay->pins[slot] = id;
	replay->pin_pages[slot] = to->n;
	return 0;
}

static long pin_io(struct replay *replay, struct mm_struct *mm,
		   unsigned long slot, uint64_t *bytes, bool write)
{
	long ret = replay->pins[slot] ? 0 : -ENOENT;

	for (unsigned long i = 0; i < replay->pin_pages[slot] && !ret; i++)
		ret = replay->world->pin_access(mm, replay->pins[slot], i,
						bytes + i * WORDS, write);
	return ret;
}

static bool op_pin(struct replay *replay, const struct op *op,
		   struct mm_struct *mm)
{
	unsigned long slot = number(op, 1) % NR_SLOTS;
	const char *name = op->args[0];
	struct operands to = { .mm = mm };
	uint64_t *bytes;
	bool write;

	if (!strcmp(name, "pin")) {
		if (!operands_range(op, 2, &to))
			return false;
		result_error(replay, pin(replay, &to, slot));
	} else if (!strcmp(name, "unpin")) {
		result_error(replay, replay->pins[slot] ?
			replay->world->unpin(mm, replay->pins[slot]) : -ENOENT);
		replay->pins[slot] = 0;
	} else if (!strcmp(name, "pinr") || !strcmp(name, "pinw")) {
		write = name[3] == 'w';
		bytes = pages_of(replay->pin_pages[slot], number(op, 2));
		result_error(replay, pin_io(replay, mm, slot, bytes, write));
		fprintf(replay->out, " r %s\n", replay->result);
		if (!write && *replay->result == '0')
			print_values(replay, bytes, replay->pin_pages[slot]);
		free(bytes);
	} else {
		return false;
	}
	return true;
}

void child_exit(struct replay *replay)
{
	replay->world->child_exit(replay);
	child_files_close(replay);
	replay->child = NULL;
	state_forget_child(replay, -1);
}

static bool op_process(struct replay *replay, const struct op *op,
		       struct mm_struct *mm)
{
	const char *name = op->args[0];

	if (!strcmp(name, "fork") && !replay->child) {
		result_error(replay, replay->world->fork(replay));
		child_files_inherit(replay);
		memcpy(replay->named[1], replay->named[0],
		       sizeof(replay->named[0]));
		state_forget_child(replay, -1);
	} else if (!strcmp(name, "exit") && op->child) {
		child_exit(replay);
	} else if (!strcmp(name, "clearsd")) {
		replay->world->clear_soft_dirty(mm);
	} else if (!strcmp(name, "clearref")) {
		replay->world->clear_references(mm);
	} else {
		return false;
	}
	return true;
}

/* What a child names has a name for its parent too. */
static void name_region(struct replay *replay, const struct op *op, int region)
{
	if (region < 0)
		return;
	replay->named[0][region] = true;
	replay->named[1][region] |= op->child;
}

/* A child that is a process does what is not done by a file of its parent's. */
static bool of_child(const struct replay *replay, const struct op *op)
{
	unsigned long id = op_file_id(op);

	return op->child && replay->link && strcmp(op->args[0], "exit") &&
	       (id == NR_FILES || id > 1);
}

int op_run(struct replay *replay, const struct op *op)
{
	struct operands to;
	int ret = 0;

	to.mm = op->child ? replay->child : replay->mm;
	if (!to.mm)
		return -1;
	if (replay->world->settle)
		replay->world->settle(to.mm);
	for (int i = 1; i < op->n; i++)
		name_region(replay, op, region_by_name(op->args[i]));
	if (of_child(replay, op))
		return replay->world->child_op(replay, op);
	for (size_t i = 0; i < sizeof(range_ops) / sizeof(*range_ops); i++)
		if (!strcmp(op->args[0], range_ops[i].name))
			return operands_range(op, 1, &to) ?
				range_ops[i].run(replay, op, &to) : -1;
	if (op_device(replay, op, &ret))
		return ret;
	return op_file(replay, op, to.mm) || op_pin(replay, op, to.mm) ||
	       op_process(replay, op, to.mm) ? 0 : -1;
}
