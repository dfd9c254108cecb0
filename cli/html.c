/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
#include "html.h"

void html_put(FILE *out, const char *text)
{
	for (; *text; text++)
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			putc(*text, out);
		}
}

void html_begin(FILE *out, const char *title)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
	      "<title>", out);
	html_put(out, title);
	fputs("</title>\n<style>\n"
	      "body { font: 14px sans-serif; margin: 2em }\n"
	      "text { font: 13px monospace } .head { font-weight: bold }\n"
	      ".bad { fill: #b00 } .fold { fill: #777 } .call { fill: #036 }\n"
	      "line { stroke: #bbb } table { border-collapse: collapse }\n"
	      "td, th { border: 1px solid #bbb; padding: 2px 8px }\n"
	      "pre, .right { font-family: monospace } .right { text-align: right }\n"
	      "</style>\n<h1>", out);
	html_put(out, title);
	fputs("</h1>\n", out);
}

int html_end(FILE *out)
{
	fputs("</html>\n", out);
	return ferror(out) ? -1 : 0;
}

void html_svg(FILE *out, unsigned int width, unsigned int height)
{
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" "
		"height=\"%u\">\n", width, height);
}

void html_text(FILE *out, int x, int y, const char *class, const char *text)
{
	fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"%s\">", x, y, class);
	html_put(out, text);
	fputs("</text>\n", out);
}
