/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Guarantee G1: a true bracket around the memory calls of libc and ld.so.
 *
 * glibc makes each of them as "load the number, trap": one instruction of five
 * bytes and the trap. The first is replaced, and nothing else, by a jump of
 * five bytes to a bridge that brackets the same system call and jumps back
 * behind the trap. So what libc does around the call stays libc's (errno, the
 * break, cancellation), the instruction that marks a function's entry stays in
 * its place, calls from inside libc are seen as calls from outside are, and a
 * thread that stands between the two instructions makes its call unbracketed
 * and no worse.
 *
 * It is done once, by a thread that is alone, in code that is exactly what is
 * expected; else not at all, and the reason is kept.
 */
#include "patch.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "live.h"

struct live_patch live_patch = { .reach = UHMM_GUARANTEE_NONE };

int live_patch_refuse(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(live_patch.reason, sizeof(live_patch.reason), fmt, args);
	va_end(args);
	return -EOPNOTSUPP;
}

/* How many threads the process has; 0: cannot be told. */
static unsigned long count_threads(void)
{
	struct stat st;

	/* A link for itself and its parent, and one for each thread. */
	if (stat("/proc/self/task", &st) || st.st_nlink < 3)
		return 0;
	return st.st_nlink - 2;
}

/* ------------------------------------------------------- what is to be patched */

/* Functions of libc that make the calls, and whether they have to. */
static const struct function {
	const char *name;
	bool needed;
} functions[] = {
	{ "mmap", true },	   { "munmap", true },
	{ "mprotect", true },	   { "mremap", true },
	{ "madvise", true },	   { "brk", true },
	{ "_Fork", false },	   { "clone", false },
	{ "shmat", false },	   { "shmdt", false },
	{ "ftruncate", false },	   { "truncate", false },
	{ "fallocate", false },	   { "posix_madvise", false },
	{ "open", false },	   { "openat", false },
	{ "creat", false },	   { "__open_nocancel", false },
	{ "pkey_mprotect", false }, { "remap_file_pages", false },
	{ "process_madvise", false }, { "syscall", false },
	{ "prctl", false },
	{ NULL, false },
};

/* And those that could undo traps. */
static const struct function trap_functions[] = {
	{ "pthread_sigmask", true }, { "__libc_sigaction", true },
	{ "execve", true },	     { "execveat", false },
	{ NULL, false },
};

/* The last byte of the function at @fn, by the symbol table. */
static size_t function_size(void *fn)
{
	const ElfW(Sym) *sym = NULL;
	Dl_info info;

	if (!dladdr1(fn, &info, (void **)&sym, RTLD_DL_SYMENT) || !sym ||
	    info.dli_saddr != fn)
		return 0;
	return sym->st_size;
}

/* Function by function: what is patched is what the program calls. */
static int patch_libc(void *libc, struct live_code *code,
		      const struct function *f)
{
	unsigned int before;
	unsigned char *fn;
	int ret = 0;

	for (; !ret && f->name; f++) {
		before = live_patch.nsites;
		fn = dlsym(libc, f->name);
		if (fn) {
			code->start = fn;
			code->end = fn + function_size(fn);
			ret = live_patch_code(code);
		}
		if (!ret && f->needed && live_patch.nsites == before)
			ret = live_patch_refuse("%s in libc is not the code that is expected: "
						"another libc, or another library's hook",
						f->name);
	}
	return ret;
}

/* The code of the object that lies where @arg begins. */
static int find_code(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct live_code *code = arg;

	if (info->dlpi_addr != (unsigned long)code->start)
		return 0;
	code->end = NULL;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];

		if (phdr->p_type != PT_LOAD || !(phdr->p_flags & PF_X))
			continue;
		code->start = (void *)(info->dlpi_addr + phdr->p_vaddr);
		code->end = code->start + phdr->p_filesz;
	}
	return 1;
}

static bool code_at(unsigned long base, struct live_code *code)
{
	code->start = (void *)base;
	return dl_iterate_phdr(find_code, code) && code->end;
}

/* It has copies of some calls for itself, and no symbols for them. */
static int patch_ld(struct live_code *code)
{
	return code_at(getauxval(AT_BASE), code) ?
		       live_patch_code(code) :
		       live_patch_refuse("ld.so is not found");
}

/* -------------------------------------------------------------------- writing */

/*
 * Through /proc/self/mem the protection of the code stays as it is, and its
 * area whole.
 */
static bool write_code(int fd, const struct live_site *site,
		       const unsigned char *bytes)
{
	return pwrite(fd, bytes, sizeof(site->is), (off_t)site->addr) ==
		       sizeof(site->is) &&
	       !memcmp(site->addr, bytes, sizeof(site->is));
}

static int write_all(void)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	unsigned int n = 0;

	if (fd < 0)
		return live_patch_refuse("/proc/self/mem: %s", strerror(errno));
	while (n < live_patch.nsites &&
	       write_code(fd, &live_patch.sites[n], live_patch.sites[n].is))
		n++;
	if (n < live_patch.nsites) {
		live_patch_refuse("code cannot be written through /proc/self/mem: %s",
				  strerror(errno));
		while (n--)
			write_code(fd, &live_patch.sites[n],
				   live_patch.sites[n].was);
		live_patch.nsites = 0;
	}
	close(fd);
	return live_patch.nsites ? 0 : -EOPNOTSUPP;
}

static int install(void *libc)
{
	struct live_code libc_code = { .name = "libc" };
	struct live_code ld_code = { .name = "ld.so", .from = LIVE_FROM_LD };
	int ret = live_patch_machine();

	if (!ret)
		ret = patch_libc(libc, &libc_code, functions);
	if (!ret && live_patch.traps)
		ret = patch_libc(libc, &libc_code, trap_functions);
	if (!ret)
		ret = patch_ld(&ld_code);
	if (!ret)
		ret = live_patch_seal(&libc_code);
	if (!ret)
		ret = live_patch_seal(&ld_code);
	if (!ret)
		ret = write_all();
	if (ret)
		live_patch.nsites = 0;
	return ret;
}

static int filter(void *libc)
{
	struct live_code code = { .name = "libc" };
	Dl_info info;

	if (!dladdr(dlsym(libc, "munmap"), &info) ||
	    !code_at((unsigned long)info.dli_fbase, &code))
		return live_patch_refuse("the code of libc is not found");
	return live_filter_install(&code);
}

static int try(int reach)
{
	void *libc;
	int ret;

	if (count_threads() != 1)
		return live_patch_refuse("the process has more than one thread");
	libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	if (!libc)
		return live_patch_refuse("no libc.so.6 is loaded");
	live_patch.traps = reach >= UHMM_G2;
	ret = install(libc);
	if (!ret)
		live_patch.reach = UHMM_G1;
	if (!ret && live_patch.traps)
		ret = filter(libc);
	if (!ret)
		live_patch.reach = reach;
	dlclose(libc);
	return ret;
}

int live_patch_install(int reach)
{
	if (live_patch.reach >= reach)
		return 0;
	if (!live_patch.tried) {
		live_patch.tried = true;
		return try(reach);
	}
	if (!live_patch.reason[0])
		live_patch_refuse("libc was patched for G1 alone");
	return -EOPNOTSUPP;
}

int uhmm_live_patch(enum uhmm_guarantee reach, const char **ret_reason)
{
	int ret;

	if (reach < UHMM_G1 || reach > UHMM_G2)
		return -EINVAL;
	ret = live_patch_install(reach);
	live_set_bracketed((enum uhmm_guarantee)live_patch.reach, 0);
	if (ret && ret_reason)
		*ret_reason = live_patch.reason;
	return ret;
}

/* Does a place lie in [start, end) that has not our code any more? */
static bool overwritten(unsigned long start, unsigned long end)
{
	const struct live_site *site = live_patch.sites;

	for (; site < live_patch.sites + live_patch.nsites; site++)
		if ((unsigned long)site->addr >= start &&
		    (unsigned long)site->addr < end &&
		    memcmp(site->addr, site->is, sizeof(site->is)))
			return true;
	return false;
}

void live_patch_recheck(unsigned long start, unsigned long end)
{
	/* What goes around our code is trapped at G2. */
	if (READ_ONCE(live_patch.reach) != UHMM_G1 || !overwritten(start, end))
		return;
	WRITE_ONCE(live_patch.reach, UHMM_GUARANTEE_NONE);
	live_patch_refuse("another library's hooks were put over ours");
	live_set_bracketed(UHMM_GUARANTEE_NONE, 0);
}
