/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_SHADOW_H
#define VMEMCTL_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

#include <vmem/listener.h>
#include <vmem/region.h>

/* A listener that remembers block by block what it was told, and complains when
 * it is told what it has already, or to drop what it does not have. The library
 * calls it, so it records and never fails; look at complaint afterwards. */
struct shadow {
    uint8_t *has; /* one byte per block: 1 if populated */
    uint64_t nr_blocks;
    uint64_t block_size;
    uint64_t populated_size; /* bytes */
    uint64_t nr_calls;
    char *complaint; /* the first one, or NULL */
    uint64_t nr_complaints;
    bool chunks; /* told block by block, rather than whole runs */
    struct vmem_listener *listener;
};

/* Starts empty and joins the region: with chunks every block is a call of its
 * own in both directions, without them whole runs are. 0 or a negative errno,
 * and then there is nothing to clear. */
int shadow_add(struct shadow *shadow, struct vmem_region *region,
               const char *name, uint64_t block_size, bool chunks,
               struct vmem_error *err);

/* Leaves the region. The library must tell it everything it still has. 0 or a
 * negative errno. */
int shadow_remove(struct shadow *shadow, struct vmem_error *err);

/* Frees what was remembered. A zeroed shadow is fine. */
void shadow_clear(struct shadow *shadow);

/* First block at or after start that is populated (or, with value 0, is not);
 * nr_blocks if there is none. */
uint64_t shadow_find(const struct shadow *shadow, uint64_t start,
                     uint8_t value);

#endif /* VMEMCTL_SHADOW_H */
