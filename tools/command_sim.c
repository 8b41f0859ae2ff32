/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <stdio.h>

#include "backing_option.h"
#include "guest_option.h"
#include "picture.h"
#include "sim_run.h"
#include "units.h"

/* The options as GLib hands them over. */
struct texts {
    struct guest_texts guest;
    char *backing;
    char *trace;
    char *svg;
    gboolean touch;
    gboolean json;
    gboolean verbose;
};

static void clear_texts(struct texts *texts)
{
    guest_texts_clear(&texts->guest);
    g_free(texts->backing);
    g_free(texts->trace);
    g_free(texts->svg);
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
    options->touch = texts->touch;
    options->trace = texts->trace;
    return guest_option_read(&texts->guest, options, error);
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
    g_autofree char *title = guest_option_describe(options);
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
        GUEST_OPTION_VALUES(&texts->guest),
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
    struct texts texts = { .guest = GUEST_TEXTS_INIT };
    struct sim_options options = { .size = 0 };
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
    guest_option_clear(&options);
    clear_texts(&texts);
    return code;
}
