/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Names from the debugging information. Lines and inlined functions are looked
 * up when asked for; the variables of a compilation unit are looked through
 * each time, which is fast enough for the rows of a ladder.
 */
#include "explore/names.h"
#include "explore/names_dwarf.h"

#include <dwarf.h>
#include <link.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 509
#define OBJECTS 61

static Dwfl *dwfl;

/* Of the last report: the rows of a ladder are of few places, each takes long. */
static struct known_place {
	const void *pc;
	struct names_place place;
} places[PLACES];

static struct known_object {
	const void *addr;
	bool found;
	char name[128];
} objects[OBJECTS];

/* How many objects had come when they were reported. */
static unsigned long long reported;

static int has_news(struct dl_phdr_info *info, size_t size, void *data)
{
	bool news = info->dlpi_adds != reported;

	reported = info->dlpi_adds;
	return news ? 1 : -1;
}

static int report_object(struct dl_phdr_info *info, size_t size, void *data)
{
	const char *path = *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";

	dwfl_report_elf(dwfl, path, path, -1, info->dlpi_addr, true);
	return 0;
}

/*
 * Reports are of what is loaded now: a scenario may have come since. Only then,
 * since they take the strings of earlier ones away; and not from
 * /proc/self/maps, where files are too that libdw itself looks into.
 */
static bool begin(void)
{
	static const Dwfl_Callbacks callbacks = {
		.find_elf = dwfl_linux_proc_find_elf,
		.find_debuginfo = dwfl_standard_find_debuginfo,
	};

	if (!dwfl)
		dwfl = dwfl_begin(&callbacks);
	if (!dwfl || dl_iterate_phdr(has_news, NULL) < 0)
		return false;
	memset(places, 0, sizeof(places));
	memset(objects, 0, sizeof(objects));
	dwfl_report_begin(dwfl);
	dl_iterate_phdr(report_object, NULL);
	return !dwfl_report_end(dwfl, NULL, NULL);
}

Dwfl_Module *dwarf_module_at(Dwarf_Addr addr)
{
	Dwfl_Module *module = dwfl ? dwfl_addrmodule(dwfl, addr) : NULL;

	if (!module && addr + 1 && begin())
		module = dwfl_addrmodule(dwfl, addr);
	return module;
}

/* clang writes down for no unit which addresses it has: they are asked. */
static Dwarf_Die *unit_at(Dwfl_Module *module, Dwarf_Addr addr,
			  Dwarf_Addr *ret_bias)
{
	Dwarf_Die *unit = dwfl_module_addrdie(module, addr, ret_bias), *next;

	if (unit)
		return unit;
	for (next = NULL; (next = dwfl_module_nextcu(module, next, ret_bias));)
		if (dwarf_haspc(next, addr - *ret_bias) > 0)
			return next;
	return NULL;
}

/* The innermost function, inlined ones count. */
static const char *function_at(Dwfl_Module *module, Dwarf_Addr addr)
{
	const char *name = NULL;
	Dwarf_Die *scopes = NULL;
	Dwarf_Addr bias;
	Dwarf_Die *unit = unit_at(module, addr, &bias);
	int n, i;

	n = unit ? dwarf_getscopes(unit, addr - bias, &scopes) : 0;
	for (i = 0; i < n && !name; i++)
		if (dwarf_tag(&scopes[i]) == DW_TAG_subprogram ||
		    dwarf_tag(&scopes[i]) == DW_TAG_inlined_subroutine)
			name = dwarf_diename(&scopes[i]);
	free(scopes);
	return name ? name : dwfl_module_addrname(module, addr);
}

static const char *line_at(Dwfl_Module *module, Dwarf_Addr addr,
			   int *ret_number)
{
	Dwarf_Addr bias;
	Dwarf_Die *unit = unit_at(module, addr, &bias);
	Dwarf_Line *line = unit ? dwarf_getsrc_die(unit, addr - bias) : NULL;

	if (!line || dwarf_lineno(line, ret_number))
		return NULL;
	return dwarf_linesrc(line, NULL, NULL);
}

static bool look_up(const void *pc, struct names_place *ret_place)
{
	Dwarf_Addr addr = (uintptr_t)pc - 1;
	Dwfl_Module *module = dwarf_module_at(addr);
	const char *path, *slash;
	int number;

	path = module ? line_at(module, addr, &number) : NULL;
	if (!path)
		return false;
	slash = strrchr(path, '/');
	ret_place->path = path;
	ret_place->file = slash ? slash + 1 : path;
	ret_place->line = number;
	ret_place->function = function_at(module, addr);
	if (!ret_place->function)
		ret_place->function = "?";
	return true;
}

bool names_dwarf_place(const void *pc, struct names_place *ret_place)
{
	struct known_place *at = &places[(uintptr_t)pc % PLACES];

	if (!pc || at->pc != pc) {
		if (!look_up(pc, ret_place))
			return false;
		at->pc = pc;
		at->place = *ret_place;
	}
	*ret_place = at->place;
	return true;
}

static void code_of_unit(Dwarf_Die *unit, Dwarf_Addr bias,
			 void (*fn)(const struct names_code *code, void *arg),
			 void *arg)
{
	struct names_code code = { 0 };
	Dwarf_Lines *lines;
	Dwarf_Line *line;
	Dwarf_Addr addr;
	size_t n, i;
	int number;
	bool end;

	if (dwarf_getsrclines(unit, &lines, &n))
		return;
	for (i = 0; i < n; i++) {
		line = dwarf_onesrcline(lines, i);
		if (dwarf_lineaddr(line, &addr) || dwarf_lineno(line, &number) ||
		    dwarf_lineendsequence(line, &end))
			continue;
		code.to = addr + bias;
		if (code.path && code.to > code.from)
			fn(&code, arg);
		code.from = code.to;
		code.line = (unsigned int)number;
		code.path = end ? NULL : dwarf_linesrc(line, NULL, NULL);
	}
}

bool names_code(const void *in,
		void (*fn)(const struct names_code *code, void *arg), void *arg)
{
	Dwfl_Module *module = dwarf_module_at((uintptr_t)in);
	Dwarf_Die *unit = NULL;
	bool found = false;
	Dwarf_Addr bias;

	while (module && (unit = dwfl_module_nextcu(module, unit, &bias))) {
		code_of_unit(unit, bias, fn, arg);
		found = true;
	}
	return found;
}

/* ---------------------------------------------------------------- variables */

bool dwarf_type_of(Dwarf_Die *die, Dwarf_Die *ret_type)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate(die, DW_AT_type, &attr) &&
	       dwarf_formref_die(&attr, ret_type) &&
	       !dwarf_peel_type(ret_type, ret_type);
}

Dwarf_Word dwarf_offset_of_member(Dwarf_Die *member)
{
	Dwarf_Attribute attr;
	Dwarf_Word at = 0;

	if (dwarf_attr(member, DW_AT_data_member_location, &attr))
		dwarf_formudata(&attr, &at);
	return at;
}

static bool member_at(Dwarf_Die *type, Dwarf_Word *offset, Dwarf_Die *ret_die)
{
	Dwarf_Word at, size;
	Dwarf_Die type_die;

	if (dwarf_child(type, ret_die))
		return false;
	do {
		at = dwarf_offset_of_member(ret_die);
		if (dwarf_tag(ret_die) != DW_TAG_member ||
		    !dwarf_type_of(ret_die, &type_die) ||
		    dwarf_aggregate_size(&type_die, &size))
			continue;
		if (*offset - at < size) {
			*offset -= at;
			return true;
		}
	} while (!dwarf_siblingof(ret_die, ret_die));
	return false;
}

void text_append(struct text *text, const char *fmt, ...)
{
	va_list args;
	size_t n;

	va_start(args, fmt);
	vsnprintf(text->buf, text->size, fmt, args);
	va_end(args);
	n = strlen(text->buf);
	text->buf += n;
	text->size -= n;
}

void dwarf_append_path(struct text *text, Dwarf_Die *type, Dwarf_Word offset)
{
	Dwarf_Die die = *type, next;
	Dwarf_Word size;
	int depth;

	for (depth = 0; depth < 8; depth++) {
		switch (dwarf_tag(&die)) {
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
			if (!member_at(&die, &offset, &next))
				goto out;
			/* What others hide is one thing: a mutex. */
			if (dwarf_diename(&next) &&
			    !strncmp(dwarf_diename(&next), "__", 2))
				return;
			if (dwarf_diename(&next))
				text_append(text, ".%s", dwarf_diename(&next));
			if (!dwarf_type_of(&next, &die))
				goto out;
			break;
		case DW_TAG_array_type:
			if (!dwarf_type_of(&die, &next) ||
			    dwarf_aggregate_size(&next, &size) || !size)
				goto out;
			text_append(text, "[%llu]",
			       (unsigned long long)(offset / size));
			offset %= size;
			die = next;
			break;
		default:
			goto out;
		}
	}
out:
	if (offset)
		text_append(text, "+%llu", (unsigned long long)offset);
}

bool dwarf_address_of(Dwarf_Die *variable, Dwarf_Addr *ret_addr)
{
	Dwarf_Attribute attr, address;
	Dwarf_Op *ops;
	size_t n;

	if (!dwarf_attr(variable, DW_AT_location, &attr) ||
	    dwarf_getlocation(&attr, &ops, &n) || n != 1)
		return false;
	if (ops[0].atom == DW_OP_addrx)
		return !dwarf_getlocation_attr(&attr, ops, &address) &&
		       !dwarf_formaddr(&address, ret_addr);
	*ret_addr = ops[0].number;
	return ops[0].atom == DW_OP_addr;
}

/* Is @addr, without bias, in it? */
static bool covers(Dwarf_Die *var, Dwarf_Addr addr, Dwarf_Die *ret_type,
		   Dwarf_Word *ret_offset)
{
	Dwarf_Addr start;
	Dwarf_Word size;

	if (!dwarf_address_of(var, &start) || addr < start ||
	    !dwarf_type_of(var, ret_type) ||
	    dwarf_aggregate_size(ret_type, &size))
		return false;
	*ret_offset = addr - start;
	return *ret_offset < size;
}

/* Variables of a file and, below it, those of its functions. */
static bool find_variable(Dwarf_Die *parent, Dwarf_Addr addr, int depth,
			  struct text *text)
{
	Dwarf_Die die, type;
	Dwarf_Word offset;

	if (dwarf_child(parent, &die))
		return false;
	do {
		switch (dwarf_tag(&die)) {
		case DW_TAG_variable:
			if (!covers(&die, addr, &type, &offset))
				break;
			if (!dwarf_diename(&die))
				break;
			text_append(text, "%s", dwarf_diename(&die));
			dwarf_append_path(text, &type, offset);
			return true;
		case DW_TAG_subprogram:
		case DW_TAG_lexical_block:
			if (depth < 3 &&
			    find_variable(&die, addr, depth + 1, text))
				return true;
			break;
		default:
			break;
		}
	} while (!dwarf_siblingof(&die, &die));
	return false;
}

static bool look_up_object(const void *addr, char *buf, size_t size)
{
	struct text text = { .buf = buf, .size = size };
	Dwfl_Module *module = dwarf_module_at((uintptr_t)addr);
	Dwarf_Die *unit = NULL;
	Dwarf_Addr bias;

	*buf = '\0';
	while (module && (unit = dwfl_module_nextcu(module, unit, &bias)))
		if (find_variable(unit, (uintptr_t)addr - bias, 0, &text))
			return true;
	return false;
}

bool names_dwarf_object(const void *addr, char *buf, size_t size)
{
	struct known_object *at = &objects[(uintptr_t)addr % OBJECTS];

	if (!addr || at->addr != addr) {
		at->found = look_up_object(addr, at->name, sizeof(at->name));
		at->addr = addr;
	}
	snprintf(buf, size, "%s", at->name);
	return at->found;
}
