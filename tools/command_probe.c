/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include "backing_option.h"
#include "probe.h"
#include "probe_host.h"
#include "units.h"

#define DEFAULT_SIZE ((uint64_t)64 << 20)

static enum exit_code measure_all(const struct probe_options *options,
                                  struct report *report)
{
    g_autoptr(GArray) probes = probe_list(options);
    enum exit_code code = EXIT_CODE_GOOD;

    progress_start(&report->progress, probes->len);
    probe_report_begin(options, report);
    for (unsigned i = 0; i < probes->len; i++) {
        struct probe *probe = &g_array_index(probes, struct probe, i);

        probe_measure(probe, report);
        probe_report(probe, report);
        progress_step(&report->progress, probe->name);
        if (probe->reason == NULL && probe->left > 0) {
            code = EXIT_CODE_DIFFERS;
        }
    }
    probe_report_end(report);
    return code;
}

/* Half of what there is at most, so that nothing else on the machine suffers. */
static bool has_room(const struct probe_options *options, struct report *report)
{
    const uint64_t available = probe_host_available();
    g_autofree char *size = units_format_bytes(options->size);
    g_autofree char *there = units_format_bytes(available);
    g_autofree char *message = NULL;

    if (available == 0 || options->size <= available / 2) {
        return true;
    }
    message = g_strdup_printf("--size is %s, more than half of the %s that are "
                              "available",
                              size, there);
    report_error(report, message);
    return false;
}

static enum exit_code run(const struct probe_options *options,
                          struct report *report)
{
    const struct rig_options file = { .kind = VMEM_BACKING_FILE,
                                      .path = options->file };
    enum exit_code code;
    bool made = false;

    if (!has_room(options, report)) {
        return EXIT_CODE_HOST;
    }
    code = backing_option_claim(&file, report, &made);
    if (code != EXIT_CODE_GOOD) {
        return code;
    }
    code = measure_all(options, report);
    backing_option_release(&file, made);
    return code;
}

int command_probe(int argc, char **argv)
{
    g_autofree char *size = NULL;
    g_autofree char *file = NULL;
    gboolean json = FALSE;
    gboolean verbose = FALSE;
    const struct command_value values[] = {
        { "size", &size },
        { "file", &file },
        { "json", &json },
        { "verbose", &verbose },
    };
    struct probe_options options = { .size = DEFAULT_SIZE };
    struct report report;

    if (!command_parse(values, G_N_ELEMENTS(values), &argc, &argv, NULL)) {
        return EXIT_CODE_REFUSED;
    }
    if (size != NULL && !units_parse_size(size, &options.size)) {
        fprintf(stderr, "vmemctl: --size is not a size: \"%s\"\n", size);
        return EXIT_CODE_REFUSED;
    }
    if (options.size == 0 || options.size % PROBE_BLOCK != 0) {
        fprintf(stderr, "vmemctl: --size is not a multiple of 2M\n");
        return EXIT_CODE_REFUSED;
    }
    options.file = file;
    report_init(&report, "probe", json, verbose);
    return report_finish(&report, run(&options, &report));
}
