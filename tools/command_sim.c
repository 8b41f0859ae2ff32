/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <stdio.h>

#include "backing_option.h"
#include "picture.h"
#include "sim/guest_sim.h"
#include "sim_run.h"
#include "units.h"

/* The options as GLib hands them over. */
struct texts {
    char *guest;
    char *pattern;
    char *size;
    char *block_size;
    char *memory_block;
    char *resize;
    char *backing;
    char *trace;
    char *svg;
    char **fail;
    gint64 seed;
    gboolean touch;
    gboolean json;
    gboolean verbose;
};

static void clear_texts(struct texts *texts)
{
    g_free(texts->guest);
    g_free(texts->pattern);
    g_free(texts->size);
    g_free(texts->block_size);
    g_free(texts->memory_block);
    g_free(texts->resize);
    g_free(texts->backing);
    g_free(texts->trace);
    g_free(texts->svg);
    g_strfreev(texts->fail);
}

static bool parse_size(const char *what, const char *text, uint64_t *size,
                       GError **error)
{
    if (text == NULL || units_parse_size(text, size)) {
        return true;
    }
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "%s is not a size: \"%s\"", what, text);
    return false;
}

static bool read_options(const struct texts *texts, struct sim_options *options,
                         GError **error)
{
    options->backing = texts->backing != NULL ? texts->backing : "memfd";
    if (!backing_option_parse(options->backing, &options->rig)) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "unknown backing \"%s\"", options->backing);
        return false;
    }
    for (unsigned i = 0; texts->fail != NULL && texts->fail[i] != NULL; i++) {
        if (!sim_options_parse_fail(options, texts->fail[i], error)) {
            return false;
        }
    }
    options->seed = (uint64_t)texts->seed;
    options->touch = texts->touch;
    options->trace = texts->trace;
    return sim_options_parse_guest(
               options, texts->guest != NULL ? texts->guest : "linux", error) &&
           sim_options_parse_pattern(
               options, texts->pattern != NULL ? texts->pattern : "movable",
               error) &&
           parse_size("--size", texts->size, &options->size, error) &&
           parse_size("--block-size", texts->block_size, &options->block_size,
                      error) &&
           parse_size("--memory-block", texts->memory_block,
                      &options->memory_block, error) &&
           sim_options_parse_steps(options,
                                   texts->resize != NULL ? texts->resize
                                                         : "0,32G,8G,48G,0",
                                   error) &&
           sim_options_check(options, error);
}

static enum exit_code run(const struct sim_options *options,
                          struct report *report)
{
    bool made = false;
    enum exit_code code = backing_option_claim(&options->rig, report, &made);

    if (code != EXIT_CODE_GOOD) {
        return code;
    }
    code = sim_run(options, report);
    backing_option_release(&options->rig, made);
    return code;
}

/* The same with a picture of it, if there is a path to put it. */
static enum exit_code run_drawn(struct sim_options *options, const char *svg,
                                struct report *report)
{
    g_autofree char *title = g_strdup_printf(
        "Simulated %s guest, pattern %s, seed %" G_GUINT64_FORMAT,
        vmem_guest_kind_name(options->kind),
        vmem_guest_pattern_name(options->pattern), options->seed);
    g_autofree char *unit = units_format_bytes(options->memory_block);
    g_autofree char *subtitle = g_strdup_printf(
        "memory blocks of %s, on %s; %s", unit, options->backing,
        options->touch ? "every plugged page is written"
                       : "nothing is written");
    const struct picture_caption caption = {
        .title = title,
        .subtitle = subtitle,
        .clock = "virtual time",
    };
    struct history *history = history_new();
    const struct watch watch = history_watch(history);
    enum exit_code code;

    options->watch = svg != NULL ? &watch : NULL;
    code = run(options, report);
    code = picture_save(history, &caption, svg, code, report);
    history_free(history);
    return code;
}

static bool parse(int *argc, char ***argv, struct texts *texts)
{
    const struct command_value values[] = {
        { "guest", &texts->guest },
        { "pattern", &texts->pattern },
        { "size", &texts->size },
        { "block-size", &texts->block_size },
        { "memory-block", &texts->memory_block },
        { "resize", &texts->resize },
        { "seed", &texts->seed },
        { "fail", &texts->fail },
        { "backing", &texts->backing },
        { "touch", &texts->touch },
        { "trace", &texts->trace },
        { "svg", &texts->svg },
        { "json", &texts->json },
        { "verbose", &texts->verbose },
    };

    return command_parse(values, G_N_ELEMENTS(values), argc, argv, NULL);
}

int command_sim(int argc, char **argv)
{
    struct texts texts = { .seed = 1 };
    struct sim_options options = {
        .size = (uint64_t)64 << 30,
        .block_size = (uint64_t)2 << 20,
        .memory_block = (uint64_t)128 << 20,
        .steps = g_array_new(FALSE, FALSE, sizeof(struct sim_step)),
    };
    g_autoptr(GError) error = NULL;
    struct report report;
    int code = EXIT_CODE_REFUSED;

    if (parse(&argc, &argv, &texts)) {
        if (read_options(&texts, &options, &error)) {
            report_init(&report, "sim", texts.json, texts.verbose);
            code =
                report_finish(&report, run_drawn(&options, texts.svg, &report));
        } else {
            fprintf(stderr, "vmemctl: %s\n", error->message);
        }
    }
    g_array_unref(options.steps);
    clear_texts(&texts);
    return code;
}
