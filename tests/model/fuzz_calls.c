/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Random calls, to the model and to the kernel below, one after the other, and
 * touches of what they leave: they have the same results, values and signals.
 *
 *	fuzz_calls FIRST_SEED NUMBER_OF_SEEDS [STEPS]
 *
 * The first difference of a life is printed, with its seed. Exit status 1 if there
 * was one, 77 if the kernel is another than what the model is like.
 *
 * Whether neighbouring areas are one is seen by mremap() and userfaultfd alone, so it
 * is looked at behind each call.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uhmm/model.h>

#include "mm/live/uapi.h"

#define PAGES 48
#define FILE_PAGES 12
#define BASE 0x200000000000UL
#define AT(n) (BASE + ((unsigned long)(n) << 12))
#define LEN(n) ((unsigned long)(n) << 12)
#define RW (PROT_READ | PROT_WRITE)

static struct mm_struct *mm;
static int model_file, kernel_file;
static uint64_t state;
static char said[160];
static bool watching;

static unsigned int draw(unsigned int n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned int)(state >> 33) % n;
}

#define PICK(list) ((list)[draw(sizeof(list) / sizeof(*(list)))])

/* --------------------------------------------------------------------- areas */

/* Where areas begin and end, of the kernel's and of the model's: the same? */
static bool joined_alike(void)
{
	FILE *in = fopen("/proc/self/maps", "r");
	struct uhmm_model_area area = { .vma = { .end = BASE } };
	unsigned long start, end;
	char line[200], *rest;
	bool same = true;

	while (same && fgets(line, sizeof(line), in)) {
		start = strtoul(line, &rest, 16);
		end = strtoul(rest + 1, NULL, 16);
		if (start >= BASE && start < AT(PAGES))
			same = !uhmm_model_area(mm, area.vma.end, &area) &&
				area.vma.start == start && area.vma.end == end;
	}
	fclose(in);
	return same && uhmm_model_area(mm, area.vma.end, &area);
}

/* ------------------------------------------------------------------- touches */

static sigjmp_buf way_out;

static void caught(int signal)
{
	siglongjmp(way_out, signal);
}

static int kernel_touch(int page, uint64_t *value, bool write)
{
	volatile uint64_t *at = (volatile uint64_t *)AT(page);
	int signal = sigsetjmp(way_out, 1);

	if (signal)
		return signal;
	if (write)
		*at = *value;
	else
		*value = *at;
	return 0;
}

static int model_touch(struct mm_struct *in, int page, uint64_t *value,
		       bool write)
{
	return write ? uhmm_model_write(in, AT(page), value, sizeof(*value),
					NULL) :
		       uhmm_model_read(in, AT(page), value, sizeof(*value),
				       NULL);
}

static bool differs(const char *what, long kernel, long model)
{
	if (kernel == model)
		return false;
	fprintf(stderr, "%s: %s: kernel %ld, model %ld\n", said, what, kernel,
		model);
	return true;
}

static bool touch(int page, bool write)
{
	static uint64_t last = 1;
	uint64_t kernel = 0, model = 0;

	if (write)
		kernel = model = ++last;
	snprintf(said, sizeof(said), "%s %d", write ? "write" : "read", page);
	return differs("signal", kernel_touch(page, &kernel, write),
		       model_touch(mm, page, &model, write)) ||
	       differs("value", (long)kernel, (long)model);
}

static bool touch_all(void)
{
	for (int page = 0; page < PAGES; page++)
		if (touch(page, false))
			return true;
	return false;
}

/* --------------------------------------------------------------------- calls */

static long kernel_call(long nr, unsigned long a, unsigned long b,
			unsigned long c, unsigned long d, unsigned long e,
			unsigned long f)
{
	long ret = syscall(nr, a, b, c, d, e, f);

	return ret == -1 ? -errno : ret;
}

static bool call_mmap(unsigned long addr, unsigned long len)
{
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_WRITE,
				     PROT_READ | PROT_EXEC, RW | 0x40, RW, RW,
				     RW };
	static const int kinds[] = { MAP_PRIVATE, MAP_PRIVATE, MAP_SHARED,
				     MAP_SHARED_VALIDATE };
	static const int places[] = { MAP_FIXED, MAP_FIXED, MAP_FIXED,
				      MAP_FIXED_NOREPLACE };
	int prot = PICK(prots), flags = PICK(kinds) | PICK(places);
	static const int more[] = { 0, 0, 0, MAP_NORESERVE, MAP_POPULATE,
				    MAP_LOCKED };
	bool file = draw(3) == 0;
	unsigned long offset = file ? LEN(draw(FILE_PAGES + 2)) : 0;

	flags |= PICK(more) | (file ? 0 : MAP_ANONYMOUS);
	snprintf(said, sizeof(said), "mmap %lx %lx prot %x flags %x at %lx",
		 addr, len, prot, flags, offset);
	return differs("mmap",
		       kernel_call(SYS_mmap, addr, len, prot, flags,
				   file ? (unsigned long)kernel_file : -1UL,
				   offset),
		       uhmm_model_mmap(mm, addr, len, prot, flags,
				       file ? model_file : -1, offset));
}

static bool call_mremap(unsigned long addr, unsigned long len)
{
	static const int flags[] = { 0, 0, MREMAP_MAYMOVE | MREMAP_FIXED,
				     MREMAP_MAYMOVE | MREMAP_FIXED,
				     MREMAP_MAYMOVE | MREMAP_FIXED | 4,
				     MREMAP_FIXED, 8 };
	unsigned long to = AT(draw(PAGES)), new = draw(2) ? len :
							    LEN(draw(8));
	int how = PICK(flags);

	/* Nothing is to end up where it is not looked for. */
	if (to + new > AT(PAGES))
		new = AT(PAGES) - to;
	if (!(how & MREMAP_FIXED) && addr + new > AT(PAGES))
		new = len;
	snprintf(said, sizeof(said), "mremap %lx %lx %lx flags %x to %lx", addr,
		 len, new, how, to);
	return differs("mremap",
		       kernel_call(SYS_mremap, addr, len, new, how, to, 0),
		       uhmm_model_mremap(mm, addr, len, new, how, to));
}

/*
 * Not MADV_FREE, which the kernel may follow or not; nor what breaks memory, or
 * depends on pages that this machine has.
 */
static bool call_madvise(unsigned long addr, unsigned long len)
{
	static const int all[] = { 0, 1, 2, 3, 4, 4, 4, 9, 10, 11, 14, 15, 16,
				   17, 18, 19, 20, 21, 22, 23, 23, 24, 102,
				   102, 103, 5, 77, -1 };
	int advice = PICK(all);

	/*
	 * Guards over markers of what is write-protected Linux 6.18 never gets
	 * done with; whether a page is written out is a matter of luck, which
	 * shows where it is missing then.
	 */
	if (watching && (advice == 102 || advice == MADV_PAGEOUT))
		advice = 103;
	snprintf(said, sizeof(said), "madvise %lx %lx %d", addr, len, advice);
	return differs("madvise",
		       kernel_call(SYS_madvise, addr, len, advice, 0, 0, 0),
		       uhmm_model_madvise(mm, addr, len, advice));
}

static bool call_range(unsigned long addr, unsigned long len)
{
	static const int prots[] = { PROT_NONE, PROT_READ, PROT_WRITE, RW,
				     0x40 };
	int prot = PICK(prots);

	switch (draw(4)) {
	case 0:
		snprintf(said, sizeof(said), "munmap %lx %lx", addr, len);
		return differs("munmap",
			       kernel_call(SYS_munmap, addr, len, 0, 0, 0, 0),
			       uhmm_model_munmap(mm, addr, len));
	case 1:
		snprintf(said, sizeof(said), "mlock %lx %lx", addr, len);
		return differs("mlock",
			       kernel_call(SYS_mlock, addr, len, 0, 0, 0, 0),
			       uhmm_model_mlock(mm, addr, len));
	case 2:
		snprintf(said, sizeof(said), "munlock %lx %lx", addr, len);
		return differs("munlock",
			       kernel_call(SYS_munlock, addr, len, 0, 0, 0, 0),
			       uhmm_model_munlock(mm, addr, len));
	default:
		snprintf(said, sizeof(said), "mprotect %lx %lx %x", addr, len,
			 prot);
		return differs("mprotect",
			       kernel_call(SYS_mprotect, addr, len, prot, 0, 0,
					   0),
			       uhmm_model_mprotect(mm, addr, len, prot));
	}
}

static bool call_file(void)
{
	unsigned long at = LEN(draw(FILE_PAGES + 2)), len = LEN(1 + draw(4));
	static char kernel[LEN(8)], model[LEN(8)];

	switch (draw(4)) {
	case 0:
		snprintf(said, sizeof(said), "truncate %lx", at);
		return differs("truncate",
			       kernel_call(SYS_ftruncate, kernel_file, at, 0,
					   0, 0, 0),
			       uhmm_model_file_truncate(mm, model_file, at));
	case 1:
		snprintf(said, sizeof(said), "punch %lx %lx", at, len);
		return differs("punch",
			       kernel_call(SYS_fallocate, kernel_file,
					   FALLOC_FL_PUNCH_HOLE |
					   FALLOC_FL_KEEP_SIZE, at, len, 0, 0),
			       uhmm_model_file_punch(mm, model_file, at, len));
	case 2:
		snprintf(said, sizeof(said), "pwrite %lx %lx", at, len);
		memset(kernel, (int)draw(256), len);
		return differs("pwrite",
			       kernel_call(SYS_pwrite64, kernel_file,
					   (unsigned long)kernel, len, at, 0,
					   0),
			       uhmm_model_file_write(mm, model_file, kernel,
						     len, at));
	default:
		snprintf(said, sizeof(said), "pread %lx %lx", at, len);
		memset(kernel, 1, len);
		memset(model, 1, len);
		return differs("pread",
			       kernel_call(SYS_pread64, kernel_file,
					   (unsigned long)kernel, len, at, 0,
					   0),
			       uhmm_model_file_read(mm, model_file, model, len,
						    at)) ||
		       differs("bytes", 0, memcmp(kernel, model, len) != 0);
	}
}

/* --------------------------------------------------------------- userfaultfd */

static int uffd = -1;

static void uffd_begin(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_SIGBUS |
			    UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    UFFD_FEATURE_MISSING_SHMEM |
			    UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (uffd >= 0 && ioctl(uffd, UFFDIO_API, &api)) {
		close(uffd);
		uffd = -1;
	}
}

static long uffd_call(unsigned long request, void *arg)
{
	return ioctl(uffd, request, arg) ? -errno : 0;
}

/* What was done in part is said to be so much, not that it failed. */
static long pages_or(long ret, int64_t done, long all)
{
	return !ret ? all : done > 0 ? (long)(done >> 12) : ret;
}

static bool uffd_watch(unsigned long addr, unsigned long len)
{
	static const unsigned int modes[] = { 0, 1, 2, 3, 1, 2, 3, 1, 2 };
	unsigned int mode = PICK(modes);
	struct uffdio_register reg = { .range = { addr, len }, .mode = mode };

	if (draw(3) == 0) {
		snprintf(said, sizeof(said), "unregister %lx %lx", addr, len);
		return differs("unregister",
			       uffd_call(UFFDIO_UNREGISTER, &reg.range),
			       uhmm_model_uffd_unregister(mm, addr, len));
	}
	snprintf(said, sizeof(said), "register %lx %lx %x", addr, len, mode);
	return differs("register", uffd_call(UFFDIO_REGISTER, &reg),
		       uhmm_model_uffd_register(mm, addr, len, mode));
}

static bool uffd_fill(unsigned long addr, unsigned long len)
{
	static char bytes[LEN(PAGES)];
	struct uffdio_copy copy = { .dst = addr, .len = len,
				    .src = (unsigned long)bytes };
	struct uffdio_zeropage zero = { .range = { addr, len } };
	bool zeroes = draw(3) == 0;
	long ret;

	if (len > sizeof(bytes) || len & 4095)
		return false;
	memset(bytes, (int)draw(256), sizeof(bytes));
	snprintf(said, sizeof(said), "%s %lx %lx", zeroes ? "zero" : "copy",
		 addr, len);
	ret = zeroes ? uffd_call(UFFDIO_ZEROPAGE, &zero) :
		       uffd_call(UFFDIO_COPY, &copy);
	ret = pages_or(ret, zeroes ? zero.zeropage : copy.copy,
		       (long)(len >> 12));
	return differs("fill", ret,
		       uhmm_model_uffd_copy(mm, addr, zeroes ? NULL : bytes,
					    len >> 12));
}

static bool uffd_protect(unsigned long addr, unsigned long len)
{
	struct uffdio_writeprotect wp = { .range = { addr, len },
					  .mode = draw(2) };

	snprintf(said, sizeof(said), "protect %lx %lx %d", addr, len,
		 (int)wp.mode);
	return differs("protect", uffd_call(UFFDIO_WRITEPROTECT, &wp),
		       uhmm_model_uffd_write_protect(mm, addr, len, wp.mode));
}

static bool uffd_move(unsigned long addr, unsigned long len)
{
	struct uffdio_move move = { .src = addr, .len = len,
				    .dst = AT(draw(PAGES)),
				    .mode = draw(2) ?
					UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES : 0 };
	long ret;

	if (len & 4095)
		return false;
	snprintf(said, sizeof(said), "move %lx %lx to %lx mode %d", addr, len,
		 (unsigned long)move.dst, (int)move.mode);
	ret = uffd_call(UFFDIO_MOVE, &move);
	return differs("move", pages_or(ret, move.move, (long)(len >> 12)),
		       uhmm_model_uffd_move(mm, move.dst, addr, len >> 12,
					    move.mode));
}

static bool call_uffd(unsigned long addr, unsigned long len)
{
	switch (draw(6)) {
	case 0 ... 1:
		return uffd_watch(addr, len);
	case 2 ... 3:
		return uffd_fill(addr, len);
	case 4:
		return uffd_protect(addr, len);
	default:
		return uffd_move(addr, len);
	}
}

/* ---------------------------------------------------------------------- forks */

struct seen {
	int signal;
	uint64_t value;
};

static void look(struct seen *seen)
{
	for (int page = 0; page < PAGES; page++) {
		seen[page].value = 0;
		seen[page].signal = kernel_touch(page, &seen[page].value,
						 false);
	}
}

static bool call_fork(void)
{
	struct seen *seen = mmap(NULL, LEN(1), RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct mm_struct *child;
	bool bad = false;
	pid_t pid = fork();

	snprintf(said, sizeof(said), "fork");
	if (!pid) {
		look(seen);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	bad = differs("fork", 0, uhmm_mm_fork(mm, &child));
	for (int page = 0; page < PAGES && !bad; page++) {
		uint64_t value = 0;

		snprintf(said, sizeof(said), "page %d of a child", page);
		bad = differs("signal", seen[page].signal,
			      model_touch(child, page, &value, false)) ||
		      differs("value", (long)seen[page].value, (long)value);
	}
	mmput(child);
	munmap(seen, LEN(1));
	return bad;
}

/* --------------------------------------------------------------------- a life */

static bool step(void)
{
	unsigned int page = draw(PAGES), n = 1 + draw(draw(3) ? 4 : 12);
	unsigned long addr, len;

	if (n > PAGES - page)
		n = PAGES - page;
	addr = AT(page);
	len = LEN(n);
	/* Now and then it is wrong, or not of whole pages. */
	if (!draw(24))
		addr += 1 + draw(4095);
	if (!draw(24))
		len = draw(2) ? 0 : len - draw(4096);
	if (!draw(64))
		len = -(unsigned long)draw(5000);
	if (watching && !draw(6))
		return call_uffd(addr, len);
	switch (draw(20)) {
	case 0 ... 2:
		return call_mmap(addr, len);
	case 3 ... 5:
		return call_range(addr, len);
	case 6 ... 7:
		return call_mremap(addr, len);
	case 8 ... 10:
		return call_madvise(addr, len);
	case 11 ... 12:
		return call_file();
	case 13:
		return !draw(8) && call_fork();
	case 14:
		return !draw(4) && touch_all();
	default:
		return touch((int)page, draw(2));
	}
}

static bool live(uint64_t seed, long steps)
{
	const struct uhmm_model_options options = {
		.size = sizeof(options),
		.level = UHMM_KERNEL_NEWEST,
		.fault_around = 16,
	};
	bool bad = uhmm_mm_create_model(&options, NULL, &mm);
	long i;

	state = seed * 0x9e3779b97f4a7c15ULL + 1;
	watching = uffd >= 0 && seed % 3 == 0;
	model_file = uhmm_model_file(mm, UHMM_MODEL_FILE_MEMORY,
				     LEN(FILE_PAGES));
	kernel_file = memfd_create("fuzz", MFD_CLOEXEC);
	bad |= ftruncate(kernel_file, LEN(FILE_PAGES));
	for (i = 0; i < steps && !bad; i++) {
		bad = step() || differs("areas", 1, joined_alike());
	}
	if (!bad)
		bad = touch_all();
	if (bad)
		fprintf(stderr, "seed %lu, step %ld\n", (unsigned long)seed, i);
	munmap((void *)BASE, LEN(PAGES));
	close(kernel_file);
	uhmm_model_file_close(mm, model_file);
	mmput(mm);
	return bad;
}

/* Some 6.18 remember that an area has guards, and join areas otherwise. */
static bool guards_are_flagged(void)
{
	void *page = mmap(NULL, LEN(1), RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *in = fopen("/proc/self/smaps", "r");
	bool found = false;
	char line[200];

	madvise(page, LEN(1), 102);
	while (!found && fgets(line, sizeof(line), in))
		found = !strncmp(line, "VmFlags:", 8) && strstr(line, " gu");
	fclose(in);
	munmap(page, LEN(1));
	return found;
}

/* Since 6.17 mremap() has the answers of the newest; of later ones nothing is known. */
static bool kernel_is_newest(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname is;

	uname(&is);
	return sscanf(is.release, "%u.%u", &major, &minor) == 2 &&
	       major == 6 && (minor == 17 || minor == 18) &&
	       guards_are_flagged();
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	long steps = argc > 3 ? atol(argv[3]) : 400;
	struct sigaction action = { .sa_handler = caught };
	unsigned long bad = 0;

	if (!kernel_is_newest())
		return 77;
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	uffd_begin();
	for (uint64_t seed = first; seed < first + n; seed++)
		bad += live(seed, steps);
	printf("%lu lives of %ld steps: %lu differ\n", (unsigned long)n, steps,
	       bad);
	return bad > 0;
}
