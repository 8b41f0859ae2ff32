/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include "backing_option.h"
#include "picture.h"
#include "replay.h"
#include "units.h"

/* All of them, before anything runs. */
static GPtrArray *read_traces(char **paths, int nr_paths, struct report *report)
{
    GPtrArray *traces =
        g_ptr_array_new_with_free_func((GDestroyNotify)trace_free);

    for (int i = 0; i < nr_paths; i++) {
        g_autoptr(GError) error = NULL;
        struct trace *trace = trace_read(paths[i], &error);

        if (trace == NULL) {
            report_error(report, error->message);
            g_ptr_array_unref(traces);
            return NULL;
        }
        g_ptr_array_add(traces, trace);
    }
    return traces;
}

static void add_totals(struct replay_totals *sum,
                       const struct replay_totals *one)
{
    sum->plugged += one->plugged;
    sum->unplugged += one->unplugged;
    sum->end_plugged += one->end_plugged;
    sum->end_resident += one->end_resident;
    sum->peak_resident = MAX(sum->peak_resident, one->peak_resident);
    sum->nr_requests += one->nr_requests;
    sum->nr_failures += one->nr_failures;
    sum->host_failed |= one->host_failed;
}

/* One sentence about what happened to how much memory, one about whether that
 * was right. */
static void report_summary(struct report *report,
                           const struct replay_options *options,
                           const struct replay_totals *sum, unsigned nr_traces,
                           unsigned nr_wrong)
{
    g_autofree char *plugged = units_format_mib(sum->plugged);
    g_autofree char *unplugged = units_format_mib(sum->unplugged);
    g_autofree char *left = units_format_mib(sum->end_plugged);
    g_autofree char *resident = units_format_mib(sum->end_resident);
    g_autofree char *peak = units_format_mib(sum->peak_resident);
    g_autofree char *verdict = NULL;
    g_autofree char *text = NULL;

    if (sum->host_failed) {
        verdict = g_strdup("The host could not give what was needed.");
    } else if (sum->end_resident > sum->end_plugged) {
        g_autofree char *extra =
            units_format_mib(sum->end_resident - sum->end_plugged);

        verdict = g_strdup_printf("%s that should be gone are resident "
                                  "(%" G_GUINT64_FORMAT " differences).",
                                  extra, sum->nr_failures);
    } else if (nr_wrong > 0) {
        verdict = g_strdup_printf(
            "%u of %u traces did not go as recorded (%" G_GUINT64_FORMAT
            " differences).",
            nr_wrong, nr_traces, sum->nr_failures);
    } else {
        verdict = g_strdup_printf("All %" G_GUINT64_FORMAT
                                  " answers were as recorded.",
                                  sum->nr_requests);
    }
    text = g_strdup_printf(
        "%u trace%s on %s: %s were plugged%s, %s of them unplugged again; %s "
        "stay plugged and %s are resident at the end, %s at the peak. %s",
        nr_traces, nr_traces == 1 ? "" : "s", options->backing, plugged,
        options->touch ? " and written" : "", unplugged, left, resident, peak,
        verdict);
    report_line(report, "%s", text);
    report_string(report, "summary", text);
}

static enum exit_code run_traces(const GPtrArray *traces,
                                 const struct replay_options *options,
                                 struct report *report)
{
    struct replay_totals sum = { 0 };
    uint64_t nr_records = 0;
    unsigned nr_wrong = 0;

    for (unsigned i = 0; i < traces->len; i++) {
        nr_records +=
            ((const struct trace *)g_ptr_array_index(traces, i))->records->len;
    }
    report_string(report, "backing", options->backing);
    report_bool(report, "touch", options->touch);
    report_string(report, "fault",
                  options->rig.skip_discard ? "skip-discard" : NULL);
    report_open_array(report, "traces");
    progress_start(&report->progress, nr_records);
    for (unsigned i = 0; i < traces->len; i++) {
        struct replay_totals totals;

        replay_run(g_ptr_array_index(traces, i), options, report, &totals);
        add_totals(&sum, &totals);
        nr_wrong += totals.nr_failures > 0;
        if (totals.host_failed) {
            break;
        }
    }
    report_close_array(report);
    report_summary(report, options, &sum, traces->len, nr_wrong);
    return sum.host_failed ? EXIT_CODE_HOST
           : nr_wrong > 0  ? EXIT_CODE_DIFFERS
                           : EXIT_CODE_GOOD;
}

static enum exit_code replay_files(char **paths, int nr_paths,
                                   const struct replay_options *options,
                                   struct report *report)
{
    g_autoptr(GPtrArray) traces = read_traces(paths, nr_paths, report);
    enum exit_code code;
    bool made = false;

    if (traces == NULL) {
        return EXIT_CODE_REFUSED;
    }
    code = backing_option_claim(&options->rig, report, &made);
    if (code != EXIT_CODE_GOOD) {
        return code;
    }
    code = run_traces(traces, options, report);
    backing_option_release(&options->rig, made);
    return code;
}

/* The same with a picture of it, if there is a path to put it. */
static enum exit_code replay_drawn(char **paths, int nr_paths, const char *svg,
                                   struct replay_options *options,
                                   struct report *report)
{
    g_autofree char *name = g_filename_display_basename(paths[0]);
    g_autofree char *subtitle =
        g_strdup_printf("replayed on %s; %s", options->backing,
                        options->touch ? "every plugged page is written"
                                       : "nothing is written");
    const struct picture_caption caption = {
        .title = name,
        .subtitle = subtitle,
        .clock = "time since the recorded machine started",
    };
    struct history *history = history_new();
    const struct watch watch = history_watch(history);
    enum exit_code code;

    options->watch = svg != NULL ? &watch : NULL;
    code = replay_files(paths, nr_paths, options, report);
    code = picture_save(history, &caption, svg, code, report);
    history_free(history);
    return code;
}

int command_replay(int argc, char **argv)
{
    g_autofree char *backing = NULL;
    g_autofree char *fault = NULL;
    g_autofree char *svg = NULL;
    gboolean touch = FALSE;
    gboolean json = FALSE;
    gboolean verbose = FALSE;
    const struct command_value values[] = {
        { "backing", &backing }, { "touch", &touch }, { "fault", &fault },
        { "svg", &svg },         { "json", &json },   { "verbose", &verbose },
    };
    struct replay_options options = { 0 };
    struct report report;

    if (!command_parse(values, G_N_ELEMENTS(values), &argc, &argv, "trace")) {
        return EXIT_CODE_REFUSED;
    }
    options.backing = backing != NULL ? backing : "memfd";
    if (!backing_option_parse(options.backing, &options.rig)) {
        fprintf(stderr, "vmemctl: unknown backing \"%s\"\n", options.backing);
        return EXIT_CODE_REFUSED;
    }
    if (fault != NULL && strcmp(fault, "skip-discard") != 0) {
        fprintf(stderr, "vmemctl: unknown fault \"%s\"\n", fault);
        return EXIT_CODE_REFUSED;
    }
    if (svg != NULL && argc > 2) {
        fprintf(stderr, "vmemctl: --svg draws one trace, not %d\n", argc - 1);
        return EXIT_CODE_REFUSED;
    }
    options.rig.skip_discard = fault != NULL;
    options.touch = touch || fault != NULL;
    report_init(&report, "replay", json, verbose);
    return report_finish(
        &report, replay_drawn(argv + 1, argc - 1, svg, &options, &report));
}
