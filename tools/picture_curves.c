/* SPDX-License-Identifier: BSD-3-Clause */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "picture_parts.h"
#include "units.h"

/* The colours of Okabe and Ito; each with a dash of its own. A curve that lies on
 * another one must leave it visible, so the later ones are thinner or dotted. */
static const struct curve {
    const char *name;
    size_t offset; /* in struct history_sample */
    const char *stroke;
} curves[] = {
    { "plugged", offsetof(struct history_sample, plugged),
      "stroke=\"#0072b2\" stroke-width=\"4\"" },
    { "requested", offsetof(struct history_sample, requested),
      "stroke=\"#000000\" stroke-width=\"1.5\" stroke-dasharray=\"9 4\"" },
    { "resident", offsetof(struct history_sample, resident),
      "stroke=\"#e69f00\" stroke-width=\"2.2\" stroke-dasharray=\"6 6\"" },
    { "retained", offsetof(struct history_sample, retained),
      "stroke=\"#cc79a7\" stroke-width=\"3\" stroke-dasharray=\"10 3 2 3\"" },
};

static uint64_t value_of(const struct history_sample *sample,
                         const struct curve *curve)
{
    uint64_t value;

    memcpy(&value, (const char *)sample + curve->offset, sizeof(value));
    return value;
}

static uint64_t peak_of(const struct history *history,
                        const struct curve *curve)
{
    uint64_t peak = 0;

    for (unsigned i = 0; i < history->samples->len; i++) {
        peak = MAX(peak, value_of(history_get_sample(history, i), curve));
    }
    return peak;
}

static uint64_t peak_of_all(const struct history *history)
{
    uint64_t peak = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(curves); i++) {
        peak = MAX(peak, peak_of(history, &curves[i]));
    }
    return MAX(peak, 1);
}

#define LEGEND_LEFT 40.0

/* What a curve does within one step of x, which is half a pixel. */
struct moment {
    double x;
    double first;
    double least;
    double most;
    double last;
};

static void draw_moment(struct svg *svg, const struct moment *moment, double y)
{
    if (moment->least == moment->most && moment->last == y) {
        return;
    }
    svg_add(svg, "H%.1f", moment->x);
    if (moment->least < moment->last) {
        svg_add(svg, "V%.1f", moment->least);
    }
    if (moment->most > moment->last && moment->most > y) {
        svg_add(svg, "V%.1f", moment->most);
    }
    svg_add(svg, "V%.1f", moment->last);
}

/* Steps, since sizes hold until they change; many in one place are one up and
 * down, so that the text is bounded. */
static void draw_curve(struct svg *svg, const struct history *history,
                       const struct curve *curve, double scale, double bottom)
{
    struct moment moment = { .x = -1 };
    double y = bottom;

    svg_add(svg, "<path id=\"%s\" fill=\"none\" %s d=\"", curve->name,
            curve->stroke);
    for (unsigned i = 0; i < history->samples->len; i++) {
        const struct history_sample *sample = history_get_sample(history, i);
        const double x = round(picture_x(history, sample->seconds) * 2) / 2;
        const double next =
            round((bottom - (double)value_of(sample, curve) * scale) * 10) / 10;

        if (x > moment.x) {
            if (moment.x >= 0) {
                draw_moment(svg, &moment, y);
                y = moment.last;
            } else {
                svg_add(svg, "M%.1f %.1f", x, next);
                y = next;
            }
            moment = (struct moment){ x, next, next, next, next };
        }
        moment.least = MIN(moment.least, next);
        moment.most = MAX(moment.most, next);
        moment.last = next;
    }
    draw_moment(svg, &moment, y);
    svg_add(svg, "H%.1f\"/>\n", PICTURE_RIGHT);
}

static void draw_scale(struct svg *svg, uint64_t peak, double scale, double top,
                       double bottom)
{
    const struct axis axis = axis_of_bytes(0, peak, 5);
    g_autofree char *turn = g_strdup_printf(
        "text-anchor=\"middle\" transform=\"rotate(-90 30 %.1f)\"",
        (top + bottom) / 2);
    g_autofree char *title = g_strdup_printf("memory (%s)", axis.unit_name);

    for (unsigned i = 0; i < axis.nr_marks; i++) {
        const double y = bottom - axis_mark(&axis, i) * scale;
        g_autofree char *label = axis_label(&axis, i);

        svg_line(svg, PICTURE_LEFT, y, PICTURE_RIGHT, y,
                 "stroke=\"#000000\" stroke-opacity=\"0.14\"");
        svg_text(svg, PICTURE_LEFT - 8, y + 4,
                 PICTURE_SMALL " text-anchor=\"end\"", label);
    }
    svg_text(svg, 30, (top + bottom) / 2, turn, title);
}

static void draw_legend(struct svg *svg, const struct history *history,
                        double y)
{
    const double width = (PICTURE_RIGHT - LEGEND_LEFT) / G_N_ELEMENTS(curves);
    const struct history_sample *end =
        history_get_sample(history, history->samples->len - 1);

    for (unsigned i = 0; i < G_N_ELEMENTS(curves); i++) {
        const double x = LEGEND_LEFT + i * width;
        g_autofree char *peak =
            units_format_bytes(peak_of(history, &curves[i]));
        g_autofree char *last = units_format_bytes(value_of(end, &curves[i]));
        g_autofree char *numbers =
            g_strdup_printf("peak %s, end %s", peak, last);
        g_autofree char *stroke =
            g_strdup_printf("fill=\"none\" %s", curves[i].stroke);

        svg_line(svg, x, y, x + 36, y, stroke);
        svg_text(svg, x + 42, y - 2, NULL, curves[i].name);
        svg_text(svg, x + 42, y + 13, "font-size=\"11\" fill=\"#444444\"",
                 numbers);
    }
}

void picture_curves(struct svg *svg, const struct history *history, double top,
                    double bottom)
{
    const uint64_t peak = peak_of_all(history);
    /* Room for the thickness of a curve at the top. */
    const double scale = (bottom - top - 10) / (double)peak;

    draw_legend(svg, history, top - 26);
    draw_scale(svg, peak, scale, top, bottom);
    picture_grid(svg, history, top, bottom);
    picture_marks(svg, history, -1, top, bottom);
    for (unsigned i = 0; i < G_N_ELEMENTS(curves); i++) {
        draw_curve(svg, history, &curves[i], scale, bottom);
    }
}
