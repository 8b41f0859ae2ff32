/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <inttypes.h>
#include <string.h>

#include "guest_option.h"
#include "map_draw.h"
#include "replay.h"
#include "sim_run.h"

/* A map that is being made. */
struct map {
    const char *title;
    const struct rig *rigs;
    unsigned nr_rigs;
    struct map_style style;
    struct map_screen screen;
    struct map_state *state; /* the one asked for */
    struct report report;
    uint64_t at;          /* after this request; UINT64_MAX: at the end */
    uint64_t nr_requests; /* in all */
    uint64_t delay_us;
    unsigned lines;  /* of blocks for each device, as asked for */
    bool asks_width; /* of the terminal, before each picture */
    bool follows;
};

/* The options as GLib hands them over. */
struct texts {
    struct guest_texts guest;
    gboolean sim;
    gint64 at;
    gboolean follow;
    gint64 delay;
    gint64 width;
    gint64 lines;
    gboolean ascii;
    gboolean json;
    gboolean verbose;
};

/* Lines of blocks for each device, so that a picture that is to be replaced is not
 * taller than the terminal: besides them there are a title, a legend, a line of
 * words for each device, and the line of the cursor. */
static unsigned fitting_lines(const struct map *map, unsigned nr_devices)
{
    const unsigned others = 3 + nr_devices;
    const unsigned rows = report_terminal_rows();
    const unsigned room = rows > others ? (rows - others) / nr_devices : 0;

    return CLAMP(room, 1, map->lines);
}

static void show(struct map *map, const struct map_state *state)
{
    g_autofree char *text = NULL;

    if (map->asks_width) {
        map->style.width = report_terminal_columns();
    }
    map->style.lines =
        map->style.cuts ? fitting_lines(map, state->devices->len) : map->lines;
    text = map_draw(state, map->title, &map->style);
    map_screen_show(&map->screen, text, map->report.terminal);
}

static int on_begin(const struct rig *rigs, unsigned nr_rigs, double seconds,
                    void *opaque, struct vmem_error *err)
{
    const struct watch_step start = { .what = WATCH_RESIZE,
                                      .seconds = seconds };
    struct map *map = opaque;

    (void)err;
    map->rigs = rigs;
    map->nr_rigs = nr_rigs;
    if (map->at == 0) {
        map->state = map_state_take(rigs, nr_rigs, &start);
    }
    return 0;
}

static void on_step(const struct watch_step *step, void *opaque)
{
    struct map *map = opaque;
    struct map_state *state;

    map->nr_requests = step->nr_requests;
    if (map->follows && map->state == NULL) {
        state = map_state_take(map->rigs, map->nr_rigs, step);
        show(map, state);
        map_state_free(state);
        g_usleep(map->delay_us);
    }
    if (map->state == NULL &&
        (step->what == WATCH_END ||
         (step->what == WATCH_REQUEST && step->nr_requests == map->at))) {
        if (step->what == WATCH_END && map->at != UINT64_MAX) {
            return;
        }
        map->state = map_state_take(map->rigs, map->nr_rigs, step);
    }
}

static void on_end(void *opaque)
{
    struct map *map = opaque;

    map->rigs = NULL;
}

/* The replay says nothing itself: its answers are another command's. */
static enum exit_code run_trace(struct map *map, const char *path,
                                const struct watch *watch)
{
    struct report quiet = { .quiet = true, .verbose = map->report.verbose };
    const struct replay_options options = {
        .rig = { .kind = VMEM_BACKING_MEMFD },
        .backing = "memfd",
        .watch = watch,
    };
    struct replay_totals totals;
    g_autoptr(GError) error = NULL;
    g_autofree char *differences = NULL;
    struct trace *trace = trace_read(path, &error);

    if (trace == NULL) {
        report_error(&map->report, error->message);
        return EXIT_CODE_REFUSED;
    }
    replay_run(trace, &options, &quiet, &totals);
    trace_free(trace);
    if (totals.nr_failures > 0 && !totals.host_failed) {
        differences = g_strdup_printf(
            "%" PRIu64 " differences from what was recorded; shown is what "
            "the library made of it",
            totals.nr_failures);
        report_error(&map->report, differences);
    }
    return totals.host_failed       ? EXIT_CODE_HOST
           : totals.nr_failures > 0 ? EXIT_CODE_DIFFERS
                                    : EXIT_CODE_GOOD;
}

static enum exit_code run_sim(struct map *map, struct sim_options *options,
                              const struct watch *watch)
{
    struct report quiet = { .quiet = true, .verbose = map->report.verbose };

    options->rig.kind = VMEM_BACKING_MEMFD;
    options->backing = "memfd";
    options->watch = watch;
    return sim_run(options, &quiet);
}

/* What the run left to be shown. */
static enum exit_code finish(struct map *map, enum exit_code code)
{
    g_autofree char *message = NULL;

    if (map->state == NULL && code <= EXIT_CODE_DIFFERS) {
        message =
            g_strdup_printf("there are %" PRIu64 " requests, not %" PRIu64,
                            map->nr_requests, map->at);
        report_error(&map->report, message);
        code = EXIT_CODE_REFUSED;
    } else if (map->state != NULL) {
        report_string(&map->report, "source", map->title);
        map_state_report(map->state, &map->report);
        if (map->report.json == NULL && !map->follows) {
            show(map, map->state);
        }
    }
    map_state_free(map->state);
    return code;
}

static bool check(const struct texts *texts, int nr_files, GError **error)
{
    const char *reason = NULL;

    if (texts->sim ? nr_files > 0 : nr_files != 1) {
        reason = "either one trace or --sim; see vmemctl map --help";
    } else if (!texts->sim && guest_texts_is_given(&texts->guest)) {
        reason = "a guest is described, but there is no --sim";
    } else if (texts->follow && texts->json) {
        reason = "--follow draws, --json does not";
    } else if (texts->width < 0 || texts->width > 10000 || texts->lines < 1 ||
               texts->lines > 10000) {
        reason = "--width and --lines are from 1 to 10000";
    } else if (texts->at < -1) {
        reason = "--at is a number of requests";
    } else if (texts->delay < 0 || texts->delay > 60000) {
        reason = "--delay is at most 60000 milliseconds";
    }
    if (reason != NULL) {
        g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                            reason);
    }
    return reason == NULL;
}

static void set_up(struct map *map, const struct texts *texts)
{
    report_init(&map->report, "map", texts->json, texts->verbose);
    map->style = (struct map_style){
        .width = texts->width > 0 ? (unsigned)texts->width
                                  : report_terminal_columns(),
        .unicode = g_get_charset(NULL) && !texts->ascii,
        .cuts = texts->follow && map->report.terminal,
    };
    map->lines = (unsigned)texts->lines;
    map->asks_width = texts->width == 0;
    map->follows = texts->follow;
    map->delay_us = (uint64_t)texts->delay * 1000;
    map->at = texts->at < 0 ? UINT64_MAX : (uint64_t)texts->at;
}

static int run(const struct texts *texts, struct sim_options *sim,
               const char *path)
{
    struct map map = { .at = UINT64_MAX };
    const struct watch watch = { on_begin, on_step, on_end, &map };
    g_autofree char *title = path != NULL ? g_filename_display_basename(path)
                                          : guest_option_describe(sim);
    enum exit_code code;

    set_up(&map, texts);
    map.title = title;
    code = path != NULL ? run_trace(&map, path, &watch)
                        : run_sim(&map, sim, &watch);
    code = finish(&map, code);
    return report_finish(&map.report, code);
}

int command_map(int argc, char **argv)
{
    struct texts texts = {
        .guest = GUEST_TEXTS_INIT, .at = -1, .delay = 40, .lines = 8
    };
    const struct command_value values[] = {
        { "sim", &texts.sim },     GUEST_OPTION_VALUES(&texts.guest),
        { "at", &texts.at },       { "follow", &texts.follow },
        { "delay", &texts.delay }, { "width", &texts.width },
        { "lines", &texts.lines }, { "ascii", &texts.ascii },
        { "json", &texts.json },   { "verbose", &texts.verbose },
    };
    struct sim_options sim = { .size = 0 };
    g_autoptr(GError) error = NULL;
    int code = EXIT_CODE_REFUSED;

    if (command_parse(values, G_N_ELEMENTS(values), &argc, &argv, NULL)) {
        if (check(&texts, argc - 1, &error) &&
            (!texts.sim || guest_option_read(&texts.guest, &sim, &error))) {
            code = run(&texts, &sim, texts.sim ? NULL : argv[1]);
        } else {
            fprintf(stderr, "vmemctl: %s\n", error->message);
        }
    }
    guest_option_clear(&sim);
    guest_texts_clear(&texts.guest);
    return code;
}
