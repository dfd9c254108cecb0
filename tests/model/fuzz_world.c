/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "fuzz_world.h"

uint64_t seed_now, state;
long step_now;

unsigned int draw(unsigned int n)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(state >> 33) % n;
}

void fail(const char *what, long page, uint64_t want, uint64_t got)
{
	printf("seed %lu step %ld page %ld: %s: want %lu, got %lu\n",
	       (unsigned long)seed_now, step_now, page, what,
	       (unsigned long)want, (unsigned long)got);
	exit(1);
}

/* ---------------------------------------------------------- what is expected */

/* Is it of a file, behind its end? */
static bool behind_end(const struct world *w, const struct view *view, int page)
{
	int at = view->shared[page];

	for (int f = 0; f < NR_FILES && at > 0; f++)
		if (at >= w->file_at[f] && at < w->file_at[f] + FILE_PAGES)
			return at - w->file_at[f] >= w->file_size[f];
	return false;
}

int expected_signal(const struct world *w, const struct view *view, int page,
		    int prot)
{
	if (view->shared[page] < 0 || !(view->prot[page] & prot) ||
	    view->odd[page] == GUARDED)
		return SIGSEGV;
	return view->odd[page] == BROKEN || behind_end(w, view, page) ? SIGBUS :
									0;
}

uint64_t expected(const struct world *w, const struct view *view, int page)
{
	int shared = view->shared[page];

	return !shared || (view->private[page] && view->copied[page]) ?
		       view->own[page] : w->shared[shared];
}

void now_holds(struct world *w, struct view *view, int page, uint64_t value)
{
	if (view->shared[page] && !view->private[page]) {
		w->shared[view->shared[page]] = value;
	} else {
		view->copied[page] = true;
		view->own[page] = value;
	}
}

void may_be_copied(struct world *w, int page, int n)
{
	struct view *view = &w->view;
	char letter;

	for (int i = page; i < page + n; i++) {
		if (view->shared[i] <= 0 || !view->private[i] ||
		    view->copied[i])
			continue;
		uhmm_model_pagemap(w->mm, page_at(w, i), 1, &letter);
		if (strchr("AasDdXx", letter))
			now_holds(w, view, i, w->shared[view->shared[i]]);
	}
}

/* ----------------------------------------------------------------- accesses */

/* For a page that comes, or comes home. */
static bool no_frame(const struct world *w, int signal)
{
	return w->frames && (signal == SIGKILL || signal == SIGBUS);
}

void cpu_read(struct world *w, struct mm_struct *mm, struct view *view,
	      int page)
{
	int want = expected_signal(w, view, page, PROT_READ | PROT_WRITE);
	uint64_t words[WORDS];
	int ret = uhmm_model_read(mm, page_at(w, page), words, sizeof(words),
				  NULL);

	if ((ret == SIGBUS && view->watched[page]) || no_frame(w, ret))
		return;
	MUST("signal of a read", page, want, ret);
	for (int i = 0; i < WORDS && !ret; i++)
		MUST("value", page, expected(w, view, page), words[i]);
}

void cpu_write(struct world *w, struct mm_struct *mm, struct view *view,
	       int page)
{
	int want = expected_signal(w, view, page, PROT_WRITE);
	uint64_t words[WORDS];
	int ret;

	for (int i = 0; i < WORDS; i++)
		words[i] = w->last_value + 1;
	ret = uhmm_model_write(mm, page_at(w, page), words, sizeof(words),
			       NULL);
	if ((ret == SIGBUS && view->watched[page]) || no_frame(w, ret))
		return;
	MUST("signal of a write", page, want, ret);
	if (!ret)
		now_holds(w, view, page, ++w->last_value);
}

int command(struct world *w, unsigned long request, int page, int n,
	    void *bytes)
{
	struct hmm_dmirror_cmd cmd = { .addr = unit_at(w, page),
				       .npages = n * w->unit,
				       .ptr = (uintptr_t)bytes };

	return uhmm_dmirror_ioctl(w->files[draw(2)], request, &cmd);
}

static uint64_t words_of_all[PAGES * MOST_UNIT][WORDS];

void device_read(struct world *w, int page, int n)
{
	bool readable = true, watched = false;
	int ret = command(w, HMM_DMIRROR_READ, page, n, words_of_all);

	for (int i = page; i < page + n; i++) {
		readable &= !expected_signal(w, &w->view, i, PROT_READ |
							     PROT_WRITE);
		watched |= w->view.watched[i];
	}
	if ((ret != -EFAULT || !watched) && !(ret && w->frames))
		MUST("device read", page, readable ? 0 : -EFAULT, ret);
	for (int i = page; i < page + n && !ret; i++) {
		const uint64_t *words = words_of_all[(page_at(w, i) -
				unit_at(w, page)) >> 12];

		MUST("value for a device", i,
		     expected(w, &w->view, i), words[draw(WORDS)]);
	}
}

/* It may be refused where its own memory is not to be written. */
void device_write(struct world *w, int page)
{
	bool writable = !expected_signal(w, &w->view, page, PROT_WRITE);
	struct hmm_dmirror_cmd cmd = { .addr = page_at(w, page), .npages = 1 };
	uint64_t words[WORDS];
	int ret;

	for (int i = 0; i < WORDS; i++)
		words[i] = w->last_value + 1;
	cmd.ptr = (uintptr_t)words;
	ret = uhmm_dmirror_ioctl(w->files[draw(2)], HMM_DMIRROR_WRITE, &cmd);
	may_be_copied(w, page, 1);
	if (!writable)
		MUST("device write refused", page, 1, ret != 0);
	else if (ret && !w->frames)
		MUST("device write", page, -EFAULT, ret);
	if (!ret)
		now_holds(w, &w->view, page, ++w->last_value);
}

/* ---------------------------------------------------------------- forgetting */

void pins_lose(struct world *w, int page, int n)
{
	for (int i = 0; i < NR_PINS; i++)
		if (w->pins[i].page >= page && w->pins[i].page < page + n)
			w->pins[i].page = -1;
}

void forget(struct world *w, int page, int n)
{
	pins_lose(w, page, n);
	for (int i = page; i < page + n; i++) {
		w->view.shared[i] = -1;
		w->view.private[i] = false;
		w->view.copied[i] = false;
		w->view.odd[i] = NOTHING_ODD;
		w->view.watched[i] = false;
		w->view.own[i] = 0;
	}
}
