/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The process that plays as a world: its own memory, by real system calls, with
 * brackets around them as patched libraries have. A child is a real one, and is
 * told what to do.
 */
#include "replay.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uhmm/live.h>

#include "mm/live/live.h"
#include "mm/live/patch.h"

static long call(long nr, unsigned long a, unsigned long b, unsigned long c,
		 unsigned long d, unsigned long e, unsigned long f)
{
	const unsigned long args[] = { a, b, c, d, e, f };

	return live_patched_call(nr, args);
}

/* ------------------------------------------------------------------ mappings */

static long do_mmap(struct mm_struct *mm, unsigned long addr,
		    unsigned long len, int prot, int flags, int file,
		    unsigned long offset)
{
	return call(SYS_mmap, addr, len, prot, flags,
		    flags & MAP_ANONYMOUS ? -1UL : (unsigned long)file, offset);
}

static int do_munmap(struct mm_struct *mm, unsigned long addr,
		     unsigned long len)
{
	return (int)call(SYS_munmap, addr, len, 0, 0, 0, 0);
}

static long do_mremap(struct mm_struct *mm, unsigned long addr,
		      unsigned long old_len, unsigned long new_len, int flags,
		      unsigned long new_addr)
{
	return call(SYS_mremap, addr, old_len, new_len, flags, new_addr, 0);
}

static int do_mprotect(struct mm_struct *mm, unsigned long addr,
		       unsigned long len, int prot)
{
	return (int)call(SYS_mprotect, addr, len, prot, 0, 0, 0);
}

static int do_madvise(struct mm_struct *mm, unsigned long addr,
		      unsigned long len, int advice)
{
	return (int)call(SYS_madvise, addr, len, advice, 0, 0, 0);
}

static int do_mlock(struct mm_struct *mm, unsigned long addr,
		    unsigned long len)
{
	return (int)call(SYS_mlock, addr, len, 0, 0, 0, 0);
}

static int do_munlock(struct mm_struct *mm, unsigned long addr,
		      unsigned long len)
{
	return (int)call(SYS_munlock, addr, len, 0, 0, 0, 0);
}

/* -------------------------------------------------------------------- access */

static sigjmp_buf where_to;

static void caught(int signal)
{
	siglongjmp(where_to, signal);
}

/* 0, or the signal; only this thread touches what a script is about. */
static int touch(volatile uint64_t *to, const volatile uint64_t *from,
		 size_t len)
{
	int signal = sigsetjmp(where_to, 1);

	if (signal)
		return signal;
	for (size_t i = 0; i < len / sizeof(*to); i++)
		to[i] = from[i];
	return 0;
}

static int do_read(struct mm_struct *mm, unsigned long addr, void *buf,
		   size_t len, size_t *ret_done)
{
	return touch(buf, (const uint64_t *)addr, len);
}

static int do_write(struct mm_struct *mm, unsigned long addr, const void *buf,
		    size_t len, size_t *ret_done)
{
	return touch((uint64_t *)addr, buf, len);
}

/* --------------------------------------------------------------------- files */

static int file(struct mm_struct *mm, enum uhmm_model_file_kind kind,
		unsigned long size)
{
	int fd = kind == UHMM_MODEL_FILE_MEMORY ?
			 memfd_create("T", MFD_CLOEXEC) :
			 open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)size))
		return -errno;
	return fd;
}

static int file_close(struct mm_struct *mm, int fd)
{
	return close(fd) ? -errno : 0;
}

static long file_read(struct mm_struct *mm, int fd, void *buf, size_t len,
		      unsigned long offset)
{
	return call(SYS_pread64, fd, (unsigned long)buf, len, offset, 0, 0);
}

static long file_write(struct mm_struct *mm, int fd, const void *buf,
		       size_t len, unsigned long offset)
{
	return call(SYS_pwrite64, fd, (unsigned long)buf, len, offset, 0, 0);
}

static int file_truncate(struct mm_struct *mm, int fd, unsigned long size)
{
	return (int)call(SYS_ftruncate, fd, size, 0, 0, 0, 0);
}

static int file_punch(struct mm_struct *mm, int fd, unsigned long offset,
		      unsigned long len)
{
	return (int)call(SYS_fallocate, fd,
			 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
			 len, 0, 0);
}

static int file_sync(struct mm_struct *mm, int fd)
{
	return fsync(fd) ? -errno : 0;
}

/* A kernel without soft-dirty bits refuses, and nothing would be seen of it. */
static void clear_refs(const char *what)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, what, 1) < 0)
		errno = 0;
	if (fd >= 0)
		close(fd);
}

static void clear_soft_dirty(struct mm_struct *mm)
{
	clear_refs("4");
}

static void clear_references(struct mm_struct *mm)
{
	clear_refs("1");
}

/* ------------------------------------------------------------------ processes */

static int create(const struct uhmm_model_options *how,
		  struct mm_struct **ret_mm)
{
	static const struct uhmm_live_options options = {
		.size = sizeof(options),
		.guarantee = UHMM_G1,
		.flags = UHMM_LIVE_UNWATCHED_TOO | UHMM_LIVE_DEVICE,
	};
	struct sigaction action = { .sa_handler = caught };

	if (how->thp == UHMM_THP_NEVER)
		prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	live_set_bracketed(UHMM_G1, 0);
	return uhmm_mm_create_live(&options, ret_mm);
}

/* A page that an event is still to be read about goes nowhere. */
static void settle(struct mm_struct *mm)
{
	for (int i = 0; i < 5000 && uhmm_live_pending(mm, 0, ~0UL); i++)
		usleep(1000);
}

/* What came of an op of the child. */
struct answer {
	int ret;
	char result[sizeof(((struct replay *)NULL)->result)];
	char text[32 * MOST_PAGES];
};

static void serve(struct replay *replay, int link)
{
	static struct answer answer;
	char op[160];
	ssize_t n;

	while ((n = recv(link, op, sizeof(op) - 1, 0)) > 0) {
		op[n] = '\0';
		memset(answer.text, 0, sizeof(answer.text));
		replay->out = fmemopen(answer.text, sizeof(answer.text), "w");
		answer.ret = replay_op(replay, op);
		fclose(replay->out);
		memcpy(answer.result, replay->result, sizeof(answer.result));
		n = (ssize_t)(offsetof(struct answer, text) +
			      strlen(answer.text) + 1);
		if (send(link, &answer, (size_t)n, 0) != n)
			break;
	}
}

/* In the child, where nothing of the parent's devices is of use. */
static void be_child(struct replay *replay, int link)
{
	struct uhmm_model_options how = { .size = sizeof(how),
					  .thp = UHMM_THP_MADVISE };

	replay->link = 0;
	memset(replay->files, 0, sizeof(replay->files));
	memset(replay->child_files, 0, sizeof(replay->child_files));
	if (create(&how, &replay->mm) || devices_begin(replay))
		_exit(1);
	replay->child = replay->mm;
	serve(replay, link);
	for (int i = 0; i < NR_FILES; i++)
		if (replay->child_files[i])
			uhmm_dmirror_close(replay->child_files[i]);
	_exit(0);
}

static int fork_live(struct replay *replay)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	fflush(replay->out);
	pid = fork();
	if (!pid) {
		close(ends[0]);
		be_child(replay, ends[1]);
	}
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return -errno;
	}
	replay->link = ends[0];
	replay->child = replay->mm;
	replay->child_opened = 0;
	return 0;
}

static void child_exit_live(struct replay *replay)
{
	close(replay->link);
	wait(NULL);
	replay->link = 0;
	/* One device, be it in two processes: a file of it is closed. */
	files_release(replay->files, replay->child_opened >> 2);
}

/* Ask the child; NULL: it has died. */
static const struct answer *ask(struct replay *replay, const char *text)
{
	static struct answer answer;

	if (send(replay->link, text, strlen(text), MSG_NOSIGNAL) >= 0 &&
	    recv(replay->link, &answer, sizeof(answer), 0) >
		    (ssize_t)offsetof(struct answer, text))
		return &answer;
	fprintf(stderr, "the child has died\n");
	return NULL;
}

static void emptied(struct replay *replay, unsigned int device)
{
	char text[32];

	snprintf(text, sizeof(text), "0 c: rel %u A 0 1", device + 2);
	if (replay->child_opened & 4U << device)
		ask(replay, text);
}

static int child_op(struct replay *replay, const struct op *op)
{
	const struct answer *answer = ask(replay, op->text);
	unsigned int file = 1U << op_file_id(op);

	if (!answer)
		return -1;
	if (!strcmp(op->args[0], "open"))
		replay->child_opened |= file;
	if (!strcmp(op->args[0], "close")) {
		replay->child_opened &= ~file;
		files_release(replay->files, file >> 2);
	}
	result(replay, "%s", answer->result);
	fputs(answer->text, replay->out);
	return answer->ret;
}

const struct world_ops live_world = {
	.name = "process",
	.outcomes_only = true,
	.create = create,
	.fork = fork_live,
	.child_exit = child_exit_live,
	.child_op = child_op,
	.emptied = emptied,
	.settle = settle,
	.exit = mmput,
	.mmap = do_mmap,
	.munmap = do_munmap,
	.mremap = do_mremap,
	.mprotect = do_mprotect,
	.madvise = do_madvise,
	.mlock = do_mlock,
	.munlock = do_munlock,
	.read = do_read,
	.write = do_write,
	.file = file,
	.file_close = file_close,
	.file_read = file_read,
	.file_write = file_write,
	.file_truncate = file_truncate,
	.file_punch = file_punch,
	.file_sync = file_sync,
	.pin = pins_add,
	.unpin = pins_drop,
	.pin_access = pins_access,
	.clear_soft_dirty = clear_soft_dirty,
	.clear_references = clear_references,
};

/* Is there more in a file of /proc than @most lines? */
static bool longer(const char *path, int most)
{
	FILE *in = fopen(path, "r");
	int c;

	while (in && (c = getc(in)) != EOF)
		most -= c == '\n';
	if (in)
		fclose(in);
	return most < 0;
}

static unsigned long huge_pages(void)
{
	FILE *in = fopen("/proc/sys/vm/nr_hugepages", "r");
	unsigned long n = 0;

	if (in && fscanf(in, "%lu", &n) != 1)
		n = 0;
	if (in)
		fclose(in);
	return n;
}

const char *live_world_is_another(void)
{
	const unsigned int wanted = UHMM_LIVE_UFFD | UHMM_LIVE_UFFD_KERNEL |
				    UHMM_LIVE_MOVE;
	struct uhmm_live_info info = { .size = sizeof(info) };
	struct mm_struct *mm;

	if (longer("/proc/swaps", 1))
		return "there is swap here";
	if (!pins_can_be)
		return "it is built without liburing";
	if (huge_pages())
		return "huge pages are reserved here";
	if (uhmm_mm_create_live(NULL, &mm))
		return "the process cannot be watched here";
	uhmm_live_get_info(mm, &info);
	mmput(mm);
	return (info.features & wanted) == wanted ? NULL :
		"userfaultfd is refused here, or does not move pages";
}
