/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * <uhmm/explore.h>, and where scenarios come from.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "step.h"
#include "world.h"

#define PC __builtin_return_address(0)

static struct uhmm_scenario *scenarios, **scenarios_end = &scenarios;

void uhmm_scenario_register(struct uhmm_scenario *scenario)
{
	scenario->next = NULL;
	*scenarios_end = scenario;
	scenarios_end = &scenario->next;
}

int explore_load(const char *path, char *error, size_t size)
{
	/* All names now: nothing of it is written later. */
	if (dlopen(path, RTLD_NOW | RTLD_LOCAL))
		return 0;
	snprintf(error, size, "%s", dlerror());
	return -ENOENT;
}

struct uhmm_scenario *explore_scenarios(void)
{
	return scenarios;
}

struct uhmm_scenario *explore_find(const char *name)
{
	struct uhmm_scenario *s = scenarios;

	while (s && strcmp(s->name, name))
		s = s->next;
	return s;
}

bool uhmm_exploring(void)
{
	return x.inside;
}

unsigned int uhmm_choose(unsigned int n)
{
	struct trace_event *row;
	unsigned int choice;

	if (!x.inside || n < 2)
		return 0;
	if (n > 255)
		execution_bad(UHMM_DEFECT_UNSUPPORTED, PC,
			      "a choice of more than 255");
	setup_is_over();
	op_begin(OP_CHOOSE, NULL, PC);
	op_point();
	choice = op_choose(n);
	row = record_row(TRACE_CHOOSE, NULL, PC);
	row->value = choice;
	row->old = n;
	return choice;
}

void uhmm_name(const void *object, size_t size, const char *format, ...)
{
	char name[48];
	va_list args;

	if (!x.inside || !(x.setup || x.record))
		return;
	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	names_add(object, size, name);
}

void uhmm_thread_name(const char *name)
{
	if (x.inside)
		self()->name = name;
}

void uhmm_note(const char *format, ...)
{
	char text[48];
	va_list args;

	if (!x.inside || !x.record)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	record_note(text, PC);
}

void uhmm_defect(enum uhmm_defect defect, const char *format, ...)
{
	char text[200];
	va_list args;

	if (!x.inside)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	execution_bad(defect, PC, "%s", text);
}

void explore_broken_rule(const char *rule, const char *what)
{
	if (x.inside)
		execution_bad(UHMM_DEFECT_CONTRACT, PC, "%s: %s", rule, what);
}

void uhmm_measure(const char *what, unsigned long value)
{
	struct explore_report *r = x.report;
	unsigned int i;

	if (!x.inside || !r)
		return;
	for (i = 0; i < r->nmeasures; i++)
		if (!strcmp(r->measures[i].what, what))
			break;
	if (i == EXPLORE_MEASURES)
		return;
	if (i == r->nmeasures) {
		r->measures[i].what = what;
		r->measures[i].value = 0;
		r->nmeasures++;
	}
	if (value > r->measures[i].value)
		r->measures[i].value = value;
}

void uhmm_progress(void)
{
	if (x.inside)
		x.progress++;
}

void uhmm_no_sleep(bool on)
{
	if (x.inside)
		self()->no_sleep = (uint8_t)(self()->no_sleep + (on ? 1 : -1));
}

void uhmm_freed(const void *object, size_t size, bool freed)
{
	size_t offset;

	if (!x.inside || region_of(object, &offset) != &regions[REGION_HEAP])
		return;
	if (freed) {
		race_freed((void *)object, size, PC);
		record_row(TRACE_FREE, object, PC);
	}
	heap_mark(object, size, freed);
}
