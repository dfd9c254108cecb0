/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Static probes, in builds without <sys/sdt.h>: nothing.
 */
#ifndef LIB_PROBES_NONE_H
#define LIB_PROBES_NONE_H

#define UHMM_PROBE1(name, a) ((void)(a))
#define UHMM_PROBE2(name, a, b) ((void)(a), (void)(b))
#define UHMM_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#define UHMM_PROBE4(name, a, b, c, d) \
	((void)(a), (void)(b), (void)(c), (void)(d))

#endif
