/* SPDX-License-Identifier: BSD-3-Clause */
/* The page bitmap, compared with one question for each page. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include <vmem/vmem.h>

#include "support/device_rig.h"

#define UNIT ((uint64_t)4096)
#define NR_UNITS ((uint64_t)4096)
#define MAX_WORDS (NR_UNITS / 64 * 4)
#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

struct world {
    struct vmem_vm *vm;
    struct vmem_region *region;
    struct vmem_source *sources[3];
    uint64_t block_sizes[3];
    unsigned nr_sources;
    bool has[3][NR_UNITS]; /* which units each source was told to populate */
    uint64_t words[MAX_WORDS + 1];
};

static struct vmem_region *add_region(struct vmem_vm *vm, const char *name,
                                      uint64_t size)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = name,
                                               .size = size };
    struct vmem_region *region = NULL;

    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    return region;
}

static void add_source(struct world *world, uint64_t block_size)
{
    char name[] = "source0";
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = name,
                                               .block_size = block_size };
    const unsigned i = world->nr_sources++;

    name[6] = (char)(name[6] + i);
    world->block_sizes[i] = block_size;
    assert_int_equal(
        vmem_source_add(world->region, &config, &world->sources[i], NULL), 0);
}

static void open_world(struct world *world)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "vm" };

    memset(world, 0, sizeof(*world));
    assert_int_equal(vmem_vm_new(&config, &world->vm, NULL), 0);
    world->region = add_region(world->vm, "region", NR_UNITS * UNIT);
}

static void close_world(struct world *world)
{
    for (unsigned i = 0; i < world->nr_sources; i++) {
        assert_int_equal(vmem_source_remove(world->sources[i], NULL), 0);
    }
    assert_int_equal(vmem_region_free(world->region, NULL), 0);
    assert_int_equal(vmem_vm_free(world->vm, NULL), 0);
}

static void populate(struct world *world, unsigned i, uint64_t first,
                     uint64_t nr)
{
    const struct vmem_range range = { first * world->block_sizes[i],
                                      nr * world->block_sizes[i] };

    assert_int_equal(vmem_source_populate(world->sources[i], &range, NULL), 0);
    for (uint64_t unit = range.offset / UNIT;
         unit < (range.offset + range.size) / UNIT; unit++) {
        world->has[i][unit] = true;
    }
}

/* Has a source populated every unit that a page has a part of? */
static bool source_has(const struct world *world, unsigned i,
                       const struct vmem_range *page)
{
    for (uint64_t unit = page->offset / UNIT;
         unit <= (page->offset + page->size - 1) / UNIT; unit++) {
        if (!world->has[i][unit]) {
            return false;
        }
    }
    return true;
}

/* Runs of random length, short ones more often. */
static void populate_at_random(struct world *world, unsigned i, uint64_t *seed)
{
    const uint64_t nr_blocks = NR_UNITS * UNIT / world->block_sizes[i];
    uint64_t block = rig_random(seed) % 3;

    while (block < nr_blocks) {
        const uint64_t longest = UINT64_C(1) << (rig_random(seed) % 10);
        uint64_t nr = rig_random(seed) % longest + 1;

        nr = MIN(nr, nr_blocks - block);
        populate(world, i, block, nr);
        block += nr + 1 + rig_random(seed) % longest;
    }
}

static bool bit(const uint64_t *words, uint64_t i)
{
    return words[i / 64] >> (i % 64) & 1;
}

/* All sources together, or one of them. */
#define TOGETHER 3u

/* Every bit is what asking for its page says, the rest of the last word is
 * clear, and nothing behind it was written. */
static void check_words(struct world *world, unsigned which,
                        const struct vmem_range *window, uint64_t page_size)
{
    const uint64_t nr_pages = window->size / page_size;
    const uint64_t nr_words = (nr_pages + 63) / 64;

    for (uint64_t i = 0; i < nr_words * 64; i++) {
        const struct vmem_range page = { window->offset + i * page_size,
                                         page_size };
        const bool wanted =
            i < nr_pages &&
            (which == TOGETHER ? vmem_region_is_populated(world->region, &page)
                               : source_has(world, which, &page));

        if (bit(world->words, i) != wanted) {
            fail_msg("source %u: page %" G_GUINT64_FORMAT
                     " of size 0x%" G_GINT64_MODIFIER
                     "x in the window at 0x%" G_GINT64_MODIFIER "x",
                     which, i, page_size, window->offset);
        }
    }
    assert_true(world->words[nr_words] == UNTOUCHED);
}

static void wipe_words(struct world *world)
{
    for (size_t i = 0; i <= MAX_WORDS; i++) {
        world->words[i] = UNTOUCHED;
    }
}

/* Of each source, then of the region, which stays in words. */
static void expand_and_check(struct world *world,
                             const struct vmem_range *window,
                             uint64_t page_size)
{
    const struct vmem_range all = { 0, NR_UNITS * UNIT };

    for (unsigned i = 0; i < world->nr_sources; i++) {
        wipe_words(world);
        assert_int_equal(vmem_source_get_page_bitmap(world->sources[i], window,
                                                     page_size, world->words),
                         0);
        check_words(world, i, window != NULL ? window : &all, page_size);
    }
    wipe_words(world);
    assert_int_equal(vmem_region_get_page_bitmap(world->region, window,
                                                 page_size, world->words),
                     0);
    check_words(world, TOGETHER, window != NULL ? window : &all, page_size);
}

/* All of the region, and windows that begin and end anywhere. */
static void expand_in_windows(struct world *world, uint64_t page_size,
                              uint64_t *seed)
{
    const uint64_t nr_pages = NR_UNITS * UNIT / page_size;

    expand_and_check(world, NULL, page_size);
    for (int i = 0; i < 8; i++) {
        const uint64_t first = rig_random(seed) % nr_pages;
        const uint64_t nr = rig_random(seed) % (nr_pages - first + 1);
        const struct vmem_range window = { first * page_size, nr * page_size };

        expand_and_check(world, &window, page_size);
    }
}

static void every_page_size_agrees_with_asking_for_each_page(void **state)
{
    /* Blocks of the sources, in units; 0: no such source. */
    static const unsigned tables[][3] = {
        { 0, 0, 0 },   { 1, 0, 0 },  { 4, 0, 0 },   { 64, 0, 0 },
        { 512, 0, 0 }, { 1, 16, 0 }, { 128, 2, 0 }, { 8, 8, 32 },
    };

    (void)state;
    for (size_t t = 0; t < G_N_ELEMENTS(tables); t++) {
        for (uint64_t round = 0; round < 4; round++) {
            uint64_t seed = t * 1000 + round;
            struct world world;

            open_world(&world);
            for (unsigned i = 0; i < 3 && tables[t][i] != 0; i++) {
                add_source(&world, tables[t][i] * UNIT);
                populate_at_random(&world, i, &seed);
            }
            /* From a quarter of a unit to the whole region. */
            for (uint64_t page_size = UNIT / 4; page_size <= NR_UNITS * UNIT;
                 page_size *= 2) {
                expand_in_windows(&world, page_size, &seed);
            }
            close_world(&world);
        }
    }
}

static void full_and_empty_regions_are_all_ones_and_zeros(void **state)
{
    struct world world;

    (void)state;
    open_world(&world);
    add_source(&world, 16 * UNIT);
    expand_and_check(&world, NULL, UNIT);
    assert_true(world.words[0] == 0);
    populate(&world, 0, 0, NR_UNITS / 16);
    expand_and_check(&world, NULL, UNIT);
    assert_true(world.words[0] == UINT64_MAX);
    close_world(&world);
}

static void alternating_blocks_alternate_in_the_pages(void **state)
{
    struct world world;

    (void)state;
    open_world(&world);
    add_source(&world, 4 * UNIT);
    for (uint64_t block = 1; block < NR_UNITS / 4; block += 2) {
        populate(&world, 0, block, 1);
    }
    expand_and_check(&world, NULL, UNIT);
    assert_true(world.words[5] == UINT64_C(0xf0f0f0f0f0f0f0f0));
    expand_and_check(&world, NULL, 4 * UNIT);
    assert_true(world.words[3] == UINT64_C(0xaaaaaaaaaaaaaaaa));
    /* No page of two blocks has both. */
    expand_and_check(&world, NULL, 8 * UNIT);
    assert_true(world.words[2] == 0);
    close_world(&world);
}

static void a_page_larger_than_a_block_needs_all_of_its_blocks(void **state)
{
    struct world world;

    (void)state;
    open_world(&world);
    add_source(&world, UNIT);
    /* Pages 1 and 2 of four units wholly, 0 and 3 in part. */
    populate(&world, 0, 1, 14);
    expand_and_check(&world, NULL, 4 * UNIT);
    assert_true(world.words[0] == 0x6);
    close_world(&world);
}

static void a_refused_call_writes_nothing(void **state)
{
    static const struct {
        struct vmem_range window;
        uint64_t page_size;
        int code;
    } cases[] = {
        { { 0, UNIT }, 0, -EINVAL },
        { { 0, UNIT }, 3 * UNIT, -EINVAL },
        { { 1, UNIT }, UNIT, -EINVAL },
        { { 0, UNIT + 1 }, UNIT, -EINVAL },
        { { UNIT, UNIT }, 2 * UNIT, -EINVAL },
        { { NR_UNITS * UNIT, UNIT }, UNIT, -ERANGE },
        { { 0, NR_UNITS * UNIT + UNIT }, UNIT, -ERANGE },
        { { UINT64_MAX - UNIT + 1, UNIT }, UNIT, -EOVERFLOW },
        { { UINT64_MAX, UINT64_MAX }, 1, -EOVERFLOW },
    };
    const struct vmem_range nothing = { NR_UNITS * UNIT, 0 };
    uint64_t word = UNTOUCHED;
    struct world world;

    (void)state;
    open_world(&world);
    add_source(&world, UNIT);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_int_equal(vmem_region_get_page_bitmap(world.region,
                                                     &cases[i].window,
                                                     cases[i].page_size, &word),
                         cases[i].code);
        assert_int_equal(vmem_source_get_page_bitmap(world.sources[0],
                                                     &cases[i].window,
                                                     cases[i].page_size, &word),
                         cases[i].code);
    }
    assert_int_equal(vmem_region_get_page_bitmap(NULL, NULL, UNIT, &word),
                     -EINVAL);
    assert_int_equal(
        vmem_region_get_page_bitmap(world.region, NULL, UNIT, NULL), -EINVAL);
    /* The whole region, of which such a page is no part. */
    assert_int_equal(vmem_region_get_page_bitmap(world.region, NULL,
                                                 2 * NR_UNITS * UNIT, &word),
                     -EINVAL);
    /* An empty window is none of these, and has no word either. */
    assert_int_equal(
        vmem_region_get_page_bitmap(world.region, &nothing, UNIT, &word), 0);
    assert_int_equal(
        vmem_source_get_page_bitmap(world.sources[0], &nothing, UNIT, &word),
        0);
    assert_true(word == UNTOUCHED);
    close_world(&world);
}

static void the_largest_region_has_pages_at_its_end(void **state)
{
    const uint64_t page_size = UINT64_C(1) << 40;
    const struct vmem_range last = { UINT64_MAX - 2 * page_size + 1,
                                     page_size };
    uint64_t word = UNTOUCHED;
    struct vmem_region *region;
    struct world world;

    (void)state;
    open_world(&world);
    region = add_region(world.vm, "large", UINT64_MAX);
    assert_int_equal(
        vmem_region_get_page_bitmap(region, &last, page_size, &word), 0);
    assert_true(word == 1);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    close_world(&world);
}

/* What a callback of one region finds out about it and about another. */
struct looker {
    struct vmem_region *own;
    struct vmem_region *other;
    const struct vmem_source *own_source;
    const struct vmem_source *other_source;
    uint64_t own_words[2]; /* of the region, of the source */
    uint64_t other_words[2];
    int own_codes[2];
    int other_codes[2];
};

static int look(const struct vmem_range *range, void *opaque)
{
    struct looker *looker = opaque;
    const struct vmem_range window = { 0, 64 * UNIT };

    (void)range;
    looker->own_codes[0] = vmem_region_get_page_bitmap(
        looker->own, &window, UNIT, &looker->own_words[0]);
    looker->other_codes[0] = vmem_region_get_page_bitmap(
        looker->other, &window, UNIT, &looker->other_words[0]);
    looker->own_codes[1] = vmem_source_get_page_bitmap(
        looker->own_source, &window, UNIT, &looker->own_words[1]);
    looker->other_codes[1] = vmem_source_get_page_bitmap(
        looker->other_source, &window, UNIT, &looker->other_words[1]);
    return 0;
}

static void a_callback_may_expand_its_own_and_other_regions(void **state)
{
    const struct vmem_range four = { 0, 4 * UNIT };
    struct vmem_source_config config = { .struct_size = sizeof(config),
                                         .name = "other",
                                         .block_size = UNIT };
    struct vmem_source *source;
    struct looker looker = { 0 };
    struct world world;

    (void)state;
    open_world(&world);
    add_source(&world, 2 * UNIT);
    populate(&world, 0, 1, 1);
    looker.own = world.region;
    looker.other = add_region(world.vm, "other", NR_UNITS * UNIT);
    assert_int_equal(vmem_source_add(looker.other, &config, &source, NULL), 0);
    assert_int_equal(vmem_source_populate(source, &four, NULL), 0);
    looker.own_source = world.sources[0];
    looker.other_source = source;
    assert_int_equal(
        vmem_region_for_each_populated(world.region, NULL, look, &looker), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(looker.own_codes[i], 0);
        assert_true(looker.own_words[i] == 0xc);
        assert_int_equal(looker.other_codes[i], 0);
        assert_true(looker.other_words[i] == 0xf);
    }
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(vmem_region_free(looker.other, NULL), 0);
    close_world(&world);
}

/* ---- pages smaller than blocks, chunk by chunk ---- */

#define NR_BLOCKS ((uint64_t)333)

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *seed >> 16;
}

/* 64 blocks: each of what there is a way of its own for. */
static uint64_t make_chunk(uint64_t *seed)
{
    switch (next_random(seed) % 6) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return UINT64_C(0x5555555555555555) << next_random(seed) % 2;
    case 3:
        return UINT64_C(1) << next_random(seed) % 64;
    case 4:
        return UINT64_MAX << next_random(seed) % 64;
    default:
        return next_random(seed) << 32 ^ next_random(seed);
    }
}

static void compare_blocks(struct vmem_region *region, const bool *is_set,
                           unsigned shift, uint64_t first, uint64_t nr)
{
    const struct vmem_range window = { (first << shift) * UNIT,
                                       (nr << shift) * UNIT };
    const uint64_t nr_words = ((nr << shift) + 63) / 64;
    uint64_t *words = g_new(uint64_t, nr_words + 1);

    for (uint64_t i = 0; i <= nr_words; i++) {
        words[i] = UNTOUCHED;
    }
    assert_int_equal(vmem_region_get_page_bitmap(region, &window, UNIT, words),
                     0);
    for (uint64_t page = 0; page < nr_words * 64; page++) {
        const bool expected =
            page < nr << shift && is_set[first + (page >> shift)];

        if ((words[page / 64] >> page % 64 & 1) != expected) {
            fail_msg("%u pages a block, blocks %llu to %llu: page %llu",
                     1u << shift, (unsigned long long)first,
                     (unsigned long long)(first + nr),
                     (unsigned long long)page);
        }
    }
    assert_int_equal(words[nr_words], UNTOUCHED);
    g_free(words);
}

static void blocks_of_many_pages_become_as_many_bits(void **state)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "vm" };
    uint64_t seed = 1;

    (void)state;
    for (unsigned round = 0; round < 12 * 20; round++) {
        const unsigned shift = 1 + round % 12;
        const uint64_t block_size = UNIT << shift;
        const struct vmem_source_config source_config = {
            .struct_size = sizeof(source_config),
            .name = "source",
            .block_size = block_size,
        };
        bool is_set[NR_BLOCKS] = { false };
        struct vmem_region *region;
        struct vmem_source *source;
        struct vmem_vm *vm;
        uint64_t chunk = 0;

        assert_int_equal(vmem_vm_new(&config, &vm, NULL), 0);
        region = add_region(vm, "blocks", NR_BLOCKS * block_size);
        assert_int_equal(vmem_source_add(region, &source_config, &source, NULL),
                         0);
        for (uint64_t i = 0; i < NR_BLOCKS; i++) {
            const struct vmem_range block = { i * block_size, block_size };

            /* The same for a while, too. */
            if (i % 64 == 0 && (i == 0 || next_random(&seed) % 3 != 0)) {
                chunk = make_chunk(&seed);
            }
            is_set[i] = (chunk >> i % 64 & 1) != 0;
            if (is_set[i]) {
                assert_int_equal(vmem_source_populate(source, &block, NULL), 0);
            }
        }
        compare_blocks(region, is_set, shift, 0, NR_BLOCKS);
        for (unsigned i = 0; i < 4; i++) {
            const uint64_t first = next_random(&seed) % NR_BLOCKS;
            const uint64_t nr = 1 + next_random(&seed) % (NR_BLOCKS - first);

            compare_blocks(region, is_set, shift, first, nr);
        }
        assert_int_equal(vmem_source_remove(source, NULL), 0);
        assert_int_equal(vmem_region_free(region, NULL), 0);
        assert_int_equal(vmem_vm_free(vm, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_size_agrees_with_asking_for_each_page),
        cmocka_unit_test(full_and_empty_regions_are_all_ones_and_zeros),
        cmocka_unit_test(alternating_blocks_alternate_in_the_pages),
        cmocka_unit_test(blocks_of_many_pages_become_as_many_bits),
        cmocka_unit_test(a_page_larger_than_a_block_needs_all_of_its_blocks),
        cmocka_unit_test(a_refused_call_writes_nothing),
        cmocka_unit_test(the_largest_region_has_pages_at_its_end),
        cmocka_unit_test(a_callback_may_expand_its_own_and_other_regions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
