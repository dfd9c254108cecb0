/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include <string.h>

#include "designs/design.h"

const struct uhmm_design *const uhmm_designs[] = {
	&uhmm_as_uhmm,
	&uhmm_as_classic,
	&uhmm_as_active_list,
	&uhmm_as_valid_flag,
	&uhmm_as_valid_bool,
	NULL,
};

const struct uhmm_design *uhmm_design_by_name(const char *name)
{
	const struct uhmm_design *const *design;

	for (design = uhmm_designs; *design; design++)
		if (!strcmp((*design)->name, name))
			break;
	return *design;
}
