/* SPDX-License-Identifier: BSD-3-Clause */
/* The books of what a guest maps through a virtual IOMMU: in one tree by IOVA,
 * where none overlap, and for each target in one by the range that they point at,
 * where any number may. Each node of the latter knows the largest end below it,
 * so that one which points into a range is found without looking at the others. */
#include <errno.h>

#include "base/alloc.h"
#include "base/range.h"
#include "dma/mapper.h"

#define BY_IOVA(node) VMEMI_TREE_ENTRY(node, struct vmemi_dma_guest, by_iova)
#define BY_TARGET(node)                                                        \
    VMEMI_TREE_ENTRY(node, struct vmemi_dma_guest, by_target)

/* As vmem_dma.h promises. */
_Static_assert(sizeof(struct vmemi_dma_guest) < 256,
               "a guest mapping is large");

static int compare_numbers(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_iova(const struct vmemi_tree_node *a,
                        const struct vmemi_tree_node *b)
{
    return compare_numbers(BY_IOVA(a)->iova, BY_IOVA(b)->iova);
}

static int compare_target(const struct vmemi_tree_node *a,
                          const struct vmemi_tree_node *b)
{
    return compare_numbers(BY_TARGET(a)->range.offset,
                           BY_TARGET(b)->range.offset);
}

static void summarise_target(struct vmemi_tree_node *node)
{
    struct vmemi_dma_guest *guest = BY_TARGET(node);

    guest->max_end = vmemi_range_end(&guest->range);
    for (int side = 0; side < 2; side++) {
        if (node->child[side] != NULL) {
            guest->max_end = vmemi_max(guest->max_end,
                                       BY_TARGET(node->child[side])->max_end);
        }
    }
}

void vmemi_dma_init_guests(struct vmem_dma *dma)
{
    dma->guests.compare = compare_iova;
}

void vmemi_dma_init_targets(struct vmem_dma_attachment *attachment)
{
    attachment->guests.compare = compare_target;
    attachment->guests.summarise = summarise_target;
    attachment->stuck_guests = attachment->guests;
}

struct vmemi_dma_guest *vmemi_dma_guest_at(const struct vmem_dma *dma,
                                           uint64_t iova, uint64_t size)
{
    struct vmemi_tree_node *node = dma->guests.root;
    struct vmemi_dma_guest *found = NULL;

    /* The smallest that ends behind iova. */
    while (node != NULL) {
        struct vmemi_dma_guest *guest = BY_IOVA(node);
        const int side = guest->iova + (guest->range.size - 1) < iova;

        found = side ? found : guest;
        node = node->child[side];
    }
    if (found == NULL || (found->iova > iova && found->iova - iova >= size)) {
        return NULL;
    }
    return found;
}

struct vmemi_dma_guest *
vmemi_dma_guest_next(const struct vmemi_dma_guest *guest)
{
    struct vmemi_tree_node *node = vmemi_tree_next(&guest->by_iova);

    return node != NULL ? BY_IOVA(node) : NULL;
}

struct vmemi_dma_guest *vmemi_dma_guest_into(const struct vmemi_tree *tree,
                                             const struct vmem_range *range)
{
    struct vmemi_tree_node *node = tree->root;

    while (node != NULL) {
        struct vmemi_dma_guest *guest = BY_TARGET(node);

        if (guest->range.offset < vmemi_range_end(range) &&
            range->offset < vmemi_range_end(&guest->range)) {
            return guest;
        }
        /* If the smaller ones reach up to the range and none of them is in it,
         * the one that does starts behind it, and so do all larger ones. */
        node = node->child[node->child[0] == NULL ||
                           BY_TARGET(node->child[0])->max_end <= range->offset];
    }
    return NULL;
}

static struct vmemi_tree *target_tree(const struct vmemi_dma_guest *guest)
{
    return guest->is_stuck ? &guest->target->stuck_guests
                           : &guest->target->guests;
}

static void insert(struct vmemi_dma_guest *guest)
{
    struct vmem_dma *dma = guest->target->dma;

    vmemi_tree_insert(&dma->guests, &guest->by_iova);
    vmemi_tree_insert(target_tree(guest), &guest->by_target);
    vmemi_add_locked(&dma->nr_guest_mappings, 1);
    vmemi_dma_count_mapped(dma, guest->range.size);
}

void vmemi_dma_guest_insert(struct vmemi_dma_guest *guest)
{
    insert(guest);
    guest->target->dma->mapped_guest = guest;
}

static void set_stuck(struct vmemi_dma_guest *guest, int code)
{
    struct vmem_dma *dma = guest->target->dma;

    vmemi_tree_remove(&guest->target->guests, &guest->by_target);
    guest->is_stuck = true;
    vmemi_tree_insert(&guest->target->stuck_guests, &guest->by_target);
    vmemi_add_locked(&dma->nr_stuck, 1);
    vmemi_add_locked(&dma->stuck_size, guest->range.size);
    dma->stuck_code = code;
}

static void take_out(struct vmemi_dma_guest *guest)
{
    struct vmem_dma *dma = guest->target->dma;

    vmemi_tree_remove(&dma->guests, &guest->by_iova);
    vmemi_tree_remove(target_tree(guest), &guest->by_target);
    vmemi_add_locked(&dma->nr_guest_mappings, (uint64_t)-1);
    vmemi_dma_count_unmapped(dma, guest->range.size);
    if (guest->is_stuck) {
        guest->is_stuck = false;
        vmemi_add_locked(&dma->nr_stuck, (uint64_t)-1);
        vmemi_add_locked(&dma->stuck_size, -guest->range.size);
    }
    guest->next = dma->unmapped_guests;
    dma->unmapped_guests = guest;
}

int vmemi_dma_guest_unmap(struct vmemi_dma_guest *guest)
{
    struct vmem_dma *dma = guest->target->dma;
    const uint64_t size = guest->range.size;
    uint64_t unmapped;
    int ret = vmemi_dma_call_unmap(dma, guest->iova, size, &unmapped);

    /* Nothing there is an answer only when asked again. */
    if (ret == 0 && (unmapped >= size || (unmapped == 0 && guest->is_stuck))) {
        take_out(guest);
        return 0;
    }
    vmemi_add_locked(&dma->nr_unmap_errors, 1);
    if (!guest->is_stuck) {
        set_stuck(guest, dma->unmap_code);
    }
    return dma->unmap_code;
}

uint64_t vmemi_dma_guests_unmap(struct vmem_dma_attachment *target,
                                const struct vmem_range *range)
{
    struct vmemi_dma_guest *guest;
    uint64_t nr_guests = 0;

    /* Each leaves the tree, stuck or not. */
    while ((guest = vmemi_dma_guest_into(&target->guests, range)) != NULL) {
        vmemi_dma_guest_unmap(guest);
        nr_guests++;
    }
    return nr_guests;
}

int vmemi_dma_guests_retry(struct vmem_dma_attachment *target,
                           const struct vmem_range *range)
{
    struct vmemi_dma_guest *guest;

    while ((guest = vmemi_dma_guest_into(&target->stuck_guests, range)) !=
           NULL) {
        int ret = vmemi_dma_guest_unmap(guest);

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

void vmemi_dma_guests_retry_all(struct vmem_dma_attachment *target)
{
    struct vmemi_tree_node *node = vmemi_tree_first(&target->stuck_guests);

    while (node != NULL) {
        struct vmemi_dma_guest *guest = BY_TARGET(node);

        node = vmemi_tree_next(node);
        vmemi_dma_guest_unmap(guest);
    }
}

void vmemi_dma_settle_guests(struct vmem_dma *dma, int code)
{
    struct vmemi_dma_guest *guest;

    while ((guest = dma->unmapped_guests) != NULL) {
        dma->unmapped_guests = guest->next;
        if (code < 0) {
            insert(guest);
            set_stuck(guest, code);
        } else {
            vmemi_free(guest);
        }
    }
    if (code < 0 && dma->mapped_guest != NULL) {
        set_stuck(dma->mapped_guest, code);
    }
}
