/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <inttypes.h>
#include <string.h>

#include <vmem/dma.h>

#include "report.h"
#include "units.h"

#define DEFAULT_BLOCK_SIZE ((uint64_t)2 << 20)
#define DEFAULT_LIMIT ((uint64_t)65535)

/* The options as GLib hands them over. */
struct texts {
    char *region;
    char *block_size;
    char *requested;
    char *limit;
    char *pinned_limit;
    gint64 containers;
    gboolean json;
};

static void texts_clear(struct texts *texts)
{
    g_free(texts->region);
    g_free(texts->block_size);
    g_free(texts->requested);
    g_free(texts->limit);
    g_free(texts->pinned_limit);
}

static bool take_size(const char *option, const char *text, uint64_t *size)
{
    if (text == NULL || units_parse_size(text, size)) {
        return true;
    }
    fprintf(stderr, "vmemctl: --%s is not a size: \"%s\"\n", option, text);
    return false;
}

static bool take_limit(const char *text, uint64_t *limit)
{
    if (text != NULL && strcmp(text, "none") == 0) {
        *limit = VMEM_DMA_UNLIMITED;
        return true;
    }
    /* What JSON of GLib can write, and more than any kernel allows. */
    if (text == NULL ||
        (units_parse_number(text, limit) && *limit <= INT64_MAX)) {
        return true;
    }
    fprintf(stderr,
            "vmemctl: --limit is neither a number up to %" PRId64
            " nor none: \"%s\"\n",
            INT64_MAX, text);
    return false;
}

static bool take_config(const struct texts *texts,
                        struct vmem_dma_plan_config *config)
{
    if (texts->region == NULL) {
        fprintf(stderr, "vmemctl: plan needs --region\n");
        return false;
    }
    if (texts->containers < 1) {
        fprintf(stderr,
                "vmemctl: --containers is %" G_GINT64_FORMAT
                ", must be at least 1\n",
                texts->containers);
        return false;
    }
    config->nr_containers = (uint64_t)texts->containers;
    return take_size("region", texts->region, &config->region_size) &&
           take_size("block-size", texts->block_size, &config->block_size) &&
           take_size("requested", texts->requested, &config->requested_size) &&
           take_size("pinned-limit", texts->pinned_limit,
                     &config->max_pinned_size) &&
           take_limit(texts->limit, &config->max_mappings);
}

static const char *fit_name(uint32_t fit)
{
    switch (fit) {
    case VMEM_DMA_FIT_OK:
        return "ok";
    case VMEM_DMA_FIT_TIGHT:
        return "tight";
    default:
        return "impossible";
    }
}

static const char *bound_name(uint32_t bound)
{
    switch (bound) {
    case VMEM_DMA_BOUND_MAPPINGS:
        return "mappings";
    case VMEM_DMA_BOUND_PINNED:
        return "pinned";
    default:
        return "none";
    }
}

/* Sums that are too large for the numbers stay at the largest. */
static char *format_sum(uint64_t bytes)
{
    return bytes == UINT64_MAX ? g_strdup("more than 15 EiB")
                               : units_format_bytes(bytes);
}

static void say_limits(const struct vmem_dma_plan_config *config,
                       struct report *report)
{
    const bool is_one = config->nr_containers == 1;
    g_autofree char *each =
        is_one ? g_strdup("")
               : g_strdup_printf(" for each of %" PRIu64 " containers",
                                 config->nr_containers);
    g_autofree char *pinned = units_format_bytes(config->max_pinned_size);

    if (config->max_mappings == VMEM_DMA_UNLIMITED) {
        report_line(report, "limit          no limit of mappings%s", each);
    } else {
        report_line(report, "limit          %" PRIu64 " mapping%s%s",
                    config->max_mappings, config->max_mappings == 1 ? "" : "s",
                    each);
    }
    if (config->max_pinned_size != 0) {
        report_line(report, "limit          %s locked%s", pinned,
                    is_one ? "" : " by all of them");
    }
}

static void say_block_size(const struct vmem_dma_plan_config *config,
                           const struct vmem_dma_verdict *verdict,
                           struct report *report)
{
    const uint64_t size = verdict->recommended_block_size;
    /* Larger blocks need fewer mappings, and lock as much. */
    const bool locks_all =
        verdict->worst_case_pinned_size <= verdict->max_pinned_size;
    g_autofree char *text = units_format_bytes(size);

    if (size == 0) {
        report_line(report, "block size     none %s",
                    verdict->bound == VMEM_DMA_BOUND_PINNED
                        ? "helps: locked memory is short"
                        : "fits all of it");
    } else {
        report_line(report, "block size     %s %s%s", text,
                    size == config->block_size ? "fits all of it"
                                               : "would fit all of it",
                    locks_all ? "" : ", but for locked memory");
    }
}

static void say_bound(const struct vmem_dma_verdict *verdict,
                      struct report *report)
{
    const char *what =
        verdict->bound == VMEM_DMA_BOUND_PINNED ? "locked memory" : "mappings";

    if (verdict->fit == VMEM_DMA_FIT_TIGHT) {
        report_line(report,
                    "verdict        tight: less than 1/%d of the limit "
                    "of %s is left",
                    VMEM_DMA_NEAR, what);
    } else if (verdict->fit == VMEM_DMA_FIT_IMPOSSIBLE) {
        report_line(report,
                    "verdict        impossible: the limit of %s is "
                    "exceeded",
                    what);
    } else {
        report_line(report, "verdict        ok");
    }
}

static void say_text(const struct vmem_dma_plan_config *config,
                     const struct vmem_dma_verdict *verdict,
                     struct report *report)
{
    g_autofree char *region = units_format_bytes(config->region_size);
    g_autofree char *block = units_format_bytes(config->block_size);
    g_autofree char *pinned = format_sum(verdict->requested_pinned_size);
    g_autofree char *all = format_sum(verdict->worst_case_pinned_size);

    report_line(report, "region         %s in blocks of %s", region, block);
    say_limits(config, report);
    report_line(report, "requested      %" PRIu64 " mappings, %s locked",
                verdict->nr_requested, pinned);
    say_bound(verdict, report);
    report_line(report, "worst case     %" PRIu64 " mappings, %s locked",
                verdict->nr_worst_case, all);
    say_block_size(config, verdict, report);
}

static void say_json(const struct vmem_dma_plan_config *config,
                     const struct vmem_dma_verdict *verdict,
                     struct report *report)
{
    report_number(report, "region_size", config->region_size);
    report_number(report, "block_size", config->block_size);
    report_number(report, "requested_size",
                  config->requested_size != 0 ? config->requested_size
                                              : config->region_size);
    report_number(report, "containers", config->nr_containers);
    report_bool(report, "limited", config->max_mappings != VMEM_DMA_UNLIMITED);
    if (config->max_mappings != VMEM_DMA_UNLIMITED) {
        report_number(report, "limit", config->max_mappings);
    }
    if (config->max_pinned_size != 0) {
        report_number(report, "pinned_limit", config->max_pinned_size);
    }
    report_string(report, "fit", fit_name(verdict->fit));
    report_string(report, "bound", bound_name(verdict->bound));
    report_number(report, "requested_mappings", verdict->nr_requested);
    report_number(report, "worst_case_mappings", verdict->nr_worst_case);
    report_number(report, "requested_pinned_size",
                  verdict->requested_pinned_size);
    report_number(report, "worst_case_pinned_size",
                  verdict->worst_case_pinned_size);
    report_number(report, "recommended_block_size",
                  verdict->recommended_block_size);
}

static enum exit_code run(const struct vmem_dma_plan_config *config,
                          struct report *report)
{
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_error err = VMEM_ERROR_INIT;

    if (vmem_dma_plan(config, &verdict, &err) < 0) {
        report_error(report, err.message);
        return EXIT_CODE_REFUSED;
    }
    if (report->json != NULL) {
        say_json(config, &verdict, report);
    } else {
        say_text(config, &verdict, report);
    }
    return EXIT_CODE_GOOD;
}

int command_plan(int argc, char **argv)
{
    struct texts texts = { .containers = 1 };
    const struct command_value values[] = {
        { "region", &texts.region },
        { "block-size", &texts.block_size },
        { "requested", &texts.requested },
        { "limit", &texts.limit },
        { "pinned-limit", &texts.pinned_limit },
        { "containers", &texts.containers },
        { "json", &texts.json },
    };
    struct vmem_dma_plan_config config = {
        .struct_size = sizeof(config),
        .block_size = DEFAULT_BLOCK_SIZE,
        .max_mappings = DEFAULT_LIMIT,
    };
    struct report report;
    int code = EXIT_CODE_REFUSED;

    if (command_parse(values, G_N_ELEMENTS(values), &argc, &argv, NULL) &&
        take_config(&texts, &config)) {
        report_init(&report, "plan", texts.json, false);
        code = report_finish(&report, run(&config, &report));
    }
    texts_clear(&texts);
    return code;
}
