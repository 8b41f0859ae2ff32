/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_HOST_SMAPS_H
#define VMEMI_HOST_SMAPS_H

#include <stdbool.h>
#include <stdint.h>

/* One mapping, as /proc/self/smaps tells it. */
struct vmemi_vma {
    uint64_t start_hva;
    uint64_t end_hva;
    uint64_t fd_offset;
    uint64_t ino; /* 0: no file, not even one of the kernel's own */
    uint64_t page_size;
    uint32_t dev_major;
    uint32_t dev_minor;
    bool is_shared;
    bool is_deleted; /* the file has no name any more, or never had */
    bool may_write;
    bool is_locked;
    bool is_pfnmap; /* device memory */
    char path[64];  /* cut */
};

/* 0 goes on, anything else ends the walk. */
typedef int (*vmemi_vma_fn)(const struct vmemi_vma *vma, void *opaque);

/* Calls fn for the mappings that overlap the range, in order of hva. 0 with the
 * value of the last fn in *verdict, or a negative errno if smaps could not be
 * read to the end of the range. */
int vmemi_smaps_for_each(uint64_t hva, uint64_t size, vmemi_vma_fn fn,
                         void *opaque, int *verdict);

#endif /* VMEMI_HOST_SMAPS_H */
