/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Symbols of all that is loaded. Each file's table is read once, when the
 * first address in it is asked for, and kept.
 */
#include "explore/names.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct symbol {
	uintptr_t start;
	uintptr_t end;
	const char *name;
	bool code;
};

/* One loaded file. */
struct module {
	struct module *next;
	uintptr_t base;
	size_t n;
	struct symbol *symbols;		/* by start */
};

static struct module *modules;

static int compare(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* The section headers of a file that are inside of it; NULL: none. */
static const ElfW(Shdr) *sections(const char *map, size_t size, size_t *ret_n)
{
	const ElfW(Ehdr) *head = (const void *)map;

	if (size < sizeof(*head) || memcmp(head->e_ident, ELFMAG, SELFMAG) ||
	    head->e_shentsize != sizeof(ElfW(Shdr)) ||
	    head->e_shoff > size ||
	    head->e_shnum > (size - head->e_shoff) / sizeof(ElfW(Shdr)))
		return NULL;
	*ret_n = head->e_shnum;
	return (const void *)(map + head->e_shoff);
}

static void add_symbol(struct module *module, const ElfW(Sym) *sym,
		       const char *name)
{
	int type = ELF64_ST_TYPE(sym->st_info);

	if ((type != STT_FUNC && type != STT_OBJECT) || !sym->st_size ||
	    sym->st_shndx == SHN_UNDEF)
		return;
	module->symbols[module->n++] = (struct symbol){
		.start = module->base + sym->st_value,
		.end = module->base + sym->st_value + sym->st_size,
		.name = name,
		.code = type == STT_FUNC,
	};
}

static void read_table(struct module *module, const char *map, size_t size,
		       const ElfW(Shdr) *table, const ElfW(Shdr) *strings)
{
	const ElfW(Sym) *sym = (const void *)(map + table->sh_offset);
	size_t n = table->sh_size / sizeof(*sym), i;

	if (table->sh_offset > size || table->sh_size > size - table->sh_offset ||
	    strings->sh_offset > size ||
	    strings->sh_size > size - strings->sh_offset || !strings->sh_size)
		return;
	module->symbols = calloc(n, sizeof(*module->symbols));
	if (!module->symbols)
		return;
	for (i = 0; i < n; i++)
		if (sym[i].st_name < strings->sh_size)
			add_symbol(module, &sym[i],
				   map + strings->sh_offset + sym[i].st_name);
	qsort(module->symbols, module->n, sizeof(*module->symbols), compare);
}

/* The full table if it was not stripped, else what is exported. */
static void read_symbols(struct module *module, const char *map, size_t size)
{
	const ElfW(Shdr) *found = NULL;
	size_t n = 0, i;
	const ElfW(Shdr) *section = sections(map, size, &n);

	for (i = 0; i < n; i++)
		if (section[i].sh_type == SHT_SYMTAB ||
		    (section[i].sh_type == SHT_DYNSYM && !found))
			found = &section[i];
	if (found && found->sh_link < n)
		read_table(module, map, size, found, &section[found->sh_link]);
}

/* The mapping stays: names point into it. */
static void read_file(struct module *module, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *map = MAP_FAILED;
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && st.st_size)
		map = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		read_symbols(module, map, st.st_size);
}

struct search {
	uintptr_t addr;
	uintptr_t base;
	char path[4096];
};

static int find_file(struct dl_phdr_info *info, size_t size, void *data)
{
	struct search *search = data;
	int i;

	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type != PT_LOAD ||
		    search->addr - info->dlpi_addr - part->p_vaddr >=
			    part->p_memsz)
			continue;
		search->base = info->dlpi_addr;
		snprintf(search->path, sizeof(search->path), "%s",
			 *info->dlpi_name ? info->dlpi_name : "/proc/self/exe");
		return 1;
	}
	return 0;
}

static const struct module *module_of(uintptr_t addr)
{
	static struct search search;
	struct module *module;

	search.addr = addr;
	if (!dl_iterate_phdr(find_file, &search))
		return NULL;
	for (module = modules; module; module = module->next)
		if (module->base == search.base)
			return module;
	module = calloc(1, sizeof(*module));
	if (!module)
		return NULL;
	module->base = search.base;
	read_file(module, search.path);
	module->next = modules;
	modules = module;
	return module;
}

static const struct symbol *symbol_at(uintptr_t addr, bool code)
{
	const struct module *module = module_of(addr);
	size_t low = 0, high, mid;

	if (!module)
		return NULL;
	for (high = module->n; low < high;) {
		mid = low + (high - low) / 2;
		if (module->symbols[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	/* Some begin together, and some are inside of others. */
	for (; low-- > 0;)
		if (addr < module->symbols[low].end)
			return module->symbols[low].code == code ?
				       &module->symbols[low] : NULL;
		else if (module->symbols[low].start != module->symbols[low].end)
			break;
	return NULL;
}

void names_place(const void *pc, struct names_place *ret_place)
{
	const struct symbol *symbol;

	if (names_dwarf_place(pc, ret_place))
		return;
	symbol = symbol_at((uintptr_t)pc - 1, true);
	*ret_place = (struct names_place){
		.function = symbol ? symbol->name : "?",
		.path = "",
		.file = "",
	};
}

bool names_object(const void *addr, char *buf, size_t size)
{
	const struct symbol *symbol;
	size_t offset;

	if (names_dwarf_object(addr, buf, size))
		return true;
	symbol = symbol_at((uintptr_t)addr, false);
	*buf = '\0';
	if (!symbol)
		return false;
	offset = (uintptr_t)addr - symbol->start;
	if (offset)
		snprintf(buf, size, "%s+%zu", symbol->name, offset);
	else
		snprintf(buf, size, "%s", symbol->name);
	return true;
}
