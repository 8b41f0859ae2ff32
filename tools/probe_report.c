/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "probe.h"
#include "probe_host.h"
#include "units.h"

#define GIB ((double)((uint64_t)1 << 30))

static const char *pages_name(enum probe_pages pages)
{
    return pages == PROBE_THP       ? "thp"
           : pages == PROBE_HUGETLB ? "hugetlb"
                                    : "base";
}

/* What size bytes cost, as nanoseconds for a GiB. */
static double per_gib(const struct probe *probe, uint64_t ns)
{
    return (double)ns * GIB / (double)probe->size;
}

/* A page that is larger than a block is what a block costs. */
static double per_block(const struct probe *probe, uint64_t ns)
{
    return (double)ns * (double)PROBE_BLOCK /
           (double)MAX(PROBE_BLOCK, probe->page_size);
}

void probe_report_begin(const struct probe_options *options,
                        struct report *report)
{
    g_autofree char *size = units_format_bytes(options->size);
    g_autofree char *enabled = probe_host_thp("enabled");
    g_autofree char *shmem_enabled = probe_host_thp("shmem_enabled");
    struct utsname machine;

    (void)uname(&machine);
    report_line(
        report,
        "Linux %s; up to %s at a time; medians; transparent huge pages: "
        "%s, for shared memory: %s",
        machine.release, size, enabled != NULL ? enabled : "none",
        shmem_enabled != NULL ? shmem_enabled : "none");
    report_line(report, "%s", "");
    report_line(report, "%-21s %19s  %19s  %8s  %s", "", "populate       ",
                "discard        ", "of empty", "freed by");
    report_line(report, "%-12s %8s %9s %9s  %9s %9s  %8s  %s", "backing",
                "pages", "us/2 MiB", "ms/GiB", "us/2 MiB", "ms/GiB", "ms/GiB",
                "discarding, as measured");
    report_string(report, "kernel", machine.release);
    report_number(report, "page_size", (uint64_t)sysconf(_SC_PAGESIZE));
    report_number(report, "size", options->size);
    report_string(report, "thp_enabled", enabled);
    report_string(report, "shmem_enabled", shmem_enabled);
    report_open_array(report, "backings");
}

static void report_discard(const struct probe *probe, struct report *report)
{
    static const struct {
        uint64_t flag;
        const char *name;
    } calls[] = {
        { VMEM_BACKING_USES_PUNCH_HOLE, "FALLOC_FL_PUNCH_HOLE" },
        { VMEM_BACKING_USES_REMOVE, "MADV_REMOVE" },
        { VMEM_BACKING_USES_DONTNEED, "MADV_DONTNEED" },
        { VMEM_BACKING_USES_DONTNEED_TABLES, "MADV_DONTNEED" },
    };

    report_open_array(report, "discard");
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        if ((probe->uses & calls[i].flag) != 0) {
            report_string(report, NULL, calls[i].name);
        }
    }
    report_close_array(report);
}

/* A number, or null where there was no measurement. */
static void report_measured(const struct probe *probe, struct report *report,
                            const char *name, uint64_t value)
{
    if (probe->reason != NULL) {
        report_string(report, name, NULL);
    } else {
        report_number(report, name, value);
    }
}

static void report_object(const struct probe *probe, struct report *report)
{
    const struct {
        const char *name;
        uint64_t value;
    } members[] = {
        { "size", probe->size },
        { "nr_rounds", probe->nr_rounds },
        { "populate_ns_per_block",
          (uint64_t)per_block(probe, probe->populate_block_ns) },
        { "populate_ns_per_gib",
          (uint64_t)per_gib(probe, probe->populate_all_ns) },
        { "discard_ns_per_block",
          (uint64_t)per_block(probe, probe->discard_block_ns) },
        { "discard_ns_per_gib",
          (uint64_t)per_gib(probe, probe->discard_all_ns) },
        { "discard_empty_ns_per_gib",
          (uint64_t)per_gib(probe, probe->discard_empty_ns) },
        { "populated", probe->populated },
        { "left", probe->left },
        { "huge", probe->huge },
    };

    report_open_object(report);
    report_string(report, "name", probe->name);
    report_string(report, "pages", pages_name(probe->pages));
    report_number(report, "page_size", probe->page_size);
    report_string(report, "reason", probe->reason);
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        report_measured(probe, report, members[i].name, members[i].value);
    }
    report_string(report, "method",
                  probe->reason == NULL ? vmem_usage_method_name(probe->method)
                                        : NULL);
    report_discard(probe, report);
    report_close_object(report);
}

void probe_report(const struct probe *probe, struct report *report)
{
    g_autofree char *page = units_format_bytes(probe->page_size);
    g_autofree char *freed = units_format_bytes(
        probe->populated - MIN(probe->populated, probe->left));
    g_autofree char *populated = units_format_bytes(probe->populated);
    g_autofree char *huge = units_format_bytes(probe->huge);

    if (report->json != NULL) {
        report_object(probe, report);
        return;
    }
    if (probe->reason != NULL) {
        report_line(report, "%-12s %8s %9s %9s  %9s %9s  %8s  - (%s)",
                    probe->name, probe->page_size > 0 ? page : "-", "-", "-",
                    "-", "-", "-", probe->reason);
        return;
    }
    report_line(report,
                "%-12s %8s %9.1f %9.1f  %9.1f %9.1f  %8.3f  %s of %s "
                "(%s)%s%s%s",
                probe->name, page,
                per_block(probe, probe->populate_block_ns) / 1e3,
                per_gib(probe, probe->populate_all_ns) / 1e6,
                per_block(probe, probe->discard_block_ns) / 1e3,
                per_gib(probe, probe->discard_all_ns) / 1e6,
                per_gib(probe, probe->discard_empty_ns) / 1e6, freed, populated,
                vmem_usage_method_name(probe->method),
                probe->pages == PROBE_THP ? ", " : "",
                probe->pages == PROBE_THP ? huge : "",
                probe->pages == PROBE_THP ? " in huge pages" : "");
}

void probe_report_end(struct report *report)
{
    report_close_array(report);
    report_line(report, "%s", "");
    report_line(report, "us/2 MiB: one call for each block of 2 MiB. ms/GiB: "
                        "one call for all, scaled to 1 GiB.");
}
