/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * The program's memory: the variables of its object, a heap, a stack for each
 * thread, all where they are in every execution, so that pointers and states
 * can be compared; and thread-local storage, which is copied in and out.
 *
 * What the scenario left behind when it made its first thread is kept, and put
 * back before each execution: those lines of it that any execution has written
 * to. Hooks see who writes where; what they miss stays changed, and is found by
 * world_verify().
 */
#include "internal.h"

#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "race.h"
#include "world.h"

/* Low enough for machines with 39 bits of addresses. */
#define HEAP_WISH ((void *)0x3000000000)

/* A line that executions write to, and what it is when they begin. */
struct line {
	char *at;
	const char *kept;
	size_t size;
};

struct region regions[REGIONS];

static struct {
	const void *object;	/* an address in it */
	char *image;		/* the variables as they were loaded */
	struct line *lines;	/* in the order in which they were first seen */
	unsigned int nlines;
	char *stack;		/* of thread 0, from @sp on */
	size_t stack_size;
	void *sp;
	char *tls;		/* the calling thread's block */
	size_t tls_size;
	char *tls_image;
	char *tls_kept;
	char *tls_of[MAX_THREADS];
	bool tls_used;		/* somebody writes there */
	size_t tls_copied;	/* of each thread: all of it, or nothing */
	int64_t now;
	struct heap heap_state;
	char keys[4096];
} w;

static void *map(void *wish, size_t size)
{
	int fixed = wish ? MAP_FIXED_NOREPLACE : 0;
	void *p = mmap(wish, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);

	if (p == MAP_FAILED && wish)
		return map(NULL, size);
	return p == MAP_FAILED ? NULL : p;
}

static int region_open(struct region *region, char *base, size_t size,
		       size_t tracked)
{
	region->base = base;
	region->size = size;
	region->tracked = tracked;
	region->kept = map(NULL, tracked);
	region->written = map(NULL, tracked / LINE_BYTES + 1);
	region->cells = map(NULL, size * sizeof(struct cell));
	region->borders = map(NULL, size / 8 + 1);
	region->kinds = map(NULL, size / 4 + 1);
	region->wide = map(NULL, size / 8 + 1);
	region->objects = map(NULL, (size / 4 + 2) * sizeof(uint16_t));
	if (!region->cells || !region->borders || !region->kinds ||
	    !region->wide || !region->objects || !region->kept || !region->written)
		return -ENOMEM;
	return 0;
}

static void region_close(struct region *region)
{
	if (region->kept)
		munmap(region->kept, region->tracked);
	if (region->written)
		munmap(region->written, region->tracked / LINE_BYTES + 1);
	if (region->cells)
		munmap(region->cells, region->size * sizeof(struct cell));
	if (region->borders)
		munmap(region->borders, region->size / 8 + 1);
	if (region->kinds)
		munmap(region->kinds, region->size / 4 + 1);
	if (region->wide)
		munmap(region->wide, region->size / 8 + 1);
	if (region->objects)
		munmap(region->objects,
		       (region->size / 4 + 2) * sizeof(uint16_t));
	memset(region, 0, sizeof(*region));
}

/* ------------------------------------------------------- the object it is in */

struct found {
	uintptr_t address;
	char *base;
	size_t size;
	char *tls;
	size_t tls_size;
	size_t tls_module;
	bool found;
};

static void take_segments(const struct dl_phdr_info *info, struct found *found)
{
	uintptr_t low = 0, high = 0, relro = 0;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_LOAD && p->p_flags & PF_W) {
			low = low && low < start ? low : start;
			if (start + p->p_memsz > high)
				high = start + p->p_memsz;
		} else if (p->p_type == PT_GNU_RELRO) {
			relro = start + p->p_memsz;
		} else if (p->p_type == PT_TLS) {
			found->tls_size = p->p_memsz;
			found->tls_module = info->dlpi_tls_modid;
			found->tls = info->dlpi_tls_data;
		}
	}
	if (relro > low)
		low = relro;
	low = (low + 15) & ~(uintptr_t)15;
	found->base = (char *)low;
	found->size = high > low ? high - low : 0;
}

static int look_at(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct found *found = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD &&
		    found->address - info->dlpi_addr - p->p_vaddr < p->p_memsz) {
			found->found = true;
			take_segments(info, found);
			return 1;
		}
	}
	return 0;
}

struct tls_index {
	unsigned long module;
	unsigned long offset;
};
void *__tls_get_addr(struct tls_index *index);

static int find_object(const void *address, struct found *found)
{
	struct tls_index index;

	memset(found, 0, sizeof(*found));
	found->address = (uintptr_t)address;
	dl_iterate_phdr(look_at, found);
	if (!found->found || !found->size)
		return explore_fail(-EINVAL, "the scenario is in no object");
	if ((uintptr_t)&x - (uintptr_t)found->base < found->size)
		return explore_fail(-EINVAL, "the scenario is not in a shared "
				    "object of its own");
	if (found->tls_size && !found->tls) {
		index.module = found->tls_module;
		index.offset = 0;
		found->tls = __tls_get_addr(&index);
	}
	return 0;
}

/* ---------------------------------------------------------------- life */

static int stacks_open(char *base)
{
	for (unsigned int i = 0; i < MAX_THREADS; i++)
		if (mprotect(base + i * STACK_SPACING, GUARD_BYTES, PROT_NONE))
			return -errno;
	return 0;
}

bool world_is_stack(const void *addr)
{
	return (size_t)((const char *)addr - regions[REGION_HEAP].base) -
		       HEAP_BYTES < MAX_THREADS * STACK_SPACING;
}

/* For all there can be. */
static size_t lines_size(size_t data)
{
	return ((data + HEAP_BYTES) / LINE_BYTES + 2) * sizeof(struct line);
}

static int copies_open(const struct found *found)
{
	w.image = malloc(found->size);
	w.lines = map(NULL, lines_size(found->size));
	w.stack = malloc(STACK_BYTES);
	w.tls_image = malloc(found->tls_size + 1);
	w.tls_kept = malloc(found->tls_size + 1);
	if (!w.image || !w.lines || !w.stack ||
	    !w.tls_image || !w.tls_kept)
		return -ENOMEM;
	for (unsigned int i = 0; i < MAX_THREADS; i++) {
		w.tls_of[i] = malloc(found->tls_size + 1);
		if (!w.tls_of[i])
			return -ENOMEM;
	}
	return 0;
}

int world_open(struct uhmm_scenario *scenario)
{
	size_t size = HEAP_BYTES + MAX_THREADS * STACK_SPACING;
	struct found found;
	char *base;
	int ret;

	ret = find_object(scenario, &found);
	if (ret)
		return ret;
	base = map(HEAP_WISH, size);
	if (!base)
		return -ENOMEM;
	ret = region_open(&regions[REGION_HEAP], base, size, HEAP_BYTES);
	if (!ret)
		ret = region_open(&regions[REGION_DATA], found.base, found.size,
				  found.size);
	if (!ret)
		ret = stacks_open(base + HEAP_BYTES);
	heap_init(base);
	if (!ret)
		ret = copies_open(&found);
	if (ret)
		return ret;
	w.object = scenario;
	w.tls = found.tls;
	w.tls_size = found.tls_size;
	memcpy(w.image, found.base, found.size);
	memcpy(w.tls_image, w.tls, w.tls_size);
	return 0;
}

void world_close(void)
{
	size_t size = HEAP_BYTES + MAX_THREADS * STACK_SPACING;

	if (w.object) {
		memcpy(regions[REGION_DATA].base, w.image,
		       regions[REGION_DATA].size);
		memcpy(w.tls, w.tls_image, w.tls_size);
	}
	if (regions[REGION_HEAP].base)
		munmap(regions[REGION_HEAP].base, size);
	if (w.lines)
		munmap(w.lines, lines_size(regions[REGION_DATA].size));
	for (unsigned int i = 0; i < REGIONS; i++)
		region_close(&regions[i]);
	free(w.image);
	free(w.stack);
	free(w.tls_image);
	free(w.tls_kept);
	for (unsigned int i = 0; i < MAX_THREADS; i++)
		free(w.tls_of[i]);
	memset(&w, 0, sizeof(w));
}

/* -------------------------------------------------------------------- lines */

void world_written(struct region *region, size_t line)
{
	size_t offset = line * LINE_BYTES, left = region->tracked - offset;
	struct line *new = &w.lines[w.nlines++];

	region->written[line] = 1;
	new->at = region->base + offset;
	new->kept = region->kept + offset;
	new->size = left < LINE_BYTES ? left : LINE_BYTES;
}

static void lines_forget(struct region *region, size_t size)
{
	memcpy(region->kept, region->base, size);
	memset(region->written, 0, region->tracked / LINE_BYTES + 1);
	w.nlines = 0;
}

#define MANY_LINES 16

/* Nobody has written to any of these lines, as far as is known and in fact. */
static bool many_same(const struct region *region, size_t at)
{
	static const uint8_t none[MANY_LINES];

	return !memcmp(&region->written[at / LINE_BYTES], none, MANY_LINES) &&
	       !memcmp(region->base + at, region->kept + at,
		       MANY_LINES * LINE_BYTES);
}

static bool lines_verify(struct region *region, size_t size)
{
	bool same = true;

	for (size_t at = 0; at < size; at += LINE_BYTES) {
		size_t left = size - at;

		while (left >= MANY_LINES * LINE_BYTES && many_same(region, at)) {
			at += MANY_LINES * LINE_BYTES;
			left -= MANY_LINES * LINE_BYTES;
		}
		if (!left)
			break;

		if (region->written[at / LINE_BYTES] ||
		    !memcmp(region->base + at, region->kept + at,
			    left < LINE_BYTES ? left : LINE_BYTES))
			continue;
		world_written(region, at / LINE_BYTES);
		same = false;
	}
	return same;
}

static bool tls_verify(void)
{
	if (w.tls_used || !memcmp(w.tls, w.tls_image, w.tls_size))
		return true;
	w.tls_used = true;
	return false;
}

/* False: something was written that no hook saw, and is known from now on. */
bool world_verify(void)
{
	bool tls = tls_verify();
	bool data = lines_verify(&regions[REGION_DATA],
				 regions[REGION_DATA].size);

	return lines_verify(&regions[REGION_HEAP], heap_state()->used) && data &&
	       tls;
}

/* ------------------------------------------------- keep it, and put it back */

void world_keep(void)
{
	char *top = (char *)stack_of(0) + STACK_BYTES;
	void *keys;
	size_t size;

	w.sp = x.threads[0].sp;
	w.stack_size = (size_t)(top - (char *)w.sp);
	memcpy(w.stack, w.sp, w.stack_size);
	w.heap_state = *heap_state();
	lines_forget(&regions[REGION_DATA], regions[REGION_DATA].size);
	lines_forget(&regions[REGION_HEAP], w.heap_state.used);
	memcpy(w.tls_kept, w.tls, w.tls_size);
	w.tls_used = memcmp(w.tls_kept, w.tls_image, w.tls_size) != 0;
	w.now = x.now;
	keys = keys_state(&size);
	memcpy(w.keys, keys, size);
}

void world_restore(void)
{
	void *keys;
	size_t size;

	for (unsigned int i = 0; i < w.nlines; i++)
		memcpy(w.lines[i].at, w.lines[i].kept, w.lines[i].size);
	heap_put_back(&w.heap_state);
	memcpy(w.sp, w.stack, w.stack_size);
	memcpy(w.tls, w.tls_kept, w.tls_size);
	memcpy(w.tls_of[0], w.tls_kept, w.tls_size);
	/* What is run once has nobody who looks whether hooks missed something. */
	w.tls_copied = w.tls_used || x.stateful || x.force ? w.tls_size : 0;
	x.threads[0].sp = w.sp;
	x.now = w.now;
	keys = keys_state(&size);
	memcpy(keys, w.keys, keys_bytes(w.keys));
}

/*
 * Somebody writes there, perhaps to thread-local storage. As long as nobody does,
 * that of all threads is the same, and is not copied.
 */
void tls_touched(const void *addr)
{
	if (w.tls_used || !world_is_tls(addr))
		return;
	w.tls_used = true;
	w.tls_copied = w.tls_size;
	checkpoints_drop();
}

/* Thread-local storage belongs to @from, and then to @to. */
void tls_switch(unsigned int from, unsigned int to)
{
	if (!w.tls_copied || from == to)
		return;
	memcpy(w.tls_of[from], w.tls, w.tls_size);
	memcpy(w.tls, w.tls_of[to], w.tls_size);
}

void tls_fresh(unsigned int thread)
{
	memcpy(w.tls_of[thread], w.tls_image, w.tls_size);
}

char *tls_of(unsigned int thread, size_t *ret_size)
{
	*ret_size = w.tls_copied;
	return w.tls_of[thread];
}

/* What runs has its own where the system has it; bring it up to date. */
void tls_keep(void)
{
	if (w.tls_copied)
		memcpy(w.tls_of[x.self], w.tls, w.tls_size);
}

void tls_put_back(void)
{
	if (w.tls_copied)
		memcpy(w.tls, w.tls_of[x.self], w.tls_size);
}

bool world_is_tls(const void *addr)
{
	return (size_t)((const char *)addr - w.tls) < w.tls_size;
}

/* It belongs to the thread of the system, and means nothing across steps. */
bool world_is_errno(const void *addr)
{
	return addr == (const void *)&errno;
}

/* ------------------------------------------------------------ states of it */

/* Not inlined: for a size that it knows gcc takes what is slow. */
__attribute__((noinline)) char *bytes_put(char *to, const void *from,
					  size_t size)
{
	memcpy(to, from, size);
	return to + size;
}

__attribute__((noinline)) const char *bytes_get(void *to, const char *from,
						size_t size)
{
	memcpy(to, from, size);
	return from + size;
}

size_t world_save_bytes(void)
{
	return w.nlines * LINE_BYTES + sizeof(w.nlines) +
	       sizeof(struct heap) +
	       MAX_THREADS * w.tls_size + sizeof(w.keys) + 64;
}

static inline void line_copy(void *to, const void *from, size_t size)
{
	if (likely(size == LINE_BYTES))
		words_copy(to, from, LINE_BYTES);
	else
		memcpy(to, from, size);
}

size_t world_save(char *to)
{
	size_t ignored;
	char *at = to;
	void *keys;

	memcpy(at, heap_state(), sizeof(struct heap));
	at += sizeof(struct heap);
	memcpy(at, &w.nlines, sizeof(w.nlines));
	at += sizeof(w.nlines);
	for (const struct line *line = w.lines; line < &w.lines[w.nlines];
	     at += line++->size)
		line_copy(at, line->at, line->size);
	keys = keys_state(&ignored);
	at = bytes_put(at, keys, ignored);
	return (size_t)(at - to);
}

/* Threads have been put back before; x.self is who will run. */
const char *world_load(const char *from)
{
	struct heap heap;
	unsigned int nlines;
	size_t ignored;
	void *keys;

	memcpy(&heap, from, sizeof(heap));
	from += sizeof(heap);
	heap_put_back(&heap);
	memcpy(&nlines, from, sizeof(nlines));
	from += sizeof(nlines);
	for (const struct line *line = w.lines; line < &w.lines[nlines];
	     from += line++->size)
		line_copy(line->at, from, line->size);
	/* Nobody had written there yet. */
	for (unsigned int i = nlines; i < w.nlines; i++)
		memcpy(w.lines[i].at, w.lines[i].kept, w.lines[i].size);
	keys = keys_state(&ignored);
	return bytes_get(keys, from, keys_bytes(from));
}

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;
	uint64_t a = hash, b = ~hash, word[2];

	for (; size >= 16; size -= 16, at += 16) {
		memcpy(word, at, 16);
		a = (a ^ word[0]) * 0x9e3779b97f4a7c15ULL;
		b = (b ^ word[1]) * 0xc2b2ae3d27d4eb4fULL;
		a ^= a >> 29;
		b ^= b >> 31;
	}
	word[0] = word[1] = size;
	memcpy(word, at, size);
	a = (a ^ word[0]) * 0xff51afd7ed558ccdULL;
	b = (b ^ word[1]) * 0xc4ceb9fe1a85ec53ULL;
	return mix(a ^ (b << 17 | b >> 47));
}

/* A line that is as it was counts for nothing, known or not. */
uint64_t world_hash(void)
{
	uint64_t sum = heap_state()->used;

	for (unsigned int i = 0; i < w.nlines; i++) {
		const struct line *line = &w.lines[i];

		if (memcmp(line->at, line->kept, line->size))
			sum += hash_bytes((uintptr_t)line->at, line->at,
					  line->size);
	}
	return mix(sum);
}

/* With what belongs to single threads, and what may not be used. */
uint64_t world_hash_all(void)
{
	uint64_t hash = world_hash();
	size_t size;
	void *keys = keys_state(&size);

	hash = mix(hash ^ heap_state()->freed_hash);
	if (w.tls_size) {
		memcpy(w.tls_of[x.self], w.tls, w.tls_size);
		for (unsigned int i = 0; i < x.nthreads; i++)
			hash = hash_bytes(hash, w.tls_of[i], w.tls_size);
	}
	keys_state(&size);
	return hash_bytes(hash, keys, size);
}
