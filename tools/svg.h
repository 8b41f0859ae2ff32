/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_SVG_H
#define VMEMCTL_SVG_H

#include <glib.h>

/* Text of a picture in SVG. Coordinates are pixels at its natural size, written
 * with one decimal; y grows downwards. */
struct svg {
    GString *text;
};

/* attributes of the functions below are written as they are, such as
 * "stroke='red'"; NULL is none. */

void svg_begin(struct svg *svg, double width, double height, const char *title,
               const char *description);
/* The whole text; free it with g_free(). */
char *svg_end(struct svg *svg);

/* Anything. */
void svg_add(struct svg *svg, const char *format, ...) G_GNUC_PRINTF(2, 3);

void svg_rect(struct svg *svg, double x, double y, double width, double height,
              const char *attributes);
void svg_line(struct svg *svg, double x1, double y1, double x2, double y2,
              const char *attributes);
/* content may be any bytes. */
void svg_text(struct svg *svg, double x, double y, const char *attributes,
              const char *content);

/* The same content, fit for XML, at most max_chars long. Free it with
 * g_free(). */
char *svg_escape(const char *content, unsigned max_chars);

#endif /* VMEMCTL_SVG_H */
