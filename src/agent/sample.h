/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A few pages that the checker holds on to from one look to the next: whether
 * what is at their addresses then is still these pages is seen by the data,
 * where nobody says which frames they are.
 */
#ifndef AGENT_SAMPLE_H
#define AGENT_SAMPLE_H

#include <stdbool.h>

#define SAMPLE_PAGES 16

/* Anew in a forked child. Where it cannot be had, nothing is held. */
void sample_open(void);
/* Hold what is at the @n addresses, and nothing that was held before. Returns how many. */
unsigned int sample_hold(const unsigned long *addrs, unsigned int n);
/*
 * Sets @differs for each page held: another one is at its address for certain.
 * It may be that another one with the same data is, or one that is written all
 * the time: that is not told. False: nothing could be compared.
 */
bool sample_compare(bool *differs);

#endif
