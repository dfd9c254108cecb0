/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What may still differ because an op did. Such an op is a root, and leaves
 * marks on the pages it was about: on how they are mapped, on their state, which
 * is where they are and who may do what at once, and on their content. A later
 * difference has to be of a page with a mark that it can depend on. Marks go
 * where ops send them: to a child, to where pages are moved, through files and
 * pins, to the other pages of a device's request; what is unmapped or written
 * anew has none.
 */
#include "replay.h"

#define REGION_PAGES (4 * 24 + 2 * 1024)
#define FILE_ROOM 2048UL

enum part { MAPPING = 1, STATE = 2, CONTENT = 4 };

/**
 * struct mark - what a page has, each a set of roots
 * @mapping: may have made it mapped otherwise
 * @state: may have put it elsewhere
 * @content: may have made it say something else
 * @object: of which page of a file or shared memory it is; 0: of none
 * @shared: it is that one; else a copy
 * @copied: it has been made
 */
struct mark {
	uint64_t mapping;
	uint64_t state;
	uint64_t content;
	size_t object;
	bool shared;
	bool copied;
};

struct span {
	int who;
	size_t at;
	size_t n;
};

struct pinned {
	uint64_t marks[MOST_PAGES];
	struct span span;
};

/**
 * struct taint - of a script, up to an op
 * @pages: of the process and of its child
 * @letters: how the file says that they stand, by state
 * @moved: so they did not before this op
 * @objects: content of the pages of T, of X, and of shared memory
 * @nobjects: how many
 * @pins: by slot
 * @used: roots that differed themselves, or let something differ
 */
struct taint {
	struct mark pages[2][REGION_PAGES];
	char letters[2][STATES][REGION_PAGES];
	bool moved[2][REGION_PAGES];
	uint64_t *objects;
	size_t nobjects;
	struct pinned pins[NR_SLOTS];
	uint64_t used;
};

/* "A .2D4", to what is known of its pages, and which of those are others now. */
static size_t letters_parse(const char *text, char *letters, bool *changed)
{
	char name[2] = { *text };
	int region = *text && text[1] ? region_by_name(name) : -1;
	size_t at = 0, end;
	char *next;

	for (int i = 0; i < region; i++)
		at += regions[i].pages;
	end = region < 0 ? 0 : at + regions[region].pages;
	for (text += 2; at < end && *text; text = next) {
		char letter = *text;
		size_t run = strtoul(text + 1, &next, 10);

		for (run += next == text + 1; run && at < end; run--, at++) {
			if (changed && letters[at] != letter)
				changed[at] = true;
			letters[at] = letter;
		}
	}
	return end;
}

struct taint *taint_begin(void)
{
	struct taint *taint = calloc(1, sizeof(*taint));

	taint->nobjects = 1 + 2 * FILE_ROOM;
	taint->objects = calloc(taint->nobjects, sizeof(*taint->objects));
	return taint;
}

uint64_t taint_end(struct taint *taint)
{
	uint64_t used = taint->used;

	free(taint->objects);
	free(taint);
	return used;
}

/* -------------------------------------------------------------- one op's view */

/**
 * struct kind - what an op has to do with pages
 * @name: of it
 * @at: the argument with their range
 * @joint: what one page is like tells for the others
 * @needs: the parts of them that its result depends on
 * @leaves: those that it changes
 */
static const struct kind {
	const char *name;
	int at;
	bool joint;
	unsigned int needs;
	unsigned int leaves;
} kinds[] = {
	{ "mmap", 1, false, MAPPING, MAPPING | STATE | CONTENT },
	{ "munmap", 1, false, MAPPING, MAPPING | STATE | CONTENT },
	{ "mremap", 1, false, MAPPING, MAPPING | STATE | CONTENT },
	{ "mprotect", 1, false, MAPPING, MAPPING | STATE },
	{ "madv", 1, false, MAPPING, STATE | CONTENT },
	{ "mlock", 1, false, MAPPING, STATE },
	{ "munlock", 1, false, MAPPING, STATE },
	{ "cr", 1, false, MAPPING, STATE },
	{ "cw", 1, false, MAPPING, STATE | CONTENT },
	{ "dr", 2, true, MAPPING | STATE, STATE },
	{ "dw", 2, true, MAPPING | STATE, STATE | CONTENT },
	{ "todev", 2, true, MAPPING | STATE, STATE },
	{ "tosys", 2, false, MAPPING | STATE, STATE },
	{ "excl", 2, true, MAPPING | STATE, STATE },
	{ "chk", 2, false, MAPPING | STATE, STATE },
	{ "pin", 2, false, MAPPING | STATE, STATE },
	{ NULL, 0, false, 0, STATE }
};

/**
 * struct view - an op, and what it is about
 * @op: taken apart
 * @kind: of it
 * @spans: pages; the second is where an mremap goes
 * @nspans: how many
 * @slot: of pins, or NULL
 * @objects: pages of a file from here on
 * @nobjects: how many
 */
struct view {
	struct op op;
	const struct kind *kind;
	struct span spans[2];
	int nspans;
	struct pinned *slot;
	uint64_t *objects;
	size_t nobjects;
};

static bool span_of(struct span *span, const struct op *op, int at)
{
	int region = op->n > at + 2 ? region_by_name(op->args[at]) : -1;
	unsigned long id = op_file_id(op);

	if (region < 0)
		return false;
	span->who = op->child && (id == NR_FILES || id > 1);
	span->at = strtoul(op->args[at + 1], NULL, 10);
	span->n = strtoul(op->args[at + 2], NULL, 10);
	for (int i = 0; i < region; i++)
		span->at += regions[i].pages;
	return span->at + span->n <= REGION_PAGES;
}

static size_t object_of(const char *file, unsigned long page)
{
	return 1 + (*file == 'X' || *file == 'x' ? FILE_ROOM : 0) +
	       page % FILE_ROOM;
}

static void view_file(struct taint *taint, struct view *view)
{
	const char *name = view->op.args[0];
	unsigned long at = strtoul(view->op.args[2], NULL, 10);

	view->objects = taint->objects + object_of(view->op.args[1], at);
	view->nobjects = !strcmp(name, "trunc") ? FILE_ROOM / 2 :
			 view->op.n > 3 ? strtoul(view->op.args[3], NULL, 10) :
					  0;
}

static bool view_op(struct taint *taint, struct view *view, const char *text)
{
	const struct op *op = &view->op;

	memset(view, 0, sizeof(*view));
	if (!op_parse(&view->op, text))
		return false;
	for (view->kind = kinds; view->kind->name; view->kind++)
		if (!strcmp(view->kind->name, op->args[0]))
			break;
	if (view->kind->name && span_of(&view->spans[0], op, view->kind->at))
		view->nspans = 1;
	if (!strcmp(op->args[0], "mremap") && span_of(&view->spans[1], op, 4))
		view->nspans = 2;
	if (strstr(op->args[0], "pin") && op->n > 1)
		view->slot = &taint->pins[strtoul(op->args[1], NULL, 10) %
					  NR_SLOTS];
	if (op->n > 2 && (*op->args[1] == 'T' || *op->args[1] == 'X'))
		view_file(taint, view);
	return true;
}

/* ------------------------------------------------------ how the file has it */

/* " cp A .2D4" */
static void take_state(struct taint *taint, const char *line)
{
	static const char *const names[STATES] = { "s0 ", "s1 ", "p ", "m0 ",
						   "m1 " };
	int who = line[1] == 'c', state;

	line += 1 + who;
	for (state = 0; state < STATES; state++)
		if (!strncmp(line, names[state], strlen(names[state])))
			break;
	if (state == STATES)
		return;
	line += strlen(names[state]);
	letters_parse(line, taint->letters[who][state], taint->moved[who]);
}

/* From the result lines of an op on. */
static void take_states(struct taint *taint, const struct script *script,
			size_t at)
{
	memset(taint->moved, 0, sizeof(taint->moved));
	for (; at < script->n && script->lines[at].kind == LINE_RESULT; at++)
		take_state(taint, script->lines[at].text);
}

/* ------------------------------------------------------------- what has marks */

static uint64_t content_of(const struct taint *taint, const struct mark *page)
{
	return page->content |
	       (page->object && !page->copied ? taint->objects[page->object] :
						0);
}

static uint64_t marks_of(const struct taint *taint, const struct span *span,
			 size_t i, unsigned int parts)
{
	const struct mark *page = &taint->pages[span->who][span->at + i];

	if (i >= span->n)
		return 0;
	return (parts & MAPPING ? page->mapping : 0) |
	       (parts & STATE ? page->state : 0) |
	       (parts & CONTENT ? content_of(taint, page) : 0);
}

/* What the result of an op depends on. */
static uint64_t reach_of(const struct taint *taint, const struct view *view)
{
	uint64_t marks = 0;

	for (int i = 0; i < view->nspans; i++)
		for (size_t j = 0; j < view->spans[i].n; j++)
			marks |= marks_of(taint, &view->spans[i], j,
					  view->kind->needs);
	for (size_t i = 0; i < view->nobjects; i++)
		marks |= view->objects[i];
	for (size_t i = 0; view->slot && i < MOST_PAGES; i++)
		marks |= view->slot->marks[i];
	return marks;
}

/* And the value of one of its pages. */
static uint64_t value_marks(const struct taint *taint, const struct view *view,
			    size_t i)
{
	const struct span *span = view->slot ? &view->slot->span :
					       &view->spans[0];

	if (view->nobjects)
		return i < view->nobjects ? view->objects[i] : 0;
	return marks_of(taint, span, i, CONTENT) |
	       (view->slot ? view->slot->marks[i] : 0);
}

/* "SEGV@4" and "0": it is the fifth page that tells. */
static uint64_t result_marks(const struct taint *taint, const struct view *view,
			     const char *const r[2])
{
	const char *name = view->op.args[0];
	size_t first = MOST_PAGES;

	if (strcmp(name, "cr") && strcmp(name, "cw"))
		return reach_of(taint, view);
	for (int i = 0; i < 2; i++) {
		const char *at = strchr(r[i], '@');
		size_t page = at ? strtoul(at + 1, NULL, 10) : MOST_PAGES;

		first = page < first ? page : first;
	}
	return marks_of(taint, &view->spans[0], first, view->kind->needs);
}

/* ------------------------------------------------------------ where marks go */

/* What it says may be a copy of its own from now on. */
static void may_copy(const struct taint *taint, struct mark *page)
{
	if (!page->shared)
		page->content = content_of(taint, page);
}

static void mark_page(struct taint *taint, struct mark *page, uint64_t marks,
		      unsigned int parts)
{
	may_copy(taint, page);
	page->mapping |= parts & MAPPING ? marks : 0;
	page->state |= parts & STATE ? marks : 0;
	page->content |= parts & CONTENT ? marks : 0;
	if (parts & CONTENT && page->object)
		taint->objects[page->object] |= marks;
}

/* The op has no range: it is about what it changes, and what is on a device. */
static void mark_moved(struct taint *taint, uint64_t marks)
{
	for (int who = 0; who < 2; who++)
		for (size_t i = 0; i < REGION_PAGES; i++)
			if (taint->moved[who][i] ||
			    strchr("dx", taint->letters[who][2][i] | ' '))
				mark_page(taint, &taint->pages[who][i], marks,
					  STATE);
}

/* Which frames these are is not known, nor which pages have them. */
static void write_pinned(struct taint *taint, const struct pinned *slot)
{
	for (size_t i = 0; i < slot->span.n; i++)
		mark_page(taint, &taint->pages[slot->span.who]
					      [slot->span.at + i],
			  slot->marks[i], CONTENT);
}

/* What an op that differs is about. */
static void mark_all(struct taint *taint, const struct view *view,
		     uint64_t marks)
{
	const char *word = view->op.n > 4 ? view->op.args[4] : "";
	unsigned int parts = view->kind->leaves;

	if (!strcmp(view->op.args[0], "madv") &&
	    !strstr("dontneed free remove pageout", word))
		parts = STATE;
	if (!view->nspans && !view->nobjects && !view->slot)
		mark_moved(taint, marks);
	for (int i = 0; i < view->nspans; i++)
		for (size_t j = 0; j < view->spans[i].n; j++)
			mark_page(taint, &taint->pages[view->spans[i].who]
						[view->spans[i].at + j],
				  marks, parts);
	for (size_t i = 0; i < view->nobjects; i++)
		view->objects[i] |= marks;
	for (size_t i = 0; view->slot && i < MOST_PAGES; i++)
		view->slot->marks[i] |= marks;
	if (!strcmp(view->op.args[0], "pinw"))
		write_pinned(taint, view->slot);
}

static void map(struct taint *taint, const struct view *view)
{
	const struct span *span = &view->spans[0];
	const char *what = view->op.args[4];
	unsigned long first = strtoul(view->op.args[2], NULL, 10);
	bool shared = strstr(what, "sh"), anon = strstr(what, "anon");
	size_t object = anon || *what == 'h' ? 0 : object_of(what, first);

	if (shared && anon) {
		object = taint->nobjects;
		taint->nobjects += span->n;
		taint->objects = realloc(taint->objects, taint->nobjects *
						sizeof(*taint->objects));
		memset(taint->objects + object, 0,
		       span->n * sizeof(*taint->objects));
	}
	for (size_t i = 0; i < span->n; i++)
		taint->pages[span->who][span->at + i] = (struct mark){
			.object = object ? object + i : 0, .shared = shared };
}

static void unmap(struct taint *taint, const struct span *span)
{
	memset(&taint->pages[span->who][span->at], 0,
	       span->n * sizeof(struct mark));
}

/* What stays when the page has gone elsewhere, with what was in it. */
static struct mark left_behind(const struct mark *page, bool mapped)
{
	struct mark left = { 0 };

	if (mapped)
		left = *page;
	left.content = 0;
	left.copied = false;
	return left;
}

/* The page behind the last one of an area that grows. */
static struct mark grown(const struct taint *taint, const struct mark *last)
{
	struct mark page = { .shared = last->shared };

	if (last->object && last->object + 1 < taint->nobjects)
		page.object = last->object + 1;
	return page;
}

static void move(struct taint *taint, const struct view *view)
{
	const struct span *from = &view->spans[0], *to = &view->spans[1];
	bool stays = !strcmp(view->op.args[7], "dontunmap");
	struct mark *pages = taint->pages[from->who];
	struct mark *moved = calloc(to->n + 1, sizeof(*moved));

	for (size_t i = 0; i < to->n; i++)
		moved[i] = i < from->n ? pages[from->at + i] :
					 grown(taint, &moved[i - !!i]);
	for (size_t i = from->at; i < from->at + from->n; i++)
		pages[i] = left_behind(&pages[i], stays);
	memcpy(pages + to->at, moved, to->n * sizeof(*moved));
	free(moved);
}

/* Both have written it, but perhaps not to the same object. */
static void write_page(struct taint *taint, struct mark *page)
{
	uint64_t *object = page->object ? &taint->objects[page->object] : NULL;

	page->content = 0;
	if (page->shared && object)
		*object = page->mapping;
	else if (object)
		*object |= page->mapping;
	page->copied = !page->shared;
}

static void drop_page(struct mark *page)
{
	page->content = 0;
	page->copied = false;
}

static void each_page(struct taint *taint, const struct view *view)
{
	const char *name = view->op.args[0];
	const char *word = view->op.n > 4 ? view->op.args[4] : "";

	for (size_t i = 0; i < view->spans[0].n; i++) {
		struct mark *page = &taint->pages[view->spans[0].who]
						 [view->spans[0].at + i];

		may_copy(taint, page);
		if (!strcmp(name, "cw") || !strcmp(name, "dw"))
			write_page(taint, page);
		else if (!strcmp(name, "madv") && !strcmp(word, "dontneed"))
			drop_page(page);
		else if (!strcmp(name, "madv") && !strcmp(word, "remove") &&
			 page->object)
			taint->objects[page->object] = page->mapping;
		else if (!strcmp(name, "pin"))
			view->slot->marks[i] = page->mapping | page->state |
					       content_of(taint, page);
	}
}

/* What one page is like has told for the others. */
static void join(struct taint *taint, const struct span *span)
{
	struct mark *pages = &taint->pages[span->who][span->at];
	uint64_t marks = 0;

	for (size_t i = 0; i < span->n; i++)
		marks |= pages[i].state;
	for (size_t i = 0; i < span->n; i++)
		pages[i].state |= marks;
}

/* The same came of it on both sides, and it was no error. */
static void go_on(struct taint *taint, const struct view *view)
{
	const char *name = view->op.args[0];

	if (view->kind->joint)
		join(taint, &view->spans[0]);
	if (!strcmp(name, "mmap"))
		map(taint, view);
	else if (!strcmp(name, "munmap"))
		unmap(taint, &view->spans[0]);
	else if (!strcmp(name, "mremap"))
		move(taint, view);
	else if (!strcmp(name, "fork"))
		memcpy(taint->pages[1], taint->pages[0],
		       sizeof(taint->pages[0]));
	else if (view->nspans)
		each_page(taint, view);
	else if (!strcmp(name, "pinw"))
		write_pinned(taint, view->slot);
	else if (view->nobjects && strcmp(name, "fr"))
		memset(view->objects, 0, view->nobjects * sizeof(uint64_t));
}

/* ------------------------------------------------------------------- values */

/**
 * struct values - a v line, a value for each page
 * @of: the values
 * @n: how many
 */
struct values {
	uint64_t of[2 * MOST_PAGES];
	size_t n;
};

/* "3 4..6 7*2 mix:8f", behind the "v". */
static void values_parse(struct values *values, const char *text)
{
	char *end;

	values->n = 0;
	for (; *text == ' '; text = end) {
		bool torn = !strncmp(text + 1, "mix:", 4);
		uint64_t value = torn ? ~strtoull(text + 5, &end, 16) :
					strtoull(text + 1, &end, 10);
		size_t run = 1, step = 0;

		if (*end == '*') {
			run = strtoul(end + 1, &end, 10);
		} else if (!strncmp(end, "..", 2)) {
			run = strtoull(end + 2, &end, 10) - value + 1;
			step = 1;
		}
		for (; run && values->n < 2 * MOST_PAGES; run--) {
			values->of[values->n++] = value;
			value += step;
		}
	}
}

/* false: at a page that has no marks. */
static bool judge_values(struct taint *taint, const struct view *view,
			 const char *const v[2], uint64_t root, uint64_t *marks)
{
	struct values values[2];

	for (int i = 0; i < 2; i++)
		values_parse(&values[i], *v[i] ? v[i] + 2 : "");
	for (size_t i = 0; i < values[0].n && i < values[1].n; i++) {
		uint64_t mark = root;

		if (values[0].of[i] == values[1].of[i])
			continue;
		mark |= value_marks(taint, view, i);
		if (!mark)
			return false;
		*marks |= mark;
	}
	return true;
}

bool taint_judge(struct taint *taint, const struct outcome *outcome,
		 uint64_t root)
{
	const char *const *r = outcome->r, *const *v = outcome->v;
	bool same = !strcmp(r[0], r[1]), good = true;
	uint64_t marks = 0;
	struct view view;

	if (!view_op(taint, &view, outcome->text))
		return false;
	if (!strcmp(view.op.args[0], "pin") &&
	    (!strncmp(r[0], " r 0", 4) || !strncmp(r[1], " r 0", 4)))
		view.slot->span = view.spans[0];
	take_states(taint, outcome->scripts[0], outcome->at[0]);
	if (!same)
		marks = root ? root : result_marks(taint, &view, r);
	good = (same || marks) && judge_values(taint, &view, v, root, &marks);
	taint->used |= marks;
	if (same && !strncmp(r[0], " r 0", 4))
		go_on(taint, &view);
	if (marks || root)
		mark_all(taint, &view, marks | root);
	return good;
}

/* -------------------------------------------------------------- the last reads */

/* A page of a region: is it there, and what does it say? */
struct final {
	char letters[REGION_PAGES + 1];
	uint64_t values[REGION_PAGES];
};

static void final_region(struct final *final, const char *line,
			 const char *values)
{
	struct values parsed;
	size_t next = 0, end = letters_parse(line + 5, final->letters, NULL);
	char name[2] = { line[5] };

	if (!end)
		return;
	values_parse(&parsed, values ? values + 2 : "");
	for (size_t at = end - regions[region_by_name(name)].pages; at < end;
	     at++)
		if (final->letters[at] == 'o' && next < parsed.n)
			final->values[at] = parsed.of[next++];
}

static void final_parse(struct final *final, const struct script *script,
			size_t at)
{
	memset(final, 0, sizeof(*final));
	for (; at < script->n; at++) {
		const char *line = script->lines[at].text;
		const char *next = at + 1 < script->n ?
					   script->lines[at + 1].text : "";

		if (!strncmp(line, " fin ", 5))
			final_region(final, line,
				     strncmp(next, " v", 2) ? NULL : next);
	}
}

static void say_page(size_t i, const struct final *final)
{
	size_t page = i;
	int region = 0;

	for (; page >= regions[region].pages; region++)
		page -= regions[region].pages;
	printf("%c %zu at the end: file %c %lu, here %c %lu\n",
	       regions[region].name, page, final[0].letters[i],
	       (unsigned long)final[0].values[i], final[1].letters[i],
	       (unsigned long)final[1].values[i]);
}

bool taint_judge_end(struct taint *taint, const struct outcome *outcome)
{
	struct final *final = calloc(2, sizeof(*final));
	bool good = true;

	for (int i = 0; i < 2; i++)
		final_parse(&final[i], outcome->scripts[i], outcome->at[i]);
	for (size_t i = 0; i < REGION_PAGES; i++) {
		const struct span span = { 0, i, 1 };
		bool there = final[0].letters[i] == final[1].letters[i];
		uint64_t marks = marks_of(taint, &span, 0, there ?
						CONTENT : MAPPING);

		if (there && final[0].values[i] == final[1].values[i])
			continue;
		taint->used |= marks;
		if (!marks)
			say_page(i, final);
		good = good && marks;
	}
	free(final);
	return good;
}
