/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Patching libc: five bytes at each place and nothing else, or nothing at all and the
 * reason, where the code is not what is expected or must not be changed. G0 is left.
 *
 * Linked with dlopen(), live_patch_machine() and pwrite(), of 64 bits, wrapped.
 */
#include "live_util.h"

#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "mm/live/patch.h"

/* ---------------------------------------------------------- the code, before */

struct text {
	unsigned char *start, *copy;
	size_t length;
};

static struct text texts[2];	/* of libc and ld.so */

static int find_text(struct dl_phdr_info *object, size_t size, void *arg)
{
	struct text *text = arg;

	if ((void *)object->dlpi_addr != text->start)
		return 0;
	for (int i = 0; i < object->dlpi_phnum; i++)
		if (object->dlpi_phdr[i].p_type == PT_LOAD &&
		    object->dlpi_phdr[i].p_flags & PF_X) {
			text->start = (void *)(object->dlpi_addr +
					       object->dlpi_phdr[i].p_vaddr);
			text->length = object->dlpi_phdr[i].p_filesz;
		}
	return 1;
}

static void keep_texts(void)
{
	Dl_info object;

	OK(dladdr(dlsym(RTLD_DEFAULT, "munmap"), &object));
	texts[0].start = object.dli_fbase;
	texts[1].start = (void *)getauxval(AT_BASE);
	for (int i = 0; i < 2; i++) {
		struct text *text = &texts[i];

		OK(dl_iterate_phdr(find_text, text) && text->length);
		text->copy = malloc(text->length);
		memcpy(text->copy, text->start, text->length);
	}
}

/* But for the places that were patched. */
static bool is_as_before(void)
{
	const struct live_site *site = live_patch.sites;

	for (; site < live_patch.sites + live_patch.nsites; site++)
		for (int i = 0; i < 2; i++)
			if (site->addr - texts[i].start <
			    (ptrdiff_t)texts[i].length &&
			    site->addr >= texts[i].start)
				memcpy(texts[i].copy +
				       (site->addr - texts[i].start),
				       site->addr, 5);
	for (int i = 0; i < 2; i++)
		if (memcmp(texts[i].start, texts[i].copy, texts[i].length))
			return false;
	return true;
}

/* G0 has nothing to do with it. */
static void is_told_at_g0(void)
{
	struct view view;
	unsigned long seq;
	char *p;

	make_live(UHMM_G1, 0, UHMM_LIVE_UNWATCHED_TOO);
	OK(info().reasons & UHMM_LIVE_WHY_UNPATCHED);
	OK(info().guarantee < UHMM_G1);
	if (kernel_has(UHMM_LIVE_UFFD)) {
		OK(info().guarantee == UHMM_G0);
		p = some_pages(1);
		view_add(&view, p, PAGE);
		seq = view_look(&view, p);
		munmap(p, PAGE);
		OK(view_retry(&view, seq));
		view_drop(&view);
	}
	drop_live();
}

static void is_refused(const char *reason)
{
	const char *why = "";

	OK(uhmm_live_patch(UHMM_G1, &why) == -EOPNOTSUPP);
	if (!strstr(why, reason))
		fprintf(stderr, "# %s\n", why);
	OK(strstr(why, reason));
	OK(!live_patch.nsites && is_as_before());
	/* Once is enough, and the reason stays. */
	OK(uhmm_live_patch(UHMM_G1, &why) == -EOPNOTSUPP && strstr(why, reason));
	is_told_at_g0();
}

static void need_machine(void)
{
	if (live_patch_machine())
		_exit(CANNOT);
}

/* ------------------------------------------------------------ what is changed */

ALONE(five_bytes_and_nothing_else)
{
	const struct live_site *site = live_patch.sites;

	need_machine();
	keep_texts();
	OK(!uhmm_live_patch(UHMM_G1, NULL));
	OK(live_patch.nsites > 15);
	for (; site < live_patch.sites + live_patch.nsites; site++) {
		OK(!memcmp(site->addr, site->is, sizeof(site->is)));
		OK(memcmp(site->was, site->is, 5));
		OK(!memcmp(site->was + 5, site->is + 5, sizeof(site->is) - 5));
	}
	OK(is_as_before());
}

#define PUSH_POP(nr) { 0x6a, nr, 0x58, 0x90, 0x90 }

/* A function as compilers mark it where entries are checked. */
static const unsigned char marked[] = {
	0xf3, 0x0f, 0x1e, 0xfa,			/* endbr64 */
	0xb8, SYS_munmap, 0, 0, 0, 0x0f, 0x05,	/* mov, syscall */
	0xc3, 0xcc, 0xcc, 0xcc, 0xcc,		/* ret */
};

ALONE(the_mark_of_an_entry_stays)
{
	unsigned char *fn = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long (*unmap)(void *p, size_t length) = (void *)fn;
	struct live_code code = {
		.name = "marked", .start = fn, .end = fn + sizeof(marked),
	};
	struct view view;
	char *p;

	need_machine();
	if (fn == MAP_FAILED)
		_exit(CANNOT);
	memcpy(fn, marked, sizeof(marked));
	OK(!live_patch_code(&code) && live_patch.nsites == 1);
	OK(!live_patch_seal(&code));
	OK(live_patch.sites[0].addr == fn + 4);
	memcpy(fn + 4, live_patch.sites[0].is, sizeof(live_patch.sites[0].is));
	OK(memcmp(fn + 4, marked + 4, 5));
	OK(!memcmp(fn, marked, 4));
	OK(!memcmp(fn + 9, marked + 9, sizeof(marked) - 9));
	/* It does what it did, and that is announced. */
	make_live(UHMM_G1, UHMM_LIVE_UFFD, UHMM_LIVE_UNWATCHED_TOO);
	live_set_bracketed(UHMM_G1, 0);
	p = some_pages(1);
	view_add(&view, p, PAGE);
	OK(!unmap(p, PAGE));
	OK(view_called(&view) == 1 && view.event == MMU_NOTIFY_UNMAP);
	OK(unmap(p + 1, PAGE) == -EINVAL);
	view_drop(&view);
}

/* ------------------------------------------------------- code of another sort */

/* As another compiler might have it: it does the same. */
static void write_other(const char *name, unsigned char nr)
{
	const unsigned char other[] = PUSH_POP(nr);
	unsigned char *fn = dlsym(RTLD_DEFAULT, name), *page, *at;

	OK(fn);
	page = (unsigned char *)((uintptr_t)fn & ~(PAGE - 1));
	OK(!mprotect(page, 2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC));
	for (at = fn; at[0] != 0xb8 || at[1] != nr || at[2] || at[5] != 0x0f;)
		if (++at > fn + 400)
			_exit(CANNOT);
	memcpy(at, other, sizeof(other));
	OK(!mprotect(page, 2 * PAGE, PROT_READ | PROT_EXEC));
}

static const struct { const char *name; unsigned char nr; } needed[] = {
	{ "mmap", SYS_mmap },	    { "munmap", SYS_munmap },
	{ "mprotect", SYS_mprotect }, { "mremap", SYS_mremap },
	{ "madvise", SYS_madvise }, { "brk", SYS_brk },
};

static void each_is_refused(size_t i)
{
	char reason[64];

	write_other(needed[i].name, needed[i].nr);
	keep_texts();
	snprintf(reason, sizeof(reason), "%s in libc is not the code that is",
		 needed[i].name);
	is_refused(reason);
	_exit(0);
}

ALONE(another_libc_is_refused)
{
	int status;
	pid_t pid;

	need_machine();
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		pid = fork();
		if (!pid)
			each_is_refused(i);
		OK(waitpid(pid, &status, 0) == pid);
		if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT)
			_exit(CANNOT);
		OK(!status);
	}
}

/* ------------------------------------------------- another processor, another libc */

static bool no_xsave;

int __real_live_patch_machine(void);
int __wrap_live_patch_machine(void);

int __wrap_live_patch_machine(void)
{
	return no_xsave ? live_patch_refuse("the processor has no XSAVE") :
			  __real_live_patch_machine();
}

ALONE(a_processor_without_xsave_is_refused)
{
	need_machine();
	keep_texts();
	no_xsave = true;
	is_refused("the processor has no XSAVE");
}

/*
 * Where it says that there is XSAVE, this may be asked for. A processor without is
 * emulated, see meson.build.
 */
ALONE(who_has_none_is_found_out)
{
#ifdef __x86_64__
	if (!live_patch_machine())
		__asm__ volatile("xgetbv" : : "c"(0) : "eax", "edx");
	else
		OK(strstr(live_patch.reason, "the processor has no XSAVE"));
	is_told_at_g0();
#else
	_exit(CANNOT);
#endif
}

static bool no_libc;

void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);

void *__wrap_dlopen(const char *name, int flags)
{
	return no_libc && flags & RTLD_NOLOAD ? NULL : __real_dlopen(name, flags);
}

ALONE(where_no_libc_has_that_name_it_is_refused)
{
	need_machine();
	keep_texts();
	no_libc = true;
	is_refused("no libc.so.6 is loaded");
}

/* ------------------------------------------------------ code that must stay so */

/* As services are kept from making code: what can be written is never executed. */
static void harden(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	OK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	OK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

ALONE(where_no_code_may_be_made_it_is_refused)
{
	need_machine();
	keep_texts();
	harden();
	is_refused("new code cannot be made executable");
}

/* Which write to code is not made; 0: all are. */
static unsigned int fails_at, writes;

ssize_t __real_pwrite64(int fd, const void *buf, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t n, off_t at);

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t n, off_t at)
{
	if (fails_at && ++writes == fails_at) {
		errno = EIO;
		return -1;
	}
	return __real_pwrite64(fd, buf, n, at);
}

ALONE(what_cannot_be_written_is_as_it_was)
{
	need_machine();
	keep_texts();
	fails_at = 1;
	is_refused("code cannot be written through /proc/self/mem");
}

/* What was written by then is written back. */
ALONE(half_way_it_is_taken_back)
{
	need_machine();
	keep_texts();
	fails_at = 9;
	is_refused("code cannot be written through /proc/self/mem");
	OK(writes == 9 + 8);
}

/* Nothing can be mapped from @start to @end any more. */
static void fill(unsigned long start, unsigned long end)
{
	unsigned long from, to, at = start;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) != 2 || to <= at)
			continue;
		if (from > end)
			from = end;
		if (from > at)
			mmap((void *)at, from - at, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				     MAP_FIXED_NOREPLACE, -1, 0);
		at = to;
		if (at >= end)
			break;
	}
	if (maps)
		fclose(maps);
}

ALONE(without_room_beside_it_it_is_refused)
{
	unsigned long text;

	need_machine();
	keep_texts();
	text = (unsigned long)texts[0].start & ~(PAGE - 1);
	/* More than once: reading what is there maps something. */
	for (int i = 0; i < 3; i++)
		fill(text - (1UL << 30), text + (1UL << 30) + (16UL << 20));
	is_refused("no free page within reach of libc");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_BARE(five_bytes_and_nothing_else),
		CASE_BARE(the_mark_of_an_entry_stays),
		CASE_BARE(another_libc_is_refused),
		CASE_BARE(a_processor_without_xsave_is_refused),
		CASE_BARE(who_has_none_is_found_out),
		CASE_BARE(where_no_libc_has_that_name_it_is_refused),
		CASE_BARE(where_no_code_may_be_made_it_is_refused),
		CASE_BARE(what_cannot_be_written_is_as_it_was),
		CASE_BARE(half_way_it_is_taken_back),
		CASE_BARE(without_room_beside_it_it_is_refused),
	};

	cases_begin(argc, argv);
	return cmocka_run_group_tests_name("live_patch", tests, NULL, NULL);
}
