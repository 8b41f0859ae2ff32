/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_IOMMUFD_MODEL_H
#define TESTS_SUPPORT_IOMMUFD_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "support/iova_set.h"

/* A descriptor of /dev/iommu with address spaces, at the level of its ioctls,
 * with the answers that Linux 6.12 gave (tests/data/dma/). What no kernel at
 * hand could be asked, IOMMU_IOAS_MAP_FILE of Linux 6.13, follows the kernel's
 * documentation and is off by default. */

#define IOMMUFD_MODEL_MAX_IOAS 4
#define IOMMUFD_MODEL_MAX_RANGES 16

struct iommufd_model {
    /* Set by iommufd_model_init(); may be changed before use. */
    bool has_map_file;
    bool pins;              /* a map really allocates, and fails as it would */
    uint64_t alignment;     /* of IOVAs and lengths */
    uint64_t memlock_limit; /* bytes; UINT64_MAX: CAP_IPC_LOCK */
    struct {
        uint64_t start;
        uint64_t last;
    } ranges[IOMMUFD_MODEL_MAX_RANGES];
    unsigned nr_ranges;

    /* What is mapped now; the id of an address space is its index + 1. */
    struct {
        bool exists;
        struct iova_set set;
    } ioas[IOMMUFD_MODEL_MAX_IOAS];
};

void iommufd_model_init(struct iommufd_model *model);
void iommufd_model_destroy(struct iommufd_model *model);

/* ioctl(2) on the descriptor: 0, or a negative errno. */
int iommufd_model_ioctl(struct iommufd_model *model, unsigned long request,
                        void *argument);

/* Makes an address space as the host would; its id. */
uint32_t iommufd_model_alloc(struct iommufd_model *model);
struct iova_set *iommufd_model_set(struct iommufd_model *model, uint32_t id);

#endif /* TESTS_SUPPORT_IOMMUFD_MODEL_H */
