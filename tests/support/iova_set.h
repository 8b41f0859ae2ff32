/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_IOVA_SET_H
#define TESTS_SUPPORT_IOVA_SET_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

/* The mappings of one IOMMU address space, as a kernel keeps them: sorted,
 * never overlapping, never joined. A plain array, looked through from the
 * start: this is what the library is compared with. */

struct iova_mapping {
    uint64_t iova;
    uint64_t size;
    uint64_t hva; /* UINT64_MAX: of a file */
    bool is_readable;
    bool is_writable;
    int fd;             /* of a file */
    uint64_t fd_offset; /* of a file */
};

struct iova_set {
    GArray *mappings; /* of struct iova_mapping */
    uint64_t size;    /* bytes, of all */
};

void iova_set_init(struct iova_set *set);
void iova_set_destroy(struct iova_set *set);

uint64_t iova_set_nr(const struct iova_set *set);
const struct iova_mapping *iova_set_at(const struct iova_set *set, uint64_t i);

/* last is inclusive here and below: the address space may end at 2^64. */
bool iova_set_overlaps(const struct iova_set *set, uint64_t iova,
                       uint64_t last);
void iova_set_add(struct iova_set *set, const struct iova_mapping *mapping);

/* Does the range begin or end inside a mapping? */
bool iova_set_cuts(const struct iova_set *set, uint64_t iova, uint64_t last);

/* Removes whole mappings from the start of the range on, until its end or one
 * that it cuts; returns the bytes removed. */
uint64_t iova_set_remove(struct iova_set *set, uint64_t iova, uint64_t last);

/* Makes two of the mapping that has this address inside. */
void iova_set_split(struct iova_set *set, uint64_t iova);

/* What is mapped, in units: "0+4 6+1", adjacent mappings joined. Freed with
 * g_free(). */
char *iova_set_runs(const struct iova_set *set, uint64_t base, uint64_t unit);

#endif /* TESTS_SUPPORT_IOVA_SET_H */
