/* SPDX-License-Identifier: BSD-3-Clause */
/* A flag in the place of another: each set of flags has bits of its own, and
 * each member that takes one refuses what is not for it. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/fake_dma.h"
#include "support/world.h"

#define SIZE (UINT64_C(2) << 20)
#define PAGE UINT64_C(4096)
#define MEMORY ((void *)(uintptr_t)0x7f0000000000)

#define BACKING_SETUP (VMEM_BACKING_PREFER_REMOVE | VMEM_BACKING_NO_POPULATE)
#define BACKING_FLAGS                                                          \
    (VMEM_BACKING_SHARED | VMEM_BACKING_HAS_FD | VMEM_BACKING_LOCKED |         \
     VMEM_BACKING_POPULATE | BACKING_SETUP)
#define BACKING_USES                                                           \
    (VMEM_BACKING_USES_PUNCH_HOLE | VMEM_BACKING_USES_REMOVE |                 \
     VMEM_BACKING_USES_DONTNEED | VMEM_BACKING_USES_DONTNEED_TABLES |          \
     VMEM_BACKING_USES_LOCKED)
#define DEVICE_FEATURES                                                        \
    (VMEM_DEVICE_F_ACPI_PXM | VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE |           \
     VMEM_DEVICE_F_PERSISTENT_SUSPEND)
#define DEVICE_FLAGS                                                           \
    (VMEM_DEVICE_REQUIRE_INACCESSIBLE | VMEM_DEVICE_MEASURE_LATENCY |          \
     VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE | VMEM_DEVICE_KEEP_MEMORY)
#define DMA_STATIC (VMEM_DMA_READ_ONLY | VMEM_DMA_STRICT | VMEM_DMA_HAS_FD)
#define DMA_ATTACH (DMA_STATIC | VMEM_DMA_VIOMMU)
#define DMA_PROPERTIES                                                         \
    (VMEM_DMA_EXACT_UNMAP | VMEM_DMA_NEEDS_FD | VMEM_DMA_NO_PARTS)
#define DMA_CONFIG (VMEM_DMA_MEASURE_LATENCY | VMEM_DMA_NO_CLAIM)
#define DMA_PROTECTION (VMEM_DMA_READ | VMEM_DMA_WRITE)

struct fixture {
    struct world world;
    struct fake_dma fake;
    struct vmem_dma_attachment *target; /* of a virtual IOMMU */
};

static int pass_mapping(struct fixture *it, uint64_t flags,
                        struct vmem_error *err)
{
    const struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = "mapped",
        .hva = MEMORY,
        .size = SIZE,
        .flags = flags,
    };
    struct vmem_backing *backing;

    return vmem_backing_new_mapped(it->world.vm, &mapping, &backing, err);
}

static int pass_allocation(struct fixture *it, uint64_t flags,
                           struct vmem_error *err)
{
    const struct vmem_backing_config config = {
        .struct_size = sizeof(config),
        .name = "allocated",
        .size = SIZE,
        .kind = VMEM_BACKING_ANON,
        .flags = flags,
    };
    struct vmem_backing *backing;

    return vmem_backing_new_allocated(it->world.vm, &config, &backing, err);
}

static int no_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

static int pass_custom(struct fixture *it, uint64_t flags,
                       struct vmem_error *err)
{
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "custom",
        .size = SIZE,
        .flags = flags,
    };
    const struct vmem_backing_ops ops = { .struct_size = sizeof(ops),
                                          .discard = no_discard };
    struct vmem_backing *backing;

    return vmem_backing_new_custom(it->world.vm, &custom, &ops, NULL, &backing,
                                   err);
}

static int pass_source(struct fixture *it, uint64_t flags,
                       struct vmem_error *err)
{
    const struct vmem_source_config config = {
        .struct_size = sizeof(config),
        .name = "source",
        .block_size = PAGE,
        .flags = flags,
    };
    struct vmem_source *source;

    return vmem_source_add(it->world.region, &config, &source, err);
}

static int no_populate(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

static void no_tell(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
}

static int pass_listener(struct fixture *it, uint64_t flags,
                         struct vmem_error *err)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "listener",
        .granularity = PAGE,
        .flags = flags,
    };
    const struct vmem_listener_ops ops = { .struct_size = sizeof(ops),
                                           .populate = no_populate,
                                           .discard = no_tell };
    struct vmem_listener *listener;

    return vmem_listener_add(it->world.region, &config, &ops, NULL, &listener,
                             err);
}

static int make_device(struct fixture *it, uint64_t flags, uint64_t features,
                       struct vmem_error *err)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "device",
        .block_size = PAGE,
        .flags = flags,
        .features = features,
    };
    struct vmem_device *device;

    return vmem_device_new(it->world.region, &config, NULL, NULL, &device, err);
}

static int pass_device(struct fixture *it, uint64_t flags,
                       struct vmem_error *err)
{
    return make_device(it, flags, 0, err);
}

static int pass_features(struct fixture *it, uint64_t flags,
                         struct vmem_error *err)
{
    return make_device(it, 0, flags, err);
}

static int make_mapper(struct fixture *it, uint64_t config_flags,
                       uint64_t properties_flags, struct vmem_error *err)
{
    struct fake_dma fake;
    int ret;

    fake_dma_init(&fake, PAGE);
    fake.config.flags = config_flags;
    fake.flags = properties_flags;
    ret = fake_dma_make(&fake, it->world.vm, err);
    g_array_free(fake.mappings, TRUE);
    return ret;
}

static int pass_mapper(struct fixture *it, uint64_t flags,
                       struct vmem_error *err)
{
    return make_mapper(it, flags, 0, err);
}

static int pass_properties(struct fixture *it, uint64_t flags,
                           struct vmem_error *err)
{
    return make_mapper(it, 0, flags, err);
}

static int pass_attachment(struct fixture *it, uint64_t flags,
                           struct vmem_error *err)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "attached",
        .region = it->world.region,
        .iova = SIZE,
        .hva = MEMORY,
        .flags = flags,
    };
    struct vmem_dma_attachment *attachment;

    return vmem_dma_attach(it->fake.dma, &config, NULL, &attachment, err);
}

static int pass_static(struct fixture *it, uint64_t flags,
                       struct vmem_error *err)
{
    const struct vmem_dma_static_config config = {
        .struct_size = sizeof(config),
        .name = "static",
        .iova = SIZE,
        .size = SIZE,
        .hva = MEMORY,
        .flags = flags,
    };
    struct vmem_dma_attachment *attachment;

    return vmem_dma_attach_static(it->fake.dma, &config, NULL, &attachment,
                                  err);
}

static int pass_protection(struct fixture *it, uint64_t flags,
                           struct vmem_error *err)
{
    const struct vmem_range range = { 0, PAGE };

    if (flags > UINT32_MAX) {
        return vmem_dma_viommu_map(it->target, 0, &range, 0, err);
    }
    return vmem_dma_viommu_map(it->target, 0, &range, (uint32_t)flags, err);
}

/* Who takes flags, and which. */
static const struct {
    const char *what;
    int (*pass)(struct fixture *it, uint64_t flags, struct vmem_error *err);
    uint64_t known;
} members[] = {
    { "vmem_backing_mapping::flags", pass_mapping, BACKING_FLAGS },
    { "vmem_backing_config::flags", pass_allocation,
      BACKING_SETUP | VMEM_BACKING_SHARED | VMEM_BACKING_POPULATE },
    { "vmem_backing_custom::flags", pass_custom, VMEM_BACKING_POPULATE },
    { "vmem_source_config::flags", pass_source,
      VMEM_SOURCE_DISCARDS | VMEM_SOURCE_POPULATED },
    { "vmem_listener_config::flags", pass_listener,
      VMEM_LISTENER_EXACT_DISCARD },
    { "vmem_device_config::flags", pass_device, DEVICE_FLAGS },
    { "vmem_device_config::features", pass_features, DEVICE_FEATURES },
    { "vmem_dma_config::flags", pass_mapper, DMA_CONFIG },
    { "vmem_dma_properties::flags", pass_properties, DMA_PROPERTIES },
    { "vmem_dma_attach_config::flags", pass_attachment, DMA_ATTACH },
    { "vmem_dma_static_config::flags", pass_static, DMA_STATIC },
    { "protection of vmem_dma_viommu_map()", pass_protection, DMA_PROTECTION },
};

static void open_fixture(struct fixture *it)
{
    struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "target",
        .flags = VMEM_DMA_VIOMMU,
        .hva = MEMORY,
    };

    memset(it, 0, sizeof(*it));
    world_open(&it->world, SIZE, PAGE, 0);
    fake_dma_init(&it->fake, PAGE);
    assert_int_equal(fake_dma_make(&it->fake, it->world.vm, NULL), 0);
    config.region = it->world.region;
    assert_int_equal(
        vmem_dma_attach(it->fake.dma, &config, NULL, &it->target, NULL), 0);
}

static void close_fixture(struct fixture *it)
{
    assert_int_equal(vmem_dma_detach(it->target, NULL), 0);
    fake_dma_destroy(&it->fake);
    world_close(&it->world);
}

/* Every bit that is not for a member, and so every flag of another set. */
static void a_member_refuses_each_bit_that_is_not_for_it(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        for (unsigned int bit = 0; bit < 64; bit++) {
            const uint64_t flag = UINT64_C(1) << bit;
            struct vmem_error err = VMEM_ERROR_INIT;
            int ret;

            if ((flag & members[i].known) != 0) {
                continue;
            }
            ret = members[i].pass(&it, flag, &err);
            if (ret != -EINVAL || err.reason != VMEM_REASON_ARGUMENT) {
                fail_msg("%s took 0x%" PRIx64 ": %d, %s", members[i].what, flag,
                         ret, err.message);
            }
        }
    }
    close_fixture(&it);
}

/* The message names what was wrong, not only that something was. */
static void the_message_shows_the_flag(void **state)
{
    struct fixture it;

    (void)state;
    open_fixture(&it);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        assert_int_equal(members[i].pass(&it, UINT64_C(1) << 31, &err),
                         -EINVAL);
        if (strstr(err.message, "0x80000000") == NULL) {
            fail_msg("%s: %s", members[i].what, err.message);
        }
    }
    close_fixture(&it);
}

/* With one prefix: nothing would notice a flag of the wrong set. */
static void sets_of_one_object_have_no_bit_in_common(void **state)
{
    static const uint64_t sets[][4] = {
        { BACKING_FLAGS, BACKING_USES },
        { DEVICE_FLAGS, DEVICE_FEATURES },
        { DMA_ATTACH, DMA_PROPERTIES, DMA_CONFIG, DMA_PROTECTION },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        uint64_t taken = 0;

        for (size_t k = 0; k < 4; k++) {
            assert_int_equal(taken & sets[i][k], 0);
            taken |= sets[i][k];
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_refuses_each_bit_that_is_not_for_it),
        cmocka_unit_test(the_message_shows_the_flag),
        cmocka_unit_test(sets_of_one_object_have_no_bit_in_common),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
