/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include "report.h"
#include "vectors.h"

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
    const struct command_value values[] = {
        { "json", &json },
        { "verbose", &verbose },
    };
    struct report report;

    if (!command_parse(values, G_N_ELEMENTS(values), &argc, &argv,
                       "file of vectors")) {
        return EXIT_CODE_REFUSED;
    }
    report_init(&report, "vectors", json, verbose);
    return report_finish(&report, run_files(argv + 1, argc - 1, &report));
}
