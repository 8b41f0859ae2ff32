/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_HOST_KERNEL_H
#define VMEMI_HOST_KERNEL_H

/* Kernel interfaces that the oldest supported headers (Linux 6.1) may lack,
 * from the kernel's own documentation. Numbers of the kernel never change; the
 * assertions keep newer headers and this file the same. */

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/types.h>

/* madvise: populate for writing, like a write to every page, but with an error
 * instead of a signal (Linux 5.14). */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
_Static_assert(MADV_POPULATE_WRITE == 23, "kernel number");

/* madvise: MADV_DONTNEED, for locked memory too (Linux 5.18). */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
_Static_assert(MADV_DONTNEED_LOCKED == 24, "kernel number");

/* fcntl: no write from now on, except through mappings made before (5.1). */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
_Static_assert(F_SEAL_FUTURE_WRITE == 0x0010, "kernel number");

/* memfd_create: never executable; some systems insist on it (Linux 6.3). */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
_Static_assert(MFD_NOEXEC_SEAL == 0x0008U, "kernel number");

/* mmap and memfd_create: log2 of the huge page size goes from this bit on. */
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif
_Static_assert(MAP_HUGE_SHIFT == 26, "kernel number");

/* ioctl of /proc/self/pagemap: runs of pages by category (Linux 6.7). */
#ifndef PAGEMAP_SCAN
struct page_region {
    __u64 start;
    __u64 end;
    __u64 categories;
};

struct pm_scan_arg {
    __u64 size;
    __u64 flags;
    __u64 start;
    __u64 end;
    __u64 walk_end;
    __u64 vec;
    __u64 vec_len;
    __u64 max_pages;
    __u64 category_inverted;
    __u64 category_mask;
    __u64 category_anyof_mask;
    __u64 return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#endif
_Static_assert(sizeof(struct page_region) == 24, "kernel layout");
_Static_assert(sizeof(struct pm_scan_arg) == 96, "kernel layout");
_Static_assert(offsetof(struct pm_scan_arg, walk_end) == 32, "kernel layout");
_Static_assert(offsetof(struct pm_scan_arg, return_mask) == 88,
               "kernel layout");
_Static_assert(PAGEMAP_SCAN == _IOC(_IOC_READ | _IOC_WRITE, 'f', 16, 96),
               "kernel number");
_Static_assert(PAGE_IS_FILE == 1 << 2 && PAGE_IS_PRESENT == 1 << 3 &&
                   PAGE_IS_SWAPPED == 1 << 4 && PAGE_IS_PFNZERO == 1 << 5,
               "kernel numbers");

/* Entries of /proc/self/pagemap, one per base page. */
#define VMEMI_PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define VMEMI_PAGEMAP_SWAPPED ((uint64_t)1 << 62)
#define VMEMI_PAGEMAP_FILE ((uint64_t)1 << 61)

/* Unit of stat::st_blocks, whatever the file system's blocks are. */
#define VMEMI_STAT_BLOCK_SIZE 512u

#endif /* VMEMI_HOST_KERNEL_H */
