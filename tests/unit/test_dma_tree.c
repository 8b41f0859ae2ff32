/* SPDX-License-Identifier: BSD-3-Clause */
/* The tree of guest mappings: order, balance and summaries, whatever comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dma/tree.h"

#define NR 512

struct item {
    struct vmemi_tree_node node;
    uint64_t key;
    uint64_t nr_below; /* with itself: a summary */
    int is_in;
};

#define ITEM(entry) VMEMI_TREE_ENTRY(entry, struct item, node)

static int compare(const struct vmemi_tree_node *a,
                   const struct vmemi_tree_node *b)
{
    return (ITEM(a)->key > ITEM(b)->key) - (ITEM(a)->key < ITEM(b)->key);
}

static void summarise(struct vmemi_tree_node *node)
{
    ITEM(node)->nr_below = 1;
    for (int side = 0; side < 2; side++) {
        if (node->child[side] != NULL) {
            ITEM(node)->nr_below += ITEM(node->child[side])->nr_below;
        }
    }
}

static void check(const struct vmemi_tree *tree, uint64_t nr)
{
    uint64_t nr_seen = 0;

    assert_true(vmemi_tree_is_sound(tree));
    for (struct vmemi_tree_node *node = vmemi_tree_first(tree); node != NULL;
         node = vmemi_tree_next(node)) {
        nr_seen++;
    }
    assert_int_equal(nr_seen, nr);
    assert_int_equal(tree->root != NULL ? ITEM(tree->root)->nr_below : 0, nr);
}

/* The orders that make a plain tree a list, which is what a guest would send. */
static void no_order_makes_it_deep(void **state)
{
    static struct item items[NR];

    (void)state;
    for (int order = 0; order < 4; order++) {
        struct vmemi_tree tree = { .compare = compare, .summarise = summarise };

        for (uint64_t i = 0; i < NR; i++) {
            items[i].key = order == 0   ? i
                           : order == 1 ? NR - i
                           : order == 2 ? (i % 2 == 0 ? i : 2 * NR - i)
                                        : 7;
            vmemi_tree_insert(&tree, &items[i].node);
            assert_true(vmemi_tree_is_sound(&tree));
        }
        check(&tree, NR);
        /* 1.45 log2(513) */
        assert_true(tree.root->height <= 13);
        for (uint64_t i = 0; i < NR; i++) {
            vmemi_tree_remove(&tree, &items[order == 1 ? NR - 1 - i : i].node);
            assert_true(vmemi_tree_is_sound(&tree));
        }
        check(&tree, 0);
    }
}

static void equal_keys_keep_their_order(void **state)
{
    struct vmemi_tree tree = { .compare = compare };
    struct item items[9] = { 0 };
    struct vmemi_tree_node *node;

    (void)state;
    for (int i = 0; i < 9; i++) {
        vmemi_tree_insert(&tree, &items[i].node);
    }
    node = vmemi_tree_first(&tree);
    for (int i = 0; i < 9; i++) {
        assert_ptr_equal(ITEM(node), &items[i]);
        node = vmemi_tree_next(node);
    }
    assert_null(node);
}

static void random_changes_keep_it_sound(void **state)
{
    struct vmemi_tree tree = { .compare = compare, .summarise = summarise };
    static struct item items[NR];
    uint64_t random = 88172645463325252;
    uint64_t nr = 0;

    (void)state;
    for (int step = 0; step < 20000; step++) {
        struct item *item;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        item = &items[random % NR];
        if (item->is_in) {
            vmemi_tree_remove(&tree, &item->node);
            nr--;
        } else {
            item->key = random >> 54;
            vmemi_tree_insert(&tree, &item->node);
            nr++;
        }
        item->is_in = !item->is_in;
        if (step % 100 == 0) {
            check(&tree, nr);
        }
    }
    check(&tree, nr);
}

/* The check itself sees what is wrong. */
static void an_unsound_tree_is_noticed(void **state)
{
    struct vmemi_tree tree = { .compare = compare };
    struct item items[3] = { { .key = 0 }, { .key = 1 }, { .key = 2 } };

    (void)state;
    for (int i = 0; i < 3; i++) {
        vmemi_tree_insert(&tree, &items[i].node);
    }
    assert_true(vmemi_tree_is_sound(&tree));
    items[0].key = 5;
    assert_false(vmemi_tree_is_sound(&tree));
    items[0].key = 0;
    items[1].node.height = 7;
    assert_false(vmemi_tree_is_sound(&tree));
    items[1].node.height = 2;
    assert_true(vmemi_tree_is_sound(&tree));
    items[2].node.parent = NULL;
    assert_false(vmemi_tree_is_sound(&tree));
    items[2].node.parent = &items[1].node;
    items[1].node.parent = &items[0].node;
    assert_false(vmemi_tree_is_sound(&tree));
}

/* A list is no tree, whichever way it leans. */
static void a_list_is_noticed(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct vmemi_tree tree = { .compare = compare };
        struct item items[3] = { 0 };

        for (uint64_t i = 0; i < 3; i++) {
            items[i].key = side == 0 ? 2 - i : i;
            items[i].node.height = 3 - i;
            if (i > 0) {
                items[i].node.parent = &items[i - 1].node;
                items[i - 1].node.child[side] = &items[i].node;
            }
        }
        tree.root = &items[0].node;
        assert_false(vmemi_tree_is_sound(&tree));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_order_makes_it_deep),
        cmocka_unit_test(equal_keys_keep_their_order),
        cmocka_unit_test(random_changes_keep_it_sound),
        cmocka_unit_test(an_unsound_tree_is_noticed),
        cmocka_unit_test(a_list_is_noticed),
    };

    return cmocka_run_group_tests_name("dma tree", tests, NULL, NULL);
}
