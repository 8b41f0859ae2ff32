/* SPDX-License-Identifier: BSD-3-Clause */
/* A discard cannot fail, an unmap can: what stays mapped is counted, tried again,
 * never forgotten and never mapped twice. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "support/fake_dma.h"
#include "support/world.h"

#define PAGE ((uint64_t)4096)
#define MEMORY ((void *)(uintptr_t)0x7f0000000000)

struct fixture {
    struct world world;
    struct vmem_source *source;
    struct fake_dma fake;
    struct vmem_dma_attachment *attachment;
    int in_sink;
};

static int attach(struct fixture *it)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .region = it->world.region,
        .hva = MEMORY,
    };

    return vmem_dma_attach(it->fake.dma, &config, NULL, &it->attachment, NULL);
}

static int plug(struct fixture *it, uint64_t first, uint64_t nr)
{
    return world_plug(&it->world, it->source, first, nr);
}

static int unplug(struct fixture *it, uint64_t first, uint64_t nr)
{
    return world_unplug(&it->world, it->source, first, nr);
}

/* 16 pages, of which [0,8) are plugged. */
static void open_fixture(struct fixture *it, bool is_exact, bool has_batches)
{
    memset(it, 0, sizeof(*it));
    world_open(&it->world, 16 * PAGE, PAGE, 0);
    it->source = world_add_source(&it->world, "s", PAGE, VMEM_SOURCE_DISCARDS);
    fake_dma_init(&it->fake, PAGE);
    it->fake.is_exact = is_exact;
    it->fake.has_batches = has_batches;
    assert_int_equal(fake_dma_make(&it->fake, it->world.vm, NULL), 0);
    assert_int_equal(attach(it), 0);
    assert_int_equal(plug(it, 0, 8), 0);
}

static void close_fixture(struct fixture *it)
{
    assert_int_equal(vmem_dma_detach(it->attachment, NULL), 0);
    fake_dma_destroy(&it->fake);
    assert_int_equal(vmem_source_remove(it->source, NULL), 0);
    world_close(&it->world);
}

static void expect_stuck(struct fixture *it, uint64_t nr, uint64_t nr_mappings)
{
    const struct vmem_dma_stats stats = fake_dma_stats(&it->fake);

    assert_int_equal(stats.nr_stuck, nr);
    assert_int_equal(stats.stuck_size, nr * PAGE);
    assert_int_equal(stats.nr_mappings, nr_mappings);
    assert_int_equal(stats.pinned_size, nr_mappings * PAGE);
    assert_int_equal(it->fake.mappings->len, nr_mappings);
}

#define expect_mapped(it, text)                                                \
    assert_string_equal(fake_dma_mapped(&(it)->fake), text)

static void what_stays_is_counted_and_logged_once(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, true, false);
    fake_dma_fail(&it.fake.unmap, 0, 3, -EIO);
    assert_int_equal(unplug(&it, 0, 6), 0);
    expect_mapped(&it, "[0,1)[1,2)[2,3)[6,7)[7,8)");
    expect_stuck(&it, 3, 5);
    assert_string_equal(world_populated_runs(&it.world), "[6,8)");
    assert_int_equal(it.world.nr_logs, 1);
    assert_int_equal(it.world.last_log.code, VMEM_LOG_CODE_DMA_STUCK);
    assert_string_equal(it.world.log_object, "fake/ram");
    assert_non_null(strstr(it.world.log_message, "0x1000 bytes at iova 0x0"));
    assert_non_null(strstr(it.world.log_message, "errno 5"));
    assert_int_equal(fake_dma_stats(&it.fake).nr_unmap_errors, 3);

    /* The next episode is reported again. */
    assert_int_equal(vmem_dma_retry_unmaps(it.fake.dma, NULL), 0);
    expect_stuck(&it, 0, 2);
    fake_dma_fail(&it.fake.unmap, 0, 1, -EIO);
    assert_int_equal(unplug(&it, 6, 1), 0);
    assert_int_equal(it.world.nr_logs, 2);
    close_fixture(&it);
}

static void a_plug_over_it_tries_again_or_is_refused(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, false, false);
    fake_dma_fail(&it.fake.unmap, 0, UINT64_MAX, -EIO);
    assert_int_equal(unplug(&it, 2, 2), 0);
    expect_stuck(&it, 2, 8);
    assert_int_equal(plug(&it, 2, 2), -EBUSY);
    assert_int_equal(plug(&it, 3, 1), -EBUSY);
    assert_int_equal(fake_dma_stats(&it.fake).nr_stuck_refusals, 2);
    expect_stuck(&it, 2, 8);
    /* Others are not affected. */
    assert_int_equal(plug(&it, 9, 1), 0);
    fake_dma_fail(&it.fake.unmap, 0, 0, 0);
    assert_int_equal(plug(&it, 2, 1), 0);
    expect_stuck(&it, 1, 9);
    assert_int_equal(plug(&it, 3, 1), 0);
    expect_stuck(&it, 0, 9);
    expect_mapped(&it, "[0,1)[1,2)[2,3)[3,4)[4,5)[5,6)[6,7)[7,8)[9,10)");
    close_fixture(&it);
}

/* iommufd: an error in the middle leaves the first ones unmapped, and does not
 * say how many. */
static void a_run_that_failed_halfway_is_asked_for_one_by_one(void **state)
{
    (void)state;
    for (int enoent = 0; enoent < 2; enoent++) {
        struct fixture it;

        open_fixture(&it, false, false);
        it.fake.fails_halfway = true;
        it.fake.says_enoent = enoent != 0;
        fake_dma_fail(&it.fake.unmap, 0, 1, -EBUSY);
        assert_int_equal(unplug(&it, 0, 8), 0);
        expect_mapped(&it, "");
        expect_stuck(&it, 0, 0);
        assert_int_equal(fake_dma_stats(&it.fake).nr_unmaps, 9);
        assert_int_equal(fake_dma_stats(&it.fake).nr_unmap_errors, 1);
        /* The same, and the first two fail alone, too. */
        assert_int_equal(plug(&it, 0, 8), 0);
        fake_dma_fail(&it.fake.unmap, 0, 7, -EBUSY);
        assert_int_equal(unplug(&it, 0, 8), 0);
        assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 6);
        assert_int_equal(vmem_dma_retry_unmaps(it.fake.dma, NULL), 0);
        expect_stuck(&it, 0, 0);
        close_fixture(&it);
    }
}

/* Success with too few bytes is asked about again; those that had nothing are
 * those that the first call did. */
static void a_run_that_was_done_in_part_adds_up(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, false, false);
    it.fake.fails_halfway = true;
    fake_dma_fail(&it.fake.unmap, 0, 1, 0);
    assert_int_equal(unplug(&it, 0, 8), 0);
    expect_mapped(&it, "");
    expect_stuck(&it, 0, 0);
    /* The call for the run said too few; no chunk did, and nobody is alarmed. */
    assert_int_equal(fake_dma_stats(&it.fake).nr_unmap_errors, 1);
    assert_int_equal(it.world.nr_logs, 0);
    close_fixture(&it);
}

/* A backend that says nothing was there has lost mappings, or lies: stuck until
 * it says so again. */
static void too_few_bytes_are_stuck_until_asked_again(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, false, false);
    fake_dma_fail(&it.fake.unmap, 0, 1, 0);
    assert_int_equal(unplug(&it, 3, 1), 0);
    expect_stuck(&it, 1, 8);
    assert_int_equal(plug(&it, 3, 1), 0);
    expect_stuck(&it, 0, 8);

    /* All of it was unmapped behind the mapper's back. */
    g_array_set_size(it.fake.mappings, 0);
    assert_int_equal(unplug(&it, 0, 8), 0);
    assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 8);
    assert_int_equal(vmem_dma_retry_unmaps(it.fake.dma, NULL), 0);
    expect_stuck(&it, 0, 0);
    close_fixture(&it);
}

/* A mapping goes as a whole; what is said to be half gone is not. */
static void half_a_chunk_is_stuck(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, true, false);
    it.fake.fails_halfway = true;
    fake_dma_fail(&it.fake.unmap, 0, 2, 0);
    assert_int_equal(unplug(&it, 3, 1), 0);
    expect_stuck(&it, 1, 8);
    assert_int_equal(vmem_dma_retry_unmaps(it.fake.dma, NULL), -EBUSY);
    expect_stuck(&it, 1, 8);
    assert_int_equal(vmem_dma_retry_unmaps(it.fake.dma, NULL), 0);
    expect_stuck(&it, 0, 7);
    close_fixture(&it);
}

static void a_positive_answer_is_a_failure(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, false, false);
    fake_dma_fail(&it.fake.unmap, 0, 1, 7);
    assert_int_equal(unplug(&it, 3, 1), 0);
    expect_stuck(&it, 1, 8);
    assert_non_null(strstr(it.world.log_message, "errno 22"));
    close_fixture(&it);
}

/* vhost-vdpa: whether unmaps worked is known at the end of the batch. */
static void a_commit_that_fails_after_unmaps_leaves_them_stuck(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, false, true);
    fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
    assert_int_equal(unplug(&it, 2, 3), 0);
    assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 3);
    assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 8);
    assert_int_equal(it.world.last_log.code, VMEM_LOG_CODE_DMA_STUCK);
    /* The fake had unmapped them, and says that nothing is there. */
    assert_int_equal(plug(&it, 2, 3), 0);
    expect_stuck(&it, 0, 8);

    /* A retry whose commit fails is none. */
    fake_dma_fail(&it.fake.commit, 0, 2, -EPIPE);
    assert_int_equal(unplug(&it, 2, 1), 0);
    assert_int_equal(vmem_dma_retry_unmaps(it.fake.dma, NULL), -EPIPE);
    assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 1);
    /* Unmapped, mapped anew, and then the commit fails: what was mapped is
     * unmapped again. */
    fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
    assert_int_equal(plug(&it, 2, 1), -EPIPE);
    expect_stuck(&it, 0, 7);
    close_fixture(&it);
}

static void detaching_keeps_what_is_stuck(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_fixture(&it, true, false);
    fake_dma_fail(&it.fake.unmap, 2, 1, -EIO);
    assert_int_equal(vmem_dma_detach(it.attachment, &err), -EIO);
    assert_int_equal(err.reason, VMEM_REASON_UNMAP_FAILED);
    assert_int_equal(err.range.offset, 2 * PAGE);
    assert_int_equal(err.range.size, PAGE);
    assert_non_null(strstr(err.message, "fake/ram"));
    expect_mapped(&it, "[2,3)");
    expect_stuck(&it, 1, 1);
    /* What is attached is left as it is. */
    assert_int_equal(vmem_dma_free(it.fake.dma, &err), -EBUSY);
    expect_stuck(&it, 1, 1);
    close_fixture(&it);
}

static void on_stuck(void *opaque)
{
    struct world *world = opaque;
    struct fixture *it = (struct fixture *)world; /* its first member */

    world->on_log = NULL;
    it->in_sink = vmem_dma_detach(it->attachment, NULL);
    if (it->in_sink == 0) {
        it->attachment = NULL;
    }
}

/* Who answers "stuck" by detaching may do so, but not while it is being detached. */
static void the_log_sink_does_not_detach_what_is_being_detached(void **state)
{
    (void)state;
    for (int is_detaching = 0; is_detaching < 2; is_detaching++) {
        struct fixture it;

        open_fixture(&it, true, false);
        fake_dma_fail(&it.fake.unmap, 0, 1, -EIO);
        it.world.on_log = on_stuck;
        if (is_detaching != 0) {
            assert_int_equal(vmem_dma_detach(it.attachment, NULL), -EIO);
            assert_int_equal(it.in_sink, -EDEADLK);
        } else {
            assert_int_equal(unplug(&it, 0, 1), 0);
            assert_int_equal(it.in_sink, 0);
            expect_mapped(&it, "");
        }
        close_fixture(&it);
    }
}

/* An attachment that is half detached maps nothing, and still guards. */
static void a_leaving_attachment_guards_its_memory(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, true, false);
    fake_dma_fail(&it.fake.unmap, 2, UINT64_MAX, -EIO);
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), -EIO);
    expect_stuck(&it, 6, 6);
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), -EIO);
    assert_int_equal(vmem_dma_retry_unmaps(it.fake.dma, NULL), -EIO);
    assert_true(vmem_vm_is_uncoordinated_forbidden(it.world.vm));
    assert_int_equal(unplug(&it, 0, 8), 0);
    assert_int_equal(plug(&it, 5, 1), -EBUSY);
    assert_int_equal(plug(&it, 9, 1), 0);
    expect_stuck(&it, 6, 6);
    fake_dma_fail(&it.fake.unmap, 0, 0, 0);
    assert_int_equal(plug(&it, 5, 1), 0);
    expect_stuck(&it, 5, 5);
    /* A discard tries again too. */
    assert_int_equal(plug(&it, 4, 1), 0);
    assert_int_equal(unplug(&it, 0, 16), 0);
    expect_stuck(&it, 4, 4);
    close_fixture(&it);
}

static void a_discard_over_it_tries_again(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it, true, false);
    fake_dma_fail(&it.fake.unmap, 0, UINT64_MAX, -EIO);
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), -EIO);
    expect_stuck(&it, 8, 8);
    fake_dma_fail(&it.fake.unmap, 0, 0, 0);
    /* The region still has them populated. */
    assert_int_equal(unplug(&it, 0, 3), 0);
    expect_stuck(&it, 5, 5);
    close_fixture(&it);
}

/* Attaching failed, and then the undoing did: nobody has a handle, but the
 * mapper does not forget. */
static void an_attach_that_cannot_be_undone_is_not_forgotten(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_dma_info info = { .struct_size = sizeof(info) };
    struct fixture it;

    (void)state;
    open_fixture(&it, true, false);
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), 0);
    it.attachment = NULL;
    fake_dma_fail(&it.fake.map, 5, 1, -EFAULT);
    fake_dma_fail(&it.fake.unmap, 0, UINT64_MAX, -EIO);
    assert_int_equal(attach(&it), -EFAULT);
    assert_null(it.attachment);
    expect_stuck(&it, 5, 5);
    assert_int_equal(vmem_dma_get_info(it.fake.dma, &info), 0);
    assert_int_equal(info.nr_attachments, 1);
    assert_int_equal(vmem_dma_free(it.fake.dma, &err), -EBUSY);
    assert_non_null(strstr(err.message, "fake/ram, which is stuck"));
    assert_int_equal(vmem_region_free(it.world.region, NULL), -EBUSY);
    /* Its IOVAs are taken, and its memory cannot be plugged again. */
    assert_int_equal(attach(&it), -EEXIST);
    assert_int_equal(unplug(&it, 0, 8), 0);
    assert_int_equal(plug(&it, 0, 1), -EBUSY);
    assert_int_equal(plug(&it, 6, 1), 0);
    assert_int_equal(vmem_dma_retry_unmaps(it.fake.dma, &err), -EIO);
    assert_non_null(strstr(err.message, "5 mappings"));
    fake_dma_fail(&it.fake.unmap, 0, 0, 0);
    assert_int_equal(vmem_dma_retry_unmaps(it.fake.dma, NULL), 0);
    assert_int_equal(vmem_dma_get_info(it.fake.dma, &info), 0);
    assert_int_equal(info.nr_attachments, 0);
    expect_stuck(&it, 0, 0);
    assert_int_equal(vmem_vm_get_claims(it.world.vm), 0);
    assert_int_equal(attach(&it), 0);
    close_fixture(&it);
}

/* What frees the last stuck chunk may be a plug, of which nobody tells the
 * mapper's owner. */
static void what_a_plug_unstuck_is_in_nobodys_way(void **state)
{
    struct fixture it;

    (void)state;
    for (int again = 0; again < 2; again++) {
        open_fixture(&it, true, false);
        assert_int_equal(vmem_dma_detach(it.attachment, NULL), 0);
        it.attachment = NULL;
        fake_dma_fail(&it.fake.map, 1, 1, -EFAULT);
        fake_dma_fail(&it.fake.unmap, 0, UINT64_MAX, -EIO);
        assert_int_equal(attach(&it), -EFAULT);
        expect_stuck(&it, 1, 1);
        assert_int_equal(unplug(&it, 0, 8), 0);
        fake_dma_fail(&it.fake.unmap, 0, 0, 0);
        assert_int_equal(plug(&it, 0, 1), 0);
        expect_stuck(&it, 0, 0);
        if (again > 0) {
            assert_int_equal(attach(&it), 0);
            expect_mapped(&it, "[0,1)");
        }
        close_fixture(&it);
    }
}

/* Mappings that were taken away behind the mapper: the first answer may be a
 * lie, the second is believed. */
static void what_was_taken_away_is_detached_at_the_second_try(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    for (int is_exact = 0; is_exact < 2; is_exact++) {
        for (int enoent = 0; enoent < 2; enoent++) {
            open_fixture(&it, is_exact != 0, false);
            it.fake.says_enoent = enoent != 0;
            g_array_set_size(it.fake.mappings, 0);
            assert_int_equal(vmem_dma_detach(it.attachment, &err), -EBUSY);
            assert_int_equal(err.reason, VMEM_REASON_UNMAP_FAILED);
            assert_int_equal(err.range.offset, 0);
            assert_int_equal(err.range.size, PAGE);
            assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 8);
            assert_true(vmem_vm_is_uncoordinated_forbidden(it.world.vm));
            close_fixture(&it);
        }
    }
}

/* Half detached: what is stuck counts, what was once requested does not. */
static void wants_end_with_detaching(void **state)
{
    const struct vmem_dma_static_config config = {
        .struct_size = sizeof(config),
        .name = "boot",
        .iova = 64 * PAGE,
        .size = PAGE,
        .hva = MEMORY,
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_dma_attach_config wanting = {
        .struct_size = sizeof(wanting),
        .name = "ram",
        .requested_size = 16 * PAGE,
        .hva = MEMORY,
    };
    struct vmem_dma_attachment *memory;
    struct fixture it;

    (void)state;
    open_fixture(&it, true, false);
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), 0);
    wanting.region = it.world.region;
    assert_int_equal(
        vmem_dma_attach(it.fake.dma, &wanting, NULL, &it.attachment, NULL), 0);
    fake_dma_fail(&it.fake.unmap, 2, 3, -EIO);
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), -EIO);
    expect_stuck(&it, 3, 3);
    assert_int_equal(
        vmem_dma_attach_static(it.fake.dma, &config, &verdict, &memory, NULL),
        0);
    assert_int_equal(verdict.nr_taken, 3);
    assert_int_equal(verdict.pinned_size, 3 * PAGE);
    assert_int_equal(vmem_dma_detach(memory, NULL), 0);
    close_fixture(&it);
}

static void static_memory_may_be_stuck(void **state)
{
    const struct vmem_dma_static_config config = {
        .struct_size = sizeof(config),
        .name = "boot",
        .iova = 64 * PAGE,
        .size = 8 * PAGE,
        .hva = MEMORY,
    };
    struct vmem_dma_attachment *memory = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_fixture(&it, false, false);
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), 0);
    fake_dma_destroy(&it.fake);
    fake_dma_init(&it.fake, PAGE);
    it.fake.max_size = 3 * PAGE; /* pieces of two */
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    fake_dma_fail(&it.fake.map, 3, 1, -ENOMEM);
    fake_dma_fail(&it.fake.unmap, 0, UINT64_MAX, -EIO);
    assert_int_equal(
        vmem_dma_attach_static(it.fake.dma, &config, NULL, &memory, &err),
        -ENOMEM);
    assert_null(memory);
    expect_mapped(&it, "[64,66)[66,68)[68,70)");
    assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 3);
    fake_dma_fail(&it.fake.unmap, 0, 0, 0);
    assert_int_equal(vmem_dma_free(it.fake.dma, NULL), 0);
    it.fake.dma = NULL;
    assert_int_equal(it.fake.nr_destroys, 1);
    expect_mapped(&it, "");
    fake_dma_forget(&it.fake);
    assert_int_equal(vmem_source_remove(it.source, NULL), 0);
    world_close(&it.world);
}

static void bad_calls_are_refused(void **state)
{
    (void)state;
    assert_int_equal(vmem_dma_retry_unmaps(NULL, NULL), -EINVAL);
    assert_int_equal(vmem_dma_detach(NULL, NULL), 0);
    assert_int_equal(vmem_dma_free(NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stays_is_counted_and_logged_once),
        cmocka_unit_test(a_plug_over_it_tries_again_or_is_refused),
        cmocka_unit_test(a_run_that_failed_halfway_is_asked_for_one_by_one),
        cmocka_unit_test(a_run_that_was_done_in_part_adds_up),
        cmocka_unit_test(too_few_bytes_are_stuck_until_asked_again),
        cmocka_unit_test(half_a_chunk_is_stuck),
        cmocka_unit_test(a_positive_answer_is_a_failure),
        cmocka_unit_test(a_commit_that_fails_after_unmaps_leaves_them_stuck),
        cmocka_unit_test(detaching_keeps_what_is_stuck),
        cmocka_unit_test(the_log_sink_does_not_detach_what_is_being_detached),
        cmocka_unit_test(a_leaving_attachment_guards_its_memory),
        cmocka_unit_test(a_discard_over_it_tries_again),
        cmocka_unit_test(an_attach_that_cannot_be_undone_is_not_forgotten),
        cmocka_unit_test(what_a_plug_unstuck_is_in_nobodys_way),
        cmocka_unit_test(what_was_taken_away_is_detached_at_the_second_try),
        cmocka_unit_test(wants_end_with_detaching),
        cmocka_unit_test(static_memory_may_be_stuck),
        cmocka_unit_test(bad_calls_are_refused),
    };

    return cmocka_run_group_tests_name("dma stuck", tests, NULL, NULL);
}
