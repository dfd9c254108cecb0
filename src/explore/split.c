/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Parts of an exploration: all that begins with the same decisions. The first
 * of them, one line of text, are thread@outcome.done: the thread that goes on,
 * the outcome of its step, and in hexadecimal which other threads were explored
 * from there before, by other parts.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define MAX_PREFIX 64

static struct {
	uint8_t thread, choice;
	uint16_t done;
} prefix[MAX_PREFIX];

int prefix_parse(const char *text)
{
	unsigned int thread, choice, done, n = 0;
	int used;

	x.nprefix = 0;
	if (!text)
		return 0;
	while (*text && n < MAX_PREFIX) {
		if (sscanf(text, " %u@%u.%x%n", &thread, &choice, &done,
			   &used) != 3 || thread >= MAX_ACTORS || choice > 255 ||
		    done > UINT16_MAX)
			return explore_fail(-EINVAL, "\"%s\" is no prefix", text);
		prefix[n].thread = (uint8_t)thread;
		prefix[n].choice = (uint8_t)choice;
		prefix[n++].done = (uint16_t)done;
		text += used;
		while (*text == ' ' || *text == '\n')
			text++;
	}
	if (*text)
		return explore_fail(-EINVAL, "a prefix of more than %u steps",
				    MAX_PREFIX);
	x.nprefix = n;
	return 0;
}

int prefix_decide(struct node *node, unsigned int enabled)
{
	unsigned int t = prefix[x.depth].thread;

	if (!(enabled >> t & 1)) {
		x.end = END_DIVERGED;
		return -1;
	}
	node->chosen = (uint8_t)t;
	node->done = prefix[x.depth].done;
	node->choice = prefix[x.depth].choice;
	node->choices = 1;
	node->backtrack = (uint16_t)(1U << t);
	return (int)t;
}

/* The execution was cut off: write its beginning down. */
void prefix_print(void)
{
	char text[MAX_PREFIX * 16];
	size_t at = 0;

	for (unsigned int i = 0; i < x.depth && at < sizeof(text) - 16; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "%s%u@%u.%x", i ? " " : "",
				       x.nodes[i].chosen, x.nodes[i].choice,
				       x.nodes[i].done);
	if (x.options->split_fn)
		x.options->split_fn(text, x.options->split_arg);
}
