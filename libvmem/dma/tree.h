/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_TREE_H
#define VMEMI_DMA_TREE_H

#include <stddef.h>
#include <stdint.h>

/* A balanced tree with its links inside the objects: it allocates nothing, and
 * is at most 1.45 log2(n) deep whatever keys a guest chooses (AVL). Every node
 * may keep a summary of what lies below it. */
struct vmemi_tree_node {
    struct vmemi_tree_node *parent;
    struct vmemi_tree_node *child[2]; /* smaller, larger */
    uint64_t height;                  /* 1: a leaf */
};

struct vmemi_tree {
    struct vmemi_tree_node *root;
    /* Negative, 0 or positive as a is below, at or above b. Equal ones stay in
     * the order in which they came. */
    int (*compare)(const struct vmemi_tree_node *a,
                   const struct vmemi_tree_node *b);
    /* Recomputes the summary of a node from its children's; or NULL. */
    void (*summarise)(struct vmemi_tree_node *node);
};

#define VMEMI_TREE_ENTRY(node, type, member)                                   \
    ((type *)(void *)((char *)(uintptr_t)(node)-offsetof(type, member)))

void vmemi_tree_insert(struct vmemi_tree *tree, struct vmemi_tree_node *node);
void vmemi_tree_remove(struct vmemi_tree *tree, struct vmemi_tree_node *node);

/* Smallest node, and the one after; NULL if there is none. */
struct vmemi_tree_node *vmemi_tree_first(const struct vmemi_tree *tree);
struct vmemi_tree_node *vmemi_tree_next(const struct vmemi_tree_node *node);

/* For tests: is it balanced, linked and in order? */
int vmemi_tree_is_sound(const struct vmemi_tree *tree);

#endif /* VMEMI_DMA_TREE_H */
