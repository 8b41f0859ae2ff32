/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <stdio.h>

#include "backing_option.h"
#include "sim_run.h"
#include "units.h"

static const char summary[] =
    "Lets a simulated guest driver plug and unplug the memory of a real "
    "device,\n"
    "in virtual time, and reports what it asked, got and complained about.";

static const char description[] =
    "Guests:\n"
    "  linux        Linux, in sub-block or big-block mode as its geometry "
    "demands\n"
    "  linux-bbm    Linux, forced into big-block mode\n"
    "  windows      the viomem driver\n"
    "\n"
    "Patterns, of what a load in the guest pins:\n"
    "  movable      nothing\n"
    "  idle         a few blocks of the first memory block\n"
    "  slab         6 % in runs, half of the rest released every 50 s\n"
    "  pressure     20 % in long runs, 80 % released\n"
    "  scatter      short runs in a third of the memory blocks, 20 % released\n"
    "  checker      every second block, never released\n"
    "  random       half of all, 10 % released\n"
    "\n"
    "Failures (--fail may be given several times):\n"
    "  listener:K   a listener refuses the K-th time it is asked\n"
    "  discard:K    the K-th discard of memory fails\n"
    "  busy:T1-T2   the device is frozen in these virtual seconds\n"
    "\n"
    "A step of --resize takes 10 virtual seconds, or until the guest is there "
    "or\n"
    "has tried for 900; a request takes a millisecond. Sizes take the suffixes "
    "K,\n"
    "M, G and T. What --trace writes, vmemctl replay reads.\n"
    "\n";

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

static bool parse(int *argc, char ***argv, struct texts *texts)
{
    const GOptionEntry entries[] = {
        { "guest", 'g', 0, G_OPTION_ARG_STRING, &texts->guest,
          "Which driver (default: linux)", "GUEST" },
        { "pattern", 'p', 0, G_OPTION_ARG_STRING, &texts->pattern,
          "What a load pins (default: movable)", "PATTERN" },
        { "size", 's', 0, G_OPTION_ARG_STRING, &texts->size,
          "Size of the region (default: 64G)", "SIZE" },
        { "block-size", 0, 0, G_OPTION_ARG_STRING, &texts->block_size,
          "Block size of the device (default: 2M)", "SIZE" },
        { "memory-block", 0, 0, G_OPTION_ARG_STRING, &texts->memory_block,
          "Memory block of the guest, up to 2G (default: 128M)", "SIZE" },
        { "resize", 'r', 0, G_OPTION_ARG_STRING, &texts->resize,
          "Sizes that the host asks for, and reboot, kexec or reload "
          "(default: 0,32G,8G,48G,0)",
          "SIZE,..." },
        { "seed", 0, 0, G_OPTION_ARG_INT64, &texts->seed,
          "The same seed, the same guest (default: 1)", "N" },
        { "backing", 'b', 0, G_OPTION_ARG_STRING, &texts->backing,
          "What the memory is (default: memfd)", "KIND" },
        { "touch", 't', 0, G_OPTION_ARG_NONE, &texts->touch,
          "Write every plugged page, so that memory is really used", NULL },
        { "trace", 0, 0, G_OPTION_ARG_FILENAME, &texts->trace,
          "Write a trace of it", "FILE" },
        { "fail", 0, 0, G_OPTION_ARG_STRING_ARRAY, &texts->fail,
          "Let something fail", "WHAT" },
        { "json", 0, 0, G_OPTION_ARG_NONE, &texts->json,
          "Print one JSON object, for machines", NULL },
        { "verbose", 'v', 0, G_OPTION_ARG_NONE, &texts->verbose,
          "Show what the library logs", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autofree char *epilogue =
        g_strconcat(backing_option_help, description, command_exit_codes, NULL);

    g_option_context_set_summary(context, summary);
    g_option_context_set_description(context, epilogue);
    g_option_context_add_main_entries(context, entries, NULL);
    return command_parse(context, argc, argv, NULL);
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
            code = report_finish(&report, run(&options, &report));
        } else {
            fprintf(stderr, "vmemctl: %s\n", error->message);
        }
    }
    g_array_unref(options.steps);
    clear_texts(&texts);
    return code;
}
