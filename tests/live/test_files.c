/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A file that loses pages as it is opened: announced wherever it is mapped, also
 * where it comes to be mapped meanwhile, and else opened as ever. Without
 * userfaultfd, so that nobody else sees anything.
 */
#include "live_util.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "mm/live/patch.h"
#include "raw.h"

#define RW (PROT_READ | PROT_WRITE)

static void reach(enum uhmm_guarantee guarantee)
{
	if (uhmm_live_patch(guarantee, NULL))
		_exit(CANNOT);
	make_live(guarantee, UHMM_LIVE_UFFD, UHMM_LIVE_UNWATCHED_TOO);
}

/* Of one page each, in a folder of its own: the case's folder. */
static const char *const names[] = { "a", "b", "fifo" };

static void enter_folder(void)
{
	char folder[] = "/tmp/test_files-XXXXXX";

	OK(mkdtemp(folder) && !chdir(folder));
}

static void leave_folder(void)
{
	char folder[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(names[i]);
	OK(getcwd(folder, sizeof(folder)) && !chdir("/") && !rmdir(folder));
}

static char *map_file(const char *name, void *where)
{
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char *p;

	OK(fd >= 0 && !ftruncate(fd, PAGE));
	p = mmap(where, PAGE, RW, MAP_SHARED | (where ? MAP_FIXED : 0), fd, 0);
	OK(p != MAP_FAILED && !close(fd));
	*p = 1;
	return p;
}

static bool opens(const char *name, int flags)
{
	int fd = open(name, flags | O_CLOEXEC, 0600);

	return fd >= 0 && !close(fd);
}

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) ? -1 : st.st_size;
}

/* ------------------------------------------------------- what is announced */

static char *watched_file(struct view *view)
{
	char *p;

	enter_folder();
	reach(UHMM_G1);
	p = map_file("a", NULL);
	view_add(view, p, PAGE);
	return p;
}

ALONE(only_what_gets_shorter_is_announced)
{
	struct view view;
	char *p;

	p = watched_file(&view);
	OK(opens("a", O_RDWR));
	OK(opens("b", O_RDWR | O_CREAT | O_TRUNC));
	OK(opens("b", O_RDWR | O_TRUNC));
	OK(opens(".", O_PATH | O_TRUNC) && opens("a", O_PATH | O_TRUNC));
	OK(view_called(&view) == 0 && size_of("a") == PAGE && *p == 1);
	OK(opens("a", O_RDWR | O_TRUNC));
	OK(view_called(&view) == 1 && view.event == MMU_NOTIFY_CLEAR);
	OK(!size_of("a"));
	/* There is nothing more to lose. */
	OK(opens("a", O_RDWR | O_TRUNC) && view_called(&view) == 1);
	view_drop(&view);
	leave_folder();
}

/* Bad arguments are refused as ever, and nothing is lost. */
ALONE(what_cannot_be_opened_is_not)
{
	struct view view;
	char *p;

	p = watched_file(&view);
	OK(open((void *)8, O_RDWR | O_TRUNC) == -1 && errno == EFAULT);
	OK(open("none", O_RDWR | O_TRUNC) == -1 && errno == ENOENT);
	OK(open(".", O_RDWR | O_TRUNC) == -1 && errno == EISDIR);
	OK(open("a", O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0600) == -1 &&
	   errno == EEXIST);
	OK(openat(-1, "a", O_RDWR | O_TRUNC) == -1 && errno == EBADF);
	OK(creat("a/b", 0600) == -1 && errno == ENOTDIR);
	OK(syscall(SYS_openat2, AT_FDCWD, "a", (void *)8, 24UL) == -1 &&
	   errno == EFAULT);
	OK(size_of("a") == PAGE && *p == 1);
	view_drop(&view);
	leave_folder();
}

/* While it is announced, the name comes to be another file's. */
static void rename_it(struct view *view)
{
	OK(!rename("b", "a"));
}

static bool other_file_is_announced(int (*cut)(void))
{
	struct view a, b;
	bool seen;

	view_add(&a, map_file("a", NULL), PAGE);
	view_add(&b, map_file("b", NULL), PAGE);
	a.hook = rename_it;
	OK(!cut());
	OK(!size_of("a"));
	seen = view_called(&b) == 1;
	view_drop(&a);
	view_drop(&b);
	return seen;
}

static int cut_open(void)
{
	return opens("a", O_RDWR | O_TRUNC) ? 0 : -1;
}

static int cut_path(void)
{
	return truncate("a", 0);
}

ALONE(the_name_of_another_file)
{
	enter_folder();
	reach(UHMM_G1);
	OK(other_file_is_announced(cut_open));
	OK(other_file_is_announced(cut_path));
	leave_folder();
}

/* Or it comes to be mapped elsewhere. */
static char *elsewhere;

static void map_it(struct view *view)
{
	if (size_of("a"))
		map_file("a", elsewhere);
}

static bool elsewhere_is_announced(int (*cut)(void))
{
	struct view here, there;
	char *low = mmap(NULL, 3 * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool seen;

	elsewhere = low + 2 * PAGE;
	view_add(&here, map_file("a", low), PAGE);
	view_add(&there, elsewhere, PAGE);
	here.hook = map_it;
	OK(!cut());
	/* Once as it was mapped over what was there, then as that went. */
	seen = view_called(&there) == 2;
	view_drop(&here);
	view_drop(&there);
	munmap(low, 3 * PAGE);
	return seen;
}

ALONE(where_it_is_mapped_meanwhile)
{
	enter_folder();
	reach(UHMM_G1);
	OK(elsewhere_is_announced(cut_open));
	OK(elsewhere_is_announced(cut_path));
	leave_folder();
}

/* ---------------------------------------------------------------- cancelled */

static unsigned int stands, go_on;

static void stand(struct view *view)
{
	__atomic_store_n(&stands, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&go_on, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* Compiled as C++ is, which has its threads unwound. */
static unsigned int unwound;

static void unwind(int *unused)
{
	__atomic_fetch_add(&unwound, 1, __ATOMIC_RELAXED);
}

#define UNWOUND int unwinds __attribute__((cleanup(unwind), unused)) = 0

static void *open_and_end(void *unused)
{
	UNWOUND;

	opens("a", O_RDWR | O_TRUNC);
	pthread_testcancel();
	return NULL;
}

static void *allocate_and_end(void *unused)
{
	int fd = open("a", O_RDWR | O_CLOEXEC);
	UNWOUND;

	fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE);
	pthread_testcancel();
	return NULL;
}

static void cancel_in_bracket(void *(*thread_fn)(void *))
{
	struct view view;
	pthread_t thread;
	void *ret;

	stands = go_on = 0;
	view_add(&view, map_file("a", NULL), PAGE);
	view.hook = stand;
	OK(!pthread_create(&thread, NULL, thread_fn, NULL));
	while (!__atomic_load_n(&stands, __ATOMIC_ACQUIRE))
		sched_yield();
	OK(!pthread_cancel(thread));
	__atomic_store_n(&go_on, 1, __ATOMIC_RELEASE);
	OK(!pthread_join(thread, &ret) && ret == PTHREAD_CANCELED);
	/* For ever, if the bracket were open still. */
	view_begin(&view);
	view_drop(&view);
}

ALONE(who_is_cancelled_ends_the_bracket_first)
{
	enter_folder();
	reach(UHMM_G1);
	cancel_in_bracket(open_and_end);
	OK(unwound == 1);
	cancel_in_bracket(allocate_and_end);
	OK(unwound == 2);
	leave_folder();
}

static void *open_fifo(void *tid)
{
	UNWOUND;

	__atomic_store_n((int *)tid, gettid(), __ATOMIC_RELEASE);
	return opens("fifo", O_WRONLY | O_TRUNC) ? tid : NULL;
}

/* In the call, by what the kernel says of it. */
static void wait_for_sleeper(const int *tid)
{
	char path[64], text[64];
	int fd;

	do {
		sched_yield();
		snprintf(path, sizeof(path), "/proc/self/task/%d/syscall",
			 __atomic_load_n(tid, __ATOMIC_ACQUIRE));
		fd = open(path, O_RDONLY | O_CLOEXEC);
		memset(text, 0, sizeof(text));
		if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
			text[0] = 0;
		close(fd);
	} while (atoi(text) != SYS_openat);
}

/* A file that sleeps until somebody reads it is left to libc. */
ALONE(who_sleeps_in_it_is_cancelled)
{
	pthread_t thread;
	int tid = 0;
	void *ret;

	enter_folder();
	OK(!mkfifo("fifo", 0600));
	reach(UHMM_G1);
	OK(!pthread_create(&thread, NULL, open_fifo, &tid));
	wait_for_sleeper(&tid);
	OK(!pthread_cancel(thread));
	OK(!pthread_join(thread, &ret) && ret == PTHREAD_CANCELED);
	OK(unwound == 1);
	leave_folder();
}

/* ------------------------------------------------------------------ trapped */

static void on_signal(int sig)
{
}

static void *open_fifo_raw(void *tid)
{
	__atomic_store_n((int *)tid, gettid(), __ATOMIC_RELEASE);
	return (void *)RAW5(SYS_openat, AT_FDCWD, "fifo", O_WRONLY | O_TRUNC, 0,
			    0);
}

ALONE(at_g2_a_signal_wakes_who_sleeps_in_it)
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t thread;
	int tid = 0;
	void *ret;

	enter_folder();
	OK(!mkfifo("fifo", 0600));
	reach(UHMM_G2);
	OK(!sigaction(SIGUSR1, &action, NULL));
	OK(!pthread_create(&thread, NULL, open_fifo_raw, &tid));
	wait_for_sleeper(&tid);
	OK(!pthread_kill(thread, SIGUSR1));
	OK(!pthread_join(thread, &ret) && (long)ret == -EINTR);
	leave_folder();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(only_what_gets_shorter_is_announced),
		CASE_BARE(what_cannot_be_opened_is_not),
		CASE_BARE(the_name_of_another_file),
		CASE_BARE(where_it_is_mapped_meanwhile),
		CASE_BARE(who_is_cancelled_ends_the_bracket_first),
		CASE_BARE(who_sleeps_in_it_is_cancelled),
		CASE_BARE(at_g2_a_signal_wakes_who_sleeps_in_it),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_files", tests, NULL, NULL);
}
