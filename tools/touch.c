/* SPDX-License-Identifier: BSD-3-Clause */
#include "touch.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib.h>

#include "units.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

static uint64_t page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Never 0, and different for neighbours and for pages that are a power of two
 * apart. */
static uint8_t page_value(uint64_t offset)
{
    return (uint8_t)(1 + offset / page_size() % 255);
}

static uint64_t huge_page_size(void)
{
    g_autofree char *text = NULL;
    uint64_t size = 0;

    if (g_file_get_contents(
            "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &text, NULL,
            NULL) &&
        units_parse_number(g_strchomp(text), &size) && size > 0) {
        return size;
    }
    return (uint64_t)2 << 20;
}

void touch_prepare(uint8_t *hva, uint64_t size, uint64_t block_size)
{
    uint64_t huge = huge_page_size();

    if (block_size % huge != 0 || (uintptr_t)hva % huge != 0) {
        /* Fails on a kernel without huge pages, which is as good. */
        (void)madvise(hva, size, MADV_NOHUGEPAGE);
    }
}

/* Any byte of a page but the one that touch_write() has changed. */
static uint64_t first_nonzero(const uint8_t *page, uint64_t size)
{
    if (page[0] == 0 && memcmp(page, page + 1, size - 1) == 0) {
        return size;
    }
    for (uint64_t i = 0; i < size; i++) {
        if (page[i] != 0) {
            return i;
        }
    }
    return size;
}

int touch_write(uint8_t *hva, uint64_t offset, uint64_t size, uint64_t *bad)
{
    uint64_t page = page_size();

    /* Asked for first, because a page that the host does not have would be
     * SIGBUS otherwise. EINVAL: a kernel that does not know how. */
    if (madvise(hva + offset, size, MADV_POPULATE_WRITE) < 0 &&
        errno != EINVAL) {
        return -errno;
    }
    for (uint64_t at = offset; at < offset + size; at += page) {
        uint64_t i = first_nonzero(hva + at, page);

        if (i < page) {
            *bad = at + i;
            return 1;
        }
        ((volatile uint8_t *)hva)[at] = page_value(at);
    }
    return 0;
}

int touch_verify(const uint8_t *hva, uint64_t offset, uint64_t size,
                 uint64_t *bad)
{
    uint64_t page = page_size();

    for (uint64_t at = offset; at < offset + size; at += page) {
        if (((const volatile uint8_t *)hva)[at] != page_value(at)) {
            *bad = at;
            return 1;
        }
    }
    return 0;
}
