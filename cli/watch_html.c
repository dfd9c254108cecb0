/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * All areas over time, as a page: to the right is time, upwards are addresses.
 * Most of those are empty: the edges of areas are drawn at equal distances,
 * but for the gaps between areas, which are left out.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "html.h"
#include "watch.h"

#define WIDTH 1100
#define HEIGHT 700
#define LEFT 10
#define MOST_LIVES 4000

/* Where an address is drawn: by its rank among all edges. */
struct scale {
	uint64_t *edges;
	size_t n;
};

static int by_address(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool make_scale(struct scale *scale, const struct watch_life *lives,
		       size_t n)
{
	size_t kept = 0;

	scale->edges = malloc((2 * n + 1) * sizeof(*scale->edges));
	if (!scale->edges)
		return false;
	for (size_t i = 0; i < n; i++) {
		scale->edges[2 * i] = lives[i].start;
		scale->edges[2 * i + 1] = lives[i].end;
	}
	qsort(scale->edges, 2 * n, sizeof(*scale->edges), by_address);
	for (size_t i = 0; i < 2 * n; i++)
		if (!kept || scale->edges[i] != scale->edges[kept - 1])
			scale->edges[kept++] = scale->edges[i];
	scale->n = kept;
	return true;
}

static double height_of(const struct scale *scale, uint64_t address)
{
	const uint64_t *edge = bsearch(&address, scale->edges, scale->n,
				       sizeof(*edge), by_address);

	return edge ? HEIGHT - (double)HEIGHT *
				       (double)(edge - scale->edges) /
				       (double)scale->n : 0;
}

static const char *color(const struct watch_life *life)
{
	if (!(life->prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
		return "#ddd";
	if (life->prot & PROT_EXEC)
		return "#c77";
	if (!(life->flags & MAP_ANONYMOUS))
		return "#cb6";
	return life->prot & PROT_WRITE ? "#69c" : "#9c9";
}

static void draw_life(const struct watch *watch, const struct scale *scale,
		      const struct watch_life *life, FILE *out)
{
	double all = (double)(watch->last_ns - watch->begun_ns) + 1;
	double x = (double)(life->born_ns - watch->begun_ns) / all * WIDTH;
	double width = (double)(life->died_ns - life->born_ns) / all * WIDTH;
	double y = height_of(scale, life->end);
	double height = height_of(scale, life->start) - y;
	char bytes[32];

	watch_bytes(bytes, sizeof(bytes), life->end - life->start);
	fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
		"fill=\"%s\"><title>%" PRIx64 "-%" PRIx64 ", %s, %c%c%c, from %.3f "
		"to %.3f ms, process %d</title></rect>\n", LEFT + x, y,
		width < 0.5 ? 0.5 : width, height < 0.5 ? 0.5 : height,
		color(life), life->start, life->end, bytes,
		life->prot & PROT_READ ? 'r' : '-',
		life->prot & PROT_WRITE ? 'w' : '-',
		life->prot & PROT_EXEC ? 'x' : '-',
		(double)(life->born_ns - watch->begun_ns) / 1e6,
		(double)(life->died_ns - watch->begun_ns) / 1e6,
		watch->board->board->processes[life->process].pid);
}

/* All that were begun when the next ones end: the largest lives are at the head. */
static int draw(const struct watch *watch, FILE *out)
{
	size_t n = watch->nlives < MOST_LIVES ? watch->nlives : MOST_LIVES;
	struct scale scale;

	if (!make_scale(&scale, watch->lives, n))
		return -1;
	html_svg(out, WIDTH + 2 * LEFT, HEIGHT + 20);
	for (size_t i = 0; i < n; i++)
		draw_life(watch, &scale, &watch->lives[i], out);
	fputs("</svg>\n", out);
	free(scale.edges);
	return 0;
}

int watch_html(FILE *out, struct watch *watch, const char *program)
{
	char *text = NULL;
	size_t size = 0;
	struct run_result result = {
		.wall_ns = watch->last_ns - watch->begun_ns,
	};
	FILE *memory = open_memstream(&text, &size);

	if (!memory)
		return -1;
	watch_text(memory, watch, &result);
	fclose(memory);
	html_begin(out, program);
	fprintf(out, "<p>Areas of all processes: time to the right, addresses upwards, gaps "
		"left out. Blue: written, green: read only, yellow: a file, red: code, "
		"grey: no access. Drawn: %zu, left out: %" PRIu64 ".\n",
		watch->nlives < MOST_LIVES ? watch->nlives : MOST_LIVES,
		watch->lives_lost + (watch->nlives < MOST_LIVES ? 0 :
				     watch->nlives - MOST_LIVES));
	if (draw(watch, out)) {
		free(text);
		return -1;
	}
	fputs("<pre>", out);
	html_put(out, text);
	fputs("</pre>\n", out);
	free(text);
	return html_end(out);
}
