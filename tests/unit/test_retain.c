/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that is unplugged but could not be given back (I6). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/backing.h"
#include "support/quiet.h"
#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define ALL ((struct vmem_range){ 0, 0 })
#define DISCARDS VMEM_SOURCE_DISCARDS
#define POPULATED VMEM_SOURCE_POPULATED
#define EVER UINT64_MAX

static void fail_discards(struct world *world)
{
    fake_calls_fail(&world->memory.discards, 0, EVER, -EIO);
}

static void let_discards_succeed(struct world *world)
{
    fake_calls_succeed(&world->memory.discards);
}

/* 16 dirty units, all populated by a source that discards; journal empty. */
static struct vmem_source *open_dirty(struct world *world, uint64_t block_units)
{
    const struct vmem_range all = { 0, 16 * UNIT };
    struct vmem_source *source;

    world_open(world, 16 * UNIT, UNIT, 0);
    fake_backing_write(&world->memory, &all);
    source =
        world_add_source(world, "s", block_units * UNIT, DISCARDS | POPULATED);
    journal_take(&world->journal);
    return source;
}

static uint64_t retained_units(struct vmem_source *source)
{
    struct vmem_source_info info = { .struct_size = sizeof(info) };

    assert_int_equal(vmem_source_get_info(source, &info), 0);
    return info.retained_size / UNIT;
}

/* The source goes with whatever it still retains given back. */
static void close_world(struct world *world, struct vmem_source *source)
{
    let_discards_succeed(world);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(world);
}

/* ---- being retained ---- */

/* B48: a discard that fails is no failure of the unplug. */
static void what_cannot_be_given_back_is_retained_and_counted(void **state)
{
    struct vmem_source *source;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 4, 2), 0);
    world_expect(&world, "mem/[4,6)");
    assert_string_equal(world_populated_runs(&world), "[0,4) [6,16)");
    assert_int_equal(retained_units(source), 2);
    assert_true(world_retained(&world) == 2 * UNIT);
    assert_int_equal(world_unplug(&world, source, 8, 1), 0);
    assert_int_equal(retained_units(source), 3);
    close_world(&world, source);
}

/* B49: through the log, with the blame, rate-limited. */
static void being_retained_is_logged_at_a_limited_rate(void **state)
{
    struct vmem_source *source;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    fail_discards(&world);
    for (unsigned int i = 0; i < 10; i++) {
        assert_int_equal(world_unplug(&world, source, i, 1), 0);
    }
    assert_int_equal(world.nr_logs, VMEM_LOG_BURST);
    assert_int_equal(world.last_log.level, VMEM_LOG_WARNING);
    assert_int_equal(world.last_log.blame, VMEM_BLAME_OS);
    assert_int_equal(world.last_log.code, VMEM_LOG_CODE_RETAINED);
    assert_string_equal(world.last_log.object, "region");
    close_world(&world, source);
}

static void only_the_runs_that_fail_are_retained(void **state)
{
    struct vmem_source *source;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    assert_int_equal(world_unplug(&world, source, 4, 1), 0);
    assert_int_equal(world_unplug(&world, source, 8, 1), 0);
    journal_take(&world.journal);
    fake_calls_fail(&world.memory.discards, 1, 1, -EIO);
    assert_int_equal(world_unplug(&world, source, 2, 10), 0);
    world_expect(&world, "mem-[2,4) mem/[5,8) mem-[9,12)");
    assert_int_equal(retained_units(source), 3);
    close_world(&world, source);
}

static void unplugging_again_tries_again(void **state)
{
    struct vmem_source *source;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 4, 2), 0);
    let_discards_succeed(&world);
    journal_take(&world.journal);
    assert_int_equal(world_unplug(&world, source, 5, 1), 0);
    world_expect(&world, "mem-[5,6)");
    assert_int_equal(retained_units(source), 1);
    assert_int_equal(world_unplug(&world, source, 0, 8), 0);
    world_expect(&world, "mem-[0,5) mem-[6,8)");
    assert_int_equal(retained_units(source), 0);
    close_world(&world, source);
}

/* A backing that says how far it got. */
static uint64_t discard_done;

static int discard_partly(struct vmem_backing *backing,
                          const struct vmem_range *range, uint64_t *done)
{
    (void)backing;
    *done = discard_done;
    return discard_done >= range->size ? 0 : -EIO;
}

static int populate_nothing(struct vmem_backing *backing,
                            const struct vmem_range *range)
{
    (void)backing;
    (void)range;
    return 0;
}

static void describe_nothing(const struct vmem_backing *backing,
                             struct vmem_backing_info *info)
{
    (void)backing;
    info->kind = VMEM_BACKING_CUSTOM;
}

static void destroy_nothing(void *impl)
{
    (void)impl;
}

static void a_block_of_which_a_part_is_left_is_retained_whole(void **state)
{
    static const struct vmemi_backing_ops ops = {
        .discard = discard_partly,
        .populate = populate_nothing,
        .zero = populate_nothing,
        .describe = describe_nothing,
        .destroy = destroy_nothing,
    };
    static const struct {
        uint64_t done;
        uint64_t retained_blocks;
    } cases[] = {
        { 0, 4 },
        { 1, 4 },
        { 2 * UNIT - 1, 4 },
        { 2 * UNIT, 3 },
        { 2 * UNIT + 1, 3 },
        { 5 * UNIT, 2 },
        { 7 * UNIT, 1 },
        { 8 * UNIT - 1, 1 },
        { 8 * UNIT, 0 },
        { UINT64_MAX, 0 },
    };
    const struct vmemi_backing_traits traits = {
        .name = "partly",
        .size = 16 * UNIT,
        .page_size = UNIT,
        .default_block_size = UNIT,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "r",
    };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "s",
        .block_size = 2 * UNIT,
        .flags = DISCARDS | POPULATED,
    };
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_source *source;
    struct vmem_range range;
    struct world world;

    (void)state;
    world_open(&world, UNIT, UNIT, 0);
    assert_int_equal(
        vmemi_backing_new(world.vm, &traits, &ops, NULL, &backing, NULL), 0);
    region_config.backing = backing;
    assert_int_equal(vmem_region_new(world.vm, &region_config, &region, NULL),
                     0);
    assert_int_equal(vmem_source_add(region, &source_config, &source, NULL), 0);
    range = (struct vmem_range){ 4 * UNIT, 8 * UNIT };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        discard_done = cases[i].done;
        assert_int_equal(vmem_source_discard(source, &range, NULL), 0);
        assert_int_equal(retained_units(source), 2 * cases[i].retained_blocks);
        if (cases[i].retained_blocks > 0) {
            /* What stays is at the end. */
            discard_done = 0;
            assert_int_equal(vmem_region_retry_discards(region, &err), -EIO);
            assert_true(err.range.size == cases[i].retained_blocks * 2 * UNIT);
            assert_true(err.range.offset + err.range.size == 12 * UNIT);
        }
        discard_done = UINT64_MAX;
        assert_int_equal(vmem_source_populate(source, &range, NULL), 0);
        assert_int_equal(retained_units(source), 0);
    }
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
    world_close(&world);
}

static void a_new_source_retains_what_it_cannot_give_back(void **state)
{
    const struct vmem_range all = { 0, 16 * UNIT };
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    fake_backing_write(&world.memory, &all);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    journal_take(&world.journal);
    fail_discards(&world);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_expect(&world, "l-[0,16) mem/[0,16)");
    assert_int_equal(retained_units(source), 16);
    let_discards_succeed(&world);
    assert_int_equal(world_plug(&world, source, 4, 4), 0);
    world_expect(&world, "mem-[4,8) l+[4,8)");
    assert_int_equal(retained_units(source), 12);
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

static void undoing_a_plug_can_retain_too(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    journal_take(&world.journal);
    listener.veto_at = 0;
    fail_discards(&world);
    assert_int_equal(world_plug(&world, source, 2, 2), -ENOSPC);
    world_expect(&world, "mem+[2,4) l![2,4) mem/[2,4)");
    assert_int_equal(retained_units(source), 2);
    assert_string_equal(world_populated_runs(&world), "");
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

/* ---- trying again ---- */

static void retrying_gives_back_run_by_run(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    assert_int_equal(vmem_region_retry_discards(world.region, &err), 0);
    world_expect(&world, "");
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 2, 2), 0);
    assert_int_equal(world_unplug(&world, source, 6, 1), 0);
    assert_int_equal(world_unplug(&world, source, 9, 3), 0);
    journal_take(&world.journal);

    /* The first failure is reported, and the rest is tried as well. */
    fake_calls_fail(&world.memory.discards, 1, 1, -ENXIO);
    assert_int_equal(vmem_region_retry_discards(world.region, &err), -ENXIO);
    world_expect(&world, "mem-[2,4) mem/[6,7) mem-[9,12)");
    assert_int_equal(err.code, -ENXIO);
    assert_int_equal(err.reason, VMEM_REASON_DISCARD_FAILED);
    assert_true(err.range.offset == 6 * UNIT && err.range.size == UNIT);
    assert_int_equal(retained_units(source), 1);

    let_discards_succeed(&world);
    assert_int_equal(vmem_region_retry_discards(world.region, &err), 0);
    world_expect(&world, "mem-[6,7)");
    assert_int_equal(retained_units(source), 0);
    assert_int_equal(vmem_region_retry_discards(NULL, &err), -EINVAL);
    close_world(&world, source);
}

static void nothing_is_retried_while_frozen(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 2, 2), 0);
    let_discards_succeed(&world);
    journal_take(&world.journal);
    assert_int_equal(vmem_region_freeze(world.region, "migration", NULL), 0);
    assert_int_equal(vmem_region_retry_discards(world.region, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_FROZEN);
    assert_non_null(strstr(err.message, "migration"));
    world_expect(&world, "");
    assert_int_equal(vmem_region_thaw(world.region, "migration", NULL), 0);
    close_world(&world, source);
}

/* ---- plugging it again ---- */

static void a_plug_tries_the_discard_again_before_anybody_hears(void **state)
{
    const struct vmem_range some = { 2 * UNIT, 6 * UNIT };
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    assert_int_equal(world_unplug(&world, source, 2, 2), 0);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 4, 1), 0);
    assert_int_equal(world_unplug(&world, source, 6, 2), 0);
    let_discards_succeed(&world);
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, source, 2, 6), 0);
    world_expect(&world, "mem-[4,5) mem-[6,8) l+[2,5) l+[6,8)");
    assert_int_equal(retained_units(source), 0);
    assert_false(fake_backing_holds(
        &world.memory, &(struct vmem_range){ some.offset, 3 * UNIT },
        FAKE_DIRTY));
    assert_false(fake_backing_holds(
        &world.memory, &(struct vmem_range){ 6 * UNIT, 2 * UNIT }, FAKE_DIRTY));
    /* What was plugged all the time has kept its contents. */
    assert_true(fake_backing_holds(
        &world.memory, &(struct vmem_range){ 5 * UNIT, UNIT }, FAKE_DIRTY));
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

static void what_still_cannot_be_discarded_is_zeroed_to_be_plugged(void **state)
{
    const struct vmem_range some = { 4 * UNIT, 4 * UNIT };
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, source, 4, 4), 0);
    world_expect(&world, "mem/[4,8) mem0[4,8) l+[4,8)");
    assert_int_equal(retained_units(source), 0);
    assert_false(fake_backing_holds(&world.memory, &some, FAKE_DIRTY));
    assert_int_equal(world.last_log.code, VMEM_LOG_CODE_ZEROED);
    assert_int_equal(world.last_log.level, VMEM_LOG_INFO);
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

static void what_cannot_be_zeroed_either_is_not_plugged(void **state)
{
    const struct vmem_range some = { 4 * UNIT, 4 * UNIT };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    journal_take(&world.journal);
    fake_calls_fail(&world.memory.zeros, 0, EVER, -EFAULT);
    assert_int_equal(vmem_source_populate(source, &some, &err), -EFAULT);
    assert_int_equal(err.reason, VMEM_REASON_DISCARD_FAILED);
    world_expect(&world, "mem/[4,8) memz[4,8)");
    assert_int_equal(retained_units(source), 4);
    assert_string_equal(world_populated_runs(&world), "[0,4) [8,16)");
    let_discards_succeed(&world);
    assert_int_equal(vmem_source_populate(source, &some, &err), 0);
    world_expect(&world, "mem-[4,8) l+[4,8)");
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

static void without_a_zero_callback_a_stuck_block_is_not_plugged(void **state)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm",
                                              .log = quiet_log };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "s",
        .block_size = UNIT,
        .flags = DISCARDS | POPULATED,
    };
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "r" };
    const struct vmem_range all = { 0, 16 * UNIT };
    struct fake_backing memory;
    struct vmem_region *region;
    struct vmem_source *source;
    struct vmem_vm *vm;

    (void)state;
    assert_int_equal(vmem_vm_new(&vm_config, &vm, NULL), 0);
    fake_backing_init(&memory, "mem", 16 * UNIT, UNIT, NULL);
    memory.no_zero = true;
    assert_int_equal(fake_backing_make(&memory, vm, NULL), 0);
    config.backing = memory.backing;
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    assert_int_equal(vmem_source_add(region, &source_config, &source, NULL), 0);
    fake_calls_fail(&memory.discards, 0, 2, -EIO);
    assert_int_equal(vmem_source_discard(source, &all, NULL), 0);
    assert_int_equal(vmem_source_populate(source, &all, NULL), -ENOTSUP);
    assert_int_equal(vmem_source_populate(source, &all, NULL), 0);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_backing_free(memory.backing, NULL), 0);
    fake_backing_destroy(&memory);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static void a_veto_leaves_a_zeroed_block_retained(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    listener.nr_populates = 0;
    listener.veto_at = 0;
    assert_int_equal(world_plug(&world, source, 4, 4), -ENOSPC);
    assert_int_equal(retained_units(source), 4);
    let_discards_succeed(&world);
    assert_int_equal(vmem_region_retry_discards(world.region, NULL), 0);
    assert_int_equal(retained_units(source), 0);
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

/* ---- reset ---- */

static void a_system_reset_tries_again(void **state)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "d",
                                               .block_size = UNIT };
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device *device;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    fail_discards(&world);
    assert_int_equal(
        vmem_device_new(world.region, &config, NULL, NULL, &device, NULL), 0);
    vmem_device_get_info(device, &info);
    assert_true(info.retained_size == 16 * UNIT);
    journal_take(&world.journal);
    assert_int_equal(vmem_device_reset(device, VMEM_RESET_DRIVER, NULL), 0);
    assert_int_equal(vmem_device_reset(device, VMEM_RESET_WAKEUP, NULL), 0);
    world_expect(&world, "");
    let_discards_succeed(&world);
    assert_int_equal(vmem_device_reset(device, VMEM_RESET_SYSTEM, NULL), 0);
    world_expect(&world, "mem-[0,16)");
    vmem_device_get_info(device, &info);
    assert_true(info.retained_size == 0);
    assert_int_equal(vmem_device_free(device, NULL), 0);
    world_close(&world);
}

/* ---- several sources ---- */

static void memory_that_two_sources_retain_counts_once(void **state)
{
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    a = open_dirty(&world, 1);
    b = world_add_source(&world, "b", 4 * UNIT, DISCARDS | POPULATED);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, a, 2, 4), 0);
    assert_int_equal(world_unplug(&world, b, 4, 4), 0);
    assert_int_equal(retained_units(a), 4);
    assert_int_equal(retained_units(b), 4);
    assert_true(world_retained(&world) == 6 * UNIT);
    let_discards_succeed(&world);
    assert_int_equal(vmem_region_retry_discards(world.region, NULL), 0);
    assert_true(world_retained(&world) == 0);
    assert_int_equal(vmem_source_remove(b, NULL), 0);
    close_world(&world, a);
}

/* What one source gave back is back for the others as well. */
static void memory_that_is_back_is_retained_by_nobody(void **state)
{
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    a = open_dirty(&world, 1);
    b = world_add_source(&world, "b", 4 * UNIT, DISCARDS | POPULATED);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, a, 2, 6), 0);
    let_discards_succeed(&world);
    assert_int_equal(world_unplug(&world, b, 4, 4), 0);
    assert_true(fake_backing_resident(&world.memory) == 12 * UNIT);
    assert_int_equal(retained_units(a), 2);
    assert_true(world_retained(&world) == 2 * UNIT);
    assert_int_equal(vmem_source_remove(b, NULL), 0);
    close_world(&world, a);
}

/* A coarse block of which only a part is back stays retained. */
static void a_part_that_is_back_does_not_free_the_whole_block(void **state)
{
    struct vmem_source *fine;
    struct vmem_source *coarse;
    struct world world;

    (void)state;
    fine = open_dirty(&world, 1);
    coarse = world_add_source(&world, "c", 4 * UNIT, DISCARDS | POPULATED);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, coarse, 4, 4), 0);
    let_discards_succeed(&world);
    assert_int_equal(world_unplug(&world, fine, 4, 3), 0);
    assert_int_equal(retained_units(coarse), 4);
    assert_true(world_retained(&world) == 4 * UNIT);
    assert_int_equal(vmem_source_remove(coarse, NULL), 0);
    close_world(&world, fine);
}

/* Zeroed memory is allocated, which a source that does not want it must know. */
static void zeroed_memory_is_retained_by_the_other_source(void **state)
{
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    a = open_dirty(&world, 1);
    b = world_add_source(&world, "b", 4 * UNIT, DISCARDS | POPULATED);
    assert_int_equal(world_unplug(&world, b, 4, 4), 0);
    fake_backing_touch(&world.memory, &(struct vmem_range){ 4 * UNIT, UNIT });
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, a, 4, 1), 0);
    assert_int_equal(retained_units(b), 0);
    assert_int_equal(world_plug(&world, a, 4, 1), 0);
    assert_int_equal(retained_units(a), 0);
    assert_int_equal(retained_units(b), 4);
    assert_true(world_retained(&world) == 4 * UNIT);
    let_discards_succeed(&world);
    assert_int_equal(vmem_region_retry_discards(world.region, NULL), 0);
    assert_true(world_retained(&world) == 0);
    assert_int_equal(vmem_source_remove(b, NULL), 0);
    close_world(&world, a);
}

/* I12. */
static void a_failed_plug_makes_no_other_source_retain(void **state)
{
    struct recorder listener;
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    a = open_dirty(&world, 1);
    b = world_add_source(&world, "b", 4 * UNIT, DISCARDS | POPULATED);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    assert_int_equal(world_unplug(&world, b, 4, 4), 0);
    fail_discards(&world);
    /* Unit 3 is told to the listener, unit 4 is not wanted by b. */
    assert_int_equal(world_unplug(&world, a, 3, 2), 0);
    listener.nr_populates = 0;
    listener.veto_at = 0;
    assert_int_equal(world_plug(&world, a, 3, 2), -ENOSPC);
    assert_int_equal(retained_units(a), 2);
    assert_int_equal(retained_units(b), 0);
    world_remove_listener(&world, &listener);
    assert_int_equal(vmem_source_remove(b, NULL), 0);
    close_world(&world, a);
}

static void a_source_that_leaves_hands_over_what_it_retains(void **state)
{
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    a = open_dirty(&world, 1);
    b = world_add_source(&world, "b", 4 * UNIT, DISCARDS | POPULATED);
    assert_int_equal(world_unplug(&world, b, 4, 4), 0);
    fake_backing_touch(&world.memory,
                       &(struct vmem_range){ 4 * UNIT, 4 * UNIT });
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, a, 4, 4), 0);
    assert_int_equal(retained_units(b), 0);
    assert_int_equal(vmem_source_remove(a, NULL), 0);
    assert_int_equal(retained_units(b), 4);
    assert_true(world_retained(&world) == 4 * UNIT);
    let_discards_succeed(&world);
    assert_int_equal(vmem_region_retry_discards(world.region, NULL), 0);
    assert_true(fake_backing_resident(&world.memory) == 12 * UNIT);
    close_world(&world, b);
}

/* I5: a listener that maps pages which are then given back holds pages that are
 * no longer the region's. The fake memory complains of it. */
static void a_source_that_leaves_gives_back_before_listeners_map(void **state)
{
    struct recorder listener;
    struct vmem_source *source;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    let_discards_succeed(&world);
    journal_take(&world.journal);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_expect(&world, "mem-[4,8) l+[4,8)");
    assert_false(fake_backing_holds(
        &world.memory, &(struct vmem_range){ 4 * UNIT, 4 * UNIT }, FAKE_DIRTY));
    world_remove_listener(&world, &listener);
    world_close(&world);
}

static void a_source_that_leaves_zeroes_what_stays(void **state)
{
    const struct vmem_range some = { 4 * UNIT, 4 * UNIT };
    struct recorder listener;
    struct vmem_source *source;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    journal_take(&world.journal);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_expect(&world, "mem/[4,8) mem0[4,8) l+[4,8)");
    assert_false(fake_backing_holds(&world.memory, &some, FAKE_DIRTY));
    world_remove_listener(&world, &listener);
    world_close(&world);
}

static void a_source_whose_memory_cannot_be_zeroed_stays(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct recorder listener;
    struct vmem_source *source;
    struct world world;

    (void)state;
    source = open_dirty(&world, 1);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    fake_calls_fail(&world.memory.zeros, 0, EVER, -EFAULT);
    journal_take(&world.journal);
    assert_int_equal(vmem_source_remove(source, &err), -EFAULT);
    assert_int_equal(err.reason, VMEM_REASON_DISCARD_FAILED);
    world_expect(&world, "mem/[4,8) memz[4,8)");
    assert_int_equal(retained_units(source), 4);
    assert_string_equal(world_populated_runs(&world), "[0,4) [8,16)");
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

/* Its guest has gone, and the host must get rid of it. */
static void a_device_leaves_whatever_its_memory_does(void **state)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "d",
                                               .block_size = UNIT };
    struct vmem_device *device;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    fail_discards(&world);
    fake_calls_fail(&world.memory.zeros, 0, EVER, -EFAULT);
    assert_int_equal(
        vmem_device_new(world.region, &config, NULL, NULL, &device, NULL), 0);
    assert_int_equal(vmem_device_free(device, NULL), 0);
    world_expect(&world, "mem/[0,16) mem/[0,16)");
    world_close(&world);
}

/* I6: pinned for the attempt, then given back, or else retained. */
static void a_vetoed_removal_gives_touched_memory_back(void **state)
{
    struct recorder pins;
    struct recorder objects;
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_add_listener(&world, &pins, "p", ALL, 0, 0);
    world_add_listener(&world, &objects, "o", ALL, 0, 0);
    pins.memory = &world.memory;
    pins.touches = true;
    objects.veto_at = 0;
    assert_int_equal(vmem_source_remove(source, NULL), -ENOSPC);
    assert_true(fake_backing_resident(&world.memory) == 0);
    objects.veto_at = objects.nr_populates;
    fail_discards(&world);
    assert_int_equal(vmem_source_remove(source, NULL), -ENOSPC);
    assert_int_equal(retained_units(source), 16);
    pins.touches = false;
    world_remove_listener(&world, &pins);
    world_remove_listener(&world, &objects);
    close_world(&world, source);
}

/* The first source's discard fails, the second one's, of the same memory, does
 * not: nothing is left to complain of. */
static void what_another_source_gave_back_is_no_failure(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    a = open_dirty(&world, 1);
    b = world_add_source(&world, "b", 4 * UNIT, DISCARDS | POPULATED);
    fail_discards(&world);
    assert_int_equal(world_unplug(&world, a, 5, 2), 0);
    assert_int_equal(world_unplug(&world, b, 4, 4), 0);
    fake_calls_fail(&world.memory.discards, 0, 1, -EIO);
    assert_int_equal(vmem_region_retry_discards(world.region, &err), 0);
    assert_true(world_retained(&world) == 0);
    assert_int_equal(err.code, 0);
    assert_int_equal(vmem_source_remove(b, NULL), 0);
    close_world(&world, a);
}

static void a_source_without_backing_retains_nothing(void **state)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm" };
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = 16 * UNIT };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "s",
        .block_size = UNIT,
        .flags = DISCARDS | POPULATED,
    };
    const struct vmem_range some = { 2 * UNIT, 5 * UNIT };
    const struct vmem_range all = { 0, 16 * UNIT };
    struct vmem_region *region;
    struct vmem_source *source;
    struct vmem_vm *vm;

    (void)state;
    assert_int_equal(vmem_vm_new(&vm_config, &vm, NULL), 0);
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    assert_int_equal(vmem_source_add(region, &source_config, &source, NULL), 0);
    assert_int_equal(vmem_source_discard(source, &some, NULL), 0);
    assert_int_equal(vmem_source_discard(source, &all, NULL), 0);
    assert_int_equal(retained_units(source), 0);
    assert_int_equal(vmem_source_populate(source, &all, NULL), 0);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_given_back_is_retained_and_counted),
        cmocka_unit_test(being_retained_is_logged_at_a_limited_rate),
        cmocka_unit_test(only_the_runs_that_fail_are_retained),
        cmocka_unit_test(unplugging_again_tries_again),
        cmocka_unit_test(a_block_of_which_a_part_is_left_is_retained_whole),
        cmocka_unit_test(a_new_source_retains_what_it_cannot_give_back),
        cmocka_unit_test(undoing_a_plug_can_retain_too),
        cmocka_unit_test(retrying_gives_back_run_by_run),
        cmocka_unit_test(nothing_is_retried_while_frozen),
        cmocka_unit_test(a_plug_tries_the_discard_again_before_anybody_hears),
        cmocka_unit_test(
            what_still_cannot_be_discarded_is_zeroed_to_be_plugged),
        cmocka_unit_test(what_cannot_be_zeroed_either_is_not_plugged),
        cmocka_unit_test(without_a_zero_callback_a_stuck_block_is_not_plugged),
        cmocka_unit_test(a_veto_leaves_a_zeroed_block_retained),
        cmocka_unit_test(a_system_reset_tries_again),
        cmocka_unit_test(memory_that_two_sources_retain_counts_once),
        cmocka_unit_test(memory_that_is_back_is_retained_by_nobody),
        cmocka_unit_test(a_part_that_is_back_does_not_free_the_whole_block),
        cmocka_unit_test(zeroed_memory_is_retained_by_the_other_source),
        cmocka_unit_test(a_failed_plug_makes_no_other_source_retain),
        cmocka_unit_test(a_source_that_leaves_hands_over_what_it_retains),
        cmocka_unit_test(a_source_that_leaves_gives_back_before_listeners_map),
        cmocka_unit_test(a_source_that_leaves_zeroes_what_stays),
        cmocka_unit_test(a_source_whose_memory_cannot_be_zeroed_stays),
        cmocka_unit_test(a_device_leaves_whatever_its_memory_does),
        cmocka_unit_test(a_vetoed_removal_gives_touched_memory_back),
        cmocka_unit_test(what_another_source_gave_back_is_no_failure),
        cmocka_unit_test(a_source_without_backing_retains_nothing),
    };

    return cmocka_run_group_tests_name("retain", tests, NULL, NULL);
}
