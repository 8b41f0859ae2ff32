/* SPDX-License-Identifier: BSD-3-Clause */
/* A discard that a listener refuses, before anybody was told of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/region.h"
#include "support/quiet.h"
#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define ALL ((struct vmem_range){ 0, 0 })
#define KEPT (-EPROTO)

struct fixture {
    struct world world;
    struct vmem_source *source;
    struct recorder first;  /* "a", may object */
    struct recorder second; /* "b", is never asked */
    struct recorder third;  /* "c", may object */
};

/* 16 units in blocks of one, of which [0,8) are populated. */
static void open_fixture(struct fixture *it)
{
    struct vmem_range range;

    memset(it, 0, sizeof(*it));
    world_open(&it->world, 16 * UNIT, UNIT, 0);
    it->source = world_add_source(&it->world, "s", UNIT, VMEM_SOURCE_DISCARDS);
    range = units(&it->world, 0, 8);
    assert_int_equal(vmem_source_populate(it->source, &range, NULL), 0);
    world_add_objector(&it->world, &it->first, "a", ALL, 0, 0);
    world_add_listener(&it->world, &it->second, "b", ALL, 0, 0);
    world_add_objector(&it->world, &it->third, "c", ALL, 0, 0);
    it->first.veto_code = KEPT;
    it->third.veto_code = KEPT;
    journal_take(&it->world.journal);
}

static void close_fixture(struct fixture *it)
{
    world_remove_listener(&it->world, &it->third);
    world_remove_listener(&it->world, &it->second);
    world_remove_listener(&it->world, &it->first);
    assert_int_equal(vmem_source_remove(it->source, NULL), 0);
    world_close(&it->world);
}

static int discard(struct fixture *it, uint64_t first, uint64_t nr,
                   struct vmem_error *err)
{
    const struct vmem_range range = units(&it->world, first, nr);

    return vmem_source_discard(it->source, &range, err);
}

/* The next question is answered with a no. */
static void refuse_next(struct recorder *recorder)
{
    recorder->keep_at = recorder->nr_asks;
}

static void everybody_is_asked_before_anybody_is_told(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it);
    assert_int_equal(discard(&it, 2, 3, NULL), 0);
    world_expect(&it.world,
                 "a?[2,5) c?[2,5) c-[2,5) b-[2,5) a-[2,5) mem-[2,5)");
    close_fixture(&it);
}

static void a_refused_discard_changes_nothing(void **state)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_range range;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    range = units(&it.world, 2, 3);
    fake_backing_write(&it.world.memory, &range);
    refuse_next(&it.third);
    assert_int_equal(discard(&it, 2, 3, &err), KEPT);
    world_expect(&it.world, "a?[2,5) cx[2,5)");
    assert_int_equal(err.code, KEPT);
    assert_int_equal(err.reason, VMEM_REASON_LISTENER_VETO);
    assert_int_equal(err.range.offset, 2 * UNIT);
    assert_int_equal(err.range.size, 3 * UNIT);
    assert_non_null(strstr(err.message, "by c"));
    assert_string_equal(world_populated_runs(&it.world), "[0,8)");
    assert_true(fake_backing_holds(&it.world.memory, &range, FAKE_DIRTY));
    assert_int_equal(vmem_region_get_info(it.world.region, &info), 0);
    assert_int_equal(info.nr_vetoes, 1);
    assert_int_equal(info.nr_rollbacks, 0);
    assert_int_equal(info.nr_discard_calls, 0);
    assert_int_equal(info.retained_size, 0);

    /* The question comes again, and the answer may be another one. */
    assert_int_equal(discard(&it, 2, 3, &err), 0);
    world_expect(&it.world,
                 "a?[2,5) c?[2,5) c-[2,5) b-[2,5) a-[2,5) mem-[2,5)");
    close_fixture(&it);
}

static void the_first_refusal_ends_the_asking(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it);
    refuse_next(&it.first);
    refuse_next(&it.third);
    assert_int_equal(discard(&it, 0, 16, NULL), KEPT);
    world_expect(&it.world, "ax[0,8)");
    /* The second of three runs. */
    it.first.keep_at = UINT64_MAX;
    it.third.keep_at = UINT64_MAX;
    assert_int_equal(discard(&it, 1, 1, NULL), 0);
    assert_int_equal(discard(&it, 5, 1, NULL), 0);
    journal_take(&it.world.journal);
    it.third.keep_at = it.third.nr_asks + 1;
    assert_int_equal(discard(&it, 0, 16, NULL), KEPT);
    world_expect(&it.world, "a?[0,1) a?[2,5) a?[6,8) c?[0,1) cx[2,5)");
    close_fixture(&it);
}

/* Not what is discarded already, not what another source hides, not what lies
 * outside of the window. */
static void only_what_would_be_discarded_is_asked_about(void **state)
{
    struct vmem_source *other;
    struct recorder narrow;
    struct vmem_range range;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    assert_int_equal(discard(&it, 8, 8, NULL), 0);
    world_expect(&it.world, "");
    other = world_add_source(&it.world, "o", 2 * UNIT, VMEM_SOURCE_POPULATED);
    world_expect(&it.world, "");
    range = units(&it.world, 2, 4);
    assert_int_equal(vmem_source_discard(other, &range, NULL), 0);
    world_expect(&it.world, "a?[2,6) c?[2,6) c-[2,6) b-[2,6) a-[2,6)");
    world_add_objector(&it.world, &narrow, "n", units(&it.world, 1, 2), 0, 0);
    world_expect(&it.world, "n+[1,2)");
    assert_int_equal(discard(&it, 0, 16, NULL), 0);
    world_expect(&it.world,
                 "a?[0,2) a?[6,8) c?[0,2) c?[6,8) n?[1,2) n-[1,2) "
                 "c-[0,2) c-[6,8) b-[0,2) b-[6,8) a-[0,2) a-[6,8) mem-[0,8)");
    /* All of it is hidden by one source or the other: nobody has it. */
    refuse_next(&it.first);
    range = units(&it.world, 6, 2);
    assert_int_equal(vmem_source_discard(other, &range, NULL), 0);
    world_expect(&it.world, "");
    it.first.keep_at = UINT64_MAX;
    world_remove_listener(&it.world, &narrow);
    assert_int_equal(vmem_source_remove(other, NULL), 0);
    close_fixture(&it);
}

static void the_questions_are_cut_as_the_discards_are(void **state)
{
    struct recorder chunked;
    struct recorder exact;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    world_add_objector(&it.world, &chunked, "g", units(&it.world, 0, 6), UNIT,
                       0);
    world_add_objector(&it.world, &exact, "e", units(&it.world, 3, 3), UNIT,
                       VMEM_LISTENER_EXACT_DISCARD);
    journal_take(&it.world.journal);
    it.world.journal.muted = false;
    exact.keep_at = 2;
    exact.veto_code = -EBUSY;
    assert_int_equal(discard(&it, 2, 6, NULL), -EBUSY);
    world_expect(&it.world, "a?[2,8) c?[2,8) g?[2,6) e?[3,4) e?[4,5) ex[5,6)");
    assert_int_equal(discard(&it, 2, 6, NULL), 0);
    world_expect(&it.world,
                 "a?[2,8) c?[2,8) g?[2,6) e?[3,4) e?[4,5) e?[5,6) "
                 "e-[3,4) e-[4,5) e-[5,6) g-[2,6) c-[2,8) b-[2,8) a-[2,8) "
                 "mem-[2,8)");
    world_remove_listener(&it.world, &exact);
    world_remove_listener(&it.world, &chunked);
    close_fixture(&it);
}

/* The question is no part of the batch, which is what one is told. */
static void the_question_comes_before_the_batch(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it);
    it.first.tells_batches = true;
    refuse_next(&it.first);
    assert_int_equal(discard(&it, 0, 1, NULL), KEPT);
    world_expect(&it.world, "ax[0,1)");
    assert_int_equal(discard(&it, 0, 1, NULL), 0);
    world_expect(&it.world,
                 "a?[0,1) c?[0,1) c-[0,1) b-[0,1) a{ a-[0,1) a} mem-[0,1)");
    close_fixture(&it);
}

static void leaving_and_undoing_ask_nobody(void **state)
{
    struct vmem_range range;
    struct recorder late;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    refuse_next(&it.first);
    refuse_next(&it.third);
    /* A plug that the last one refuses. */
    range = units(&it.world, 8, 2);
    it.third.veto_at = it.third.nr_populates;
    assert_int_equal(vmem_source_populate(it.source, &range, NULL), KEPT);
    world_expect(&it.world,
                 "a+[8,10) b+[8,10) c![8,10) b-[8,10) a-[8,10) mem-[8,10)");
    /* A replay that is refused half-way. */
    recorder_init(&late, "late", it.world.size, UNIT, &it.world.journal);
    late.may_object = true;
    late.keep_at = 0;
    late.granularity = UNIT;
    late.veto_at = 1;
    assert_int_equal(recorder_add(&late, it.world.region, NULL), -ENOSPC);
    world_expect(&it.world, "late+[0,1) late![1,2) late-[0,1) late~");
    assert_int_equal(it.world.region->nr_objectors, 2);
    recorder_destroy(&late);
    /* A listener that leaves. */
    world_remove_listener(&it.world, &it.third);
    world_expect(&it.world, "c-[0,8) c~");
    assert_int_equal(it.world.region->nr_objectors, 1);
    it.first.keep_at = UINT64_MAX;
    assert_int_equal(discard(&it, 0, 1, NULL), 0);
    world_expect(&it.world, "a?[0,1) b-[0,1) a-[0,1) mem-[0,1)");
    world_add_listener(&it.world, &it.third, "c", ALL, 0, 0);
    close_fixture(&it);
    assert_int_equal(it.third.nr_asks, 0);
}

/* Memory that is unplugged already is nobody's. */
static void retained_memory_is_not_asked_about(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it);
    fake_calls_fail(&it.world.memory.discards, 0, 1, -EIO);
    assert_int_equal(discard(&it, 0, 1, NULL), 0);
    assert_int_equal(world_retained(&it.world), UNIT);
    journal_take(&it.world.journal);
    refuse_next(&it.first);
    assert_int_equal(vmem_region_retry_discards(it.world.region, NULL), 0);
    world_expect(&it.world, "mem-[0,1)");
    close_fixture(&it);
}

static void a_frozen_region_asks_nobody(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    assert_int_equal(vmem_region_freeze(it.world.region, "f", NULL), 0);
    refuse_next(&it.first);
    assert_int_equal(discard(&it, 0, 1, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_FROZEN);
    world_expect(&it.world, "");
    assert_int_equal(vmem_region_thaw(it.world.region, "f", NULL), 0);
    close_fixture(&it);
}

static void a_source_that_hides_something_is_asked_about(void **state)
{
    struct vmem_source_config config = { .struct_size = sizeof(config),
                                         .name = "new",
                                         .block_size = 4 * UNIT,
                                         .flags = VMEM_SOURCE_DISCARDS };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source = NULL;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    refuse_next(&it.third);
    assert_int_equal(vmem_source_add(it.world.region, &config, &source, &err),
                     KEPT);
    assert_null(source);
    assert_int_equal(err.reason, VMEM_REASON_LISTENER_VETO);
    assert_non_null(strstr(err.message, "source \"new\""));
    assert_non_null(strstr(err.message, "by c"));
    world_expect(&it.world, "a?[0,8) cx[0,8)");
    assert_string_equal(world_populated_runs(&it.world), "[0,8)");
    /* The name was not taken. */
    assert_int_equal(vmem_source_add(it.world.region, &config, &source, &err),
                     0);
    world_expect(&it.world, "a?[0,8) c?[0,8) c-[0,8) b-[0,8) a-[0,8) "
                            "mem-[0,16)");
    /* Leaving shows something, and hides nothing. */
    refuse_next(&it.first);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_expect(&it.world, "a+[0,8) b+[0,8) c+[0,8)");
    close_fixture(&it);
}

static int positive(const struct vmem_range *range, void *opaque)
{
    (void)range;
    ++*(unsigned int *)opaque;
    return 1;
}

/* A positive number breaks the contract: a refusal, as of populate. What lies
 * behind the struct of an older program is not looked at. */
static void odd_answers_refuse_and_older_programs_are_not_asked(void **state)
{
    struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = quiet_accept,
        .discard = quiet_discard,
        .may_discard = positive,
    };
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "odd",
    };
    struct vmem_listener *listener;
    unsigned int nr_asks = 0;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    assert_int_equal(vmem_listener_add(it.world.region, &config, &ops, &nr_asks,
                                       &listener, NULL),
                     0);
    assert_int_equal(discard(&it, 0, 1, NULL), -EINVAL);
    assert_int_equal(nr_asks, 1);
    assert_int_equal(vmem_listener_remove(listener, NULL), 0);
    ops.struct_size = offsetof(struct vmem_listener_ops, may_discard);
    assert_int_equal(vmem_listener_add(it.world.region, &config, &ops, &nr_asks,
                                       &listener, NULL),
                     0);
    assert_int_equal(discard(&it, 0, 1, NULL), 0);
    assert_int_equal(nr_asks, 1);
    assert_int_equal(vmem_listener_remove(listener, NULL), 0);
    close_fixture(&it);
}

static void look_and_change(struct recorder *recorder, enum recorder_call call,
                            const struct vmem_range *range)
{
    const struct fixture *it = recorder->inside_opaque;
    struct vmem_range other = { 12 * UNIT, UNIT };
    uint64_t word = 0;

    if (call != RECORDER_MAY_DISCARD) {
        return;
    }
    /* Everything is as before the change. */
    if (!vmem_region_is_populated(it->world.region, range) ||
        vmem_source_get_page_bitmap(it->source, NULL, UNIT, &word) != 0 ||
        word != 0xff ||
        vmem_source_populate(it->source, &other, NULL) != -EDEADLK ||
        vmem_source_discard(it->source, &other, NULL) != -EDEADLK ||
        vmem_listener_remove(recorder->listener, NULL) != -EDEADLK) {
        recorder->nr_complaints++;
        snprintf(recorder->complaint, sizeof(recorder->complaint),
                 "refused, or allowed, inside may_discard");
    }
}

static void inside_one_may_ask_and_not_change(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it);
    it.first.inside = look_and_change;
    it.first.inside_opaque = &it;
    refuse_next(&it.third);
    assert_int_equal(discard(&it, 0, 4, NULL), KEPT);
    assert_int_equal(discard(&it, 0, 4, NULL), 0);
    assert_int_equal(it.first.nr_asks, 2);
    assert_string_equal(it.first.complaint, "");
    close_fixture(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_is_asked_before_anybody_is_told),
        cmocka_unit_test(a_refused_discard_changes_nothing),
        cmocka_unit_test(the_first_refusal_ends_the_asking),
        cmocka_unit_test(only_what_would_be_discarded_is_asked_about),
        cmocka_unit_test(the_questions_are_cut_as_the_discards_are),
        cmocka_unit_test(the_question_comes_before_the_batch),
        cmocka_unit_test(leaving_and_undoing_ask_nobody),
        cmocka_unit_test(retained_memory_is_not_asked_about),
        cmocka_unit_test(a_frozen_region_asks_nobody),
        cmocka_unit_test(a_source_that_hides_something_is_asked_about),
        cmocka_unit_test(odd_answers_refuse_and_older_programs_are_not_asked),
        cmocka_unit_test(inside_one_may_ask_and_not_change),
    };

    return cmocka_run_group_tests_name("refused discards", tests, NULL, NULL);
}
