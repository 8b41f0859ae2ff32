/* SPDX-License-Identifier: BSD-3-Clause */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define MAX_PINS 64

static uint64_t *filled;
static size_t filled_size;

/* Different in every word of every page. */
static uint64_t pattern(size_t index)
{
    return (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* The first word tells which page it would be. */
bool memory_is_filled(const void *page, size_t *index)
{
    const uint64_t *words = page;
    /* What the pattern's factor is multiplied with to be 1. */
    const size_t first = (size_t)(words[0] * UINT64_C(0xf1de83e19937733d)) - 1;

    for (size_t i = 0; i < PAGE / sizeof(*words); i += 64) {
        if (words[i] != pattern(first + i)) {
            return false;
        }
    }
    *index = first / (PAGE / sizeof(*words));
    return first % (PAGE / sizeof(*words)) == 0;
}

/* Eight words of each page: enough to notice a page that is another one. */
static void write_pattern(void)
{
    for (size_t i = 0; i < filled_size / sizeof(*filled); i += 64) {
        filled[i] = pattern(i);
    }
}

/* How many pages of the fill lie at these guest addresses, from the page tables;
 * stops behind the wanted-th, and says which the last one is. */
static uint64_t find_pages(uint64_t gpa, uint64_t size, uint64_t wanted,
                           size_t *index, uint64_t *page_gpa)
{
    const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    static uint64_t entries[4096];
    uint64_t nr_pages = 0;
    size_t done = 0;

    while (fd >= 0 && done < filled_size / PAGE && nr_pages <= wanted) {
        const off_t at = (off_t)(((uintptr_t)filled / PAGE + done) * 8);
        const ssize_t got = pread(fd, entries, sizeof(entries), at);

        if (got <= 0) {
            break;
        }
        for (size_t i = 0; i < (size_t)got / 8 && done < filled_size / PAGE &&
                           nr_pages <= wanted;
             i++, done++) {
            const uint64_t page =
                (entries[i] & ((UINT64_C(1) << 55) - 1)) * PAGE;

            if ((entries[i] >> 63) != 0 && page >= gpa && page - gpa < size) {
                nr_pages++;
                *index = done;
                *page_gpa = page;
            }
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return nr_pages;
}

uint8_t *memory_page(uint64_t gpa, uint64_t size, unsigned number,
                     uint64_t *page_gpa)
{
    size_t index = 0;

    return find_pages(gpa, size, number, &index, page_gpa) == number + 1
               ? (uint8_t *)filled + index * PAGE
               : NULL;
}

/* Where the next pages come from, if there are some; -1: from anywhere. */
static void prefer_node(int node)
{
    const unsigned long nodes = node >= 0 ? 1UL << node : 0;

    syscall(SYS_set_mempolicy, node >= 0 ? MPOL_PREFERRED : MPOL_DEFAULT,
            node >= 0 ? &nodes : NULL, 8 * sizeof(nodes));
}

void memory_fill(uint64_t mib, uint64_t gpa, uint64_t size, uint64_t node)
{
    memory_keep(0);
    void *hva = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (hva == MAP_FAILED) {
        answer_errno("fill");
        return;
    }
    filled = hva;
    filled_size = mib * MIB;
    prefer_node((int)node);
    write_pattern();
    prefer_node(-1);
    memory_lies(gpa, size);
}

void memory_lies(uint64_t gpa, uint64_t size)
{
    uint64_t page_gpa;
    size_t index;

    answer("@ok %llu", (unsigned long long)find_pages(gpa, size, UINT64_MAX,
                                                      &index, &page_gpa) *
                           PAGE);
}

void memory_keep(uint64_t mib)
{
    const size_t size = mib * MIB;

    if (filled != NULL && size < filled_size) {
        munmap((char *)filled + size, filled_size - size);
        filled_size = size;
    }
    if (size == 0) {
        filled = NULL;
    }
}

void memory_check(void)
{
    for (size_t i = 0; i < filled_size / sizeof(*filled); i += 64) {
        if (filled[i] != pattern(i)) {
            answer("@fail byte %zu has changed", i * sizeof(*filled));
            return;
        }
    }
    answer("@ok %zu", filled_size);
}

void memory_tmpfs(uint64_t mib)
{
    static char bytes[1 << 20];
    int fd;

    if (mib == 0) {
        unlink("/tmp/file");
        answer("@ok");
        return;
    }
    memset(bytes, 0x5a, sizeof(bytes));
    fd = open("/tmp/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (uint64_t i = 0; i < mib; i++) {
        if (write(fd, bytes, sizeof(bytes)) != sizeof(bytes)) {
            answer_errno("tmpfs");
            close(fd);
            return;
        }
    }
    close(fd);
    answer("@ok");
}

/* The pipes take references to pages that are the allocator's movable ones. */
void memory_pin(uint64_t mib)
{
    static int ends[MAX_PINS][2];
    static unsigned nr_pins;
    static uint8_t *bytes;
    const size_t size = MAX_PINS * MIB;

    while (nr_pins > mib) {
        nr_pins--;
        close(ends[nr_pins][0]);
        close(ends[nr_pins][1]);
    }
    if (mib == 0) {
        munmap(bytes, size);
        answer("@ok");
        return;
    }
    bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        answer_errno("pin");
        return;
    }
    for (; nr_pins < mib && nr_pins < MAX_PINS; nr_pins++) {
        struct iovec piece = { bytes + nr_pins * MIB, MIB };

        memset(piece.iov_base, (int)nr_pins + 1, MIB);
        if (pipe2(ends[nr_pins], O_CLOEXEC | O_NONBLOCK) != 0 ||
            fcntl(ends[nr_pins][1], F_SETPIPE_SZ, MIB) < 0 ||
            vmsplice(ends[nr_pins][1], &piece, 1, 0) <= 0) {
            answer_errno("pin");
            return;
        }
    }
    answer("@ok");
}
