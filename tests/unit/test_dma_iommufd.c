/* SPDX-License-Identifier: BSD-3-Clause */
/* The backend of an address space of iommufd, on the model of one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "dma/ioctl.h"
#include "dma/iommufd.h"
#include "dma/kernel.h"
#include "support/allocations.h"
#include "support/backend_calls.h"
#include "support/fake_iommu.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

struct stage {
    struct fake_iommu fake;
    struct iommufd_model model;
    struct iova_set *set;
    int fd;
    uint32_t ioas_id;
    struct vmemi_dma_backend backend;
    struct vmem_error err;
    char text[256];
};

static void stage_init(struct stage *stage)
{
    memset(stage, 0, sizeof(*stage));
    stage->err.struct_size = sizeof(stage->err);
    iommufd_model_init(&stage->model);
    /* Another one that nobody may touch. */
    (void)iommufd_model_alloc(&stage->model);
    stage->ioas_id = iommufd_model_alloc(&stage->model);
    stage->set = iommufd_model_set(&stage->model, stage->ioas_id);
    fake_iommu_install(&stage->fake);
    stage->fd = fake_iommu_add_iommufd(&stage->fake, &stage->model);
}

static int stage_open(struct stage *stage)
{
    return vmemi_iommufd_open(stage->fd, stage->ioas_id, &stage->backend,
                              &stage->err);
}

static void open_stage(struct stage *stage)
{
    stage_init(stage);
    assert_int_equal(stage_open(stage), 0);
    fake_iommu_forget(&stage->fake);
}

static void stage_destroy(struct stage *stage)
{
    assert_int_equal(iova_set_nr(iommufd_model_set(&stage->model, 1)), 0);
    if (stage->backend.opaque != NULL) {
        stage->backend.ops.destroy(stage->backend.opaque);
    }
    fake_iommu_remove();
    iommufd_model_destroy(&stage->model);
}

/* Memory of a file, at the same offset as the IOVA. */
static int map_other_file(struct stage *stage, int fd, uint64_t iova,
                          uint64_t size)
{
    struct vmem_dma_mapping mapping = backend_mapping(iova, size);

    mapping.fd = fd;
    mapping.fd_offset = iova + GIB(1);
    return stage->backend.ops.map(&mapping, stage->backend.opaque);
}

static int map_file(struct stage *stage, uint64_t iova, uint64_t size)
{
    return map_other_file(stage, 9, iova, size);
}

static int check(struct stage *stage, uint64_t iova, uint64_t size)
{
    return stage->backend.check_window(iova, size, &stage->err,
                                       stage->backend.opaque);
}

#define assert_says(stage, words)                                              \
    do {                                                                       \
        if (strstr((stage)->err.message, words) == NULL) {                     \
            assert_string_equal((stage)->err.message, words);                  \
        }                                                                      \
    } while (0)

/* ---- opening ---- */

static void it_finds_out_what_the_address_space_can(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage);
    assert_int_equal(stage_open(&stage), 0);
    assert_int_equal(stage.backend.kind, VMEM_DMA_IOMMUFD);
    assert_int_equal(stage.backend.flags, VMEM_DMA_EXACT_UNMAP);
    assert_int_equal(stage.backend.page_sizes, 4096);
    assert_true(stage.backend.max_size == VMEM_DMA_UNLIMITED);
    assert_true(stage.backend.max_mappings == VMEM_DMA_UNLIMITED);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_RANGES], 1);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], 1);
    stage_destroy(&stage);
}

static void what_is_no_iommufd_is_refused(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage);
    stage.fd = -1;
    assert_int_equal(stage_open(&stage), -EBADF);
    assert_says(&stage, "descriptor -1");
    stage.fd = 0x40000000;
    fake_iommu_fail(&stage.fake, FAKE_IOAS_RANGES, 1, 1, ENOTTY);
    assert_int_equal(stage_open(&stage), -ENOTTY);
    assert_int_equal(stage.err.reason, VMEM_REASON_OS);
    assert_says(&stage, "not /dev/iommu");
    stage.ioas_id = 77;
    assert_int_equal(stage_open(&stage), -ENOENT);
    assert_int_equal(stage.err.reason, VMEM_REASON_NOT_FOUND);
    assert_says(&stage, "no address space 77");
    assert_null(stage.backend.opaque);
    stage_destroy(&stage);
}

/* More ranges than there is room for at first. */
static void many_ranges_are_asked_for_again(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage);
    stage.model.nr_ranges = IOMMUFD_MODEL_MAX_RANGES;
    for (unsigned i = 0; i < IOMMUFD_MODEL_MAX_RANGES; i++) {
        stage.model.ranges[i].start = GIB(2 * i);
        stage.model.ranges[i].last = GIB(2 * i + 1) - 1;
    }
    assert_int_equal(stage_open(&stage), 0);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_RANGES], 2);
    assert_int_equal(check(&stage, GIB(30), GIB(1)), 0);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_RANGES], 4);
    assert_int_equal(check(&stage, GIB(30), GIB(2)), -ERANGE);
    assert_says(&stage, "0x7c0000000 to 0xffffffffffffffff");
    stage_destroy(&stage);
}

/* What the kernel answers, instead of what it is. */
struct lie {
    uint32_t nr_ranges;
    uint64_t alignment;
    int ret;
    bool grows;
};

static int tell_lie(struct fake_iommu *fake, enum fake_ioctl call,
                    void *argument, int ret)
{
    struct iommu_ioas_iova_ranges *ranges = argument;
    struct lie *lie = fake->user;

    (void)ret;
    assert_int_equal(call, FAKE_IOAS_RANGES);
    lie->nr_ranges += lie->grows;
    ranges->num_iovas = lie->nr_ranges;
    ranges->out_iova_alignment = lie->alignment;
    return lie->ret;
}

static void a_false_answer_is_refused(void **state)
{
    static const struct {
        struct lie lie;
        uint64_t nr_calls;
    } cases[] = {
        { { 9, 4096, 0, false }, 1 }, /* more than there was room */
        { { 0xffffffff, 4096, 0, false }, 1 },
        { { 2, 0, 0, false }, 1 }, /* no alignment */
        { { 2, 4095, 0, false }, 1 },
        { { 0, 4096, -EMSGSIZE, false }, 1 }, /* no room is too little */
        { { 65537, 4096, -EMSGSIZE, false }, 1 },
        { { 0xffffffff, 4096, -EMSGSIZE, false }, 1 },
        { { 8, 4096, -EMSGSIZE, true }, 8 }, /* more each time */
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct lie lie = cases[i].lie;
        struct stage stage;

        stage_init(&stage);
        stage.fake.tamper = tell_lie;
        stage.fake.user = &lie;
        assert_int_equal(stage_open(&stage), -EPROTO);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_RANGES],
                         cases[i].nr_calls);
        assert_says(&stage, "IOMMU_IOAS_IOVA_RANGES");
        assert_null(stage.backend.opaque);
        stage_destroy(&stage);
    }
}

/* Nothing can be mapped is an answer. */
static void no_range_means_nowhere(void **state)
{
    struct lie lie = { 0, 1, 0, false };
    struct stage stage;

    (void)state;
    stage_init(&stage);
    stage.fake.tamper = tell_lie;
    stage.fake.user = &lie;
    assert_int_equal(stage_open(&stage), 0);
    assert_int_equal(stage.backend.page_sizes, 1);
    assert_int_equal(check(&stage, 0, MIB(2)), -ERANGE);
    assert_says(&stage, "0x0 to 0xffffffffffffffff");
    stage_destroy(&stage);
}

static void a_window_must_be_usable(void **state)
{
    struct stage stage;

    (void)state;
    open_stage(&stage);
    assert_int_equal(check(&stage, GIB(4), GIB(4)), 0);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], 1);
    assert_int_equal(check(&stage, GIB(3), GIB(1)), -ERANGE);
    assert_says(&stage, "0xfee00000 to 0xfeefffff");
    /* Devices that join narrow it. */
    stage.model.nr_ranges = 1;
    assert_int_equal(check(&stage, GIB(4), GIB(4)), -ERANGE);
    fake_iommu_fail(&stage.fake, FAKE_IOAS_RANGES, 1, 1, EIO);
    assert_int_equal(check(&stage, 0, MIB(2)), -EIO);
    stage_destroy(&stage);
}

/* ---- mapping ---- */

static void a_map_is_what_it_says(void **state)
{
    static const uint32_t protections[] = { VMEM_DMA_READ, VMEM_DMA_WRITE,
                                            VMEM_DMA_READ | VMEM_DMA_WRITE };
    struct stage stage;

    (void)state;
    open_stage(&stage);
    for (unsigned i = 0; i < G_N_ELEMENTS(protections); i++) {
        struct vmem_dma_mapping mapping =
            backend_mapping(GIB(4) + i * MIB(2), MIB(2));
        const struct iova_mapping *made;

        mapping.protection = protections[i];
        assert_int_equal(stage.backend.ops.map(&mapping, stage.backend.opaque),
                         0);
        made = iova_set_at(stage.set, i);
        assert_int_equal(made->iova, mapping.iova);
        assert_int_equal(made->size, mapping.size);
        assert_int_equal(made->hva, (uintptr_t)mapping.hva);
        assert_int_equal(made->is_readable,
                         (protections[i] & VMEM_DMA_READ) != 0);
        assert_int_equal(made->is_writable,
                         (protections[i] & VMEM_DMA_WRITE) != 0);
    }
    assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP], 3);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], 3);
    stage_destroy(&stage);
}

/* 100 MiB at 2 MiB: 50 maps, and 50 unmaps. */
static void each_mapping_is_unmapped_alone(void **state)
{
    struct stage stage;
    uint64_t unmapped;

    (void)state;
    open_stage(&stage);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(
            backend_map(&stage.backend, GIB(4) + i * MIB(2), MIB(2)), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(backend_unmap(&stage.backend, GIB(4) + i * MIB(2),
                                       MIB(2), &unmapped),
                         0);
        assert_int_equal(unmapped, MIB(2));
    }
    assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP], 50);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_UNMAP], 50);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], 100);
    assert_int_equal(iova_set_nr(stage.set), 0);
    stage_destroy(&stage);
}

static void nothing_to_unmap_is_success(void **state)
{
    struct stage stage;
    uint64_t unmapped;

    (void)state;
    open_stage(&stage);
    assert_int_equal(backend_unmap(&stage.backend, 0, MIB(2), &unmapped), 0);
    assert_int_equal(unmapped, 0);
    assert_int_equal(
        backend_unmap(&stage.backend, UINT64_MAX - 4095, MIB(2), &unmapped),
        -EOVERFLOW);
    assert_int_equal(unmapped, 0);
    stage_destroy(&stage);
}

/* ---- files ---- */

static void files_are_mapped_where_the_kernel_can(void **state)
{
    const struct iova_mapping *made;
    struct stage stage;
    uint64_t unmapped;

    (void)state;
    open_stage(&stage);
    stage.model.has_map_file = true;
    assert_int_equal(map_file(&stage, MIB(2), MIB(4)), 0);
    made = iova_set_at(stage.set, 0);
    assert_true(made->hva == UINT64_MAX);
    assert_int_equal(made->fd, 9);
    assert_int_equal(made->fd_offset, GIB(1) + MIB(2));
    assert_int_equal(made->size, MIB(4));
    assert_true(made->is_readable && made->is_writable);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP_FILE], 1);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP], 0);
    assert_int_equal(backend_unmap(&stage.backend, MIB(2), MIB(4), &unmapped),
                     0);
    /* Memory without a file goes by its address. */
    assert_int_equal(backend_map(&stage.backend, MIB(2), MIB(4)), 0);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP_FILE], 1);
    stage_destroy(&stage);
}

static void a_kernel_without_file_mappings_is_asked_once(void **state)
{
    static const int answers[] = { ENOTTY, EOPNOTSUPP };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(answers); i++) {
        struct stage stage;

        open_stage(&stage);
        stage.model.has_map_file = true;
        fake_iommu_fail(&stage.fake, FAKE_IOAS_MAP_FILE, 1, 1, answers[i]);
        assert_int_equal(map_file(&stage, 0, MIB(2)), 0);
        assert_int_equal(map_file(&stage, MIB(2), MIB(2)), 0);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP_FILE], 1);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP], 2);
        assert_int_equal(iova_set_at(stage.set, 1)->hva, GIB(64) + MIB(2));
        stage_destroy(&stage);
    }
}

/* A file on a disk, say: the next one may be a memfd. */
static void a_file_that_cannot_be_mapped_goes_by_its_address(void **state)
{
    static const int answers[] = { EINVAL, EBADF };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(answers); i++) {
        struct stage stage;

        open_stage(&stage);
        stage.model.has_map_file = true;
        fake_iommu_fail(&stage.fake, FAKE_IOAS_MAP_FILE, 1, 1, answers[i]);
        assert_int_equal(map_file(&stage, 0, MIB(2)), 0);
        assert_int_equal(iova_set_at(stage.set, 0)->hva, GIB(64));
        assert_int_equal(map_other_file(&stage, 10, MIB(2), MIB(2)), 0);
        assert_true(iova_set_at(stage.set, 1)->hva == UINT64_MAX);
        /* What the kernel said of a file it is not asked again. */
        assert_int_equal(map_file(&stage, MIB(4), MIB(2)), 0);
        assert_int_equal(iova_set_at(stage.set, 2)->hva, GIB(64) + MIB(4));
        assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP_FILE], 2);
        /* If that was not the reason, the address does not help. */
        fake_iommu_fail(&stage.fake, FAKE_IOAS_MAP_FILE, 1, 1, answers[i]);
        assert_int_equal(map_other_file(&stage, 10, 0xfee00000, MIB(1)),
                         -EINVAL);
        assert_int_equal(map_other_file(&stage, 10, MIB(6), MIB(2)), 0);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP_FILE], 4);
        stage_destroy(&stage);
    }
}

/* ---- every ioctl fails in every way ---- */

static const int all_errors[] = { EINVAL, EFAULT,    ENOMEM, EPERM,
                                  EBUSY,  ENOSPC,    EEXIST, ENOENT,
                                  ENOTTY, EOVERFLOW, E2BIG,  EIO };

static void each_failure_is_passed_on(void **state)
{
    struct stage stage;
    uint64_t unmapped;

    (void)state;
    open_stage(&stage);
    for (unsigned i = 0; i < G_N_ELEMENTS(all_errors); i++) {
        const int error = all_errors[i];
        struct vmemi_dma_backend backend = { .opaque = NULL };

        fake_iommu_fail(&stage.fake, FAKE_IOAS_RANGES, 1, 1, error);
        assert_int_equal(
            vmemi_iommufd_open(stage.fd, stage.ioas_id, &backend, &stage.err),
            -error);
        assert_int_equal(stage.err.code, -error);
        assert_null(backend.opaque);

        fake_iommu_fail(&stage.fake, FAKE_IOAS_MAP, 1, 1, error);
        assert_int_equal(backend_map(&stage.backend, 0, MIB(2)), -error);
        assert_int_equal(iova_set_nr(stage.set), 0);
        assert_int_equal(backend_map(&stage.backend, 0, MIB(2)), 0);
        fake_iommu_fail(&stage.fake, FAKE_IOAS_UNMAP, 1, 1, error);
        assert_int_equal(backend_unmap(&stage.backend, 0, MIB(2), &unmapped),
                         error == ENOENT ? 0 : -error);
        assert_int_equal(unmapped, 0);
        assert_int_equal(backend_unmap(&stage.backend, 0, MIB(2), &unmapped),
                         0);
        assert_int_equal(unmapped, MIB(2));
    }
    stage_destroy(&stage);
}

static void each_failure_of_a_file_mapping_is_passed_on(void **state)
{
    static const int errors[] = { EFAULT, ENOMEM, EPERM, EEXIST, EIO, ENOENT };
    struct stage stage;

    (void)state;
    open_stage(&stage);
    stage.model.has_map_file = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
        fake_iommu_fail(&stage.fake, FAKE_IOAS_MAP_FILE, 1, 1, errors[i]);
        assert_int_equal(map_file(&stage, 0, MIB(2)), -errors[i]);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOAS_MAP], 0);
        assert_int_equal(iova_set_nr(stage.set), 0);
    }
    stage_destroy(&stage);
}

static void each_allocation_may_fail(void **state)
{
    struct stage stage;
    unsigned nr = 0;
    int ret;

    (void)state;
    stage_init(&stage);
    do {
        allocations_limit(nr);
        ret = stage_open(&stage);
        allocations_end();
        if (ret != 0) {
            assert_int_equal(ret, -ENOMEM);
            assert_int_equal(stage.err.reason, VMEM_REASON_NO_MEMORY);
            nr++;
        }
    } while (ret != 0);
    /* The ranges, the backend itself. */
    assert_int_equal(nr, 2);
    stage_destroy(&stage);
}

static void a_failure_is_explained(void **state)
{
    const struct vmem_dma_mapping mapping = backend_mapping(0, MIB(2));
    struct stage stage;

    (void)state;
    open_stage(&stage);
    stage.fake.memlock_limit = MIB(8);
    stage.backend.explain(&mapping, -ENOMEM, stage.text, sizeof(stage.text),
                          stage.backend.opaque);
    assert_non_null(strstr(stage.text, "this user"));
    assert_non_null(strstr(stage.text, "8388608"));
    stage.backend.explain(&mapping, -ENOENT, stage.text, sizeof(stage.text),
                          stage.backend.opaque);
    assert_non_null(strstr(stage.text, "gone"));
    stage.backend.explain(&mapping, -EOVERFLOW, stage.text, sizeof(stage.text),
                          stage.backend.opaque);
    assert_non_null(strstr(stage.text, "0x1000"));
    stage_destroy(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_out_what_the_address_space_can),
        cmocka_unit_test(what_is_no_iommufd_is_refused),
        cmocka_unit_test(many_ranges_are_asked_for_again),
        cmocka_unit_test(a_false_answer_is_refused),
        cmocka_unit_test(no_range_means_nowhere),
        cmocka_unit_test(a_window_must_be_usable),
        cmocka_unit_test(a_map_is_what_it_says),
        cmocka_unit_test(each_mapping_is_unmapped_alone),
        cmocka_unit_test(nothing_to_unmap_is_success),
        cmocka_unit_test(files_are_mapped_where_the_kernel_can),
        cmocka_unit_test(a_kernel_without_file_mappings_is_asked_once),
        cmocka_unit_test(a_file_that_cannot_be_mapped_goes_by_its_address),
        cmocka_unit_test(each_failure_is_passed_on),
        cmocka_unit_test(each_failure_of_a_file_mapping_is_passed_on),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(a_failure_is_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
