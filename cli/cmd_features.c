/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * uhmm features: what this library was built with and what this machine has,
 * and what each absence means.
 */
#include <errno.h>
#include <jansson.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <uhmm/mmu_notifier.h>

#include "cli.h"
#include "features.h"
#include "out.h"

static void probe_kernel(struct feature *f)
{
	struct utsname name;

	f->name = "kernel";
	f->present = !uname(&name);
	if (f->present)
		snprintf(f->value, sizeof(f->value), "%s %s %s", name.sysname,
			 name.release, name.machine);
	else
		snprintf(f->value, sizeof(f->value), "uname: %s",
			 strerror(errno));
}

static void probe_membarrier(struct feature *f)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	f->name = "membarrier";
	f->present = commands > 0 &&
		     commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED;
	snprintf(f->value, sizeof(f->value), "%s",
		 f->present ? "private expedited: end is one store" :
			      "no private expedited: end has a full fence");
}

/* The best vectors of this CPU that the search can use; NULL: none. */
static const char *cpu_vectors(void)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	const char *best = NULL;
	char *line = NULL;
	size_t size = 0;

	if (!file)
		return NULL;
	while (getline(&line, &size, file) > 0) {
		if (strncmp(line, "flags", 5))
			continue;
		if (strstr(line, " avx512f") &&
		    strstr(line, " avx512dq") && strstr(line, " avx512vl"))
			best = "AVX-512";
		else if (strstr(line, " avx2"))
			best = "AVX2";
		break;
	}
	free(line);
	fclose(file);
	return best;
}

static void probe_search(struct feature *f)
{
	const char *vectors = cpu_vectors();

	f->name = "vector-search";
	f->present = UHMM_TOOL_VECTOR && vectors;
	snprintf(f->value, sizeof(f->value), "%s",
		 f->present	  ? vectors :
		 UHMM_TOOL_VECTOR ? "no AVX-512 or AVX2: portable search" :
				    "not built in: portable search");
}

static void probe_sdt(struct feature *f)
{
	f->name = "sdt-probes";
	f->present = UHMM_TOOL_PROBES;
	snprintf(f->value, sizeof(f->value), "%s",
		 f->present ? "for perf, bpftrace and gdb" :
			      "not built in: sys/sdt.h was missing");
}

static void probe_subscription(struct feature *f)
{
	long line = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
	char known[32] = "unknown";

	if (line > 0)
		snprintf(known, sizeof(known), "%ld", line);
	f->name = "subscription";
	f->present = true;
	snprintf(f->value, sizeof(f->value),
		 "%zu bytes (cache line of this CPU: %s)",
		 sizeof(struct mmu_interval_notifier), known);
}

static void probe_check(struct feature *f)
{
	const char *value = getenv("UHMM_CHECK");

	f->name = "UHMM_CHECK";
	f->present = value && (!strcmp(value, "1") || !strcmp(value, "abort"));
	if (f->present)
		snprintf(f->value, sizeof(f->value), "%s", value);
	else if (value && *value && strcmp(value, "0"))
		snprintf(f->value, sizeof(f->value),
			 "not a value that is known: 0, 1 or abort");
	else
		snprintf(f->value, sizeof(f->value),
			 "not set: 1 turns the contract checker on");
}

static void (*const probes[])(struct feature *f) = {
	probe_kernel, probe_membarrier,	  probe_search,
	probe_sdt,    probe_subscription, probe_check,
};

static int print_feature(const struct feature *f, bool json)
{
	if (json)
		return print_json(json_pack("{s:s, s:b, s:s}", "feature",
					    f->name, "present", f->present,
					    "value", f->value));
	printf("%-18s %-4s %s\n", f->name, f->present ? "yes" : "no", f->value);
	return EXIT_HOLDS;
}

static int run_features(int argc, char **argv)
{
	const unsigned int own = sizeof(probes) / sizeof(probes[0]);
	struct feature all[sizeof(probes) / sizeof(probes[0]) +
			   FEATURES_LIVE_MOST];
	unsigned int i, n;
	bool json;
	int status = parse_json_only(&cmd_features, argc, argv, &json);

	if (status >= 0)
		return status;
	for (i = 0; i < own; i++)
		probes[i](&all[i]);
	n = own + features_live(all + own);
	for (i = 0; i < n; i++) {
		status = print_feature(&all[i], json);
		if (status != EXIT_HOLDS)
			break;
	}
	return status;
}

const struct command cmd_features = {
	.name = "features",
	.summary = "print what this library and this machine have",
	.usage = "[--json]",
	.details = "\n  -j, --json   one JSON object a line, each with \"schema\": 1\n",
	.run = run_features,
};
