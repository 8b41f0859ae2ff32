/* SPDX-License-Identifier: BSD-3-Clause */
/* What one change tells a listener lies between begin { and commit }, and a
 * commit that refuses # is a veto. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "support/quiet.h"
#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define ALL ((struct vmem_range){ 0, 0 })
#define EXACT VMEM_LISTENER_EXACT_DISCARD

struct fixture {
    struct world world;
    struct vmem_source *source;
    struct recorder listener;
};

/* 16 units in blocks of one, a listener "l" with chunks of one, nothing
 * populated. */
static void open_fixture(struct fixture *it, uint64_t flags)
{
    world_open(&it->world, 16 * UNIT, UNIT, 0);
    it->source = world_add_source(&it->world, "s", UNIT, VMEM_SOURCE_DISCARDS);
    world_add_listener(&it->world, &it->listener, "l", ALL, UNIT, flags);
    it->listener.tells_batches = true;
    journal_take(&it->world.journal);
}

static void close_fixture(struct fixture *it)
{
    world_remove_listener(&it->world, &it->listener);
    assert_int_equal(vmem_source_remove(it->source, NULL), 0);
    world_close(&it->world);
}

static int populate(struct fixture *it, uint64_t first, uint64_t nr)
{
    return world_plug(&it->world, it->source, first, nr);
}

static int discard(struct fixture *it, uint64_t first, uint64_t nr)
{
    return world_unplug(&it->world, it->source, first, nr);
}

static void one_change_is_one_batch(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, 0);
    assert_int_equal(populate(&it, 2, 1), 0);
    world_expect(&it.world, "l{ l+[2,3) l}");
    assert_int_equal(populate(&it, 0, 5), 0);
    world_expect(&it.world, "l{ l+[0,1) l+[1,2) l+[3,4) l+[4,5) l}");
    assert_int_equal(discard(&it, 1, 1), 0);
    world_expect(&it.world, "l{ l-[1,2) l} mem-[1,2)");
    assert_int_equal(discard(&it, 0, 16), 0);
    world_expect(&it.world, "l{ l-[0,1) l-[2,5) l} mem-[0,1) mem-[2,5)");
    close_fixture(&it);
}

static void a_change_that_tells_nothing_has_no_batch(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, 0);
    assert_int_equal(discard(&it, 0, 16), 0);
    world_expect(&it.world, "");
    assert_int_equal(populate(&it, 0, 2), 0);
    journal_take(&it.world.journal);
    assert_int_equal(populate(&it, 0, 2), 0);
    world_expect(&it.world, "");
    close_fixture(&it);
}

static void joining_and_leaving_are_batches(void **state)
{
    struct recorder late;
    struct fixture it;

    (void)state;
    open_fixture(&it, 0);
    assert_int_equal(populate(&it, 0, 1), 0);
    assert_int_equal(populate(&it, 3, 1), 0);
    journal_take(&it.world.journal);
    recorder_init(&late, "late", it.world.size, UNIT, &it.world.journal);
    late.tells_batches = true;
    assert_int_equal(recorder_add(&late, it.world.region, NULL), 0);
    world_expect(&it.world, "late{ late+[0,1) late+[3,4) late}");
    assert_int_equal(recorder_remove(&late, NULL), 0);
    world_expect(&it.world, "late{ late-[0,1) late-[3,4) late} late~");
    assert_string_equal(late.complaint, "");
    recorder_destroy(&late);
    close_fixture(&it);
}

/* Each listener has batches of its own, one after the other. */
static void batches_of_two_listeners_do_not_mix(void **state)
{
    struct recorder second;
    struct fixture it;

    (void)state;
    open_fixture(&it, 0);
    world_add_listener(&it.world, &second, "m", ALL, 0, 0);
    second.tells_batches = true;
    assert_int_equal(populate(&it, 0, 2), 0);
    world_expect(&it.world, "l{ l+[0,1) l+[1,2) l} m{ m+[0,2) m}");
    assert_int_equal(discard(&it, 0, 2), 0);
    world_expect(&it.world, "m{ m-[0,2) m} l{ l-[0,2) l} mem-[0,2)");
    second.veto_at = 1;
    assert_int_equal(populate(&it, 0, 2), -ENOSPC);
    world_expect(&it.world, "l{ l+[0,1) l+[1,2) l} m{ m![0,2) m} "
                            "l{ l-[0,2) l} mem-[0,2)");
    world_remove_listener(&it.world, &second);
    close_fixture(&it);
}

static void a_veto_is_undone_in_its_batch(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, EXACT);
    it.listener.veto_at = 2;
    assert_int_equal(populate(&it, 0, 4), -ENOSPC);
    world_expect(&it.world, "l{ l+[0,1) l+[1,2) l![2,3) l-[0,1) l-[1,2) l} "
                            "mem-[0,4)");
    close_fixture(&it);
}

/* What commit refuses is told discard, in a batch of its own, and whoever came
 * before is told too. */
static void a_commit_may_veto(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct vmem_range range;
    struct recorder second;
    struct fixture it;

    (void)state;
    open_fixture(&it, 0);
    world_add_listener(&it.world, &second, "m", ALL, 0, 0);
    second.tells_batches = true;
    second.no_commit_at = 0;
    second.veto_code = -EPROTO;
    range = units(&it.world, 1, 2);
    assert_int_equal(vmem_source_populate(it.source, &range, &err), -EPROTO);
    assert_int_equal(err.reason, VMEM_REASON_LISTENER_VETO);
    assert_non_null(strstr(err.message, "by m"));
    world_expect(&it.world, "l{ l+[1,2) l+[2,3) l} m{ m+[1,3) m# m{ m-[1,3) m} "
                            "l{ l-[1,3) l} mem-[1,3)");
    assert_string_equal(world_populated_runs(&it.world), "");
    assert_int_equal(vmem_region_get_info(it.world.region, &info), 0);
    assert_int_equal(info.nr_vetoes, 1);
    assert_int_equal(info.nr_rollbacks, 1);

    assert_int_equal(vmem_source_populate(it.source, &range, &err), 0);
    world_expect(&it.world, "l{ l+[1,2) l+[2,3) l} m{ m+[1,3) m}");
    world_remove_listener(&it.world, &second);
    close_fixture(&it);
}

static int positive(void *opaque)
{
    (*(unsigned int *)opaque)++;
    return 1;
}

/* A positive number breaks the contract: a veto, as of populate. */
static void a_replay_that_commit_refuses_is_undone(void **state)
{
    const struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = quiet_accept,
        .discard = quiet_discard,
        .commit = positive,
    };
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "positive",
    };
    struct vmem_listener *none = NULL;
    unsigned int nr_commits = 0;
    struct fixture it;

    (void)state;
    open_fixture(&it, 0);
    assert_int_equal(populate(&it, 0, 2), 0);
    assert_int_equal(vmem_listener_add(it.world.region, &config, &ops,
                                       &nr_commits, &none, NULL),
                     -EINVAL);
    assert_null(none);
    assert_int_equal(nr_commits, 2); /* of the replay, and of its undoing */
    close_fixture(&it);
}

/* After discards there is nothing to refuse. */
static void a_commit_cannot_refuse_discards(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, 0);
    assert_int_equal(populate(&it, 0, 2), 0);
    journal_take(&it.world.journal);
    it.listener.no_commit_at = 1;
    assert_int_equal(discard(&it, 0, 2), 0);
    world_expect(&it.world, "l{ l-[0,2) l# mem-[0,2)");
    assert_string_equal(world_populated_runs(&it.world), "");
    close_fixture(&it);
}

/* The struct of the first release ends with destroy. What lies behind it in
 * memory is not looked at. */
static void programs_of_the_first_release_have_no_batches(void **state)
{
    struct vmem_listener_ops ops = *recorder_ops();
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "old",
    };
    struct vmem_listener *listener;
    struct recorder old;
    struct fixture it;

    (void)state;
    open_fixture(&it, 0);
    ops.struct_size = offsetof(struct vmem_listener_ops, begin);
    recorder_init(&old, "old", it.world.size, 0, NULL);
    old.window.size = it.world.size;
    assert_int_equal(vmem_listener_add(it.world.region, &config, &ops, &old,
                                       &listener, NULL),
                     0);
    assert_int_equal(populate(&it, 0, 2), 0);
    assert_int_equal(discard(&it, 0, 1), 0);
    assert_int_equal(vmem_listener_remove(listener, NULL), 0);
    assert_int_equal(old.nr_populates, 1);
    assert_int_equal(old.nr_discards, 2);
    assert_int_equal(old.nr_commits, 0);
    assert_int_equal(old.nr_destroys, 1);
    recorder_destroy(&old);
    close_fixture(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_change_is_one_batch),
        cmocka_unit_test(a_change_that_tells_nothing_has_no_batch),
        cmocka_unit_test(joining_and_leaving_are_batches),
        cmocka_unit_test(batches_of_two_listeners_do_not_mix),
        cmocka_unit_test(a_veto_is_undone_in_its_batch),
        cmocka_unit_test(a_commit_may_veto),
        cmocka_unit_test(a_replay_that_commit_refuses_is_undone),
        cmocka_unit_test(a_commit_cannot_refuse_discards),
        cmocka_unit_test(programs_of_the_first_release_have_no_batches),
    };

    return cmocka_run_group_tests_name("listener batches", tests, NULL, NULL);
}
