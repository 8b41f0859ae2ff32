/* SPDX-License-Identifier: BSD-3-Clause */
/* What is mapped follows what is populated: counts, rollback, batches, statistics,
 * walks. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/le.h"
#include "support/fake_dma.h"
#include "support/world.h"

#define PAGE ((uint64_t)4096)
#define MIB ((uint64_t)1 << 20)
#define MEMORY ((void *)(uintptr_t)0x7f0000000000)

struct fixture {
    struct world world;
    struct vmem_source *source;
    struct fake_dma fake;
    struct vmem_dma_attachment *attachment;
    uint64_t block;
};

static struct vmem_dma_attach_config config_of(struct fixture *it)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .region = it->world.region,
        .hva = MEMORY,
    };

    return config;
}

static int attach(struct fixture *it, struct vmem_error *err)
{
    const struct vmem_dma_attach_config config = config_of(it);

    return vmem_dma_attach(it->fake.dma, &config, NULL, &it->attachment, err);
}

/* A region of so many blocks in a source; the mapper is made by the test. */
static void open_region(struct fixture *it, uint64_t nr_blocks, uint64_t block)
{
    memset(it, 0, sizeof(*it));
    it->block = block;
    world_open(&it->world, nr_blocks * block, block, 0);
    it->source = world_add_source(&it->world, "s", block, VMEM_SOURCE_DISCARDS);
    fake_dma_init(&it->fake, PAGE);
}

static void open_fixture(struct fixture *it)
{
    open_region(it, 16, PAGE);
    it->fake.has_batches = true;
    assert_int_equal(fake_dma_make(&it->fake, it->world.vm, NULL), 0);
    assert_int_equal(attach(it, NULL), 0);
}

static void close_fixture(struct fixture *it)
{
    assert_int_equal(vmem_dma_detach(it->attachment, NULL), 0);
    fake_dma_destroy(&it->fake);
    assert_int_equal(vmem_source_remove(it->source, NULL), 0);
    world_close(&it->world);
}

static int plug(struct fixture *it, uint64_t first, uint64_t nr)
{
    const struct vmem_range range = { first * it->block, nr * it->block };

    return vmem_source_populate(it->source, &range, NULL);
}

static int unplug(struct fixture *it, uint64_t first, uint64_t nr)
{
    const struct vmem_range range = { first * it->block, nr * it->block };

    return vmem_source_discard(it->source, &range, NULL);
}

#define expect_mapped(it, text)                                                \
    assert_string_equal(fake_dma_mapped(&(it)->fake), text)

/* 100 MiB in blocks of 2 MiB: 50 calls, and one to unmap them; 50 if the backend
 * must be asked exactly. */
static void calls_are_counted(void **state)
{
    (void)state;
    for (int exact = 0; exact < 2; exact++) {
        struct vmem_dma_stats stats;
        struct fixture it;

        open_region(&it, 64, 2 * MIB);
        it.fake.is_exact = exact != 0;
        assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
        assert_int_equal(attach(&it, NULL), 0);
        assert_int_equal(plug(&it, 0, 50), 0);
        stats = fake_dma_stats(&it.fake);
        assert_int_equal(stats.nr_maps, 50);
        assert_int_equal(stats.nr_mappings, 50);
        assert_int_equal(stats.pinned_size, 100 * MIB);
        assert_int_equal(unplug(&it, 0, 50), 0);
        stats = fake_dma_stats(&it.fake);
        assert_int_equal(stats.nr_unmaps, exact ? 50 : 1);
        assert_int_equal(stats.nr_mappings, 0);
        assert_int_equal(stats.peak_mappings, 50);
        assert_int_equal(stats.peak_pinned_size, 100 * MIB);
        assert_int_equal(stats.pinned_size, 0);
        close_fixture(&it);
    }
}

static void mappings_are_what_is_populated(void **state)
{
    const struct vmem_dma_mapping *mapping;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    expect_mapped(&it, "");
    assert_int_equal(plug(&it, 2, 2), 0);
    assert_int_equal(plug(&it, 7, 1), 0);
    expect_mapped(&it, "[2,3)[3,4)[7,8)");
    mapping = fake_dma_find(&it.fake, 3 * PAGE);
    assert_ptr_equal(mapping->hva, (char *)MEMORY + 3 * PAGE);
    assert_int_equal(mapping->fd, -1);
    assert_int_equal(mapping->protection, VMEM_DMA_READ | VMEM_DMA_WRITE);
    assert_int_equal(unplug(&it, 3, 1), 0);
    expect_mapped(&it, "[2,3)[7,8)");
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), 0);
    expect_mapped(&it, "");
    /* Late: what is populated is mapped, in one batch. */
    it.fake.nr_batches = 0;
    assert_int_equal(attach(&it, NULL), 0);
    expect_mapped(&it, "[2,3)[7,8)");
    assert_int_equal(it.fake.nr_batches, 1);
    assert_int_equal(unplug(&it, 0, 16), 0);
    assert_int_equal(it.fake.nr_batches, 2);
    expect_mapped(&it, "");
    close_fixture(&it);
}

/* A device that is loaded: old and new blocks are mapped for a moment, which the
 * budget has to hold, and what stays is not mapped anew. */
static void a_load_maps_what_comes_and_unmaps_what_goes(void **state)
{
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "device",
        .block_size = PAGE,
        .usable_policy = VMEM_USABLE_ALL,
    };
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    struct fixture it = { .block = PAGE };
    struct vmem_device *device;
    uint64_t blocks;

    (void)state;
    world_open(&it.world, 16 * PAGE, PAGE, 0);
    assert_int_equal(vmem_device_new(it.world.region, &device_config, NULL,
                                     NULL, &device, NULL),
                     0);
    fake_dma_init(&it.fake, PAGE);
    it.fake.config.max_mappings = 4;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    assert_int_equal(attach(&it, NULL), 0);
    assert_int_equal(vmem_device_save(device, &saved, &blocks, 1), 0);
    blocks = 0x0d;
    saved.plugged_size = 3 * PAGE;
    assert_int_equal(vmem_device_load(device, &saved, &blocks, 1, NULL), 0);
    expect_mapped(&it, "[0,1)[2,3)[3,4)");
    blocks = 0x19;
    assert_int_equal(vmem_device_load(device, &saved, &blocks, 1, NULL), 0);
    expect_mapped(&it, "[0,1)[3,4)[4,5)");
    assert_int_equal(fake_dma_stats(&it.fake).nr_maps, 4);
    /* Two would come before two go. */
    blocks = 0x61;
    assert_int_equal(vmem_device_load(device, &saved, &blocks, 1, NULL),
                     -ENOSPC);
    expect_mapped(&it, "[0,1)[3,4)[4,5)");
    assert_int_equal(vmem_device_reset(device, VMEM_RESET_SYSTEM, NULL), 0);
    assert_int_equal(vmem_device_load(device, &saved, &blocks, 1, NULL), 0);
    expect_mapped(&it, "[0,1)[5,6)[6,7)");
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), 0);
    fake_dma_destroy(&it.fake);
    assert_int_equal(vmem_device_free(device, NULL), 0);
    world_close(&it.world);
}

/* A window that cuts chunks at both ends, at an IOVA of its own, read-only. */
static void windows_are_clipped(void **state)
{
    struct vmem_dma_attachment *window;
    struct vmem_dma_attach_config config;
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    const struct vmem_dma_mapping *mapping;
    struct fixture it;

    (void)state;
    open_region(&it, 4, 4 * PAGE);
    it.fake.is_exact = true;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    config = config_of(&it);
    config.window = (struct vmem_range){ 2 * PAGE, 9 * PAGE };
    config.iova = 100 * PAGE;
    config.flags = VMEM_DMA_READ_ONLY;
    assert_int_equal(plug(&it, 0, 4), 0);
    assert_int_equal(
        vmem_dma_attach(it.fake.dma, &config, &verdict, &window, NULL), 0);
    expect_mapped(&it, "[100,102)r[102,106)r[106,109)r");
    mapping = fake_dma_find(&it.fake, 102 * PAGE);
    assert_ptr_equal(mapping->hva, (char *)MEMORY + 4 * PAGE);
    assert_int_equal(verdict.nr_now, 3);
    assert_int_equal(verdict.nr_worst_case, 3);
    assert_int_equal(verdict.granularity, 4 * PAGE);
    assert_int_equal(unplug(&it, 0, 1), 0);
    expect_mapped(&it, "[102,106)r[106,109)r");
    assert_int_equal(unplug(&it, 2, 1), 0);
    expect_mapped(&it, "[102,106)r");
    assert_int_equal(vmem_dma_detach(window, NULL), 0);
    close_fixture(&it);
}

static void two_regions_share_a_mapper(void **state)
{
    const struct vmem_region_config other = {
        .struct_size = sizeof(other),
        .name = "other",
        .size = 3 * PAGE,
    };
    struct vmem_dma_attachment *second;
    struct vmem_dma_attach_config config;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_region *region;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    assert_int_equal(vmem_region_new(it.world.vm, &other, &region, NULL), 0);
    config = config_of(&it);
    config.name = "other";
    config.region = region;
    config.iova = 15 * PAGE;
    assert_int_equal(vmem_dma_attach(it.fake.dma, &config, NULL, &second, &err),
                     -EEXIST);
    assert_non_null(strstr(err.message, "fake/ram"));
    config.iova = 16 * PAGE;
    assert_int_equal(vmem_dma_attach(it.fake.dma, &config, NULL, &second, &err),
                     0);
    /* Without sources it is all populated, and one chunk. */
    expect_mapped(&it, "[16,19)");
    assert_int_equal(plug(&it, 15, 1), 0);
    expect_mapped(&it, "[15,16)[16,19)");
    assert_int_equal(vmem_region_free(region, &err), -EBUSY);
    assert_non_null(strstr(err.message, "fake/other"));
    assert_int_equal(vmem_dma_free(it.fake.dma, &err), -EBUSY);
    assert_non_null(strstr(err.message, "fake/ram, fake/other"));
    assert_int_equal(vmem_vm_free(it.world.vm, &err), -EBUSY);
    assert_int_equal(vmem_dma_detach(second, NULL), 0);
    assert_int_equal(vmem_region_free(region, &err), 0);
    close_fixture(&it);
}

/* Every map call of a plug fails once: nothing of the attempt stays. */
static void a_failed_map_is_undone_at_every_call(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it);
    assert_int_equal(plug(&it, 3, 1), 0);
    for (uint64_t at = 0; at < 7; at++) {
        fake_dma_fail(&it.fake.map, at, 1, -EFAULT);
        assert_int_equal(plug(&it, 0, 8), -EFAULT);
        expect_mapped(&it, "[3,4)");
        assert_string_equal(world_populated_runs(&it.world), "[3,4)");
    }
    assert_int_equal(fake_dma_stats(&it.fake).nr_map_errors, 7);
    assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 1);
    assert_int_equal(plug(&it, 0, 8), 0);
    assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 8);
    /* And of an attach. */
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), 0);
    it.attachment = NULL;
    for (uint64_t at = 0; at < 8; at++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        fake_dma_fail(&it.fake.map, at, 1, -ENOMEM);
        assert_int_equal(attach(&it, &err), -ENOMEM);
        assert_int_equal(err.reason, VMEM_REASON_MAP_FAILED);
        assert_non_null(strstr(err.message, "RLIMIT_MEMLOCK"));
        expect_mapped(&it, "");
        assert_int_equal(vmem_vm_get_claims(it.world.vm), 0);
    }
    fake_dma_fail(&it.fake.map, 0, 1, 3); /* breaks its contract */
    assert_int_equal(attach(&it, NULL), -EINVAL);
    assert_int_equal(attach(&it, NULL), 0);
    close_fixture(&it);
}

/* Another listener objects after the mapper has mapped. */
static void another_veto_unmaps(void **state)
{
    struct recorder late;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    world_add_listener(&it.world, &late, "late", (struct vmem_range){ 0, 0 }, 0,
                       0);
    late.veto_at = 0;
    assert_int_equal(plug(&it, 4, 2), -ENOSPC);
    expect_mapped(&it, "");
    assert_int_equal(it.fake.nr_batches, 2);
    world_remove_listener(&it.world, &late);
    close_fixture(&it);
}

static void a_failed_commit_is_undone(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
    assert_int_equal(plug(&it, 4, 2), -EPIPE);
    expect_mapped(&it, "");
    assert_int_equal(fake_dma_stats(&it.fake).nr_commit_errors, 1);
    assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 0);
    assert_int_equal(plug(&it, 4, 2), 0);
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), 0);
    it.attachment = NULL;
    fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
    assert_int_equal(attach(&it, &err), -EPIPE);
    assert_non_null(strstr(err.message, "did not commit"));
    fake_dma_fail(&it.fake.commit, 0, 1, 1); /* breaks its contract */
    assert_int_equal(attach(&it, &err), -EINVAL);
    expect_mapped(&it, "");
    assert_int_equal(attach(&it, NULL), 0);
    close_fixture(&it);
}

/* ---- limits at run time ---- */

static void a_spent_budget_is_a_veto(void **state)
{
    struct vmem_dma_stats stats;
    struct fixture it;

    (void)state;
    open_region(&it, 16, PAGE);
    it.fake.config.max_mappings = 6;
    it.fake.config.reserved_mappings = 2;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    assert_int_equal(attach(&it, NULL), 0);
    assert_int_equal(plug(&it, 0, 4), 0);
    assert_int_equal(it.world.nr_logs, 0);
    assert_int_equal(plug(&it, 8, 2), -ENOSPC);
    assert_int_equal(plug(&it, 8, 1), -ENOSPC);
    stats = fake_dma_stats(&it.fake);
    assert_int_equal(stats.nr_budget_refusals, 2);
    assert_int_equal(stats.nr_maps, 4);
    expect_mapped(&it, "[0,1)[1,2)[2,3)[3,4)");
    /* Once for the episode, with advice. */
    assert_int_equal(it.world.nr_logs, 1);
    assert_int_equal(it.world.last_log.code, VMEM_LOG_CODE_DMA_REFUSED);
    assert_int_equal(it.world.last_log.blame, VMEM_BLAME_HOST);
    assert_string_equal(it.world.log_object, "fake/ram");
    assert_non_null(strstr(it.world.log_message, "the limit is 6"));
    assert_non_null(strstr(it.world.log_message, "blocks of 0x4000 bytes"));
    assert_int_equal(unplug(&it, 0, 1), 0);
    assert_int_equal(plug(&it, 8, 1), 0);
    assert_int_equal(it.world.nr_logs, 1);
    /* It was over: this is another one. */
    assert_int_equal(plug(&it, 9, 1), -ENOSPC);
    assert_int_equal(it.world.nr_logs, 2);
    close_fixture(&it);
}

/* The host has reserved everything: no block size helps. */
static void a_limit_may_be_all_reserved(void **state)
{
    struct fixture it;

    (void)state;
    open_region(&it, 16, PAGE);
    it.fake.config.max_mappings = 2;
    it.fake.config.reserved_mappings = 2;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    assert_int_equal(attach(&it, NULL), 0);
    assert_int_equal(plug(&it, 0, 1), -ENOSPC);
    assert_non_null(strstr(it.world.log_message, "the limit is 2; raise it"));
    close_fixture(&it);
}

static void pinned_bytes_have_a_limit(void **state)
{
    struct fixture it;

    (void)state;
    open_region(&it, 16, PAGE);
    it.fake.config.max_pinned_size = 3 * PAGE + 1;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    assert_int_equal(attach(&it, NULL), 0);
    assert_int_equal(plug(&it, 0, 3), 0);
    assert_int_equal(plug(&it, 3, 1), -ENOSPC);
    assert_non_null(strstr(it.world.log_message, "limit of 0x3001"));
    expect_mapped(&it, "[0,1)[1,2)[2,3)");
    close_fixture(&it);
}

/* The kernel's own limit: its code, its advice, one line. */
static void the_backends_limit_is_a_veto(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it);
    fake_dma_fail(&it.fake.map, 0, UINT64_MAX, -ENOSPC);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(plug(&it, 0, 2), -ENOSPC);
    }
    assert_int_equal(it.world.nr_logs, 1);
    assert_int_equal(it.world.last_log.blame, VMEM_BLAME_OS);
    assert_non_null(strstr(it.world.log_message, "larger blocks"));
    fake_dma_fail(&it.fake.map, 0, 1, -EEXIST);
    assert_int_equal(plug(&it, 0, 2), -EEXIST);
    fake_dma_fail(&it.fake.map, 0, 0, 0);
    assert_int_equal(plug(&it, 0, 2), 0);
    close_fixture(&it);
}

/* The guest asks for more than the IOMMU has room for: BUSY, everything as before,
 * and it works when something was unplugged. */
static uint16_t request(struct vmem_device *device, uint16_t type,
                        uint64_t block, uint16_t nr_blocks)
{
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    vmemi_le16_store(bytes, type);
    vmemi_le64_store(bytes + 8, block * PAGE);
    vmemi_le16_store(bytes + 16, nr_blocks);
    assert_int_equal(vmem_device_handle_request(device, bytes, sizeof(bytes),
                                                response, sizeof(response),
                                                &result),
                     0);
    return vmemi_le16_load(response);
}

static void a_guest_is_told_busy_and_recovers(void **state)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "mem0",
        .block_size = PAGE,
        .requested_size = 128 * PAGE,
    };
    struct vmem_device *device;
    struct fixture it;

    (void)state;
    open_region(&it, 128, PAGE);
    assert_int_equal(vmem_source_remove(it.source, NULL), 0);
    it.source = NULL;
    it.fake.config.max_mappings = 64;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    assert_int_equal(
        vmem_device_new(it.world.region, &config, NULL, NULL, &device, NULL),
        0);
    assert_int_equal(attach(&it, NULL), 0);
    assert_int_equal(request(device, VMEM_REQUEST_PLUG, 0, 60),
                     VMEM_RESPONSE_ACK);
    assert_int_equal(request(device, VMEM_REQUEST_PLUG, 60, 5),
                     VMEM_RESPONSE_BUSY);
    assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 60);
    assert_int_equal(request(device, VMEM_REQUEST_PLUG, 60, 4),
                     VMEM_RESPONSE_ACK);
    assert_int_equal(request(device, VMEM_REQUEST_PLUG, 64, 1),
                     VMEM_RESPONSE_BUSY);
    assert_int_equal(request(device, VMEM_REQUEST_UNPLUG, 0, 1),
                     VMEM_RESPONSE_ACK);
    assert_int_equal(request(device, VMEM_REQUEST_PLUG, 64, 1),
                     VMEM_RESPONSE_ACK);
    assert_int_equal(fake_dma_stats(&it.fake).nr_budget_refusals, 2);
    assert_int_equal(vmem_dma_detach(it.attachment, NULL), 0);
    it.attachment = NULL;
    assert_int_equal(vmem_device_free(device, NULL), 0);
    close_fixture(&it);
}

/* ---- statistics and walks ---- */

static void calls_are_timed_when_asked(void **state)
{
    struct vmem_dma_stats stats;
    struct fixture it;

    (void)state;
    open_region(&it, 4, PAGE);
    it.fake.config.flags = VMEM_DMA_MEASURE_LATENCY;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    assert_int_equal(attach(&it, NULL), 0);
    assert_int_equal(plug(&it, 0, 2), 0);
    assert_int_equal(unplug(&it, 0, 2), 0);
    /* The world's clock stands still. */
    stats = fake_dma_stats(&it.fake);
    assert_int_equal(stats.map_ns, 0);
    assert_int_equal(stats.max_unmap_ns, 0);
    close_fixture(&it);
}

static void tick(struct fake_dma *fake)
{
    struct fixture *it = fake->inside_opaque;

    it->world.now_ns += 5 + fake->mappings->len;
}

static void the_longest_call_is_known(void **state)
{
    struct vmem_dma_stats stats;
    struct fixture it;

    (void)state;
    open_region(&it, 4, PAGE);
    it.fake.config.flags = VMEM_DMA_MEASURE_LATENCY;
    it.fake.inside = tick;
    it.fake.inside_opaque = &it;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    assert_int_equal(attach(&it, NULL), 0);
    assert_int_equal(plug(&it, 0, 3), 0);
    assert_int_equal(unplug(&it, 0, 3), 0);
    stats = fake_dma_stats(&it.fake);
    assert_int_equal(stats.map_ns, 5 + 6 + 7);
    assert_int_equal(stats.max_map_ns, 7);
    assert_int_equal(stats.unmap_ns, 8);
    assert_int_equal(stats.max_unmap_ns, 8);
    close_fixture(&it);
}

struct walk {
    char text[128];
    int stop_after;
    struct vmem_dma *dma;
    int nested;
};

static int note_run(const struct vmem_dma_run *run, void *opaque)
{
    struct walk *walk = opaque;
    const size_t used = strlen(walk->text);

    snprintf(walk->text + used, sizeof(walk->text) - used,
             "[%llu+%llu@%llu:%llu)",
             (unsigned long long)(run->range.offset / PAGE),
             (unsigned long long)(run->range.size / PAGE),
             (unsigned long long)(run->iova / PAGE),
             (unsigned long long)run->nr_mappings);
    if (walk->dma != NULL) {
        walk->nested =
            vmem_dma_for_each_mapped(walk->dma, NULL, note_run, walk);
    }
    return --walk->stop_after == 0 ? 42 : 0;
}

static void walks_show_runs(void **state)
{
    const struct vmem_dma_static_config boot = {
        .struct_size = sizeof(boot),
        .name = "boot",
        .iova = 64 * PAGE,
        .size = 2 * PAGE,
        .hva = MEMORY,
    };
    struct vmem_dma_attachment *memory;
    struct walk walk = { .stop_after = 0 };
    struct fake_dma other;
    struct fixture it;

    (void)state;
    open_fixture(&it);
    assert_int_equal(plug(&it, 1, 3), 0);
    assert_int_equal(plug(&it, 8, 1), 0);
    assert_int_equal(
        vmem_dma_attach_static(it.fake.dma, &boot, NULL, &memory, NULL), 0);
    assert_int_equal(
        vmem_dma_for_each_mapped(it.fake.dma, NULL, note_run, &walk), 0);
    assert_string_equal(walk.text, "[1+3@1:3)[8+1@8:1)[0+2@64:1)");
    walk = (struct walk){ .stop_after = 1 };
    assert_int_equal(
        vmem_dma_for_each_mapped(it.fake.dma, NULL, note_run, &walk), 42);
    assert_string_equal(walk.text, "[1+3@1:3)");
    walk = (struct walk){ .dma = it.fake.dma };
    assert_int_equal(
        vmem_dma_for_each_mapped(it.fake.dma, memory, note_run, &walk), 0);
    assert_string_equal(walk.text, "[0+2@64:1)");
    assert_int_equal(walk.nested, -EDEADLK);
    assert_int_equal(fake_dma_stats(&it.fake).nr_static_mappings, 1);

    fake_dma_init(&other, PAGE);
    assert_int_equal(fake_dma_make(&other, it.world.vm, NULL), 0);
    assert_int_equal(
        vmem_dma_for_each_mapped(other.dma, memory, note_run, &walk), -EINVAL);
    fake_dma_destroy(&other);
    assert_int_equal(vmem_dma_for_each_mapped(NULL, NULL, note_run, &walk),
                     -EINVAL);
    assert_int_equal(vmem_dma_for_each_mapped(it.fake.dma, NULL, NULL, &walk),
                     -EINVAL);
    assert_int_equal(vmem_dma_detach(memory, NULL), 0);
    close_fixture(&it);
}

static void infos_say_what_it_is(void **state)
{
    struct vmem_dma_info info = { .struct_size = sizeof(info) };
    struct vmem_dma_stats stats = { .struct_size = 8 };
    struct fixture it;

    (void)state;
    open_region(&it, 4, PAGE);
    it.fake.config.max_mappings = 99;
    it.fake.config.reserved_mappings = 9;
    it.fake.config.max_pinned_size = MIB;
    it.fake.is_exact = true;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    assert_int_equal(vmem_dma_get_info(it.fake.dma, &info), 0);
    assert_string_equal(info.name, "fake");
    assert_int_equal(info.kind, VMEM_DMA_CUSTOM);
    assert_int_equal(info.page_sizes, PAGE);
    assert_true(info.max_size == VMEM_DMA_UNLIMITED);
    assert_int_equal(info.max_mappings, 99);
    assert_int_equal(info.reserved_mappings, 9);
    assert_int_equal(info.max_pinned_size, MIB);
    assert_int_equal(info.max_guest_mappings, VMEM_DMA_GUEST_MAPPINGS);
    assert_int_equal(info.properties, VMEM_DMA_EXACT_UNMAP);
    assert_int_equal(info.nr_attachments, 0);
    assert_int_equal(attach(&it, NULL), 0);
    assert_int_equal(vmem_dma_get_info(it.fake.dma, &info), 0);
    assert_int_equal(info.nr_attachments, 1);
    assert_int_equal(vmem_dma_get_info(NULL, &info), -EINVAL);
    assert_int_equal(vmem_dma_get_info(it.fake.dma, NULL), -EINVAL);
    assert_int_equal(vmem_dma_get_stats(NULL, &stats), -EINVAL);
    assert_int_equal(vmem_dma_get_stats(it.fake.dma, &stats), -EINVAL);
    close_fixture(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_counted),
        cmocka_unit_test(mappings_are_what_is_populated),
        cmocka_unit_test(a_load_maps_what_comes_and_unmaps_what_goes),
        cmocka_unit_test(windows_are_clipped),
        cmocka_unit_test(two_regions_share_a_mapper),
        cmocka_unit_test(a_failed_map_is_undone_at_every_call),
        cmocka_unit_test(another_veto_unmaps),
        cmocka_unit_test(a_failed_commit_is_undone),
        cmocka_unit_test(a_spent_budget_is_a_veto),
        cmocka_unit_test(a_limit_may_be_all_reserved),
        cmocka_unit_test(pinned_bytes_have_a_limit),
        cmocka_unit_test(the_backends_limit_is_a_veto),
        cmocka_unit_test(a_guest_is_told_busy_and_recovers),
        cmocka_unit_test(calls_are_timed_when_asked),
        cmocka_unit_test(the_longest_call_is_known),
        cmocka_unit_test(walks_show_runs),
        cmocka_unit_test(infos_say_what_it_is),
    };

    return cmocka_run_group_tests_name("dma", tests, NULL, NULL);
}
