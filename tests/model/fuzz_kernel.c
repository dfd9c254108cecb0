/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Steps of random lives: userfaultfd, and what a kernel does by itself. */
#include "fuzz_world.h"

#define COLLAPSE 25		/* the C library may lack these */
#define HWPOISON 100

/* --------------------------------------------------------------- userfaultfd */

static void watch(struct world *w, int page, int n)
{
	unsigned int modes = 1 + draw(w->newest ? 7 : 3);
	bool on = draw(3);
	int ret;

	ret = on ? uhmm_model_uffd_register(w->mm, unit_at(w, page),
					    length(w, n), modes) :
		   uhmm_model_uffd_unregister(w->mm, unit_at(w, page),
					      length(w, n));
	for (int i = page; i < page + n && !ret; i++)
		w->view.watched[i] = on && w->view.shared[i] >= 0;
}

/* A guard gives way, but not to zeroes of the process's own. */
static void fill(struct world *w, int page)
{
	uint64_t words[WORDS];
	bool zeroes = draw(3) == 0;

	for (int i = 0; i < WORDS; i++)
		words[i] = w->last_value + 1;
	if (uhmm_model_uffd_copy(w->mm, page_at(w, page), zeroes ? NULL : words,
				 1) != 1)
		return;
	if (zeroes && w->view.private[page])
		MUST("zeroes in a guard's place", page, 0,
		     w->view.odd[page] == GUARDED);
	w->view.odd[page] = NOTHING_ODD;
	now_holds(w, &w->view, page, zeroes ? 0 : ++w->last_value);
}

static void move_watched(struct world *w, int page)
{
	int to = draw(PAGES);

	if (draw(2))
		watch(w, to, 1);
	if (uhmm_model_uffd_move(w->mm, page_at(w, to), page_at(w, page), 1,
				 draw(2)) != 1 || to == page)
		return;
	pins_lose(w, page, 1);
	w->view.own[to] = w->view.own[page];
	w->view.own[page] = 0;
}

void watch_step(struct world *w, int page, int n)
{
	switch (draw(6)) {
	case 0:
		watch(w, page, n);
		break;
	case 1:
		fill(w, page);
		break;
	case 2:
		move_watched(w, page);
		break;
	case 3:
		uhmm_model_pagemap_scan(w->mm, unit_at(w, page), n * w->unit,
					true, NULL);
		break;
	default:
		uhmm_model_uffd_write_protect(w->mm, unit_at(w, page),
					      length(w, n), draw(3) == 0);
		break;
	}
}

/* ------------------------------------------------ what a kernel does by itself */

/* Where nobody else has the page. */
static void break_memory(struct world *w, int page)
{
	if (w->child || w->view.shared[page] || w->view.odd[page])
		return;
	for (int i = 0; i < NR_PINS; i++)
		if (w->pins[i].id)
			return;
	device_read(w, page, 1);
	if (uhmm_model_madvise(w->mm, page_at(w, page), LEN(1), HWPOISON))
		return;
	w->broken++;
	/* And of others, if it had been merged with theirs. */
	for (int i = 0; i < PAGES; i++) {
		char letter;

		uhmm_model_pagemap(w->mm, page_at(w, i), 1, &letter);
		if (letter == 'p')
			w->view.odd[i] = BROKEN;
		MUST("a page that is broken", i, letter == 'p' || i == page,
		     w->view.odd[i] == BROKEN);
	}
}

/* Of what a process has for itself. */
static bool same_value(struct world *w, int page, int with)
{
	uint64_t words[WORDS];

	if (w->view.shared[page] || w->view.shared[with] ||
	    uhmm_model_read(w->mm, page_at(w, page), words, sizeof(words),
			    NULL) ||
	    uhmm_model_write(w->mm, page_at(w, with), words, sizeof(words),
			     NULL))
		return false;
	now_holds(w, &w->view, with, words[0]);
	return true;
}

static void merge(struct world *w, int page, int n)
{
	int with = draw(PAGES);

	uhmm_model_madvise(w->mm, unit_at(w, page), length(w, n),
			   MADV_MERGEABLE);
	uhmm_model_madvise(w->mm, unit_at(w, with), length(w, 1),
			   MADV_MERGEABLE);
	if (same_value(w, page, with))
		uhmm_model_ksm_merge(w->mm, page_at(w, page),
				     page_at(w, with));
}

void kernel_step(struct world *w, int page, int n)
{
	switch (draw(8)) {
	case 0:
		merge(w, page, n);
		break;
	case 1:
		uhmm_model_numa_hint(w->mm, unit_at(w, page), length(w, n));
		break;
	case 2:
		if (draw(8) == 0)
			break_memory(w, page);
		break;
	case 3:
		uhmm_model_clear_soft_dirty(w->mm);
		break;
	case 4:
		uhmm_model_madvise(w->mm, unit_at(w, page), length(w, n),
				   COLLAPSE);
		break;
	default:
		uhmm_model_compact(w->mm, unit_at(w, page), n * w->unit);
		break;
	}
}
