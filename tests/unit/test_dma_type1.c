/* SPDX-License-Identifier: BSD-3-Clause */
/* The backend of a VFIO container, on the model of one. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>
#include <glib.h>

#include "dma/ioctl.h"
#include "dma/type1.h"
#include "support/allocations.h"
#include "support/backend_calls.h"
#include "support/fake_iommu.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define VERSION_IOCTLS 3 /* version, extension, dirty pages */
#define INFO_IOCTLS 2    /* for the size, and for all */
#define OPEN_IOCTLS (VERSION_IOCTLS + INFO_IOCTLS)

struct stage {
    struct fake_iommu fake;
    struct type1_model model;
    int fd;
    struct vmemi_dma_backend backend;
    struct vmem_error err;
    char text[256];
};

static void stage_init(struct stage *stage, enum type1_kind kind)
{
    memset(stage, 0, sizeof(*stage));
    stage->err.struct_size = sizeof(stage->err);
    type1_model_init(&stage->model, kind);
    fake_iommu_install(&stage->fake);
    stage->fd = fake_iommu_add_type1(&stage->fake, &stage->model);
}

static int stage_open(struct stage *stage)
{
    return vmemi_type1_open(stage->fd, &stage->backend, &stage->err);
}

static void open_kind(struct stage *stage, enum type1_kind kind)
{
    stage_init(stage, kind);
    assert_int_equal(stage_open(stage), 0);
    fake_iommu_forget(&stage->fake);
}

static void stage_destroy(struct stage *stage)
{
    if (stage->backend.opaque != NULL) {
        stage->backend.ops.destroy(stage->backend.opaque);
    }
    fake_iommu_remove();
    type1_model_destroy(&stage->model);
}

#define assert_says(stage, words)                                              \
    do {                                                                       \
        if (strstr((stage)->err.message, words) == NULL) {                     \
            assert_string_equal((stage)->err.message, words);                  \
        }                                                                      \
    } while (0)

/* ---- opening ---- */

static void it_finds_out_what_the_container_can(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, TYPE1_V2);
    assert_int_equal(stage_open(&stage), 0);
    assert_int_equal(stage.backend.kind, VMEM_DMA_TYPE1);
    assert_int_equal(stage.backend.flags, 0);
    assert_int_equal(stage.backend.page_sizes, 4096 | MIB(2) | GIB(1));
    assert_true(stage.backend.max_size == VMEM_DMA_UNLIMITED);
    assert_int_equal(stage.backend.max_mappings, 65535);
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_VERSION], 1);
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_EXTENSION], 1);
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_DIRTY_PAGES], 1);
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_INFO], INFO_IOCTLS);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], OPEN_IOCTLS);
    stage_destroy(&stage);
}

/* What is mapped already counts: the limit is what is left now. */
static void it_asks_how_many_mappings_are_left(void **state)
{
    struct stage stage;

    (void)state;
    open_kind(&stage, TYPE1_V2);
    assert_int_equal(backend_map(&stage.backend, 0, 4096), 0);
    assert_int_equal(backend_map(&stage.backend, MIB(2), 4096), 0);
    stage.backend.ops.destroy(stage.backend.opaque);
    stage.model.limit = 64;
    assert_int_equal(stage_open(&stage), 0);
    assert_int_equal(stage.backend.max_mappings, 62);
    /* None left is a number too. */
    stage.backend.ops.destroy(stage.backend.opaque);
    stage.model.limit = 2;
    assert_int_equal(stage_open(&stage), 0);
    assert_int_equal(stage.backend.max_mappings, 0);
    stage_destroy(&stage);
}

static void iommufd_in_disguise_has_no_limit(void **state)
{
    struct stage stage;

    (void)state;
    open_kind(&stage, TYPE1_COMPAT);
    assert_true(stage.backend.max_mappings == VMEM_DMA_UNLIMITED);
    stage_destroy(&stage);
}

static void older_kernels_have_the_default_limit(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, TYPE1_V2);
    stage.model.has_avail = false;
    stage.model.has_dirty_pages = false;
    assert_int_equal(stage_open(&stage), 0);
    assert_int_equal(stage.backend.max_mappings, 65535);
    stage.backend.ops.destroy(stage.backend.opaque);
    fake_iommu_forget(&stage.fake);

    stage.model.has_caps = false;
    assert_int_equal(stage_open(&stage), 0);
    assert_int_equal(stage.backend.max_mappings, 65535);
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_INFO], 1);
    /* ... which do not say what is reserved either. */
    assert_int_equal(stage.backend.check_window(0xfee00000, 4096, &stage.err,
                                                stage.backend.opaque),
                     0);
    stage_destroy(&stage);
}

static void what_is_no_container_is_refused(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, TYPE1_V2);
    stage.fd = -1;
    assert_int_equal(stage_open(&stage), -EBADF);
    assert_says(&stage, "descriptor -1");
    stage.fd = 0x40000000;
    fake_iommu_fail(&stage.fake, FAKE_VFIO_VERSION, 1, 1, ENOTTY);
    assert_int_equal(stage_open(&stage), -ENOTTY);
    assert_int_equal(stage.err.code, -ENOTTY);
    assert_int_equal(stage.err.reason, VMEM_REASON_OS);
    assert_says(&stage, "not a VFIO container");
    stage.model.api_version = 1;
    assert_int_equal(stage_open(&stage), -ENOTSUP);
    assert_says(&stage, "version 1 of the VFIO interface, 0 is wanted");
    stage_destroy(&stage);
}

static void another_kind_of_iommu_is_refused(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, TYPE1_V2);
    stage.model.is_type1 = false;
    assert_int_equal(stage_open(&stage), -ENOTSUP);
    assert_int_equal(stage.err.reason, VMEM_REASON_UNSUPPORTED);
    assert_says(&stage, "another kind of IOMMU");
    fake_iommu_fail(&stage.fake, FAKE_VFIO_EXTENSION, 1, 1, EIO);
    assert_int_equal(stage_open(&stage), -ENOTSUP);
    stage_destroy(&stage);
}

/* It would unmap more than it is asked to, or nothing, and say success. */
static void version_1_is_refused(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, TYPE1_V1);
    assert_int_equal(stage_open(&stage), -ENOTSUP);
    assert_says(&stage, "VFIO_TYPE1_IOMMU");
    assert_says(&stage, "VFIO_TYPE1v2_IOMMU");
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_INFO], 0);
    /* A kernel before 5.8 does not tell. */
    stage.model.has_dirty_pages = false;
    assert_int_equal(stage_open(&stage), 0);
    stage_destroy(&stage);
}

static void a_container_without_iommu_is_refused(void **state)
{
    struct stage stage;

    (void)state;
    stage_init(&stage, TYPE1_V2);
    stage.model.has_iommu = false;
    assert_int_equal(stage_open(&stage), -EINVAL);
    assert_says(&stage, "no IOMMU yet");
    assert_says(&stage, "VFIO_SET_IOMMU");
    stage_destroy(&stage);
}

/* ---- mapping ---- */

static void a_map_is_what_it_says(void **state)
{
    static const struct {
        uint32_t protection;
        bool is_readable;
        bool is_writable;
    } cases[] = {
        { VMEM_DMA_READ, true, false },
        { VMEM_DMA_WRITE, false, true },
        { VMEM_DMA_READ | VMEM_DMA_WRITE, true, true },
    };
    struct stage stage;

    (void)state;
    open_kind(&stage, TYPE1_V2);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vmem_dma_mapping mapping =
            backend_mapping(GIB(4) + i * MIB(2), MIB(2));
        const struct iova_mapping *made;

        mapping.protection = cases[i].protection;
        assert_int_equal(stage.backend.ops.map(&mapping, stage.backend.opaque),
                         0);
        made = iova_set_at(&stage.model.set, i);
        assert_int_equal(made->iova, mapping.iova);
        assert_int_equal(made->size, mapping.size);
        assert_int_equal(made->hva, (uintptr_t)mapping.hva);
        assert_int_equal(made->is_readable, cases[i].is_readable);
        assert_int_equal(made->is_writable, cases[i].is_writable);
    }
    assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], 3);
    stage_destroy(&stage);
}

/* 100 MiB at 2 MiB: 50 maps, and together one unmap. */
static void a_run_is_unmapped_by_one_ioctl(void **state)
{
    struct stage stage;
    uint64_t unmapped;

    (void)state;
    open_kind(&stage, TYPE1_V2);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(
            backend_map(&stage.backend, GIB(4) + i * MIB(2), MIB(2)), 0);
    }
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_MAP], 50);
    assert_int_equal(backend_unmap(&stage.backend, GIB(4), MIB(100), &unmapped),
                     0);
    assert_int_equal(unmapped, MIB(100));
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_UNMAP], 1);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], 51);
    assert_int_equal(iova_set_nr(&stage.model.set), 0);
    stage_destroy(&stage);
}

static void an_unmap_says_what_was_there(void **state)
{
    static const enum type1_kind kinds[] = { TYPE1_V2, TYPE1_COMPAT };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct stage stage;
        uint64_t unmapped;

        open_kind(&stage, kinds[i]);
        assert_int_equal(backend_unmap(&stage.backend, 0, MIB(16), &unmapped),
                         0);
        assert_int_equal(unmapped, 0);
        assert_int_equal(backend_map(&stage.backend, MIB(2), MIB(2)), 0);
        assert_int_equal(backend_map(&stage.backend, MIB(6), MIB(2)), 0);
        assert_int_equal(backend_unmap(&stage.backend, 0, MIB(16), &unmapped),
                         0);
        assert_int_equal(unmapped, MIB(4));
        stage_destroy(&stage);
    }
}

/* Of whatever the host mapped behind the mapper's back nothing is cut, and both
 * kernels give the same code for it. */
static void an_unmap_that_would_cut_fails(void **state)
{
    static const enum type1_kind kinds[] = { TYPE1_V2, TYPE1_COMPAT };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct stage stage;
        uint64_t unmapped;

        open_kind(&stage, kinds[i]);
        assert_int_equal(backend_map(&stage.backend, MIB(2), MIB(4)), 0);
        assert_int_equal(
            backend_unmap(&stage.backend, MIB(4), MIB(2), &unmapped), -EINVAL);
        assert_int_equal(unmapped, 0);
        assert_int_equal(iova_set_nr(&stage.model.set), 1);
        stage_destroy(&stage);
    }
}

static void a_signal_is_waited_out(void **state)
{
    struct stage stage;
    uint64_t unmapped;

    (void)state;
    open_kind(&stage, TYPE1_V2);
    fake_iommu_fail(&stage.fake, FAKE_VFIO_MAP, 1, 5, EINTR);
    assert_int_equal(backend_map(&stage.backend, 0, MIB(2)), 0);
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_MAP], 6);
    fake_iommu_fail(&stage.fake, FAKE_VFIO_UNMAP, 1, VMEMI_DMA_MAX_TRIES - 1,
                    EINTR);
    assert_int_equal(backend_unmap(&stage.backend, 0, MIB(2), &unmapped), 0);
    assert_int_equal(unmapped, MIB(2));
    /* But not for ever. */
    fake_iommu_forget(&stage.fake);
    fake_iommu_fail(&stage.fake, FAKE_VFIO_MAP, 1, UINT64_MAX, EINTR);
    assert_int_equal(backend_map(&stage.backend, 0, MIB(2)), -EINTR);
    assert_int_equal(stage.fake.nr_calls[FAKE_VFIO_MAP], VMEMI_DMA_MAX_TRIES);
    stage_destroy(&stage);
}

/* ---- every ioctl fails in every way ---- */

static const int all_errors[] = { EINVAL, EFAULT, ENOMEM, EPERM,  EBUSY,
                                  ENOSPC, EEXIST, ENOENT, ENOTTY, EIO };

static void each_failure_of_opening_is_passed_on(void **state)
{
    (void)state;
    for (unsigned call = 1; call <= OPEN_IOCTLS; call++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(all_errors); i++) {
            const int error = all_errors[i];
            /* The extension and the test for version 1 ask a question whose
             * answers are all known. */
            const int expected = call == 2 ? -ENOTSUP : call == 3 ? 0 : -error;
            struct stage stage;

            stage_init(&stage, TYPE1_V2);
            fake_iommu_fail(&stage.fake, FAKE_IOCTL_ANY, call, 1, error);
            assert_int_equal(stage_open(&stage), expected);
            assert_int_equal(stage.fake.nr_failed, 1);
            if (expected != 0) {
                assert_int_equal(stage.err.code, expected);
                assert_true(stage.err.message[0] != '\0');
                assert_null(stage.backend.opaque);
            }
            stage_destroy(&stage);
        }
    }
}

static void each_allocation_may_fail(void **state)
{
    struct stage stage;
    unsigned nr = 0;
    int ret;

    (void)state;
    stage_init(&stage, TYPE1_V2);
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
    /* Two buffers, the ranges, the backend itself. */
    assert_int_equal(nr, 4);
    stage_destroy(&stage);
}

static void each_failure_of_mapping_is_passed_on(void **state)
{
    struct stage stage;
    uint64_t unmapped;

    (void)state;
    open_kind(&stage, TYPE1_V2);
    for (unsigned i = 0; i < G_N_ELEMENTS(all_errors); i++) {
        const int error = all_errors[i];

        fake_iommu_fail(&stage.fake, FAKE_VFIO_MAP, 1, 1, error);
        assert_int_equal(backend_map(&stage.backend, 0, MIB(2)), -error);
        assert_int_equal(iova_set_nr(&stage.model.set), 0);
        assert_int_equal(backend_map(&stage.backend, 0, MIB(2)), 0);
        fake_iommu_fail(&stage.fake, FAKE_VFIO_UNMAP, 1, 1, error);
        assert_int_equal(backend_unmap(&stage.backend, 0, MIB(2), &unmapped),
                         error == ENOENT ? -EINVAL : -error);
        assert_int_equal(unmapped, 0);
        assert_int_equal(backend_unmap(&stage.backend, 0, MIB(2), &unmapped),
                         0);
        assert_int_equal(unmapped, MIB(2));
    }
    stage_destroy(&stage);
}

/* ---- where it can map ---- */

static int check(struct stage *stage, uint64_t iova, uint64_t size)
{
    return stage->backend.check_window(iova, size, &stage->err,
                                       stage->backend.opaque);
}

static void a_window_must_be_usable(void **state)
{
    struct stage stage;

    (void)state;
    open_kind(&stage, TYPE1_V2);
    assert_int_equal(check(&stage, 0, 0xfee00000), 0);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], INFO_IOCTLS);
    assert_int_equal(check(&stage, 0xfef00000, 4096), 0);
    assert_int_equal(check(&stage, GIB(4), GIB(508)), 0);
    assert_int_equal(check(&stage, 0xfee00000, 4096), -ERANGE);
    assert_says(&stage, "0xfee00000 to 0xfeefffff");
    assert_int_equal(stage.err.reason, VMEM_REASON_RANGE);
    assert_int_equal(check(&stage, GIB(2), GIB(4)), -ERANGE);
    assert_says(&stage, "0x80000000 to 0x17fffffff");
    assert_says(&stage, "0xfee00000 to 0xfeefffff");
    assert_int_equal(check(&stage, GIB(510), GIB(4)), -ERANGE);
    assert_says(&stage, "0x8000000000 to 0xffffffffffffffff");
    assert_int_equal(check(&stage, UINT64_MAX - 4095, 4096), -ERANGE);
    stage_destroy(&stage);
}

static void a_window_may_span_ranges_that_touch(void **state)
{
    struct stage stage;

    (void)state;
    open_kind(&stage, TYPE1_V2);
    stage.model.ranges[0].start = MIB(1);
    stage.model.ranges[0].last = GIB(1) - 1;
    stage.model.ranges[1].start = GIB(1);
    stage.model.ranges[1].last = UINT64_MAX;
    assert_int_equal(check(&stage, MIB(1), GIB(3)), 0);
    assert_int_equal(check(&stage, UINT64_MAX - 4095, 4096), 0);
    assert_int_equal(check(&stage, 0, MIB(2)), -ERANGE);
    assert_says(&stage, "0x0 to 0xfffff ");
    /* A range that ends before it starts is none. */
    stage.model.ranges[1].start = GIB(8);
    stage.model.ranges[1].last = 0;
    assert_int_equal(check(&stage, GIB(2), MIB(2)), -ERANGE);
    assert_says(&stage, "0x40000000 to 0xffffffffffffffff");
    /* They come ascending; a list that does not is refused, not believed. */
    stage.model.ranges[0].start = GIB(1);
    stage.model.ranges[0].last = GIB(2) - 1;
    stage.model.ranges[1].start = 0;
    stage.model.ranges[1].last = GIB(1) - 1;
    assert_int_equal(check(&stage, GIB(1) - MIB(2), MIB(4)), -ERANGE);
    stage_destroy(&stage);
}

static void asking_for_the_window_may_fail(void **state)
{
    struct stage stage;

    (void)state;
    open_kind(&stage, TYPE1_V2);
    for (unsigned call = 1; call <= INFO_IOCTLS; call++) {
        fake_iommu_fail(&stage.fake, FAKE_VFIO_INFO, call, 1, EFAULT);
        assert_int_equal(check(&stage, 0, MIB(2)), -EFAULT);
        assert_says(&stage, "VFIO_IOMMU_GET_INFO");
        fake_iommu_forget(&stage.fake);
    }
    stage_destroy(&stage);
}

/* ---- words ---- */

static const char *explain(struct stage *stage, int code, uint32_t protection)
{
    struct vmem_dma_mapping mapping = backend_mapping(0, MIB(2));

    mapping.protection = protection;
    memset(stage->text, 'x', sizeof(stage->text));
    stage->backend.explain(&mapping, code, stage->text, sizeof(stage->text),
                           stage->backend.opaque);
    return stage->text;
}

static void a_failure_is_explained(void **state)
{
    const uint32_t both = VMEM_DMA_READ | VMEM_DMA_WRITE;
    struct stage stage;

    (void)state;
    open_kind(&stage, TYPE1_V2);
    assert_non_null(strstr(explain(&stage, -ENOSPC, both), "dma_entry_limit"));
    assert_non_null(strstr(explain(&stage, -ENOSPC, both), "larger blocks"));
    assert_non_null(strstr(explain(&stage, -EEXIST, both), "mapped there"));
    assert_non_null(strstr(explain(&stage, -EFAULT, both), " for writing"));
    assert_null(strstr(explain(&stage, -EPERM, VMEM_DMA_READ), "writing"));
    assert_non_null(strstr(explain(&stage, -EINVAL, both), "0x1000"));
    assert_non_null(strstr(explain(&stage, -ENOENT, both), "gone"));
    assert_string_equal(explain(&stage, -EIO, both), "");
    assert_non_null(strstr(explain(&stage, -ENOMEM, both), "unlimited"));
    stage.fake.memlock_limit = MIB(8);
    assert_non_null(strstr(explain(&stage, -ENOMEM, both), "8388608 bytes"));
    assert_non_null(strstr(stage.text, "ulimit -l"));
    assert_non_null(strstr(stage.text, "this process"));
    stage_destroy(&stage);
}

/* Room for the longest names, and for what was to be mapped where, in front. */
static void an_explanation_fits_a_message(void **state)
{
    static const int codes[] = { ENOMEM, ENOSPC, EEXIST,    EFAULT,
                                 EPERM,  EINVAL, EOVERFLOW, ENOENT };
    const struct vmem_dma_mapping mapping = {
        .struct_size = sizeof(mapping),
        .hva = (void *)UINTPTR_MAX,
        .protection = VMEM_DMA_READ | VMEM_DMA_WRITE,
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stage stage;
    char name[VMEM_NAME_MAX + 1];
    char text[512];

    (void)state;
    open_kind(&stage, TYPE1_V2);
    stage.fake.memlock_limit = UINT64_MAX - 1;
    memset(name, 'n', VMEM_NAME_MAX);
    name[VMEM_NAME_MAX] = '\0';
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
        stage.backend.explain(&mapping, -codes[i], stage.text,
                              sizeof(stage.text), stage.backend.opaque);
        snprintf(text, sizeof(text),
                 "attachment \"%s\": map of 0x%" PRIx64
                 " bytes at iova 0x%" PRIx64 ": %s (errno %d)",
                 name, UINT64_MAX, UINT64_MAX, stage.text, codes[i]);
        assert_true(strlen(stage.text) > 10);
        if (strlen(text) >= sizeof(err.message)) {
            fail_msg("%zu characters: %s", strlen(text), text);
        }
    }
    stage_destroy(&stage);
}

/* The table that talks to Linux, as far as any machine can be asked. */
static void linux_is_asked_through_the_same_table(void **state)
{
    struct rlimit before;
    struct rlimit limit;
    struct stage stage;
    int nr_bytes = -1;
    int fds[2];

    (void)state;
    stage_init(&stage, TYPE1_V2);
    vmemi_dma_sys_set(NULL);
    assert_ptr_equal(vmemi_dma_sys_get(), &vmemi_dma_sys_linux);
    stage.fd = -1;
    assert_int_equal(stage_open(&stage), -EBADF);
    assert_int_equal(pipe(fds), 0);
    stage.fd = fds[0];
    assert_int_equal(stage_open(&stage), -ENOTTY);
    assert_int_equal(vmemi_dma_ioctl(fds[0], FIONREAD, &nr_bytes), 0);
    assert_int_equal(nr_bytes, 0);
    /* What was the host's still is. */
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);

    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
    limit = before;
    limit.rlim_cur = 65536;
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    assert_int_equal(vmemi_dma_sys_linux.memlock_limit(), 65536);
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
    limit.rlim_cur = RLIM_INFINITY;
    if (before.rlim_max == RLIM_INFINITY) {
        assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
        assert_true(vmemi_dma_sys_linux.memlock_limit() == UINT64_MAX);
        assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
    }
    stage_destroy(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_out_what_the_container_can),
        cmocka_unit_test(it_asks_how_many_mappings_are_left),
        cmocka_unit_test(iommufd_in_disguise_has_no_limit),
        cmocka_unit_test(older_kernels_have_the_default_limit),
        cmocka_unit_test(what_is_no_container_is_refused),
        cmocka_unit_test(another_kind_of_iommu_is_refused),
        cmocka_unit_test(version_1_is_refused),
        cmocka_unit_test(a_container_without_iommu_is_refused),
        cmocka_unit_test(a_map_is_what_it_says),
        cmocka_unit_test(a_run_is_unmapped_by_one_ioctl),
        cmocka_unit_test(an_unmap_says_what_was_there),
        cmocka_unit_test(an_unmap_that_would_cut_fails),
        cmocka_unit_test(a_signal_is_waited_out),
        cmocka_unit_test(each_failure_of_opening_is_passed_on),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(each_failure_of_mapping_is_passed_on),
        cmocka_unit_test(a_window_must_be_usable),
        cmocka_unit_test(a_window_may_span_ranges_that_touch),
        cmocka_unit_test(asking_for_the_window_may_fail),
        cmocka_unit_test(a_failure_is_explained),
        cmocka_unit_test(an_explanation_fits_a_message),
        cmocka_unit_test(linux_is_asked_through_the_same_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
