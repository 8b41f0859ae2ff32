/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma/tree.h"

static uint64_t height(const struct vmemi_tree_node *node)
{
    return node != NULL ? node->height : 0;
}

/* From the children: height, and the owner's summary. */
static void update(const struct vmemi_tree *tree, struct vmemi_tree_node *node)
{
    const uint64_t smaller = height(node->child[0]);
    const uint64_t larger = height(node->child[1]);

    node->height = 1 + (smaller > larger ? smaller : larger);
    if (tree->summarise != NULL) {
        tree->summarise(node);
    }
}

/* Puts another node, or NULL, where a node hangs. */
static void replace(struct vmemi_tree *tree, const struct vmemi_tree_node *node,
                    struct vmemi_tree_node *by)
{
    struct vmemi_tree_node *parent = node->parent;

    if (parent == NULL) {
        tree->root = by;
    } else {
        parent->child[parent->child[1] == node] = by;
    }
    if (by != NULL) {
        by->parent = parent;
    }
}

/* The child on one side goes up, the node down to the other side. */
static struct vmemi_tree_node *rotate(struct vmemi_tree *tree,
                                      struct vmemi_tree_node *node, int side)
{
    struct vmemi_tree_node *up = node->child[side];
    struct vmemi_tree_node *middle = up->child[!side];

    replace(tree, node, up);
    up->child[!side] = node;
    node->parent = up;
    node->child[side] = middle;
    if (middle != NULL) {
        middle->parent = node;
    }
    update(tree, node);
    update(tree, up);
    return up;
}

/* Up to the root, because summaries change even where heights do not. */
static void retrace(struct vmemi_tree *tree, struct vmemi_tree_node *node)
{
    while (node != NULL) {
        const uint64_t smaller = height(node->child[0]);
        const uint64_t larger = height(node->child[1]);
        const int side = larger > smaller;

        if ((side ? larger - smaller : smaller - larger) > 1) {
            struct vmemi_tree_node *child = node->child[side];

            if (height(child->child[!side]) > height(child->child[side])) {
                rotate(tree, child, !side);
            }
            node = rotate(tree, node, side);
        } else {
            update(tree, node);
        }
        node = node->parent;
    }
}

void vmemi_tree_insert(struct vmemi_tree *tree, struct vmemi_tree_node *node)
{
    struct vmemi_tree_node *parent = NULL;
    struct vmemi_tree_node *at = tree->root;
    int side = 0;

    while (at != NULL) {
        parent = at;
        side = tree->compare(node, at) >= 0;
        at = at->child[side];
    }
    node->parent = parent;
    node->child[0] = NULL;
    node->child[1] = NULL;
    if (parent == NULL) {
        tree->root = node;
    } else {
        parent->child[side] = node;
    }
    retrace(tree, node);
}

static struct vmemi_tree_node *smallest(struct vmemi_tree_node *node)
{
    while (node != NULL && node->child[0] != NULL) {
        node = node->child[0];
    }
    return node;
}

void vmemi_tree_remove(struct vmemi_tree *tree, struct vmemi_tree_node *node)
{
    struct vmemi_tree_node *changed = node->parent;

    if (node->child[0] == NULL || node->child[1] == NULL) {
        replace(tree, node, node->child[node->child[0] == NULL]);
    } else {
        struct vmemi_tree_node *heir = smallest(node->child[1]);

        changed = heir->parent == node ? heir : heir->parent;
        replace(tree, heir, heir->child[1]);
        for (int side = 0; side < 2; side++) {
            heir->child[side] = node->child[side];
            if (heir->child[side] != NULL) {
                heir->child[side]->parent = heir;
            }
        }
        replace(tree, node, heir);
    }
    retrace(tree, changed);
}

struct vmemi_tree_node *vmemi_tree_first(const struct vmemi_tree *tree)
{
    return smallest(tree->root);
}

struct vmemi_tree_node *vmemi_tree_next(const struct vmemi_tree_node *node)
{
    struct vmemi_tree_node *up = node->parent;

    if (node->child[1] != NULL) {
        return smallest(node->child[1]);
    }
    while (up != NULL && up->child[1] == node) {
        node = up;
        up = node->parent;
    }
    return up;
}

int vmemi_tree_is_sound(const struct vmemi_tree *tree)
{
    const struct vmemi_tree_node *before = NULL;

    if (tree->root != NULL && tree->root->parent != NULL) {
        return 0;
    }
    for (const struct vmemi_tree_node *node = vmemi_tree_first(tree);
         node != NULL; before = node, node = vmemi_tree_next(node)) {
        const uint64_t smaller = height(node->child[0]);
        const uint64_t larger = height(node->child[1]);

        if (before != NULL && tree->compare(before, node) > 0) {
            return 0;
        }
        if (node->height != 1 + (smaller > larger ? smaller : larger) ||
            smaller > larger + 1 || larger > smaller + 1) {
            return 0;
        }
        for (int side = 0; side < 2; side++) {
            if (node->child[side] != NULL &&
                node->child[side]->parent != node) {
                return 0;
            }
        }
    }
    return 1;
}
