/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/linux.h"
#include "sim/windows.h"

#define DEFAULT_MEMORY_BLOCK ((uint64_t)128 << 20)
#define LARGEST_MEMORY_BLOCK ((uint64_t)2 << 30)
#define DEFAULT_PAGEBLOCK ((uint64_t)2 << 20)
#define DEFAULT_MAX_REFUSALS 1000

/* Copies what the caller knows of a struct that may have grown. */
static int read_sized(void *dst, size_t dst_size, const void *src)
{
    size_t size;

    if (src == NULL) {
        return -EINVAL;
    }
    memcpy(&size, src, sizeof(size));
    if (size < dst_size) {
        return -EINVAL;
    }
    for (size_t i = dst_size; i < size; i++) {
        if (((const uint8_t *)src)[i] != 0) {
            return -E2BIG;
        }
    }
    memcpy(dst, src, dst_size);
    return 0;
}

static bool is_size(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static void fill_in_defaults(struct vmem_guest_config *config)
{
    if (config->memory_block_size == 0) {
        config->memory_block_size = DEFAULT_MEMORY_BLOCK;
    }
    if (config->pageblock_size == 0) {
        config->pageblock_size = DEFAULT_PAGEBLOCK;
    }
    if (config->max_refusals == 0) {
        config->max_refusals = DEFAULT_MAX_REFUSALS;
    }
    if (config->online == VMEM_GUEST_ONLINE_DEFAULT) {
        config->online = config->pattern == VMEM_GUEST_PATTERN_MOVABLE
                             ? VMEM_GUEST_ONLINE_MOVABLE
                             : VMEM_GUEST_ONLINE_KERNEL;
    }
}

static bool is_valid(const struct vmem_guest_config *config)
{
    return config->kind <= VMEM_GUEST_WINDOWS &&
           config->pattern <= VMEM_GUEST_PATTERN_RANDOM &&
           config->online <= VMEM_GUEST_ONLINE_OFFLINE &&
           config->transient_permille <= 1000 &&
           (config->flags & ~VMEM_GUEST_KEEP_ONLINE) == 0 &&
           is_size(config->memory_block_size) &&
           config->memory_block_size <= LARGEST_MEMORY_BLOCK &&
           is_size(config->pageblock_size) &&
           (config->big_block_size == 0 || is_size(config->big_block_size));
}

int vmem_guest_new(const struct vmem_guest_config *config,
                   const struct vmem_guest_ops *ops, void *opaque,
                   struct vmem_guest **out)
{
    struct vmem_guest *guest;
    int ret;

    if (out == NULL) {
        return -EINVAL;
    }
    guest = calloc(1, sizeof(*guest));
    if (guest == NULL) {
        return -ENOMEM;
    }
    ret = read_sized(&guest->config, sizeof(guest->config), config);
    if (ret == 0) {
        ret = read_sized(&guest->ops, sizeof(guest->ops), ops);
    }
    if (ret == 0) {
        fill_in_defaults(&guest->config);
        if (!is_valid(&guest->config) || guest->ops.request == NULL ||
            guest->ops.read_config == NULL) {
            ret = -EINVAL;
        }
    }
    if (ret < 0) {
        free(guest);
        return ret;
    }
    guest->opaque = opaque;
    *out = guest;
    return 0;
}

static void free_driver(struct vmem_guest *guest)
{
    guesti_linux_free(guest->tux);
    guesti_windows_free(guest->windows);
    guest->tux = NULL;
    guest->windows = NULL;
    guest->loaded = false;
    guest->hung = false;
}

void vmem_guest_free(struct vmem_guest *guest)
{
    if (guest == NULL) {
        return;
    }
    free_driver(guest);
    guesti_ledger_close(guest);
    guesti_load_close(&guest->load);
    free(guest);
}

static bool is_windows(const struct vmem_guest *guest)
{
    return guest->config.kind == VMEM_GUEST_WINDOWS;
}

/* A driver finds the device. */
static int probe(struct vmem_guest *guest,
                 const struct guesti_device_config *config)
{
    int ret;

    free_driver(guest);
    ret = is_windows(guest) ? guesti_windows_new(guest, config, &guest->windows)
                            : guesti_linux_new(guest, config, &guest->tux);
    guest->loaded = ret == 0;
    return ret < 0 ? ret : vmem_guest_run(guest);
}

/* A kernel starts: what ran in the old one is gone. */
static int start_kernel(struct vmem_guest *guest,
                        const struct guesti_device_config *config)
{
    uint64_t seed = guest->config.seed + 0x10000 * guest->nr_boots++;
    int ret = guesti_load_open(&guest->load, config->gpa, config->region_size,
                               guest->config.pageblock_size,
                               guest->config.memory_block_size,
                               guest->config.pattern, seed);

    guest->load.transient_permille = guest->config.transient_permille;
    guest->release_at_ns = guest->now_ns + GUESTI_RELEASE_NS;
    return ret < 0 ? ret : probe(guest, config);
}

int vmem_guest_boot(struct vmem_guest *guest)
{
    struct guesti_device_config config;
    int ret;

    free_driver(guest);
    guesti_reset(guest);
    guesti_peek_config(guest, &config);
    ret = guesti_ledger_open(guest, &config);
    return ret < 0 ? ret : start_kernel(guest, &config);
}

/* A driver finds a device that another one has used: nothing may have changed
 * since, but for the sizes that the host asks for. */
static int find_again(struct vmem_guest *guest,
                      struct guesti_device_config *config)
{
    if (guest->ledger.has == NULL) {
        return -EINVAL;
    }
    guesti_reset(guest);
    guesti_read_config(guest, config);
    return is_size(config->block_size) ? 0 : -EINVAL;
}

int vmem_guest_kexec(struct vmem_guest *guest)
{
    struct guesti_device_config config;
    int ret;

    if (is_windows(guest) || guest->ledger.has == NULL) {
        return vmem_guest_boot(guest);
    }
    free_driver(guest);
    ret = find_again(guest, &config);
    return ret < 0 ? ret : start_kernel(guest, &config);
}

void vmem_guest_unload(struct vmem_guest *guest)
{
    if (guest->loaded) {
        guest->loaded = false;
        guesti_reset(guest);
    }
}

int vmem_guest_load(struct vmem_guest *guest)
{
    struct guesti_device_config config;
    int ret;

    if (guest->loaded) {
        return vmem_guest_run(guest);
    }
    if (guest->ledger.has == NULL) {
        return vmem_guest_boot(guest);
    }
    ret = find_again(guest, &config);
    if (ret < 0) {
        return ret;
    }
    if (guest->tux != NULL && guesti_linux_uses_memory(guest->tux)) {
        return -EBUSY;
    }
    return probe(guest, &config);
}

int vmem_guest_resume(struct vmem_guest *guest)
{
    if (!guest->loaded) {
        return VMEM_GUEST_ABSENT;
    }
    guesti_reset(guest);
    if (guest->windows != NULL) {
        guesti_windows_resume(guest->windows);
    }
    vmem_guest_interrupt(guest);
    return vmem_guest_run(guest);
}

/* Some way into the region, in whole device blocks. */
static void ask_blocks(struct vmem_guest *guest,
                       const struct guesti_device_config *config, uint64_t gpa,
                       uint64_t size)
{
    const uint64_t from = gpa < config->gpa ? 0 : gpa - config->gpa;
    const uint64_t below = gpa < config->gpa ? config->gpa - gpa : 0;
    uint64_t block = from / config->block_size;
    uint64_t end;

    if (size <= below) {
        return;
    }
    end = (from + (size - below - 1)) / config->block_size + 1;
    for (; block < end && !guest->hung; block++) {
        (void)guesti_send(guest, VMEM_GUEST_STATE,
                          config->gpa + block * config->block_size, 1, NULL);
    }
}

static void ask_chunks(struct vmem_guest *guest,
                       const struct guesti_device_config *config,
                       uint64_t chunk_size)
{
    uint64_t offset = 0;

    while (offset < config->usable_region_size && !guest->hung) {
        const uint64_t gpa = config->gpa + offset;
        uint64_t size = chunk_size - gpa % chunk_size;

        if (size > config->usable_region_size - offset) {
            size = config->usable_region_size - offset;
        }
        (void)guesti_send(guest, VMEM_GUEST_STATE, gpa,
                          size / config->block_size, NULL);
        offset += size;
    }
}

int vmem_guest_kdump(struct vmem_guest *guest, uint64_t gpa, uint64_t size,
                     uint64_t chunk_size)
{
    struct guesti_device_config config;
    int ret;

    if (is_windows(guest)) {
        return -ENOTSUP;
    }
    free_driver(guest);
    ret = find_again(guest, &config);
    if (ret < 0 || config.plugged_size == 0) {
        return ret;
    }
    if (chunk_size > 0) {
        ask_chunks(guest, &config,
                   chunk_size > config.block_size ? chunk_size
                                                  : config.block_size);
    }
    ask_blocks(guest, &config, gpa, size);
    return 0;
}

uint64_t vmem_guest_get_now_ns(const struct vmem_guest *guest)
{
    return guest->now_ns;
}
