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
#define TYPES 509

/* What libdw says of a type, as far as pointers are to be found in it. */
struct type {
	struct type *next;	/* with this hash */
	Dwarf_Die die;
	int tag;
	Dwarf_Word size;	/* 0: not known */
	bool known;		/* what follows is */
	struct type *of;	/* what it points to, or is an array of */
	struct member {
		const char *name;	/* NULL: it has none */
		Dwarf_Word offset;
		struct type *type;
	} *members;
	size_t n;
};

struct variable {
	const char *name, *at;
	struct type *type;
};

/*
 * Of one loaded file: the variables that are, or have, pointers, the types that
 * were met, and the definitions of what is only declared, by where that stands.
 */
static struct {
	Dwfl_Module *module;
	struct variable *variables;
	size_t n;
	struct type *types[TYPES];
	struct definition {
		const void *of;
		bool found;
		Dwarf_Die die;
	} definitions[DECLARED];
} known;

/* --------------------------------------------------------------------- types */

/* NULL: no memory. */
static struct type *type_at(Dwarf_Die *die)
{
	struct type **at = &known.types[(uintptr_t)die->addr % TYPES], *type;

	for (type = *at; type; type = type->next)
		if (type->die.addr == die->addr)
			return type;
	type = calloc(1, sizeof(*type));
	if (!type)
		return NULL;
	type->die = *die;
	type->tag = dwarf_tag(die);
	if (dwarf_aggregate_size(die, &type->size))
		type->size = 0;
	type->next = *at;
	*at = type;
	return type;
}

/* NULL: there are no pointers in it. */
static struct type *with_pointers(Dwarf_Die *die)
{
	int tag = dwarf_tag(die);

	return tag == DW_TAG_pointer_type || tag == DW_TAG_structure_type ||
	       tag == DW_TAG_array_type ? type_at(die) : NULL;
}

static void forget_types(void)
{
	for (size_t i = 0; i < TYPES; i++)
		while (known.types[i]) {
			struct type *type = known.types[i];

			known.types[i] = type->next;
			free(type->members);
			free(type);
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

static void add_members(struct type *type)
{
	Dwarf_Die die, of;
	struct member *more;

	if (dwarf_child(&type->die, &die))
		return;
	do {
		if (dwarf_tag(&die) != DW_TAG_member ||
		    dwarf_hasattr(&die, DW_AT_data_bit_offset) ||
		    !dwarf_type_of(&die, &of) || !with_pointers(&of))
			continue;
		more = realloc(type->members, (type->n + 1) * sizeof(*more));
		if (!more)
			return;
		type->members = more;
		more[type->n++] = (struct member){
			dwarf_diename(&die), dwarf_offset_of_member(&die),
			with_pointers(&of),
		};
	} while (!dwarf_siblingof(&die, &die));
}

static struct type *know_type(struct type *type)
{
	Dwarf_Die of;

	if (type->known)
		return type;
	type->known = true;
	if (type->tag == DW_TAG_structure_type)
		add_members(type);
	else if (type->tag == DW_TAG_array_type &&
		 dwarf_type_of(&type->die, &of))
		type->of = with_pointers(&of);
	else if (type->tag == DW_TAG_pointer_type &&
		 dwarf_type_of(&type->die, &of) && complete(&of))
		type->of = type_at(&of);
	return type;
}

/* ----------------------------------------------------------------- variables */

static void add_variable(Dwarf_Die *die, Dwarf_Addr bias)
{
	struct variable *more;
	Dwarf_Die type;
	Dwarf_Addr addr;

	if (dwarf_tag(die) != DW_TAG_variable || !dwarf_diename(die) ||
	    !dwarf_address_of(die, &addr) || !dwarf_type_of(die, &type) ||
	    !with_pointers(&type))
		return;
	more = realloc(known.variables, (known.n + 1) * sizeof(*more));
	if (!more)
		return;
	known.variables = more;
	more[known.n++] = (struct variable){
		dwarf_diename(die), (const char *)(uintptr_t)(addr + bias),
		type_at(&type),
	};
}

static void know(Dwfl_Module *module)
{
	Dwarf_Die *unit = NULL, die;
	Dwarf_Addr bias;

	if (known.module == module)
		return;
	forget_types();
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

/* --------------------------------------------------------------- the search */

struct search {
	uintptr_t addr;
	const char *piece;
	const void *(*piece_of)(const void *addr, size_t *ret_size);
	bool any_type;
};

/* The way from the variable: ".member" or "[2]". */
struct step {
	const struct step *before;
	const char *joint, *name;	/* NULL: an element */
	unsigned int element;
};

static void append_way(struct text *text, const struct step *step)
{
	if (!step)
		return;
	append_way(text, step->before);
	if (step->name)
		text_append(text, "%s%s", step->joint, step->name);
	else
		text_append(text, "[%u]", step->element);
}

static bool look_in(const struct search *s, struct type *type, const char *at,
		    const char *joint, unsigned int pointers,
		    const struct step *way, struct text *text);

static bool look_behind(const struct search *s, struct type *pointer,
			const char *at, unsigned int pointers,
			const struct step *way, struct text *text)
{
	const char *target, *piece;
	char path[100] = "";
	struct text rest = { path, sizeof(path) };
	struct type *type;
	size_t size;

	memcpy(&target, at, sizeof(target));
	if (s->any_type && !pointers && target && target == s->piece) {
		append_way(text, way);
		text_append(text, "+%lu", (unsigned long)(s->addr -
						 (uintptr_t)s->piece));
		return true;
	}
	/* It has to be whole, not some bytes of another one. */
	piece = target ? s->piece_of(target, &size) : NULL;
	type = piece ? know_type(pointer)->of : NULL;
	if (!type || !type->size || type->size > size - (size_t)(target - piece))
		return false;
	if (pointers)
		return look_in(s, type, target, "->", pointers - 1, way, text);
	if (s->addr - (uintptr_t)target >= type->size)
		return false;
	append_way(text, way);
	dwarf_append_path(&rest, &type->die, s->addr - (uintptr_t)target);
	text_append(text, "%s%s", *path == '.' ? "->" : "",
		    path + (*path == '.'));
	return true;
}

static bool look_in_members(const struct search *s, struct type *type,
			    const char *at, const char *joint,
			    unsigned int pointers, const struct step *way,
			    struct text *text)
{
	for (size_t i = 0; i < type->n; i++) {
		const struct member *m = &type->members[i];
		const struct step step = { way, joint, m->name, 0 };

		if (look_in(s, m->type, at + m->offset, m->name ? "." : joint,
			    pointers, m->name ? &step : way, text))
			return true;
	}
	return false;
}

static bool look_in_elements(const struct search *s, struct type *type,
			     const char *at, unsigned int pointers,
			     const struct step *way, struct text *text)
{
	if (!type->of || !type->of->size)
		return false;
	for (unsigned int i = 0; i < MAX_ELEMENTS &&
	     i < type->size / type->of->size; i++) {
		const struct step step = { way, NULL, NULL, i };

		if (look_in(s, type->of, at + i * type->of->size, ".", pointers,
			    &step, text))
			return true;
	}
	return false;
}

/* Through so many pointers, and no fewer. Of a union nobody knows which. */
static bool look_in(const struct search *s, struct type *type, const char *at,
		    const char *joint, unsigned int pointers,
		    const struct step *way, struct text *text)
{
	if (type->tag == DW_TAG_pointer_type)
		return look_behind(s, type, at, pointers, way, text);
	know_type(type);
	return type->tag == DW_TAG_structure_type ?
		       look_in_members(s, type, at, joint, pointers, way, text) :
		       look_in_elements(s, type, at, pointers, way, text);
}

static bool look_everywhere(const struct search *s, char *buf, size_t size)
{
	for (unsigned int pointers = 0; pointers < MAX_POINTERS; pointers++)
		for (size_t i = 0; i < known.n; i++) {
			struct variable *v = &known.variables[i];
			const struct step step = { NULL, "", v->name, 0 };
			struct text text = { buf, size };

			if (look_in(s, v->type, v->at, ".", pointers, &step,
				    &text))
				return true;
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
