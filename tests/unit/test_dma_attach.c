/* SPDX-License-Identifier: BSD-3-Clause */
/* What may be attached, how the budget judges it, and who must be out of the
 * way. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/fake_dma.h"
#include "support/quiet.h"
#include "support/world.h"

#define PAGE ((uint64_t)4096)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)
#define MEMORY ((void *)(uintptr_t)0x7f0000000000)

struct fixture {
    struct world world; /* without a unit: nothing of the size of a region */
    struct vmem_source *source;
    struct fake_dma fake;
    struct vmem_dma_attach_config config;
};

static void open_world(struct fixture *it, uint64_t size, uint64_t block)
{
    memset(it, 0, sizeof(*it));
    world_open(&it->world, size, 0, 0);
    if (block != 0) {
        it->source =
            world_add_source(&it->world, "s", block, VMEM_SOURCE_DISCARDS);
    }
    fake_dma_init(&it->fake, PAGE);
    it->config = (struct vmem_dma_attach_config){
        .struct_size = sizeof(it->config),
        .name = "ram",
        .region = it->world.region,
        .hva = MEMORY,
    };
}

static void make(struct fixture *it)
{
    assert_int_equal(fake_dma_make(&it->fake, it->world.vm, NULL), 0);
}

static void close_world(struct fixture *it)
{
    fake_dma_destroy(&it->fake);
    assert_int_equal(vmem_source_remove(it->source, NULL), 0);
    world_close(&it->world);
}

static int attach(struct fixture *it, struct vmem_dma_verdict *verdict,
                  struct vmem_dma_attachment **out, struct vmem_error *err)
{
    return vmem_dma_attach(it->fake.dma, &it->config, verdict, out, err);
}

/* Attaches and detaches; or what refused, and that nothing stayed. */
static int try_attach(struct fixture *it, struct vmem_dma_verdict *verdict,
                      struct vmem_error *err)
{
    struct vmem_dma_attachment *attachment = NULL;
    int ret = attach(it, verdict, &attachment, err);

    if (ret == 0) {
        assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
    } else {
        assert_null(attachment);
        assert_int_equal(err->code, ret);
    }
    assert_int_equal(vmem_vm_get_claims(it->world.vm), 0);
    return ret;
}

/* ---- arguments ---- */

static void bad_configs_are_refused(void **state)
{
    const struct vmem_vm_config other_vm = { .struct_size = sizeof(other_vm),
                                             .name = "other vm" };
    const struct vmem_region_config other_region = {
        .struct_size = sizeof(other_region),
        .name = "r",
        .size = MIB,
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_dma_attach_config good;
    struct vmem_region *region;
    struct vmem_vm *vm;
    struct fixture it;

    (void)state;
    open_world(&it, 16 * MIB, MIB);
    it.fake.max_size = 8 * MIB;
    make(&it);
    good = it.config;
    assert_int_equal(try_attach(&it, NULL, &err), 0);
#define REFUSED(code, words, ...)                                              \
    do {                                                                       \
        it.config = good;                                                      \
        __VA_ARGS__;                                                           \
        assert_int_equal(try_attach(&it, NULL, &err), code);                   \
        if (strstr(err.message, words) == NULL) {                              \
            fail_msg("\"%s\" is not in \"%s\"", words, err.message);           \
        }                                                                      \
    } while (0)
    REFUSED(-EINVAL, "name is missing", it.config.name = NULL);
    REFUSED(-EINVAL, "flags 0x2000000", it.config.flags = VMEM_DMA_NO_CLAIM);
    REFUSED(-EINVAL, "region is NULL", it.config.region = NULL);
    assert_int_equal(vmem_vm_new(&other_vm, &vm, NULL), 0);
    assert_int_equal(vmem_region_new(vm, &other_region, &region, NULL), 0);
    REFUSED(-EINVAL, "of another vm", it.config.region = region);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
    REFUSED(-EINVAL, "window is empty", it.config.window.offset = MIB);
    REFUSED(-ERANGE, "window", it.config.window.size = 17 * MIB);
    REFUSED(-EOVERFLOW, "window", it.config.window.offset = MIB;
            it.config.window.size = UINT64_MAX);
    REFUSED(-EINVAL, "iova 0x1 is not a multiple", it.config.iova = 1);
    REFUSED(-EINVAL, "window offset 0x200", it.config.window.offset = 0x200;
            it.config.window.size = MIB);
    REFUSED(-EINVAL, "window size 0x1", it.config.window.size = 1);
    REFUSED(-EOVERFLOW, "iova 0xfffffffffffff000 + 0x1000000 wraps",
            it.config.iova = UINT64_MAX - PAGE + 1);
    REFUSED(-EINVAL, "address 0x7f0000000001",
            it.config.hva = (char *)MEMORY + 1);
    REFUSED(-EOVERFLOW, "address",
            it.config.hva = (void *)(UINTPTR_MAX - PAGE + 1));
    REFUSED(-EINVAL, "address of the memory is not known",
            it.config.hva = NULL);
    REFUSED(-EINVAL, "granularity 0x3000 is not a power of two",
            it.config.granularity = 3 * PAGE);
    REFUSED(-EINVAL, "0x200000 is larger than the smallest block size",
            it.config.granularity = 2 * MIB);
    REFUSED(-EINVAL, "0x800 is below the smallest IOMMU page 0x1000",
            it.config.granularity = PAGE / 2);
    REFUSED(-ERANGE, "0x1000001 bytes are requested, the window has 0x1000000",
            it.config.requested_size = 16 * MIB + 1);
    REFUSED(-EINVAL, "file offset 0x7", it.config.flags = VMEM_DMA_HAS_FD;
            it.config.fd_offset = 7);
    REFUSED(-EOVERFLOW, "file offset", it.config.flags = VMEM_DMA_HAS_FD;
            it.config.fd_offset = UINT64_MAX - PAGE + 1);
    REFUSED(-EINVAL, "must be 0 with a virtual IOMMU",
            it.config.flags = VMEM_DMA_VIOMMU;
            it.config.iova = PAGE);
    REFUSED(-EINVAL, "must be 0 with a virtual IOMMU",
            it.config.flags = VMEM_DMA_VIOMMU;
            it.config.granularity = PAGE);
    REFUSED(-EINVAL, "struct_size", it.config.struct_size = 8);
    REFUSED(-EINVAL, "reserved is 7, must be 0", it.config.reserved = 7);
    REFUSED(-EINVAL, "VMEM_DMA_HAS_FD, but fd is -1",
            it.config.flags = VMEM_DMA_HAS_FD;
            it.config.fd = -1);
    /* Not cut: "fake/" and this are 64 bytes. */
    REFUSED(-ERANGE, "mapper/attachment \"fake/",
            it.config.name = "12345678901234567890123456789012345678901234567"
                             "890123456789");
    assert_int_equal(fake_dma_stats(&it.fake).nr_maps, 0);
    it.config = good;
    close_world(&it);
}

static void missing_arguments_are_refused(void **state)
{
    struct vmem_dma_attachment *out = NULL;
    struct vmem_dma_static_config boot = {
        .struct_size = sizeof(boot), .name = "b", .size = PAGE, .hva = MEMORY
    };
    struct vmem_dma_verdict verdict = { .struct_size = 8 };
    struct fixture it;

    (void)state;
    open_world(&it, MIB, MIB);
    make(&it);
    assert_int_equal(vmem_dma_attach(NULL, &it.config, NULL, &out, NULL),
                     -EINVAL);
    assert_int_equal(vmem_dma_attach(it.fake.dma, NULL, NULL, &out, NULL),
                     -EINVAL);
    assert_int_equal(vmem_dma_attach(it.fake.dma, &it.config, NULL, NULL, NULL),
                     -EINVAL);
    assert_int_equal(attach(&it, &verdict, &out, NULL), -EINVAL);
    assert_int_equal(vmem_dma_attach_static(NULL, &boot, NULL, &out, NULL),
                     -EINVAL);
    assert_int_equal(
        vmem_dma_attach_static(it.fake.dma, NULL, NULL, &out, NULL), -EINVAL);
    assert_int_equal(
        vmem_dma_attach_static(it.fake.dma, &boot, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(
        vmem_dma_attach_static(it.fake.dma, &boot, &verdict, &out, NULL),
        -EINVAL);
    assert_null(out);
    close_world(&it);
}

static void bad_mappers_are_refused_and_destroyed(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_world(&it, MIB, MIB);
#define NO_MAPPER(code, words, ...)                                            \
    do {                                                                       \
        struct fake_dma fake;                                                  \
                                                                               \
        fake_dma_init(&fake, PAGE);                                            \
        __VA_ARGS__;                                                           \
        assert_int_equal(fake_dma_make(&fake, it.world.vm, &err), code);       \
        assert_null(fake.dma);                                                 \
        assert_int_equal(fake.nr_destroys, 1);                                 \
        assert_non_null(strstr(err.message, words));                           \
        fake_dma_forget(&fake);                                                \
    } while (0)
    NO_MAPPER(-EINVAL, "mapper name", fake.config.name = "");
    NO_MAPPER(-EINVAL, "flags 0x200", fake.config.flags = VMEM_DMA_STRICT);
    NO_MAPPER(-EINVAL, "flags 0x100", fake.flags = VMEM_DMA_READ_ONLY);
    NO_MAPPER(-ERANGE, "3 mappings are reserved, there are 2",
              fake.config.max_mappings = 2;
              fake.config.reserved_mappings = 3);
    NO_MAPPER(-EINVAL, "0x800 is below the smallest page 0x1000",
              fake.max_size = PAGE / 2);
    NO_MAPPER(-EINVAL, "struct_size", fake.config.struct_size = 8);
    make(&it);
    close_world(&it);
}

/* The smallest backend there is: no properties, batches or destroy. */
static void properties_are_optional(void **state)
{
    const struct vmem_dma_config config = {
        .struct_size = sizeof(config),
        .name = "least",
    };
    struct vmem_dma_ops ops = {
        .struct_size = sizeof(ops),
        .map = quiet_map,
        .unmap = quiet_unmap,
    };
    const struct vmem_dma_properties properties = {
        .struct_size = sizeof(properties),
        .mapping_limit = 77,
    };
    struct vmem_dma_info info = { .struct_size = sizeof(info) };
    struct vmem_dma *dma = NULL;
    struct fixture it;

    (void)state;
    open_world(&it, MIB, MIB);
    make(&it);
    assert_int_equal(
        vmem_dma_new_custom(it.world.vm, &config, NULL, NULL, NULL, &dma, NULL),
        -EINVAL);
    assert_int_equal(
        vmem_dma_new_custom(NULL, &config, NULL, &ops, NULL, &dma, NULL),
        -EINVAL);
    assert_int_equal(
        vmem_dma_new_custom(it.world.vm, &config, NULL, &ops, NULL, NULL, NULL),
        -EINVAL);
    ops.map = NULL;
    assert_int_equal(
        vmem_dma_new_custom(it.world.vm, &config, NULL, &ops, NULL, &dma, NULL),
        -EINVAL);
    ops.map = quiet_map;
    ops.unmap = NULL;
    assert_int_equal(
        vmem_dma_new_custom(it.world.vm, &config, NULL, &ops, NULL, &dma, NULL),
        -EINVAL);
    ops.unmap = quiet_unmap;
    assert_int_equal(
        vmem_dma_new_custom(it.world.vm, &config, NULL, &ops, NULL, &dma, NULL),
        0);
    assert_int_equal(vmem_dma_get_info(dma, &info), 0);
    assert_true(info.max_mappings == VMEM_DMA_UNLIMITED);
    assert_true(info.max_pinned_size == VMEM_DMA_UNLIMITED);
    assert_true(info.page_sizes >= PAGE);
    assert_int_equal(vmem_dma_free(dma, NULL), 0);
    assert_int_equal(vmem_dma_new_custom(it.world.vm, &config, &properties,
                                         &ops, NULL, &dma, NULL),
                     0);
    assert_int_equal(vmem_dma_get_info(dma, &info), 0);
    assert_int_equal(info.max_mappings, 77);
    assert_int_equal(vmem_dma_free(dma, NULL), 0);
    close_world(&it);
}

/* ---- granularity ---- */

static void large_chunks_are_made_smaller_unless_asked_for(void **state)
{
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_world(&it, 16 * MIB, 4 * MIB);
    it.fake.max_size = 3 * MIB;
    make(&it);
    assert_int_equal(try_attach(&it, &verdict, &err), 0);
    assert_int_equal(verdict.granularity, 2 * MIB);
    assert_int_equal(verdict.nr_worst_case, 8);
    it.config.granularity = 4 * MIB;
    assert_int_equal(try_attach(&it, &verdict, &err), -ERANGE);
    assert_non_null(
        strstr(err.message, "0x400000 is above the largest mapping 0x300000"));
    it.config.granularity = MIB;
    assert_int_equal(try_attach(&it, &verdict, &err), 0);
    assert_int_equal(verdict.nr_worst_case, 16);
    close_world(&it);
}

static void too_many_chunks_are_refused(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_world(&it, 32 * TIB, 2 * MIB);
    make(&it);
    it.config.granularity = PAGE;
    assert_int_equal(try_attach(&it, NULL, &err), -ERANGE);
    assert_non_null(strstr(err.message, "the limit is 4294967296"));
    close_world(&it);
}

/* A region without sources is one chunk, and stays without. */
static void sources_finer_than_a_chunk_are_refused_later(void **state)
{
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "late",
        .block_size = MIB,
    };
    struct vmem_dma_attachment *attachment;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *late;
    struct fixture it;

    (void)state;
    open_world(&it, 3 * MIB, 0);
    make(&it);
    assert_int_equal(attach(&it, NULL, &attachment, &err), 0);
    assert_string_equal(fake_dma_mapped(&it.fake), "[0,768)");
    assert_int_equal(
        vmem_source_add(it.world.region, &source_config, &late, &err), -EBUSY);
    assert_non_null(strstr(err.message, "fake/ram"));
    assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
    it.config.granularity = MIB;
    assert_int_equal(attach(&it, NULL, &attachment, &err), 0);
    assert_int_equal(
        vmem_source_add(it.world.region, &source_config, &late, &err), 0);
    assert_string_equal(fake_dma_mapped(&it.fake), "");
    assert_int_equal(vmem_source_remove(late, NULL), 0);
    assert_string_equal(fake_dma_mapped(&it.fake), "[0,256)[256,512)[512,768)");
    assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
    close_world(&it);
}

/* ---- verdicts ---- */

static void verdicts_come_before_anything_is_mapped(void **state)
{
    static const struct {
        uint64_t size;
        uint64_t recommended;
    } rows[] = {
        { TIB, 32 * MIB },
        { 4 * TIB, 128 * MIB },
        { 8 * TIB, 256 * MIB },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fixture it;

        open_world(&it, rows[i].size, 2 * MIB);
        it.fake.config.max_mappings = 65535;
        make(&it);
        it.config.requested_size = 4 * GIB;
        assert_int_equal(try_attach(&it, &verdict, &err), 0);
        assert_int_equal(verdict.fit, VMEM_DMA_FIT_OK);
        assert_int_equal(verdict.bound, VMEM_DMA_BOUND_NONE);
        assert_int_equal(verdict.nr_now, 0);
        assert_int_equal(verdict.nr_requested, 2048);
        assert_int_equal(verdict.nr_worst_case, rows[i].size / (2 * MIB));
        assert_int_equal(verdict.recommended_block_size, rows[i].recommended);
        assert_int_equal(verdict.requested_pinned_size, 4 * GIB);
        assert_int_equal(verdict.worst_case_pinned_size, rows[i].size);
        /* Nobody is bothered with a limit that is far. */
        assert_int_equal(it.world.nr_logs, 0);
        it.config.requested_size = rows[i].size;
        verdict.fit = 0;
        assert_int_equal(try_attach(&it, &verdict, &err), -ENOSPC);
        assert_int_equal(err.reason, VMEM_REASON_BUDGET);
        assert_int_equal(verdict.fit, VMEM_DMA_FIT_IMPOSSIBLE);
        assert_int_equal(fake_dma_stats(&it.fake).nr_maps, 0);
        close_world(&it);
    }
}

static void a_near_limit_is_told_or_refused(void **state)
{
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_world(&it, 64 * MIB, MIB);
    it.fake.config.max_mappings = 64;
    it.fake.config.reserved_mappings = 8;
    make(&it);
    it.config.requested_size = 48 * MIB;
    assert_int_equal(try_attach(&it, &verdict, &err), 0);
    assert_int_equal(verdict.fit, VMEM_DMA_FIT_OK);
    assert_int_equal(verdict.nr_taken, 8);
    assert_int_equal(verdict.nr_available, 56);
    assert_int_equal(it.world.nr_logs, 0);
    it.config.requested_size = 49 * MIB;
    assert_int_equal(try_attach(&it, &verdict, &err), 0);
    assert_int_equal(verdict.fit, VMEM_DMA_FIT_TIGHT);
    assert_int_equal(verdict.bound, VMEM_DMA_BOUND_MAPPINGS);
    assert_int_equal(it.world.nr_logs, 1);
    assert_int_equal(it.world.last_log.code, VMEM_LOG_CODE_DMA_NEAR);
    assert_non_null(strstr(it.world.log_message, "57 of 64 mappings"));
    it.config.flags = VMEM_DMA_STRICT;
    assert_int_equal(try_attach(&it, &verdict, &err), -ENOSPC);
    assert_non_null(strstr(err.message, "is near the limit of mappings"));
    assert_non_null(
        strstr(err.message, "; use blocks of 0x200000 bytes or raise"));
    /* Nothing is said of the limit that there is not. */
    assert_null(strstr(err.message, "18446744073709551615"));
    assert_int_equal(verdict.recommended_block_size, 2 * MIB);
    it.config.flags = 0;
    it.config.requested_size = 57 * MIB;
    assert_int_equal(try_attach(&it, &verdict, &err), -ENOSPC);
    assert_non_null(strstr(err.message, "exceeds the limit of mappings"));
    close_world(&it);
}

static void pinned_bytes_are_judged(void **state)
{
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_world(&it, 64 * MIB, MIB);
    it.fake.config.max_pinned_size = 32 * MIB;
    make(&it);
    it.config.requested_size = 30 * MIB;
    assert_int_equal(try_attach(&it, &verdict, &err), 0);
    assert_int_equal(verdict.fit, VMEM_DMA_FIT_TIGHT);
    assert_int_equal(verdict.bound, VMEM_DMA_BOUND_PINNED);
    assert_non_null(
        strstr(it.world.log_message, "pinned bytes: the limit is near"));
    it.config.requested_size = 33 * MIB;
    assert_int_equal(try_attach(&it, &verdict, &err), -ENOSPC);
    assert_non_null(strstr(err.message, "exceeds the limit of pinned bytes"));
    /* No block size pins less. */
    assert_non_null(strstr(err.message, "; attach less or raise the limit"));
    assert_int_equal(verdict.recommended_block_size, 0);
    close_world(&it);
}

/* What others want and do not have yet counts against the next one. */
static void requests_of_others_are_taken(void **state)
{
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    const struct vmem_range plugged = { 0, 12 * MIB };
    struct vmem_dma_attachment *attachments[3] = { NULL };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_world(&it, 64 * MIB, MIB);
    it.fake.config.max_mappings = 100;
    make(&it);
    it.config.name = "low";
    it.config.window = (struct vmem_range){ 0, 32 * MIB };
    it.config.requested_size = 10 * MIB;
    assert_int_equal(attach(&it, NULL, &attachments[0], &err), 0);
    it.config.name = "high";
    it.config.window = (struct vmem_range){ 32 * MIB, 32 * MIB };
    it.config.iova = 32 * MIB;
    assert_int_equal(attach(&it, &verdict, &attachments[1], &err), 0);
    assert_int_equal(verdict.nr_taken, 10);
    assert_int_equal(verdict.pinned_size, 10 * MIB);
    assert_int_equal(vmem_source_populate(it.source, &plugged, NULL), 0);
    it.config.name = "more";
    it.config.iova = GIB;
    assert_int_equal(attach(&it, &verdict, &attachments[2], &err), 0);
    /* 12 are mapped, and the other 10 wanted. */
    assert_int_equal(verdict.nr_taken, 22);
    assert_int_equal(verdict.pinned_size, 22 * MIB);
    assert_int_equal(vmem_dma_free(it.fake.dma, &err), -EBUSY);
    assert_non_null(strstr(err.message, "fake/low, fake/high, fake/more"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(vmem_dma_detach(attachments[i], NULL), 0);
    }
    close_world(&it);
}

/* What the window cuts off the first and the last chunk is not pinned. */
static void clipped_chunks_count_as_what_they_are(void **state)
{
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    const struct vmem_dma_static_config boot = {
        .struct_size = sizeof(boot),
        .name = "boot",
        .iova = GIB,
        .size = PAGE,
        .hva = MEMORY,
    };
    static const struct {
        uint64_t first;
        uint64_t nr_blocks;
        uint64_t mapped;
    } rows[] = {
        { 0, 0, 0 },
        { 0, 1, PAGE },
        { 1, 2, 4 * MIB },
        { 3, 1, 3 * PAGE },
        { 0, 4, 4 * MIB + 4 * PAGE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct vmem_range plugged = { rows[i].first * 2 * MIB,
                                            rows[i].nr_blocks * 2 * MIB };
        struct vmem_dma_attachment *attachments[2];
        struct fixture it;

        open_world(&it, 8 * MIB, 2 * MIB);
        make(&it);
        it.config.window =
            (struct vmem_range){ 2 * MIB - PAGE, 4 * MIB + 4 * PAGE };
        it.config.requested_size = it.config.window.size;
        if (plugged.size != 0) {
            assert_int_equal(vmem_source_populate(it.source, &plugged, NULL),
                             0);
        }
        assert_int_equal(attach(&it, NULL, &attachments[0], NULL), 0);
        assert_int_equal(fake_dma_stats(&it.fake).pinned_size, rows[i].mapped);
        assert_int_equal(vmem_dma_attach_static(it.fake.dma, &boot, &verdict,
                                                &attachments[1], NULL),
                         0);
        assert_int_equal(verdict.pinned_size, it.config.window.size);
        assert_int_equal(vmem_dma_detach(attachments[0], NULL), 0);
        assert_int_equal(vmem_dma_detach(attachments[1], NULL), 0);
        close_world(&it);
    }
}

/* ---- static memory ---- */

static void static_memory_is_mapped_and_counted(void **state)
{
    struct vmem_dma_static_config boot = {
        .struct_size = sizeof(boot),
        .name = "boot",
        .iova = GIB,
        .size = 5 * MIB,
        .hva = MEMORY,
        .flags = VMEM_DMA_READ_ONLY,
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_dma_attachment *memory = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_world(&it, MIB, MIB);
    it.fake.config.max_mappings = 10;
    it.fake.has_batches = true;
    it.fake.max_size = 2 * MIB;
    make(&it);
    assert_int_equal(
        vmem_dma_attach_static(it.fake.dma, &boot, &verdict, &memory, &err), 0);
    assert_string_equal(fake_dma_mapped(&it.fake),
                        "[262144,262656)r[262656,263168)r[263168,263424)r");
    assert_int_equal(verdict.nr_now, 3);
    assert_int_equal(verdict.nr_requested, 3);
    assert_int_equal(verdict.nr_worst_case, 3);
    assert_int_equal(verdict.requested_pinned_size, 5 * MIB);
    assert_int_equal(fake_dma_stats(&it.fake).nr_static_mappings, 3);
    assert_int_equal(fake_dma_stats(&it.fake).pinned_size, 5 * MIB);
    assert_int_equal(vmem_dma_detach(memory, NULL), 0);
    assert_int_equal(fake_dma_stats(&it.fake).nr_static_mappings, 0);

#define REFUSED_STATIC(code, words, ...)                                       \
    do {                                                                       \
        struct vmem_dma_static_config good = boot;                             \
                                                                               \
        memory = NULL;                                                         \
        __VA_ARGS__;                                                           \
        assert_int_equal(vmem_dma_attach_static(it.fake.dma, &boot, &verdict,  \
                                                &memory, &err),                \
                         code);                                                \
        assert_null(memory);                                                   \
        assert_non_null(strstr(err.message, words));                           \
        boot = good;                                                           \
    } while (0)
    REFUSED_STATIC(-EINVAL, "name is missing", boot.name = NULL);
    REFUSED_STATIC(-EINVAL, "reserved is 1", boot.reserved = 1);
    REFUSED_STATIC(-EINVAL, "but fd is -5", boot.flags = VMEM_DMA_HAS_FD;
                   boot.fd = -5);
    REFUSED_STATIC(-EINVAL, "flags 0x400", boot.flags = VMEM_DMA_VIOMMU);
    REFUSED_STATIC(-EINVAL, "is empty", boot.size = 0);
    REFUSED_STATIC(-EINVAL, "0x500001", boot.size++);
    REFUSED_STATIC(-EINVAL, "iova 0x7", boot.iova = 7);
    REFUSED_STATIC(-EINVAL, "not known", boot.hva = NULL);
    REFUSED_STATIC(-EOVERFLOW, "wraps", boot.iova = UINT64_MAX - PAGE + 1);
    REFUSED_STATIC(-ERANGE, "the limit is 4294967296",
                   boot.size = UINT64_MAX / 2 - PAGE + 1;
                   boot.hva = (void *)(uintptr_t)PAGE);
    REFUSED_STATIC(-ENOSPC, "11 of 10; raise the limit", boot.size = 22 * MIB);
    REFUSED_STATIC(-ENOSPC, "is near", boot.size = 20 * MIB;
                   boot.flags = VMEM_DMA_STRICT);
    for (uint64_t at = 0; at < 3; at++) {
        fake_dma_fail(&it.fake.map, at, 1, -EFAULT);
        REFUSED_STATIC(-EFAULT, "errno 14", boot.iova = 2 * GIB);
    }
    fake_dma_fail(&it.fake.commit, 0, 1, -EPIPE);
    REFUSED_STATIC(-EPIPE, "did not commit", boot.iova = 2 * GIB);
    assert_string_equal(fake_dma_mapped(&it.fake), "");
    assert_int_equal(vmem_vm_get_claims(it.world.vm), 0);
    close_world(&it);
}

/* ---- memory ---- */

/* The backing knows address and file; a private mapping is not its file. */
static void the_backing_says_where_memory_is(void **state)
{
    static const struct {
        uint32_t kind;
        bool has_fd;
    } rows[] = {
        { VMEM_BACKING_MEMFD, true },
        { VMEM_BACKING_ANON, false },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const struct vmem_backing_config request = {
            .struct_size = sizeof(request),
            .name = "memory",
            .size = 4 * MIB,
            .kind = rows[i].kind,
        };
        struct vmem_backing_info info = { .struct_size = sizeof(info) };
        struct vmem_region_config config = { .struct_size = sizeof(config),
                                             .name = "r" };
        struct vmem_dma_attachment *attachment;
        const struct vmem_dma_mapping *mapping;
        struct vmem_region *region;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fixture it;

        open_world(&it, MIB, MIB);
        it.fake.flags = rows[i].has_fd ? VMEM_DMA_NEEDS_FD : 0;
        make(&it);
        assert_int_equal(vmem_backing_new_allocated(it.world.vm, &request,
                                                    &config.backing, NULL),
                         0);
        assert_int_equal(vmem_region_new(it.world.vm, &config, &region, NULL),
                         0);
        assert_int_equal(vmem_backing_get_info(config.backing, &info), 0);
        it.config.region = region;
        it.config.hva = NULL;
        it.config.window = (struct vmem_range){ MIB, 2 * MIB };
        assert_int_equal(attach(&it, NULL, &attachment, &err), 0);
        mapping = fake_dma_find(&it.fake, 0);
        assert_ptr_equal(mapping->hva, (char *)info.hva + MIB);
        assert_int_equal(mapping->fd, rows[i].has_fd ? info.fd : -1);
        assert_int_equal(mapping->fd_offset, rows[i].has_fd ? MIB : 0);
        assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
        /* The host knows better. */
        it.config.hva = MEMORY;
        it.config.flags = VMEM_DMA_HAS_FD;
        it.config.fd = 99;
        it.config.fd_offset = 8 * MIB;
        assert_int_equal(attach(&it, NULL, &attachment, &err), 0);
        mapping = fake_dma_find(&it.fake, 0);
        assert_ptr_equal(mapping->hva, (char *)MEMORY + MIB);
        assert_int_equal(mapping->fd, 99);
        assert_int_equal(mapping->fd_offset, 9 * MIB);
        assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
        assert_int_equal(vmem_region_free(region, NULL), 0);
        assert_int_equal(vmem_backing_free(config.backing, NULL), 0);
        close_world(&it);
    }
}

/* A private mapping of a file has contents of its own. */
static void a_private_mapping_is_not_its_file(void **state)
{
    const int fd = memfd_create("private", 0);
    struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = "private",
        .size = MIB,
        .flags = VMEM_BACKING_HAS_FD,
        .fd = fd,
    };
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "r" };
    struct vmem_dma_attachment *attachment;
    struct vmem_region *region;
    struct fixture it;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)MIB), 0);
    mapping.hva = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    assert_true(mapping.hva != MAP_FAILED);
    open_world(&it, MIB, MIB);
    make(&it);
    assert_int_equal(
        vmem_backing_new_mapped(it.world.vm, &mapping, &config.backing, NULL),
        0);
    assert_int_equal(vmem_region_new(it.world.vm, &config, &region, NULL), 0);
    it.config.region = region;
    it.config.hva = NULL;
    assert_int_equal(attach(&it, NULL, &attachment, NULL), 0);
    assert_ptr_equal(fake_dma_find(&it.fake, 0)->hva, mapping.hva);
    assert_int_equal(fake_dma_find(&it.fake, 0)->fd, -1);
    assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_backing_free(config.backing, NULL), 0);
    close_world(&it);
    munmap(mapping.hva, MIB);
    close(fd);
}

/* Nothing wraps where the numbers end. */
static void a_region_may_be_as_large_as_the_numbers(void **state)
{
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = "r",
        .size = UINT64_MAX - 4 * PAGE + 1,
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_region *region;
    struct fixture it;

    (void)state;
    open_world(&it, MIB, MIB);
    make(&it);
    assert_int_equal(vmem_region_new(it.world.vm, &config, &region, NULL), 0);
    it.config.region = region;
    it.config.hva = (void *)(uintptr_t)PAGE;
    assert_int_equal(try_attach(&it, &verdict, &err), 0);
    assert_true(verdict.granularity == (uint64_t)1 << 63);
    assert_int_equal(verdict.nr_worst_case, 2);
    assert_int_equal(fake_dma_stats(&it.fake).nr_maps, 2);
    assert_true(fake_dma_stats(&it.fake).peak_pinned_size == config.size);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    close_world(&it);
}

/* One that maps files gets one, and needs no address. */
static void a_backend_of_files_needs_a_file(void **state)
{
    const struct vmem_dma_static_config boot = {
        .struct_size = sizeof(boot),
        .name = "boot",
        .size = PAGE,
        .fd = 9,
        .fd_offset = 3 * PAGE,
        .flags = VMEM_DMA_HAS_FD,
    };
    struct vmem_dma_attachment *attachment;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_world(&it, MIB, 0);
    it.fake.flags = VMEM_DMA_NEEDS_FD;
    make(&it);
    assert_int_equal(try_attach(&it, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.message, "file of the memory is not known"));
    it.config.hva = NULL;
    it.config.flags = VMEM_DMA_HAS_FD;
    it.config.fd = 5;
    assert_int_equal(attach(&it, NULL, &attachment, &err), 0);
    assert_null(fake_dma_find(&it.fake, 0)->hva);
    assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
    assert_int_equal(
        vmem_dma_attach_static(it.fake.dma, &boot, NULL, &attachment, NULL), 0);
    assert_int_equal(fake_dma_find(&it.fake, 0)->fd, 9);
    assert_int_equal(fake_dma_find(&it.fake, 0)->fd_offset, 3 * PAGE);
    assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
    close_world(&it);
}

/* ---- claims ---- */

static void a_claim_is_held_while_something_is_attached(void **state)
{
    struct vmem_discard_claim *balloon = NULL;
    struct vmem_dma_attachment *a;
    struct vmem_dma_attachment *b;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct fixture it;

    (void)state;
    open_world(&it, 2 * MIB, MIB);
    make(&it);
    assert_int_equal(vmem_discard_claim_take(it.world.vm,
                                             VMEM_CLAIM_NEED_UNCOORDINATED,
                                             "balloon", &balloon, NULL),
                     0);
    assert_int_equal(attach(&it, NULL, &a, &err), -EBUSY);
    assert_non_null(strstr(err.message, "balloon"));
    assert_int_equal(vmem_discard_claim_release(balloon, NULL), 0);
    it.config.name = "a";
    it.config.window = (struct vmem_range){ 0, MIB };
    assert_int_equal(attach(&it, NULL, &a, &err), 0);
    it.config.name = "b";
    it.config.iova = GIB;
    assert_int_equal(attach(&it, NULL, &b, &err), 0);
    assert_int_equal(vmem_discard_claim_take(it.world.vm,
                                             VMEM_CLAIM_NEED_UNCOORDINATED,
                                             "balloon", &balloon, &err),
                     -EBUSY);
    assert_non_null(strstr(err.message, "fake/a, fake/b"));
    assert_int_equal(vmem_dma_detach(a, NULL), 0);
    assert_true(vmem_vm_is_uncoordinated_forbidden(it.world.vm));
    assert_int_equal(vmem_dma_detach(b, NULL), 0);
    assert_false(vmem_vm_is_uncoordinated_forbidden(it.world.vm));
    close_world(&it);
}

/* The host arbitrates: nothing is refused, and nobody sees a claim. */
static void a_host_may_arbitrate_by_itself(void **state)
{
    (void)state;
    for (int no_parts = 0; no_parts < 2; no_parts++) {
        const struct vmem_dma_static_config boot = {
            .struct_size = sizeof(boot),
            .name = "boot",
            .iova = GIB,
            .size = MIB,
            .hva = MEMORY,
        };
        struct vmem_discard_claim *balloon = NULL;
        struct vmem_dma_attachment *attachment;
        struct vmem_dma_attachment *memory;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct fixture it;

        open_world(&it, 2 * MIB, MIB);
        it.fake.config.flags = VMEM_DMA_NO_CLAIM;
        it.fake.flags = no_parts ? VMEM_DMA_NO_PARTS : 0;
        make(&it);
        assert_int_equal(vmem_discard_claim_take(it.world.vm,
                                                 VMEM_CLAIM_NEED_UNCOORDINATED,
                                                 "balloon", &balloon, NULL),
                         0);
        assert_int_equal(attach(&it, NULL, &attachment, &err), 0);
        assert_int_equal(
            vmem_dma_attach_static(it.fake.dma, &boot, NULL, &memory, &err), 0);
        assert_false(vmem_vm_is_uncoordinated_forbidden(it.world.vm));
        assert_int_equal(vmem_vm_get_claims(it.world.vm),
                         VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_UNCOORDINATED));
        assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
        assert_int_equal(vmem_dma_detach(memory, NULL), 0);
        assert_int_equal(vmem_discard_claim_release(balloon, NULL), 0);
        /* One that is refused has nothing to release either. */
        it.config.iova = 1;
        assert_int_equal(attach(&it, NULL, &attachment, &err), -EINVAL);
        close_world(&it);
    }
}

static int new_device(struct fixture *it, struct vmem_device **device,
                      struct vmem_error *err)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "mem0",
        .block_size = MIB,
    };

    return vmem_device_new(it->world.region, &config, NULL, NULL, device, err);
}

/* Device first, mapper first; and with a backend that can do no discards. */
static void devices_and_mappers_come_in_any_order(void **state)
{
    (void)state;
    for (int no_parts = 0; no_parts < 2; no_parts++) {
        struct vmem_dma_attachment *attachment;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct vmem_device *device;
        struct fixture it;

        open_world(&it, 4 * MIB, 0);
        it.fake.flags = no_parts ? VMEM_DMA_NO_PARTS : 0;
        make(&it);
        it.config.granularity = MIB;
        assert_int_equal(new_device(&it, &device, &err), 0);
        if (no_parts) {
            assert_int_equal(attach(&it, NULL, &attachment, &err), -EBUSY);
            assert_non_null(strstr(err.message, "mem0"));
            assert_int_equal(vmem_device_free(device, NULL), 0);
            assert_int_equal(attach(&it, NULL, &attachment, &err), 0);
            assert_int_equal(new_device(&it, &device, &err), -EBUSY);
            assert_non_null(strstr(err.message, "fake/ram"));
            assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
            close_world(&it);
            continue;
        }
        assert_int_equal(attach(&it, NULL, &attachment, &err), 0);
        assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
        assert_int_equal(vmem_device_free(device, NULL), 0);
        assert_int_equal(attach(&it, NULL, &attachment, &err), 0);
        assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 4);
        assert_int_equal(new_device(&it, &device, &err), 0);
        /* Everything is unplugged now. */
        assert_int_equal(fake_dma_stats(&it.fake).nr_mappings, 0);
        assert_int_equal(vmem_dma_detach(attachment, NULL), 0);
        assert_int_equal(vmem_device_free(device, NULL), 0);
        close_world(&it);
    }
}

/* ---- callbacks ---- */

static void change_everything(struct fake_dma *fake)
{
    struct fixture *it = fake->inside_opaque;
    const struct vmem_range range = { 0, MIB };
    struct vmem_dma_attachment *attachment;
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };

    fake->inside = NULL;
    assert_int_equal(attach(it, NULL, &attachment, NULL), -EDEADLK);
    assert_int_equal(vmem_dma_retry_unmaps(fake->dma, NULL), -EDEADLK);
    assert_int_equal(vmem_dma_free(fake->dma, NULL), -EDEADLK);
    assert_int_equal(vmem_dma_viommu_unmap(fake->dma, 0, 1, NULL, NULL),
                     -EDEADLK);
    assert_int_equal(vmem_source_populate(it->source, &range, NULL), -EDEADLK);
    assert_int_equal(vmem_dma_get_stats(fake->dma, &stats), 0);
    it->config.name = NULL; /* was here */
}

static void backends_may_ask_but_not_change(void **state)
{
    const struct vmem_dma_static_config boot = {
        .struct_size = sizeof(boot),
        .name = "boot",
        .size = MIB,
        .hva = MEMORY,
    };
    struct vmem_dma_attachment *memory;
    struct fixture it;

    (void)state;
    open_world(&it, MIB, MIB);
    make(&it);
    it.fake.inside = change_everything;
    it.fake.inside_opaque = &it;
    assert_int_equal(
        vmem_dma_attach_static(it.fake.dma, &boot, NULL, &memory, NULL), 0);
    assert_null(it.config.name);
    assert_int_equal(vmem_dma_detach(memory, NULL), 0);
    close_world(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_configs_are_refused),
        cmocka_unit_test(missing_arguments_are_refused),
        cmocka_unit_test(bad_mappers_are_refused_and_destroyed),
        cmocka_unit_test(properties_are_optional),
        cmocka_unit_test(large_chunks_are_made_smaller_unless_asked_for),
        cmocka_unit_test(too_many_chunks_are_refused),
        cmocka_unit_test(sources_finer_than_a_chunk_are_refused_later),
        cmocka_unit_test(verdicts_come_before_anything_is_mapped),
        cmocka_unit_test(a_near_limit_is_told_or_refused),
        cmocka_unit_test(pinned_bytes_are_judged),
        cmocka_unit_test(requests_of_others_are_taken),
        cmocka_unit_test(clipped_chunks_count_as_what_they_are),
        cmocka_unit_test(static_memory_is_mapped_and_counted),
        cmocka_unit_test(the_backing_says_where_memory_is),
        cmocka_unit_test(a_private_mapping_is_not_its_file),
        cmocka_unit_test(a_region_may_be_as_large_as_the_numbers),
        cmocka_unit_test(a_backend_of_files_needs_a_file),
        cmocka_unit_test(a_claim_is_held_while_something_is_attached),
        cmocka_unit_test(a_host_may_arbitrate_by_itself),
        cmocka_unit_test(devices_and_mappers_come_in_any_order),
        cmocka_unit_test(backends_may_ask_but_not_change),
    };

    return cmocka_run_group_tests_name("dma attach", tests, NULL, NULL);
}
