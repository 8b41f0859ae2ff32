/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include <vmem/vmem.h>

#include "guest_sim.h"
#include "support/quiet.h"

/* Simulated guests of every kind on a device under random schedules: resizes,
 * also between a request and its answer, busy periods, vetoes, memory that
 * cannot be discarded or zeroed, memory that Linux cannot add or remove,
 * reboots, kexecs, driver reloads, pinned pages.
 *
 *     prop_guest [NR_SEEDS [FIRST_SEED]]
 *
 * A failure prints the seed; "prop_guest 1 SEED" repeats it. At every moment:
 *
 *   - no driver is broken, and none finds fault with the device;
 *   - none is NACKed twice without a notification in between, and Linux never
 *     spins; Windows does, by its nature, while it is answered BUSY;
 *   - listeners have what is plugged.
 *
 * When the trouble is over and the device has notified, without any time
 * passing, the guest is at the requested size, up to its granularity and to what
 * its memory blocks can cover. */

enum {
    DEFAULT_NR_SEEDS = 10000,
    NR_LISTENERS = 2,
    MAX_OPS = 40,
    MAX_ATTEMPTS = 2000
};

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define SECOND_NS ((uint64_t)1000000000)

struct world;

struct listener {
    struct world *world;
    struct vmem_listener *handle;
    uint64_t populated_size;
};

/* What goes wrong at the moment: the chance of each, in thousandths. */
struct trouble {
    uint64_t veto;
    uint64_t discard;
    uint64_t zero;
    uint64_t add;
    uint64_t remove;
    uint64_t resize; /* the host resizes while a request is under way */
};

/* What was met, to see that the schedules are not tame. */
struct totals {
    uint64_t nr_requests[4][4];
    uint64_t nr_retries;
    uint64_t nr_restarts;
    uint64_t nr_vetoes;
    uint64_t nr_failed_discards;
    uint64_t nr_failed_adds;
    uint64_t nr_failed_removes;
    uint64_t nr_reload_refused;
    uint64_t nr_retained;
    uint64_t nr_kinds[3];
};

struct world {
    uint64_t seed;
    uint64_t random;
    uint64_t gpa;
    uint64_t region_size;
    uint64_t block_size;
    struct vmem_guest_config shape;
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
    struct listener listeners[NR_LISTENERS];
    struct vmem_guest *guest;
    struct trouble trouble;
    struct totals *totals;
    bool frozen;
    int status;        /* of the guest */
    unsigned nr_nacks; /* since the last notification */
    const char *op;
    char failure[256];
};

static uint64_t next_random(struct world *w)
{
    uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t below(struct world *w, uint64_t limit)
{
    return next_random(w) % limit;
}

static bool chance(struct world *w, uint64_t permille)
{
    return permille > 0 && below(w, 1000) < permille;
}

G_GNUC_PRINTF(2, 3)
static void fail(struct world *w, const char *format, ...)
{
    va_list args;

    if (w->failure[0] == '\0') {
        va_start(args, format);
        (void)g_vsnprintf(w->failure, sizeof(w->failure), format, args);
        va_end(args);
    }
}

/* Called by the library. */

static uint64_t clock_ns(void *opaque)
{
    const struct world *w = opaque;

    return w->guest != NULL ? vmem_guest_get_now_ns(w->guest) : 0;
}

static int mem_discard(const struct vmem_range *range, void *opaque)
{
    struct world *w = opaque;
    const bool fails = chance(w, w->trouble.discard);

    (void)range;
    w->totals->nr_failed_discards += fails;
    return fails ? -EIO : 0;
}

static int mem_zero(const struct vmem_range *range, void *opaque)
{
    struct world *w = opaque;

    (void)range;
    return chance(w, w->trouble.zero) ? -EIO : 0;
}

static int on_populate(const struct vmem_range *range, void *opaque)
{
    struct listener *listener = opaque;
    struct world *w = listener->world;

    if (chance(w, w->trouble.veto)) {
        w->totals->nr_vetoes++;
        return -ENOSPC;
    }
    listener->populated_size += range->size;
    return 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    struct listener *listener = opaque;

    listener->populated_size -= range->size;
}

static void on_config_changed(void *opaque)
{
    struct world *w = opaque;

    w->nr_nacks = 0;
    if (w->guest != NULL) {
        vmem_guest_interrupt(w->guest);
    }
}

/* Called by the guest. */

static void resize(struct world *w)
{
    const uint64_t nr_blocks = w->region_size / w->block_size;
    const uint64_t kind = below(w, 8);
    const uint64_t size = kind == 0   ? 0
                          : kind == 1 ? nr_blocks
                                      : below(w, nr_blocks + 1);

    if (vmem_device_resize(w->device, size * w->block_size, NULL) < 0) {
        fail(w, "a resize was refused");
    }
}

static int on_request(const uint8_t *request, uint8_t *response, void *opaque)
{
    struct world *w = opaque;
    struct vmem_request_result result = { .struct_size = sizeof(result) };

    if (chance(w, w->trouble.resize)) {
        resize(w);
    }
    if (vmem_device_handle_request(w->device, request, VMEM_GUEST_REQUEST_SIZE,
                                   response, VMEM_GUEST_RESPONSE_SIZE,
                                   &result) != VMEM_REQUEST_RESPOND) {
        return -1;
    }
    if (result.response == VMEM_RESPONSE_NACK && ++w->nr_nacks > 1) {
        fail(w, "NACKed again without a notification");
    }
    if (chance(w, w->trouble.resize)) {
        resize(w);
    }
    return 0;
}

static void on_read_config(uint8_t *config, void *opaque)
{
    struct world *w = opaque;

    (void)vmem_device_read_config(w->device, 0, config, VMEM_GUEST_CONFIG_SIZE);
}

static void on_reset(void *opaque)
{
    struct world *w = opaque;

    if (vmem_device_reset(w->device, VMEM_RESET_DRIVER, NULL) < 0) {
        fail(w, "a driver reset failed");
    }
}

static int on_add_memory(uint64_t gpa, uint64_t size, void *opaque)
{
    struct world *w = opaque;
    const bool fails = chance(w, w->trouble.add);

    (void)gpa;
    (void)size;
    w->totals->nr_failed_adds += fails;
    return fails ? -ENOMEM : 0;
}

static int on_remove_memory(uint64_t gpa, uint64_t size, void *opaque)
{
    struct world *w = opaque;
    const bool fails = chance(w, w->trouble.remove);

    (void)gpa;
    (void)size;
    w->totals->nr_failed_removes += fails;
    return fails ? -EBUSY : 0;
}

static void on_finding(const struct vmem_guest_finding *finding, void *opaque)
{
    fail(opaque, "finding %s: %s", vmem_guest_rule_name(finding->rule),
         finding->message);
}

/* The world. */

static bool is_windows(const struct world *w)
{
    return w->shape.kind == VMEM_GUEST_WINDOWS;
}

/* Geometries that hosts and guests have, and a few that they could have. */
static void draw_shape(struct world *w)
{
    static const uint64_t blocks[] = { MIB / 16,  MIB,       2 * MIB,
                                       2 * MIB,   2 * MIB,   4 * MIB,
                                       128 * MIB, 256 * MIB, 512 * MIB };
    static const uint64_t units[] = { 128 * MIB, 128 * MIB, 256 * MIB,
                                      512 * MIB, 2 * GIB };
    static const uint64_t pageblocks[] = { 0,       0,        MIB,
                                           4 * MIB, 32 * MIB, 512 * MIB };
    struct vmem_guest_config *shape = &w->shape;
    uint64_t most;

    shape->struct_size = sizeof(*shape);
    shape->kind = below(w, 3);
    shape->memory_block_size = units[below(w, G_N_ELEMENTS(units))];
    shape->pageblock_size = pageblocks[below(w, G_N_ELEMENTS(pageblocks))];
    shape->online = below(w, 4);
    shape->pattern = below(w, 7);
    shape->transient_permille = chance(w, 300) ? below(w, 50) : 0;
    shape->seed = next_random(w);
    shape->max_refusals = 50;
    shape->flags = chance(w, 100) ? VMEM_GUEST_KEEP_ONLINE : 0;
    w->block_size = blocks[below(w, G_N_ELEMENTS(blocks))];
    if (is_windows(w)) {
        /* Its counts must fit 16 bits. */
        w->block_size = MAX(w->block_size, MIB);
    }
    most = w->block_size < MIB ? 2 * GIB : 12 * GIB;
    w->region_size = (1 + below(w, most / w->block_size)) * w->block_size;
    w->gpa = 4 * GIB + below(w, 3) * w->block_size;
    w->totals->nr_kinds[shape->kind]++;
}

static void make_device(struct world *w)
{
    const struct vmem_vm_config machine = { sizeof(machine), "prop", quiet_log,
                                            clock_ns, w };
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "nothing",
        .size = w->region_size,
        .page_size = 4096,
    };
    const struct vmem_backing_ops memory = {
        .struct_size = sizeof(memory),
        .discard = mem_discard,
        .zero = chance(w, 700) ? mem_zero : NULL,
    };
    struct vmem_region_config region = { .struct_size = sizeof(region),
                                         .name = "ram" };
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "vmem0",
        .gpa = w->gpa,
        .block_size = w->block_size,
        .usable_policy = is_windows(w) || chance(w, 300) ? VMEM_USABLE_ALL
                                                         : VMEM_USABLE_DEFAULT,
    };
    const struct vmem_device_ops ops = {
        .struct_size = sizeof(ops),
        .config_changed = on_config_changed,
    };
    struct vmem_error err = VMEM_ERROR_INIT;

    if (vmem_vm_new(&machine, &w->vm, &err) < 0 ||
        vmem_backing_new_custom(w->vm, &custom, &memory, w, &w->backing, &err) <
            0) {
        g_error("%s", err.message);
    }
    region.backing = w->backing;
    if (vmem_region_new(w->vm, &region, &w->region, &err) < 0 ||
        vmem_device_new(w->region, &config, &ops, w, &w->device, &err) < 0) {
        g_error("%s", err.message);
    }
}

static void make_listeners(struct world *w)
{
    const struct vmem_listener_ops ops = {
        .struct_size = sizeof(ops),
        .populate = on_populate,
        .discard = on_discard,
    };

    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        const struct vmem_listener_config config = {
            .struct_size = sizeof(config),
            .name = i == 0 ? "runs" : "chunks",
            .granularity = i == 0 ? 0 : w->block_size,
        };

        w->listeners[i].world = w;
        if (vmem_listener_add(w->region, &config, &ops, &w->listeners[i],
                              &w->listeners[i].handle, NULL) < 0) {
            g_error("no listener");
        }
    }
}

static void open_world(struct world *w, uint64_t seed, struct totals *totals)
{
    const struct vmem_guest_ops ops = {
        .struct_size = sizeof(ops),
        .request = on_request,
        .read_config = on_read_config,
        .reset = on_reset,
        .add_memory = on_add_memory,
        .remove_memory = on_remove_memory,
        .finding = on_finding,
    };

    *w = (struct world){ .seed = seed, .random = seed, .totals = totals };
    draw_shape(w);
    make_device(w);
    make_listeners(w);
    if (vmem_guest_new(&w->shape, &ops, w, &w->guest) < 0) {
        g_error("no guest");
    }
}

static void add_up(struct world *w)
{
    struct vmem_guest_stats stats = { .struct_size = sizeof(stats) };

    (void)vmem_guest_get_stats(w->guest, &stats);
    for (unsigned type = 0; type < 4; type++) {
        for (unsigned answer = 0; answer < 4; answer++) {
            w->totals->nr_requests[type][answer] +=
                stats.nr_requests[type][answer];
        }
    }
    w->totals->nr_retries += stats.nr_retries;
    w->totals->nr_restarts += stats.nr_restarts;
}

static void close_world(struct world *w)
{
    struct vmem_guest *guest = w->guest;
    int ret = 0;

    add_up(w);
    w->guest = NULL;
    vmem_guest_free(guest);
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        ret |= vmem_listener_remove(w->listeners[i].handle, NULL);
    }
    ret |= vmem_device_free(w->device, NULL);
    ret |= vmem_region_free(w->region, NULL);
    ret |= vmem_backing_free(w->backing, NULL);
    ret |= vmem_vm_free(w->vm, NULL);
    if (ret != 0) {
        fail(w, "the device could not be taken apart");
    }
}

/* What holds at every moment. */
static void check(struct world *w)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    const bool may_be_busy = w->frozen || w->trouble.veto > 0 ||
                             w->trouble.discard > 0 || w->trouble.zero > 0;

    (void)vmem_device_get_info(w->device, &info);
    w->totals->nr_retained += info.retained_size > 0;
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        if (w->listeners[i].populated_size != info.plugged_size) {
            fail(w, "listener %u was told of %" PRIu64 ", plugged are %" PRIu64,
                 i, w->listeners[i].populated_size, info.plugged_size);
        }
    }
    if (w->status < 0 && w->status != -EBUSY) {
        fail(w, "the driver was not loaded: %d", w->status);
    }
    if (w->status == VMEM_GUEST_BROKEN) {
        fail(w, "the driver is broken");
    }
    if (w->status == VMEM_GUEST_SPINNING && !(is_windows(w) && may_be_busy)) {
        fail(w, "the driver spins");
    }
}

/* One step of a schedule each. */

static void op_resize(struct world *w)
{
    resize(w);
}

static void op_run(struct world *w)
{
    w->status = vmem_guest_run(w->guest);
}

static void op_wait(struct world *w)
{
    w->status = vmem_guest_advance(w->guest, below(w, 700) * SECOND_NS);
}

static void op_busy(struct world *w)
{
    int ret = w->frozen ? vmem_region_thaw(w->region, "host", NULL)
                        : vmem_region_freeze(w->region, "host", NULL);

    w->frozen = !w->frozen;
    if (ret < 0) {
        fail(w, "cannot freeze or thaw");
    }
    w->status = vmem_guest_run(w->guest);
}

static void op_trouble(struct world *w)
{
    w->trouble = (struct trouble){
        .veto = chance(w, 300) ? below(w, 1001) : 0,
        .discard = chance(w, 300) ? below(w, 1001) : 0,
        .zero = chance(w, 300) ? below(w, 1001) : 0,
        .resize = chance(w, 300) ? below(w, 200) : 0,
    };
    if (!is_windows(w)) {
        w->trouble.add = chance(w, 400) ? below(w, 1001) : 0;
        w->trouble.remove = chance(w, 400) ? below(w, 1001) : 0;
    }
    w->status = vmem_guest_run(w->guest);
}

static void op_reboot(struct world *w)
{
    const int ret = vmem_device_reset(w->device, VMEM_RESET_SYSTEM, NULL);

    if (ret != (w->frozen ? -EBUSY : 0)) {
        fail(w, "a system reset returned %d", ret);
    }
    w->status = vmem_guest_boot(w->guest);
}

static void op_kexec(struct world *w)
{
    w->status = vmem_guest_kexec(w->guest);
}

static void op_reload(struct world *w)
{
    vmem_guest_unload(w->guest);
    w->status = vmem_guest_load(w->guest);
    w->totals->nr_reload_refused += w->status == -EBUSY;
}

/* Windows forgets what it has, and spins on ERROR: its own fault. */
static void op_resume(struct world *w)
{
    if (!is_windows(w)) {
        w->status = vmem_guest_resume(w->guest);
    }
}

static void op_user(struct world *w)
{
    const uint64_t gpa = 4 * GIB + below(w, w->region_size);

    if (chance(w, 500)) {
        (void)vmem_guest_online(w->guest, gpa, UINT64_MAX,
                                chance(w, 500) ? VMEM_GUEST_ONLINE_KERNEL
                                               : VMEM_GUEST_ONLINE_MOVABLE);
    } else {
        (void)vmem_guest_offline(w->guest, gpa, UINT64_MAX);
    }
    w->status = vmem_guest_run(w->guest);
}

static void op_pin(struct world *w)
{
    const uint64_t gpa = 4 * GIB + below(w, w->region_size);

    if (chance(w, 500)) {
        vmem_guest_pin(w->guest, gpa, below(w, 64 * MIB));
    } else {
        vmem_guest_unpin(w->guest, gpa, below(w, GIB));
    }
}

static const struct {
    const char *name;
    void (*run)(struct world *w);
    unsigned weight;
} ops[] = {
    { "resize", op_resize, 8 },   { "run", op_run, 4 },
    { "wait", op_wait, 4 },       { "busy", op_busy, 3 },
    { "trouble", op_trouble, 5 }, { "reboot", op_reboot, 1 },
    { "kexec", op_kexec, 1 },     { "reload", op_reload, 1 },
    { "resume", op_resume, 1 },   { "user", op_user, 1 },
    { "pin", op_pin, 2 },
};

static void step(struct world *w)
{
    unsigned sum = 0;
    uint64_t at;

    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        sum += ops[i].weight;
    }
    at = below(w, sum);
    for (unsigned i = 0; i < G_N_ELEMENTS(ops); i++) {
        if (at < ops[i].weight) {
            w->op = ops[i].name;
            ops[i].run(w);
            return;
        }
        at -= ops[i].weight;
    }
}

/* What the guest's memory blocks, which lie at multiples of their size, can
 * cover of the region. The usable region is no excuse: it must leave room. */
static uint64_t capacity(const struct world *w, uint64_t granularity)
{
    const uint64_t unit = MAX(w->shape.memory_block_size, granularity);
    const uint64_t skipped = (unit - w->gpa % unit) % unit;

    if (is_windows(w)) {
        return w->region_size;
    }
    return w->region_size < skipped ? 0
                                    : (w->region_size - skipped) / unit * unit;
}

static uint64_t distance(struct world *w)
{
    struct vmem_guest_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    uint64_t target;
    uint64_t off;

    (void)vmem_guest_get_stats(w->guest, &stats);
    (void)vmem_device_get_info(w->device, &info);
    target = MIN(info.requested_size, capacity(w, stats.granularity));
    off = info.plugged_size > target ? info.plugged_size - target
                                     : target - info.plugged_size;
    return off < stats.granularity ? 0 : off;
}

/* People at the guest do what is left to them: offline memory keeps Linux from
 * adding more, and online memory may have to be taken offline by hand. */
static void attend(struct world *w)
{
    for (unsigned i = 0; i < 64 && distance(w) > 0; i++) {
        if (w->status == VMEM_GUEST_STUCK) {
            (void)vmem_guest_online(w->guest, 0, UINT64_MAX,
                                    VMEM_GUEST_ONLINE_MOVABLE);
        }
        w->status = vmem_guest_run(w->guest);
        if (distance(w) > 0 && (w->shape.flags & VMEM_GUEST_KEEP_ONLINE) != 0) {
            (void)vmem_guest_offline(w->guest, 0, UINT64_MAX);
            w->status = vmem_guest_run(w->guest);
        }
        check(w);
    }
}

/* The trouble ends, last of all with a notification. */
static void settle(struct world *w)
{
    w->op = "settle";
    w->trouble = (struct trouble){ .veto = 0 };
    if (w->status == VMEM_GUEST_ABSENT || w->status == -EBUSY) {
        op_reboot(w); /* a driver that could not be loaded again */
    }
    vmem_guest_unpin(w->guest, 0, UINT64_MAX);
    if (w->frozen) {
        op_busy(w); /* it notifies by itself */
    } else if (vmem_device_notify_config(w->device) < 0) {
        fail(w, "a kick failed");
    }
    w->status = vmem_guest_run(w->guest);
    check(w);
    attend(w);
    /* What is pinned for a moment only needs another attempt; Windows gives up
     * the rest at the first block that it cannot remove. */
    for (unsigned i = 0;
         i < MAX_ATTEMPTS && w->shape.transient_permille > 0 && distance(w) > 0;
         i++) {
        w->status = vmem_guest_advance(w->guest, 300 * SECOND_NS);
        if (is_windows(w)) {
            vmem_guest_interrupt(w->guest);
        }
        vmem_guest_unpin(w->guest, 0, UINT64_MAX);
        attend(w);
    }
    if (distance(w) > 0) {
        fail(w, "%" PRIu64 " bytes off, the guest is %s", distance(w),
             vmem_guest_status_name((uint64_t)w->status));
    }
}

static bool run_seed(uint64_t seed, struct totals *totals)
{
    struct world world;
    struct world *w = &world;
    uint64_t nr_ops;
    unsigned i = 0;

    open_world(w, seed, totals);
    w->op = "boot";
    w->status = vmem_guest_boot(w->guest);
    check(w);
    nr_ops = 2 + below(w, MAX_OPS - 1);
    for (; i < nr_ops && w->failure[0] == '\0'; i++) {
        step(w);
        check(w);
        if (chance(w, 150) && w->failure[0] == '\0') {
            settle(w);
        }
    }
    if (w->failure[0] == '\0') {
        settle(w);
        check(w);
    }
    close_world(w);
    if (w->failure[0] != '\0') {
        printf("seed %" PRIu64 ", step %u, %s: %s\n"
               "  %s, pattern %s, memory blocks of %" PRIu64
               ", device blocks of %" PRIu64 ", region %" PRIu64 "\n",
               seed, i, w->op, w->failure, vmem_guest_kind_name(w->shape.kind),
               vmem_guest_pattern_name(w->shape.pattern),
               w->shape.memory_block_size, w->block_size, w->region_size);
    }
    return w->failure[0] == '\0';
}

static bool is_tame(const struct totals *t)
{
    const uint64_t least[] = {
        t->nr_requests[VMEM_GUEST_PLUG][VMEM_GUEST_NACK],
        t->nr_requests[VMEM_GUEST_PLUG][VMEM_GUEST_BUSY],
        t->nr_requests[VMEM_GUEST_UNPLUG][VMEM_GUEST_BUSY],
        t->nr_requests[VMEM_GUEST_UNPLUG_ALL][VMEM_GUEST_ACK],
        t->nr_requests[VMEM_GUEST_UNPLUG_ALL][VMEM_GUEST_BUSY],
        t->nr_requests[VMEM_GUEST_STATE][VMEM_GUEST_ACK],
        t->nr_retries,
        t->nr_restarts,
        t->nr_vetoes,
        t->nr_failed_discards,
        t->nr_failed_adds,
        t->nr_failed_removes,
        t->nr_reload_refused,
        t->nr_retained,
        t->nr_kinds[0],
        t->nr_kinds[1],
        t->nr_kinds[2],
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(least); i++) {
        if (least[i] == 0) {
            printf("nothing tested what number %u of is_tame() counts\n", i);
            return true;
        }
    }
    return false;
}

static void print_totals(const struct totals *t, uint64_t nr_seeds)
{
    static const char *const types[] = { "plug", "unplug", "unplug_all",
                                         "state" };

    printf("%" PRIu64 " schedules: %" PRIu64 " linux, %" PRIu64
           " linux-bbm, %" PRIu64 " windows\n",
           nr_seeds, t->nr_kinds[0], t->nr_kinds[1], t->nr_kinds[2]);
    for (unsigned type = 0; type < 4; type++) {
        printf("  %-10s ack %" PRIu64 ", nack %" PRIu64 ", busy %" PRIu64
               ", error %" PRIu64 "\n",
               types[type], t->nr_requests[type][0], t->nr_requests[type][1],
               t->nr_requests[type][2], t->nr_requests[type][3]);
    }
    printf("  %" PRIu64 " retries, %" PRIu64 " restarts, %" PRIu64
           " vetoes, %" PRIu64 " failed discards, %" PRIu64
           " failed adds, %" PRIu64 " failed removes, %" PRIu64
           " refused reloads\n",
           t->nr_retries, t->nr_restarts, t->nr_vetoes, t->nr_failed_discards,
           t->nr_failed_adds, t->nr_failed_removes, t->nr_reload_refused);
}

int main(int argc, char **argv)
{
    const uint64_t nr_seeds =
        argc > 1 ? strtoull(argv[1], NULL, 0) : DEFAULT_NR_SEEDS;
    const uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    struct totals totals = { .nr_retries = 0 };
    unsigned nr_failed = 0;

    for (uint64_t i = 0; i < nr_seeds && nr_failed < 5; i++) {
        nr_failed += !run_seed(first + i, &totals);
    }
    print_totals(&totals, nr_seeds);
    return nr_failed > 0 || (nr_seeds >= 1000 && is_tame(&totals));
}
