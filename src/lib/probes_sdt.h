/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Static probes of the provider "uhmm" for perf, bpftrace and gdb: one nop
 * each while nobody listens. What they pass stands in uhmm-probes(7).
 */
#ifndef LIB_PROBES_SDT_H
#define LIB_PROBES_SDT_H

#include <sys/sdt.h>

#define UHMM_PROBE1(name, a) DTRACE_PROBE1(uhmm, name, a)
#define UHMM_PROBE2(name, a, b) DTRACE_PROBE2(uhmm, name, a, b)
#define UHMM_PROBE3(name, a, b, c) DTRACE_PROBE3(uhmm, name, a, b, c)
#define UHMM_PROBE4(name, a, b, c, d) DTRACE_PROBE4(uhmm, name, a, b, c, d)

#endif
