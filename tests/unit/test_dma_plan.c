/* SPDX-License-Identifier: BSD-3-Clause */
/* How many mappings a region takes, and which blocks would fit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <vmem/dma.h>

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)
#define NONE VMEM_DMA_UNLIMITED
#define OK VMEM_DMA_FIT_OK
#define TIGHT VMEM_DMA_FIT_TIGHT
#define IMPOSSIBLE VMEM_DMA_FIT_IMPOSSIBLE

static void the_numbers_come_out(void **state)
{
    static const struct {
        uint64_t size;
        uint64_t block_size;
        uint64_t requested;
        uint64_t limit;
        uint64_t taken;
        uint32_t fit;
        uint64_t nr_requested;
        uint64_t nr_worst_case;
        uint64_t recommended;
    } rows[] = {
        { TIB, 2 * MIB, 4 * GIB, 65535, 0, OK, 2048, 524288, 32 * MIB },
        { 4 * TIB, 2 * MIB, 4 * GIB, 65535, 0, OK, 2048, 2097152, 128 * MIB },
        { 8 * TIB, 2 * MIB, 4 * GIB, 65535, 0, OK, 2048, 4194304, 256 * MIB },
        /* Nothing requested in particular: all of it. */
        { 8 * TIB, 2 * MIB, 0, 65535, 0, IMPOSSIBLE, 4194304, 4194304,
          256 * MIB },
        { 8 * TIB, 256 * MIB, 0, 65535, 0, OK, 32768, 32768, 256 * MIB },
        /* One mapping short, exactly enough, and with room. */
        { 128 * GIB, 2 * MIB, 0, 65535, 0, IMPOSSIBLE, 65536, 65536, 4 * MIB },
        { 128 * GIB, 2 * MIB, 0, 65536, 0, TIGHT, 65536, 65536, 2 * MIB },
        { 128 * GIB, 2 * MIB, 0, 65536, 1, IMPOSSIBLE, 65536, 65536, 4 * MIB },
        { 128 * GIB, 2 * MIB, 112 * GIB, 65536, 0, OK, 57344, 65536, 2 * MIB },
        { 128 * GIB, 2 * MIB, 112 * GIB + 1, 65536, 0, TIGHT, 57345, 65536,
          2 * MIB },
        /* Others have it all. */
        { TIB, 2 * MIB, 2 * MIB, 64, 64, IMPOSSIBLE, 1, 524288, 0 },
        { TIB, 2 * MIB, 2 * MIB, 64, UINT64_MAX, IMPOSSIBLE, 1, 524288, 0 },
        { TIB, 2 * MIB, 2 * MIB, 64, 63, TIGHT, 1, 524288, TIB },
        /* No limit. */
        { 8 * TIB, 4096, 0, NONE, 1, OK, TIB / 512, TIB / 512, 4096 },
        /* Sizes that no block divides, and the ends of the numbers. */
        { 3 * MIB + 1, MIB, 1, 100, 0, OK, 1, 4, MIB },
        { UINT64_MAX, 1, 0, NONE, 0, OK, UINT64_MAX, UINT64_MAX, 1 },
        { UINT64_MAX, (uint64_t)1 << 63, 0, 65535, 0, OK, 2, 2,
          (uint64_t)1 << 63 },
        { UINT64_MAX, 1, 1, 1, 0, TIGHT, 1, UINT64_MAX, 0 },
        /* Less than an eighth: of few there is no part to leave. */
        { 7 * MIB, MIB, 0, 7, 0, TIGHT, 7, 7, MIB },
        { 7 * MIB, MIB, 6 * MIB, 7, 0, OK, 6, 7, MIB },
        { 15 * MIB, MIB, 14 * MIB, 15, 0, TIGHT, 14, 15, MIB },
        { 15 * MIB, MIB, 13 * MIB, 15, 0, OK, 13, 15, MIB },
        { 16 * MIB, MIB, 14 * MIB, 16, 0, OK, 14, 16, MIB },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct vmem_dma_plan_config config = {
            .struct_size = sizeof(config),
            .region_size = rows[i].size,
            .block_size = rows[i].block_size,
            .requested_size = rows[i].requested,
            .max_mappings = rows[i].limit,
            .nr_taken = rows[i].taken,
        };
        struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };

        assert_int_equal(vmem_dma_plan(&config, &verdict, NULL), 0);
        if (verdict.fit != rows[i].fit ||
            verdict.nr_requested != rows[i].nr_requested ||
            verdict.nr_worst_case != rows[i].nr_worst_case ||
            verdict.recommended_block_size != rows[i].recommended) {
            fail_msg("row %zu: fit %u, %llu requested, %llu at worst, "
                     "0x%llx recommended",
                     i, verdict.fit, (unsigned long long)verdict.nr_requested,
                     (unsigned long long)verdict.nr_worst_case,
                     (unsigned long long)verdict.recommended_block_size);
        }
        assert_int_equal(verdict.bound, rows[i].fit == OK
                                            ? VMEM_DMA_BOUND_NONE
                                            : VMEM_DMA_BOUND_MAPPINGS);
        assert_int_equal(verdict.nr_now, verdict.nr_requested);
        assert_int_equal(verdict.max_mappings, rows[i].limit);
    }
}

/* Each container pins, and is accounted, on its own; mappings are counted in
 * each. */
static void containers_multiply_pinned_bytes(void **state)
{
    struct vmem_dma_plan_config config = {
        .struct_size = sizeof(config),
        .region_size = 64 * GIB,
        .block_size = 2 * MIB,
        .requested_size = 16 * GIB,
        .max_mappings = 65535,
        .max_pinned_size = 64 * GIB,
        .pinned_size = 8 * GIB,
        .nr_containers = 2,
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };

    (void)state;
    assert_int_equal(vmem_dma_plan(&config, &verdict, NULL), 0);
    assert_int_equal(verdict.fit, OK);
    assert_int_equal(verdict.nr_requested, 8192);
    assert_int_equal(verdict.requested_pinned_size, 32 * GIB);
    assert_int_equal(verdict.worst_case_pinned_size, 128 * GIB);
    config.nr_containers = 3;
    assert_int_equal(vmem_dma_plan(&config, &verdict, NULL), 0);
    assert_int_equal(verdict.fit, OK);
    config.pinned_size = 9 * GIB;
    assert_int_equal(vmem_dma_plan(&config, &verdict, NULL), 0);
    assert_int_equal(verdict.fit, TIGHT);
    assert_int_equal(verdict.recommended_block_size, 2 * MIB);
    assert_int_equal(verdict.bound, VMEM_DMA_BOUND_PINNED);
    config.nr_containers = 4;
    assert_int_equal(vmem_dma_plan(&config, &verdict, NULL), 0);
    assert_int_equal(verdict.fit, IMPOSSIBLE);
    assert_int_equal(verdict.bound, VMEM_DMA_BOUND_PINNED);
    /* No block size pins less. */
    assert_int_equal(verdict.recommended_block_size, 0);
    config.nr_containers = UINT64_MAX;
    assert_int_equal(vmem_dma_plan(&config, &verdict, NULL), 0);
    assert_true(verdict.worst_case_pinned_size == UINT64_MAX);
}

static void bad_numbers_are_refused(void **state)
{
    const struct vmem_dma_plan_config good = {
        .struct_size = sizeof(good),
        .region_size = GIB,
        .block_size = MIB,
        .max_mappings = 1,
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_dma_plan_config bad = good;

    (void)state;
    bad.region_size = 0;
    assert_int_equal(vmem_dma_plan(&bad, &verdict, &err), -EINVAL);
    assert_non_null(strstr(err.message, "empty"));
    bad = good;
    bad.block_size = 3 * MIB;
    assert_int_equal(vmem_dma_plan(&bad, &verdict, &err), -EINVAL);
    assert_non_null(strstr(err.message, "0x300000"));
    bad.block_size = 0;
    assert_int_equal(vmem_dma_plan(&bad, &verdict, &err), -EINVAL);
    bad = good;
    bad.requested_size = GIB + 1;
    assert_int_equal(vmem_dma_plan(&bad, &verdict, &err), -ERANGE);
    assert_non_null(strstr(err.message, "0x40000001"));
    assert_int_equal(vmem_dma_plan(NULL, &verdict, &err), -EINVAL);
    assert_int_equal(vmem_dma_plan(&good, NULL, &err), -EINVAL);
    verdict.struct_size--;
    assert_int_equal(vmem_dma_plan(&good, &verdict, &err), -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_STRUCT_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_numbers_come_out),
        cmocka_unit_test(containers_multiply_pinned_bytes),
        cmocka_unit_test(bad_numbers_are_refused),
    };

    return cmocka_run_group_tests_name("dma plan", tests, NULL, NULL);
}
