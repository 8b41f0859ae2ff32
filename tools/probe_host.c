/* SPDX-License-Identifier: BSD-3-Clause */
#include "probe_host.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THP_FOLDER "/sys/kernel/mm/transparent_hugepage"
#define POOL_FOLDER "/sys/kernel/mm/hugepages"
#define POOL_PREFIX "hugepages-"

static char *read_file(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return NULL;
    }
    return g_strstrip(text);
}

static uint64_t read_number(const char *folder, const char *name)
{
    g_autofree char *text = read_file(folder, name);

    return text != NULL ? g_ascii_strtoull(text, NULL, 10) : 0;
}

char *probe_host_thp(const char *file)
{
    g_autofree char *text = read_file(THP_FOLDER, file);
    const char *start = text != NULL ? strchr(text, '[') : NULL;
    const char *end = start != NULL ? strchr(start, ']') : NULL;

    return end != NULL ? g_strndup(start + 1, (size_t)(end - start) - 1)
                       : g_strdup(text);
}

uint64_t probe_host_thp_size(void)
{
    return read_number(THP_FOLDER, "hpage_pmd_size");
}

/* "Name:   123 kB" of a line, in bytes. */
static bool read_kib(const char *line, const char *name, uint64_t *bytes)
{
    const size_t length = strlen(name);

    if (strncmp(line, name, length) != 0 || line[length] != ':') {
        return false;
    }
    *bytes = g_ascii_strtoull(line + length + 1, NULL, 10) * 1024;
    return true;
}

uint64_t probe_host_available(void)
{
    g_autofree char *text = read_file("/proc", "meminfo");
    g_auto(GStrv) lines = g_strsplit(text != NULL ? text : "", "\n", -1);
    uint64_t bytes = 0;

    for (unsigned i = 0; lines[i] != NULL; i++) {
        if (read_kib(lines[i], "MemAvailable", &bytes)) {
            break;
        }
    }
    return bytes;
}

static int compare_pools(const void *a, const void *b)
{
    const struct probe_pool *x = a;
    const struct probe_pool *y = b;

    return x->page_size < y->page_size ? -1 : x->page_size > y->page_size;
}

GArray *probe_host_pools(void)
{
    GArray *pools = g_array_new(FALSE, FALSE, sizeof(struct probe_pool));
    g_autoptr(GDir) dir = g_dir_open(POOL_FOLDER, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *folder = g_build_filename(POOL_FOLDER, name, NULL);
        const uint64_t nr_free = read_number(folder, "free_hugepages");
        const uint64_t nr_reserved = read_number(folder, "resv_hugepages");
        struct probe_pool pool = {
            .nr_pages = read_number(folder, "nr_hugepages"),
            .nr_free = nr_free - MIN(nr_free, nr_reserved),
        };

        if (g_str_has_prefix(name, POOL_PREFIX)) {
            pool.page_size =
                g_ascii_strtoull(name + strlen(POOL_PREFIX), NULL, 10) * 1024;
            g_array_append_val(pools, pool);
        }
    }
    g_array_sort(pools, compare_pools);
    return pools;
}

uint64_t probe_host_huge(const void *hva, uint64_t size)
{
    static const char *const names[] = { "AnonHugePages", "ShmemPmdMapped",
                                         "FilePmdMapped" };
    const uint64_t start = (uint64_t)(uintptr_t)hva;
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[512];
    bool is_inside = false;
    uint64_t sum = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        uint64_t first;
        uint64_t end;
        uint64_t bytes;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &first, &end) == 2) {
            is_inside = first < start + size && end > start;
        }
        for (unsigned i = 0; is_inside && i < G_N_ELEMENTS(names); i++) {
            sum += read_kib(line, names[i], &bytes) ? bytes : 0;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return sum;
}
