/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_PROBE_H
#define VMEMCTL_PROBE_H

#include <stdint.h>

#include <vmem/backing.h>

#include "report.h"

/* What populating and discarding costs on each kind of memory that this machine
 * has, and what a discard frees. Nothing is claimed that was not measured here and
 * now; no setting is changed. */

/* A block of the measurements; larger where pages are. */
#define PROBE_BLOCK ((uint64_t)2 << 20)

enum probe_pages {
    PROBE_BASE = 1, /* of the kernel's base size */
    PROBE_THP,      /* transparent huge pages */
    PROBE_HUGETLB,  /* of a pool */
};

/* One kind of memory, and what came out. */
struct probe {
    const char *name; /* as --backing writes it */
    enum vmem_backing_kind kind;
    enum probe_pages pages;
    uint64_t page_size;
    uint64_t size;    /* bytes measured at a time; a multiple of the block */
    const char *path; /* VMEM_BACKING_FILE */
    char *reason;     /* why nothing was measured; NULL: it was */

    /* Medians, in nanoseconds. */
    uint64_t populate_block_ns; /* one block */
    uint64_t populate_all_ns;   /* size bytes in one call */
    uint64_t discard_block_ns;
    uint64_t discard_all_ns;
    uint64_t discard_empty_ns; /* size bytes in one call, nothing in them */

    /* Bytes, the worst of all rounds. */
    uint64_t populated; /* resident after populating; the fewest */
    uint64_t left;      /* resident after discarding; the most */
    uint64_t huge;      /* mapped by transparent huge pages; the fewest */

    uint64_t uses;   /* set of VMEM_BACKING_USES_* */
    uint32_t method; /* an enum vmem_usage_method */
    uint32_t nr_rounds;
};

struct probe_options {
    uint64_t size;    /* bytes */
    const char *file; /* a file to measure too, or NULL */
};

/* All kinds there are, of struct probe, those that this machine does not have
 * with a reason. Free it with g_array_unref(). */
GArray *probe_list(const struct probe_options *options);

/* Measures one, in some seconds, unless it has a reason not to. */
void probe_measure(struct probe *probe, struct report *report);

/* probe_report.c */

void probe_report_begin(const struct probe_options *options,
                        struct report *report);
void probe_report(const struct probe *probe, struct report *report);
void probe_report_end(struct report *report);

#endif /* VMEMCTL_PROBE_H */
