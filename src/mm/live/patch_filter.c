/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Guarantee G2 for x86-64: system calls that go around libc are trapped.
 *
 * A seccomp filter lets pass all that does not change the address space, and
 * what does where it comes from the one instruction with which we make such
 * calls. The others become a SIGSYS of the thread that makes them, and its
 * handler makes them with a bracket around.
 *
 * Whoever is to get a SIGSYS and blocks it is killed by the kernel. So nobody
 * blocks it: sets of signals lose it where libc hands them on, which is patched
 * for it, and where they go around libc, which is trapped too. libc itself does
 * block it now and then, but makes no call then that is not patched. The
 * program's own handler is kept here, and is called for what is not ours.
 *
 * A filter stays, over exec() as well, and a handler does not: so nothing can
 * be exec()ed. clone3() cannot be looked into by a filter, and answers as
 * kernels do that have none, as do the calls of 32-bit programs.
 */
#include "patch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "bracket.h"
#include "calls.h"

#define MARK 0x756d		/* in the siginfo of what is ours */
#define X32_CALL 0x40000000
#define CODE_SECCOMP 1		/* SYS_SECCOMP, where libc knows it */
#define BIT(sig) (1UL << ((sig) - 1))

/* As the kernel has it, which is not how libc has it. */
struct kernel_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

/* What the program would have SIGSYS do; who sets it takes another place. */
static struct kernel_action actions[4];
static unsigned int action_now, action_last;
static long owner;
static uint64_t refused_here;
uint64_t *live_filter_refused = &refused_here;

static long call0(long nr)
{
	const unsigned long none[6] = { 0 };

	return live_raw_syscall(nr, none);
}

/* False: the program's pointer is bad. */
static bool copy(unsigned long theirs, void *ours, size_t n, bool out)
{
	struct iovec here = { ours, n }, there = { (void *)theirs, n };
	pid_t pid = (pid_t)call0(SYS_getpid);
	ssize_t ret = out ? process_vm_writev(pid, &here, 1, &there, 1, 0) :
			    process_vm_readv(pid, &here, 1, &there, 1, 0);

	if (ret >= 0 || errno == EFAULT)
		return ret == (ssize_t)n;
	/* Where that is forbidden we are as careless as libc is. */
	memcpy(out ? (void *)theirs : ours, out ? ours : (void *)theirs, n);
	return true;
}

/* ------------------------------------------------------ signals of the program */

/* rt_sigaction() */
static long at_action(const unsigned long *args)
{
	unsigned long call[6] = { args[0], 0, args[2], args[3] };
	struct kernel_action to, was;
	unsigned int place;

	if (args[3] != sizeof(to.mask))
		return -EINVAL;
	if (args[1]) {
		if (!copy(args[1], &to, sizeof(to), false))
			return -EFAULT;
		to.mask &= ~BIT(SIGSYS);
		call[1] = (unsigned long)&to;
	}
	if ((int)args[0] != SIGSYS)
		return live_raw_syscall(SYS_rt_sigaction, call);
	was = actions[READ_ONCE(action_now)];
	/* A child of vfork() would set its parent's. */
	if (args[1] && call0(SYS_getpid) == READ_ONCE(owner)) {
		place = (fetch_add(&action_last, 1) + 1) % ARRAY_SIZE(actions);
		actions[place] = to;
		(void)xchg(&action_now, place);
	}
	return !args[2] || copy(args[2], &was, sizeof(was), true) ? 0 : -EFAULT;
}

/* rt_sigprocmask() of libc. */
static long at_mask(const unsigned long *args)
{
	unsigned long call[6] = { args[0], args[1], args[2], args[3] };
	unsigned long set;

	if (args[1] && args[3] == sizeof(set) && args[0] != SIG_UNBLOCK) {
		if (!copy(args[1], &set, sizeof(set), false))
			return -EFAULT;
		set &= ~BIT(SIGSYS);
		call[1] = (unsigned long)&set;
	}
	return live_raw_syscall(SYS_rt_sigprocmask, call);
}

/* And of who goes around it: the set is what the handler returns to. */
static long trapped_mask(const unsigned long *args, unsigned long *now)
{
	unsigned long set = 0, was = *now;

	if (args[3] != sizeof(set))
		return -EINVAL;
	if (args[1] && !copy(args[1], &set, sizeof(set), false))
		return -EFAULT;
	if (args[1]) {
		switch ((int)args[0]) {
		case SIG_BLOCK:
			*now |= set;
			break;
		case SIG_UNBLOCK:
			*now &= ~set;
			break;
		case SIG_SETMASK:
			*now = set;
			break;
		default:
			return -EINVAL;
		}
		*now &= ~(BIT(SIGSYS) | BIT(SIGKILL) | BIT(SIGSTOP));
	}
	return !args[2] || copy(args[2], &was, sizeof(was), true) ? 0 : -EFAULT;
}

/* What only patches of G2 call. False: it is like any other. */
static bool guard(long nr, const unsigned long *args, long *ret)
{
	switch (nr) {
	case SYS_rt_sigaction:
		*ret = at_action(args);
		return true;
	case SYS_rt_sigprocmask:
		*ret = at_mask(args);
		return true;
	case SYS_execve:
	case SYS_execveat:
		__atomic_fetch_add(live_filter_refused, 1, __ATOMIC_RELAXED);
		*ret = -EPERM;
		return true;
	}
	return false;
}

/* ------------------------------------------------------------------- the trap */

/* The child comes back here too, and goes on where it was to begin. */
static long trapped_fork(long nr, const unsigned long *args, ucontext_t *uc)
{
	unsigned long call[6] = { SIGCHLD };
	struct live_call brackets;
	long ret;

	if (nr == SYS_clone)
		memcpy(call, args, sizeof(call));
	call[1] = 0;
	live_call_before(&brackets, SYS_clone, call);
	ret = live_raw_syscall(SYS_clone, call);
	if (!ret) {
		brackets_fork_child();
		owner = call0(SYS_getpid);
		if (nr == SYS_clone && args[1])
			uc->uc_mcontext.gregs[REG_RSP] = (greg_t)args[1];
	}
	live_call_after(&brackets, SYS_clone, call, ret);
	return ret;
}

/* What needs no bracket may sleep long: as whoever made it, for his signals. */
static long trapped_open(long nr, const unsigned long *args, ucontext_t *uc)
{
	unsigned long mask, made;
	unsigned long call[6] = { SIG_SETMASK, (unsigned long)&uc->uc_sigmask,
				  (unsigned long)&mask, sizeof(mask) };
	long ret = live_patched_try(nr, args, &made);

	if (made)
		return ret;
	live_raw_syscall(SYS_rt_sigprocmask, call);
	ret = live_raw_syscall(nr, args);
	call[1] = (unsigned long)&mask;
	call[2] = 0;
	live_raw_syscall(SYS_rt_sigprocmask, call);
	return ret;
}

/* Not ours: sent by somebody, or another filter's. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
	struct kernel_action action = actions[READ_ONCE(action_now)];
	unsigned long args[6] = { SIGSYS, (unsigned long)&action, 0,
				  sizeof(action.mask) };

	if (action.handler == (void *)SIG_IGN && info->si_code <= 0)
		return;
	if (action.handler == (void *)SIG_DFL ||
	    action.handler == (void *)SIG_IGN) {
		action.handler = (void *)SIG_DFL;
		live_raw_syscall(SYS_rt_sigaction, args);
		syscall(SYS_tgkill, call0(SYS_getpid), call0(SYS_gettid), sig);
		return;
	}
	if (action.flags & SA_RESETHAND)
		actions[READ_ONCE(action_now)].handler = (void *)SIG_DFL;
	((void (*)(int, siginfo_t *, void *))action.handler)(sig, info, context);
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *regs = uc->uc_mcontext.gregs;
	const unsigned long args[6] = {
		(unsigned long)regs[REG_RDI], (unsigned long)regs[REG_RSI],
		(unsigned long)regs[REG_RDX], (unsigned long)regs[REG_R10],
		(unsigned long)regs[REG_R8], (unsigned long)regs[REG_R9],
	};
	int saved = errno;

	if (info->si_code != CODE_SECCOMP || info->si_errno != MARK) {
		pass_on(sig, info, context);
		return;
	}
	switch (info->si_syscall) {
	case SYS_clone:
	case SYS_fork:
		regs[REG_RAX] = trapped_fork(info->si_syscall, args, uc);
		break;
	case SYS_rt_sigprocmask:
		regs[REG_RAX] = trapped_mask(args, (void *)&uc->uc_sigmask);
		break;
	case SYS_open:
	case SYS_openat:
	case SYS_creat:
	case NR_OPENAT2:
		regs[REG_RAX] = trapped_open(info->si_syscall, args, uc);
		break;
	default:
		regs[REG_RAX] = live_patched_call(info->si_syscall, args);
	}
	errno = saved;
}

/* ----------------------------------------------------------------- the filter */

enum label {
	NEXT, ALLOW, TRAP, NOSYS, PERM, GATE, MAP, CLONE, SIGNAL, OPEN, OPENAT,
	LABELS
};

/* An instruction, and where it goes; @here names it for those above it. */
struct step {
	unsigned short code;
	unsigned int k;
	enum label yes, no, here;
};

#define LOAD(offset, ...)                                                  \
	{ .code = BPF_LD | BPF_W | BPF_ABS, .k = offset, __VA_ARGS__ }
#define IF(op, value, to, other)                                           \
	{ .code = BPF_JMP | op | BPF_K, .k = value, .yes = to, .no = other }
#define END(label, action) { .code = BPF_RET | BPF_K, .k = action, .here = label }
#define CALL(nr, to) IF(BPF_JEQ, nr, to, NEXT)
#define AT(field) offsetof(struct seccomp_data, field)
#define HIGH 4			/* of eight bytes, as this machine has them */

#define MAX_STEPS 64

static unsigned short resolve(const struct step *steps, unsigned short n,
			      struct sock_filter *to)
{
	unsigned int at[LABELS] = { 0 };

	/* From the end, as all jumps go there. */
	for (unsigned int i = n; i--;) {
		at[NEXT] = i + 1;
		to[i] = (struct sock_filter){ steps[i].code, 0, 0, steps[i].k };
		if (BPF_CLASS(steps[i].code) == BPF_JMP) {
			to[i].jt = (unsigned char)(at[steps[i].yes] - i - 1);
			to[i].jf = (unsigned char)(at[steps[i].no] - i - 1);
		}
		if (steps[i].here != NEXT)
			at[steps[i].here] = i;
	}
	return n;
}

/* @libc: its code, which hands signals on by itself. */
static unsigned short build(const struct live_code *libc,
			    struct sock_filter *to)
{
	const unsigned long gate = (unsigned long)live_patch_gate;
	const unsigned long start = (unsigned long)libc->start;
	const unsigned long end = (unsigned long)libc->end;
	const struct step steps[] = {
		LOAD(AT(arch)),
		IF(BPF_JEQ, AUDIT_ARCH_X86_64, NEXT, NOSYS),
		LOAD(AT(nr)),
		IF(BPF_JGE, X32_CALL, NOSYS, NEXT),
		CALL(SYS_munmap, GATE), CALL(SYS_mremap, GATE),
		CALL(SYS_mprotect, GATE), CALL(SYS_pkey_mprotect, GATE),
		CALL(SYS_madvise, GATE), CALL(NR_PROCESS_MADVISE, GATE),
		CALL(SYS_brk, GATE), CALL(SYS_shmat, GATE), CALL(SYS_shmdt, GATE),
		CALL(SYS_ftruncate, GATE), CALL(SYS_truncate, GATE),
		CALL(SYS_fallocate, GATE), CALL(SYS_remap_file_pages, GATE),
		CALL(SYS_fork, GATE), CALL(SYS_mmap, MAP),
		CALL(SYS_clone, CLONE), CALL(SYS_clone3, NOSYS),
		CALL(SYS_rt_sigprocmask, SIGNAL), CALL(SYS_rt_sigaction, SIGNAL),
		CALL(SYS_execve, PERM), CALL(SYS_openat, OPENAT),
		CALL(SYS_open, OPEN), CALL(SYS_creat, GATE),
		/* Its flags lie in memory. */
		CALL(NR_OPENAT2, GATE),
		IF(BPF_JEQ, SYS_execveat, PERM, ALLOW),
		LOAD(AT(args[3]), .here = MAP),
		IF(BPF_JSET, MAP_FIXED, GATE, ALLOW),
		LOAD(AT(args[1]), .here = OPEN),
		IF(BPF_JSET, O_TRUNC, GATE, ALLOW),
		LOAD(AT(args[2]), .here = OPENAT),
		IF(BPF_JSET, O_TRUNC, GATE, ALLOW),
		LOAD(AT(args[0]), .here = CLONE),
		IF(BPF_JSET, CLONE_VM, ALLOW, GATE),
		LOAD(AT(instruction_pointer) + HIGH, .here = SIGNAL),
		IF(BPF_JEQ, (unsigned int)(start >> 32), NEXT, GATE),
		LOAD(AT(instruction_pointer)),
		IF(BPF_JGE, (unsigned int)start, NEXT, GATE),
		IF(BPF_JGE, (unsigned int)end, GATE, ALLOW),
		LOAD(AT(instruction_pointer), .here = GATE),
		IF(BPF_JEQ, (unsigned int)gate, NEXT, TRAP),
		LOAD(AT(instruction_pointer) + HIGH),
		IF(BPF_JEQ, (unsigned int)(gate >> 32), ALLOW, TRAP),
		END(ALLOW, SECCOMP_RET_ALLOW),
		END(TRAP, SECCOMP_RET_TRAP | MARK),
		END(NOSYS, SECCOMP_RET_ERRNO | ENOSYS),
		END(PERM, SECCOMP_RET_ERRNO | EPERM),
	};

	_Static_assert(ARRAY_SIZE(steps) <= MAX_STEPS, "there is room");
	return resolve(steps, ARRAY_SIZE(steps), to);
}

/* ---------------------------------------------------------------- installation */

/* Who may not filter what he gives to others gives them nothing more. */
static bool put_filter(struct sock_fprog *program)
{
	long ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			   SECCOMP_FILTER_FLAG_SPEC_ALLOW, program);

	if (ret && errno == EACCES &&
	    !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			      SECCOMP_FILTER_FLAG_SPEC_ALLOW, program);
	return !ret;
}

static void forked(void)
{
	owner = call0(SYS_getpid);
}

/* All others wait until it returns, but for what we ourselves may cause. */
static void handle_traps(void)
{
	static const int own[] = { SIGSYS, SIGSEGV, SIGBUS,
				   SIGFPE, SIGILL, SIGTRAP };
	struct sigaction action = {
		.sa_sigaction = on_trap,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART,
	};
	sigset_t set;

	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		sigdelset(&action.sa_mask, own[i]);
	sigaction(SIGSYS, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGSYS);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* Handlers of before: sigaction() has left SIGSYS in their masks. */
static void unblock_in_handlers(void)
{
	const unsigned long bit = 1UL << (SIGSYS - 1);
	struct kernel_action action;

	for (unsigned long sig = 1; sig <= 8 * sizeof(action.mask); sig++) {
		const unsigned long get[6] = { sig, 0, (unsigned long)&action,
					       sizeof(action.mask) };
		const unsigned long put[6] = { sig, (unsigned long)&action, 0,
					       sizeof(action.mask) };

		if (!live_raw_syscall(SYS_rt_sigaction, get) &&
		    action.mask & bit) {
			action.mask &= ~bit;
			live_raw_syscall(SYS_rt_sigaction, put);
		}
	}
}

int live_filter_install(const struct live_code *libc)
{
	const unsigned long get[6] = { SIGSYS, 0, (unsigned long)actions,
				       sizeof(actions->mask) };
	const unsigned long put[6] = { SIGSYS, (unsigned long)actions, 0,
				       sizeof(actions->mask) };
	struct sock_filter code[MAX_STEPS];
	struct sock_fprog program = { .filter = code };

	if ((unsigned long)libc->start >> 32 != (unsigned long)libc->end >> 32)
		return live_patch_refuse("libc lies across 4 GiB");
	program.len = build(libc, code);
	live_raw_syscall(SYS_rt_sigaction, get);
	handle_traps();
	unblock_in_handlers();
	forked();
	live_guard = guard;
	if (put_filter(&program)) {
		sync_at_fork(NULL, NULL, forked);
		return 0;
	}
	live_guard = NULL;
	live_raw_syscall(SYS_rt_sigaction, put);
	return live_patch_refuse("a seccomp filter is refused: %s",
				 strerror(errno));
}
