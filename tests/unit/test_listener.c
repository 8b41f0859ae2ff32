/* SPDX-License-Identifier: BSD-3-Clause */
/* "TE2" names the case of QEMU's test suite that a test is the equivalent of,
 * "B" the bug of QEMU that it would have found. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "support/quiet.h"
#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define ALL ((struct vmem_range){ 0, 0 })
#define EXACT VMEM_LISTENER_EXACT_DISCARD

/* 16 units, a source that discards in blocks of so many units, journal empty. */
static struct vmem_source *open_world(struct world *world, uint64_t block_units)
{
    struct vmem_source *source;

    world_open(world, 16 * UNIT, UNIT, 0);
    source =
        world_add_source(world, "s", block_units * UNIT, VMEM_SOURCE_DISCARDS);
    journal_take(&world->journal);
    return source;
}

static void close_world(struct world *world, struct vmem_source *source)
{
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(world);
}

/* ---- joining and leaving ---- */

static void joining_replays_what_is_populated(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    assert_int_equal(world_plug(&world, source, 2, 3), 0);
    assert_int_equal(world_plug(&world, source, 9, 1), 0);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    world_expect(&world, "l+[2,5) l+[9,10)");
    world_remove_listener(&world, &listener);
    world_expect(&world, "l-[2,5) l-[9,10) l~");
    close_world(&world, source);
}

static void joining_an_empty_region_tells_nothing(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    world_expect(&world, "");
    world_remove_listener(&world, &listener);
    world_expect(&world, "l~");
    close_world(&world, source);
}

/* TE2 11, 14. B1: a window that starts in the middle of the map. */
static void the_replay_is_cut_at_the_window(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 4);
    assert_int_equal(world_plug(&world, source, 4, 8), 0);
    world_add_listener(&world, &listener, "l", units(&world, 6, 4), 0, 0);
    world_expect(&world, "l+[6,10)");
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    world_expect(&world, "l-[6,8) mem-[4,8)");
    assert_int_equal(world_plug(&world, source, 0, 8), 0);
    world_expect(&world, "l+[6,8)");
    assert_int_equal(world_unplug(&world, source, 0, 4), 0);
    world_expect(&world, "mem-[0,4)");
    world_remove_listener(&world, &listener);
    world_expect(&world, "l-[6,10) l~");
    close_world(&world, source);
}

/* TE2 15, 16: windows that are disjoint, overlap, and are equal. */
static void each_listener_sees_its_own_window(void **state)
{
    struct vmem_source *source;
    struct recorder low;
    struct recorder high;
    struct recorder middle;
    struct recorder again;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    world_add_listener(&world, &low, "low", units(&world, 0, 8), 0, 0);
    world_add_listener(&world, &high, "high", units(&world, 8, 8), 0, 0);
    world_add_listener(&world, &middle, "mid", units(&world, 4, 8), 0, 0);
    world_add_listener(&world, &again, "mid2", units(&world, 4, 8), 0, 0);
    assert_int_equal(world_plug(&world, source, 2, 3), 0);
    world_expect(&world, "low+[2,5) mid+[4,5) mid2+[4,5)");
    assert_int_equal(world_plug(&world, source, 6, 8), 0);
    world_expect(&world, "low+[6,8) high+[8,14) mid+[6,12) mid2+[6,12)");
    assert_int_equal(world_unplug(&world, source, 7, 2), 0);
    world_expect(&world, "mid2-[7,9) mid-[7,9) high-[8,9) low-[7,8) mem-[7,9)");
    assert_int_equal(world_plug(&world, source, 14, 2), 0);
    world_expect(&world, "high+[14,16)");
    world_remove_listener(&world, &low);
    world_remove_listener(&world, &high);
    world_remove_listener(&world, &middle);
    world_remove_listener(&world, &again);
    close_world(&world, source);
}

/* TE2 17: changes that touch the ends of the window from both sides. */
static void windows_end_where_they_say(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    world_add_listener(&world, &listener, "l", units(&world, 4, 4), 0, 0);
    assert_int_equal(world_plug(&world, source, 3, 1), 0);
    assert_int_equal(world_plug(&world, source, 8, 1), 0);
    world_expect(&world, "");
    assert_int_equal(world_plug(&world, source, 4, 1), 0);
    assert_int_equal(world_plug(&world, source, 7, 1), 0);
    world_expect(&world, "l+[4,5) l+[7,8)");
    assert_int_equal(world_unplug(&world, source, 0, 16), 0);
    world_expect(&world, "l-[4,5) l-[7,8) mem-[3,5) mem-[7,9)");
    world_remove_listener(&world, &listener);

    /* The last unit of the region. */
    world_add_listener(&world, &listener, "l", units(&world, 15, 1), 0, 0);
    assert_int_equal(world_plug(&world, source, 0, 16), 0);
    world_expect(&world, "l~ l+[15,16)");
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

/* A window need not lie on blocks, pages or chunks. */
static void a_window_may_have_any_bounds(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    world_open(&world, 256, 16, 0);
    world.unit = 1;
    world.journal.unit = 1;
    source = world_add_source(&world, "s", 64, VMEM_SOURCE_DISCARDS);
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, source, 64, 64), 0);
    recorder_init(&listener, "l", 256, 1, &world.journal);
    listener.window = (struct vmem_range){ 70, 100 };
    listener.granularity = 32;
    listener.flags = EXACT;
    assert_int_equal(recorder_add(&listener, world.region, NULL), 0);
    world_expect(&world, "l+[70,96) l+[96,128)");
    assert_int_equal(world_plug(&world, source, 128, 64), 0);
    world_expect(&world, "l+[128,160) l+[160,170)");
    assert_int_equal(world_unplug(&world, source, 64, 128), 0);
    world_expect(&world, "l-[70,96) l-[96,128) l-[128,160) l-[160,170) "
                         "mem-[64,192)");
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    assert_string_equal(listener.complaint, "");
    recorder_destroy(&listener);
    close_world(&world, source);
}

static void the_same_ops_may_be_registered_twice(void **state)
{
    struct vmem_source *source;
    struct recorder a;
    struct recorder b;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    world_add_listener(&world, &a, "same", ALL, 0, 0);
    world_add_listener(&world, &b, "same", ALL, 0, 0);
    assert_int_equal(world_plug(&world, source, 0, 1), 0);
    world_expect(&world, "same+[0,1) same+[0,1)");
    world_remove_listener(&world, &a);
    world_remove_listener(&world, &b);
    close_world(&world, source);
}

/* ---- order ---- */

/* I3, TE2 10. B2: the undoing used the failing listener's window. */
static void a_veto_undoes_earlier_listeners_in_reverse_order(void **state)
{
    struct recorder listeners[4];
    static const char *const names[] = { "a", "b", "c", "d" };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source;
    struct vmem_range range;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    range = units(&world, 0, 16);
    for (unsigned int i = 0; i < 4; i++) {
        world_add_listener(&world, &listeners[i], names[i], units(&world, i, 8),
                           0, 0);
    }
    listeners[2].veto_at = 0;
    listeners[2].veto_code = -EMLINK;
    assert_int_equal(vmem_source_populate(source, &range, &err), -EMLINK);
    world_expect(&world, "a+[0,8) b+[1,9) c![2,10) b-[1,9) a-[0,8) mem-[0,16)");
    assert_int_equal(err.code, -EMLINK);
    assert_int_equal(err.reason, VMEM_REASON_LISTENER_VETO);
    assert_non_null(strstr(err.message, "by c"));
    assert_string_equal(world_populated_runs(&world), "");

    assert_int_equal(vmem_source_populate(source, &range, &err), 0);
    world_expect(&world, "a+[0,8) b+[1,9) c+[2,10) d+[3,11)");
    for (unsigned int i = 0; i < 4; i++) {
        world_remove_listener(&world, &listeners[i]);
    }
    close_world(&world, source);
}

/* B13, B24, B25: the one that objects is told of exactly what it had agreed to,
 * not of what it had before, and not of the piece that it refused. */
static void the_objecting_listener_loses_exactly_what_it_was_told(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    assert_int_equal(world_plug(&world, source, 4, 2), 0);
    world_add_listener(&world, &listener, "l", ALL, UNIT, 0);
    journal_take(&world.journal);
    listener.nr_populates = 0;
    listener.veto_at = 5;
    assert_int_equal(world_plug(&world, source, 1, 9), -ENOSPC);
    world_expect(&world, "l+[1,2) l+[2,3) l+[3,4) l+[6,7) l+[7,8) l![8,9) "
                         "l-[1,4) l-[6,8) mem-[1,4) mem-[6,10)");
    assert_true(listener.shadow[4] && listener.shadow[5]);
    assert_string_equal(world_populated_runs(&world), "[4,6)");
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

static void an_objecting_exact_listener_is_undone_by_chunks(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 2);
    world_add_listener(&world, &listener, "l", units(&world, 1, 14), 2 * UNIT,
                       EXACT);
    listener.veto_at = 3;
    assert_int_equal(world_plug(&world, source, 0, 16), -ENOSPC);
    world_expect(&world, "l+[1,2) l+[2,4) l+[4,6) l![6,8) l-[1,2) l-[2,4) "
                         "l-[4,6) mem-[0,16)");
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

static void a_veto_at_the_first_call_undoes_nothing(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    listener.veto_at = 0;
    assert_int_equal(world_plug(&world, source, 3, 2), -ENOSPC);
    world_expect(&world, "l![3,5) mem-[3,5)");
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

static void a_positive_answer_is_a_veto(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_range range;
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    range = units(&world, 0, 4);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    listener.veto_at = 0;
    listener.veto_code = 17;
    assert_int_equal(vmem_source_populate(source, &range, &err), -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_LISTENER_VETO);
    assert_string_equal(world_populated_runs(&world), "");
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

static void populates_go_forth_and_discards_go_back(void **state)
{
    struct vmem_source *source;
    struct recorder a;
    struct recorder b;
    struct recorder c;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    world_add_listener(&world, &a, "a", ALL, 0, 0);
    world_add_listener(&world, &b, "b", ALL, 0, 0);
    world_add_listener(&world, &c, "c", ALL, 0, 0);
    assert_int_equal(world_plug(&world, source, 0, 2), 0);
    world_expect(&world, "a+[0,2) b+[0,2) c+[0,2)");
    assert_int_equal(world_unplug(&world, source, 0, 1), 0);
    world_expect(&world, "c-[0,1) b-[0,1) a-[0,1) mem-[0,1)");
    /* One that leaves the middle leaves the order. */
    world_remove_listener(&world, &b);
    world_expect(&world, "b-[1,2) b~");
    assert_int_equal(world_plug(&world, source, 4, 1), 0);
    world_expect(&world, "a+[4,5) c+[4,5)");
    world_add_listener(&world, &b, "b", ALL, 0, 0);
    journal_take(&world.journal);
    assert_int_equal(world_plug(&world, source, 0, 1), 0);
    world_expect(&world, "a+[0,1) c+[0,1) b+[0,1)");
    world_remove_listener(&world, &a);
    world_remove_listener(&world, &b);
    world_remove_listener(&world, &c);
    close_world(&world, source);
}

/* ---- granularity (I7) ---- */

static void populate_comes_in_chunks_and_discard_in_runs(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 4);
    world_add_listener(&world, &listener, "l", ALL, 2 * UNIT, 0);
    assert_int_equal(world_plug(&world, source, 4, 8), 0);
    world_expect(&world, "l+[4,6) l+[6,8) l+[8,10) l+[10,12)");
    assert_int_equal(world_unplug(&world, source, 4, 8), 0);
    world_expect(&world, "l-[4,12) mem-[4,12)");
    world_remove_listener(&world, &listener);
    close_world(&world, source);
}

static void an_exact_listener_gets_a_discard_for_each_chunk(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 4);
    world_add_listener(&world, &listener, "l", units(&world, 3, 6), 2 * UNIT,
                       EXACT);
    assert_int_equal(world_plug(&world, source, 0, 16), 0);
    world_expect(&world, "l+[3,4) l+[4,6) l+[6,8) l+[8,9)");
    assert_int_equal(world_unplug(&world, source, 4, 4), 0);
    world_expect(&world, "l-[4,6) l-[6,8) mem-[4,8)");
    world_remove_listener(&world, &listener);
    world_expect(&world, "l-[3,4) l-[8,9) l~");
    close_world(&world, source);
}

/* Chunks count from the region's start, not from the window's. */
static void chunks_are_aligned_within_the_region(void **state)
{
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 4);
    world_add_listener(&world, &listener, "l", units(&world, 5, 6), 4 * UNIT,
                       0);
    assert_int_equal(world_plug(&world, source, 0, 16), 0);
    world_expect(&world, "l+[5,8) l+[8,11)");
    world_remove_listener(&world, &listener);
    world_expect(&world, "l-[5,11) l~");
    close_world(&world, source);
}

/* No source, so nothing rounds the region to the chunk size. */
static void the_last_chunk_ends_with_the_region(void **state)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = 10 };
    struct vmem_region *region;
    struct recorder listener;
    struct journal journal;
    struct world world;

    (void)state;
    world_open(&world, UNIT, UNIT, 0);
    journal_init(&journal, 1);
    assert_int_equal(vmem_region_new(world.vm, &config, &region, NULL), 0);
    recorder_init(&listener, "l", 10, 1, &journal);
    listener.granularity = 4;
    listener.flags = EXACT;
    assert_int_equal(recorder_add(&listener, region, NULL), 0);
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    assert_string_equal(journal_take(&journal),
                        "l+[0,4) l+[4,8) l+[8,10) l-[0,4) l-[4,8) l-[8,10) l~");
    listener.granularity = (uint64_t)1 << 63;
    assert_int_equal(recorder_add(&listener, region, NULL), 0);
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    assert_string_equal(journal_take(&journal), "l+[0,10) l-[0,10) l~");
    assert_string_equal(listener.complaint, "");
    recorder_destroy(&listener);
    journal_destroy(&journal);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    world_close(&world);
}

/* I10: chunk arithmetic near 2^64. */
static void chunks_work_at_the_end_of_the_number_space(void **state)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = UINT64_MAX };
    struct vmem_region *region;
    struct recorder listener;
    struct journal journal;
    struct world world;

    (void)state;
    world_open(&world, UNIT, UNIT, 0);
    journal_init(&journal, 1);
    assert_int_equal(vmem_region_new(world.vm, &config, &region, NULL), 0);
    recorder_init(&listener, "l", UINT64_MAX, 0, &journal);
    listener.granularity = (uint64_t)1 << 63;
    listener.flags = EXACT;
    assert_int_equal(recorder_add(&listener, region, NULL), 0);
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    assert_string_equal(journal_take(&journal),
                        "l+[0,9223372036854775808) "
                        "l+[9223372036854775808,18446744073709551615) "
                        "l-[0,9223372036854775808) "
                        "l-[9223372036854775808,18446744073709551615) l~");
    listener.window = (struct vmem_range){ UINT64_MAX - 3, 3 };
    listener.granularity = 2;
    assert_int_equal(recorder_add(&listener, region, NULL), 0);
    assert_string_equal(journal_take(&journal),
                        "l+[18446744073709551612,18446744073709551614) "
                        "l+[18446744073709551614,18446744073709551615)");
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    assert_string_equal(listener.complaint, "");
    recorder_destroy(&listener);
    journal_destroy(&journal);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    world_close(&world);
}

static void a_chunk_larger_than_the_smallest_block_is_refused(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source;
    struct vmem_source *fine;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 4);
    fine = world_add_source(&world, "fine", 2 * UNIT, 0);
    recorder_init(&listener, "l", world.size, UNIT, &world.journal);
    listener.granularity = 4 * UNIT;
    assert_int_equal(recorder_add(&listener, world.region, &err), -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_ALIGNMENT);
    assert_null(listener.listener);
    world_expect(&world, "l~");
    assert_int_equal(vmem_source_remove(fine, NULL), 0);
    assert_int_equal(recorder_add(&listener, world.region, &err), 0);
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    recorder_destroy(&listener);
    close_world(&world, source);
}

/* ---- failing registration (I2, B20) ---- */

static void a_refused_replay_is_undone_and_destroyed(void **state)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    assert_int_equal(world_plug(&world, source, 0, 3), 0);
    assert_int_equal(world_plug(&world, source, 5, 2), 0);
    assert_int_equal(world_plug(&world, source, 9, 1), 0);
    recorder_init(&listener, "picky", world.size, UNIT, &world.journal);
    listener.granularity = UNIT;
    listener.veto_at = 4;
    listener.veto_code = -EDQUOT;
    assert_int_equal(recorder_add(&listener, world.region, &err), -EDQUOT);
    world_expect(&world, "picky+[0,1) picky+[1,2) picky+[2,3) picky+[5,6) "
                         "picky![6,7) picky-[0,3) picky-[5,6) picky~");
    assert_int_equal(err.code, -EDQUOT);
    assert_int_equal(err.reason, VMEM_REASON_LISTENER_VETO);
    assert_non_null(strstr(err.message, "picky"));
    assert_null(listener.listener);
    vmem_region_get_info(world.region, &info);
    assert_int_equal(info.nr_listeners, 0);
    assert_int_equal(info.nr_vetoes, 1);
    assert_int_equal(info.nr_rollbacks, 1);

    /* It hears nothing more, and may try again. */
    assert_int_equal(world_unplug(&world, source, 0, 1), 0);
    world_expect(&world, "mem-[0,1)");
    assert_int_equal(recorder_add(&listener, world.region, &err), 0);
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    assert_string_equal(listener.complaint, "");
    recorder_destroy(&listener);
    close_world(&world, source);
}

static int populate_nothing(const struct vmem_range *range, void *opaque)
{
    (void)range;
    ++*(unsigned int *)opaque;
    return 0;
}

static void bad_configs_are_refused_and_destroyed(void **state)
{
    static char longest[VMEM_NAME_MAX + 2];
    static const struct {
        const char *name;
        struct vmem_range window;
        uint64_t granularity;
        uint64_t flags;
        int code;
        uint32_t reason;
    } cases[] = {
        { NULL, { 0, 0 }, 0, 0, -EINVAL, VMEM_REASON_ARGUMENT },
        { "", { 0, 0 }, 0, 0, -EINVAL, VMEM_REASON_ARGUMENT },
        { longest, { 0, 0 }, 0, 0, -ERANGE, VMEM_REASON_RANGE },
        { "l", { 1, 0 }, 0, 0, -EINVAL, VMEM_REASON_ARGUMENT },
        { "l", { 16 * UNIT, 0 }, 0, 0, -EINVAL, VMEM_REASON_ARGUMENT },
        { "l", { 0, 16 * UNIT + 1 }, 0, 0, -ERANGE, VMEM_REASON_RANGE },
        { "l", { 16 * UNIT, 1 }, 0, 0, -ERANGE, VMEM_REASON_RANGE },
        { "l", { 1, UINT64_MAX }, 0, 0, -EOVERFLOW, VMEM_REASON_OVERFLOW },
        { "l", { 0, 0 }, 3, 0, -EINVAL, VMEM_REASON_ALIGNMENT },
        { "l", { 0, 0 }, UNIT + 1, 0, -EINVAL, VMEM_REASON_ALIGNMENT },
        { "l", { 0, 0 }, 2 * UNIT, 0, -EINVAL, VMEM_REASON_ALIGNMENT },
        { "l", { 0, 0 }, 0, EXACT, -EINVAL, VMEM_REASON_ARGUMENT },
        { "l", { 0, 0 }, UNIT, 2, -EINVAL, VMEM_REASON_ARGUMENT },
        { "l", { 0, 0 }, 0, (uint64_t)1 << 63, -EINVAL, VMEM_REASON_ARGUMENT },
    };
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    memset(longest, 'x', VMEM_NAME_MAX + 1);
    source = open_world(&world, 1);
    assert_int_equal(world_plug(&world, source, 0, 16), 0);
    recorder_init(&listener, "l", world.size, UNIT, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct vmem_listener_config config = {
            .struct_size = sizeof(config),
            .name = cases[i].name,
            .window = cases[i].window,
            .granularity = cases[i].granularity,
            .flags = cases[i].flags,
        };
        struct vmem_error err = VMEM_ERROR_INIT;

        listener.nr_destroys = 0;
        assert_int_equal(vmem_listener_add(world.region, &config,
                                           recorder_ops(), &listener,
                                           &listener.listener, &err),
                         cases[i].code);
        assert_int_equal(err.reason, cases[i].reason);
        assert_int_equal(listener.nr_destroys, 1);
        assert_int_equal(listener.nr_populates, 0);
        assert_null(listener.listener);
    }
    recorder_destroy(&listener);
    close_world(&world, source);
}

static void missing_arguments_are_refused(void **state)
{
    const struct vmem_listener_config config = { .struct_size = sizeof(config),
                                                 .name = "l" };
    struct vmem_listener_ops ops = *recorder_ops();
    struct vmem_listener *out = NULL;
    struct recorder listener;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    recorder_init(&listener, "l", world.size, UNIT, NULL);
    assert_int_equal(
        vmem_listener_add(NULL, &config, &ops, &listener, &out, NULL), -EINVAL);
    assert_int_equal(listener.nr_destroys, 1);
    listener.nr_destroys = 0;
    assert_int_equal(
        vmem_listener_add(world.region, &config, &ops, &listener, NULL, NULL),
        -EINVAL);
    assert_int_equal(listener.nr_destroys, 1);
    listener.nr_destroys = 0;
    assert_int_equal(
        vmem_listener_add(world.region, NULL, &ops, &listener, &out, NULL),
        -EINVAL);
    assert_int_equal(listener.nr_destroys, 1);
    listener.nr_destroys = 0;

    /* Ops that are refused are not called. */
    assert_int_equal(
        vmem_listener_add(world.region, &config, NULL, &listener, &out, NULL),
        -EINVAL);
    ops.struct_size = offsetof(struct vmem_listener_ops, begin) - 1;
    assert_int_equal(
        vmem_listener_add(world.region, &config, &ops, &listener, &out, NULL),
        -EINVAL);
    assert_int_equal(listener.nr_destroys, 0);
    ops.struct_size = sizeof(ops);
    ops.populate = NULL;
    assert_int_equal(
        vmem_listener_add(world.region, &config, &ops, &listener, &out, NULL),
        -EINVAL);
    ops = *recorder_ops();
    ops.discard = NULL;
    assert_int_equal(
        vmem_listener_add(world.region, &config, &ops, &listener, &out, NULL),
        -EINVAL);
    assert_null(out);
    recorder_destroy(&listener);
    world_close(&world);
}

static void a_listener_without_destroy_works(void **state)
{
    const struct vmem_listener_config config = { .struct_size = sizeof(config),
                                                 .name = "l" };
    const struct vmem_listener_ops ops = { .struct_size = sizeof(ops),
                                           .populate = populate_nothing,
                                           .discard = quiet_discard };
    const struct vmem_listener_config bad = { .struct_size = sizeof(bad) };
    struct vmem_listener *listener;
    unsigned int nr_calls = 0;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    assert_int_equal(
        vmem_listener_add(world.region, &bad, &ops, &nr_calls, &listener, NULL),
        -EINVAL);
    assert_int_equal(vmem_listener_add(world.region, &config, &ops, &nr_calls,
                                       &listener, NULL),
                     0);
    assert_int_equal(nr_calls, 1);
    assert_int_equal(vmem_listener_remove(listener, NULL), 0);
    world_close(&world);
}

static void config_and_ops_are_copied(void **state)
{
    char name[] = "named";
    struct vmem_listener_config config = { .struct_size = sizeof(config),
                                           .name = name };
    struct vmem_listener_ops ops = *recorder_ops();
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source;
    struct recorder listener;
    struct vmem_range range;
    struct world world;

    (void)state;
    source = open_world(&world, 1);
    range = units(&world, 0, 4);
    recorder_init(&listener, "l", world.size, UNIT, &world.journal);
    listener.window.size = world.size;
    listener.veto_at = 0;
    assert_int_equal(vmem_listener_add(world.region, &config, &ops, &listener,
                                       &listener.listener, NULL),
                     0);
    memset(&ops, 0, sizeof(ops));
    memset(&config, 0, sizeof(config));
    memset(name, 'X', sizeof(name) - 1);
    assert_int_equal(vmem_source_populate(source, &range, &err), -ENOSPC);
    assert_non_null(strstr(err.message, "by named"));
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    assert_int_equal(listener.nr_destroys, 1);
    recorder_destroy(&listener);
    close_world(&world, source);
}

/* ---- I1 over a life ---- */

/* B18: told of the same blocks twice, once at joining and once by a change. */
static void nothing_is_ever_told_twice(void **state)
{
    struct vmem_source *a;
    struct vmem_source *b;
    struct recorder listener;
    struct world world;

    (void)state;
    a = open_world(&world, 1);
    assert_int_equal(world_plug(&world, a, 0, 8), 0);
    world_add_listener(&world, &listener, "l", ALL, UNIT, EXACT);
    assert_int_equal(world_plug(&world, a, 0, 16), 0);
    b = world_add_source(&world, "b", 4 * UNIT, VMEM_SOURCE_POPULATED);
    assert_int_equal(world_unplug(&world, b, 4, 8), 0);
    assert_int_equal(world_unplug(&world, a, 0, 16), 0);
    assert_int_equal(world_plug(&world, b, 0, 16), 0);
    assert_int_equal(world_plug(&world, a, 2, 9), 0);
    assert_int_equal(vmem_source_remove(b, NULL), 0);
    assert_int_equal(vmem_source_remove(a, NULL), 0);
    assert_string_equal(listener.complaint, "");
    a = world_add_source(&world, "s", UNIT, VMEM_SOURCE_DISCARDS);
    world_remove_listener(&world, &listener);
    close_world(&world, a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joining_replays_what_is_populated),
        cmocka_unit_test(joining_an_empty_region_tells_nothing),
        cmocka_unit_test(the_replay_is_cut_at_the_window),
        cmocka_unit_test(each_listener_sees_its_own_window),
        cmocka_unit_test(windows_end_where_they_say),
        cmocka_unit_test(a_window_may_have_any_bounds),
        cmocka_unit_test(the_same_ops_may_be_registered_twice),
        cmocka_unit_test(a_veto_undoes_earlier_listeners_in_reverse_order),
        cmocka_unit_test(the_objecting_listener_loses_exactly_what_it_was_told),
        cmocka_unit_test(an_objecting_exact_listener_is_undone_by_chunks),
        cmocka_unit_test(a_veto_at_the_first_call_undoes_nothing),
        cmocka_unit_test(a_positive_answer_is_a_veto),
        cmocka_unit_test(populates_go_forth_and_discards_go_back),
        cmocka_unit_test(populate_comes_in_chunks_and_discard_in_runs),
        cmocka_unit_test(an_exact_listener_gets_a_discard_for_each_chunk),
        cmocka_unit_test(chunks_are_aligned_within_the_region),
        cmocka_unit_test(the_last_chunk_ends_with_the_region),
        cmocka_unit_test(chunks_work_at_the_end_of_the_number_space),
        cmocka_unit_test(a_chunk_larger_than_the_smallest_block_is_refused),
        cmocka_unit_test(a_refused_replay_is_undone_and_destroyed),
        cmocka_unit_test(bad_configs_are_refused_and_destroyed),
        cmocka_unit_test(missing_arguments_are_refused),
        cmocka_unit_test(a_listener_without_destroy_works),
        cmocka_unit_test(config_and_ops_are_copied),
        cmocka_unit_test(nothing_is_ever_told_twice),
    };

    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
