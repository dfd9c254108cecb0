/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* How things stand after an op: for the CPU, for each device. */
#include "replay.h"

#include <signal.h>

#include <uhmm/mm_ops.h>

static const char *const state_names[STATES] = { "s0", "s1", "p", "m0", "m1" };
enum { STATE_PAGEMAP = 2 };

/* The device whose file shows a state; of the page map it is none's. */
static int device_of(int state)
{
	return state < STATE_PAGEMAP ? state : (state - STATE_PAGEMAP) / 2;
}

/* -------------------------------------------------------------- one letter */

static char snapshot_letter(unsigned char prot)
{
	switch (prot) {
	case HMM_DMIRROR_PROT_ERROR:
		return 'E';
	case HMM_DMIRROR_PROT_NONE:
		return '.';
	case HMM_DMIRROR_PROT_READ:
		return 'r';
	case HMM_DMIRROR_PROT_WRITE:
		return 'w';
	case HMM_DMIRROR_PROT_ZERO | HMM_DMIRROR_PROT_READ:
		return 'z';
	case HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_READ:
	case HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_READ |
	     HMM_DMIRROR_PROT_PMD:
		return 'l';
	case HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_WRITE:
	case HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | HMM_DMIRROR_PROT_WRITE |
	     HMM_DMIRROR_PROT_PMD:
		return 'L';
	case HMM_DMIRROR_PROT_PMD | HMM_DMIRROR_PROT_READ:
		return 'h';
	case HMM_DMIRROR_PROT_PMD | HMM_DMIRROR_PROT_WRITE:
		return 'H';
	default:
		return '?';
	}
}

void snapshot_letters(unsigned char *prots, size_t n)
{
	for (size_t i = 0; i < n; i++)
		prots[i] = snapshot_letter(prots[i]);
}

/* A capital: the entry leads to what is not there any more. */
static char mirror_letter(struct uhmm_dmirror *file, unsigned long addr,
			  const struct uhmm_pte *pte)
{
	unsigned long pfn;
	enum uhmm_dmirror_right right = uhmm_dmirror_peek(file, addr, &pfn);
	char letter = ".rwx"[right];

	if (right && pfn != pte->pfn)
		letter -= 'a' - 'A';
	return letter;
}

/* ------------------------------------------------------------ a whole region */

static void mirror_letters(struct mm_struct *mm, struct uhmm_dmirror *file,
			   const struct region *region, char *letters)
{
	struct uhmm_pte ptes[MOST_PAGES] = { 0 };
	unsigned long i = 0;

	mmap_read_lock(mm);
	while (i < region->pages) {
		size_t n = region->pages - i;

		/* A hole stays as it is, and the page behind it is next. */
		if (uhmm_mm_walk(mm, region->base + i * PAGE, &n, ptes + i))
			n++;
		i += n;
	}
	mmap_read_unlock(mm);
	for (i = 0; i < region->pages; i++)
		letters[i] = mirror_letter(file, region->base + i * PAGE,
					   &ptes[i]);
}

/* false: there is no such file. */
static bool letters_of(struct replay *replay, bool child, int state,
		       const struct region *region, char *letters)
{
	struct mm_struct *mm = child ? replay->child : replay->mm;
	int device = device_of(state);
	struct uhmm_dmirror *file = child ? replay->child_files[device + 2] :
					    replay->files[device];
	struct hmm_dmirror_cmd cmd = {
		.addr = region->base,
		.npages = region->pages,
		.ptr = (uintptr_t)letters,
	};

	if (state == STATE_PAGEMAP) {
		replay->world->pagemap(mm, region->base, region->pages,
				       letters);
		return true;
	}
	if (!file)
		return false;
	if (state > STATE_PAGEMAP) {
		mirror_letters(mm, file, region, letters);
		return true;
	}
	if (uhmm_dmirror_ioctl(file, HMM_DMIRROR_SNAPSHOT, &cmd))
		memset(letters, '!', region->pages);
	else
		snapshot_letters((unsigned char *)letters, region->pages);
	return true;
}

static void print_one(struct replay *replay, bool child, int state, int region)
{
	char letters[MOST_PAGES], text[12 * MOST_PAGES];
	char **last = &replay->last[child][state][region];

	if (!letters_of(replay, child, state, &regions[region], letters))
		return;
	text_letters(text, letters, regions[region].pages);
	if (*last && !strcmp(*last, text))
		return;
	free(*last);
	*last = strdup(text);
	fprintf(replay->out, " %s%s %c %s\n", child ? "c" : "",
		state_names[state], regions[region].name, text);
}

void state_print(struct replay *replay)
{
	if (replay->world->outcomes_only)
		return;
	for (int who = 0; who < (replay->child ? 2 : 1); who++)
		for (int region = 0; region < NR_REGIONS; region++)
			for (int state = 0; state < STATES; state++)
				if (replay->named[who][region])
					print_one(replay, who, state, region);
}

void state_forget_child(struct replay *replay, int device)
{
	for (int state = 0; state < STATES; state++)
		for (int region = 0; region < NR_REGIONS; region++) {
			char **last = &replay->last[1][state][region];

			if (device >= 0 && (state == STATE_PAGEMAP ||
					    device_of(state) != device))
				continue;
			free(*last);
			*last = NULL;
		}
}

/* ------------------------------------------------------------------- the end */

static const char *kind_of(const struct replay *replay,
			   const struct uhmm_model_area *area)
{
	if (area->vma.flags & UHMM_VM_HUGETLB)
		return "huge";
	if (area->vma.flags & UHMM_VM_MIXEDMAP)
		return "dev";
	if (area->vma.flags & UHMM_VM_ANON)
		return "anon";
	if (area->file == replay->mem_file)
		return "T";
	return area->file == replay->disk_file ? "X" : "shanon";
}

static void print_areas(struct replay *replay, const struct region *region)
{
	unsigned long addr = region->base;
	unsigned long end = addr + region->pages * PAGE;
	struct uhmm_model_area area;

	while (addr < end && !replay->world->area(replay->mm, addr, &area) &&
	       area.vma.start < end) {
		unsigned long flags = area.vma.flags;
		const char *kind = kind_of(replay, &area);

		fprintf(replay->out, " vma %c.%lu+%lu %c%c%c%c %s",
			region->name, (area.vma.start - region->base) / PAGE,
			(area.vma.end - area.vma.start) / PAGE,
			flags & UHMM_VM_READ ? 'r' : '-',
			flags & UHMM_VM_WRITE ? 'w' : '-',
			flags & UHMM_VM_EXEC ? 'x' : '-',
			flags & UHMM_VM_SHARED ? 's' : 'p', kind);
		if (!strcmp(kind, "T") || !strcmp(kind, "X") ||
		    !strcmp(kind, "shanon"))
			fprintf(replay->out, " off=%lu", area.offset / PAGE);
		fprintf(replay->out, "\n");
		addr = area.vma.end;
	}
}

static void print_final(struct replay *replay, const struct region *region)
{
	char letters[MOST_PAGES], text[12 * MOST_PAGES];
	uint64_t *bytes = pages_of(region->pages, 0);
	size_t good = 0;

	for (unsigned long i = 0; i < region->pages; i++) {
		int ret = page_read(replay, replay->mm, region->base + i * PAGE,
				    bytes + good * WORDS);

		letters[i] = !ret ? 'o' : ret == SIGBUS ? 'B' : 'S';
		good += !ret;
	}
	text_letters(text, letters, region->pages);
	fprintf(replay->out, " fin %c %s\n", region->name, text);
	if (good)
		print_values(replay, bytes, good);
	free(bytes);
}

void state_end(struct replay *replay)
{
	for (int i = 0; i < NR_REGIONS; i++)
		if (replay->named[0][i] && replay->world->area)
			print_areas(replay, &regions[i]);
	for (int i = 0; i < NR_REGIONS; i++)
		if (replay->named[0][i])
			print_final(replay, &regions[i]);
	if (replay->checks)
		fprintf(replay->out, "checks %u different %u\n", replay->checks,
			replay->different);
}
