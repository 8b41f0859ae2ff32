/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include "report.h"
#include "vectors.h"

static const char summary[] =
    "Runs conformance vectors: virtio-mem requests with the answers that the\n"
    "specification demands, each vector on a device of its own. Prints a line\n"
    "for each vector that fails, and how many passed and failed.";

static GPtrArray *read_files(char **paths, int nr_paths, struct report *report)
{
    GPtrArray *files =
        g_ptr_array_new_with_free_func((GDestroyNotify)vectors_free);

    for (int i = 0; i < nr_paths; i++) {
        g_autoptr(GError) error = NULL;
        struct vectors *vectors = vectors_read(paths[i], &error);

        if (vectors == NULL) {
            report_error(report, error->message);
            g_ptr_array_unref(files);
            return NULL;
        }
        g_ptr_array_add(files, vectors);
    }
    return files;
}

static enum exit_code run_files(char **paths, int nr_paths,
                                struct report *report)
{
    g_autoptr(GPtrArray) files = read_files(paths, nr_paths, report);
    struct vectors_totals totals = { 0 };
    uint64_t nr_vectors = 0;

    if (files == NULL) {
        return EXIT_CODE_REFUSED;
    }
    for (unsigned i = 0; i < files->len; i++) {
        nr_vectors +=
            ((const struct vectors *)g_ptr_array_index(files, i))->items->len;
    }
    progress_start(&report->progress, nr_vectors);
    report_open_array(report, "files");
    for (unsigned i = 0; i < files->len; i++) {
        vectors_run(g_ptr_array_index(files, i), report, &totals);
    }
    report_close_array(report);
    report_number(report, "passed", totals.nr_passed);
    report_number(report, "failed", totals.nr_failed);
    report_line(report,
                "%" G_GUINT64_FORMAT " passed, %" G_GUINT64_FORMAT " failed",
                totals.nr_passed, totals.nr_failed);
    return totals.nr_failed > 0 ? EXIT_CODE_DIFFERS : EXIT_CODE_GOOD;
}

int command_vectors(int argc, char **argv)
{
    gboolean json = FALSE;
    gboolean verbose = FALSE;
    const GOptionEntry entries[] = {
        { "json", 0, 0, G_OPTION_ARG_NONE, &json,
          "Print one JSON object, for machines", NULL },
        { "verbose", 'v', 0, G_OPTION_ARG_NONE, &verbose,
          "Show what the library logs", NULL },
        { NULL, 0, 0, 0, NULL, NULL, NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("FILE...");
    struct report report;

    g_option_context_set_summary(context, summary);
    g_option_context_set_description(context, command_exit_codes);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!command_parse(context, &argc, &argv, "file of vectors")) {
        return EXIT_CODE_REFUSED;
    }
    report_init(&report, "vectors", json, verbose);
    return report_finish(&report, run_files(argv + 1, argc - 1, &report));
}
