/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_LAB_SPACE_H
#define TESTS_LAB_SPACE_H

#include <stdbool.h>
#include <stdint.h>

/* The kernel's I/O address space with a device edu in it, reached without
 * libvmem: what the library did is checked by asking the kernel itself. */

enum space_kind {
    SPACE_TYPE1 = 1, /* a VFIO container with type 1 version 2 */
    SPACE_TYPE1_V1,  /* the same with version 1, which libvmem does not use */
    SPACE_COMPAT,    /* /dev/iommu as it imitates one */
    SPACE_IOMMUFD    /* /dev/iommu itself */
};

#define SPACE_READ 1
#define SPACE_WRITE 2

#define SPACE_UNTOLD UINT64_MAX

struct space {
    enum space_kind kind;
    int fd; /* the container, or /dev/iommu */
    uint32_t ioas_id;
    int group_fd;
    int device_fd;
    void *probe_page; /* what is mapped to see that nothing was */
};

const char *space_kind_name(enum space_kind kind);

/* Most mappings of type 1 containers that are opened from now on. */
#define SPACE_USUAL_LIMIT 65535
bool space_set_limit(unsigned int limit);

/* With the first or the second edu in it, number 0 or 1. False with a note of what
 * failed. */
#define SPACE_DEVICES 2
bool space_open(struct space *space, enum space_kind kind, unsigned int device);
void space_close(struct space *space);

/* 0 or a negative errno. */
int space_map(const struct space *space, uint64_t iova, const void *hva,
              uint64_t size, unsigned int access);
/* The same; *unmapped is what the kernel said. */
int space_unmap(const struct space *space, uint64_t iova, uint64_t size,
                uint64_t *unmapped);

/* How many more mappings the kernel would make, or SPACE_UNTOLD. */
uint64_t space_available(const struct space *space);

/* Is there a mapping at this page? 1, 0, or a negative errno. Asked by mapping
 * there, which the kernel refuses with EEXIST. */
int space_is_mapped(const struct space *space, uint64_t iova);

#endif /* TESTS_LAB_SPACE_H */
