/* SPDX-License-Identifier: BSD-3-Clause */
#include "shadow.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <glib.h>

static void G_GNUC_PRINTF(2, 3)
    complain(struct shadow *shadow, const char *format, ...)
{
    va_list args;

    shadow->nr_complaints++;
    if (shadow->complaint == NULL) {
        va_start(args, format);
        shadow->complaint = g_strdup_vprintf(format, args);
        va_end(args);
    }
}

/* Remembers a call, and checks that its bounds are as agreed. */
static void note(struct shadow *shadow, const struct vmem_range *range,
                 uint8_t value)
{
    const char *verb = value ? "populate" : "discard";
    uint64_t first = range->offset / shadow->block_size;
    uint64_t nr_blocks = range->size / shadow->block_size;

    shadow->nr_calls++;
    if (range->offset % shadow->block_size != 0 || nr_blocks == 0 ||
        range->size % shadow->block_size != 0 || first > shadow->nr_blocks ||
        nr_blocks > shadow->nr_blocks - first) {
        complain(shadow,
                 "%s of offset 0x%" PRIx64 " size 0x%" PRIx64
                 ": not blocks of the region",
                 verb, range->offset, range->size);
        return;
    }
    if (shadow->chunks && nr_blocks != 1) {
        complain(shadow, "%s of %" PRIu64 " blocks in one call, agreed was one",
                 verb, nr_blocks);
    }
    for (uint64_t i = first; i < first + nr_blocks; i++) {
        if (shadow->has[i] == value) {
            complain(shadow, "%s of block %" PRIu64 ", which is %s already",
                     verb, i, value ? "populated" : "discarded");
            continue;
        }
        shadow->has[i] = value;
        shadow->populated_size +=
            value ? shadow->block_size : -shadow->block_size;
    }
}

static int on_populate(const struct vmem_range *range, void *opaque)
{
    note(opaque, range, 1);
    return 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    note(opaque, range, 0);
}

int shadow_add(struct shadow *shadow, struct vmem_region *region,
               const char *name, uint64_t block_size, bool chunks,
               struct vmem_error *err)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .granularity = chunks ? block_size : 0,
        .flags = chunks ? VMEM_LISTENER_EXACT_DISCARD : 0,
    };
    const struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = on_populate,
        .discard = on_discard,
    };

    memset(shadow, 0, sizeof(*shadow));
    shadow->block_size = block_size;
    shadow->nr_blocks = vmem_region_get_size(region) / block_size;
    shadow->chunks = chunks;
    shadow->has = g_try_malloc0_n(shadow->nr_blocks + 1, 1);
    if (shadow->has == NULL) {
        return -ENOMEM;
    }

    int ret = vmem_listener_add(region, &config, &ops, shadow,
                                &shadow->listener, err);

    if (ret < 0) {
        shadow_clear(shadow);
    }
    return ret;
}

int shadow_remove(struct shadow *shadow, struct vmem_error *err)
{
    int ret = vmem_listener_remove(shadow->listener, err);

    if (ret < 0) {
        return ret;
    }
    shadow->listener = NULL;
    if (shadow->populated_size != 0) {
        complain(shadow,
                 "left with %" PRIu64 " bytes it was never told to drop",
                 shadow->populated_size);
    }
    return 0;
}

void shadow_clear(struct shadow *shadow)
{
    g_free(shadow->has);
    g_free(shadow->complaint);
    memset(shadow, 0, sizeof(*shadow));
}

uint64_t shadow_find(const struct shadow *shadow, uint64_t start, uint8_t value)
{
    const uint8_t *found;

    if (start >= shadow->nr_blocks) {
        return shadow->nr_blocks;
    }
    found = memchr(shadow->has + start, value, shadow->nr_blocks - start);
    return found != NULL ? (uint64_t)(found - shadow->has) : shadow->nr_blocks;
}
