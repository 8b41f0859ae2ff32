/* SPDX-License-Identifier: BSD-3-Clause */
#include "svg.h"

#include <stdarg.h>

#define LONGEST_TEXT 120

char *svg_escape(const char *content, unsigned max_chars)
{
    g_autofree char *valid = g_utf8_make_valid(content, -1);
    g_autoptr(GString) clean = g_string_new(NULL);
    unsigned nr_chars = 0;

    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        const gunichar c = g_utf8_get_char(p);
        /* XML has no way to write control characters and these two. */
        const gboolean is_bad =
            c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xfffe || c == 0xffff;

        if (nr_chars++ == max_chars - 1 && *g_utf8_next_char(p) != '\0') {
            g_string_append(clean, "…");
            break;
        }
        g_string_append_unichar(clean, is_bad ? 0xfffd : c);
    }
    return g_markup_escape_text(clean->str, -1);
}

void svg_add(struct svg *svg, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_string_append_vprintf(svg->text, format, args);
    va_end(args);
}

void svg_begin(struct svg *svg, double width, double height, const char *title,
               const char *description)
{
    g_autofree char *name = svg_escape(title, LONGEST_TEXT);
    g_autofree char *said = svg_escape(description, 2000);

    svg->text = g_string_new(NULL);
    svg_add(svg,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
            "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
            "font-family=\"Helvetica, Arial, sans-serif\" "
            "font-size=\"13\" fill=\"#222222\">\n"
            "<title>%s</title>\n"
            "<desc>%s</desc>\n",
            width, height, width, height, name, said);
}

char *svg_end(struct svg *svg)
{
    g_string_append(svg->text, "</svg>\n");
    return g_string_free(g_steal_pointer(&svg->text), FALSE);
}

void svg_rect(struct svg *svg, double x, double y, double width, double height,
              const char *attributes)
{
    svg_add(svg,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
            "%s/>\n",
            x, y, width, height, attributes != NULL ? attributes : "");
}

void svg_line(struct svg *svg, double x1, double y1, double x2, double y2,
              const char *attributes)
{
    svg_add(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n",
            x1, y1, x2, y2, attributes != NULL ? attributes : "");
}

void svg_text(struct svg *svg, double x, double y, const char *attributes,
              const char *content)
{
    g_autofree char *text = svg_escape(content, LONGEST_TEXT);

    svg_add(svg, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y,
            attributes != NULL ? attributes : "", text);
}
