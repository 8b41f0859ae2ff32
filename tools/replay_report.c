/* SPDX-License-Identifier: BSD-3-Clause */
#include "replay_state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "blockmap.h"
#include "units.h"

/* Lines of text about one trace; the rest is counted. */
#define MAX_FAILURES 10

void replay_report_begin(struct replay *replay)
{
    struct report *report = replay->report;
    const struct trace *trace = replay->trace;

    report_line(report, "%s: %u records, memory is %s%s", trace->name,
                trace->records->len, replay->options->backing,
                replay->options->touch ? ", every plugged page is written"
                                       : "");
    for (unsigned i = 0; i < trace->devices->len; i++) {
        const struct trace_device *device = trace_get_device(trace, i);
        g_autofree char *region = units_format_bytes(device->region_size);
        g_autofree char *block = units_format_bytes(device->block_size);

        report_line(report, "  %s at 0x%" PRIx64 ": %s in blocks of %s",
                    device->name, device->gpa, region, block);
    }
    report_line(report, "  %8s %10s %10s %10s %10s %8s %8s", "seconds",
                "plugged", "resident", "retained", "peak", "discards",
                "syscalls");
    report_open_object(report);
    report_string(report, "file", trace->name);
    report_number(report, "nr_records", trace->records->len);
    report_open_array(report, "samples");
}

static void draw_maps(struct replay *replay)
{
    struct report *report = replay->report;

    for (unsigned i = 0; i < replay->trace->devices->len; i++) {
        const struct shadow *blocks = &replay->rigs[i].shadows[0];
        const char *name = trace_get_device(replay->trace, i)->name;
        unsigned used = (unsigned)strlen(name) + 6; /* "  NAME |" and "|" */
        unsigned width =
            report->columns > used + 8 ? report->columns - used : 8;
        g_autofree char *map = blockmap_draw(blocks->has, blocks->nr_blocks,
                                             width, report->unicode);

        report_line(report, "  %s |%s|", name, map);
    }
}

void replay_report_sample(struct replay *replay,
                          const struct replay_sample *sample, double seconds,
                          const char *event)
{
    struct report *report = replay->report;
    g_autofree char *plugged = units_format_bytes(sample->plugged);
    g_autofree char *resident = units_format_bytes(sample->resident);
    g_autofree char *retained = units_format_bytes(sample->retained);
    g_autofree char *peak = units_format_bytes(replay->totals->peak_resident);

    report_line(report,
                "  %8.3f %10s %10s %10s %10s %8" PRIu64 " %8" PRIu64
                "  before %s",
                seconds, plugged, resident, retained, peak, sample->nr_discards,
                sample->nr_syscalls, event);
    if (report->terminal && report->json == NULL) {
        draw_maps(replay);
    }
    if (report->json != NULL) {
        report_open_object(report);

        report_double(report, "seconds", seconds);
        report_string(report, "before", event);
        report_number(report, "plugged", sample->plugged);
        report_number(report, "resident", sample->resident);
        report_number(report, "retained", sample->retained);
        report_number(report, "peak_resident", replay->totals->peak_resident);
        report_number(report, "nr_discards", sample->nr_discards);
        report_number(report, "nr_syscalls", sample->nr_syscalls);
        report_close_object(report);
    }
}

void replay_report_devices(struct replay *replay)
{
    struct report *report = replay->report;

    if (!report->terminal) {
        draw_maps(replay);
    }
    report_line(report, "  %s", blockmap_legend(report->unicode));
    report_close_array(report);
    report_open_array(report, "devices");
    for (unsigned i = 0; i < replay->trace->devices->len; i++) {
        const struct trace_device *device = trace_get_device(replay->trace, i);
        const struct shadow *blocks = &replay->rigs[i].shadows[0];

        report_open_object(report);
        report_string(report, "name", device->name);
        report_number(report, "region_size", device->region_size);
        report_number(report, "block_size", device->block_size);
        report_number(report, "plugged", blocks->populated_size);
        blockmap_report(report, blocks);
        report_close_object(report);
    }
    report_close_array(report);
}

void replay_report_end(struct replay *replay)
{
    struct report *report = replay->report;
    struct replay_totals *totals = replay->totals;
    uint64_t nr_hidden =
        totals->nr_failures - MIN(totals->nr_failures, MAX_FAILURES);

    if (nr_hidden > 0) {
        report_line(report, "  ... and %" PRIu64 " more", nr_hidden);
    }
    report_open_array(report, "failures");
    for (unsigned i = 0; i < replay->failures->len; i++) {
        const struct replay_failure *failure =
            &g_array_index(replay->failures, struct replay_failure, i);

        report_open_object(report);
        report_number(report, "line", failure->line);
        report_string(report, "kind", failure->kind);
        report_string(report, "message", failure->message);
        report_close_object(report);
    }
    report_close_array(report);
    report_number(report, "nr_requests", totals->nr_requests);
    report_number(report, "plugged_in_all", totals->plugged);
    report_number(report, "unplugged_in_all", totals->unplugged);
    report_number(report, "plugged", totals->end_plugged);
    report_number(report, "resident", totals->end_resident);
    report_number(report, "peak_resident", totals->peak_resident);
    report_bool(report, "as_recorded",
                totals->nr_failures == 0 && !totals->host_failed);
    report_close_object(report);
    report_line(report, "%s", "");
}

static void G_GNUC_PRINTF(3, 0)
    add_failure(struct replay *replay, const char *kind, const char *format,
                va_list args)
{
    struct replay_failure failure = { .line = replay->line, .kind = kind };

    failure.message = g_strdup_vprintf(format, args);
    if (replay->failures->len < MAX_FAILURES) {
        report_line(replay->report, "  %s:%u: %s", replay->trace->name,
                    failure.line, failure.message);
    }
    g_array_append_val(replay->failures, failure);
}

void replay_fail(struct replay *replay, const char *kind, const char *format,
                 ...)
{
    va_list args;

    if (replay->totals->host_failed) {
        return;
    }
    va_start(args, format);
    add_failure(replay, kind, format, args);
    va_end(args);
    replay->totals->nr_failures++;
}

void replay_fail_host(struct replay *replay, const char *format, ...)
{
    va_list args;

    if (replay->totals->host_failed) {
        return;
    }
    va_start(args, format);
    add_failure(replay, "host", format, args);
    va_end(args);
    replay->totals->host_failed = true;
    if (replay->report->quiet) {
        const struct replay_failure *last = &g_array_index(
            replay->failures, struct replay_failure, replay->failures->len - 1);

        report_error(replay->report, last->message);
    }
}
