/* SPDX-License-Identifier: BSD-3-Clause */
/* A late attach that is refused, whose undoing may fail too, while the guest goes
 * on: it changes blocks from the log sink, the only place where the host program
 * runs between the steps of attaching. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "support/fake_dma.h"
#include "support/world.h"

#define PAGE ((uint64_t)4096)
#define MEMORY ((void *)(uintptr_t)0x7f0000000000)
#define SECOND_NS ((uint64_t)1000000000)

struct fixture {
    struct world world;
    struct vmem_source *source;
    struct fake_dma fake;
    uint64_t nr_records; /* that the guest lets pass before it acts */
    uint64_t nr_visits;  /* of the guest, from the log sink */
    uint64_t nr_broken;  /* plugged what a device still reached */
    uint64_t nr_refused; /* plugs */
    uint64_t nr_vetoed;  /* of blocks that nothing is stuck at */
};

static int attach(struct fixture *it, struct vmem_dma_attachment **out,
                  struct vmem_error *err)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .region = it->world.region,
        .hva = MEMORY,
    };

    return vmem_dma_attach(it->fake.dma, &config, NULL, out, err);
}

static int plug(struct fixture *it, uint64_t first, uint64_t nr)
{
    return world_plug(&it->world, it->source, first, nr);
}

static int unplug(struct fixture *it, uint64_t first, uint64_t nr)
{
    return world_unplug(&it->world, it->source, first, nr);
}

static bool is_mapped(const struct fixture *it, uint64_t page)
{
    return fake_dma_find(&it->fake, page * PAGE) != NULL;
}

/* The guest unplugs each page that it has, and wants it back. What was mapped
 * before and still is, is the page that was discarded. */
static void visit(struct fixture *it)
{
    it->nr_visits++;
    for (uint64_t page = 0; page < 4; page++) {
        uint64_t nr_maps;
        bool is_stale;
        int ret;

        if (unplug(it, page, 1) != 0) {
            it->nr_broken++;
        }
        is_stale = is_mapped(it, page);
        nr_maps = it->fake.map.nr_calls;
        ret = plug(it, page, 1);
        it->nr_refused += ret != 0;
        it->nr_vetoed += ret != 0 && !is_stale;
        it->nr_broken += ret == 0 && is_stale && is_mapped(it, page) &&
                         it->fake.map.nr_calls == nr_maps;
    }
}

static void on_log(void *opaque)
{
    struct world *world = opaque;
    struct fixture *it = (struct fixture *)world; /* its first member */

    if (it->nr_records > 0) {
        it->nr_records--;
        return;
    }
    world->on_log = NULL; /* what the guest does is logged as well */
    visit(it);
}

/* 8 pages, of which [0,4) are plugged; nothing attached. */
static void open_fixture(struct fixture *it, bool has_batches)
{
    memset(it, 0, sizeof(*it));
    world_open(&it->world, 8 * PAGE, PAGE, 0);
    it->source = world_add_source(&it->world, "s", PAGE, VMEM_SOURCE_DISCARDS);
    fake_dma_init(&it->fake, PAGE);
    it->fake.has_batches = has_batches;
    assert_int_equal(fake_dma_make(&it->fake, it->world.vm, NULL), 0);
    assert_int_equal(plug(it, 0, 4), 0);
}

/* All that failed is repaired, and nothing is left behind. */
static void close_fixture(struct fixture *it)
{
    it->world.on_log = NULL;
    fake_dma_fail(&it->fake.map, 0, 0, 0);
    fake_dma_fail(&it->fake.unmap, 0, 0, 0);
    fake_dma_fail(&it->fake.commit, 0, 0, 0);
    assert_int_equal(vmem_dma_retry_unmaps(it->fake.dma, NULL), 0);
    assert_int_equal(it->fake.mappings->len, 0);
    assert_int_equal(vmem_vm_get_claims(it->world.vm), 0);
    fake_dma_destroy(&it->fake);
    assert_int_equal(vmem_source_remove(it->source, NULL), 0);
    world_close(&it->world);
}

/* The map of the third page fails, and so does every unmap. The guest acts after
 * the refusal, or after the undoing that failed. */
static void what_is_stuck_is_guarded_at_every_moment(void **state)
{
    (void)state;
    for (unsigned int i = 0; i < 4; i++) {
        struct vmem_dma_attachment *attachment = NULL;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fixture it;

        open_fixture(&it, (i & 1) != 0);
        it.nr_records = i / 2;
        fake_dma_fail(&it.fake.map, 2, 1, -ENOMEM);
        fake_dma_fail(&it.fake.unmap, 0, UINT64_MAX, -EIO);
        it.world.on_log = on_log;
        assert_int_equal(attach(&it, &attachment, &err), -ENOMEM);
        assert_null(attachment);
        assert_int_equal(err.reason, VMEM_REASON_MAP_FAILED);
        assert_int_equal(it.nr_visits, 1);
        assert_int_equal(it.nr_broken, 0);
        assert_int_equal(it.nr_refused, 2);
        assert_int_equal(it.nr_vetoed, 0);
        /* Nor later. */
        visit(&it);
        assert_int_equal(it.nr_broken, 0);
        assert_int_equal(it.nr_refused, 4);
        assert_int_equal(it.nr_vetoed, 0);
        assert_string_equal(fake_dma_mapped(&it.fake), "[0,1)[1,2)");
        assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 2);
        assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 2);
        /* Whoever cannot be unmapped keeps others out of its IOVAs. */
        assert_non_null(strstr(err.message, "vmem_dma_retry_unmaps()"));
        assert_int_equal(attach(&it, &attachment, &err), -EEXIST);
        assert_non_null(strstr(err.message, "vmem_dma_retry_unmaps()"));
        close_fixture(&it);
    }
}

/* vhost-vdpa: nothing is known before the end of a batch. */
static void a_commit_that_fails_is_guarded_as_well(void **state)
{
    struct vmem_dma_attachment *attachment = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_fixture(&it, true);
    fake_dma_fail(&it.fake.commit, 0, UINT64_MAX, -EPIPE);
    assert_int_equal(attach(&it, &attachment, &err), -EPIPE);
    assert_null(attachment);
    assert_int_equal(err.reason, VMEM_REASON_MAP_FAILED);
    assert_non_null(strstr(err.message, "did not commit"));
    assert_non_null(strstr(err.message, "vmem_dma_retry_unmaps()"));
    assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 4);
    assert_int_equal(unplug(&it, 1, 1), 0);
    assert_int_equal(plug(&it, 1, 1), -EPIPE);
    assert_string_equal(world_populated_runs(&it.world), "[0,1) [2,4)");
    assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 4);
    /* Nothing is stuck at this one. */
    assert_int_equal(plug(&it, 6, 1), 0);
    fake_dma_fail(&it.fake.commit, 0, 0, 0);
    assert_int_equal(plug(&it, 1, 1), 0);
    assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 3);
    close_fixture(&it);
}

/* The second map is refused, and then the commit of the first. */
static void the_first_refusal_is_the_one_that_is_told(void **state)
{
    struct vmem_dma_attachment *attachment = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_fixture(&it, true);
    fake_dma_fail(&it.fake.map, 1, 1, -EFAULT);
    fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
    assert_int_equal(attach(&it, &attachment, &err), -EFAULT);
    assert_null(attachment);
    assert_null(strstr(err.message, "did not commit"));
    assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 0);
    assert_int_equal(it.fake.mappings->len, 0);
    close_fixture(&it);
}

/* Whether the maps of a commit that failed are in effect is the backend's to choose.
 * Either way they are undone, nothing is stuck, and nobody says so. */
static void a_commit_that_fails_leaves_nothing_stuck(void **state)
{
    (void)state;
    for (int undoes = 0; undoes < 2; undoes++) {
        const struct vmem_dma_static_config config = {
            .struct_size = sizeof(config),
            .name = "boot",
            .iova = 16 * PAGE,
            .size = 2 * PAGE,
            .hva = MEMORY,
        };
        struct vmem_dma_attachment *attachment = NULL;
        struct vmem_dma_attachment *memory = NULL;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fixture it;

        open_fixture(&it, true);
        it.fake.undoes = undoes != 0;
        fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
        assert_int_equal(attach(&it, &attachment, &err), -EPIPE);
        assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 0);
        assert_null(strstr(err.message, "vmem_dma_retry_unmaps"));
        fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
        assert_int_equal(
            vmem_dma_attach_static(it.fake.dma, &config, NULL, &memory, &err),
            -EPIPE);
        assert_int_equal(attach(&it, &attachment, &err), 0);
        fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
        assert_int_equal(plug(&it, 4, 3), -EPIPE);
        assert_string_equal(fake_dma_mapped(&it.fake), "[0,1)[1,2)[2,3)[3,4)");
        assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 0);
        assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 4);
        assert_int_equal(fake_dma_stats(&it.fake).nr_unmap_errors, 0);
        assert_int_equal(it.world.nr_logs, 2); /* refused, in two episodes */
        assert_int_equal(it.world.last_log.code, VMEM_LOG_CODE_DMA_REFUSED);
        assert_int_equal(plug(&it, 4, 3), 0);
        assert_int_equal(vmem_dma_detach(attachment, &err), 0);
        close_fixture(&it);
    }
}

/* Unmapped, and mapped again, in a batch that fails. */
static void a_batch_that_fails_may_have_done_both(void **state)
{
    (void)state;
    for (int undoes = 0; undoes < 2; undoes++) {
        struct vmem_dma_attachment *attachment = NULL;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fixture it;

        open_fixture(&it, true);
        it.fake.undoes = undoes != 0;
        assert_int_equal(attach(&it, &attachment, &err), 0);
        fake_dma_fail(&it.fake.unmap, 0, 1, -EIO);
        assert_int_equal(unplug(&it, 1, 1), 0);
        assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 1);
        fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
        assert_int_equal(plug(&it, 1, 1), -EPIPE);
        assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 0);
        assert_string_equal(fake_dma_mapped(&it.fake), "[0,1)[2,3)[3,4)");
        /* And if the undoing fails as well. */
        fake_dma_fail(&it.fake.commit, 0, 3, -EPIPE);
        assert_int_equal(plug(&it, 1, 1), -EPIPE);
        assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 1);
        assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 4);
        assert_int_equal(it.world.last_log.code, VMEM_LOG_CODE_DMA_STUCK);
        assert_int_equal(vmem_dma_detach(attachment, &err), 0);
        close_fixture(&it);
    }
}

/* If the undoing works, nothing is left, and nobody was told of a veto. */
static void a_refused_attach_leaves_nothing_behind(void **state)
{
    (void)state;
    for (uint64_t nr = 0; nr < 4; nr++) {
        struct vmem_region_info info = { .struct_size = sizeof(info) };
        struct vmem_dma_attachment *attachment = NULL;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fixture it;

        open_fixture(&it, false);
        fake_dma_fail(&it.fake.map, nr, 1, -ENOMEM);
        it.world.on_log = on_log;
        assert_int_equal(attach(&it, &attachment, &err), -ENOMEM);
        assert_null(attachment);
        assert_int_equal(it.nr_visits, 1);
        assert_int_equal(it.nr_refused, 0);
        assert_int_equal(it.nr_broken, 0);
        assert_int_equal(it.world.nr_logs, 1);
        /* Nothing was mapped after the refusal, which the guest saw unmapped. */
        assert_int_equal(it.fake.map.nr_calls, nr + 1);
        assert_string_equal(fake_dma_mapped(&it.fake), "");
        assert_int_equal(vmem_vm_get_claims(it.world.vm), 0);
        assert_int_equal(vmem_region_get_info(it.world.region, &info), 0);
        assert_int_equal(info.nr_vetoes, 0);
        assert_int_equal(attach(&it, &attachment, &err), 0);
        assert_string_equal(fake_dma_mapped(&it.fake), "[0,1)[1,2)[2,3)[3,4)");
        assert_int_equal(vmem_dma_detach(attachment, &err), 0);
        close_fixture(&it);
    }
}

/* One failure, one record; and the next one of another kind has its own. */
static void each_failure_is_logged_once(void **state)
{
    struct vmem_dma_attachment *attachment = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_fixture(&it, true);
    assert_int_equal(attach(&it, &attachment, &err), 0);
    fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
    assert_int_equal(plug(&it, 5, 1), -EPIPE);
    assert_int_equal(it.world.nr_logs, 1);
    assert_int_equal(it.world.last_log.code, VMEM_LOG_CODE_DMA_REFUSED);
    assert_int_equal(plug(&it, 5, 1), 0);

    fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
    assert_int_equal(unplug(&it, 5, 1), 0);
    assert_int_equal(it.world.nr_logs, 2);
    assert_int_equal(it.world.last_log.code, VMEM_LOG_CODE_DMA_STUCK);
    assert_int_equal(fake_dma_stats(&it.fake).nr_commit_errors, 2);

    fake_dma_fail(&it.fake.map, 0, 1, -ENOMEM);
    assert_int_equal(plug(&it, 6, 1), -ENOMEM);
    assert_int_equal(it.world.nr_logs, 3);
    assert_int_equal(it.world.last_log.code, VMEM_LOG_CODE_DMA_REFUSED);
    assert_int_equal(plug(&it, 5, 1), 0);
    assert_int_equal(vmem_dma_detach(attachment, &err), 0);
    close_fixture(&it);
}

static void refuse_and_map(struct fixture *it)
{
    fake_dma_fail(&it->fake.map, 0, 1, -ENOMEM);
    assert_int_equal(plug(it, 5, 1), -ENOMEM);
    assert_int_equal(plug(it, 5, 1), 0);
    assert_int_equal(unplug(it, 5, 1), 0);
}

/* A guest may begin any number of short episodes in a second. The one that lasts is
 * logged, as soon as the log takes it. */
static void an_episode_is_logged_once_the_log_takes_it(void **state)
{
    struct vmem_dma_attachment *attachment = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_fixture(&it, true);
    assert_int_equal(attach(&it, &attachment, &err), 0);
    for (unsigned int i = 0; i < VMEM_LOG_BURST + 2; i++) {
        refuse_and_map(&it);
    }
    assert_int_equal(it.world.nr_logs, VMEM_LOG_BURST);
    fake_dma_fail(&it.fake.map, 0, UINT64_MAX, -ENOMEM);
    assert_int_equal(plug(&it, 5, 1), -ENOMEM);
    assert_int_equal(it.world.nr_logs, VMEM_LOG_BURST);
    it.world.now_ns += SECOND_NS;
    assert_int_equal(plug(&it, 5, 1), -ENOMEM);
    assert_int_equal(it.world.nr_logs, VMEM_LOG_BURST + 1);
    assert_int_equal(it.world.last_log.suppressed, 2); /* the short ones */
    assert_int_equal(plug(&it, 5, 1), -ENOMEM);
    assert_int_equal(it.world.nr_logs, VMEM_LOG_BURST + 1);
    fake_dma_fail(&it.fake.map, 0, 0, 0);
    assert_int_equal(vmem_dma_detach(attachment, &err), 0);
    close_fixture(&it);
}

/* The same of what is stuck, which nobody asks for again: in several mappers at once
 * there are more than the log takes of one operation. */
static void what_is_stuck_is_logged_for_each_mapper(void **state)
{
    enum { NR = 8 };
    struct vmem_dma_attachment *attachments[NR];
    struct fake_dma fakes[NR];
    struct fixture it;

    (void)state;
    open_fixture(&it, true);
    for (int i = 0; i < NR; i++) {
        const struct vmem_dma_attach_config config = {
            .struct_size = sizeof(config),
            .name = "ram",
            .region = it.world.region,
            .hva = MEMORY,
        };

        fake_dma_init(&fakes[i], PAGE);
        assert_int_equal(fake_dma_make(&fakes[i], it.world.vm, NULL), 0);
        assert_int_equal(
            vmem_dma_attach(fakes[i].dma, &config, NULL, &attachments[i], NULL),
            0);
        fake_dma_fail(&fakes[i].unmap, 0, UINT64_MAX, -EIO);
    }
    assert_int_equal(unplug(&it, 0, 1), 0);
    assert_true(it.world.nr_logs < NR);
    for (int i = 0; i < NR; i++) {
        it.world.now_ns += SECOND_NS;
        assert_int_equal(vmem_dma_retry_unmaps(fakes[i].dma, NULL), -EIO);
        assert_int_equal(vmem_dma_retry_unmaps(fakes[i].dma, NULL), -EIO);
    }
    assert_int_equal(it.world.nr_logs, NR);
    assert_int_equal(it.world.last_log.suppressed, 0);
    for (int i = 0; i < NR; i++) {
        fake_dma_fail(&fakes[i].unmap, 0, 0, 0);
        assert_int_equal(vmem_dma_detach(attachments[i], NULL), 0);
        fake_dma_destroy(&fakes[i]);
    }
    close_fixture(&it);
}

/* Whoever changes the region is told what the log is, each time. */
static void a_veto_says_why(void **state)
{
    struct vmem_dma_attachment *attachment = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;
    struct vmem_range range;

    (void)state;
    open_fixture(&it, false);
    range = units(&it.world, 4, 2);
    fake_dma_destroy(&it.fake);
    fake_dma_init(&it.fake, PAGE);
    it.fake.config.max_mappings = 5;
    it.fake.has_batches = true;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    assert_int_equal(attach(&it, &attachment, &err), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vmem_source_populate(it.source, &range, &err),
                         -ENOSPC);
        assert_int_equal(err.reason, VMEM_REASON_LISTENER_VETO);
        assert_non_null(strstr(err.message, "by fake/ram"));
        assert_non_null(strstr(err.message, "the limit is 5; use blocks of"));
    }
    range = units(&it.world, 4, 1);
    fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
    assert_int_equal(vmem_source_populate(it.source, &range, &err), -EPIPE);
    assert_non_null(strstr(err.message, "did not commit"));
    assert_int_equal(vmem_dma_detach(attachment, &err), 0);
    close_fixture(&it);
}

/* Static memory joins like a region that nobody changes. */
static void a_refused_static_attach_is_undone(void **state)
{
    (void)state;
    for (int has_batches = 0; has_batches < 2; has_batches++) {
        const struct vmem_dma_static_config config = {
            .struct_size = sizeof(config),
            .name = "boot",
            .size = 8 * PAGE,
            .hva = MEMORY,
        };
        struct vmem_dma_attachment *attachment = NULL;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fixture it;

        open_fixture(&it, has_batches != 0);
        fake_dma_destroy(&it.fake);
        fake_dma_init(&it.fake, PAGE);
        it.fake.has_batches = has_batches != 0;
        it.fake.max_size = 2 * PAGE;
        assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
        fake_dma_fail(&it.fake.map, 2, 1, -ENOSPC);
        assert_int_equal(vmem_dma_attach_static(it.fake.dma, &config, NULL,
                                                &attachment, &err),
                         -ENOSPC);
        assert_null(attachment);
        assert_int_equal(err.reason, VMEM_REASON_MAP_FAILED);
        assert_int_equal(it.fake.map.nr_calls, 3);
        assert_string_equal(fake_dma_mapped(&it.fake), "");
        assert_int_equal(fake_dma_stats(&it.fake).nr_static_mappings, 0);
        fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
        assert_int_equal(vmem_dma_attach_static(it.fake.dma, &config, NULL,
                                                &attachment, &err),
                         has_batches != 0 ? -EPIPE : 0);
        if (attachment != NULL) {
            assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
        }
        assert_string_equal(fake_dma_mapped(&it.fake), "");
        assert_int_equal(fake_dma_stats(&it.fake).nr_stuck, 0);
        close_fixture(&it);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_stuck_is_guarded_at_every_moment),
        cmocka_unit_test(a_commit_that_fails_is_guarded_as_well),
        cmocka_unit_test(a_commit_that_fails_leaves_nothing_stuck),
        cmocka_unit_test(a_batch_that_fails_may_have_done_both),
        cmocka_unit_test(the_first_refusal_is_the_one_that_is_told),
        cmocka_unit_test(a_refused_attach_leaves_nothing_behind),
        cmocka_unit_test(each_failure_is_logged_once),
        cmocka_unit_test(an_episode_is_logged_once_the_log_takes_it),
        cmocka_unit_test(what_is_stuck_is_logged_for_each_mapper),
        cmocka_unit_test(a_veto_says_why),
        cmocka_unit_test(a_refused_static_attach_is_undone),
    };

    return cmocka_run_group_tests_name("dma refused", tests, NULL, NULL);
}
