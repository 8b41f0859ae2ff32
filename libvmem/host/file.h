/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_HOST_FILE_H
#define VMEMI_HOST_FILE_H

#include "host/memory.h"

/* The file under memory that the library makes, and what to undo if a later
 * step fails. */
struct vmemi_making {
    struct vmemi_memory memory;
    const char *path;
    bool is_created;   /* the file was not there before */
    bool is_grown;     /* the file was shorter before */
    uint64_t old_size; /* of the file */
};

static inline bool vmemi_file_is_huge_kind(uint32_t kind)
{
    return kind == VMEM_BACKING_HUGETLB_ANON ||
           kind == VMEM_BACKING_HUGETLB_MEMFD;
}

/* For mmap and memfd_create; 0 leaves the size of huge pages to the kernel. */
unsigned int vmemi_file_huge_size_bits(uint64_t page_size);

/* Learns whether the kernel has huge pages of map_page_size, or how large they
 * are by default. 0 or a negative errno. */
int vmemi_file_find_huge_page_size(struct vmemi_memory *memory,
                                   struct vmem_error *err);

/* Opens the path or makes a memfd, and judges it. 0 or a negative errno. */
int vmemi_file_open(struct vmemi_making *making, struct vmem_error *err);

/* Makes the file long enough. 0 or a negative errno. */
int vmemi_file_grow(struct vmemi_making *making, struct vmem_error *err);

/* Seals a memfd. 0 or a negative errno. */
int vmemi_file_seal(const struct vmemi_memory *memory, struct vmem_error *err);

/* As if nothing had been asked; the memory is released too. */
void vmemi_file_undo(struct vmemi_making *making);

#endif /* VMEMI_HOST_FILE_H */
