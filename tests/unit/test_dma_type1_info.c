/* SPDX-License-Identifier: BSD-3-Clause */
/* What a container says about its IOMMU is followed no further than it goes:
 * nothing below may hang, or read behind the buffer (the build with the address
 * sanitizer would tell). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "dma/kernel.h"
#include "dma/type1_info.h"
#include "support/fake_iommu.h"

#define HEAD sizeof(struct vfio_iommu_type1_info)

/* An answer, as bytes, instead of the model's. */
struct script {
    uint8_t bytes[4096];
    uint32_t size;     /* which argsz says */
    bool grows;        /* ... and more, each time */
    bool has_no_caps;  /* flags */
    bool has_no_sizes; /* flags */
    uint64_t page_sizes;
    uint32_t cap_offset;
};

struct stage {
    struct fake_iommu fake;
    struct type1_model model;
    struct script script;
    struct vmemi_type1_info info;
    struct vmem_error err;
    int fd;
};

static int play(struct fake_iommu *fake, enum fake_ioctl call, void *argument,
                int ret)
{
    struct script *script = fake->user;
    struct vfio_iommu_type1_info info;
    uint32_t argsz;

    if (call != FAKE_VFIO_INFO) {
        return ret;
    }
    memcpy(&info, argument, sizeof(info));
    argsz = info.argsz;
    script->size += script->grows ? 8 : 0;
    info.argsz = script->size;
    info.flags = (script->has_no_caps ? 0u : VFIO_IOMMU_INFO_CAPS) |
                 (script->has_no_sizes ? 0u : VFIO_IOMMU_INFO_PGSIZES);
    info.iova_pgsizes = script->page_sizes;
    info.cap_offset = script->cap_offset;
    if (argsz > HEAD) {
        memcpy((uint8_t *)argument + HEAD, script->bytes + HEAD, argsz - HEAD);
    }
    memcpy(argument, &info, HEAD);
    return ret;
}

static int stage_init(void **state)
{
    struct stage *stage = g_new0(struct stage, 1);

    type1_model_init(&stage->model, TYPE1_V2);
    stage->model.has_caps = false; /* so that it leaves argsz as it is */
    fake_iommu_install(&stage->fake);
    stage->fd = fake_iommu_add_type1(&stage->fake, &stage->model);
    stage->fake.tamper = play;
    stage->fake.user = &stage->script;
    stage->script.page_sizes = 4096;
    stage->script.size = 256;
    stage->script.cap_offset = HEAD;
    stage->err.struct_size = sizeof(stage->err);
    *state = stage;
    return 0;
}

static int stage_destroy(void **state)
{
    struct stage *stage = *state;

    fake_iommu_remove();
    type1_model_destroy(&stage->model);
    g_free(stage);
    return 0;
}

static void put_header(struct stage *stage, uint32_t offset, uint16_t id,
                       uint32_t next)
{
    const struct vfio_info_cap_header header = { id, 1, next };

    memcpy(stage->script.bytes + offset, &header, sizeof(header));
}

static void put_ranges(struct stage *stage, uint32_t offset, uint32_t nr,
                       uint32_t next)
{
    put_header(stage, offset, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, next);
    memcpy(stage->script.bytes + offset + 8, &nr, sizeof(nr));
}

static void put_available(struct stage *stage, uint32_t offset, uint32_t nr,
                          uint32_t next)
{
    put_header(stage, offset, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, next);
    memcpy(stage->script.bytes + offset + 8, &nr, sizeof(nr));
}

static int get(struct stage *stage)
{
    return vmemi_type1_info_get(stage->fd, &stage->info, &stage->err);
}

static void assert_refused(struct stage *stage, const char *words)
{
    stage->err.message[0] = '\0';
    assert_int_equal(get(stage), -EPROTO);
    assert_int_equal(stage->err.code, -EPROTO);
    if (strstr(stage->err.message, words) == NULL) {
        assert_string_equal(stage->err.message, words);
    }
    assert_null(stage->info.ranges.ranges);
}

static void capabilities_come_in_any_order(void **state)
{
    struct stage *stage = *state;
    const uint64_t range[2] = { 4096, UINT64_MAX };

    /* Backwards, with one that nobody knows, and as packed as older kernels
     * put them. */
    stage->script.cap_offset = 100;
    put_available(stage, 100, 7, 60);
    put_header(stage, 60, 999, HEAD);
    put_ranges(stage, HEAD, 1, 0);
    memcpy(stage->script.bytes + HEAD + 16, range, sizeof(range));
    assert_int_equal(get(stage), 0);
    assert_int_equal(stage->info.max_mappings, 7);
    assert_int_equal(stage->info.page_sizes, 4096);
    assert_int_equal(stage->info.ranges.nr_ranges, 1);
    assert_int_equal(stage->info.ranges.ranges[0].start, 4096);
    assert_true(stage->info.ranges.ranges[0].last == UINT64_MAX);
    vmemi_iova_ranges_destroy(&stage->info.ranges);
    assert_null(stage->info.ranges.ranges);
}

static void a_chain_may_be_empty(void **state)
{
    struct stage *stage = *state;

    stage->script.cap_offset = 0;
    assert_int_equal(get(stage), 0);
    assert_int_equal(stage->info.max_mappings, 65535);
    assert_null(stage->info.ranges.ranges);
    /* Without the flag the offset means nothing. */
    stage->script.has_no_caps = true;
    stage->script.cap_offset = 0xffffff00;
    assert_int_equal(get(stage), 0);
    assert_int_equal(stage->info.max_mappings, 65535);
}

static void no_page_size_is_refused(void **state)
{
    struct stage *stage = *state;

    stage->script.page_sizes = 0;
    assert_refused(stage, "no page size");
    stage->script.page_sizes = 4096;
    stage->script.has_no_sizes = true;
    assert_refused(stage, "no page size");
}

static void a_chain_that_loops_ends(void **state)
{
    struct stage *stage = *state;

    put_available(stage, HEAD, 1, HEAD);
    assert_refused(stage, "form a loop");
    put_available(stage, HEAD, 1, 48);
    put_header(stage, 48, 2, 64);
    put_header(stage, 64, 2, HEAD);
    assert_refused(stage, "form a loop");
}

/* A second list of ranges would leak the first, or hide it. */
static void a_list_in_a_loop_is_read_once(void **state)
{
    struct stage *stage = *state;

    put_ranges(stage, HEAD, 1, HEAD);
    assert_refused(stage, "two lists of IOVA ranges");
}

static void a_chain_that_leaves_the_answer_is_refused(void **state)
{
    static const uint32_t offsets[] = {
        1,          2,          3,          4,          8,   16,
        19,         253,        254,        255,        256, 249,
        252,        260,        0x10000,    0x7fffffff, 26,  25,
        0x80000000, 0xfffffff8, 0xfffffffc, 0xffffffff,
    };
    struct stage *stage = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(offsets); i++) {
        g_autofree char *words =
            g_strdup_printf("a capability at %u of 256", offsets[i]);

        stage->script.cap_offset = offsets[i];
        assert_refused(stage, words);
        stage->script.cap_offset = HEAD;
        put_header(stage, HEAD, 2, offsets[i]);
        assert_refused(stage, words);
    }
    /* The last place that has room for a header. */
    stage->script.cap_offset = 248;
    assert_int_equal(get(stage), 0);
}

static void a_capability_that_is_cut_off_is_refused(void **state)
{
    struct stage *stage = *state;

    stage->script.cap_offset = 248;
    put_available(stage, 248, 1, 0);
    assert_refused(stage, "DMA_AVAIL at 248 of 256");
    put_ranges(stage, 248, 1, 0);
    assert_refused(stage, "IOVA ranges at 248 of 256");
    stage->script.cap_offset = 240;
    put_ranges(stage, 240, 1, 0);
    assert_refused(stage, "1 IOVA ranges at 240 of 256");
    /* What just fits: 4 bytes for DMA_AVAIL, 16 for a range. */
    stage->script.cap_offset = 244;
    put_available(stage, 244, 5, 0);
    assert_int_equal(get(stage), 0);
    assert_int_equal(stage->info.max_mappings, 5);
    stage->script.cap_offset = 224;
    put_ranges(stage, 224, 1, 0);
    assert_int_equal(get(stage), 0);
    assert_int_equal(stage->info.ranges.nr_ranges, 1);
    vmemi_iova_ranges_destroy(&stage->info.ranges);
}

static void a_false_number_of_ranges_is_refused(void **state)
{
    static const uint32_t numbers[] = { 0,          14,         15,
                                        65537,      0x0fffffff, 0x10000000,
                                        0x10000001, 0x7fffffff, 0xffffffff };
    struct stage *stage = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        put_ranges(stage, HEAD, numbers[i], 0);
        assert_refused(stage, " IOVA ranges at 24 of 256");
    }
    put_ranges(stage, HEAD, 13, 0);
    assert_int_equal(get(stage), 0);
    assert_int_equal(stage->info.ranges.nr_ranges, 13);
    vmemi_iova_ranges_destroy(&stage->info.ranges);
}

static void an_answer_without_end_is_refused(void **state)
{
    static const uint32_t sizes[] = { (2u << 20) + 1, 0x7fffffff, 0xffffffff };
    struct stage *stage = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        stage->script.size = sizes[i];
        assert_refused(stage, "at most 2097152");
    }
}

/* Devices that join make it longer; but not for ever. */
static void an_answer_may_grow(void **state)
{
    struct stage *stage = *state;
    const uint64_t nr_before = stage->fake.nr_calls[FAKE_VFIO_INFO];

    stage->script.grows = true;
    assert_refused(stage, "grew 8 times");
    assert_int_equal(stage->fake.nr_calls[FAKE_VFIO_INFO] - nr_before, 8);
}

static void a_short_answer_is_read_as_short(void **state)
{
    struct stage *stage = *state;

    /* The kernel has nothing to add: one question was enough. */
    stage->script.size = HEAD;
    stage->script.cap_offset = 0;
    assert_int_equal(get(stage), 0);
    assert_int_equal(stage->fake.nr_calls[FAKE_VFIO_INFO], 1);
    stage->script.cap_offset = HEAD;
    assert_refused(stage, "a capability at 24 of 24");
    /* Less than asked for is not more room. */
    stage->script.size = 0;
    assert_refused(stage, "a capability at 24 of 24");
}

/* Random bytes where capabilities are. */
static void garbage_is_survived(void **state)
{
    struct stage *stage = *state;
    uint64_t seed = 1;
    unsigned nr_read = 0;

    for (unsigned round = 0; round < 20000; round++) {
        for (uint32_t i = HEAD; i < 256; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            stage->script.bytes[i] = (uint8_t)(seed >> 56);
        }
        /* Often something that can be followed. */
        for (uint32_t i = HEAD; i < 240; i += 12) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            put_header(stage, i, (seed >> 40) % 5,
                       (seed >> 60) < 3 ? 0 : (uint32_t)(seed >> 50) % 260);
        }
        stage->script.cap_offset = HEAD + (uint32_t)(seed >> 33) % 20 * 12;
        if (get(stage) == 0) {
            nr_read++;
            vmemi_iova_ranges_destroy(&stage->info.ranges);
        }
    }
    assert_in_range(nr_read, 1, 19999);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, stage_init, stage_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(capabilities_come_in_any_order),
        TEST(a_chain_may_be_empty),
        TEST(no_page_size_is_refused),
        TEST(a_chain_that_loops_ends),
        TEST(a_list_in_a_loop_is_read_once),
        TEST(a_chain_that_leaves_the_answer_is_refused),
        TEST(a_capability_that_is_cut_off_is_refused),
        TEST(a_false_number_of_ranges_is_refused),
        TEST(an_answer_without_end_is_refused),
        TEST(an_answer_may_grow),
        TEST(a_short_answer_is_read_as_short),
        TEST(garbage_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
