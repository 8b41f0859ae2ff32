/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs a mapper of the library and prints what can be seen of it from outside:
 * calls and their ends, and each call of its backend with what came of it.
 * accept.py asks the model whether it could have done the same.
 *
 *   record-mapper random SEED NR_CALLS     random calls and failures
 *   record-mapper threads SEED NR_CALLS    the same from three threads at a time
 *
 * Each line is: event who chunks done failed. Sets of chunks are numbers with a
 * bit for each. done is, of an unmap, what is unmapped because of it; of a commit
 * that failed, what devices reach of all that its batch touched. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/recording.h"
#include "support/quiet.h"

#define NR_MAPPINGS 4 /* the limit */
#define IOVA ((uint64_t)1 << 40)

/* An IOMMU that changes with the end of a batch; sets of chunks. */
struct iommu {
    unsigned int view;    /* mapped, if the batch is committed */
    unsigned int touched; /* in this batch */
};

/* One program, one recording. */
static struct vmem_dma *dma;
static struct vmem_dma_attachment *attachment; /* NULL: not attached */
static struct vmem_listener *objector;         /* comes after the attachment */
static struct iommu iommu;
static bool is_exact;
static bool may_fail;
/* This thread plugs, and is not told something else. */
static _Thread_local bool is_plugging;

static bool one_in(unsigned int n)
{
    return may_fail && chance(n) == 0;
}

static unsigned int any_part(unsigned int chunks)
{
    return chunks & chance(1U << NR_BLOCKS);
}

static unsigned int set_of(uint64_t from, uint64_t size)
{
    return ((1U << size) - 1) << from;
}

/* What are no whole chunks becomes 255, which no model accepts. */
static unsigned int chunks_of(uint64_t iova, uint64_t size)
{
    const uint64_t offset = iova - IOVA;

    return (offset | size) % BLOCK_SIZE == 0 &&
                   offset + size <= NR_BLOCKS * BLOCK_SIZE
               ? set_of(offset / BLOCK_SIZE, size / BLOCK_SIZE)
               : 255;
}

/* Callbacks of the mapper. */

static int on_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    const unsigned int chunks = chunks_of(mapping->iova, mapping->size);
    const bool fails = (iommu.view & chunks) != 0 || one_in(6);

    (void)opaque;
    if (!fails) {
        iommu.view |= chunks;
        iommu.touched |= chunks;
    }
    event("map", 0, chunks, 0, fails);
    return fails ? -EIO : 0;
}

/* Fails with any part of it done; or does part of a run and says so. */
static int on_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                    void *opaque)
{
    const unsigned int chunks = chunks_of(iova, size);
    const bool fails = one_in(4);
    unsigned int done = iommu.view & chunks;

    (void)opaque;
    if (fails || (size > BLOCK_SIZE && one_in(4))) {
        done = any_part(done);
    }
    iommu.view &= ~done;
    iommu.touched |= done;
    *unmapped = (uint64_t)__builtin_popcount(done) * BLOCK_SIZE;
    event("unmap", 0, chunks, done, fails);
    return fails ? -EIO : 0;
}

static int on_commit(void *opaque)
{
    const bool fails = one_in(6);
    const unsigned int done = fails ? any_part(iommu.touched) : 0;

    (void)opaque;
    if (fails) {
        iommu.view = (iommu.view & ~iommu.touched) | done;
    }
    iommu.touched = 0;
    event("commit", 0, 0, done, fails);
    return fails ? -EIO : 0;
}

/* Callbacks of the listener that comes later. */

static int on_populate(const struct vmem_range *range, void *opaque)
{
    const bool objects = is_plugging && one_in(6);

    (void)opaque;
    if (objects) {
        event("veto", GUEST,
              set_of(range->offset / BLOCK_SIZE, range->size / BLOCK_SIZE), 0,
              1);
    }
    return objects ? -EACCES : 0;
}

/* Calls. */

/* Alone, what a call has changed is looked at after it. */
static void end(unsigned int who, bool failed)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_region_info now = { .struct_size = sizeof(now) };

    event("end", who, 0, 0, failed);
    if (!recording.is_threaded) {
        vmem_dma_get_stats(dma, &stats);
        vmem_region_get_info(recording.region, &now);
        event("books", HOST, stats.nr_mappings, stats.nr_stuck,
              (unsigned int)(now.populated_size / BLOCK_SIZE));
    }
}

static void request(const char *name, unsigned int type, unsigned int from,
                    unsigned int size)
{
    struct vmem_request_result result = { .struct_size = sizeof(result) };

    event(name, GUEST, set_of(from, size), 0, 0);
    is_plugging = type == VMEM_REQUEST_PLUG;
    send_request(type, from, size, &result);
    is_plugging = false;
    end(GUEST, result.response != 0);
}

static void any_guest_call(void)
{
    const unsigned int which = chance(16);
    const unsigned int from = chance(NR_BLOCKS);
    const unsigned int size = 1 + chance(NR_BLOCKS - from);

    if (which < 8) {
        request("plug", VMEM_REQUEST_PLUG, from, size);
    } else if (which < 14) {
        request("unplug", VMEM_REQUEST_UNPLUG, from, size);
    } else {
        request("unplug-all", VMEM_REQUEST_UNPLUG_ALL, 0, 0);
    }
}

static void add_objector(void)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "objector",
    };
    const struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = on_populate,
        .discard = quiet_discard,
    };
    struct vmem_error err;

    if (vmem_listener_add(recording.region, &config, &ops, NULL, &objector,
                          &err) < 0) {
        die("no second listener", &err);
    }
}

static void attach(void)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "memory",
        .region = recording.region,
        .iova = IOVA,
        .hva = (void *)(uintptr_t)IOVA, /* nobody looks at it */
    };
    int ret;

    vmem_listener_remove(objector, NULL);
    event("attach", HOST, 0, 0, 0);
    ret = vmem_dma_attach(dma, &config, NULL, &attachment, NULL);
    end(HOST, ret < 0);
    add_objector();
}

static void detach(void)
{
    int ret;

    event("detach", HOST, 0, 0, 0);
    ret = vmem_dma_detach(attachment, NULL);
    if (ret == 0) {
        attachment = NULL;
    }
    end(HOST, ret < 0);
}

static void retry(unsigned int who)
{
    event("retry", who, 0, 0, 0);
    end(who, vmem_dma_retry_unmaps(dma, NULL) < 0);
}

static void any_keeper_call(void)
{
    retry(KEEPER);
}

static void any_host_call(void)
{
    if (chance(3) == 0) {
        retry(HOST);
    } else if (attachment == NULL) {
        attach();
    } else {
        detach();
    }
}

static void run_random(unsigned int nr_calls)
{
    for (unsigned int i = 0; i < nr_calls; i++) {
        if (chance(8) < 5) {
            any_guest_call();
        } else {
            any_host_call();
        }
    }
}

/* The objects, before recording starts and after it has ended. */

static void make_device_and_mapper(void)
{
    const struct vmem_backing_ops memory_ops = {
        .struct_size = sizeof(memory_ops),
        .discard = quiet_accept,
    };
    const struct vmem_dma_config dma_config = {
        .struct_size = sizeof(dma_config),
        .name = "mapper",
        .max_mappings = NR_MAPPINGS,
    };
    const struct vmem_dma_properties properties = {
        .struct_size = sizeof(properties),
        .flags = is_exact ? VMEM_DMA_EXACT_UNMAP : 0,
    };
    const struct vmem_dma_ops ops = {
        .struct_size = sizeof(ops),
        .map = on_map,
        .unmap = on_unmap,
        .commit = on_commit,
    };
    struct vmem_error err;

    make_objects(&memory_ops, 0);
    if (vmem_dma_new_custom(recording.vm, &dma_config, &properties, &ops, NULL,
                            &dma, &err) < 0) {
        die("no mapper", &err);
    }
}

static void free_all(void)
{
    struct vmem_error err = { 0 };

    vmem_listener_remove(objector, NULL);
    if (vmem_dma_detach(attachment, &err) < 0 || vmem_dma_free(dma, &err) < 0) {
        die("something is left of the mapper", &err);
    }
    free_objects();
    if (iommu.view != 0) {
        die("something is mapped", NULL);
    }
}

int main(int argc, char **argv)
{
    void (*const calls[])(void) = { any_guest_call, any_host_call,
                                    any_keeper_call };

    if (argc != 4 ||
        (strcmp(argv[1], "random") != 0 && strcmp(argv[1], "threads") != 0)) {
        fprintf(stderr, "usage: record-mapper random SEED NR_CALLS | "
                        "threads SEED NR_CALLS\n");
        return 2;
    }
    const uint64_t seed = strtoull(argv[2], NULL, 10);
    const unsigned int nr_calls = (unsigned int)strtoul(argv[3], NULL, 10);

    recording.is_threaded = strcmp(argv[1], "threads") == 0;
    seed_chance(seed);
    is_exact = seed % 2 == 0;
    make_device_and_mapper();
    printf("chunks %d\nlimit %d\nexact %d\n", NR_BLOCKS, NR_MAPPINGS, is_exact);
    recording.is_on = true;
    may_fail = true;
    if (recording.is_threaded) {
        run_threads(calls, sizeof(calls) / sizeof(calls[0]), nr_calls);
    } else {
        run_random(nr_calls);
    }
    recording.is_on = false;
    may_fail = false;
    free_all();
    return 0;
}
