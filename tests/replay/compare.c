/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* A replay against what stands in the file, step by step from C1 to C5. */
#include "replay.h"

#include <stdarg.h>

/* ----------------------------------------------------- where in the scripts */

#define NR_STATES (2 * STATES * NR_REGIONS)

/**
 * struct side - one of the two, up to the op that is compared
 * @script: its lines
 * @at: the line that is next
 * @states: state lines as they hold, by state_index()
 */
struct side {
	const struct script *script;
	size_t at;
	const char *states[NR_STATES];
};

/* Of "s0 A" and its like; -1: it is no state line. */
static int state_index(const char *text)
{
	static const char *const names[] = { "s0 ", "s1 ", "p ", "m0 ", "m1 " };
	int child = text[1] == 'c', region;
	char name[2] = "";

	for (int i = 0; i < STATES; i++) {
		size_t n = strlen(names[i]);

		if (strncmp(text + 1 + child, names[i], n))
			continue;
		name[0] = text[1 + child + n];
		region = region_by_name(name);
		return region < 0 ? -1 :
			(child * STATES + i) * NR_REGIONS + region;
	}
	return -1;
}

/* Those lines of an op's results that begin with @what, until the next op. */
static const char *result_line(const struct side *side, const char *what)
{
	for (size_t i = side->at; i < side->script->n; i++) {
		const struct line *line = &side->script->lines[i];

		if (line->kind == LINE_OP || line->kind == LINE_END)
			break;
		if (line->kind == LINE_RESULT &&
		    !strncmp(line->text, what, strlen(what)))
			return line->text;
	}
	return "";
}

/* To the results of the next op, or of the end; its text. NULL: no more. */
static const char *next_op(struct side *side)
{
	for (; side->at < side->script->n; side->at++) {
		const struct line *line = &side->script->lines[side->at];

		if (line->kind == LINE_OP || line->kind == LINE_END) {
			side->at++;
			return line->text;
		}
	}
	return NULL;
}

static void forget_child(struct side *side)
{
	for (int i = NR_STATES / 2; i < NR_STATES; i++)
		side->states[i] = NULL;
}

static void take_states(struct side *side)
{
	for (size_t i = side->at; i < side->script->n; i++) {
		const struct line *line = &side->script->lines[i];
		int index;

		if (line->kind == LINE_OP || line->kind == LINE_END)
			break;
		index = line->kind == LINE_RESULT ? state_index(line->text) :
						    -1;
		if (index >= 0)
			side->states[index] = line->text;
	}
}

/* -------------------------------------------------------------- differences */

static void differ(struct comparison *ret, int level, const char *op,
		   const char *want, const char *got)
{
	if (ret->differences[level - 1]++)
		return;
	snprintf(ret->first[level - 1], sizeof(ret->first[0]),
		 "%.100s\n    file  %.130s\n    here  %.130s", op, want, got);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static void compare_states(struct comparison *ret, const char *op,
			   const struct side *want, const struct side *got)
{
	static const int levels[STATES] = { 2, 2, 5, 3, 3 };

	for (int i = 0; i < NR_STATES; i++) {
		const char *a = want->states[i], *b = got->states[i];

		if (!same_text(a, b))
			differ(ret, levels[i / NR_REGIONS % STATES], op,
			       a ? a : "", b ? b : "");
	}
}

/* ------------------------------------------------------------------- events */

/* An item of an ev line: what, of which region, from where to where. */
struct item {
	char what[32];
	unsigned long first;
	unsigned long end;
};

static int item_order(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = strcmp(x->what, y->what);

	if (order)
		return order;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* Ranges that touch become one. */
static size_t join(struct item *items, size_t n)
{
	size_t last = 0;

	for (size_t i = 1; i < n; i++) {
		struct item *to = &items[last];

		if (!strcmp(to->what, items[i].what) &&
		    items[i].first <= to->end) {
			if (items[i].end > to->end)
				to->end = items[i].end;
		} else {
			items[++last] = items[i];
		}
	}
	return n ? last + 1 : 0;
}

/* "<NAME:R.s+n@d" is the same as ">NAME:R.s+n@d" and as "NAME:R.s+n@d". */
static bool item_parse(struct item *item, const char *word)
{
	char name[20] = "", region = 0, rest[8] = "";
	unsigned long n = 0;

	word += *word == '<' || *word == '>';
	*item = (struct item){ .first = 0 };
	if (sscanf(word, "%19[A-Z_a-z]:%c.%lu+%lu%7s", name, &region,
		   &item->first, &n, rest) < 4) {
		snprintf(item->what, sizeof(item->what), "%.31s", word);
		return true;
	}
	snprintf(item->what, sizeof(item->what), "%s:%c%s", name, region, rest);
	item->end = item->first + n;
	return true;
}

static struct item *items_of(const char *text, size_t *ret_n)
{
	struct item *items = malloc((strlen(text) / 2 + 1) * sizeof(*items));
	char *copy = strdup(text), *save = NULL, *word;
	size_t n = 0;

	word = strtok_r(copy, " ", &save);	/* "ev" */
	while (word && (word = strtok_r(NULL, " ", &save)))
		n += item_parse(&items[n], word);
	free(copy);
	qsort(items, n, sizeof(*items), item_order);
	*ret_n = join(items, n);
	return items;
}

static bool same_events(const char *a, const char *b)
{
	size_t na, nb;
	struct item *x = items_of(a, &na), *y = items_of(b, &nb);
	bool same = na == nb;

	for (size_t i = 0; i < na && same; i++)
		same = !strcmp(x[i].what, y[i].what) &&
		       x[i].first == y[i].first && x[i].end == y[i].end;
	free(x);
	free(y);
	return same;
}

/* --------------------------------------------------------------- whole files */

/* Without " f=N", which depends on who else faults. */
static void without_faults(char *buf, size_t size, const char *text)
{
	const char *at = strstr(text, " f=");

	snprintf(buf, size, "%.*s", at ? (int)(at - text) : (int)strlen(text),
		 text);
}

static void compare_line(struct comparison *ret, int level, const char *op,
			 const struct side *want, const struct side *got,
			 const char *what, bool outcomes)
{
	const char *a = result_line(want, what), *b = result_line(got, what);
	char short_a[80], short_b[80];

	if (!strcmp(what, " r ") && outcomes) {
		without_faults(short_a, sizeof(short_a), a);
		without_faults(short_b, sizeof(short_b), b);
		a = short_a;
		b = short_b;
	}
	if (strcmp(a, b))
		differ(ret, level, op, a, b);
}

/* The next line from *@at on of areas, or of anything else but states. */
static const char *next_line(const struct script *script, size_t *at,
			     bool areas)
{
	while (*at < script->n) {
		const char *text = script->lines[(*at)++].text;

		if (!strncmp(text, " vma", 4) ? areas :
		    !areas && strncmp(text, " ev", 3) && state_index(text) < 0)
			return text;
	}
	return NULL;
}

/* Both are behind their "end". */
static void compare_ends(struct comparison *ret, const struct side *want,
			 const struct side *got, bool outcomes)
{
	for (int areas = 0; areas < (outcomes ? 1 : 2); areas++) {
		size_t i = want->at, j = got->at;
		const char *a, *b;

		do {
			a = next_line(want->script, &i, areas);
			b = next_line(got->script, &j, areas);
			if (!same_text(a, b))
				differ(ret, areas ? 5 : 1, "end", a ? a : "",
				       b ? b : "");
		} while (a || b);
	}
}

/* The child is gone, or is another one. */
static bool new_child(const char *text)
{
	struct op op;

	return op_parse(&op, text) && (!strcmp(op.args[0], "fork") ||
				       !strcmp(op.args[0], "exit"));
}

static void compare_outcome(struct comparison *ret, const char *text,
			    struct side *want, struct side *got)
{
	if (new_child(text) || !strcmp(text, "end")) {
		forget_child(want);
		forget_child(got);
	}
	take_states(want);
	take_states(got);
	compare_states(ret, text, want, got);
	compare_line(ret, 5, text, want, got, " ev", false);
	if (!same_events(result_line(want, " ev"), result_line(got, " ev")))
		differ(ret, 4, text, result_line(want, " ev"),
		       result_line(got, " ev"));
}

static void compare_op(struct comparison *ret, const char *text,
		       struct side *want, struct side *got, bool outcomes)
{
	compare_line(ret, 1, text, want, got, " r ", outcomes);
	compare_line(ret, 1, text, want, got, " v ", outcomes);
	if (outcomes)
		return;
	compare_line(ret, 1, text, want, got, " b ", outcomes);
	compare_line(ret, 1, text, want, got, " cb ", outcomes);
	compare_outcome(ret, text, want, got);
}

/* Those results that the world shows, without f=. */
static void judge_op(const struct judge *judge, const struct side sides[2],
		     struct outcome *outcome)
{
	char results[2][80];

	for (int i = 0; i < 2; i++) {
		without_faults(results[i], sizeof(results[i]),
			       result_line(&sides[i], " r "));
		outcome->r[i] = results[i];
		outcome->v[i] = result_line(&sides[i], " v ");
		outcome->at[i] = sides[i].at;
	}
	judge->op(judge->arg, outcome);
}

void compare_judged(const struct judge *judge, const struct script *expected,
		    const struct script *got)
{
	struct side sides[] = { { .script = expected }, { .script = got } };
	struct outcome outcome = { .scripts = { expected, got } };

	while ((outcome.text = next_op(&sides[0])) && next_op(&sides[1]) &&
	       strcmp(outcome.text, "end"))
		judge_op(judge, sides, &outcome);
	outcome.at[0] = sides[0].at;
	outcome.at[1] = sides[1].at;
	judge->end(judge->arg, &outcome);
}

void compare(struct comparison *ret, const struct script *expected,
	     const struct script *got_script, bool outcomes)
{
	struct side want = { .script = expected }, got = { .script =
								got_script };
	const char *text, *other;

	do {
		text = next_op(&want);
		other = next_op(&got);
		if (!same_text(text, other)) {
			differ(ret, 1, text ? text : "end", "", other ? other : "");
			return;
		}
		if (text && strcmp(text, "end"))
			compare_op(ret, text, &want, &got, outcomes);
	} while (text && strcmp(text, "end"));
	if (!outcomes)
		compare_outcome(ret, "end", &want, &got);
	compare_ends(ret, &want, &got, outcomes);
}
