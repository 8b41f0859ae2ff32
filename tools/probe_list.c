/* SPDX-License-Identifier: BSD-3-Clause */
#include <unistd.h>

#include "probe.h"
#include "probe_host.h"
#include "units.h"

static void clear_probe(void *item)
{
    struct probe *probe = item;

    g_free(probe->reason);
}

static uint64_t base_page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_base(GArray *probes, const char *name,
                     enum vmem_backing_kind kind, uint64_t size)
{
    const struct probe probe = {
        .name = name,
        .kind = kind,
        .pages = PROBE_BASE,
        .page_size = base_page_size(),
        .size = size,
    };

    g_array_append_val(probes, probe);
}

static void add_thp(GArray *probes, const char *name,
                    enum vmem_backing_kind kind, uint64_t size)
{
    struct probe probe = {
        .name = name,
        .kind = kind,
        .pages = PROBE_THP,
        .page_size = probe_host_thp_size(),
        .size = size,
    };
    g_autofree char *page = units_format_bytes(probe.page_size);

    if (probe.page_size == 0) {
        probe.reason = g_strdup("the kernel has no transparent huge pages");
    } else if (probe.page_size > size) {
        probe.reason =
            g_strdup_printf("a huge page is %s, larger than --size", page);
    }
    g_array_append_val(probes, probe);
}

/* As much of a pool as is free, up to the size: nobody else's pages, and no more
 * memory than was asked for. */
static void add_pool(GArray *probes, const char *name,
                     enum vmem_backing_kind kind, uint64_t size,
                     const struct probe_pool *pool)
{
    const uint64_t nr_wanted = size / pool->page_size;
    struct probe probe = {
        .name = name,
        .kind = kind,
        .pages = PROBE_HUGETLB,
        .page_size = pool->page_size,
        .size = MIN(nr_wanted, pool->nr_free) * pool->page_size,
    };

    if (pool->nr_free == 0) {
        probe.reason = g_strdup_printf(
            "the pool has %s pages%s", pool->nr_pages == 0 ? "no" : "no free",
            pool->nr_pages == 0 ? " (vm.nr_hugepages)" : "");
    } else if (nr_wanted == 0) {
        probe.reason = g_strdup("a page is larger than --size");
    } else if (probe.size % PROBE_BLOCK != 0) {
        probe.reason = g_strdup("fewer pages are free than a block needs");
    }
    g_array_append_val(probes, probe);
}

static void add_pools(GArray *probes, uint64_t size)
{
    g_autoptr(GArray) pools = probe_host_pools();
    const struct probe none = {
        .name = "hugetlb",
        .kind = VMEM_BACKING_HUGETLB_MEMFD,
        .pages = PROBE_HUGETLB,
        .reason =
            g_strdup(pools->len == 0 ? "the kernel has no hugetlb" : NULL),
    };

    for (unsigned i = 0; i < pools->len; i++) {
        const struct probe_pool *pool =
            &g_array_index(pools, struct probe_pool, i);

        add_pool(probes, "hugetlb", VMEM_BACKING_HUGETLB_MEMFD, size, pool);
        add_pool(probes, "hugetlb-anon", VMEM_BACKING_HUGETLB_ANON, size, pool);
    }
    if (pools->len == 0) {
        g_array_append_val(probes, none);
    }
}

GArray *probe_list(const struct probe_options *options)
{
    GArray *probes = g_array_new(FALSE, FALSE, sizeof(struct probe));
    const uint64_t size = options->size;
    struct probe file = {
        .name = "file",
        .kind = VMEM_BACKING_FILE,
        .pages = PROBE_BASE,
        .page_size = base_page_size(),
        .size = size,
        .path = options->file,
    };

    g_array_set_clear_func(probes, clear_probe);
    add_base(probes, "anon", VMEM_BACKING_ANON, size);
    add_thp(probes, "anon", VMEM_BACKING_ANON, size);
    add_base(probes, "anon-shared", VMEM_BACKING_ANON_SHARED, size);
    add_thp(probes, "anon-shared", VMEM_BACKING_ANON_SHARED, size);
    add_base(probes, "memfd", VMEM_BACKING_MEMFD, size);
    add_thp(probes, "memfd", VMEM_BACKING_MEMFD, size);
    add_pools(probes, size);
    if (options->file == NULL) {
        file.reason = g_strdup("no --file was given");
    }
    g_array_append_val(probes, file);
    return probes;
}
