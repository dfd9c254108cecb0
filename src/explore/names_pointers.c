/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Objects on a heap have no name of their own; they are called by the variable
 * that leads to them: "mm->lock", "client.sub->range.start".
 */
#include <dwarf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "explore/names.h"
#include "explore/names_dwarf.h"

#define MAX_ELEMENTS 8		/* of an array that are looked at */
#define MAX_POINTERS 3		/* from the variable to the object */
#define DECLARED 61

struct variable {
	Dwarf_Die die, type;
	const char *at;
};

/*
 * Of one loaded file: the variables that are, or have, pointers, and the
 * definitions of what is only declared, by where that stands.
 */
static struct {
	Dwfl_Module *module;
	struct variable *variables;
	size_t n;
	struct definition {
		const void *of;
		bool found;
		Dwarf_Die die;
	} definitions[DECLARED];
} known;

struct search {
	uintptr_t addr;
	const char *piece;
	const void *(*piece_of)(const void *addr, size_t *ret_size);
	bool any_type;
};

static void add_variable(Dwarf_Die *die, Dwarf_Addr bias)
{
	struct variable *more;
	Dwarf_Die type;
	Dwarf_Addr addr;

	if (dwarf_tag(die) != DW_TAG_variable || !dwarf_diename(die) ||
	    !dwarf_address_of(die, &addr) || !dwarf_type_of(die, &type) ||
	    dwarf_tag(&type) == DW_TAG_base_type ||
	    dwarf_tag(&type) == DW_TAG_enumeration_type)
		return;
	more = realloc(known.variables, (known.n + 1) * sizeof(*more));
	if (!more)
		return;
	known.variables = more;
	more[known.n++] = (struct variable){
		*die, type, (const char *)(uintptr_t)(addr + bias),
	};
}

static void know(Dwfl_Module *module)
{
	Dwarf_Die *unit = NULL, die;
	Dwarf_Addr bias;

	if (known.module == module)
		return;
	known.module = module;
	known.n = 0;
	memset(known.definitions, 0, sizeof(known.definitions));
	while ((unit = dwfl_module_nextcu(module, unit, &bias))) {
		if (dwarf_child(unit, &die))
			continue;
		do
			add_variable(&die, bias);
		while (!dwarf_siblingof(&die, &die));
	}
}

/* All files are looked through. */
static bool define(Dwarf_Die *type, Dwarf_Die *ret_die)
{
	const char *name = dwarf_diename(type);
	int tag = dwarf_tag(type);
	Dwarf_Die *unit = NULL;
	Dwarf_Addr bias;

	while (name && (unit = dwfl_module_nextcu(known.module, unit, &bias))) {
		if (dwarf_child(unit, ret_die))
			continue;
		do {
			if (dwarf_tag(ret_die) == tag &&
			    !dwarf_hasattr(ret_die, DW_AT_declaration) &&
			    dwarf_diename(ret_die) &&
			    !strcmp(dwarf_diename(ret_die), name))
				return true;
		} while (!dwarf_siblingof(ret_die, ret_die));
	}
	return false;
}

/* Where it is only declared, the definition is of another file. */
static bool complete(Dwarf_Die *type)
{
	struct definition *at;

	if (!dwarf_hasattr(type, DW_AT_declaration))
		return true;
	at = &known.definitions[(uintptr_t)type->addr % DECLARED];
	if (at->of != type->addr) {
		at->found = define(type, &at->die);
		at->of = type->addr;
	}
	if (at->found)
		*type = at->die;
	return at->found;
}

static bool look_in(const struct search *s, Dwarf_Die *type, const char *at,
		    const char *joint, unsigned int pointers,
		    struct text *text);

/* What is at @target, if it is a @type and not some bytes of another one. */
static bool is_whole(const struct search *s, const char *target,
		     Dwarf_Die *type, Dwarf_Word *ret_size)
{
	const char *piece;
	size_t size;

	piece = s->piece_of(target, &size);
	return piece && complete(type) &&
	       !dwarf_aggregate_size(type, ret_size) &&
	       *ret_size <= size - (size_t)(target - piece);
}

static bool look_behind(const struct search *s, Dwarf_Die *pointer,
			const char *at, unsigned int pointers,
			struct text *text)
{
	char path[100] = "";
	struct text rest = { path, sizeof(path) };
	const char *target;
	Dwarf_Word size;
	Dwarf_Die type;

	memcpy(&target, at, sizeof(target));
	if (s->any_type && !pointers && target && target == s->piece) {
		text_append(text, "+%lu", (unsigned long)(s->addr -
						 (uintptr_t)s->piece));
		return true;
	}
	if (!target || !dwarf_type_of(pointer, &type) ||
	    !is_whole(s, target, &type, &size))
		return false;
	if (pointers)
		return look_in(s, &type, target, "->", pointers - 1, text);
	if (s->addr - (uintptr_t)target >= size)
		return false;
	dwarf_append_path(&rest, &type, s->addr - (uintptr_t)target);
	text_append(text, "%s%s", *path == '.' ? "->" : "",
		    path + (*path == '.'));
	return true;
}

static bool look_in_members(const struct search *s, Dwarf_Die *type,
			    const char *at, const char *joint,
			    unsigned int pointers, struct text *text)
{
	const struct text begun = *text;
	Dwarf_Die member, of;
	const char *name;

	if (dwarf_child(type, &member))
		return false;
	do {
		if (dwarf_tag(&member) != DW_TAG_member ||
		    dwarf_hasattr(&member, DW_AT_data_bit_offset) ||
		    !dwarf_type_of(&member, &of))
			continue;
		name = dwarf_diename(&member);
		if (name)
			text_append(text, "%s%s", joint, name);
		if (look_in(s, &of, at + dwarf_offset_of_member(&member),
			    name ? "." : joint, pointers, text))
			return true;
		*text = begun;
		*text->buf = '\0';
	} while (!dwarf_siblingof(&member, &member));
	return false;
}

static bool look_in_elements(const struct search *s, Dwarf_Die *type,
			     const char *at, unsigned int pointers,
			     struct text *text)
{
	const struct text begun = *text;
	Dwarf_Word all, size;
	Dwarf_Die of;

	if (!dwarf_type_of(type, &of) || dwarf_aggregate_size(type, &all) ||
	    dwarf_aggregate_size(&of, &size) || !size)
		return false;
	for (unsigned int i = 0; i < MAX_ELEMENTS && i < all / size; i++) {
		text_append(text, "[%u]", i);
		if (look_in(s, &of, at + i * size, ".", pointers, text))
			return true;
		*text = begun;
		*text->buf = '\0';
	}
	return false;
}

/* Through so many pointers, and no fewer. Of a union nobody knows which. */
static bool look_in(const struct search *s, Dwarf_Die *type, const char *at,
		    const char *joint, unsigned int pointers, struct text *text)
{
	switch (dwarf_tag(type)) {
	case DW_TAG_pointer_type:
		return look_behind(s, type, at, pointers, text);
	case DW_TAG_structure_type:
		return look_in_members(s, type, at, joint, pointers, text);
	case DW_TAG_array_type:
		return look_in_elements(s, type, at, pointers, text);
	default:
		return false;
	}
}

static bool look_everywhere(const struct search *s, char *buf, size_t size)
{
	for (unsigned int pointers = 0; pointers < MAX_POINTERS; pointers++)
		for (size_t i = 0; i < known.n; i++) {
			struct variable *v = &known.variables[i];
			struct text text = { buf, size };

			text_append(&text, "%s", dwarf_diename(&v->die));
			if (look_in(s, &v->type, v->at, ".", pointers, &text))
				return true;
			*buf = '\0';
		}
	return false;
}

bool names_pointed(const void *in, const void *addr, const void *piece,
		   const void *(*piece_of)(const void *addr, size_t *ret_size),
		   char *buf, size_t size)
{
	struct search s = { (uintptr_t)addr, piece, piece_of, false };
	Dwfl_Module *module = dwarf_module_at((uintptr_t)in);

	*buf = '\0';
	if (!module)
		return false;
	know(module);
	if (look_everywhere(&s, buf, size))
		return true;
	s.any_type = true;
	return look_everywhere(&s, buf, size);
}
