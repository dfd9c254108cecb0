/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Who made the changes: places in code, counted, and with names. */
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watch.h"

/* ----------------------------------------------------------------------- counts */

static size_t hash(uint64_t site, uint64_t caller)
{
	uint64_t h = (site ^ caller << 7) * 0x9e3779b97f4a7c15ULL;

	return (size_t)(h >> 20);
}

static struct watch_site *slot(struct watch_sites *sites, uint64_t site,
			       uint64_t caller)
{
	size_t at = hash(site, caller);
	struct watch_site *s;

	for (;; at++) {
		s = &sites->sites[at & (sites->room - 1)];
		if (!s->changes || (s->site == site && s->caller == caller))
			return s;
	}
}

static void grow(struct watch_sites *sites)
{
	struct watch_sites more = { .room = sites->room ? sites->room * 2 : 256 };

	more.sites = calloc(more.room, sizeof(*more.sites));
	if (!more.sites)
		abort();
	for (size_t i = 0; i < sites->room; i++)
		if (sites->sites[i].changes)
			*slot(&more, sites->sites[i].site,
			      sites->sites[i].caller) = sites->sites[i];
	more.n = sites->n;
	free(sites->sites);
	*sites = more;
}

void sites_add(struct watch_sites *sites, const struct stream_record *record)
{
	struct watch_site *s;

	if (2 * sites->n >= sites->room)
		grow(sites);
	s = slot(sites, record->site, record->caller);
	if (!s->changes) {
		sites->n++;
		s->site = record->site;
		s->caller = record->caller;
	}
	s->changes++;
	s->bytes += record->length;
}

static int more_changes(const void *a, const void *b)
{
	const struct watch_site *x = a, *y = b;

	if (x->changes != y->changes)
		return x->changes < y->changes ? 1 : -1;
	return x->site < y->site ? -1 : x->site > y->site;
}

size_t sites_top(struct watch_sites *sites, size_t max)
{
	/* No more are added: it need not be found again. */
	if (sites->n)
		qsort(sites->sites, sites->room, sizeof(*sites->sites),
		      more_changes);
	return sites->n < max ? sites->n : max;
}

/* ------------------------------------------------------------------------ names */

/* A file in memory. */
struct image {
	const unsigned char *bytes;
	size_t size;
};

static const void *at(const struct image *image, uint64_t offset, uint64_t size)
{
	return offset <= image->size && size <= image->size - offset ?
		       image->bytes + offset : NULL;
}

/* Addresses in the file count from here: the first page that is mapped. */
static uint64_t first_page(const struct image *image, const Elf64_Ehdr *ehdr)
{
	const Elf64_Phdr *phdr = at(image, ehdr->e_phoff,
				    ehdr->e_phnum * sizeof(*phdr));

	for (int i = 0; phdr && i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD)
			return phdr[i].p_vaddr & -4096UL;
	return 0;
}

/* The function that holds @address, in one table of symbols. */
static const char *in_table(const struct image *image, const Elf64_Shdr *table,
			    const Elf64_Shdr *strings, uint64_t address,
			    uint64_t *ret_offset)
{
	const Elf64_Sym *sym = at(image, table->sh_offset, table->sh_size);
	const char *names = at(image, strings->sh_offset, strings->sh_size);

	for (size_t i = 0; sym && names && i < table->sh_size / sizeof(*sym);
	     i++) {
		if (ELF64_ST_TYPE(sym[i].st_info) != STT_FUNC ||
		    address < sym[i].st_value ||
		    address >= sym[i].st_value + sym[i].st_size ||
		    sym[i].st_name >= strings->sh_size)
			continue;
		*ret_offset = address - sym[i].st_value;
		return names + sym[i].st_name;
	}
	return NULL;
}

static bool find_symbol(const struct image *image, uint64_t offset, char *buf,
			size_t size)
{
	const Elf64_Ehdr *ehdr = at(image, 0, sizeof(*ehdr));
	const Elf64_Shdr *shdr;
	const char *name = NULL;
	uint64_t address, into = 0;

	if (!ehdr || memcmp(ehdr->e_ident, ELFMAG, SELFMAG) ||
	    ehdr->e_ident[EI_CLASS] != ELFCLASS64)
		return false;
	shdr = at(image, ehdr->e_shoff, ehdr->e_shnum * sizeof(*shdr));
	address = offset + first_page(image, ehdr);
	for (int i = 0; shdr && !name && i < ehdr->e_shnum; i++)
		if ((shdr[i].sh_type == SHT_SYMTAB ||
		     shdr[i].sh_type == SHT_DYNSYM) &&
		    shdr[i].sh_link < ehdr->e_shnum)
			/* The place returned to is behind the call. */
			name = in_table(image, &shdr[i],
					&shdr[shdr[i].sh_link], address - 1,
					&into);
	if (name)
		snprintf(buf, size, "%s+0x%" PRIx64, name, into + 1);
	return name;
}

/* Names are asked for again and again. */
#define KNOWN 4096

static struct known {
	uint64_t place;
	char *text;
} known[KNOWN];

static void make_text(const char *object, uint64_t offset, char *buf,
		      size_t size)
{
	const char *base = strrchr(object, '/');
	struct image image = { 0 };
	char symbol[120];
	struct stat st;
	int fd = open(object, O_RDONLY | O_CLOEXEC);

	snprintf(symbol, sizeof(symbol), "+0x%" PRIx64, offset);
	if (fd >= 0 && !fstat(fd, &st) && st.st_size > 0) {
		image.size = (size_t)st.st_size;
		image.bytes = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd,
				   0);
		if (image.bytes != MAP_FAILED) {
			find_symbol(&image, offset, symbol, sizeof(symbol));
			munmap((void *)image.bytes, image.size);
		}
	}
	if (fd >= 0)
		close(fd);
	snprintf(buf, size, "%s (%s)", symbol, base ? base + 1 : object);
}

void site_text(const struct stream *stream, uint64_t place, char *buf,
	       size_t size)
{
	unsigned int object = STREAM_OBJECT(place);
	struct known *k = &known[(place ^ place >> 44) % KNOWN];

	snprintf(buf, size, "?");
	if (!object || object > STREAM_OBJECTS)
		return;
	if (k->place != place) {
		make_text(stream->objects[object - 1].name,
			  STREAM_OFFSET(place), buf, size);
		free(k->text);
		k->text = strdup(buf);
		k->place = k->text ? place : 0;
	}
	if (k->text)
		snprintf(buf, size, "%s", k->text);
}
