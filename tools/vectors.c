/* SPDX-License-Identifier: BSD-3-Clause */
#include "vectors.h"

#include <inttypes.h>

#include <vmem/region.h>

#include "execute.h"
#include "vector_rig.h"

/* Compares the populated runs with the expected ones as they come. */
struct comparison {
    const struct vector_after *after;
    uint64_t block_size;
    unsigned nr_runs;
    struct finding *finding;
};

static int compare_run(const struct vmem_range *range, void *opaque)
{
    struct comparison *comparison = opaque;
    const struct vector_run *run;

    if (comparison->nr_runs >= comparison->after->plugged->len) {
        finding_add(comparison->finding,
                    "plugged is also offset 0x%" PRIx64 " size 0x%" PRIx64,
                    range->offset, range->size);
        return 1;
    }
    run = &g_array_index(comparison->after->plugged, struct vector_run,
                         comparison->nr_runs);
    comparison->nr_runs++;
    finding_compare(comparison->finding, "first block of a plugged run",
                    range->offset / comparison->block_size, run->first);
    finding_compare(comparison->finding, "length of a plugged run in blocks",
                    range->size / comparison->block_size, run->nr_blocks);
    return comparison->finding->message != NULL;
}

static void check_plugged(struct vector_rig *rig,
                          const struct vector_after *after,
                          struct finding *finding)
{
    struct comparison comparison = {
        .after = after,
        .block_size = rig->vector->device.block_size,
        .finding = finding,
    };

    (void)vmem_region_for_each_populated(rig->region, NULL, compare_run,
                                         &comparison);
    if (comparison.nr_runs < after->plugged->len) {
        finding_compare(finding, "number of plugged runs", comparison.nr_runs,
                        after->plugged->len);
    }
}

static void check_after(struct vector_rig *rig,
                        const struct vector_after *after,
                        uint64_t nr_notifications, struct finding *finding)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    (void)vmem_device_get_info(rig->device, &info);
    if (after->has_plugged_size) {
        finding_compare(finding, "plugged_size", info.plugged_size,
                        after->plugged_size);
    }
    if (after->has_retained_size) {
        finding_compare(finding, "retained_size", info.retained_size,
                        after->retained_size);
    }
    if (after->has_usable_region_size) {
        finding_compare(finding, "usable_region_size", info.usable_region_size,
                        after->usable_region_size);
    }
    if (after->has_requested_size) {
        finding_compare(finding, "requested_size", info.requested_size,
                        after->requested_size);
    }
    if (after->has_config_notifications) {
        finding_compare(finding, "number of config notifications",
                        nr_notifications, after->config_notifications);
    }
    if (after->plugged != NULL) {
        check_plugged(rig, after, finding);
    }
    if (rig->shadow.complaint != NULL) {
        finding_add(finding, "listener told wrongly: %s",
                    rig->shadow.complaint);
    }
}

static void run_steps(struct vector_rig *rig, struct finding *finding)
{
    const GArray *steps = rig->vector->steps;

    for (unsigned i = 0; i < steps->len && finding->message == NULL; i++) {
        const struct vector_step *step =
            &g_array_index(steps, struct vector_step, i);
        uint64_t before = rig->nr_notifications;

        finding->step = (int)i;
        execute_step(rig, step, finding);
        check_after(rig, &step->after, rig->nr_notifications - before, finding);
    }
}

static void run_vector(const struct vector *vector, struct report *report,
                       struct finding *finding)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vector_rig rig;
    bool refused = false;
    int ret = vector_rig_init(&rig, vector, report, &refused, &err);

    finding->step = -1;
    if (ret < 0) {
        if (!refused || !vector->expect_create_error) {
            finding_add(finding, "the device cannot be made: %s",
                        err.message[0] != '\0' ? err.message
                                               : g_strerror(-ret));
        }
        return;
    }
    if (vector->expect_create_error) {
        finding_add(finding, "the device was made, expected is a refusal");
    }
    run_steps(&rig, finding);
    if (vector_rig_dismantle(&rig, &err) < 0) {
        finding_add(finding, "the device cannot be taken apart: %s",
                    err.message);
    } else if (rig.shadow.complaint != NULL) {
        finding_add(finding, "listener told wrongly: %s", rig.shadow.complaint);
    }
    shadow_clear(&rig.shadow);
}

static void report_failure(struct report *report, const struct vectors *vectors,
                           const struct vector *vector,
                           const struct finding *finding)
{
    g_autofree char *step = finding->step >= 0
                                ? g_strdup_printf(" step %d", finding->step)
                                : g_strdup("");

    report_line(report, "%s: %s%s: %s (%s)", vectors->name, vector->id, step,
                finding->message, vector->title);
    report_open_object(report);
    report_string(report, "id", vector->id);
    report_string(report, "title", vector->title);
    if (finding->step >= 0) {
        report_number(report, "step", (uint64_t)finding->step);
    }
    report_string(report, "message", finding->message);
    report_close_object(report);
}

void vectors_run(const struct vectors *vectors, struct report *report,
                 struct vectors_totals *totals)
{
    uint64_t nr_failed = 0;

    report_open_object(report);
    report_string(report, "file", vectors->name);
    report_open_array(report, "failures");
    for (unsigned i = 0; i < vectors->items->len; i++) {
        const struct vector *vector =
            &g_array_index(vectors->items, struct vector, i);
        struct finding finding = { 0 };

        run_vector(vector, report, &finding);
        if (finding.message != NULL) {
            nr_failed++;
            report_failure(report, vectors, vector, &finding);
            g_free(finding.message);
        }
        progress_step(&report->progress, vector->id);
    }
    report_close_array(report);
    report_number(report, "passed", vectors->items->len - nr_failed);
    report_number(report, "failed", nr_failed);
    report_close_object(report);
    totals->nr_passed += vectors->items->len - nr_failed;
    totals->nr_failed += nr_failed;
}
