/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Pages that need nothing else: text and drawings. */
#ifndef UHMM_CLI_HTML_H
#define UHMM_CLI_HTML_H

#include <stdio.h>

/* Up to the heading, which is @title. */
void html_begin(FILE *out, const char *title);
/* 0, or -1 with errno. */
int html_end(FILE *out);
/* With what HTML takes for its own written otherwise. */
void html_put(FILE *out, const char *text);
/* A drawing, and text in it. */
void html_svg(FILE *out, unsigned int width, unsigned int height);
void html_text(FILE *out, int x, int y, const char *class, const char *text);

#endif
