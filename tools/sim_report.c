/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "blockmap.h"
#include "sim_state.h"
#include "units.h"

/* Lines of text; the rest is counted. */
#define MAX_FAILURES 10
#define SECOND_NS 1e9

static double seconds_of(const struct sim *sim)
{
    return sim->guest != NULL
               ? (double)vmem_guest_get_now_ns(sim->guest) / SECOND_NS
               : 0;
}

void sim_report_begin(struct sim *sim)
{
    const struct sim_options *options = sim->options;
    struct report *report = sim->report;
    g_autofree char *size = units_format_bytes(options->size);
    g_autofree char *block = units_format_bytes(options->block_size);
    g_autofree char *unit = units_format_bytes(options->memory_block);

    report_line(report,
                "%s guest, pattern %s, seed %" PRIu64
                ", memory blocks of %s; %s in blocks of %s on %s%s",
                vmem_guest_kind_name(options->kind),
                vmem_guest_pattern_name(options->pattern), options->seed, unit,
                size, block, options->backing,
                options->touch ? ", every plugged page is written" : "");
    report_line(report, "  %9s %10s %10s %10s %10s %10s %8s %7s", "seconds",
                "requested", "plugged", "pinned", "resident", "retained",
                "requests", "retries");
    report_string(report, "guest", vmem_guest_kind_name(options->kind));
    report_string(report, "pattern", vmem_guest_pattern_name(options->pattern));
    report_number(report, "seed", options->seed);
    report_number(report, "region_size", options->size);
    report_number(report, "block_size", options->block_size);
    report_number(report, "memory_block", options->memory_block);
    report_string(report, "backing", options->backing);
    report_bool(report, "touch", options->touch);
    report_open_array(report, "samples");
}

static void draw_map(struct sim *sim)
{
    struct report *report = sim->report;
    const struct shadow *blocks = &sim->rig.shadows[0];
    const unsigned used = (unsigned)strlen(sim->shape.name) + 6;
    const unsigned width =
        report->columns > used + 8 ? report->columns - used : 8;
    g_autofree char *map =
        blockmap_draw(blocks->has, blocks->nr_blocks, width, report->unicode);

    report_line(report, "  %s |%s|", sim->shape.name, map);
}

void sim_report_sample(struct sim *sim, const struct sim_sample *sample,
                       const char *event)
{
    struct report *report = sim->report;
    const char *status = sim->status >= 0
                             ? vmem_guest_status_name((uint64_t)sim->status)
                             : "no driver";
    g_autofree char *requested =
        units_format_bytes(sample->device.requested_size);
    g_autofree char *plugged = units_format_bytes(sample->device.plugged_size);
    g_autofree char *pinned = units_format_bytes(sample->guest.pinned_size);
    g_autofree char *resident = units_format_bytes(sample->resident);
    g_autofree char *retained =
        units_format_bytes(sample->device.retained_size);

    report_line(report,
                "  %9.3f %10s %10s %10s %10s %10s %8" PRIu64 " %7" PRIu64
                "  after %s: %s",
                seconds_of(sim), requested, plugged, pinned, resident, retained,
                sample->nr_requests, sample->guest.nr_retries, event, status);
    if (report->terminal && report->json == NULL) {
        draw_map(sim);
    }
    if (report->json == NULL) {
        return;
    }
    report_open_object(report);

    report_double(report, "seconds", seconds_of(sim));
    report_string(report, "after", event);
    report_string(report, "status", status);
    report_number(report, "requested", sample->device.requested_size);
    report_number(report, "plugged", sample->device.plugged_size);
    report_number(report, "pinned", sample->guest.pinned_size);
    report_number(report, "resident", sample->resident);
    report_number(report, "retained", sample->device.retained_size);
    report_number(report, "nr_requests", sample->nr_requests);
    report_number(report, "nr_retries", sample->guest.nr_retries);
    report_close_object(report);
}

static void report_requests(struct sim *sim, const struct sim_sample *sample)
{
    struct report *report = sim->report;

    report_line(report, "  %-10s %9s %9s %9s %9s", "requests", "ack", "nack",
                "busy", "error");
    report_open_array(report, "requests");
    for (unsigned type = 0; type < 4; type++) {
        const char *name = vmem_request_type_name(type);
        const uint64_t *nr = sample->guest.nr_requests[type];

        report_line(report,
                    "  %-10s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64,
                    name, nr[0], nr[1], nr[2], nr[3]);
        report_open_object(report);
        report_string(report, "type", name);
        for (unsigned answer = 0; answer < 4; answer++) {
            report_number(report, vmem_response_type_name(answer), nr[answer]);
        }
        report_close_object(report);
    }
    report_close_array(report);
}

void sim_report_device(struct sim *sim, const struct sim_sample *sample)
{
    struct report *report = sim->report;

    report_close_array(report);
    report_requests(sim, sample);
    if (!report->terminal) {
        draw_map(sim);
    }
    report_line(report, "  %s", blockmap_legend(report->unicode));
    report_number(report, "nr_passes", sample->guest.nr_passes);
    report_number(report, "nr_retries", sample->guest.nr_retries);
    report_number(report, "nr_restarts", sample->guest.nr_restarts);
    report_number(report, "max_refusals", sample->guest.max_refusals);
    report_number(report, "plugged", sample->device.plugged_size);
    report_number(report, "resident", sample->resident);
    report_number(report, "retained", sample->device.retained_size);
}

static void report_failures(struct sim *sim)
{
    struct report *report = sim->report;

    if (sim->failures->len > MAX_FAILURES) {
        report_line(report, "  ... and %u more",
                    sim->failures->len - MAX_FAILURES);
    }
    report_open_array(report, "failures");
    for (unsigned i = 0; i < sim->failures->len; i++) {
        const struct sim_failure *failure = g_ptr_array_index(sim->failures, i);

        report_open_object(report);
        report_string(report, "kind", failure->kind);
        report_string(report, "message", failure->message);
        report_close_object(report);
    }
    report_close_array(report);
}

void sim_report_end(struct sim *sim, const struct sim_sample *sample)
{
    g_autofree char *plugged = units_format_mib(sample->device.plugged_size);
    g_autofree char *peak = units_format_mib(sim->peak_resident);
    g_autofree char *text = g_strdup_printf(
        "%" PRIu64 " requests in %.0f virtual seconds, %" PRIu64
        " retries; %s stay plugged, %s were resident at the peak. %s",
        sample->nr_requests, seconds_of(sim), sample->guest.nr_retries, plugged,
        peak,
        sim->host_failed         ? "The host could not give what was needed."
        : sim->failures->len > 0 ? "Something is wrong."
                                 : "The guest found no fault.");

    report_failures(sim);
    report_line(sim->report, "%s", text);
    report_string(sim->report, "summary", text);
}

static void G_GNUC_PRINTF(3, 0) add_failure(struct sim *sim, const char *kind,
                                            const char *format, va_list args)
{
    struct sim_failure *failure = g_new0(struct sim_failure, 1);

    failure->kind = kind;
    failure->message = g_strdup_vprintf(format, args);
    failure->seconds = seconds_of(sim);
    g_ptr_array_add(sim->failures, failure);
    if (sim->failures->len <= MAX_FAILURES) {
        report_line(sim->report, "  %9.3f %s: %s", failure->seconds, kind,
                    failure->message);
    }
}

void sim_fail(struct sim *sim, const char *kind, const char *format, ...)
{
    va_list args;

    if (sim->host_failed) {
        return;
    }
    va_start(args, format);
    add_failure(sim, kind, format, args);
    va_end(args);
}

void sim_fail_host(struct sim *sim, const char *format, ...)
{
    va_list args;

    if (sim->host_failed) {
        return;
    }
    va_start(args, format);
    add_failure(sim, "host", format, args);
    va_end(args);
    sim->host_failed = true;
    if (sim->report->quiet) {
        const struct sim_failure *last =
            g_ptr_array_index(sim->failures, sim->failures->len - 1);

        report_error(sim->report, last->message);
    }
}
