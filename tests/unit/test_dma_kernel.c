/* SPDX-License-Identifier: BSD-3-Clause */
/* The mapper on the kernel's interfaces, or on models of them: what the kernel has
 * mapped is what is plugged, at every step. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "support/allocations.h"
#include "support/device_rig.h"

#include "support/fake_iommu.h"
#include "trace.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* Nothing looks there: the models do not touch memory unless they pin. */
#define HVA GIB(1024)

enum kernel { KERNEL_TYPE1, KERNEL_COMPAT, KERNEL_IOMMUFD, NR_KERNELS };

struct stage {
    enum kernel kernel;
    struct fake_iommu fake;
    struct type1_model type1;
    struct iommufd_model iommufd;
    struct iova_set *set;
    int fd;
    uint32_t ioas_id;
    struct rig *rig;
    struct vmem_dma *dma;
    struct vmem_dma_attachment *attachment;
    struct vmem_error err;
};

static void make_kernel(struct stage *stage, enum kernel kernel)
{
    memset(stage, 0, sizeof(*stage));
    stage->kernel = kernel;
    stage->err.struct_size = sizeof(stage->err);
    fake_iommu_install(&stage->fake);
    if (kernel == KERNEL_IOMMUFD) {
        iommufd_model_init(&stage->iommufd);
        stage->ioas_id = iommufd_model_alloc(&stage->iommufd);
        stage->set = iommufd_model_set(&stage->iommufd, stage->ioas_id);
        stage->fd = fake_iommu_add_iommufd(&stage->fake, &stage->iommufd);
    } else {
        type1_model_init(&stage->type1,
                         kernel == KERNEL_COMPAT ? TYPE1_COMPAT : TYPE1_V2);
        stage->set = &stage->type1.set;
        stage->fd = fake_iommu_add_type1(&stage->fake, &stage->type1);
    }
}

static int make_dma(struct stage *stage)
{
    const struct vmem_dma_config config = {
        .struct_size = sizeof(config),
        .name = "iommu0",
    };

    return stage->kernel == KERNEL_IOMMUFD
               ? vmem_dma_new_iommufd(stage->rig->vm, &config, stage->fd,
                                      stage->ioas_id, &stage->dma, &stage->err)
               : vmem_dma_new_type1(stage->rig->vm, &config, stage->fd,
                                    &stage->dma, &stage->err);
}

static int attach(struct stage *stage)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .region = stage->rig->region,
        .iova = stage->rig->config.gpa,
        .hva = (void *)(uintptr_t)HVA,
    };

    return vmem_dma_attach(stage->dma, &config, NULL, &stage->attachment,
                           &stage->err);
}

static void detach(struct stage *stage)
{
    assert_int_equal(vmem_dma_detach(stage->attachment, &stage->err), 0);
    stage->attachment = NULL;
    assert_int_equal(iova_set_nr(stage->set), 0);
}

/* A device of 1 GiB in blocks of 2 MiB, all of which may be plugged. */
static void open_stage(struct stage *stage, enum kernel kernel)
{
    make_kernel(stage, kernel);
    stage->rig = rig_new(&(struct rig_options){
        .config = { .requested_size = RIG_REGION,
                    .usable_policy = VMEM_USABLE_ALL },
    });
    assert_int_equal(make_dma(stage), 0);
    assert_int_equal(attach(stage), 0);
    fake_iommu_forget(&stage->fake);
}

static void close_stage(struct stage *stage)
{
    if (stage->attachment != NULL) {
        detach(stage);
    }
    assert_int_equal(vmem_dma_free(stage->dma, &stage->err), 0);
    rig_free(stage->rig);
    fake_iommu_remove();
    if (stage->kernel == KERNEL_IOMMUFD) {
        iommufd_model_destroy(&stage->iommufd);
    } else {
        type1_model_destroy(&stage->type1);
    }
}

/* The kernel has exactly the plugged blocks, each alone and from the right
 * place. */
static void assert_mapped(struct stage *stage)
{
    struct rig *rig = stage->rig;
    g_autofree char *plugged = rig_plugged(rig);
    g_autofree char *mapped =
        iova_set_runs(stage->set, rig->config.gpa, rig->unit);
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };

    if (stage->attachment == NULL) {
        assert_int_equal(iova_set_nr(stage->set), 0);
        return;
    }
    assert_string_equal(mapped, plugged);
    for (uint64_t i = 0; i < iova_set_nr(stage->set); i++) {
        const struct iova_mapping *mapping = iova_set_at(stage->set, i);

        if (mapping->size != rig->unit || !mapping->is_readable ||
            !mapping->is_writable ||
            mapping->hva - HVA != mapping->iova - rig->config.gpa) {
            fail_msg("mapping %u is wrong", (unsigned)i);
        }
    }
    assert_int_equal(vmem_dma_get_stats(stage->dma, &stats), 0);
    assert_int_equal(stats.nr_mappings, iova_set_nr(stage->set));
    assert_int_equal(stats.pinned_size, stage->set->size);
    assert_int_equal(stats.nr_stuck, 0);
}

/* ---- how many ioctls ---- */

static uint64_t nr_maps(const struct stage *stage)
{
    return stage->fake.nr_calls[FAKE_VFIO_MAP] +
           stage->fake.nr_calls[FAKE_IOAS_MAP];
}

static uint64_t nr_unmaps(const struct stage *stage)
{
    return stage->fake.nr_calls[FAKE_VFIO_UNMAP] +
           stage->fake.nr_calls[FAKE_IOAS_UNMAP];
}

static void ioctls_are_counted(void **state)
{
    static const struct {
        uint64_t nr_to_make;
        uint64_t nr_to_attach;
        uint64_t nr_to_unplug;
    } expected[NR_KERNELS] = {
        [KERNEL_TYPE1] = { 5, 2, 1 },
        [KERNEL_COMPAT] = { 5, 2, 1 },
        [KERNEL_IOMMUFD] = { 1, 1, 50 },
    };

    (void)state;
    for (enum kernel kernel = 0; kernel < NR_KERNELS; kernel++) {
        struct stage stage;

        make_kernel(&stage, kernel);
        stage.rig = rig_new_default();
        assert_int_equal(make_dma(&stage), 0);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY],
                         expected[kernel].nr_to_make);
        fake_iommu_forget(&stage.fake);
        assert_int_equal(attach(&stage), 0);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY],
                         expected[kernel].nr_to_attach);
        fake_iommu_forget(&stage.fake);

        /* 100 MiB, in one request. */
        assert_int_equal(rig_plug(stage.rig, 0, 50), VMEM_RESPONSE_ACK);
        assert_int_equal(nr_maps(&stage), 50);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], 50);
        assert_mapped(&stage);
        fake_iommu_forget(&stage.fake);
        assert_int_equal(rig_unplug(stage.rig, 0, 50), VMEM_RESPONSE_ACK);
        assert_int_equal(nr_unmaps(&stage), expected[kernel].nr_to_unplug);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY],
                         expected[kernel].nr_to_unplug);
        assert_mapped(&stage);
        fake_iommu_forget(&stage.fake);

        /* Attached late: what is plugged by then. */
        detach(&stage);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], 0);
        assert_int_equal(rig_plug(stage.rig, 0, 50), VMEM_RESPONSE_ACK);
        assert_int_equal(attach(&stage), 0);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY],
                         expected[kernel].nr_to_attach + 50);
        assert_mapped(&stage);
        fake_iommu_forget(&stage.fake);
        detach(&stage);
        assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY],
                         expected[kernel].nr_to_unplug);
        close_stage(&stage);
    }
}

/* ---- recorded guests ---- */

static struct rig *rig_of(const struct trace_device *device)
{
    return rig_new(&(struct rig_options){
        .region_size = device->region_size,
        .quiet = true,
        .exact_config = true,
        .config = {
            .gpa = device->gpa,
            .block_size = device->block_size,
            .requested_size = device->requested_size,
            .usable_policy = device->usable_policy,
            .usable_headroom = device->usable_extent,
        },
    });
}

static void do_record(struct rig *rig, const struct trace_record *record)
{
    uint16_t type = 0;

    switch (record->op) {
    case TRACE_RESIZE:
        assert_int_equal(vmem_device_resize(rig->device, record->size, NULL) <
                             0,
                         record->refused);
        return;
    case TRACE_SYSTEM_RESET:
        (void)vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
        return;
    case TRACE_DRIVER_RESET:
        (void)vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
        return;
    case TRACE_WAKEUP:
        (void)vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL);
        return;
    case TRACE_BUSY_ON:
        rig_freeze(rig, "recorded");
        return;
    case TRACE_BUSY_OFF:
        rig_thaw(rig, "recorded");
        return;
    case TRACE_PLUG:
        type = VMEM_REQUEST_PLUG;
        break;
    case TRACE_UNPLUG:
        type = VMEM_REQUEST_UNPLUG;
        break;
    case TRACE_UNPLUG_ALL:
        type = VMEM_REQUEST_UNPLUG_ALL;
        break;
    case TRACE_STATE:
        type = VMEM_REQUEST_STATE;
        break;
    }
    assert_int_equal(rig_request(rig, type, record->gpa, record->nr_blocks),
                     record->response);
}

/* Attached from the start, from the first quarter and from three quarters on. */
static void play(struct stage *stage, const struct trace *trace)
{
    const unsigned nr = trace->records->len;

    assert_int_equal(attach(stage), 0);
    for (unsigned i = 0; i < nr; i++) {
        const struct trace_record *record = trace_get_record(trace, i);

        if (stage->attachment != NULL && (i == nr / 8 || i == nr / 2)) {
            detach(stage);
        } else if (stage->attachment == NULL &&
                   (i == nr / 4 || i == nr * 3 / 4)) {
            assert_int_equal(attach(stage), 0);
            assert_mapped(stage);
        }
        if (record->device <= 0) { /* the first one's, or everybody's */
            do_record(stage->rig, record);
            assert_mapped(stage);
        }
    }
}

static void a_recorded_guest_is_followed(void **state)
{
    static const char *const names[] = {
        "basic_kernel_61",   "bbm_256m_61",  "block1m_61",
        "frag_kernel_61",    "kdump_61",     "odd_sizes_61",
        "migration_busy_61", "qmp_reset_61", "two_nodes_61",
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_strdup_printf(
            "%s/traces/%s.trace", g_getenv("VMEM_TEST_DATA"), names[i]);
        struct trace *trace = trace_read(path, NULL);

        assert_non_null(trace);
        for (enum kernel kernel = 0; kernel < NR_KERNELS; kernel++) {
            struct stage stage;

            make_kernel(&stage, kernel);
            stage.rig = rig_of(trace_get_device(trace, 0));
            assert_int_equal(make_dma(&stage), 0);
            play(&stage, trace);
            assert_true(stage.fake.nr_calls[FAKE_IOCTL_ANY] > 0);
            close_stage(&stage);
        }
        trace_free(trace);
    }
}

/* ---- refusals ---- */

/* The kernel's limit is met before the guest's wish is: BUSY, nothing changed,
 * and as soon as something is unplugged it goes on. */
static void a_spent_limit_is_busy(void **state)
{
    struct stage stage;

    (void)state;
    make_kernel(&stage, KERNEL_TYPE1);
    stage.type1.limit = 64;
    stage.rig = rig_new(&(struct rig_options){
        .config = { .requested_size = RIG_REGION,
                    .usable_policy = VMEM_USABLE_ALL },
    });
    assert_int_equal(make_dma(&stage), 0);
    assert_int_equal(attach(&stage), 0);
    assert_int_equal(rig_plug(stage.rig, 0, 60), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(stage.rig, 100, 5), VMEM_RESPONSE_BUSY);
    assert_mapped(&stage);
    assert_int_equal(rig_plug(stage.rig, 100, 4), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(stage.rig, 200, 1), VMEM_RESPONSE_BUSY);
    assert_int_equal(rig_unplug(stage.rig, 10, 1), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(stage.rig, 200, 1), VMEM_RESPONSE_ACK);
    assert_mapped(&stage);
    assert_int_equal(iova_set_nr(stage.set), 64);
    close_stage(&stage);
}

static enum fake_ioctl map_call(enum kernel kernel)
{
    return kernel == KERNEL_IOMMUFD ? FAKE_IOAS_MAP : FAKE_VFIO_MAP;
}

static enum fake_ioctl unmap_call(enum kernel kernel)
{
    return kernel == KERNEL_IOMMUFD ? FAKE_IOAS_UNMAP : FAKE_VFIO_UNMAP;
}

static void each_map_may_fail(void **state)
{
    static const int errors[] = { ENOSPC, ENOMEM, EFAULT, EEXIST,
                                  EINVAL, EPERM,  EBUSY };

    (void)state;
    for (enum kernel kernel = 0; kernel < NR_KERNELS; kernel++) {
        struct stage stage;

        open_stage(&stage, kernel);
        assert_int_equal(rig_plug(stage.rig, 0, 3), VMEM_RESPONSE_ACK);
        for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
            for (unsigned nth = 1; nth <= 8; nth++) {
                fake_iommu_fail(&stage.fake, map_call(kernel), nth, 1,
                                errors[i]);
                assert_int_equal(rig_plug(stage.rig, 10, 8),
                                 VMEM_RESPONSE_BUSY);
                assert_int_equal(iova_set_nr(stage.set), 3);
                assert_mapped(&stage);
            }
        }
        assert_int_equal(stage.fake.nr_failed, 8 * G_N_ELEMENTS(errors));
        assert_int_equal(rig_plug(stage.rig, 10, 8), VMEM_RESPONSE_ACK);
        assert_mapped(&stage);
        close_stage(&stage);
    }
}

static void attaching_undoes_what_it_did(void **state)
{
    (void)state;
    for (enum kernel kernel = 0; kernel < NR_KERNELS; kernel++) {
        struct stage stage;

        open_stage(&stage, kernel);
        detach(&stage);
        assert_int_equal(rig_plug(stage.rig, 0, 3), VMEM_RESPONSE_ACK);
        assert_int_equal(rig_plug(stage.rig, 10, 3), VMEM_RESPONSE_ACK);
        for (unsigned nth = 1; nth <= 6; nth++) {
            stage.fake.memlock_limit = MIB(8);
            fake_iommu_fail(&stage.fake, map_call(kernel), nth, 1, ENOMEM);
            assert_int_equal(attach(&stage), -ENOMEM);
            assert_null(stage.attachment);
            assert_int_equal(iova_set_nr(stage.set), 0);
            /* In words that help. */
            rig_assert_error(&stage.err, -ENOMEM, stage.err.reason,
                             "RLIMIT_MEMLOCK", "8388608");
        }
        assert_int_equal(attach(&stage), 0);
        assert_mapped(&stage);
        close_stage(&stage);
    }
}

/* The longest names leave room for what was asked, the limit and the advice. */
static void advice_fits_the_longest_message(void **state)
{
    /* Of the mapper, and of the attachment, with the stroke between. */
    char half[VMEM_NAME_MAX / 2 + 1];
    g_autofree char *longest = NULL;

    memset(half, 'n', sizeof(half));
    half[sizeof(half) - 1] = '\0';
    longest = g_strdup_printf("%s/%s", half, half);
    assert_int_equal(strlen(longest), VMEM_NAME_MAX);
    (void)state;
    for (enum kernel kernel = 0; kernel < NR_KERNELS; kernel++) {
        const struct vmem_dma_config config = {
            .struct_size = sizeof(config),
            .name = half,
        };
        struct vmem_dma_attach_config ram = {
            .struct_size = sizeof(ram),
            .name = half,
            .hva = (void *)(uintptr_t)HVA,
        };
        struct vmem_dma_attachment *attachment;
        struct vmem_dma *dma;
        struct stage stage;

        open_stage(&stage, kernel);
        detach(&stage);
        assert_int_equal(rig_plug(stage.rig, 0, 3), VMEM_RESPONSE_ACK);
        assert_int_equal(kernel == KERNEL_IOMMUFD
                             ? vmem_dma_new_iommufd(stage.rig->vm, &config,
                                                    stage.fd, stage.ioas_id,
                                                    &dma, NULL)
                             : vmem_dma_new_type1(stage.rig->vm, &config,
                                                  stage.fd, &dma, NULL),
                         0);
        ram.region = stage.rig->region;
        ram.iova = stage.rig->config.gpa;
        stage.fake.memlock_limit = UINT64_MAX - 1;
        fake_iommu_fail(&stage.fake, map_call(kernel), 1, 1, ENOMEM);
        assert_int_equal(
            vmem_dma_attach(dma, &ram, NULL, &attachment, &stage.err), -ENOMEM);
        assert_non_null(strstr(stage.err.message, longest));
        assert_non_null(strstr(stage.err.message, "map of 0x200000 bytes"));
        assert_non_null(strstr(stage.err.message, "18446744073709551614"));
        assert_true(
            g_str_has_suffix(stage.err.message, "raise ulimit -l (errno 12)"));
        assert_int_equal(vmem_dma_free(dma, NULL), 0);
        close_stage(&stage);
    }
}

/* An unmap that fails once is tried again, one by one. */
static void each_unmap_may_fail_once(void **state)
{
    static const int errors[] = { EINVAL, EBUSY, ENOMEM, EIO };

    (void)state;
    for (enum kernel kernel = 0; kernel < NR_KERNELS; kernel++) {
        struct stage stage;

        open_stage(&stage, kernel);
        for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
            assert_int_equal(rig_plug(stage.rig, 10, 8), VMEM_RESPONSE_ACK);
            fake_iommu_fail(&stage.fake, unmap_call(kernel), 1, 1, errors[i]);
            assert_int_equal(rig_unplug(stage.rig, 10, 8), VMEM_RESPONSE_ACK);
            assert_int_equal(vmem_dma_retry_unmaps(stage.dma, &stage.err), 0);
            assert_mapped(&stage);
            assert_int_equal(iova_set_nr(stage.set), 0);
        }
        close_stage(&stage);
    }
}

static void a_window_that_is_reserved_is_refused(void **state)
{
    (void)state;
    for (enum kernel kernel = 0; kernel < NR_KERNELS; kernel++) {
        struct stage stage;

        make_kernel(&stage, kernel);
        stage.rig = rig_new(&(struct rig_options){
            .exact_config = true,
            .config = { .gpa = GIB(3) + MIB(512), .block_size = MIB(2) },
        });
        assert_int_equal(make_dma(&stage), 0);
        assert_int_equal(attach(&stage), -ERANGE);
        rig_assert_error(&stage.err, -ERANGE, VMEM_REASON_RANGE, "0xfee00000");
        assert_null(stage.attachment);
        assert_int_equal(nr_maps(&stage), 0);
        close_stage(&stage);
    }
}

/* Something that the host mapped itself is in the way. */
static void what_is_mapped_already_stays(void **state)
{
    (void)state;
    for (enum kernel kernel = 0; kernel < NR_KERNELS; kernel++) {
        const struct iova_mapping other = {
            .iova = RIG_GPA + 5 * RIG_BLOCK + 4096,
            .size = 4096,
        };
        struct stage stage;

        open_stage(&stage, kernel);
        iova_set_add(stage.set, &other);
        assert_int_equal(rig_plug(stage.rig, 0, 8), VMEM_RESPONSE_BUSY);
        assert_int_equal(iova_set_nr(stage.set), 1);
        assert_int_equal(rig_plug(stage.rig, 0, 5), VMEM_RESPONSE_ACK);
        assert_int_equal(iova_set_nr(stage.set), 6);
        assert_int_equal(rig_unplug(stage.rig, 0, 5), VMEM_RESPONSE_ACK);
        assert_int_equal(iova_set_remove(stage.set, 0, UINT64_MAX), 4096);
        close_stage(&stage);
    }
}

/* ---- files ---- */

/* A region on memory of the library's, attached; what iommufd has mapped is
 * compared, and everything is freed. */
static void check_file(uint32_t kind, uint64_t flags, const char *path,
                       bool by_file)
{
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "memory",
        .path = path,
        .size = MIB(8),
        .fd_offset = path != NULL ? MIB(4) : 0,
        .kind = kind,
        .flags = flags,
    };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "ram",
    };
    struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .window = { MIB(2), MIB(4) },
        .granularity = MIB(2),
    };
    struct stage stage;

    make_kernel(&stage, KERNEL_IOMMUFD);
    stage.iommufd.has_map_file = true;
    stage.rig = rig_new_default();
    assert_int_equal(make_dma(&stage), 0);
    assert_int_equal(vmem_backing_new_allocated(stage.rig->vm, &request,
                                                &region_config.backing, NULL),
                     0);
    assert_int_equal(vmem_backing_get_info(region_config.backing, &info), 0);
    assert_int_equal(
        vmem_region_new(stage.rig->vm, &region_config, &config.region, NULL),
        0);
    assert_int_equal(vmem_dma_attach(stage.dma, &config, NULL,
                                     &stage.attachment, &stage.err),
                     0);
    assert_int_equal(iova_set_nr(stage.set), 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct iova_mapping *mapping = iova_set_at(stage.set, i);
        const uint64_t offset = MIB(2) * (i + 1);

        assert_int_equal(mapping->iova, MIB(2) * i);
        if (by_file) {
            assert_true(mapping->hva == UINT64_MAX);
            assert_int_equal(mapping->fd, info.fd);
            assert_int_equal(mapping->fd_offset, info.fd_offset + offset);
        } else {
            assert_int_equal(mapping->hva, (uintptr_t)info.hva + offset);
        }
    }
    detach(&stage);
    assert_int_equal(vmem_region_free(config.region, NULL), 0);
    assert_int_equal(vmem_backing_free(region_config.backing, NULL), 0);
    close_stage(&stage);
}

/* The pages of a private mapping are not those of its file. */
static void only_shared_files_are_mapped_as_files(void **state)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("vmem-XXXXXX", &path, NULL);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    check_file(VMEM_BACKING_MEMFD, 0, NULL, true);
    check_file(VMEM_BACKING_FILE, VMEM_BACKING_SHARED, path, true);
    check_file(VMEM_BACKING_FILE, 0, path, false);
    check_file(VMEM_BACKING_ANON, 0, NULL, false);
    check_file(VMEM_BACKING_ANON_SHARED, 0, NULL, false);
    unlink(path);
}

/* ---- making ---- */

static void making_leaves_nothing_behind(void **state)
{
    (void)state;
    for (enum kernel kernel = 0; kernel < NR_KERNELS; kernel++) {
        struct stage stage;
        unsigned nr = 0;
        int ret;

        make_kernel(&stage, kernel);
        stage.rig = rig_new_default();
        do {
            allocations_limit(nr++);
            ret = make_dma(&stage);
            allocations_end();
            if (ret != 0) {
                assert_int_equal(ret, -ENOMEM);
                assert_null(stage.dma);
            }
        } while (ret != 0);
        assert_in_range(nr, 3, 100);
        close_stage(&stage);
    }
}

static void arguments_are_checked_before_the_kernel_is_asked(void **state)
{
    struct vmem_dma_config config = { .struct_size = sizeof(config) };
    struct vmem_dma *dma = NULL;
    struct stage stage;

    (void)state;
    make_kernel(&stage, KERNEL_TYPE1);
    stage.rig = rig_new_default();
    assert_int_equal(
        vmem_dma_new_type1(stage.rig->vm, &config, stage.fd, &dma, &stage.err),
        -EINVAL);
    assert_int_equal(vmem_dma_new_iommufd(stage.rig->vm, &config, stage.fd, 1,
                                          &dma, &stage.err),
                     -EINVAL);
    assert_int_equal(stage.fake.nr_calls[FAKE_IOCTL_ANY], 0);
    config.name = "iommu0";
    assert_int_equal(
        vmem_dma_new_type1(stage.rig->vm, &config, -1, &dma, &stage.err),
        -EBADF);
    assert_int_equal(
        vmem_dma_new_iommufd(stage.rig->vm, &config, -1, 1, &dma, &stage.err),
        -EBADF);
    assert_null(dma);
    assert_int_equal(make_dma(&stage), 0);
    close_stage(&stage);
}

static void its_info_is_the_kernels(void **state)
{
    struct vmem_dma_info info = { .struct_size = sizeof(info) };
    struct stage stage;

    (void)state;
    open_stage(&stage, KERNEL_TYPE1);
    assert_int_equal(vmem_dma_get_info(stage.dma, &info), 0);
    assert_int_equal(info.kind, VMEM_DMA_TYPE1);
    assert_int_equal(info.max_mappings, 65535);
    assert_int_equal(info.page_sizes, 4096 | MIB(2) | GIB(1));
    assert_int_equal(info.properties, 0);
    close_stage(&stage);
    open_stage(&stage, KERNEL_COMPAT);
    assert_int_equal(vmem_dma_get_info(stage.dma, &info), 0);
    assert_true(info.max_mappings == VMEM_DMA_UNLIMITED);
    close_stage(&stage);
    open_stage(&stage, KERNEL_IOMMUFD);
    assert_int_equal(vmem_dma_get_info(stage.dma, &info), 0);
    assert_int_equal(info.kind, VMEM_DMA_IOMMUFD);
    assert_true(info.max_mappings == VMEM_DMA_UNLIMITED);
    assert_int_equal(info.properties, VMEM_DMA_EXACT_UNMAP);
    close_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ioctls_are_counted),
        cmocka_unit_test(a_recorded_guest_is_followed),
        cmocka_unit_test(a_spent_limit_is_busy),
        cmocka_unit_test(each_map_may_fail),
        cmocka_unit_test(attaching_undoes_what_it_did),
        cmocka_unit_test(advice_fits_the_longest_message),
        cmocka_unit_test(each_unmap_may_fail_once),
        cmocka_unit_test(a_window_that_is_reserved_is_refused),
        cmocka_unit_test(what_is_mapped_already_stays),
        cmocka_unit_test(only_shared_files_are_mapped_as_files),
        cmocka_unit_test(making_leaves_nothing_behind),
        cmocka_unit_test(arguments_are_checked_before_the_kernel_is_asked),
        cmocka_unit_test(its_info_is_the_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
