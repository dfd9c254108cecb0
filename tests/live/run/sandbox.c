/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * sandbox NUMBER PROGRAM...: run it, where a system call is not permitted; with -NUMBER,
 * where it ends the process.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };

	if (argc < 3)
		return 1;
	if (*argv[1] == '-')
		code[2].k = SECCOMP_RET_KILL_PROCESS;
	code[1].k = (unsigned int)labs(strtol(argv[1], NULL, 10));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 1;
	execvp(argv[2], argv + 2);
	return 1;
}
