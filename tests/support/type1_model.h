/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_TYPE1_MODEL_H
#define TESTS_SUPPORT_TYPE1_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "support/iova_set.h"

/* A VFIO container with a type1 IOMMU, at the level of its ioctls, with the
 * answers that Linux 6.1 and 6.12 gave (tests/data/dma/): three kernels in one,
 * because a container may be a real one (type1 v2, or v1 as nobody should
 * choose it) or iommufd in disguise. */

enum type1_kind {
    TYPE1_V2,
    TYPE1_V1,
    TYPE1_COMPAT /* iommufd's descriptor as a container */
};

#define TYPE1_MODEL_MAX_RANGES 16

struct type1_model {
    /* Set by type1_model_init(); may be changed before use. */
    enum type1_kind kind;
    bool is_type1;        /* VFIO_CHECK_EXTENSION says so */
    bool has_iommu;       /* a group is attached and VFIO_SET_IOMMU was done */
    bool has_caps;        /* GET_INFO knows capabilities (Linux 5.4) */
    bool has_avail;       /* ... among them DMA_AVAIL (Linux 5.10) */
    bool has_dirty_pages; /* VFIO_IOMMU_DIRTY_PAGES (Linux 5.8) */
    bool pins;            /* a map really allocates, and fails as it would */
    int api_version;
    uint64_t page_sizes;    /* a bit for each */
    uint64_t limit;         /* dma_entry_limit; iommufd has none */
    uint64_t memlock_limit; /* bytes; UINT64_MAX: CAP_IPC_LOCK */
    struct {
        uint64_t start;
        uint64_t last;
    } ranges[TYPE1_MODEL_MAX_RANGES];
    unsigned nr_ranges;

    /* What is mapped now. */
    struct iova_set set;
};

void type1_model_init(struct type1_model *model, enum type1_kind kind);
void type1_model_destroy(struct type1_model *model);

/* ioctl(2) on the container: 0 or positive, or a negative errno. */
int type1_model_ioctl(struct type1_model *model, unsigned long request,
                      void *argument);

/* Would pinning this memory work? Allocates it. */
int model_pin(uint64_t hva, uint64_t size, bool is_writable);

#endif /* TESTS_SUPPORT_TYPE1_MODEL_H */
