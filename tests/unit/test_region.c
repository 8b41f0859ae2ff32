/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/world.h"

#define UNIT ((uint64_t)4096)

static struct vmem_vm *new_vm(void)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "vm" };
    struct vmem_vm *vm = NULL;

    assert_int_equal(vmem_vm_new(&config, &vm, NULL), 0);
    return vm;
}

/* ---- making and freeing ---- */

static void a_region_without_sources_is_fully_populated(void **state)
{
    const struct vmem_range all = { 0, 64 * UNIT };
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct world world;

    (void)state;
    world_open(&world, 64 * UNIT, UNIT, 0);
    assert_int_equal(vmem_region_get_info(world.region, &info), 0);
    assert_string_equal(info.name, "region");
    assert_true(info.size == 64 * UNIT);
    assert_true(info.populated_size == 64 * UNIT);
    assert_true(info.min_granularity == 64 * UNIT);
    assert_true(info.retained_size == 0);
    assert_true(info.nr_sources == 0 && info.nr_listeners == 0 &&
                info.nr_freezers == 0);
    assert_true(vmem_region_is_populated(world.region, &all));
    assert_string_equal(world_populated_runs(&world), "[0,64)");
    assert_string_equal(vmem_region_get_name(world.region), "region");
    assert_true(vmem_region_get_size(world.region) == 64 * UNIT);
    assert_ptr_equal(vmem_region_get_backing(world.region),
                     world.memory.backing);
    world_expect(&world, "");
    world_close(&world);
}

static void a_region_needs_no_backing(void **state)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = 12345 };
    const struct vmem_range odd = { 12344, 1 };
    struct vmem_vm *vm = new_vm();
    struct vmem_region *region;

    (void)state;
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    assert_null(vmem_region_get_backing(region));
    assert_true(vmem_region_is_populated(region, &odd));
    assert_int_equal(vmem_region_retry_discards(region, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static void the_largest_region_works(void **state)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = UINT64_MAX };
    const struct vmem_range all = { 0, UINT64_MAX };
    const struct vmem_range wraps = { UINT64_MAX, 1 };
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct vmem_vm *vm = new_vm();
    struct vmem_region *region;

    (void)state;
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    assert_true(vmem_region_is_populated(region, &all));
    assert_false(vmem_region_is_populated(region, &wraps));
    assert_int_equal(vmem_region_get_info(region, &info), 0);
    assert_true(info.populated_size == UINT64_MAX);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static int count_range(const struct vmem_range *range, void *opaque)
{
    (void)range;
    ++*(unsigned int *)opaque;
    return 0;
}

static void an_empty_region_works(void **state)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r" };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "s",
        .block_size = 4096,
        .flags = VMEM_SOURCE_DISCARDS,
    };
    const struct vmem_range nothing = { 0, 0 };
    struct vmem_vm *vm = new_vm();
    struct vmem_region *region;
    struct vmem_source *source;
    struct recorder listener;
    unsigned int nr_runs = 0;

    (void)state;
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    recorder_init(&listener, "l", 0, 1, NULL);
    assert_int_equal(recorder_add(&listener, region, NULL), 0);
    assert_int_equal(vmem_source_add(region, &source_config, &source, NULL), 0);
    assert_int_equal(vmem_source_populate(source, &nothing, NULL), 0);
    assert_int_equal(vmem_source_discard(source, &nothing, NULL), 0);
    assert_true(vmem_region_is_populated(region, &nothing));
    assert_int_equal(
        vmem_region_for_each_populated(region, NULL, count_range, &nr_runs), 0);
    assert_int_equal(
        vmem_region_for_each_discarded(region, NULL, count_range, &nr_runs), 0);
    assert_int_equal(nr_runs, 0);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    assert_int_equal(listener.nr_populates + listener.nr_discards, 0);
    recorder_destroy(&listener);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static void bad_configs_are_refused_and_out_stays(void **state)
{
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .size = UNIT };
    struct vmem_region *const untouched = (struct vmem_region *)&config;
    struct vmem_region *region = untouched;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_vm *other_vm = new_vm();
    char longer[VMEM_NAME_MAX + 2];
    struct fake_backing foreign;
    struct world world;

    (void)state;
    world_open(&world, 2 * UNIT, UNIT, 0);
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(vmem_region_new(world.vm, NULL, &region, &err), -EINVAL);
    assert_int_equal(vmem_region_new(world.vm, &config, &region, &err),
                     -EINVAL);
    config.name = longer;
    assert_int_equal(vmem_region_new(world.vm, &config, &region, &err),
                     -ERANGE);
    config.name = "r";
    assert_int_equal(vmem_region_new(NULL, &config, &region, &err), -EINVAL);
    assert_int_equal(vmem_region_new(world.vm, &config, NULL, &err), -EINVAL);

    /* Another machine's memory. */
    fake_backing_init(&foreign, "foreign", UNIT, UNIT, NULL);
    assert_int_equal(fake_backing_make(&foreign, other_vm, NULL), 0);
    config.backing = foreign.backing;
    assert_int_equal(vmem_region_new(world.vm, &config, &region, &err),
                     -EINVAL);
    assert_non_null(strstr(err.message, "foreign"));
    /* Memory of another size. */
    config.size = UNIT / 2;
    assert_int_equal(vmem_region_new(other_vm, &config, &region, &err),
                     -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_MISMATCH);
    assert_ptr_equal(region, untouched);

    /* The refusals have not taken the backing. */
    config.size = UNIT;
    assert_int_equal(vmem_region_new(other_vm, &config, &region, &err), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_backing_free(foreign.backing, NULL), 0);
    fake_backing_destroy(&foreign);
    assert_int_equal(vmem_vm_free(other_vm, NULL), 0);
    world_close(&world);
}

static void size_0_takes_the_size_of_the_backing(void **state)
{
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "r" };
    struct vmem_vm *vm = new_vm();
    struct fake_backing memory;
    struct vmem_region *region;

    (void)state;
    fake_backing_init(&memory, "mem", 8 * UNIT, UNIT, NULL);
    assert_int_equal(fake_backing_make(&memory, vm, NULL), 0);
    config.backing = memory.backing;
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    assert_true(vmem_region_get_size(region) == 8 * UNIT);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_backing_free(memory.backing, NULL), 0);
    fake_backing_destroy(&memory);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static void a_region_without_a_name_has_that_of_its_backing(void **state)
{
    struct vmem_region_config config = { .struct_size = sizeof(config) };
    struct vmem_vm *vm = new_vm();
    struct vmem_region *region = NULL;
    struct fake_backing memory;

    (void)state;
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), -EINVAL);
    fake_backing_init(&memory, "mem", 8 * UNIT, UNIT, NULL);
    assert_int_equal(fake_backing_make(&memory, vm, NULL), 0);
    config.backing = memory.backing;
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    assert_string_equal(vmem_region_get_name(region), "mem");
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_backing_free(memory.backing, NULL), 0);
    fake_backing_destroy(&memory);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static void a_backing_serves_one_region_until_that_is_gone(void **state)
{
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "second" };
    const struct vmem_range all = { 0, 8 * UNIT };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_region *second;
    struct world world;

    (void)state;
    world_open(&world, 8 * UNIT, UNIT, 0);
    config.backing = world.memory.backing;
    assert_int_equal(vmem_region_new(world.vm, &config, &second, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_IN_USE);
    assert_non_null(strstr(err.message, "\"region\""));
    assert_int_equal(vmem_backing_free(world.memory.backing, &err), -EBUSY);
    assert_non_null(strstr(err.message, "\"region\""));
    assert_int_equal(vmem_backing_discard(world.memory.backing, &all, &err),
                     -EBUSY);
    assert_int_equal(vmem_backing_populate(world.memory.backing, &all, &err),
                     -EBUSY);
    world_expect(&world, "");

    assert_int_equal(vmem_region_free(world.region, NULL), 0);
    assert_int_equal(vmem_backing_discard(world.memory.backing, &all, &err), 0);
    assert_int_equal(vmem_backing_populate(world.memory.backing, &all, &err),
                     0);
    world_expect(&world, "mem-[0,8) mem+[0,8)");
    assert_int_equal(vmem_region_new(world.vm, &config, &second, &err), 0);
    world.region = second;
    world_close(&world);
}

/* I13. */
static void a_region_with_children_stays_and_names_them(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    world_open(&world, 8 * UNIT, UNIT, 0);
    source = world_add_source(&world, "some source", UNIT, 0);
    world_add_listener(&world, &listener, "some listener", units(&world, 0, 0),
                       0, 0);
    assert_int_equal(vmem_region_freeze(world.region, "some freezer", NULL), 0);
    assert_int_equal(vmem_region_free(world.region, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_IN_USE);
    assert_non_null(strstr(err.message, "some source"));
    assert_non_null(strstr(err.message, "some listener"));
    assert_non_null(strstr(err.message, "some freezer"));
    assert_int_equal(vmem_region_thaw(world.region, "some freezer", NULL), 0);
    assert_int_equal(vmem_region_free(world.region, &err), -EBUSY);
    assert_null(strstr(err.message, "some freezer"));
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(vmem_region_free(world.region, &err), -EBUSY);
    world_remove_listener(&world, &listener);
    world_close(&world);
}

/* ---- queries ---- */

/* Blocks of 4 units; populated are units [4,12) and [20,24). */
static struct vmem_source *populate_some(struct world *world)
{
    const struct vmem_range first = units(world, 4, 8);
    const struct vmem_range second = units(world, 20, 4);
    struct vmem_source *source =
        world_add_source(world, "s", 4 * world->unit, VMEM_SOURCE_DISCARDS);

    assert_int_equal(vmem_source_populate(source, &first, NULL), 0);
    assert_int_equal(vmem_source_populate(source, &second, NULL), 0);
    journal_take(&world->journal);
    return source;
}

static void any_alignment_may_be_asked_about(void **state)
{
    static const struct {
        struct vmem_range range;
        bool populated;
    } cases[] = {
        { { 4 * 16, 8 * 16 }, true },
        { { 4 * 16 - 1, 1 }, false },
        { { 4 * 16, 1 }, true },
        { { 12 * 16 - 1, 1 }, true },
        { { 12 * 16 - 1, 2 }, false },
        { { 4 * 16 + 3, 77 }, true },
        { { 0, 0 }, true },
        { { 0, 1 }, false },
        { { 32 * 16, 0 }, true },
        { { 32 * 16, 1 }, false },
        { { 32 * 16 + 1, 0 }, false },
        { { 5 * 16, UINT64_MAX }, false },
        { { UINT64_MAX, 1 }, false },
        { { 0, 32 * 16 }, false },
        { { 20 * 16, 4 * 16 }, true },
        { { 20 * 16, 4 * 16 + 1 }, false },
        { { 4 * 16, 20 * 16 }, false },
        { { 13, 0 }, true },
    };
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 32 * 16, 16, 0);
    source = populate_some(&world);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_int_equal(
            vmem_region_is_populated(world.region, &cases[i].range),
            cases[i].populated);
    }
    assert_false(vmem_region_is_populated(NULL, &cases[0].range));
    assert_false(vmem_region_is_populated(world.region, NULL));
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

static int add_range(const struct vmem_range *range, void *opaque)
{
    journal_add(opaque, "", '\0', range);
    return 0;
}

static int stop_at_second(const struct vmem_range *range, void *opaque)
{
    struct journal *journal = opaque;

    journal_add(journal, "", '\0', range);
    return journal->nr_events == 2 ? 77 : 0;
}

/* QEMU's B1 and B10: windows that do not start at 0, in blocks and in bytes. */
static void walks_are_cut_at_the_window(void **state)
{
    static const struct {
        struct vmem_range window;
        const char *populated;
        const char *discarded;
    } cases[] = {
        { { 0, 32 }, "[4,12) [20,24)", "[0,4) [12,20) [24,32)" },
        { { 5, 27 }, "[5,12) [20,24)", "[12,20) [24,32)" },
        { { 5, 6 }, "[5,11)", "" },
        { { 7, 15 }, "[7,12) [20,22)", "[12,20)" },
        { { 13, 3 }, "", "[13,16)" },
        { { 0, 5 }, "[4,5)", "[0,4)" },
        { { 23, 2 }, "[23,24)", "[24,25)" },
        { { 24, 0 }, "", "" },
        { { 32, 0 }, "", "" },
        { { 31, 1 }, "", "[31,32)" },
    };
    struct vmem_source *source;
    struct journal journal;
    struct world world;

    (void)state;
    world_open(&world, 32 * UNIT, UNIT, 0);
    journal_init(&journal, UNIT);
    source = populate_some(&world);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct vmem_range window =
            units(&world, cases[i].window.offset, cases[i].window.size);

        assert_int_equal(vmem_region_for_each_populated(world.region, &window,
                                                        add_range, &journal),
                         0);
        assert_string_equal(journal_take(&journal), cases[i].populated);
        assert_int_equal(vmem_region_for_each_discarded(world.region, &window,
                                                        add_range, &journal),
                         0);
        assert_string_equal(journal_take(&journal), cases[i].discarded);
    }
    journal_destroy(&journal);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

static void walks_may_start_and_end_inside_a_block(void **state)
{
    const struct vmem_range window = { 4 * UNIT + 1, 17 * UNIT };
    struct vmem_source *source;
    struct journal journal;
    struct world world;

    (void)state;
    world_open(&world, 32 * UNIT, UNIT, 0);
    journal_init(&journal, 1);
    source = populate_some(&world);
    vmem_region_for_each_populated(world.region, &window, add_range, &journal);
    assert_string_equal(journal_take(&journal), "[16385,49152) [81920,86017)");
    vmem_region_for_each_discarded(world.region, &window, add_range, &journal);
    assert_string_equal(journal_take(&journal), "[49152,81920)");
    journal_destroy(&journal);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

/* The end of a run is looked for further and further ahead: no place may be
 * skipped in between. */
static void runs_of_two_sources_end_at_any_byte(void **state)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = 4096 };
    const struct vmem_source_config configs[] = {
        { sizeof(configs[0]), "a", 1, VMEM_SOURCE_POPULATED },
        { sizeof(configs[0]), "b", 1, VMEM_SOURCE_POPULATED },
    };
    struct vmem_vm *vm = new_vm();
    struct vmem_source *sources[2];
    struct vmem_region *region;
    struct journal journal;

    (void)state;
    journal_init(&journal, 1);
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(
            vmem_source_add(region, &configs[i], &sources[i], NULL), 0);
    }
    for (unsigned int pos = 1; pos < 4095; pos++) {
        const struct vmem_range byte = { pos, 1 };
        char expected[64];

        snprintf(expected, sizeof(expected), "[0,%u) [%u,4096)", pos, pos + 1);
        assert_int_equal(vmem_source_discard(sources[pos % 2], &byte, NULL), 0);
        assert_int_equal(
            vmem_region_for_each_populated(region, NULL, add_range, &journal),
            0);
        assert_string_equal(journal_take(&journal), expected);
        assert_int_equal(vmem_source_populate(sources[pos % 2], &byte, NULL),
                         0);
    }
    journal_destroy(&journal);
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(vmem_source_remove(sources[i], NULL), 0);
    }
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static void a_walk_stops_at_the_first_answer(void **state)
{
    struct vmem_source *source;
    struct journal journal;
    struct world world;

    (void)state;
    world_open(&world, 32 * UNIT, UNIT, 0);
    journal_init(&journal, UNIT);
    source = populate_some(&world);
    assert_int_equal(vmem_region_for_each_discarded(world.region, NULL,
                                                    stop_at_second, &journal),
                     77);
    assert_string_equal(journal_take(&journal), "[0,4) [12,20)");
    journal.nr_events = 1;
    assert_int_equal(vmem_region_for_each_populated(world.region, NULL,
                                                    stop_at_second, &journal),
                     77);
    assert_string_equal(journal_take(&journal), "[4,12)");
    journal_destroy(&journal);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

static void walks_check_their_arguments(void **state)
{
    const struct vmem_range outside = { 0, 8 * UNIT + 1 };
    const struct vmem_range wraps = { 8 * UNIT, UINT64_MAX };
    struct journal journal;
    struct world world;
    int (*const walks[])(struct vmem_region *, const struct vmem_range *,
                         vmem_range_fn, void *) = {
        vmem_region_for_each_populated,
        vmem_region_for_each_discarded,
    };

    (void)state;
    world_open(&world, 8 * UNIT, UNIT, 0);
    journal_init(&journal, UNIT);
    for (size_t i = 0; i < G_N_ELEMENTS(walks); i++) {
        assert_int_equal(walks[i](NULL, NULL, add_range, &journal), -EINVAL);
        assert_int_equal(walks[i](world.region, NULL, NULL, &journal), -EINVAL);
        assert_int_equal(walks[i](world.region, &outside, add_range, &journal),
                         -ERANGE);
        assert_int_equal(walks[i](world.region, &wraps, add_range, &journal),
                         -EOVERFLOW);
    }
    assert_string_equal(journal_take(&journal), "");
    journal_destroy(&journal);
    world_close(&world);
}

static int return_99(const struct vmem_range *range, void *opaque)
{
    *(struct vmem_range *)opaque = *range;
    return 99;
}

static void with_populated_runs_only_on_populated_memory(void **state)
{
    static const struct {
        struct vmem_range range;
        int code;
        struct vmem_range hole;
    } cases[] = {
        { { 4, 8 }, 99, { 0, 0 } },       { { 5, 2 }, 99, { 0, 0 } },
        { { 3, 2 }, -ENXIO, { 3, 1 } },   { { 4, 9 }, -ENXIO, { 12, 1 } },
        { { 5, 17 }, -ENXIO, { 12, 8 } }, { { 0, 32 }, -ENXIO, { 0, 4 } },
        { { 13, 2 }, -ENXIO, { 13, 2 } }, { { 22, 10 }, -ENXIO, { 24, 8 } },
        { { 20, 4 }, 99, { 0, 0 } },
    };
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 32 * UNIT, UNIT, 0);
    source = populate_some(&world);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct vmem_range range =
            units(&world, cases[i].range.offset, cases[i].range.size);
        struct vmem_error err = VMEM_ERROR_INIT;
        struct vmem_range seen = { 1, 1 };

        assert_int_equal(vmem_region_with_populated(world.region, &range,
                                                    return_99, &seen, &err),
                         cases[i].code);
        if (cases[i].code == 99) {
            assert_true(seen.offset == range.offset && seen.size == range.size);
            assert_int_equal(err.code, 0);
            continue;
        }
        assert_true(seen.offset == 1);
        assert_int_equal(err.reason, VMEM_REASON_NOT_POPULATED);
        assert_true(err.range.offset == cases[i].hole.offset * UNIT);
        assert_true(err.range.size == cases[i].hole.size * UNIT);
    }
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

static void with_populated_checks_its_arguments(void **state)
{
    const struct vmem_range some = { 0, UNIT };
    const struct vmem_range empty = { 0, 0 };
    const struct vmem_range outside = { 8 * UNIT, 1 };
    const struct vmem_range wraps = { 1, UINT64_MAX };
    struct vmem_range seen = { 0, 0 };
    struct world world;

    (void)state;
    world_open(&world, 8 * UNIT, UNIT, 0);
    assert_int_equal(
        vmem_region_with_populated(NULL, &some, return_99, &seen, NULL),
        -EINVAL);
    assert_int_equal(
        vmem_region_with_populated(world.region, NULL, return_99, &seen, NULL),
        -EINVAL);
    assert_int_equal(
        vmem_region_with_populated(world.region, &some, NULL, &seen, NULL),
        -EINVAL);
    assert_int_equal(vmem_region_with_populated(world.region, &empty, return_99,
                                                &seen, NULL),
                     -EINVAL);
    assert_int_equal(vmem_region_with_populated(world.region, &outside,
                                                return_99, &seen, NULL),
                     -ERANGE);
    assert_int_equal(vmem_region_with_populated(world.region, &wraps, return_99,
                                                &seen, NULL),
                     -EOVERFLOW);
    assert_true(seen.size == 0);
    world_close(&world);
}

/* ---- counters ---- */

static void the_counters_count(void **state)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    const struct vmem_range all = { 0, 8 * UNIT };
    struct recorder first;
    struct recorder second;
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 8 * UNIT, UNIT, 0);
    source = world_add_source(&world, "s", UNIT, VMEM_SOURCE_DISCARDS);
    world_add_listener(&world, &first, "a", units(&world, 0, 0), UNIT, 0);
    world_add_listener(&world, &second, "b", units(&world, 0, 0), 0, 0);
    assert_int_equal(vmem_source_populate(source, &all, NULL), 0);
    assert_int_equal(vmem_source_discard(source, &all, NULL), 0);
    vmem_region_get_info(world.region, &info);
    assert_int_equal(info.nr_populate_calls, 8 + 1);
    assert_int_equal(info.nr_discard_calls, 1 + 1);
    assert_int_equal(info.nr_vetoes, 0);
    assert_int_equal(info.nr_rollbacks, 0);
    second.veto_at = second.nr_populates;
    assert_int_equal(vmem_source_populate(source, &all, NULL), -ENOSPC);
    vmem_region_get_info(world.region, &info);
    assert_int_equal(info.nr_populate_calls, 18);
    assert_int_equal(info.nr_discard_calls, 3);
    assert_int_equal(info.nr_vetoes, 1);
    assert_int_equal(info.nr_rollbacks, 1);
    assert_int_equal(info.nr_sources, 1);
    assert_int_equal(info.nr_listeners, 2);
    assert_true(info.min_granularity == UNIT);
    world_remove_listener(&world, &first);
    world_remove_listener(&world, &second);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_region_without_sources_is_fully_populated),
        cmocka_unit_test(a_region_needs_no_backing),
        cmocka_unit_test(the_largest_region_works),
        cmocka_unit_test(an_empty_region_works),
        cmocka_unit_test(bad_configs_are_refused_and_out_stays),
        cmocka_unit_test(size_0_takes_the_size_of_the_backing),
        cmocka_unit_test(a_region_without_a_name_has_that_of_its_backing),
        cmocka_unit_test(a_backing_serves_one_region_until_that_is_gone),
        cmocka_unit_test(a_region_with_children_stays_and_names_them),
        cmocka_unit_test(any_alignment_may_be_asked_about),
        cmocka_unit_test(walks_are_cut_at_the_window),
        cmocka_unit_test(walks_may_start_and_end_inside_a_block),
        cmocka_unit_test(runs_of_two_sources_end_at_any_byte),
        cmocka_unit_test(a_walk_stops_at_the_first_answer),
        cmocka_unit_test(walks_check_their_arguments),
        cmocka_unit_test(with_populated_runs_only_on_populated_memory),
        cmocka_unit_test(with_populated_checks_its_arguments),
        cmocka_unit_test(the_counters_count),
    };

    return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
