/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that is made on memory whose contents shall stay: what a load plugs is
 * as it was, the rest is given back, and the guest never sees what it has not
 * left there. On real memory, measured without the library. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "support/device_rig.h"
#include "support/host_memory.h"
#include "support/quiet.h"

#define ACK VMEM_RESPONSE_ACK
#define NR_BLOCKS 16
#define SIZE (NR_BLOCKS * RIG_BLOCK)
#define PAGE 4096

/* 1+3, 8+1 and 15+1. */
#define PLUGGED UINT64_C(0x810e)
#define PLUGGED_SIZE (5 * RIG_BLOCK)
#define UNPLUGGED (0xffff & ~PLUGGED)

static const struct vmem_device_config device_config = {
    .struct_size = sizeof(device_config),
    .name = "dev",
    .gpa = RIG_GPA,
    .block_size = RIG_BLOCK,
    .requested_size = SIZE,
    .usable_policy = VMEM_USABLE_ALL,
    .features = VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE,
    .flags = VMEM_DEVICE_KEEP_MEMORY,
};

static const struct vmem_device_saved good = {
    .struct_size = sizeof(good),
    .gpa = RIG_GPA,
    .region_size = SIZE,
    .block_size = RIG_BLOCK,
    .requested_size = PLUGGED_SIZE,
    .usable_region_size = SIZE,
    .plugged_size = PLUGGED_SIZE,
    .has_driver = 1,
};

/* A machine on memory that exists already. */
struct host {
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
};

static void host_open(struct host *host, const struct host_memory *memory,
                      uint64_t flags)
{
    /* The log says that discards of a private mapping change the file. */
    const struct vmem_vm_config vm = { .struct_size = sizeof(vm),
                                       .name = "vm",
                                       .log = quiet_log };
    struct vmem_region_config region = { .struct_size = sizeof(region),
                                         .name = "ram" };
    struct vmem_backing_mapping mapping = {
        .struct_size = sizeof(mapping),
        .name = host_kind_name(memory->kind),
        .hva = memory->hva,
        .size = memory->size,
        .fd_offset = memory->fd_offset,
        .flags = flags,
    };
    struct vmem_error err = VMEM_ERROR_INIT;

    if (host_kind_is_shared(memory->kind)) {
        mapping.flags |= VMEM_BACKING_SHARED;
    }
    if (memory->fd >= 0) {
        mapping.flags |= VMEM_BACKING_HAS_FD;
        mapping.fd = memory->fd;
    }
    assert_int_equal(vmem_vm_new(&vm, &host->vm, NULL), 0);
    if (vmem_backing_new_mapped(host->vm, &mapping, &host->backing, &err) < 0) {
        fail_msg("refused: %s", err.message);
    }
    region.backing = host->backing;
    assert_int_equal(vmem_region_new(host->vm, &region, &host->region, NULL),
                     0);
    assert_int_equal(vmem_device_new(host->region, &device_config, NULL, NULL,
                                     &host->device, NULL),
                     0);
}

static void host_close(struct host *host)
{
    assert_int_equal(vmem_device_free(host->device, NULL), 0);
    assert_int_equal(vmem_region_free(host->region, NULL), 0);
    assert_int_equal(vmem_backing_free(host->backing, NULL), 0);
    assert_int_equal(vmem_vm_free(host->vm, NULL), 0);
}

static uint64_t retained(const struct host *host)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    assert_int_equal(vmem_device_get_info(host->device, &info), 0);
    return info.retained_size;
}

static int load(const struct host *host, uint64_t blocks,
                struct vmem_error *err)
{
    struct vmem_device_saved saved = good;

    saved.plugged_size = (uint64_t)__builtin_popcountll(blocks) * RIG_BLOCK;
    saved.requested_size = saved.plugged_size;
    return vmem_device_load(host->device, &saved, &blocks, 1, err);
}

static uint16_t plug(const struct host *host, uint64_t block)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    assert_int_equal(vmem_device_resize(host->device, SIZE, NULL), 0);
    rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA + block * RIG_BLOCK, 1);
    assert_int_equal(vmem_device_handle_request(host->device, request,
                                                sizeof(request), response,
                                                sizeof(response), NULL),
                     VMEM_REQUEST_RESPOND);
    return response[0];
}

/* ---- contents ---- */

static void fill(const struct host_memory *memory)
{
    uint64_t seed = 1;

    for (uint64_t i = 0; i < SIZE; i += PAGE) {
        const uint64_t value = rig_random(&seed) | 1;

        memcpy(memory->hva + i, &value, sizeof(value));
    }
}

/* Blocks that hold what fill() wrote, in every page. */
static uint64_t filled_blocks(const struct host_memory *memory)
{
    uint64_t blocks = (UINT64_C(1) << NR_BLOCKS) - 1;
    uint64_t seed = 1;

    for (uint64_t i = 0; i < SIZE; i += PAGE) {
        const uint64_t value = rig_random(&seed) | 1;

        if (memcmp(memory->hva + i, &value, sizeof(value)) != 0) {
            blocks &= ~(UINT64_C(1) << i / RIG_BLOCK);
        }
    }
    return blocks;
}

static uint64_t zero_blocks(const struct host_memory *memory)
{
    uint64_t blocks = 0;

    for (uint64_t i = 0; i < NR_BLOCKS; i++) {
        if (host_is_zero(memory->hva + i * RIG_BLOCK, RIG_BLOCK)) {
            blocks |= UINT64_C(1) << i;
        }
    }
    return blocks;
}

/* Bytes of memory or file that are there. */
static int64_t occupied(const struct host_memory *memory)
{
    int64_t sum = 0;

    if (memory->fd >= 0) {
        sum = host_file_blocks(memory->fd);
        sum -= sum % (int64_t)KIB(64); /* of the file system's own */
    }
    if (!host_kind_is_shared(memory->kind)) {
        sum += host_pagemap(memory->hva, memory->size);
    } else if (memory->fd < 0) {
        sum = host_mincore(memory->hva, memory->size);
    }
    return sum;
}

static bool make(struct host_memory *memory, enum host_kind kind)
{
    const int ret = host_memory_make(memory, kind, SIZE, 0);

    if (ret < 0) {
        printf("SKIP: no %s here: errno %d\n", host_kind_name(kind), -ret);
        return false;
    }
    if (kind == HOST_MEMFD_PRIVATE) {
        /* Else the file's pages beneath the copies are clean zeros, which the
         * kernel drops when it likes. */
        assert_int_equal(
            fallocate(memory->fd, 0, (off_t)memory->fd_offset, (off_t)SIZE), 0);
    }
    fill(memory);
    if (memory->fd >= 0) {
        fsync(memory->fd);
    }
    return true;
}

static const enum host_kind kinds[] = { HOST_ANON,        HOST_ANON_SHARED,
                                        HOST_MEMFD,       HOST_MEMFD_PRIVATE,
                                        HOST_TMPFS,       HOST_DISK,
                                        HOST_DISK_PRIVATE };

/* ---- tests ---- */

static void what_is_loaded_is_kept_and_the_rest_given_back(void **u)
{
    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct host_memory memory;
        struct host host;
        int64_t full;
        int64_t kept;

        if (!make(&memory, kinds[i])) {
            continue;
        }
        full = occupied(&memory);
        assert_true(full >= (int64_t)SIZE);
        host_open(&host, &memory, 0);
        assert_true(retained(&host) == SIZE);
        assert_true(occupied(&memory) == full);
        assert_int_equal(filled_blocks(&memory), 0xffff);

        assert_int_equal(load(&host, PLUGGED, NULL), 0);
        assert_int_equal(retained(&host), 0);
        if (memory.fd >= 0) {
            fsync(memory.fd);
        }
        /* Before it is read, which allocates it where it is shared. */
        kept = occupied(&memory);
        printf("FIGURE: kept: %s: %.1f of %.1f MiB after loading 10 MiB\n",
               host_kind_name(kinds[i]), (double)kept / 1048576.0,
               (double)full / 1048576.0);
        /* Of a private file the file and the copies. */
        assert_true(kept * (int64_t)SIZE == full * (int64_t)PLUGGED_SIZE);
        assert_int_equal(filled_blocks(&memory), PLUGGED);
        assert_int_equal(zero_blocks(&memory), UNPLUGGED);
        host_close(&host);
        assert_int_equal(filled_blocks(&memory), PLUGGED);
        host_memory_free(&memory);
    }
}

/* Neither before a load nor after one. */
static void a_plug_by_the_guest_never_shows_what_was_there(void **u)
{
    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct host_memory memory;
        struct host host;

        if (!make(&memory, kinds[i])) {
            continue;
        }
        host_open(&host, &memory, 0);
        assert_int_equal(plug(&host, 4), ACK);
        assert_int_equal(zero_blocks(&memory), 1 << 4);
        assert_int_equal(filled_blocks(&memory), 0xffff & ~(1 << 4));
        assert_true(retained(&host) == SIZE - RIG_BLOCK);
        assert_int_equal(load(&host, PLUGGED, NULL), 0);
        assert_int_equal(filled_blocks(&memory), PLUGGED);
        assert_int_equal(plug(&host, 5), ACK);
        assert_int_equal(filled_blocks(&memory), PLUGGED);
        assert_int_equal(zero_blocks(&memory), UNPLUGGED);
        host_close(&host);
        host_memory_free(&memory);
    }
}

static void memory_that_is_populated_keeps_its_contents_too(void **u)
{
    struct host_memory memory;
    struct host host;

    (void)u;
    assert_true(make(&memory, HOST_MEMFD));
    /* A hole in what is plugged: no page is there yet. */
    assert_int_equal(
        madvise(memory.hva + 2 * RIG_BLOCK, RIG_BLOCK, MADV_REMOVE), 0);
    assert_true(occupied(&memory) == (int64_t)(SIZE - RIG_BLOCK));
    host_open(&host, &memory, VMEM_BACKING_POPULATE);
    assert_int_equal(load(&host, PLUGGED, NULL), 0);
    assert_true(occupied(&memory) == (int64_t)PLUGGED_SIZE);
    assert_int_equal(filled_blocks(&memory), PLUGGED & ~UINT64_C(4));
    host_close(&host);
    host_memory_free(&memory);
}

/* Who makes a device, cannot load, and goes away has touched nothing: where the
 * memory is shared with the source of a migration, that goes on. */
static void without_a_load_nothing_is_touched(void **u)
{
    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct vmem_error err = VMEM_ERROR_INIT;
        struct host_memory memory;
        struct host host;
        int64_t full;

        if (!make(&memory, kinds[i])) {
            continue;
        }
        full = occupied(&memory);
        host_open(&host, &memory, 0);
        assert_int_equal(load(&host, UINT64_C(1) << NR_BLOCKS, &err), -ERANGE);
        assert_true(retained(&host) == SIZE);
        host_close(&host);
        assert_true(occupied(&memory) == full);
        assert_int_equal(filled_blocks(&memory), 0xffff);
        host_memory_free(&memory);
    }
}

static int refuse(const struct vmem_range *range, void *opaque)
{
    (void)range;
    return *(bool *)opaque ? -ENOSPC : 0;
}

static void a_load_that_is_refused_keeps_everything(void **u)
{
    const struct vmem_listener_config config = { .struct_size = sizeof(config),
                                                 .name = "vfio",
                                                 .window = { RIG_BLOCK,
                                                             8 * RIG_BLOCK } };
    const struct vmem_listener_ops ops = { .struct_size = sizeof(ops),
                                           .populate = refuse,
                                           .discard = quiet_discard };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct vmem_error err = VMEM_ERROR_INIT;
        struct vmem_listener *listener;
        struct host_memory memory;
        bool refuses = true;
        struct host host;

        if (!make(&memory, kinds[i])) {
            continue;
        }
        host_open(&host, &memory, 0);
        assert_int_equal(vmem_listener_add(host.region, &config, &ops, &refuses,
                                           &listener, NULL),
                         0);
        assert_int_equal(load(&host, PLUGGED, &err), -ENOSPC);
        rig_assert_error(&err, -ENOSPC, VMEM_REASON_LISTENER_VETO, "dev",
                         "vfio");
        assert_true(retained(&host) == SIZE);
        assert_int_equal(filled_blocks(&memory), 0xffff);
        refuses = false;
        assert_int_equal(load(&host, PLUGGED, NULL), 0);
        assert_int_equal(filled_blocks(&memory), PLUGGED);
        /* Another state over it: what stays plugged stays, what comes is new. */
        refuses = true;
        assert_int_equal(load(&host, PLUGGED | 1, NULL), 0);
        assert_int_equal(load(&host, 0xff, NULL), -ENOSPC);
        assert_int_equal(filled_blocks(&memory), PLUGGED);
        refuses = false;
        assert_int_equal(load(&host, 0xff, NULL), 0);
        assert_int_equal(filled_blocks(&memory), PLUGGED & 0xff);
        assert_int_equal(zero_blocks(&memory), UNPLUGGED | 0x8100);
        assert_int_equal(vmem_listener_remove(listener, NULL), 0);
        host_close(&host);
        host_memory_free(&memory);
    }
}

/* Two processes, so to say: each has its own mapping. */
static void a_migration_in_shared_memory_moves_nothing(void **u)
{
    struct host_memory source;
    struct host_memory target;
    struct host from;
    struct host to;
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    uint64_t blocks;

    (void)u;
    assert_true(make(&source, HOST_MEMFD));
    target = source;
    target.hva = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, source.fd,
                      (off_t)source.fd_offset);
    assert_ptr_not_equal(target.hva, MAP_FAILED);
    host_open(&from, &source, 0);
    assert_int_equal(load(&from, PLUGGED, NULL), 0);

    /* The first attempt fails, and the source goes on. */
    assert_int_equal(vmem_region_freeze(from.region, "migration", NULL), 0);
    assert_int_equal(vmem_device_save(from.device, &saved, &blocks, 1), 0);
    host_open(&to, &target, 0);
    host_close(&to);
    assert_int_equal(vmem_region_thaw(from.region, "migration", NULL), 0);
    assert_int_equal(filled_blocks(&source), PLUGGED);
    assert_int_equal(plug(&from, 0), ACK);
    memset(source.hva, 0x55, RIG_BLOCK);

    assert_int_equal(vmem_region_freeze(from.region, "migration", NULL), 0);
    assert_int_equal(vmem_device_save(from.device, &saved, &blocks, 1), 0);
    assert_int_equal(blocks, PLUGGED | 1);
    host_open(&to, &target, 0);
    assert_int_equal(vmem_device_load(to.device, &saved, &blocks, 1, NULL), 0);
    assert_true(occupied(&source) == (int64_t)(PLUGGED_SIZE + RIG_BLOCK));
    assert_int_equal(filled_blocks(&target), PLUGGED);
    assert_int_equal(target.hva[0], 0x55);
    assert_int_equal(vmem_region_thaw(from.region, "migration", NULL), 0);
    host_close(&from);
    assert_int_equal(filled_blocks(&target), PLUGGED);
    host_close(&to);
    munmap(target.hva, SIZE);
    host_memory_free(&source);
}

/* Who does not want it after all. */
static int punch(const struct vmem_range *run, void *opaque)
{
    const struct host_memory *memory = opaque;

    return fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)(memory->fd_offset + run->offset),
                     (off_t)run->size);
}

/* A machine that waits for a migration, and gets contents after its blocks or
 * before them. What is written to unplugged blocks after the blocks are loaded is
 * for the host to find and to discard. */
static void contents_come_before_the_load_or_between_two(void **u)
{
    (void)u;
    for (int early = 0; early < 2; early++) {
        struct host_memory memory;
        struct host host;

        assert_true(make(&memory, HOST_MEMFD));
        host_open(&host, &memory, 0);
        assert_true(retained(&host) == SIZE);
        assert_int_equal(filled_blocks(&memory), 0xffff);
        if (early) {
            assert_int_equal(load(&host, PLUGGED, NULL), 0);
            assert_true(occupied(&memory) == (int64_t)PLUGGED_SIZE);
            assert_int_equal(filled_blocks(&memory), PLUGGED);
        }
        fill(&memory);
        assert_int_equal(load(&host, PLUGGED, NULL), 0);
        assert_int_equal(retained(&host), 0);
        assert_true(occupied(&memory) ==
                    (int64_t)(early ? SIZE : PLUGGED_SIZE));
        /* Looking at a hole fills it. */
        assert_int_equal(filled_blocks(&memory), early ? 0xffff : PLUGGED);

        assert_int_equal(
            vmem_region_for_each_discarded(host.region, NULL, punch, &memory),
            0);
        assert_true(occupied(&memory) == (int64_t)PLUGGED_SIZE);
        assert_int_equal(filled_blocks(&memory), PLUGGED);
        host_close(&host);
        host_memory_free(&memory);
    }
}

static void a_retry_and_a_system_reset_give_everything_back(void **u)
{
    (void)u;
    for (int resets = 0; resets < 2; resets++) {
        struct host_memory memory;
        struct host host;

        assert_true(make(&memory, HOST_MEMFD));
        host_open(&host, &memory, 0);
        if (resets) {
            assert_int_equal(
                vmem_device_reset(host.device, VMEM_RESET_SYSTEM, NULL), 0);
        } else {
            assert_int_equal(vmem_region_retry_discards(host.region, NULL), 0);
        }
        assert_int_equal(retained(&host), 0);
        assert_int_equal(occupied(&memory), 0);
        host_close(&host);
        host_memory_free(&memory);
    }
}

static void a_driver_reset_gives_nothing_back(void **u)
{
    struct host_memory memory;
    struct host host;

    (void)u;
    assert_true(make(&memory, HOST_MEMFD));
    host_open(&host, &memory, 0);
    assert_int_equal(vmem_device_reset(host.device, VMEM_RESET_DRIVER, NULL),
                     0);
    assert_int_equal(vmem_device_reset(host.device, VMEM_RESET_WAKEUP, NULL),
                     0);
    assert_int_equal(filled_blocks(&memory), 0xffff);
    host_close(&host);
    host_memory_free(&memory);
}

/* ---- counted, on memory that fails ---- */

static struct rig *kept_rig(bool has_memory)
{
    return rig_new(&(struct rig_options){
        .has_memory = has_memory,
        .region_size = SIZE,
        .config = { .requested_size = SIZE,
                    .usable_policy = VMEM_USABLE_ALL,
                    .flags = VMEM_DEVICE_KEEP_MEMORY } });
}

static void making_loading_and_freeing_call_memory_for_what_goes(void **u)
{
    const uint64_t all = 0xffff;
    struct vmem_device_saved saved = good;
    struct rig *rig = kept_rig(true);

    (void)u;
    rig_listen(rig, "l");
    assert_int_equal(rig_nr_memory_calls(rig), 0);
    assert_true(rig_info(rig).retained_size == SIZE);
    saved.plugged_size = SIZE;
    assert_int_equal(vmem_device_load(rig->device, &saved, &all, 1, NULL), 0);
    assert_int_equal(rig_nr_memory_calls(rig), 0);
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);

    rig = kept_rig(true);
    saved.plugged_size = 0;
    assert_int_equal(
        vmem_device_load(rig->device, &saved, &(uint64_t){ 0 }, 1, NULL), 0);
    rig_assert_events(rig, "discard memory 0+16; config device; "
                           "resize device");
    rig_free(rig);
}

static void what_is_retained_after_a_load_is_tried_as_ever(void **u)
{
    const uint64_t blocks = PLUGGED;
    struct rig *rig = kept_rig(true);

    (void)u;
    rig->memory.discard.error = -EIO;
    assert_int_equal(vmem_device_load(rig->device, &good, &blocks, 1, NULL), 0);
    assert_true(rig_info(rig).retained_size == SIZE - PLUGGED_SIZE);
    assert_int_equal(rig->memory.discard.nr_calls, 3);
    rig->memory.discard.error = 0;
    rig_free_device(rig);
    assert_true(rig->memory.discard.bytes == SIZE - PLUGGED_SIZE);
    rig_free(rig);
}

static void without_memory_there_is_nothing_to_keep(void **u)
{
    const uint64_t blocks = PLUGGED;
    struct rig *rig = kept_rig(false);

    (void)u;
    assert_int_equal(rig_info(rig).retained_size, 0);
    assert_int_equal(vmem_device_load(rig->device, &good, &blocks, 1, NULL), 0);
    rig_assert_plugged(rig, "1+3 8+1 15+1");
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_loaded_is_kept_and_the_rest_given_back),
        cmocka_unit_test(a_plug_by_the_guest_never_shows_what_was_there),
        cmocka_unit_test(memory_that_is_populated_keeps_its_contents_too),
        cmocka_unit_test(without_a_load_nothing_is_touched),
        cmocka_unit_test(a_load_that_is_refused_keeps_everything),
        cmocka_unit_test(a_migration_in_shared_memory_moves_nothing),
        cmocka_unit_test(contents_come_before_the_load_or_between_two),
        cmocka_unit_test(a_retry_and_a_system_reset_give_everything_back),
        cmocka_unit_test(a_driver_reset_gives_nothing_back),
        cmocka_unit_test(making_loading_and_freeing_call_memory_for_what_goes),
        cmocka_unit_test(what_is_retained_after_a_load_is_tried_as_ever),
        cmocka_unit_test(without_memory_there_is_nothing_to_keep),
    };

    return cmocka_run_group_tests_name("device_keep", tests, NULL, NULL);
}
