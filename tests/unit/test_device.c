/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's life: making, asking, freeing, and every refusal. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/backing.h"
#include "support/allocations.h"
#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define BUSY VMEM_RESPONSE_BUSY

static struct rig *rig_alone(void)
{
    return rig_new(
        &(struct rig_options){ .no_device = true, .has_memory = true });
}

static struct vmem_device_config good_config(void)
{
    return (struct vmem_device_config){
        .struct_size = sizeof(struct vmem_device_config),
        .name = "dev",
        .gpa = RIG_GPA,
        .block_size = RIG_BLOCK,
        .requested_size = RIG_REQUESTED,
    };
}

/* Every refusal of a config, in the order of the checks. */
static void creation_refuses_each_bad_config_and_says_what_and_why(void **u)
{
    static const struct {
        const char *what;
        struct vmem_device_config config;
        int code;
        uint32_t reason;
        const char *value;
        const char *limit;
    } cases[] = {
        { "block size 0x3",
          { .block_size = 3 },
          -EINVAL,
          VMEM_REASON_ALIGNMENT,
          "0x3",
          "power of two" },
        { "gpa",
          { .gpa = RIG_GPA + 4096 },
          -EINVAL,
          VMEM_REASON_ALIGNMENT,
          "0x140001000",
          "0x200000" },
        { "wrap",
          { .gpa = UINT64_MAX - RIG_BLOCK + 1 },
          -EOVERFLOW,
          VMEM_REASON_OVERFLOW,
          "0xffffffffffe00000",
          "0x40000000" },
        { "feature",
          { .features = 8 },
          -EINVAL,
          VMEM_REASON_ARGUMENT,
          "0x8",
          "unknown" },
        { "flag",
          { .flags = (uint64_t)1 << 63 },
          -EINVAL,
          VMEM_REASON_ARGUMENT,
          "0x8000000000000000",
          "unknown" },
        { "policy",
          { .usable_policy = 4 },
          -EINVAL,
          VMEM_REASON_ARGUMENT,
          "4",
          "unknown" },
        { "big policy",
          { .usable_policy = UINT64_MAX },
          -EINVAL,
          VMEM_REASON_ARGUMENT,
          "18446744073709551615",
          "unknown" },
        { "node",
          { .node_id = 65536 },
          -ERANGE,
          VMEM_REASON_RANGE,
          "65536",
          "65535" },
        { "node without PXM",
          { .node_id = 1 },
          -EINVAL,
          VMEM_REASON_ARGUMENT,
          "1",
          "ACPI_PXM" },
        { "requested",
          { .requested_size = RIG_BLOCK + 1 },
          -EINVAL,
          VMEM_REASON_ALIGNMENT,
          "0x200001",
          "0x200000" },
        { "requested too large",
          { .requested_size = 2 * RIG_REGION },
          -ERANGE,
          VMEM_REASON_RANGE,
          "0x80000000",
          "0x40000000" },
        { "usable",
          { .usable_region_size = RIG_REGION - 1 },
          -EINVAL,
          VMEM_REASON_ALIGNMENT,
          "0x3fffffff",
          "0x200000" },
        { "usable below",
          { .usable_region_size = RIG_BLOCK },
          -EINVAL,
          VMEM_REASON_RANGE,
          "0x200000",
          "0x10000000" },
        { "usable above",
          { .usable_region_size = 2 * RIG_REGION },
          -ERANGE,
          VMEM_REASON_RANGE,
          "0x80000000",
          "0x40000000" },
        { "block above region",
          { .block_size = 2 * RIG_REGION, .gpa = 4 * RIG_REGION },
          -EINVAL,
          VMEM_REASON_ALIGNMENT,
          "0x10000000",
          "0x80000000" },
        { "block below page",
          { .block_size = 2048 },
          -EINVAL,
          VMEM_REASON_ALIGNMENT,
          "0x800",
          "0x1000" },
    };
    struct rig *rig = rig_alone();

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vmem_device_config config = cases[i].config;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct vmem_device *device = NULL;

        config.struct_size = sizeof(config);
        config.name = "dev";
        config.gpa = config.gpa != 0 ? config.gpa : RIG_GPA;
        config.block_size =
            config.block_size != 0 ? config.block_size : RIG_BLOCK;
        config.requested_size =
            config.requested_size != 0 ? config.requested_size : RIG_REQUESTED;
        assert_int_equal(
            vmem_device_new(rig->region, &config, NULL, NULL, &device, &err),
            cases[i].code);
        assert_null(device);
        rig_assert_error(&err, cases[i].code, cases[i].reason, "\"dev\"",
                         cases[i].value, cases[i].limit);
        /* Without an error struct, the same. */
        assert_int_equal(
            vmem_device_new(rig->region, &config, NULL, NULL, &device, NULL),
            cases[i].code);
    }
    assert_int_equal(rig_nr_memory_calls(rig), 0);
    assert_int_equal(vmem_vm_get_claims(rig->vm), 0);
    assert_int_equal(rig->logs->len, 0);
    rig_free(rig);
}

static void creation_refuses_null_short_and_unknown_arguments(void **u)
{
    struct rig *rig = rig_alone();
    struct vmem_device *device = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_device_config config = good_config();
    struct vmem_device_ops ops = { .struct_size = sizeof(ops) - 1 };
    struct {
        struct vmem_device_config config;
        uint64_t more[2];
    } longer = { .config = good_config() };
    char long_name[VMEM_NAME_MAX + 2];

    (void)u;
    memset(long_name, 'n', sizeof(long_name));
    long_name[sizeof(long_name) - 1] = '\0';
    assert_int_equal(vmem_device_new(NULL, &config, NULL, NULL, &device, &err),
                     -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "region");
    assert_int_equal(
        vmem_device_new(rig->region, NULL, NULL, NULL, &device, &err), -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "config");
    assert_int_equal(
        vmem_device_new(rig->region, &config, NULL, NULL, NULL, &err), -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "out");
    assert_int_equal(
        vmem_device_new(rig->region, &config, &ops, NULL, &device, &err),
        -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_STRUCT_SIZE, "vmem_device_ops");
    config.struct_size--;
    assert_int_equal(
        vmem_device_new(rig->region, &config, NULL, NULL, &device, &err),
        -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_STRUCT_SIZE,
                     "vmem_device_config");
    longer.config.struct_size = sizeof(longer);
    longer.more[1] = 1;
    assert_int_equal(
        vmem_device_new(rig->region, &longer.config, NULL, NULL, &device, &err),
        -E2BIG);
    rig_assert_error(&err, -E2BIG, VMEM_REASON_STRUCT_TAIL,
                     "vmem_device_config");
    config = good_config();
    config.name = NULL;
    assert_int_equal(
        vmem_device_new(rig->region, &config, NULL, NULL, &device, &err),
        -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "device name");
    config.name = "";
    assert_int_equal(
        vmem_device_new(rig->region, &config, NULL, NULL, &device, &err),
        -EINVAL);
    config.name = long_name;
    assert_int_equal(
        vmem_device_new(rig->region, &config, NULL, NULL, &device, &err),
        -ERANGE);
    rig_assert_error(&err, -ERANGE, VMEM_REASON_RANGE, "device name", "63");
    assert_null(device);
    /* A longer struct whose tail is zero is a newer host's: fine. */
    longer.more[1] = 0;
    assert_int_equal(vmem_device_new(rig->region, &longer.config, NULL, NULL,
                                     &rig->device, &err),
                     0);
    rig->unit = RIG_BLOCK;
    rig_free(rig);
}

static void creation_is_refused_where_somebody_else_stands_in_the_way(void **u)
{
    struct rig *rig = rig_alone();
    const struct vmem_device_config config = good_config();
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "dev",
        .block_size = RIG_BLOCK,
        .flags = VMEM_SOURCE_POPULATED,
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_discard_claim *claim;
    struct rig_listener *coarse;
    struct vmem_source *source;

    (void)u;
    assert_int_equal(vmem_discard_claim_take(rig->vm, VMEM_CLAIM_FORBID_ALL,
                                             "vdpa", &claim, NULL),
                     0);
    assert_int_equal(rig_make_device(rig, &config, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_CLAIM_CONFLICT, "vdpa");
    assert_int_equal(vmem_discard_claim_release(claim, NULL), 0);

    rig_freeze(rig, "migration");
    assert_int_equal(rig_make_device(rig, &config, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_FROZEN, "migration", "region");
    assert_int_equal(vmem_vm_get_claims(rig->vm), 0);
    rig_thaw(rig, "migration");

    coarse = rig_listen_to(rig, "coarse", (struct vmem_range){ 0, 0 },
                           4 * RIG_MIB, 0);
    assert_int_equal(rig_make_device(rig, &config, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_IN_USE, "coarse", "0x400000",
                     "0x200000");
    rig_assert_view(coarse, "0+512");
    rig_unlisten(coarse);

    assert_int_equal(
        vmem_source_add(rig->region, &source_config, &source, NULL), 0);
    assert_int_equal(rig_make_device(rig, &config, &err), -EEXIST);
    rig_assert_error(&err, -EEXIST, VMEM_REASON_DUPLICATE, "\"dev\"", "region");
    assert_int_equal(vmem_source_remove(source, NULL), 0);

    assert_int_equal(vmem_vm_get_claims(rig->vm), 0);
    assert_null(rig->device);
    assert_int_equal(rig_nr_memory_calls(rig), 0);
    rig_free(rig);
}

static void creation_without_memory_is_undone_at_every_allocation(void **u)
{
    struct rig *rig = rig_alone();
    const struct vmem_device_config config = good_config();
    uint64_t n;
    int ret = -ENOMEM;

    (void)u;
    rig_listen(rig, "l");
    for (n = 1; n < 100 && ret == -ENOMEM; n++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        allocations_fail(n - 1, 1);
        ret = rig_make_device(rig, &config, &err);
        allocations_end();
        if (ret == -ENOMEM) {
            rig_assert_error(&err, -ENOMEM, VMEM_REASON_NO_MEMORY, "memory");
            assert_null(rig->device);
            assert_int_equal(vmem_vm_get_claims(rig->vm), 0);
            assert_int_equal(rig_nr_memory_calls(rig), 0);
        }
    }
    assert_int_equal(ret, 0);
    assert_in_range(n, 4, 20);
    rig_free(rig);
}

static void creation_discards_everything_and_tells_listeners_first(void **u)
{
    struct rig *rig = rig_alone();
    const struct vmem_device_config config = good_config();
    struct rig_listener *a = rig_listen(rig, "a");
    struct rig_listener *b = rig_listen(rig, "b");

    (void)u;
    rig_assert_view(a, "0+512");
    rig_clear_events(rig);
    assert_int_equal(rig_make_device(rig, &config, NULL), 0);
    rig_assert_events(rig,
                      "discard b 0+512; discard a 0+512; discard memory 0+512");
    rig_assert_view(a, "");
    rig_assert_view(b, "");
    assert_int_equal(rig_config(rig).plugged_size, 0);
    rig_free(rig);
}

static void creation_is_refused_by_a_listener_that_keeps_the_memory(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });
    struct rig_listener *keeper = rig_listen(rig, "keeper");
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    keeper->keep_code = -EPERM;
    assert_int_equal(rig_make_device(rig, &rig->config, &err), -EPERM);
    rig_assert_error(&err, -EPERM, VMEM_REASON_LISTENER_VETO, "addition",
                     "keeper");
    assert_null(rig->device);
    assert_int_equal(vmem_vm_get_claims(rig->vm), 0);
    assert_int_equal(keeper->nr_discards, 0);
    keeper->keep_code = 0;
    assert_int_equal(rig_make_device(rig, &rig->config, &err), 0);
    assert_int_equal(keeper->nr_discards, 1);
    rig_free(rig);
}

/* Beside a source of the host: what the guest has plugged is one question, what
 * is left of it another. */
static void a_device_s_source_tells_its_blocks_alone(void **u)
{
    struct rig *rig = rig_new_default();
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "private",
                                               .block_size = RIG_BLOCK,
                                               .flags = VMEM_SOURCE_POPULATED };
    const struct vmem_range window = { 0, 64 * RIG_BLOCK };
    const struct vmem_range hidden = { 2 * RIG_BLOCK, 4 * RIG_BLOCK };
    struct vmem_source_info info = { .struct_size = sizeof(info) };
    struct vmem_source *source;
    uint64_t word;

    (void)u;
    assert_int_equal(vmem_source_add(rig->region, &config, &source, NULL), 0);
    assert_int_equal(rig_plug(rig, 0, 4), VMEM_RESPONSE_ACK);
    assert_int_equal(vmem_source_discard(source, &hidden, NULL), 0);
    assert_int_equal(
        vmem_region_get_page_bitmap(rig->region, &window, RIG_BLOCK, &word), 0);
    assert_true(word == 0x3);
    assert_int_equal(vmem_source_get_page_bitmap(rig_info(rig).source, &window,
                                                 RIG_BLOCK, &word),
                     0);
    assert_true(word == 0xf);
    assert_int_equal(
        vmem_source_get_page_bitmap(source, &window, RIG_BLOCK, &word), 0);
    assert_true(word == ~UINT64_C(0x3c));
    assert_int_equal(vmem_source_get_info(rig_info(rig).source, &info), 0);
    assert_true(info.populated_size == rig_info(rig).plugged_size);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    rig_free(rig);
}

static void creation_retains_what_it_cannot_discard(void **u)
{
    struct rig *rig = rig_alone();
    const struct vmem_device_config config = good_config();

    (void)u;
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_make_device(rig, &config, NULL), 0);
    assert_true(rig_info(rig).retained_size == RIG_REGION);
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_RETAINED), 1);
    rig->memory.discard.error = 0;
    assert_int_equal(vmem_region_retry_discards(rig->region, NULL), 0);
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);
}

static void the_block_size_defaults_to_the_backing_s_or_2_mib(void **u)
{
    static const struct {
        bool has_memory;
        uint64_t page_size;
        uint64_t block_size;
    } cases[] = {
        { false, 0, 2 * RIG_MIB },       { true, 4096, RIG_MIB },
        { true, 64 * RIG_KIB, RIG_MIB }, { true, 2 * RIG_MIB, 2 * RIG_MIB },
        { true, RIG_GIB, RIG_GIB },
    };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct rig *rig =
            rig_new(&(struct rig_options){ .no_device = true,
                                           .has_memory = cases[i].has_memory,
                                           .page_size = cases[i].page_size });
        struct vmem_device_config config = {
            .struct_size = sizeof(config),
            .name = "dev",
        };

        assert_int_equal(rig_make_device(rig, &config, NULL), 0);
        assert_true(rig_info(rig).block_size == cases[i].block_size);
        rig->unit = cases[i].block_size;
        rig_free(rig);
    }
}

static void a_page_size_above_the_block_size_is_refused(void **u)
{
    static const uint64_t pages[] = { 16 * RIG_KIB, 64 * RIG_KIB };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(pages); i++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .no_device = true, .has_memory = true, .page_size = pages[i] });
        struct vmem_device_config config = good_config();
        struct vmem_error err = VMEM_ERROR_INIT;

        config.block_size = pages[i] / 2;
        assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
        rig_assert_error(&err, -EINVAL, VMEM_REASON_ALIGNMENT, "memory");
        config.block_size = pages[i];
        assert_int_equal(rig_make_device(rig, &config, &err), 0);
        rig_free(rig);
    }
}

static void too_many_blocks_are_refused(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .no_device = true, .region_size = (uint64_t)1 << 45 });
    struct vmem_device_config config = good_config();
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    config.block_size = 4096;
    assert_int_equal(rig_make_device(rig, &config, &err), -ERANGE);
    rig_assert_error(&err, -ERANGE, VMEM_REASON_RANGE, "8589934592",
                     "4294967296");
    rig_free(rig);
}

static void a_claim_is_held_from_creation_to_removal(void **u)
{
    struct rig *rig = rig_alone();
    const struct vmem_device_config config = good_config();
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_discard_claim *claim;

    (void)u;
    assert_int_equal(rig_make_device(rig, &config, NULL), 0);
    assert_int_equal(vmem_vm_get_claims(rig->vm),
                     VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_COORDINATED));
    assert_int_equal(vmem_discard_claim_take(rig->vm, VMEM_CLAIM_FORBID_ALL,
                                             "vdpa", &claim, &err),
                     -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_CLAIM_CONFLICT, "dev");
    /* VFIO's claim is no conflict. */
    assert_int_equal(vmem_discard_claim_take(rig->vm,
                                             VMEM_CLAIM_FORBID_UNCOORDINATED,
                                             "vfio", &claim, NULL),
                     0);
    rig_free_device(rig);
    assert_int_equal(vmem_vm_get_claims(rig->vm),
                     VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_UNCOORDINATED));
    assert_int_equal(vmem_discard_claim_release(claim, NULL), 0);
    rig_free(rig);
}

static void the_device_s_source_cannot_be_changed_behind_its_back(void **u)
{
    struct rig *rig = rig_new_default();
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    assert_int_equal(vmem_region_free(rig->region, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_IN_USE, "dev");
    assert_int_equal(vmem_backing_free(rig->backing, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_IN_USE, "region");
    assert_int_equal(vmem_vm_free(rig->vm, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_IN_USE, "dev");
    rig_free(rig);
}

/* Warnings at creation. */

static void small_blocks_are_warned_about(void **u)
{
    static const struct {
        uint64_t block_size;
        uint64_t nr_warnings;
    } cases[] = {
        { 4 * RIG_KIB, 1 },  { 16 * RIG_KIB, 1 },
        { 32 * RIG_KIB, 1 }, /* 2 GiB are 65536 of these: one too many */
        { 64 * RIG_KIB, 0 }, { 2 * RIG_MIB, 0 },
    };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .config = { .block_size = cases[i].block_size } });

        assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_SMALL_BLOCKS),
                         cases[i].nr_warnings);
        if (cases[i].nr_warnings > 0) {
            const struct rig_log *log =
                rig_last_log(rig, VMEM_LOG_CODE_SMALL_BLOCKS);

            assert_int_equal(log->level, VMEM_LOG_WARNING);
            assert_int_equal(log->blame, VMEM_BLAME_HOST);
            assert_string_equal(log->object, "dev");
            assert_non_null(strstr(log->message, "65535"));
        }
        rig_free(rig);
    }
}

/* Memory whose reads allocate, such as shared memory. */
static int allocating_discard(struct vmem_backing *backing,
                              const struct vmem_range *range, uint64_t *done)
{
    (void)backing;
    *done = range->size;
    return 0;
}

static void allocating_destroy(void *impl)
{
    (void)impl;
}

static const struct vmemi_backing_ops allocating_ops = {
    .discard = allocating_discard,
    .destroy = allocating_destroy,
};

static void memory_that_reads_allocate_is_warned_about(void **u)
{
    const struct vmemi_backing_traits traits = {
        .name = "shared",
        .size = RIG_REGION,
        .page_size = 4096,
        .default_block_size = RIG_BLOCK,
        .read_allocates = true,
    };

    (void)u;
    for (uint64_t features = 0; features <= 2; features += 2) {
        struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });
        struct vmem_device_config config = good_config();
        struct vmem_region_config region_config = {
            .struct_size = sizeof(region_config),
            .name = "other",
        };
        struct vmem_region *region;
        struct vmem_device *device;

        assert_int_equal(vmemi_backing_new(rig->vm, &traits, &allocating_ops,
                                           rig, &region_config.backing, NULL),
                         0);
        assert_int_equal(
            vmem_region_new(rig->vm, &region_config, &region, NULL), 0);
        config.features = features;
        config.flags =
            features == 0 ? VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE : 0;
        assert_int_equal(
            vmem_device_new(region, &config, NULL, NULL, &device, NULL), 0);
        assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_READ_ALLOCATES),
                         features == 0);
        if (features == 0) {
            assert_non_null(
                strstr(rig_last_log(rig, VMEM_LOG_CODE_READ_ALLOCATES)->message,
                       "shared"));
        }
        assert_int_equal(vmem_device_free(device, NULL), 0);
        assert_int_equal(vmem_region_free(region, NULL), 0);
        assert_int_equal(vmem_backing_free(region_config.backing, NULL), 0);
        rig_free(rig);
    }
}

/* Freeing. */

static void free_takes_null_and_frees_whatever_is_plugged(void **u)
{
    struct rig *rig = rig_new_default();
    uint64_t nr_calls;

    (void)u;
    assert_int_equal(vmem_device_free(NULL, NULL), 0);
    assert_int_equal(rig_plug(rig, 0, 100), ACK);
    nr_calls = rig_nr_memory_calls(rig);
    rig_free_device(rig);
    assert_int_equal(rig_nr_memory_calls(rig), nr_calls);
    rig_assert_plugged(rig, "0+512");
    rig_free(rig);
}

static void free_is_refused_while_there_are_listeners(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *a = rig_listen(rig, "vfio");
    struct rig_listener *b = rig_listen(rig, "vhost");
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 100), ACK);
    assert_int_equal(vmem_device_free(rig->device, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_IN_USE, "dev", "vfio", "vhost",
                     "region");
    rig_check(rig);
    assert_int_equal(rig_plug(rig, 100, 1), ACK);
    rig_unlisten(a);
    assert_int_equal(vmem_device_free(rig->device, &err), -EBUSY);
    rig_unlisten(b);
    rig_free_device(rig);
    rig_free(rig);
}

static void free_is_refused_while_the_region_is_frozen(void **u)
{
    struct rig *rig = rig_new_default();
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    rig_freeze(rig, "migration");
    assert_int_equal(vmem_device_free(rig->device, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_FROZEN, "dev", "migration");
    assert_int_equal(vmem_vm_get_claims(rig->vm),
                     VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_COORDINATED));
    assert_int_equal(rig_state(rig, 0, 1), VMEM_STATE_UNPLUGGED);
    rig_thaw(rig, "migration");
    rig_free(rig);
}

static void free_in_notification(struct rig *rig)
{
    struct vmem_device *device = rig->device;

    rig->device = NULL;
    *(int *)rig->user = vmem_device_free(device, NULL);
}

/* For each notification and each call that sends it. */
static void free_works_in_each_of_its_own_notifications(void **u)
{
    (void)u;
    for (int i = 0; i < 8; i++) {
        struct rig *rig = rig_new_default();
        struct vmem_device *device = rig->device;
        uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
        uint8_t response[VMEM_DEVICE_RESPONSE_SIZE] = { 0xee };
        int ret = 1;

        rig->user = &ret;
        rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA, 1);
        switch (i) {
        case 0:
            rig->on_config_changed = free_in_notification;
            assert_int_equal(vmem_device_resize(device, RIG_BLOCK, NULL), 0);
            break;
        case 1:
            rig->on_config_changed = free_in_notification;
            assert_int_equal(vmem_device_notify_config(device), 0);
            break;
        case 2:
            rig->on_config_changed = free_in_notification;
            rig_freeze(rig, "migration");
            rig_thaw(rig, "migration");
            break;
        case 3:
            rig->on_size_changed = free_in_notification;
            assert_int_equal(
                vmem_device_handle_request(device, request, sizeof(request),
                                           response, sizeof(response), NULL),
                VMEM_REQUEST_RESPOND);
            assert_int_equal(response[0], ACK);
            break;
        case 4:
            rig->on_resize_changed = free_in_notification;
            vmem_device_handle_request(device, request, sizeof(request),
                                       response, sizeof(response), NULL);
            break;
        case 5:
            assert_int_equal(rig_plug(rig, 0, 1), ACK);
            rig->on_size_changed = free_in_notification;
            assert_int_equal(vmem_device_reset(device, VMEM_RESET_SYSTEM, NULL),
                             0);
            break;
        case 6:
            rig->on_resize_changed = free_in_notification;
            assert_int_equal(vmem_device_poll_resize(device), 0);
            break;
        default:
            rig->on_resize_changed = free_in_notification;
            assert_int_equal(vmem_device_resize(device, RIG_BLOCK, NULL), 0);
            break;
        }
        assert_int_equal(ret, 0);
        assert_null(rig->device);
        assert_int_equal(vmem_vm_get_claims(rig->vm), 0);
        rig_free(rig);
    }
}

/* A notification that another thread waits in while the device is freed. */
struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool entered;
    bool may_leave;
    _Atomic bool freed;
    bool freed_while_inside;
};

static void wait_in_notification(struct rig *rig)
{
    struct waiting *waiting = rig->user;

    pthread_mutex_lock(&waiting->lock);
    waiting->entered = true;
    pthread_cond_broadcast(&waiting->changed);
    while (!waiting->may_leave) {
        pthread_cond_wait(&waiting->changed, &waiting->lock);
    }
    pthread_mutex_unlock(&waiting->lock);
    g_usleep(20000);
    waiting->freed_while_inside = atomic_load(&waiting->freed);
}

static void *thaw_thread(void *opaque)
{
    struct rig *rig = opaque;

    vmem_region_thaw(rig->region, "migration", NULL);
    return NULL;
}

static void free_waits_for_a_notification_on_another_thread(void **u)
{
    struct rig *rig = rig_new_default();
    struct waiting waiting = { .lock = PTHREAD_MUTEX_INITIALIZER,
                               .changed = PTHREAD_COND_INITIALIZER };
    pthread_t thread;

    (void)u;
    rig->user = &waiting;
    rig->on_config_changed = wait_in_notification;
    rig_freeze(rig, "migration");
    assert_int_equal(pthread_create(&thread, NULL, thaw_thread, rig), 0);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.entered) {
        pthread_cond_wait(&waiting.changed, &waiting.lock);
    }
    waiting.may_leave = true;
    pthread_cond_broadcast(&waiting.changed);
    pthread_mutex_unlock(&waiting.lock);
    rig_free_device(rig);
    atomic_store(&waiting.freed, true);
    pthread_join(thread, NULL);
    assert_false(waiting.freed_while_inside);
    rig_free(rig);
}

/* Thread B sends the notifications of a thaw while this one frees the device. B
 * goes on to the next notification when the source has left the region already,
 * which a claim's watcher can see. */
struct meeting {
    _Atomic int is_inside;
    _Atomic int source_left;
};

static void wait_until_the_source_has_left(struct rig *rig)
{
    struct meeting *meeting = rig->user;

    atomic_store(&meeting->is_inside, 1);
    while (atomic_load(&meeting->source_left) == 0) {
        g_usleep(100);
    }
}

static void say_that_the_source_has_left(uint32_t claims, void *opaque)
{
    struct meeting *meeting = opaque;

    (void)claims;
    atomic_store(&meeting->source_left, 1);
    g_usleep(20000);
}

static void a_notification_on_another_thread_survives_the_source(void **u)
{
    struct rig *rig = rig_new_default();
    struct meeting meeting = { 0, 0 };
    struct vmem_discard_watcher *watcher;
    pthread_t thread;

    (void)u;
    rig->user = &meeting;
    rig->on_config_changed = wait_until_the_source_has_left;
    assert_int_equal(vmem_discard_watcher_add(rig->vm,
                                              say_that_the_source_has_left,
                                              &meeting, &watcher, NULL),
                     0);
    rig_freeze(rig, "migration");
    assert_int_equal(pthread_create(&thread, NULL, thaw_thread, rig), 0);
    while (atomic_load(&meeting.is_inside) == 0) {
        g_usleep(100);
    }
    rig_free_device(rig);
    pthread_join(thread, NULL);
    assert_int_equal(vmem_discard_watcher_remove(watcher, NULL), 0);
    rig_free(rig);
}

struct visit {
    struct rig *rig;
    _Atomic int is_inside;
    int ret;
};

static int visit_device(struct vmem_device *device, void *opaque)
{
    struct visit *visit = opaque;
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    atomic_store(&visit->is_inside, 1);
    g_usleep(20000); /* the other thread frees the device meanwhile */
    visit->ret = vmem_device_get_info(device, &info);
    return 0;
}

static void *visit_thread(void *opaque)
{
    struct visit *visit = opaque;

    vmem_vm_for_each_device(visit->rig->vm, visit_device, visit);
    return NULL;
}

static void a_device_that_is_listed_can_be_asked(void **u)
{
    struct visit visit = { .rig = rig_new_default(), .ret = 1 };
    pthread_t thread;

    (void)u;
    assert_int_equal(pthread_create(&thread, NULL, visit_thread, &visit), 0);
    while (atomic_load(&visit.is_inside) == 0) {
        g_usleep(100);
    }
    rig_free_device(visit.rig);
    pthread_join(thread, NULL);
    assert_int_equal(visit.ret, 0);
    rig_free(visit.rig);
}

/* Calls from callbacks. */

struct attempts {
    int ret[8];
    uint64_t nr_queries;
};

static void try_everything(struct rig *rig)
{
    struct attempts *attempts = rig->user;
    struct vmem_device *device = rig->device;
    const struct vmem_device_config config = good_config();
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { VMEM_REQUEST_STATE };
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];
    struct vmem_device *other;

    attempts->ret[0] = vmem_device_handle_request(
        device, request, sizeof(request), bytes, 10, NULL);
    attempts->ret[1] = vmem_device_resize(device, 0, NULL);
    attempts->ret[2] = vmem_device_notify_config(device);
    attempts->ret[3] = vmem_device_reset(device, VMEM_RESET_DRIVER, NULL);
    attempts->ret[4] = vmem_device_poll_resize(device);
    attempts->ret[5] = vmem_device_free(device, NULL);
    attempts->ret[6] =
        vmem_device_new(rig->region, &config, NULL, NULL, &other, NULL);
    request[0] = 9;
    attempts->ret[7] = vmem_device_handle_request(
        device, request, sizeof(request), bytes, 10, NULL);
    attempts->nr_queries +=
        vmem_device_read_config(device, 0, bytes, sizeof(bytes)) == 0 &&
        vmem_device_get_info(device, &info) == 0 &&
        vmem_device_check_removable(device, NULL) == -EBUSY &&
        vmem_device_get_config_generation(device) == info.config_generation;
}

static void calls_from_a_listener_are_refused_and_queries_work(void **u)
{
    struct rig *rig = rig_new_default();
    struct attempts attempts = { { 0 }, 0 };
    uint64_t nr_malformed;

    (void)u;
    rig_listen(rig, "l");
    rig->user = &attempts;
    rig->on_populate = try_everything;
    rig->on_discard = try_everything;
    for (int round = 0; round < 2; round++) {
        memset(attempts.ret, 0, sizeof(attempts.ret));
        assert_int_equal(
            round == 0 ? rig_plug(rig, 0, 1) : rig_unplug(rig, 0, 1), ACK);
        for (size_t i = 0; i < G_N_ELEMENTS(attempts.ret); i++) {
            assert_int_equal(attempts.ret[i], -EDEADLK);
        }
    }
    assert_int_equal(attempts.nr_queries, 2);
    nr_malformed = rig_stats(rig).nr_malformed[VMEM_MALFORMED_TYPE];
    assert_int_equal(nr_malformed, 0);
    assert_int_equal(rig->nr_config_changed, 0);
    rig->on_populate = NULL;
    rig->on_discard = NULL;
    rig_free(rig);
}

static void do_everything(struct rig *rig)
{
    struct attempts *attempts = rig->user;
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { VMEM_REQUEST_UNPLUG_ALL };
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];

    rig->on_size_changed = NULL;
    attempts->ret[0] = vmem_device_handle_request(
        rig->device, request, sizeof(request), bytes, 10, NULL);
    attempts->ret[1] = vmem_device_resize(rig->device, RIG_BLOCK, NULL);
    attempts->ret[2] = vmem_device_notify_config(rig->device);
    attempts->ret[3] = vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
    attempts->ret[4] = vmem_device_poll_resize(rig->device);
    attempts->ret[5] = vmem_region_freeze(rig->region, "x", NULL);
    attempts->ret[6] = vmem_region_thaw(rig->region, "x", NULL);
}

static void every_call_is_legal_in_a_notification(void **u)
{
    struct rig *rig = rig_new_default();
    struct attempts attempts = { { 1, 1, 1, 1, 1, 1, 1, 0 }, 0 };

    (void)u;
    rig_listen(rig, "l");
    rig->user = &attempts;
    rig->on_size_changed = do_everything;
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    for (size_t i = 0; i < G_N_ELEMENTS(attempts.ret); i++) {
        assert_int_equal(attempts.ret[i], 0);
    }
    rig_assert_plugged(rig, "");
    assert_true(rig_config(rig).requested_size == RIG_BLOCK);
    rig_free(rig);
}

/* Asking. */

static void a_device_is_removable_with_nothing_plugged_or_requested(void **u)
{
    struct rig *rig = rig_new_default();
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    assert_int_equal(vmem_device_check_removable(rig->device, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_IN_USE, "dev", "0x10000000");
    assert_int_equal(rig_plug(rig, 0, 3), ACK);
    rig_resize(rig, 0);
    assert_int_equal(vmem_device_check_removable(rig->device, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_IN_USE, "dev", "0x600000");
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_int_equal(vmem_device_check_removable(rig->device, &err), 0);
    assert_int_equal(vmem_device_check_removable(NULL, &err), -EINVAL);
    rig_free(rig);
}

static void info_says_what_the_device_is_now(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .has_memory = true, .config = { .features = 7, .node_id = 5 } });
    struct vmem_device_info info = rig_info(rig);

    (void)u;
    assert_string_equal(info.name, "dev");
    assert_ptr_equal(info.region, rig->region);
    assert_true(info.gpa == RIG_GPA);
    assert_true(info.region_size == RIG_REGION);
    assert_true(info.block_size == RIG_BLOCK);
    assert_true(info.requested_size == RIG_REQUESTED);
    assert_int_equal(info.plugged_size, 0);
    assert_true(info.usable_region_size == RIG_USABLE);
    assert_int_equal(info.retained_size, 0);
    assert_int_equal(info.features, 7);
    assert_int_equal(info.driver_features, 0);
    assert_int_equal(info.node_id, 5);
    assert_int_equal(info.has_driver, 0);
    assert_int_equal(rig_plug(rig, 0, 2), ACK);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 0, 1), ACK);
    info = rig_info(rig);
    assert_true(info.plugged_size == RIG_BLOCK);
    assert_true(info.retained_size == RIG_BLOCK);
    assert_int_equal(info.has_driver, 1);
    rig_free(rig);
}

static void structs_that_the_library_fills_are_filled_by_their_size(void **u)
{
    struct rig *rig = rig_new_default();
    struct {
        struct vmem_device_info info;
        uint64_t more;
    } longer = { .info = { .struct_size = sizeof(longer) }, .more = 77 };
    struct vmem_device_info info = {
        .struct_size = offsetof(struct vmem_device_info, source) - 1,
    };
    struct vmem_device_stats stats = {
        .struct_size = offsetof(struct vmem_device_stats, nr_loads) - 1
    };
    struct vmem_resize_status status = { .struct_size = sizeof(status) - 1 };

    (void)u;
    assert_int_equal(vmem_device_get_info(rig->device, &info), -EINVAL);
    assert_int_equal(vmem_device_get_info(rig->device, NULL), -EINVAL);
    assert_int_equal(vmem_device_get_info(NULL, &longer.info), -EINVAL);
    assert_int_equal(vmem_device_get_stats(rig->device, &stats), -EINVAL);
    assert_int_equal(vmem_device_get_stats(rig->device, NULL), -EINVAL);
    assert_int_equal(vmem_device_get_resize_status(rig->device, &status),
                     -EINVAL);
    assert_int_equal(vmem_device_get_resize_status(NULL, &status), -EINVAL);
    assert_int_equal(vmem_device_get_info(rig->device, &longer.info), 0);
    assert_int_equal(longer.more, 0);
    assert_int_equal(longer.info.struct_size, sizeof(longer));
    rig_free(rig);
}

static void stats_count_every_answer_once(void **u)
{
    struct rig *rig = rig_new_default();
    struct vmem_device_stats stats;
    uint64_t total = 0;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    assert_int_equal(rig_plug(rig, 0, 4), VMEM_RESPONSE_ERROR);
    assert_int_equal(rig_plug(rig, 4, 200), VMEM_RESPONSE_NACK);
    rig_freeze(rig, "migration");
    assert_int_equal(rig_plug(rig, 4, 1), BUSY);
    assert_int_equal(rig_unplug(rig, 0, 1), BUSY);
    assert_int_equal(rig_unplug_all(rig), BUSY);
    rig_thaw(rig, "migration");
    assert_int_equal(rig_unplug(rig, 0, 1), ACK);
    assert_int_equal(rig_unplug(rig, 0, 1), VMEM_RESPONSE_ERROR);
    rig_state(rig, 0, 1);
    assert_int_equal(rig_unplug_all(rig), ACK);
    vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL);
    rig_resize(rig, 0);
    stats = rig_stats(rig);
    for (int type = 0; type < 4; type++) {
        for (int response = 0; response < 4; response++) {
            total += stats.nr_requests[type][response];
        }
    }
    assert_int_equal(total, 10);
    assert_int_equal(stats.nr_requests[0][0], 1);
    assert_int_equal(stats.nr_requests[0][1], 1);
    assert_int_equal(stats.nr_requests[0][2], 1);
    assert_int_equal(stats.nr_requests[0][3], 1);
    assert_int_equal(stats.nr_requests[1][0], 1);
    assert_int_equal(stats.nr_requests[1][2], 1);
    assert_int_equal(stats.nr_requests[1][3], 1);
    assert_int_equal(stats.nr_requests[2][0], 1);
    assert_int_equal(stats.nr_requests[2][2], 1);
    assert_int_equal(stats.nr_requests[3][0], 1);
    assert_true(stats.plugged_bytes == 4 * RIG_BLOCK);
    assert_true(stats.unplugged_bytes == 4 * RIG_BLOCK);
    assert_int_equal(stats.nr_resizes, 1);
    assert_int_equal(stats.nr_resets[VMEM_RESET_WAKEUP], 1);
    assert_int_equal(stats.latency_total_ns[0], 0);
    rig_free(rig);
}

static void take_a_second(struct rig *rig)
{
    rig->now_ns += 1000000000;
}

static void latencies_are_measured_only_when_asked(void **u)
{
    (void)u;
    for (uint64_t flags = 0; flags <= VMEM_DEVICE_MEASURE_LATENCY;
         flags += VMEM_DEVICE_MEASURE_LATENCY) {
        struct rig *rig =
            rig_new(&(struct rig_options){ .config = { .flags = flags } });
        const uint64_t second = flags != 0 ? 1000000000 : 0;
        struct vmem_device_stats stats;

        rig_listen(rig, "slow");
        rig->on_populate = take_a_second;
        assert_int_equal(rig_plug(rig, 0, 1), ACK);
        assert_int_equal(rig_plug(rig, 1, 1), ACK);
        rig_state(rig, 0, 1);
        stats = rig_stats(rig);
        assert_true(stats.latency_total_ns[VMEM_REQUEST_PLUG] == 2 * second);
        assert_true(stats.latency_max_ns[VMEM_REQUEST_PLUG] == second);
        assert_int_equal(stats.latency_total_ns[VMEM_REQUEST_STATE], 0);
        rig->on_populate = NULL;
        rig_free(rig);
    }
}

static int count_device(struct vmem_device *device, void *opaque)
{
    struct rig *rig = opaque;

    *(uint64_t *)rig->user += device == rig->device;
    return 0;
}

static void the_machine_lists_its_devices(void **u)
{
    struct rig *rig = rig_new_default();
    uint64_t count = 0;

    (void)u;
    rig->user = &count;
    assert_int_equal(vmem_vm_for_each_device(rig->vm, count_device, rig), 0);
    assert_int_equal(count, 1);
    rig_free_device(rig);
    assert_int_equal(vmem_vm_for_each_device(rig->vm, count_device, rig), 0);
    assert_int_equal(count, 1);
    rig_free(rig);
}

static void a_device_without_notifications_works(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .no_ops = true });
    struct vmem_device_ops partial = {
        .struct_size = sizeof(partial),
        .size_changed = rig_device_ops.size_changed,
    };
    const struct vmem_device_config config = rig->config;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    rig_resize(rig, 0);
    assert_int_equal(vmem_device_poll_resize(rig->device), 0);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    rig_free_device(rig);
    assert_int_equal(vmem_device_new(rig->region, &config, &partial, rig,
                                     &rig->device, NULL),
                     0);
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    rig_resize(rig, 0);
    assert_int_equal(rig->nr_size_changed, 1);
    assert_int_equal(rig->nr_config_changed, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            creation_refuses_each_bad_config_and_says_what_and_why),
        cmocka_unit_test(creation_refuses_null_short_and_unknown_arguments),
        cmocka_unit_test(
            creation_is_refused_where_somebody_else_stands_in_the_way),
        cmocka_unit_test(creation_without_memory_is_undone_at_every_allocation),
        cmocka_unit_test(
            creation_discards_everything_and_tells_listeners_first),
        cmocka_unit_test(
            creation_is_refused_by_a_listener_that_keeps_the_memory),
        cmocka_unit_test(a_device_s_source_tells_its_blocks_alone),
        cmocka_unit_test(creation_retains_what_it_cannot_discard),
        cmocka_unit_test(the_block_size_defaults_to_the_backing_s_or_2_mib),
        cmocka_unit_test(a_page_size_above_the_block_size_is_refused),
        cmocka_unit_test(too_many_blocks_are_refused),
        cmocka_unit_test(a_claim_is_held_from_creation_to_removal),
        cmocka_unit_test(the_device_s_source_cannot_be_changed_behind_its_back),
        cmocka_unit_test(small_blocks_are_warned_about),
        cmocka_unit_test(memory_that_reads_allocate_is_warned_about),
        cmocka_unit_test(free_takes_null_and_frees_whatever_is_plugged),
        cmocka_unit_test(free_is_refused_while_there_are_listeners),
        cmocka_unit_test(free_is_refused_while_the_region_is_frozen),
        cmocka_unit_test(free_works_in_each_of_its_own_notifications),
        cmocka_unit_test(free_waits_for_a_notification_on_another_thread),
        cmocka_unit_test(a_notification_on_another_thread_survives_the_source),
        cmocka_unit_test(a_device_that_is_listed_can_be_asked),
        cmocka_unit_test(calls_from_a_listener_are_refused_and_queries_work),
        cmocka_unit_test(every_call_is_legal_in_a_notification),
        cmocka_unit_test(
            a_device_is_removable_with_nothing_plugged_or_requested),
        cmocka_unit_test(info_says_what_the_device_is_now),
        cmocka_unit_test(
            structs_that_the_library_fills_are_filled_by_their_size),
        cmocka_unit_test(stats_count_every_answer_once),
        cmocka_unit_test(latencies_are_measured_only_when_asked),
        cmocka_unit_test(the_machine_lists_its_devices),
        cmocka_unit_test(a_device_without_notifications_works),
    };

    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
