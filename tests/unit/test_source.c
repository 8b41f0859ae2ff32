/* SPDX-License-Identifier: BSD-3-Clause */
/* "TE2" names the case of QEMU's test suite that a test is the equivalent of,
 * "B" the bug of QEMU that it would have found. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/world.h"
#include "virtio/device.h"

#define UNIT ((uint64_t)4096)
#define DISCARDS VMEM_SOURCE_DISCARDS
#define POPULATED VMEM_SOURCE_POPULATED

static void open_world(struct world *world)
{
    world_open(world, 16 * UNIT, UNIT, 0);
}

static void remove_source(struct vmem_source *source)
{
    assert_int_equal(vmem_source_remove(source, NULL), 0);
}

static void expect_info(struct vmem_source *source, uint64_t populated_units,
                        uint64_t retained_units)
{
    struct vmem_source_info info = { .struct_size = sizeof(info) };

    assert_int_equal(vmem_source_get_info(source, &info), 0);
    assert_true(info.populated_size == populated_units * UNIT);
    assert_true(info.retained_size == retained_units * UNIT);
}

/* ---- one source ---- */

/* TE2 1. */
static void a_single_source_decides_alone(void **state)
{
    const struct vmem_range two = { 2 * UNIT, 2 * UNIT };
    struct vmem_source_info info = { .struct_size = sizeof(info) };
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    assert_string_equal(world_populated_runs(&world), "");
    assert_false(vmem_region_is_populated(world.region, &two));
    assert_int_equal(world_plug(&world, source, 2, 2), 0);
    assert_string_equal(world_populated_runs(&world), "[2,4)");
    assert_true(vmem_region_is_populated(world.region, &two));
    assert_true(world_populated(&world) == 2 * UNIT);
    assert_int_equal(vmem_source_get_info(source, &info), 0);
    assert_string_equal(info.name, "s");
    assert_true(info.block_size == UNIT && info.flags == DISCARDS);
    expect_info(source, 2, 0);
    assert_int_equal(world_unplug(&world, source, 3, 1), 0);
    assert_string_equal(world_populated_runs(&world), "[2,3)");
    remove_source(source);
    assert_string_equal(world_populated_runs(&world), "[0,16)");
    world_close(&world);
}

/* TE2 2. */
static void a_listener_follows_a_single_source(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    world_expect(&world, "mem-[0,16)");
    assert_int_equal(world_plug(&world, source, 2, 3), 0);
    world_expect(&world, "l+[2,5)");
    assert_int_equal(world_unplug(&world, source, 3, 1), 0);
    world_expect(&world, "l-[3,4) mem-[3,4)");
    world_remove_listener(&world, &listener);
    world_expect(&world, "l-[2,3) l-[4,5) l~");
    remove_source(source);
    world_close(&world);
}

/* TE2 13, B31, and "blocks that are in the wanted state are left alone". */
static void redundant_changes_tell_nobody(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    journal_take(&world.journal);
    assert_int_equal(world_unplug(&world, source, 0, 16), 0);
    world_expect(&world, "");
    assert_int_equal(world_plug(&world, source, 4, 4), 0);
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, source, 4, 4), 0);
    assert_int_equal(world_plug(&world, source, 5, 2), 0);
    world_expect(&world, "");
    assert_int_equal(world_unplug(&world, source, 5, 1), 0);
    journal_take(&world.journal);
    assert_int_equal(world_unplug(&world, source, 5, 1), 0);
    world_expect(&world, "");
    world_remove_listener(&world, &listener);
    remove_source(source);
    world_close(&world);
}

/* B31: ranges of mixed state were handled block by block. */
static void a_mixed_range_is_told_by_runs(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    assert_int_equal(world_plug(&world, source, 4, 2), 0);
    assert_int_equal(world_plug(&world, source, 10, 2), 0);
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, source, 2, 12), 0);
    world_expect(&world, "l+[2,4) l+[6,10) l+[12,14)");
    assert_int_equal(world_unplug(&world, source, 6, 2), 0);
    journal_take(&world.journal);
    assert_int_equal(world_unplug(&world, source, 0, 16), 0);
    world_expect(&world, "l-[2,6) l-[8,14) mem-[2,6) mem-[8,14)");
    expect_info(source, 0, 0);
    world_remove_listener(&world, &listener);
    remove_source(source);
    world_close(&world);
}

static void an_empty_range_changes_nothing(void **state)
{
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, source, 0, 0), 0);
    assert_int_equal(world_plug(&world, source, 16, 0), 0);
    assert_int_equal(world_unplug(&world, source, 3, 0), 0);
    world_expect(&world, "");
    expect_info(source, 0, 0);
    remove_source(source);
    world_close(&world);
}

static void bad_ranges_are_refused(void **state)
{
    static const struct {
        struct vmem_range range;
        int code;
        uint32_t reason;
    } cases[] = {
        { { 1, UNIT }, -EINVAL, VMEM_REASON_ALIGNMENT },
        { { 0, UNIT - 1 }, -EINVAL, VMEM_REASON_ALIGNMENT },
        { { UNIT, 2 * UNIT }, -EINVAL, VMEM_REASON_ALIGNMENT },
        { { 0, UNIT }, -EINVAL, VMEM_REASON_ALIGNMENT },
        { { 16 * UNIT, 2 * UNIT }, -ERANGE, VMEM_REASON_RANGE },
        { { 0, 18 * UNIT }, -ERANGE, VMEM_REASON_RANGE },
        { { 18 * UNIT, 0 }, -ERANGE, VMEM_REASON_RANGE },
        { { 2 * UNIT, UINT64_MAX - UNIT }, -EOVERFLOW, VMEM_REASON_OVERFLOW },
        { { UINT64_MAX, 2 * UNIT }, -EOVERFLOW, VMEM_REASON_OVERFLOW },
    };
    const struct vmem_range good = { 0, 2 * UNIT };
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", 2 * UNIT, DISCARDS);
    journal_take(&world.journal);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        assert_int_equal(vmem_source_populate(source, &cases[i].range, &err),
                         cases[i].code);
        assert_int_equal(err.reason, cases[i].reason);
        assert_int_equal(vmem_source_discard(source, &cases[i].range, &err),
                         cases[i].code);
        assert_int_equal(err.reason, cases[i].reason);
    }
    assert_int_equal(vmem_source_populate(NULL, &good, NULL), -EINVAL);
    assert_int_equal(vmem_source_discard(NULL, &good, NULL), -EINVAL);
    assert_int_equal(vmem_source_populate(source, NULL, NULL), -EINVAL);
    assert_int_equal(vmem_source_discard(source, NULL, NULL), -EINVAL);
    world_expect(&world, "");
    assert_string_equal(world_populated_runs(&world), "");
    remove_source(source);
    world_close(&world);
}

/* ---- several sources ---- */

/* TE2 3. */
static void two_sources_of_one_granularity_must_agree(void **state)
{
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    open_world(&world);
    a = world_add_source(&world, "a", UNIT, DISCARDS);
    b = world_add_source(&world, "b", UNIT, 0);
    assert_int_equal(world_plug(&world, a, 0, 8), 0);
    assert_string_equal(world_populated_runs(&world), "");
    assert_int_equal(world_plug(&world, b, 4, 8), 0);
    assert_string_equal(world_populated_runs(&world), "[4,8)");
    assert_true(world_populated(&world) == 4 * UNIT);
    assert_int_equal(world_unplug(&world, a, 5, 1), 0);
    assert_string_equal(world_populated_runs(&world), "[4,5) [6,8)");
    remove_source(a);
    assert_string_equal(world_populated_runs(&world), "[4,12)");
    remove_source(b);
    world_close(&world);
}

/* TE2 4, B32. */
static void two_sources_of_different_granularity_must_agree(void **state)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct vmem_source *fine;
    struct vmem_source *coarse;
    struct world world;

    (void)state;
    open_world(&world);
    coarse = world_add_source(&world, "coarse", 4 * UNIT, DISCARDS);
    fine = world_add_source(&world, "fine", UNIT, 0);
    vmem_region_get_info(world.region, &info);
    assert_true(info.min_granularity == UNIT);
    assert_int_equal(world_plug(&world, coarse, 4, 8), 0);
    assert_int_equal(world_plug(&world, fine, 1, 5), 0);
    assert_int_equal(world_plug(&world, fine, 7, 1), 0);
    assert_int_equal(world_plug(&world, fine, 11, 4), 0);
    assert_string_equal(world_populated_runs(&world), "[4,6) [7,8) [11,12)");
    assert_true(world_populated(&world) == 4 * UNIT);
    remove_source(fine);
    remove_source(coarse);
    world_close(&world);
}

/* TE2 5. */
static void listeners_hear_of_what_all_sources_have(void **state)
{
    struct recorder listener;
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    open_world(&world);
    a = world_add_source(&world, "a", 4 * UNIT, DISCARDS);
    b = world_add_source(&world, "b", UNIT, 0);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, a, 0, 8), 0);
    world_expect(&world, "");
    assert_int_equal(world_plug(&world, b, 2, 8), 0);
    world_expect(&world, "l+[2,8)");
    assert_int_equal(world_plug(&world, a, 8, 8), 0);
    world_expect(&world, "l+[8,10)");
    assert_int_equal(world_unplug(&world, b, 4, 1), 0);
    world_expect(&world, "l-[4,5)");
    assert_int_equal(world_unplug(&world, a, 4, 4), 0);
    world_expect(&world, "l-[5,8) mem-[4,8)");
    assert_int_equal(world_unplug(&world, b, 0, 16), 0);
    world_expect(&world, "l-[2,4) l-[8,10)");
    world_remove_listener(&world, &listener);
    remove_source(a);
    remove_source(b);
    world_close(&world);
}

/* TE2 12. */
static void without_sources_everything_is_populated_and_replayed(void **state)
{
    struct recorder listener;
    struct world world;

    (void)state;
    open_world(&world);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    world_expect(&world, "l+[0,16)");
    world_remove_listener(&world, &listener);
    world_expect(&world, "l-[0,16) l~");
    world_close(&world);
}

/* TE2 6, B35: only what the source really hides is told. */
static void adding_a_source_hides_its_discarded_blocks(void **state)
{
    struct recorder first;
    struct recorder second;
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    open_world(&world);
    a = world_add_source(&world, "a", UNIT, DISCARDS);
    assert_int_equal(world_plug(&world, a, 2, 4), 0);
    assert_int_equal(world_plug(&world, a, 8, 2), 0);
    world_add_listener(&world, &first, "x", units(&world, 0, 0), 0, 0);
    world_add_listener(&world, &second, "y", units(&world, 4, 5), 0, 0);
    journal_take(&world.journal);
    b = world_add_source(&world, "b", 2 * UNIT, 0);
    world_expect(&world, "y-[4,6) y-[8,9) x-[2,6) x-[8,10)");
    assert_string_equal(world_populated_runs(&world), "");
    world_remove_listener(&world, &second);
    world_remove_listener(&world, &first);
    remove_source(b);
    remove_source(a);
    world_close(&world);
}

static void adding_a_populated_source_hides_nothing(void **state)
{
    struct recorder listener;
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    journal_take(&world.journal);
    source = world_add_source(&world, "s", UNIT, DISCARDS | POPULATED);
    world_expect(&world, "");
    expect_info(source, 16, 0);
    assert_string_equal(world_populated_runs(&world), "[0,16)");
    assert_int_equal(world_unplug(&world, source, 1, 2), 0);
    world_expect(&world, "l-[1,3) mem-[1,3)");
    world_remove_listener(&world, &listener);
    remove_source(source);
    world_close(&world);
}

/* I5: listeners let go first, in reverse order; then the memory goes. */
static void adding_a_discarding_source_gives_the_memory_back(void **state)
{
    const struct vmem_range all = { 0, 16 * UNIT };
    struct recorder first;
    struct recorder second;
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    fake_backing_write(&world.memory, &all);
    world_add_listener(&world, &first, "x", units(&world, 0, 0), 0, 0);
    world_add_listener(&world, &second, "y", units(&world, 0, 0), 0, 0);
    journal_take(&world.journal);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_expect(&world, "y-[0,16) x-[0,16) mem-[0,16)");
    assert_true(fake_backing_resident(&world.memory) == 0);
    world_remove_listener(&world, &first);
    world_remove_listener(&world, &second);
    remove_source(source);
    world_close(&world);
}

/* TE2 7. */
static void removing_a_source_shows_what_it_hid(void **state)
{
    struct recorder first;
    struct recorder second;
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    open_world(&world);
    a = world_add_source(&world, "a", UNIT, DISCARDS);
    b = world_add_source(&world, "b", 4 * UNIT, 0);
    assert_int_equal(world_plug(&world, a, 2, 8), 0);
    assert_int_equal(world_plug(&world, b, 4, 4), 0);
    world_add_listener(&world, &first, "x", units(&world, 0, 0), 0, 0);
    world_add_listener(&world, &second, "y", units(&world, 0, 9), 0, 0);
    journal_take(&world.journal);
    remove_source(b);
    world_expect(&world, "x+[2,4) x+[8,10) y+[2,4) y+[8,9)");
    remove_source(a);
    world_expect(&world, "x+[0,2) x+[10,16) y+[0,2)");
    world_remove_listener(&world, &first);
    world_remove_listener(&world, &second);
    world_close(&world);
}

/* TE2 8. */
static void a_removed_source_can_be_added_again(void **state)
{
    struct recorder listener;
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    open_world(&world);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    a = world_add_source(&world, "a", UNIT, DISCARDS | POPULATED);
    for (unsigned int i = 0; i < 3; i++) {
        journal_take(&world.journal);
        b = world_add_source(&world, "b", 4 * UNIT, 0);
        world_expect(&world, "l-[0,16)");
        assert_int_equal(world_plug(&world, b, 4, 8), 0);
        world_expect(&world, "l+[4,12)");
        remove_source(b);
        world_expect(&world, "l+[0,4) l+[12,16)");
    }
    remove_source(a);
    world_remove_listener(&world, &listener);
    world_close(&world);
}

/* TE2 9. */
static void a_duplicate_source_is_refused(void **state)
{
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "a",
                                               .block_size = 2 * UNIT };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *again = NULL;
    struct recorder listener;
    struct vmem_source *a;
    struct world world;

    (void)state;
    open_world(&world);
    a = world_add_source(&world, "a", UNIT, POPULATED);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    journal_take(&world.journal);
    assert_int_equal(vmem_source_add(world.region, &config, &again, &err),
                     -EEXIST);
    assert_int_equal(err.reason, VMEM_REASON_DUPLICATE);
    assert_null(again);
    world_expect(&world, "");
    assert_string_equal(world_populated_runs(&world), "[0,16)");
    world_remove_listener(&world, &listener);
    remove_source(a);
    world_close(&world);
}

/* Memory that listeners may have touched goes back, as after a failed plug. */
static void a_veto_keeps_a_source_that_shall_leave(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct recorder first;
    struct recorder second;
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    assert_int_equal(world_plug(&world, source, 4, 4), 0);
    world_add_listener(&world, &first, "x", units(&world, 0, 0), 0, 0);
    world_add_listener(&world, &second, "y", units(&world, 0, 0), 0, 0);
    journal_take(&world.journal);
    second.veto_at = second.nr_populates + 1;
    assert_int_equal(vmem_source_remove(source, &err), -ENOSPC);
    assert_int_equal(err.reason, VMEM_REASON_LISTENER_VETO);
    assert_non_null(strstr(err.message, "by y"));
    world_expect(&world, "x+[0,4) x+[8,16) y+[0,4) y![8,16) y-[0,4) x-[0,4) "
                         "x-[8,16) mem-[0,4) mem-[8,16)");
    assert_string_equal(world_populated_runs(&world), "[4,8)");
    remove_source(source);
    world_expect(&world, "x+[0,4) x+[8,16) y+[0,4) y+[8,16)");
    world_remove_listener(&world, &first);
    world_remove_listener(&world, &second);
    world_close(&world);
}

static int add_range(const struct vmem_range *range, void *opaque)
{
    journal_add(opaque, "", '\0', range);
    return 0;
}

/* TE2 18. */
static void discarded_is_what_any_source_has_not(void **state)
{
    const struct vmem_range window = { 3 * UNIT, 10 * UNIT };
    struct vmem_source *a;
    struct vmem_source *b;
    struct world world;

    (void)state;
    open_world(&world);
    a = world_add_source(&world, "a", UNIT, DISCARDS | POPULATED);
    b = world_add_source(&world, "b", 4 * UNIT, POPULATED);
    assert_int_equal(world_unplug(&world, a, 2, 3), 0);
    assert_int_equal(world_unplug(&world, b, 4, 4), 0);
    assert_int_equal(world_unplug(&world, a, 10, 1), 0);
    assert_string_equal(world_populated_runs(&world), "[0,2) [8,10) [11,16)");
    journal_take(&world.journal);
    assert_int_equal(vmem_region_for_each_discarded(world.region, NULL,
                                                    add_range, &world.journal),
                     0);
    world_expect(&world, "[2,8) [10,11)");
    assert_int_equal(vmem_region_for_each_discarded(world.region, &window,
                                                    add_range, &world.journal),
                     0);
    world_expect(&world, "[3,8) [10,11)");
    remove_source(a);
    remove_source(b);
    world_close(&world);
}

/* ---- memory ---- */

static void a_source_that_hides_touches_no_memory(void **state)
{
    const struct vmem_range all = { 0, 16 * UNIT };
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    fake_backing_write(&world.memory, &all);
    source = world_add_source(&world, "s", UNIT, 0);
    assert_int_equal(world_plug(&world, source, 0, 8), 0);
    assert_int_equal(world_unplug(&world, source, 0, 4), 0);
    world_expect(&world, "");
    assert_false(fake_backing_holds(&world.memory, &all, FAKE_ABSENT));
    assert_false(fake_backing_holds(&world.memory, &all, FAKE_CLEAN));
    assert_true(world_retained(&world) == 0);
    remove_source(source);
    world_close(&world);
}

static void memory_is_populated_before_listeners_hear_of_it(void **state)
{
    struct recorder listener;
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    listener.memory = &world.memory;
    listener.wants_memory = true;
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, source, 4, 2), 0);
    world_expect(&world, "mem+[4,6) l+[4,6)");
    assert_int_equal(world_plug(&world, source, 2, 6), 0);
    world_expect(&world, "mem+[2,4) mem+[6,8) l+[2,4) l+[6,8)");
    assert_true(fake_backing_resident(&world.memory) == 6 * UNIT);
    world_remove_listener(&world, &listener);
    remove_source(source);
    world_close(&world);
}

/* Where one of two sources does not want memory, there is none. */
static void
memory_is_populated_where_all_discarding_sources_want_it(void **state)
{
    struct vmem_source *a;
    struct vmem_source *b;
    struct vmem_source *hides;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    a = world_add_source(&world, "a", UNIT, DISCARDS);
    b = world_add_source(&world, "b", 4 * UNIT, DISCARDS);
    hides = world_add_source(&world, "h", UNIT, 0);
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, a, 2, 4), 0);
    world_expect(&world, "");
    /* Hidden memory is populated memory. */
    assert_int_equal(world_plug(&world, b, 4, 4), 0);
    world_expect(&world, "mem+[4,6)");
    assert_int_equal(world_plug(&world, a, 6, 2), 0);
    world_expect(&world, "mem+[6,8)");
    assert_int_equal(world_unplug(&world, b, 4, 4), 0);
    world_expect(&world, "mem-[4,8)");
    assert_true(fake_backing_resident(&world.memory) == 0);
    remove_source(a);
    remove_source(b);
    remove_source(hides);
    world_close(&world);
}

/* I3, B31. */
static void a_failed_populate_of_memory_tells_nobody_and_is_undone(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    const struct vmem_range range = { 2 * UNIT, 6 * UNIT };
    struct recorder listener;
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    assert_int_equal(world_plug(&world, source, 4, 1), 0);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    journal_take(&world.journal);
    fake_calls_fail(&world.memory.populates, 1, 1, -ENOMEM);
    world.memory.populates.partial = 2;
    assert_int_equal(vmem_source_populate(source, &range, &err), -ENOMEM);
    assert_int_equal(err.code, -ENOMEM);
    assert_int_equal(err.reason, VMEM_REASON_POPULATE_FAILED);
    world_expect(&world, "mem+[2,4) mem![5,8) mem-[2,4) mem-[5,8)");
    assert_true(fake_backing_resident(&world.memory) == UNIT);
    assert_string_equal(world_populated_runs(&world), "[4,5)");
    fake_calls_succeed(&world.memory.populates);
    assert_int_equal(vmem_source_populate(source, &range, &err), 0);
    world_expect(&world, "mem+[2,4) mem+[5,8) l+[2,4) l+[5,8)");
    world_remove_listener(&world, &listener);
    remove_source(source);
    world_close(&world);
}

/* I3: also what a listener had touched before another one objected. */
static void a_vetoed_plug_gives_touched_memory_back(void **state)
{
    struct recorder pins;
    struct recorder objects;
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_add_listener(&world, &pins, "p", units(&world, 0, 0), 0, 0);
    world_add_listener(&world, &objects, "o", units(&world, 0, 0), 0, 0);
    pins.memory = &world.memory;
    pins.touches = true;
    journal_take(&world.journal);
    objects.veto_at = 0;
    assert_int_equal(world_plug(&world, source, 2, 4), -ENOSPC);
    world_expect(&world, "p+[2,6) o![2,6) p-[2,6) mem-[2,6)");
    assert_true(fake_backing_resident(&world.memory) == 0);
    assert_true(world_retained(&world) == 0);
    world_remove_listener(&world, &pins);
    world_remove_listener(&world, &objects);
    remove_source(source);
    world_close(&world);
}

/* I5. */
static void discarding_tells_listeners_then_gives_the_memory_back(void **state)
{
    struct recorder first;
    struct recorder second;
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", 2 * UNIT, DISCARDS | POPULATED);
    world_add_listener(&world, &first, "x", units(&world, 0, 0), 0, 0);
    world_add_listener(&world, &second, "y", units(&world, 0, 0), 2 * UNIT, 0);
    journal_take(&world.journal);
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    world_expect(&world, "y-[4,8) x-[4,8) mem-[4,8)");
    world_remove_listener(&world, &first);
    world_remove_listener(&world, &second);
    remove_source(source);
    world_close(&world);
}

/* A guest never sees what was there before. */
static void memory_that_comes_back_reads_as_zero(void **state)
{
    const struct vmem_range some = { 4 * UNIT, 4 * UNIT };
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, "s", UNIT, DISCARDS | POPULATED);
    fake_backing_write(&world.memory, &some);
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    assert_int_equal(world_plug(&world, source, 4, 4), 0);
    assert_false(fake_backing_holds(&world.memory, &some, FAKE_DIRTY));
    remove_source(source);
    world_close(&world);
}

static void a_backing_that_returns_a_positive_number_has_failed(void **state)
{
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    fake_calls_fail(&world.memory.populates, 0, 1, 5);
    assert_int_equal(world_plug(&world, source, 0, 1), -EINVAL);
    assert_string_equal(world_populated_runs(&world), "");
    assert_int_equal(world_plug(&world, source, 0, 1), 0);
    fake_calls_fail(&world.memory.discards, 0, 1, 5);
    assert_int_equal(world_unplug(&world, source, 0, 1), 0);
    expect_info(source, 0, 1);
    remove_source(source);
    world_close(&world);
}

/* ---- config ---- */

static void bad_configs_are_refused(void **state)
{
    static char longest[VMEM_NAME_MAX + 2];
    static const struct {
        const char *name;
        uint64_t block_size;
        uint64_t flags;
        int code;
        uint32_t reason;
    } cases[] = {
        { NULL, UNIT, 0, -EINVAL, VMEM_REASON_ARGUMENT },
        { "", UNIT, 0, -EINVAL, VMEM_REASON_ARGUMENT },
        { longest, UNIT, 0, -ERANGE, VMEM_REASON_RANGE },
        { "s", 0, 0, -EINVAL, VMEM_REASON_ALIGNMENT },
        { "s", 3 * UNIT, 0, -EINVAL, VMEM_REASON_ALIGNMENT },
        { "s", 32 * UNIT, 0, -EINVAL, VMEM_REASON_ALIGNMENT },
        { "s", (uint64_t)1 << 63, 0, -EINVAL, VMEM_REASON_ALIGNMENT },
        { "s", UNIT / 2, DISCARDS, -EINVAL, VMEM_REASON_ALIGNMENT },
        { "s", UNIT, 1 << 2, -EINVAL, VMEM_REASON_ARGUMENT },
        { "s", UNIT, (uint64_t)1 << 63, -EINVAL, VMEM_REASON_ARGUMENT },
    };
    const struct vmem_source_config good = { .struct_size = sizeof(good),
                                             .name = "s",
                                             .block_size = UNIT };
    struct vmem_source *source = NULL;
    struct world world;

    (void)state;
    memset(longest, 'x', VMEM_NAME_MAX + 1);
    open_world(&world);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct vmem_source_config config = {
            .struct_size = sizeof(config),
            .name = cases[i].name,
            .block_size = cases[i].block_size,
            .flags = cases[i].flags,
        };
        struct vmem_error err = VMEM_ERROR_INIT;

        assert_int_equal(vmem_source_add(world.region, &config, &source, &err),
                         cases[i].code);
        assert_int_equal(err.reason, cases[i].reason);
    }
    assert_int_equal(vmem_source_add(world.region, NULL, &source, NULL),
                     -EINVAL);
    assert_int_equal(vmem_source_add(NULL, &good, &source, NULL), -EINVAL);
    assert_int_equal(vmem_source_add(world.region, &good, NULL, NULL), -EINVAL);
    assert_null(source);
    world_expect(&world, "");
    /* A source that only hides may be finer than the memory. */
    source = world_add_source(&world, "fine", UNIT / 2, 0);
    remove_source(source);
    world_close(&world);
}

static void too_many_blocks_are_refused_before_memory_is_asked_for(void **state)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm" };
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "r",
        .size = (uint64_t)1 << 63,
    };
    struct vmem_source_config config = { .struct_size = sizeof(config),
                                         .name = "s" };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source = NULL;
    struct vmem_region *region;
    struct vmem_vm *vm;

    (void)state;
    assert_int_equal(vmem_vm_new(&vm_config, &vm, NULL), 0);
    assert_int_equal(vmem_region_new(vm, &region_config, &region, NULL), 0);
    config.block_size = (uint64_t)1 << 30;
    assert_int_equal(vmem_source_add(region, &config, &source, &err), -ERANGE);
    config.block_size = 1;
    assert_int_equal(vmem_source_add(region, &config, &source, &err), -ERANGE);
    assert_int_equal(err.reason, VMEM_REASON_RANGE);
    config.block_size = (uint64_t)1 << 63;
    assert_int_equal(vmem_source_add(region, &config, &source, &err), 0);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static void one_source_too_many_is_refused(void **state)
{
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "one more",
                                               .block_size = UNIT };
    struct vmem_source *sources[VMEM_REGION_MAX_SOURCES];
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source = NULL;
    struct recorder listener;
    struct world world;

    (void)state;
    open_world(&world);
    world_add_listener(&world, &listener, "l", units(&world, 0, 0), 0, 0);
    for (unsigned int i = 0; i < VMEM_REGION_MAX_SOURCES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "s%u", i);
        sources[i] = world_add_source(&world, name, UNIT << i % 3,
                                      (i % 2 ? DISCARDS : 0) | POPULATED);
    }
    assert_int_equal(vmem_source_add(world.region, &config, &source, &err),
                     -ERANGE);
    assert_int_equal(err.reason, VMEM_REASON_RANGE);
    assert_null(source);
    /* All of them count, in queries and in changes. */
    journal_take(&world.journal);
    for (unsigned int i = 0; i < VMEM_REGION_MAX_SOURCES; i++) {
        assert_int_equal(world_unplug(&world, sources[i], 4, 4), 0);
        assert_string_equal(world_populated_runs(&world), "[0,4) [8,16)");
        if (i > 0) {
            assert_int_equal(world_plug(&world, sources[i], 4, 4), 0);
        }
    }
    assert_int_equal(world_plug(&world, sources[0], 4, 4), 0);
    assert_string_equal(world_populated_runs(&world), "[0,16)");
    for (unsigned int i = 0; i < VMEM_REGION_MAX_SOURCES; i++) {
        remove_source(sources[i]);
    }
    world_remove_listener(&world, &listener);
    world_close(&world);
}

static void a_source_finer_than_a_listener_is_refused(void **state)
{
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "fine",
                                               .block_size = UNIT };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source = NULL;
    struct recorder listener;
    struct world world;

    (void)state;
    open_world(&world);
    world_add_listener(&world, &listener, "coarse one", units(&world, 0, 0),
                       2 * UNIT, 0);
    journal_take(&world.journal);
    assert_int_equal(vmem_source_add(world.region, &config, &source, &err),
                     -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_IN_USE);
    assert_non_null(strstr(err.message, "coarse one"));
    assert_null(source);
    world_expect(&world, "");
    world_remove_listener(&world, &listener);
    source = world_add_source(&world, "fine", UNIT, 0);
    remove_source(source);
    world_close(&world);
}

static void a_device_s_source_cannot_be_changed_around_it(void **state)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "device",
                                               .block_size = UNIT };
    const struct vmem_source_config same_name = {
        .struct_size = sizeof(same_name),
        .name = "device",
        .block_size = UNIT,
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_device *device;
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    assert_int_equal(
        vmem_device_new(world.region, &config, NULL, NULL, &device, NULL), 0);
    journal_take(&world.journal);
    assert_int_equal(vmem_source_add(world.region, &same_name, &source, &err),
                     -EEXIST);
    source = device->source;
    assert_int_equal(world_plug(&world, source, 0, 1), -EBUSY);
    assert_int_equal(world_unplug(&world, source, 0, 1), -EBUSY);
    assert_int_equal(vmem_source_remove(source, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_IN_USE);
    world_expect(&world, "");
    assert_int_equal(vmem_device_free(device, NULL), 0);
    world_close(&world);
}

static void names_are_copied(void **state)
{
    struct vmem_source_info info = { .struct_size = sizeof(info) };
    char name[] = "original";
    struct vmem_source *source;
    struct world world;

    (void)state;
    open_world(&world);
    source = world_add_source(&world, name, UNIT, 0);
    name[0] = 'X';
    vmem_source_get_info(source, &info);
    assert_string_equal(info.name, "original");
    remove_source(source);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_source_decides_alone),
        cmocka_unit_test(a_listener_follows_a_single_source),
        cmocka_unit_test(redundant_changes_tell_nobody),
        cmocka_unit_test(a_mixed_range_is_told_by_runs),
        cmocka_unit_test(an_empty_range_changes_nothing),
        cmocka_unit_test(bad_ranges_are_refused),
        cmocka_unit_test(two_sources_of_one_granularity_must_agree),
        cmocka_unit_test(two_sources_of_different_granularity_must_agree),
        cmocka_unit_test(listeners_hear_of_what_all_sources_have),
        cmocka_unit_test(without_sources_everything_is_populated_and_replayed),
        cmocka_unit_test(adding_a_source_hides_its_discarded_blocks),
        cmocka_unit_test(adding_a_populated_source_hides_nothing),
        cmocka_unit_test(adding_a_discarding_source_gives_the_memory_back),
        cmocka_unit_test(removing_a_source_shows_what_it_hid),
        cmocka_unit_test(a_removed_source_can_be_added_again),
        cmocka_unit_test(a_duplicate_source_is_refused),
        cmocka_unit_test(a_veto_keeps_a_source_that_shall_leave),
        cmocka_unit_test(discarded_is_what_any_source_has_not),
        cmocka_unit_test(a_source_that_hides_touches_no_memory),
        cmocka_unit_test(memory_is_populated_before_listeners_hear_of_it),
        cmocka_unit_test(
            memory_is_populated_where_all_discarding_sources_want_it),
        cmocka_unit_test(
            a_failed_populate_of_memory_tells_nobody_and_is_undone),
        cmocka_unit_test(a_vetoed_plug_gives_touched_memory_back),
        cmocka_unit_test(discarding_tells_listeners_then_gives_the_memory_back),
        cmocka_unit_test(memory_that_comes_back_reads_as_zero),
        cmocka_unit_test(a_backing_that_returns_a_positive_number_has_failed),
        cmocka_unit_test(bad_configs_are_refused),
        cmocka_unit_test(
            too_many_blocks_are_refused_before_memory_is_asked_for),
        cmocka_unit_test(one_source_too_many_is_refused),
        cmocka_unit_test(a_source_finer_than_a_listener_is_refused),
        cmocka_unit_test(a_device_s_source_cannot_be_changed_around_it),
        cmocka_unit_test(names_are_copied),
    };

    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
