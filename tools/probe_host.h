/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_PROBE_HOST_H
#define VMEMCTL_PROBE_HOST_H

#include <stdint.h>

#include <glib.h>

/* What the kernel says about memory, in /proc and /sys; only read. */

/* The choice of a file such as transparent_hugepage/enabled, "madvise" of
 * "always [madvise] never"; NULL if there is no such file. Free it with
 * g_free(). */
char *probe_host_thp(const char *file);

/* Size of a transparent huge page in bytes; 0 if the kernel has none. */
uint64_t probe_host_thp_size(void);

/* Memory that can be used without swapping, in bytes; 0: not known. */
uint64_t probe_host_available(void);

/* A pool of huge pages. */
struct probe_pool {
    uint64_t page_size; /* bytes */
    uint64_t nr_pages;
    uint64_t nr_free; /* that nobody has reserved */
};

/* All pools, of struct probe_pool, by page size; with none the kernel has no
 * such pages. Free it with g_array_unref(). */
GArray *probe_host_pools(void);

/* Bytes of a range of this process that are mapped by transparent huge pages. */
uint64_t probe_host_huge(const void *hva, uint64_t size);

#endif /* VMEMCTL_PROBE_HOST_H */
