/* SPDX-License-Identifier: BSD-3-Clause */
/* What a guest maps through a virtual IOMMU, and what it must not be able to. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "support/fake_dma.h"
#include "support/world.h"

#define PAGE ((uint64_t)4096)
#define MEMORY ((void *)(uintptr_t)0x7f0000000000)
#define RW (VMEM_DMA_READ | VMEM_DMA_WRITE)

struct fixture {
    struct world world;
    struct vmem_source *source;
    struct fake_dma fake;
    struct vmem_dma_attachment *target;
    struct fake_dma late; /* another mapper, if a test opens it */
    struct vmem_dma_attachment *late_target;
};

static int attach(struct fixture *it, struct fake_dma *fake, uint64_t flags,
                  struct vmem_range window, struct vmem_dma_attachment **target)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .region = it->world.region,
        .window = window,
        .hva = MEMORY,
        .flags = VMEM_DMA_VIOMMU | flags,
    };

    return vmem_dma_attach(fake->dma, &config, NULL, target, NULL);
}

static int plug(struct fixture *it, uint64_t first, uint64_t nr)
{
    return world_plug(&it->world, it->source, first, nr);
}

static int unplug(struct fixture *it, uint64_t first, uint64_t nr)
{
    return world_unplug(&it->world, it->source, first, nr);
}

/* 16 pages, [0,8) plugged; the test may change what the fake is before. */
static void open_region(struct fixture *it)
{
    memset(it, 0, sizeof(*it));
    world_open(&it->world, 16 * PAGE, PAGE, 0);
    it->source = world_add_source(&it->world, "s", PAGE, VMEM_SOURCE_DISCARDS);
    assert_int_equal(plug(it, 0, 8), 0);
    fake_dma_init(&it->fake, PAGE);
    it->fake.has_batches = true;
}

static void open_mapper(struct fixture *it)
{
    assert_int_equal(fake_dma_make(&it->fake, it->world.vm, NULL), 0);
    assert_int_equal(
        attach(it, &it->fake, 0, (struct vmem_range){ 0, 0 }, &it->target), 0);
}

static void open_late(struct fixture *it)
{
    fake_dma_init(&it->late, PAGE);
    assert_int_equal(fake_dma_make(&it->late, it->world.vm, NULL), 0);
}

static void close_fixture(struct fixture *it)
{
    if (it->late.mappings != NULL) {
        assert_int_equal(vmem_dma_detach(it->late_target, NULL), 0);
        fake_dma_destroy(&it->late);
    }
    assert_int_equal(vmem_dma_detach(it->target, NULL), 0);
    fake_dma_destroy(&it->fake);
    assert_int_equal(vmem_source_remove(it->source, NULL), 0);
    world_close(&it->world);
}

static int set_up(void **state)
{
    static struct fixture fixture;

    open_region(&fixture);
    open_mapper(&fixture);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    close_fixture(*state);
    return 0;
}

#define WITH_FIXTURE(test)                                                     \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* All in pages. */
static int map(struct fixture *it, uint64_t iova, uint64_t first, uint64_t nr)
{
    const struct vmem_range range = units(&it->world, first, nr);

    return vmem_dma_viommu_map(it->target, iova * PAGE, &range, RW, NULL);
}

static int unmap(struct fixture *it, uint64_t iova, uint64_t nr)
{
    return vmem_dma_viommu_unmap(it->fake.dma, iova * PAGE, nr * PAGE, NULL,
                                 NULL);
}

#define expect_mapped(it, text)                                                \
    assert_string_equal(fake_dma_mapped(&(it)->fake), text)

static void the_guest_chooses_where(void **state)
{
    struct fixture *it = *state;
    const struct vmem_dma_mapping *mapping;
    uint64_t unmapped = 7;

    expect_mapped(it, "");
    assert_int_equal(map(it, 100, 2, 3), 0);
    assert_int_equal(map(it, 50, 4, 1), 0);
    expect_mapped(it, "[50,51)[100,103)");
    mapping = fake_dma_find(&it->fake, 101 * PAGE);
    assert_ptr_equal(mapping->hva, (char *)MEMORY + 2 * PAGE);
    assert_int_equal(fake_dma_stats(&it->fake).nr_guest_mappings, 2);
    assert_int_equal(fake_dma_stats(&it->fake).nr_mappings, 2);
    assert_int_equal(fake_dma_stats(&it->fake).pinned_size, 4 * PAGE);

    assert_int_equal(
        vmem_dma_viommu_unmap(it->fake.dma, 0, 100 * PAGE, &unmapped, NULL), 0);
    assert_int_equal(unmapped, PAGE);
    expect_mapped(it, "[100,103)");
    assert_int_equal(
        vmem_dma_viommu_unmap(it->fake.dma, 0, UINT64_MAX, &unmapped, NULL), 0);
    assert_int_equal(unmapped, 3 * PAGE);
    assert_int_equal(
        vmem_dma_viommu_unmap(it->fake.dma, 0, UINT64_MAX, &unmapped, NULL), 0);
    assert_int_equal(unmapped, 0);
}

static void only_populated_memory_is_mapped(void **state)
{
    struct fixture *it = *state;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_range range;

    range = units(&it->world, 6, 4);
    assert_int_equal(vmem_dma_viommu_map(it->target, 0, &range, RW, &err),
                     -ENXIO);
    assert_int_equal(err.range.offset, 8 * PAGE);
    assert_int_equal(fake_dma_stats(&it->fake).nr_maps, 0);
    assert_int_equal(map(it, 0, 6, 2), 0);
}

/* The block goes, and with it every mapping of the guest that reaches into it;
 * it does not come back with the block. */
static void an_unplug_unmaps_what_the_guest_kept(void **state)
{
    struct fixture *it = *state;

    assert_int_equal(map(it, 100, 0, 4), 0); /* reaches over 3 */
    assert_int_equal(map(it, 200, 3, 1), 0);
    assert_int_equal(map(it, 300, 3, 1), 0); /* the same page again */
    assert_int_equal(map(it, 400, 4, 2), 0);
    assert_int_equal(map(it, 500, 0, 3), 0);
    assert_int_equal(unplug(it, 3, 1), 0);
    expect_mapped(it, "[400,402)[500,503)");
    assert_int_equal(fake_dma_stats(&it->fake).nr_forced_unmaps, 3);
    assert_int_equal(plug(it, 3, 1), 0);
    expect_mapped(it, "[400,402)[500,503)");
    /* What the guest unmaps then is gone already, which is no error. */
    assert_int_equal(unmap(it, 100, 4), 0);
    assert_int_equal(map(it, 100, 3, 1), 0);
}

static void detaching_unmaps_the_guests(void **state)
{
    struct fixture *it = *state;

    assert_int_equal(map(it, 1, 0, 4), 0);
    assert_int_equal(map(it, 9, 0, 4), 0);
    assert_int_equal(vmem_dma_detach(it->target, NULL), 0);
    it->target = NULL;
    expect_mapped(it, "");
    assert_int_equal(fake_dma_stats(&it->fake).nr_forced_unmaps, 0);
}

static void mappings_are_not_cut(void **state)
{
    struct fixture *it = *state;
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t unmapped;

    assert_int_equal(map(it, 10, 0, 4), 0);
    assert_int_equal(map(it, 14, 4, 4), 0);
    assert_int_equal(unmap(it, 9, 2), -ERANGE);
    assert_int_equal(unmap(it, 11, 10), -ERANGE);
    assert_int_equal(vmem_dma_viommu_unmap(it->fake.dma, 10 * PAGE, 5 * PAGE,
                                           &unmapped, &err),
                     -ERANGE);
    assert_int_equal(unmapped, 0);
    assert_non_null(strstr(err.message, "0xe000"));
    assert_int_equal(
        vmem_dma_viommu_unmap(it->fake.dma, 10 * PAGE, 1, &unmapped, &err),
        -ERANGE);
    expect_mapped(it, "[10,14)[14,18)");
    assert_int_equal(unmap(it, 10, 4), 0);
    assert_int_equal(unmap(it, 0, 100), 0);
}

static void nothing_is_mapped_twice(void **state)
{
    struct fixture *it = *state;
    const struct vmem_dma_static_config boot = {
        .struct_size = sizeof(boot),
        .name = "boot",
        .iova = 64 * PAGE,
        .size = 2 * PAGE,
        .hva = MEMORY,
    };
    struct vmem_dma_attachment *memory;
    struct vmem_dma_static_config over;

    assert_int_equal(
        vmem_dma_attach_static(it->fake.dma, &boot, NULL, &memory, NULL), 0);
    assert_int_equal(map(it, 10, 0, 4), 0);
    assert_int_equal(map(it, 13, 0, 1), -EEXIST);
    assert_int_equal(map(it, 9, 0, 2), -EEXIST);
    assert_int_equal(map(it, 8, 0, 8), -EEXIST);
    assert_int_equal(map(it, 65, 0, 1), -EEXIST);
    assert_int_equal(map(it, 63, 0, 1), 0);
    assert_int_equal(map(it, 66, 0, 1), 0);
    over = boot;
    over.iova = 13 * PAGE;
    over.name = "over";
    assert_int_equal(
        vmem_dma_attach_static(it->fake.dma, &over, NULL, &memory, NULL),
        -EEXIST);
    assert_int_equal(vmem_dma_detach(memory, NULL), 0);
}

static void bad_requests_are_refused(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_dma_attachment *direct;
    struct vmem_dma_attach_config config;
    struct vmem_dma_attachment *window;
    struct fixture it;
    static const struct {
        uint64_t iova;
        struct vmem_range range;
        uint32_t protection;
        int code;
        const char *words;
    } rows[] = {
        { 0x9000, { 0, 0 }, RW, -EINVAL, "iova 0x9000 is mapped with size" },
        { 0, { 0, PAGE }, 0, -EINVAL, "protection 0x0 is none" },
        { 0, { 0, PAGE }, 4, -EINVAL, "protection 0x4 is none or unknown" },
        { 0x10000801, { 0, PAGE }, RW, -EINVAL, "iova 0x10000801 is not a " },
        { 0x2000, { 1, PAGE }, RW, -EINVAL, "offset 0x1 is not a multiple" },
        { 0x2000, { 0x3000, 9 }, RW, -EINVAL, "size 0x9 is not a multiple" },
        { UINT64_MAX - PAGE + 1,
          { 0, PAGE },
          RW,
          -EOVERFLOW,
          "iova 0xfffffffffffff000 wraps with size 0x1000" },
        { UINT64_MAX, { 0, PAGE }, RW, -EOVERFLOW, "iova 0xffffffffffffffff" },
        { 0x5000,
          { UINT64_MAX - PAGE + 1, PAGE },
          RW,
          -EOVERFLOW,
          "offset 0xfffffffffffff000 wraps with size 0x1000" },
        { 0,
          { 0, 17 * PAGE },
          RW,
          -ERANGE,
          "end 0x11000 is behind the window, which ends at 0x10000" },
        { 0, { 16 * PAGE, PAGE }, RW, -ERANGE, "end 0x11000" },
        { 0, { 0, 5 * PAGE }, RW, -ERANGE, "size 0x5000" },
        { (uint64_t)1 << 63, { 0, PAGE }, RW, 0, "" },
        { UINT64_MAX - 2 * PAGE + 1, { 0, PAGE }, VMEM_DMA_WRITE, 0, "" },
    };

    (void)state;
    open_region(&it);
    it.fake.max_size = 4 * PAGE;
    open_mapper(&it);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        assert_int_equal(vmem_dma_viommu_map(it.target, rows[i].iova,
                                             &rows[i].range, rows[i].protection,
                                             &err),
                         rows[i].code);
        if (strstr(err.message, rows[i].words) == NULL) {
            assert_string_equal(err.message, rows[i].words);
        }
    }
    assert_int_equal(vmem_dma_viommu_map(NULL, 0, &rows[1].range, RW, NULL),
                     -EINVAL);
    assert_int_equal(vmem_dma_viommu_map(it.target, 0, NULL, RW, NULL),
                     -EINVAL);
    assert_int_equal(vmem_dma_viommu_unmap(NULL, 0, 1, NULL, NULL), -EINVAL);
    assert_int_equal(vmem_dma_viommu_unmap(it.fake.dma, 0, 0, NULL, NULL),
                     -EINVAL);
    assert_int_equal(
        vmem_dma_viommu_unmap(it.fake.dma, 2, UINT64_MAX, NULL, &err),
        -EOVERFLOW);
    assert_non_null(strstr(err.message, "iova 0x2 + 0xffffffffffffffff"));

    /* Not a target; a target that may only be read; one with a window. */
    config = (struct vmem_dma_attach_config){
        .struct_size = sizeof(config),
        .name = "direct",
        .region = it.world.region,
        .iova = (uint64_t)1 << 40,
        .hva = MEMORY,
    };
    assert_int_equal(vmem_dma_attach(it.fake.dma, &config, NULL, &direct, NULL),
                     0);
    assert_int_equal(vmem_dma_viommu_map(direct, 0, &rows[1].range, RW, &err),
                     -EINVAL);
    assert_non_null(strstr(err.message, "\"fake/direct\" is no target"));
    assert_int_equal(vmem_dma_detach(direct, NULL), 0);
    assert_int_equal(attach(&it, &it.fake, VMEM_DMA_READ_ONLY,
                            units(&it.world, 2, 2), &window),
                     0);
    assert_int_equal(vmem_dma_viommu_map(window, 0,
                                         &(struct vmem_range){ 2 * PAGE, PAGE },
                                         VMEM_DMA_WRITE, &err),
                     -EPERM);
    assert_int_equal(vmem_dma_viommu_map(window, 0,
                                         &(struct vmem_range){ PAGE, PAGE },
                                         VMEM_DMA_READ, &err),
                     -ERANGE);
    assert_non_null(
        strstr(err.message, "offset 0x1000 is before the window at 0x2000"));
    assert_int_equal(vmem_dma_viommu_map(window, 0,
                                         &(struct vmem_range){ 2 * PAGE, PAGE },
                                         VMEM_DMA_READ, &err),
                     0);
    assert_int_equal(vmem_dma_detach(window, NULL), 0);
    close_fixture(&it);
}

/* The ends of a request of virtio-iommu are the first and the last address. */
static void a_guest_unmaps_up_to_the_last_address(void **state)
{
    struct fixture *it = *state;
    const uint64_t last = UINT64_MAX / PAGE - 1;
    uint64_t unmapped = 0;

    assert_int_equal(map(it, 1, 0, 1), 0);
    assert_int_equal(map(it, last, 1, 1), 0);
    assert_int_equal(vmem_dma_viommu_unmap(it->fake.dma, 2 * PAGE, 0 - 2 * PAGE,
                                           &unmapped, NULL),
                     0);
    assert_int_equal(unmapped, PAGE);
    expect_mapped(it, "[1,2)");
    assert_int_equal(map(it, last, 1, 1), 0);
    assert_int_equal(
        vmem_dma_viommu_unmap(it->fake.dma, 1, UINT64_MAX, &unmapped, NULL), 0);
    assert_int_equal(unmapped, 2 * PAGE);
    expect_mapped(it, "");
}

/* Each IOVA pins, whatever it points at; blocks of another size do not help. */
static void aliases_are_in_the_worst_case(void **state)
{
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_error err = VMEM_ERROR_INIT;
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .window = { 0, 2 * PAGE },
        .hva = MEMORY,
        .flags = VMEM_DMA_VIOMMU,
    };
    struct vmem_dma_attach_config ram = config;
    struct fixture it;

    (void)state;
    open_region(&it);
    it.fake.config.max_guest_mappings = 3;
    it.fake.config.max_mappings = 2;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    ram.region = it.world.region;
    assert_int_equal(
        vmem_dma_attach(it.fake.dma, &ram, &verdict, &it.target, NULL), 0);
    assert_int_equal(verdict.nr_worst_case, 3);
    assert_int_equal(verdict.worst_case_pinned_size, 6 * PAGE);
    assert_int_equal(map(&it, 1, 0, 2), 0);
    assert_int_equal(map(&it, 5, 0, 2), 0);
    assert_int_equal(fake_dma_stats(&it.fake).pinned_size, 4 * PAGE);
    assert_int_equal(
        vmem_dma_viommu_map(it.target, 9 * PAGE, &config.window, RW, &err),
        -ENOSPC);
    assert_non_null(strstr(err.message, "the limit is 2; raise it"));
    close_fixture(&it);
}

static void limits_are_kept(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_range range;
    struct fixture it;

    (void)state;
    open_region(&it);
    it.fake.config.max_guest_mappings = 3;
    it.fake.config.max_mappings = 5;
    open_mapper(&it);
    range = units(&it.world, 0, 1);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(map(&it, i, 0, 1), 0);
    }
    assert_int_equal(vmem_dma_viommu_map(it.target, 9 * PAGE, &range, RW, &err),
                     -ENOSPC);
    assert_int_equal(err.reason, VMEM_REASON_BUDGET);
    assert_non_null(strstr(err.message, "the limit is 3"));
    assert_int_equal(it.world.nr_logs, 1);
    assert_int_equal(unmap(&it, 1, 1), 0);
    assert_int_equal(map(&it, 9, 0, 1), 0);
    assert_int_equal(vmem_dma_detach(it.target, NULL), 0);
    fake_dma_destroy(&it.fake);

    /* The budget of mappings counts them, too. */
    fake_dma_init(&it.fake, PAGE);
    it.fake.config.max_mappings = 2;
    open_mapper(&it);
    assert_int_equal(map(&it, 0, 0, 1), 0);
    assert_int_equal(map(&it, 1, 0, 1), 0);
    assert_int_equal(vmem_dma_viommu_map(it.target, 2 * PAGE, &range, RW, &err),
                     -ENOSPC);
    assert_non_null(strstr(err.message, "the limit is 2"));
    close_fixture(&it);
}

/* ---- failures ---- */

static void a_failed_map_changes_nothing(void **state)
{
    struct fixture *it = *state;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_range range;

    range = units(&it->world, 0, 1);
    fake_dma_fail(&it->fake.map, 0, 1, -EFAULT);
    assert_int_equal(vmem_dma_viommu_map(it->target, 0, &range, RW, &err),
                     -EFAULT);
    assert_int_equal(err.reason, VMEM_REASON_MAP_FAILED);
    assert_int_equal(fake_dma_stats(&it->fake).nr_guest_mappings, 0);
    fake_dma_fail(&it->fake.commit, 0, 1, -EPIPE);
    assert_int_equal(vmem_dma_viommu_map(it->target, 0, &range, RW, &err),
                     -EPIPE);
    expect_mapped(it, "");
    assert_int_equal(fake_dma_stats(&it->fake).nr_guest_mappings, 0);
    it->fake.undoes = true;
    fake_dma_fail(&it->fake.commit, 0, 1, -EPIPE);
    assert_int_equal(vmem_dma_viommu_map(it->target, 0, &range, RW, &err),
                     -EPIPE);
    assert_int_equal(fake_dma_stats(&it->fake).nr_mappings, 0);
    assert_null(strstr(err.message, "stuck"));
    it->fake.undoes = false;
    /* And the undoing fails: it is on the books. */
    fake_dma_fail(&it->fake.commit, 0, 1, -EPIPE);
    fake_dma_fail(&it->fake.unmap, 0, 1, -EIO);
    assert_int_equal(vmem_dma_viommu_map(it->target, 0, &range, RW, &err),
                     -EPIPE);
    assert_non_null(strstr(err.message, "vmem_dma_retry_unmaps()"));
    expect_mapped(it, "[0,1)");
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 1);
    assert_int_equal(map(it, 0, 0, 1), 0);
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 0);
}

static void what_is_stuck_keeps_its_memory_from_being_plugged(void **state)
{
    struct fixture *it = *state;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_range range;
    uint64_t unmapped;

    range = units(&it->world, 5, 1);
    assert_int_equal(map(it, 10, 2, 2), 0);
    assert_int_equal(map(it, 20, 3, 1), 0);
    assert_int_equal(map(it, 30, 4, 1), 0);
    fake_dma_fail(&it->fake.unmap, 0, UINT64_MAX, -EIO);
    assert_int_equal(unplug(it, 3, 1), 0);
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 2);
    assert_int_equal(fake_dma_stats(&it->fake).stuck_size, 3 * PAGE);
    assert_int_equal(it->world.last_log.code, VMEM_LOG_CODE_DMA_STUCK);
    assert_int_equal(plug(it, 3, 1), -EBUSY);
    assert_int_equal(plug(it, 9, 1), 0);
    /* Its IOVA is not free either. */
    assert_int_equal(
        vmem_dma_viommu_map(it->target, 11 * PAGE, &range, RW, &err), -EBUSY);
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck_refusals, 2);
    /* The guest's own unmap fails: stuck as well. */
    assert_int_equal(
        vmem_dma_viommu_unmap(it->fake.dma, 0, 100 * PAGE, &unmapped, &err),
        -EIO);
    assert_int_equal(unmapped, 0);
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 3);
    assert_int_equal(vmem_dma_detach(it->target, &err), -EIO);
    assert_true(err.range.size >= PAGE);
    assert_int_equal(
        vmem_dma_viommu_map(it->target, 50 * PAGE, &range, RW, &err), -EBUSY);
    fake_dma_fail(&it->fake.unmap, 0, 0, 0);
    assert_int_equal(plug(it, 3, 1), 0);
    expect_mapped(it, "[30,31)");
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 1);
}

static void a_commit_that_fails_leaves_guests_stuck(void **state)
{
    struct fixture *it = *state;
    uint64_t unmapped;

    assert_int_equal(map(it, 10, 2, 2), 0);
    assert_int_equal(map(it, 20, 3, 1), 0);
    fake_dma_fail(&it->fake.commit, 0, 1, -EPIPE);
    assert_int_equal(
        vmem_dma_viommu_unmap(it->fake.dma, 0, 100 * PAGE, &unmapped, NULL),
        -EPIPE);
    assert_int_equal(unmapped, 0);
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 2);
    assert_int_equal(fake_dma_stats(&it->fake).nr_guest_mappings, 2);
    /* Mapping over it: first it goes, in a batch of its own, which fails. */
    fake_dma_fail(&it->fake.commit, 0, 1, -EPIPE);
    assert_int_equal(map(it, 20, 3, 1), -EBUSY);
    assert_int_equal(map(it, 20, 3, 1), 0);
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 1);
}

static void half_a_guest_mapping_is_stuck(void **state)
{
    struct fixture *it = *state;

    assert_int_equal(map(it, 10, 2, 2), 0);
    it->fake.fails_halfway = true;
    fake_dma_fail(&it->fake.unmap, 0, 2, 0);
    assert_int_equal(unmap(it, 10, 2), -EBUSY);
    assert_int_equal(vmem_dma_retry_unmaps(it->fake.dma, NULL), -EBUSY);
    expect_mapped(it, "[10,12)");
    assert_int_equal(vmem_dma_retry_unmaps(it->fake.dma, NULL), 0);
    expect_mapped(it, "");
}

/* One that stays stuck does not keep the others from being tried. */
static void each_stuck_guest_mapping_is_tried(void **state)
{
    struct fixture *it = *state;

    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(map(it, 10 * i, i, 1), 0);
    }
    fake_dma_fail(&it->fake.unmap, 0, UINT64_MAX, -EIO);
    assert_int_equal(unmap(it, 0, 100), -EIO);
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 5);
    fake_dma_fail(&it->fake.unmap, 0, 1, -EIO);
    assert_int_equal(vmem_dma_retry_unmaps(it->fake.dma, NULL), -EIO);
    assert_int_equal(it->fake.unmap.nr_calls, 5);
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 1);
    expect_mapped(it, "[0,1)");
}

/* A backend of files gets a file for guests too, and no address. */
static void guests_map_files(void **state)
{
    const struct vmem_dma_mapping *mapping;
    struct vmem_dma_attach_config config;
    struct fixture it;

    (void)state;
    open_region(&it);
    it.fake.flags = VMEM_DMA_NEEDS_FD;
    assert_int_equal(fake_dma_make(&it.fake, it.world.vm, NULL), 0);
    config = (struct vmem_dma_attach_config){
        .struct_size = sizeof(config),
        .name = "ram",
        .region = it.world.region,
        .flags = VMEM_DMA_VIOMMU | VMEM_DMA_HAS_FD,
        .fd = 7,
        .fd_offset = 100 * PAGE,
    };
    assert_int_equal(
        vmem_dma_attach(it.fake.dma, &config, NULL, &it.target, NULL), 0);
    assert_int_equal(map(&it, 10, 2, 2), 0);
    mapping = fake_dma_find(&it.fake, 10 * PAGE);
    assert_null(mapping->hva);
    assert_int_equal(mapping->fd, 7);
    assert_int_equal(mapping->fd_offset, 102 * PAGE);
    close_fixture(&it);
}

static void a_guest_that_says_nothing_was_there_is_stuck_once(void **state)
{
    struct fixture *it = *state;

    assert_int_equal(map(it, 10, 2, 2), 0);
    it->fake.is_gone = true;
    assert_int_equal(unmap(it, 10, 2), -EBUSY);
    assert_int_equal(fake_dma_stats(&it->fake).nr_stuck, 1);
    g_array_set_size(it->fake.mappings, 0);
    assert_int_equal(vmem_dma_retry_unmaps(it->fake.dma, NULL), 0);
    it->fake.is_gone = false;
}

/* ---- hostile guests ---- */

/* Many mappings of one block, nested and staggered targets, and IOVAs in orders
 * that make a plain tree a list. Not a second of work, or this would time out. */
static void many_mappings_cost_little(void **state)
{
    struct fixture *it = *state;
    const uint64_t nr = 30000;

    it->fake.has_batches = false;
    for (uint64_t i = 0; i < nr; i++) {
        const uint64_t at = i % 2 == 0 ? i : 2 * nr - i;

        assert_int_equal(map(it, 8 * at, i % 4, 1 + i % 5), 0);
    }
    assert_int_equal(fake_dma_stats(&it->fake).nr_guest_mappings, nr);
    assert_int_equal(unplug(it, 7, 1), 0);
    assert_int_equal(fake_dma_stats(&it->fake).nr_forced_unmaps, nr / 20);
    assert_int_equal(unplug(it, 0, 4), 0);
    assert_int_equal(fake_dma_stats(&it->fake).nr_guest_mappings, 0);
}

/* ---- late address spaces ---- */

static void a_late_mapper_gets_what_the_first_has(void **state)
{
    struct fixture *it = *state;
    struct vmem_error err = VMEM_ERROR_INIT;

    assert_int_equal(map(it, 10, 2, 2), 0);
    assert_int_equal(map(it, 20, 3, 1), 0);
    assert_int_equal(vmem_dma_viommu_map(it->target, 15 * PAGE,
                                         &(struct vmem_range){ 0, PAGE },
                                         VMEM_DMA_READ, NULL),
                     0);
    open_late(it);
    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->fake.dma, &err),
                     -ENOENT);
    assert_non_null(strstr(err.message, "not attached"));
    /* A window that lacks the last target: all is undone. */
    assert_int_equal(
        attach(it, &it->late, 0, units(&it->world, 0, 3), &it->late_target), 0);
    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->fake.dma, &err),
                     -ENOENT);
    assert_string_equal(fake_dma_mapped(&it->late), "");
    assert_int_equal(vmem_dma_detach(it->late_target, NULL), 0);
    assert_int_equal(
        attach(it, &it->late, 0, (struct vmem_range){ 0, 0 }, &it->late_target),
        0);
    fake_dma_fail(&it->late.map, 2, 1, -ENOMEM);
    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->fake.dma, &err),
                     -ENOMEM);
    assert_string_equal(fake_dma_mapped(&it->late), "");
    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->fake.dma, &err),
                     0);
    assert_string_equal(fake_dma_mapped(&it->late), "[10,12)[15,16)r[20,21)");
    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->fake.dma, &err),
                     -EEXIST);
    /* An unplug unmaps in both. */
    assert_int_equal(unplug(it, 3, 1), 0);
    assert_string_equal(fake_dma_mapped(&it->late), "[15,16)r");
    expect_mapped(it, "[15,16)r");

    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->late.dma, &err),
                     -EINVAL);
    assert_int_equal(vmem_dma_viommu_replay(NULL, it->late.dma, &err), -EINVAL);
    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, NULL, &err), -EINVAL);
}

/* Among other attachments the one that has the region and the window. */
static void a_replay_finds_its_target(void **state)
{
    struct fixture *it = *state;
    const struct vmem_region_config other_config = {
        .struct_size = sizeof(other_config),
        .name = "other",
        .size = 16 * PAGE,
    };
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "other vm" };
    struct vmem_dma_attach_config config;
    struct vmem_dma_attachment *attachments[6] = { NULL };
    struct vmem_region *other;
    struct fake_dma foreign;
    struct vmem_vm *vm;

    assert_int_equal(map(it, 10, 2, 2), 0);
    assert_int_equal(vmem_region_new(it->world.vm, &other_config, &other, NULL),
                     0);
    open_late(it);
    config = (struct vmem_dma_attach_config){
        .struct_size = sizeof(config),
        .name = "direct",
        .region = other,
        .iova = 1000 * PAGE,
        .hva = MEMORY,
    };
    assert_int_equal(
        vmem_dma_attach(it->late.dma, &config, NULL, &attachments[0], NULL), 0);
    config.iova = 0;
    config.flags = VMEM_DMA_VIOMMU;
    assert_int_equal(
        vmem_dma_attach(it->late.dma, &config, NULL, &attachments[1], NULL), 0);
    assert_int_equal(
        attach(it, &it->late, 0, units(&it->world, 3, 5), &attachments[2]), 0);
    /* One that is being detached. */
    assert_int_equal(
        attach(it, &it->late, 0, units(&it->world, 0, 8), &attachments[3]), 0);
    assert_int_equal(vmem_dma_viommu_map(attachments[3], 500 * PAGE,
                                         &(struct vmem_range){ 0, PAGE }, RW,
                                         NULL),
                     0);
    fake_dma_fail(&it->late.unmap, 0, 1, -EIO);
    assert_int_equal(vmem_dma_detach(attachments[3], NULL), -EIO);
    assert_int_equal(vmem_dma_retry_unmaps(it->late.dma, NULL), 0);
    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->fake.dma, NULL),
                     -ENOENT);
    assert_int_equal(
        attach(it, &it->late, 0, units(&it->world, 2, 2), &attachments[4]), 0);
    config.name = "more";
    assert_int_equal(
        vmem_dma_attach(it->late.dma, &config, NULL, &attachments[5], NULL), 0);
    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->fake.dma, NULL),
                     0);
    assert_string_equal(fake_dma_mapped(&it->late), "[10,12)[1000,1016)");

    assert_int_equal(vmem_vm_new(&vm_config, &vm, NULL), 0);
    fake_dma_init(&foreign, PAGE);
    assert_int_equal(fake_dma_make(&foreign, vm, NULL), 0);
    assert_int_equal(vmem_dma_viommu_replay(foreign.dma, it->late.dma, NULL),
                     -EINVAL);
    fake_dma_destroy(&foreign);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(vmem_dma_detach(attachments[i], NULL), 0);
    }
    assert_int_equal(vmem_region_free(other, NULL), 0);
}

/* What is stuck in the first is not the guest's any more. */
static void what_is_stuck_is_not_replayed(void **state)
{
    struct fixture *it = *state;

    assert_int_equal(map(it, 10, 2, 2), 0);
    assert_int_equal(map(it, 20, 3, 1), 0);
    fake_dma_fail(&it->fake.unmap, 0, 1, -EIO);
    assert_int_equal(unmap(it, 10, 2), -EIO);
    open_late(it);
    assert_int_equal(
        attach(it, &it->late, 0, (struct vmem_range){ 0, 0 }, &it->late_target),
        0);
    assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->fake.dma, NULL),
                     0);
    assert_string_equal(fake_dma_mapped(&it->late), "[20,21)");
}

/* The guest changes blocks between a mapping's copy and its map, which begins with
 * an allocation. */
static struct fixture *interrupted;
static bool is_plugged_again;
static int change_result;

static bool change_before_map(size_t size)
{
    struct fixture *it = interrupted;

    (void)size;
    if (it != NULL) {
        interrupted = NULL;
        change_result = unplug(it, 2, 2);
        if (change_result == 0 && is_plugged_again) {
            change_result = plug(it, 2, 2);
        }
    }
    return true;
}

static void what_is_unplugged_during_a_replay_is_in_neither(void **state)
{
    struct fixture *it = *state;

    open_late(it);
    assert_int_equal(
        attach(it, &it->late, 0, (struct vmem_range){ 0, 0 }, &it->late_target),
        0);
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            assert_int_equal(plug(it, 2, 2), 0);
            assert_int_equal(
                vmem_dma_viommu_unmap(it->late.dma, 0, UINT64_MAX, NULL, NULL),
                0);
            assert_int_equal(unmap(it, 20, 1), 0);
        }
        assert_int_equal(map(it, 10, 2, 2), 0);
        assert_int_equal(map(it, 20, 4, 1), 0);
        interrupted = it;
        is_plugged_again = i == 1;
        vmemi_alloc_set_hook(change_before_map);
        assert_int_equal(
            vmem_dma_viommu_replay(it->late.dma, it->fake.dma, NULL), 0);
        vmemi_alloc_set_hook(NULL);
        assert_null(interrupted);
        assert_int_equal(change_result, 0);
        expect_mapped(it, "[20,21)");
        assert_string_equal(fake_dma_mapped(&it->late), "[20,21)");
    }
}

/* -ENXIO of the backend is not that of the region. */
static void a_replay_tells_what_the_backend_said(void **state)
{
    struct fixture *it = *state;
    struct vmem_error err = VMEM_ERROR_INIT;

    assert_int_equal(map(it, 10, 2, 2), 0);
    assert_int_equal(map(it, 20, 3, 1), 0);
    open_late(it);
    assert_int_equal(
        attach(it, &it->late, 0, (struct vmem_range){ 0, 0 }, &it->late_target),
        0);
    for (int has_err = 0; has_err < 2; has_err++) {
        fake_dma_fail(&it->late.map, 1, 1, -ENXIO);
        assert_int_equal(vmem_dma_viommu_replay(it->late.dma, it->fake.dma,
                                                has_err != 0 ? &err : NULL),
                         -ENXIO);
        assert_string_equal(fake_dma_mapped(&it->late), "");
    }
    assert_int_equal(err.reason, VMEM_REASON_MAP_FAILED);
    assert_non_null(strstr(err.message, "errno 6"));
}

static int count_runs(const struct vmem_dma_run *run, void *opaque)
{
    *(uint64_t *)opaque += run->nr_mappings;
    return run->iova == 20 * PAGE ? 5 : 0;
}

static void walks_show_guest_mappings(void **state)
{
    struct fixture *it = *state;
    struct vmem_dma_attachment *other;
    uint64_t nr = 0;

    assert_int_equal(attach(it, &it->fake, 0, units(&it->world, 0, 4), &other),
                     0);
    assert_int_equal(map(it, 10, 2, 2), 0);
    assert_int_equal(map(it, 20, 3, 1), 0);
    assert_int_equal(map(it, 77, 3, 1), 0);
    assert_int_equal(
        vmem_dma_for_each_mapped(it->fake.dma, it->target, count_runs, &nr), 5);
    assert_int_equal(nr, 2);
    assert_int_equal(unmap(it, 20, 1), 0);
    nr = 0;
    assert_int_equal(
        vmem_dma_for_each_mapped(it->fake.dma, it->target, count_runs, &nr), 0);
    assert_int_equal(nr, 2);
    nr = 0;
    assert_int_equal(
        vmem_dma_for_each_mapped(it->fake.dma, other, count_runs, &nr), 0);
    assert_int_equal(nr, 0);
    assert_int_equal(vmem_dma_detach(other, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(the_guest_chooses_where),
        WITH_FIXTURE(only_populated_memory_is_mapped),
        WITH_FIXTURE(an_unplug_unmaps_what_the_guest_kept),
        WITH_FIXTURE(detaching_unmaps_the_guests),
        WITH_FIXTURE(mappings_are_not_cut),
        WITH_FIXTURE(nothing_is_mapped_twice),
        cmocka_unit_test(bad_requests_are_refused),
        WITH_FIXTURE(a_guest_unmaps_up_to_the_last_address),
        cmocka_unit_test(aliases_are_in_the_worst_case),
        cmocka_unit_test(limits_are_kept),
        WITH_FIXTURE(a_failed_map_changes_nothing),
        WITH_FIXTURE(what_is_stuck_keeps_its_memory_from_being_plugged),
        WITH_FIXTURE(a_commit_that_fails_leaves_guests_stuck),
        WITH_FIXTURE(half_a_guest_mapping_is_stuck),
        WITH_FIXTURE(each_stuck_guest_mapping_is_tried),
        cmocka_unit_test(guests_map_files),
        WITH_FIXTURE(a_guest_that_says_nothing_was_there_is_stuck_once),
        WITH_FIXTURE(many_mappings_cost_little),
        WITH_FIXTURE(a_late_mapper_gets_what_the_first_has),
        WITH_FIXTURE(a_replay_finds_its_target),
        WITH_FIXTURE(what_is_stuck_is_not_replayed),
        WITH_FIXTURE(what_is_unplugged_during_a_replay_is_in_neither),
        WITH_FIXTURE(a_replay_tells_what_the_backend_said),
        WITH_FIXTURE(walks_show_guest_mappings),
    };

    return cmocka_run_group_tests_name("dma guest", tests, NULL, NULL);
}
