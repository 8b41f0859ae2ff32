/* SPDX-License-Identifier: BSD-3-Clause */
#include "picture.h"

#include <string.h>

#include "picture_parts.h"
#include "units.h"

/* Title, subtitle and the legend of the curves. */
#define HEAD 104.0
#define CURVES 230.0
/* Above a map: its heading. */
#define MAP_HEAD 40.0
/* Below the last one: numbers, what they count, the legend. */
#define FOOT 92.0

/* On white and on dark cells. */
#define GRID_LINE "stroke=\"#000000\" stroke-opacity=\"0.14\""

double picture_x(const struct history *history, double seconds)
{
    const double from = history_from(history);
    const double span = history_until(history) - from;

    return PICTURE_LEFT +
           (seconds - from) / span * (PICTURE_RIGHT - PICTURE_LEFT);
}

static struct axis time_axis(const struct history *history)
{
    return axis_of_seconds(history_from(history), history_until(history), 10);
}

void picture_grid(struct svg *svg, const struct history *history, double top,
                  double bottom)
{
    const struct axis axis = time_axis(history);

    for (unsigned i = 0; i < axis.nr_marks; i++) {
        const double x = picture_x(history, axis_mark(&axis, i));

        svg_line(svg, x, top, x, bottom, GRID_LINE);
    }
    svg_rect(svg, PICTURE_LEFT, top, PICTURE_RIGHT - PICTURE_LEFT, bottom - top,
             "fill=\"none\" stroke=\"#666666\"");
}

static bool is_about(const struct history_mark *mark, int device)
{
    return device < 0 || mark->device == device ||
           mark->device == TRACE_ALL_DEVICES;
}

/* From one moment to another, and seen however short that is. */
static void draw_busy(struct svg *svg, const struct history *history,
                      double from, double until, double top, double bottom)
{
    const double x = MIN(picture_x(history, from), PICTURE_RIGHT - 1);

    svg_rect(svg, x, top, MAX(picture_x(history, until) - x, 1), bottom - top,
             PICTURE_HATCH);
}

/* At most one a pixel, so that their number is bounded. */
void picture_marks(struct svg *svg, const struct history *history, int device,
                   double top, double bottom)
{
    double last_reset_x = -1;
    double last_busy_x = -1;
    double busy_since = -1;

    for (unsigned i = 0; i < history->marks->len; i++) {
        const struct history_mark *mark =
            &g_array_index(history->marks, struct history_mark, i);
        const double x = picture_x(history, mark->seconds);

        if (!is_about(mark, device)) {
            continue;
        }
        if (mark->what == WATCH_RESET && x - last_reset_x >= 1) {
            svg_line(svg, x, top, x, bottom,
                     "stroke=\"#222222\" stroke-dasharray=\"1 3\"");
            last_reset_x = x;
        } else if (mark->what == WATCH_BUSY && busy_since < 0) {
            busy_since = mark->seconds;
        } else if (mark->what == WATCH_READY && busy_since >= 0) {
            if (x - last_busy_x >= 1) {
                draw_busy(svg, history, busy_since, mark->seconds, top, bottom);
                last_busy_x = x;
            }
            busy_since = -1;
        }
    }
    if (busy_since >= 0) {
        draw_busy(svg, history, busy_since, history_until(history), top,
                  bottom);
    }
}

static void draw_time_axis(struct svg *svg, const struct history *history,
                           const char *clock, double y)
{
    const struct axis axis = time_axis(history);
    g_autofree char *title = g_strdup_printf("%s (%s)", clock, axis.unit_name);

    for (unsigned i = 0; i < axis.nr_marks; i++) {
        g_autofree char *label = axis_label(&axis, i);

        svg_text(svg, picture_x(history, axis_mark(&axis, i)), y + 17,
                 PICTURE_SMALL " text-anchor=\"middle\"", label);
    }
    svg_text(svg, (PICTURE_LEFT + PICTURE_RIGHT) / 2, y + 38,
             "text-anchor=\"middle\"", title);
}

/* Devices share what one alone has, but keep enough to be seen. */
static double map_height(unsigned nr_devices)
{
    return nr_devices <= 1 ? 220 : MAX(340.0 / nr_devices, 48);
}

/* For those who cannot see it, and for programs. */
static char *describe(const struct history *history,
                      const struct picture_caption *caption)
{
    const unsigned nr_samples = history->samples->len;
    struct history_sample peak = { .seconds = 0 };
    struct history_sample end = { .seconds = 0 };

    for (unsigned i = 0; i < nr_samples; i++) {
        end = *history_get_sample(history, i);
        peak.plugged = MAX(peak.plugged, end.plugged);
        peak.resident = MAX(peak.resident, end.resident);
        peak.retained = MAX(peak.retained, end.retained);
    }
    return g_strdup_printf(
        "%s. %" G_GUINT64_FORMAT
        " requests from second %.3f to %.3f. Peaks in bytes: plugged "
        "%" G_GUINT64_FORMAT ", resident %" G_GUINT64_FORMAT
        ", retained %" G_GUINT64_FORMAT ". At the end: requested "
        "%" G_GUINT64_FORMAT ", plugged %" G_GUINT64_FORMAT
        ", resident %" G_GUINT64_FORMAT ", retained %" G_GUINT64_FORMAT ".",
        caption->subtitle, history->nr_requests, history->start_seconds,
        history->end_seconds, peak.plugged, peak.resident, peak.retained,
        end.requested, end.plugged, end.resident, end.retained);
}

char *picture_draw(const struct history *history,
                   const struct picture_caption *caption)
{
    const unsigned nr_devices = history->devices->len;
    const double map = map_height(nr_devices);
    const double height = HEAD + CURVES + nr_devices * (MAP_HEAD + map) + FOOT;
    g_autofree char *description = describe(history, caption);
    struct svg svg;
    double y = HEAD + CURVES;

    svg_begin(&svg, PICTURE_WIDTH, height, caption->title, description);
    svg_add(&svg, "<defs><pattern id=\"busy\" width=\"9\" height=\"9\" "
                  "patternUnits=\"userSpaceOnUse\"><path d=\"M-1 1L1 -1M0 "
                  "9L9 0M8 10L10 8\" stroke=\"#999999\" fill=\"none\"/>"
                  "</pattern></defs>\n");
    /* A viewer with a dark background shows paper all the same. */
    svg_rect(&svg, 0, 0, PICTURE_WIDTH, height, "fill=\"#ffffff\"");
    svg_text(&svg, 24, 32, "font-size=\"18\" font-weight=\"bold\"",
             caption->title);
    svg_text(&svg, 24, 53, PICTURE_SMALL, caption->subtitle);
    picture_curves(&svg, history, HEAD, HEAD + CURVES);
    for (unsigned i = 0; i < nr_devices; i++) {
        picture_map(&svg, history, i, y + MAP_HEAD, y + MAP_HEAD + map);
        y += MAP_HEAD + map;
    }
    draw_time_axis(&svg, history, caption->clock, y);
    picture_map_legend(&svg, history, y + 66);
    return svg_end(&svg);
}

enum exit_code picture_save(const struct history *history,
                            const struct picture_caption *caption,
                            const char *path, enum exit_code code,
                            struct report *report)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;

    if (path == NULL || history->samples->len == 0) {
        return code;
    }
    text = picture_draw(history, caption);
    if (!g_file_set_contents(path, text, (gssize)strlen(text), &error)) {
        report_error(report, error->message);
        return EXIT_CODE_HOST;
    }
    return code;
}
