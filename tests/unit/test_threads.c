/* SPDX-License-Identifier: BSD-3-Clause */
/* Queries, walks, freezers and listeners on some threads while others change the
 * region. Short; meant to be run under a thread sanitizer as well. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/le.h"
#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define NR_UNITS 64
#define ALL ((struct vmem_range){ 0, 0 })
#define RUN_NS ((uint64_t)600000000)

/* What the threads share. */
struct arena {
    struct world world;
    struct vmem_source *sources[2];
    struct vmem_device *device;
    struct recorder listener;
    _Atomic bool stop;
    _Atomic uint64_t nr_rounds[8];
    _Atomic uint64_t nr_wrong; /* answers that cannot be */
    char wrong[128];           /* the first one; written once */
};

static void blame(struct arena *arena, const char *what)
{
    if (atomic_fetch_add(&arena->nr_wrong, 1) == 0) {
        g_strlcpy(arena->wrong, what, sizeof(arena->wrong));
    }
}

struct worker {
    struct arena *arena;
    unsigned int number;
    void (*round)(struct worker *worker);
    GRand *rand;
    pthread_t thread;
};

static uint64_t up_to(struct worker *worker, uint64_t limit)
{
    return (uint64_t)g_rand_int_range(worker->rand, 0, (gint32)limit + 1);
}

static struct vmem_range random_units(struct worker *worker, uint64_t block)
{
    const uint64_t nr_blocks = NR_UNITS / block;
    const uint64_t first = up_to(worker, nr_blocks - 1);

    return (struct vmem_range){ first * block * UNIT,
                                (1 + up_to(worker, nr_blocks - first - 1)) *
                                    block * UNIT };
}

/* ---- those who change ---- */

static void change(struct worker *worker)
{
    struct arena *arena = worker->arena;
    const unsigned int which = (unsigned int)up_to(worker, 1);
    const struct vmem_range range = random_units(worker, which == 0 ? 1 : 4);
    int ret = up_to(worker, 1) == 0
                  ? vmem_source_populate(arena->sources[which], &range, NULL)
                  : vmem_source_discard(arena->sources[which], &range, NULL);

    if (ret != 0 && ret != -EBUSY) {
        blame(arena, "a change failed");
    }
}

static void freeze(struct worker *worker)
{
    struct vmem_region *region = worker->arena->world.region;
    struct vmem_region_info before = { .struct_size = sizeof(before) };
    struct vmem_region_info after = { .struct_size = sizeof(after) };
    char owner[16];

    snprintf(owner, sizeof(owner), "owner %u", worker->number);
    if (vmem_region_freeze(region, owner, NULL) != 0) {
        blame(worker->arena, "freezing failed");
        return;
    }
    /* Frozen by us: nothing moves. */
    vmem_region_get_info(region, &before);
    g_usleep(50);
    vmem_region_get_info(region, &after);
    if (before.populated_size != after.populated_size ||
        before.nr_populate_calls > after.nr_populate_calls) {
        blame(worker->arena, "a frozen region moved");
    }
    if (vmem_region_thaw(region, owner, NULL) != 0) {
        blame(worker->arena, "thawing failed");
    }
    g_usleep(300);
}

static void join_and_leave(struct worker *worker)
{
    struct arena *arena = worker->arena;
    struct recorder listener;

    recorder_init(&listener, "visitor", arena->world.size, UNIT, NULL);
    listener.window = random_units(worker, 1);
    listener.granularity = up_to(worker, 1) * UNIT;
    if (recorder_add(&listener, arena->world.region, NULL) != 0) {
        blame(arena, "a listener was refused");
    } else {
        g_usleep(20);
        if (recorder_remove(&listener, NULL) != 0) {
            blame(arena, "a listener could not leave");
        }
    }
    if (listener.nr_complaints > 0 || listener.nr_destroys != 1) {
        blame(arena, listener.complaint);
    }
    recorder_destroy(&listener);
}

/* ---- those who ask ---- */

struct walk {
    struct arena *arena;
    uint64_t sum;
};

static int add_up(const struct vmem_range *range, void *opaque)
{
    struct walk *walk = opaque;

    /* While the walk runs nothing changes. */
    if (!vmem_region_is_populated(walk->arena->world.region, range)) {
        blame(walk->arena, "a walk shows what is not populated");
    }
    walk->sum += range->size;
    return 0;
}

static int add_discarded(const struct vmem_range *range, void *opaque)
{
    ((struct walk *)opaque)->sum += range->size;
    return 0;
}

static int hold(const struct vmem_range *range, void *opaque)
{
    struct arena *arena = opaque;

    if (!vmem_region_is_populated(arena->world.region, range)) {
        blame(arena, "with_populated on what is not populated");
    }
    g_usleep(1);
    if (!vmem_region_is_populated(arena->world.region, range)) {
        blame(arena, "with_populated did not hold it");
    }
    return 0;
}

static void ask(struct worker *worker)
{
    struct arena *arena = worker->arena;
    struct vmem_region *region = arena->world.region;
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct vmem_source_info source = { .struct_size = sizeof(source) };
    const struct vmem_range range = random_units(worker, 1);
    struct walk populated = { arena, 0 };
    struct walk discarded = { arena, 0 };
    int ret;

    vmem_region_is_populated(region, &range);
    vmem_region_get_info(region, &info);
    vmem_source_get_info(arena->sources[0], &source);
    /* All of a change is seen, or nothing. */
    if (info.populated_size > info.size || info.populated_size % UNIT != 0 ||
        source.populated_size + source.retained_size > info.size) {
        blame(arena, "an answer that cannot be");
    }
    vmem_region_is_frozen(region);
    vmem_vm_get_claims(arena->world.vm);
    vmem_region_for_each_populated(region, &range, add_up, &populated);
    vmem_region_for_each_discarded(region, &range, add_discarded, &discarded);
    if (populated.sum > range.size || discarded.sum > range.size) {
        blame(arena, "a walk shows too much");
    }
    ret = vmem_region_with_populated(region, &range, hold, arena, NULL);
    if (ret != 0 && ret != -ENXIO) {
        blame(arena, "with_populated failed");
    }
}

/* The device has a region of its own. */
static void request(struct worker *worker)
{
    struct vmem_device *device = worker->arena->device;
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    vmemi_le16_store(bytes, (uint16_t)up_to(worker, 3));
    vmemi_le64_store(bytes + 8, up_to(worker, NR_UNITS) * UNIT);
    vmemi_le16_store(bytes + 16, (uint16_t)up_to(worker, 8));
    if (vmem_device_handle_request(device, bytes, sizeof(bytes), response,
                                   sizeof(response),
                                   NULL) != VMEM_REQUEST_RESPOND) {
        blame(worker->arena, "a request failed");
    }
    vmem_device_resize(device, up_to(worker, NR_UNITS) * UNIT, NULL);
    vmem_device_get_info(device, &info);
    if (info.usable_region_size < info.requested_size) {
        blame(worker->arena, "usable below requested");
    }
}

static void *work(void *opaque)
{
    struct worker *worker = opaque;

    while (!atomic_load(&worker->arena->stop)) {
        worker->round(worker);
        atomic_fetch_add(&worker->arena->nr_rounds[worker->number], 1);
    }
    return NULL;
}

static void run_threads(struct arena *arena,
                        void (*const *rounds)(struct worker *worker), size_t nr)
{
    const struct timespec duration = { 0, (long)RUN_NS };
    struct worker workers[8];

    atomic_store(&arena->stop, false);
    for (size_t i = 0; i < nr; i++) {
        workers[i] =
            (struct worker){ .arena = arena,
                             .number = (unsigned int)i,
                             .round = rounds[i],
                             .rand = g_rand_new_with_seed((guint32)i + 1) };
        assert_int_equal(
            pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    nanosleep(&duration, NULL);
    atomic_store(&arena->stop, true);
    for (size_t i = 0; i < nr; i++) {
        pthread_join(workers[i].thread, NULL);
        g_rand_free(workers[i].rand);
        /* Nobody was starved. */
        assert_true(atomic_load(&arena->nr_rounds[i]) > 0);
    }
    if (atomic_load(&arena->nr_wrong) > 0) {
        fail_msg("%s", arena->wrong);
    }
}

static void open_arena(struct arena *arena)
{
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "device region",
        .size = NR_UNITS * UNIT,
    };
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "d",
                                               .block_size = UNIT,
                                               .requested_size = 8 * UNIT };
    struct vmem_region *device_region;

    memset(arena, 0, sizeof(*arena));
    world_open(&arena->world, NR_UNITS * UNIT, UNIT, VMEM_BACKING_POPULATE);
    arena->world.journal.muted = true;
    arena->sources[0] =
        world_add_source(&arena->world, "a", UNIT, VMEM_SOURCE_DISCARDS);
    arena->sources[1] =
        world_add_source(&arena->world, "b", 4 * UNIT, VMEM_SOURCE_POPULATED);
    world_add_listener(&arena->world, &arena->listener, "l", ALL, UNIT, 0);
    assert_int_equal(
        vmem_region_new(arena->world.vm, &region_config, &device_region, NULL),
        0);
    assert_int_equal(vmem_device_new(device_region, &config, NULL, NULL,
                                     &arena->device, NULL),
                     0);
}

static void close_arena(struct arena *arena)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    vmem_device_get_info(arena->device, &info);
    assert_int_equal(vmem_device_free(arena->device, NULL), 0);
    assert_int_equal(vmem_region_free(info.region, NULL), 0);
    world_remove_listener(&arena->world, &arena->listener);
    assert_int_equal(vmem_source_remove(arena->sources[0], NULL), 0);
    assert_int_equal(vmem_source_remove(arena->sources[1], NULL), 0);
    world_close(&arena->world);
}

static void queries_and_changes_run_together(void **state)
{
    static void (*const rounds[])(struct worker *) = { change, change, ask,
                                                       ask };
    struct arena arena;

    (void)state;
    open_arena(&arena);
    run_threads(&arena, rounds, G_N_ELEMENTS(rounds));
    close_arena(&arena);
}

static void freezers_and_listeners_come_and_go(void **state)
{
    static void (*const rounds[])(struct worker *) = { change, freeze, freeze,
                                                       join_and_leave,
                                                       join_and_leave };
    struct arena arena;

    (void)state;
    open_arena(&arena);
    run_threads(&arena, rounds, G_N_ELEMENTS(rounds));
    close_arena(&arena);
}

static void requests_on_several_queues_run_together(void **state)
{
    static void (*const rounds[])(struct worker *) = { request, request,
                                                       request, change };
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    uint64_t nr_answers = 0;
    uint64_t nr_rounds = 0;
    struct arena arena;

    (void)state;
    open_arena(&arena);
    run_threads(&arena, rounds, G_N_ELEMENTS(rounds));
    vmem_device_get_stats(arena.device, &stats);
    vmem_device_get_info(arena.device, &info);
    for (unsigned int i = 0; i < 16; i++) {
        nr_answers += stats.nr_requests[i / 4][i % 4];
    }
    for (unsigned int i = 0; i < 3; i++) {
        nr_rounds += atomic_load(&arena.nr_rounds[i]);
    }
    /* Every request was answered once, every resize counted. */
    assert_true(nr_answers == nr_rounds);
    assert_true(stats.nr_resizes == nr_rounds);
    assert_true(stats.plugged_bytes - stats.unplugged_bytes ==
                info.plugged_size);
    close_arena(&arena);
}

/* Two regions, each of whose listeners looks at the other one: a lock of each
 * taken in both orders would be a deadlock. */
struct pair {
    struct vmem_region *other;
    struct vmem_source *source;
    _Atomic bool *stop;
    _Atomic uint64_t nr_rounds;
};

static void look_at_other(struct recorder *recorder, enum recorder_call call,
                          const struct vmem_range *range)
{
    struct pair *pair = recorder->inside_opaque;
    struct walk walk = { NULL, 0 };

    if (call != RECORDER_DESTROY) {
        vmem_region_is_populated(pair->other, range);
        vmem_region_for_each_discarded(pair->other, NULL, add_discarded, &walk);
    }
}

static void *change_one(void *opaque)
{
    const struct vmem_range all = { 0, NR_UNITS * UNIT };
    struct pair *pair = opaque;

    while (!atomic_load(pair->stop)) {
        vmem_source_populate(pair->source, &all, NULL);
        vmem_source_discard(pair->source, &all, NULL);
        atomic_fetch_add(&pair->nr_rounds, 1);
    }
    return NULL;
}

static void listeners_of_two_regions_may_look_at_each_other(void **state)
{
    const struct timespec duration = { 0, (long)RUN_NS / 2 };
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "second",
                                               .size = NR_UNITS * UNIT };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "s",
        .block_size = UNIT,
    };
    struct recorder listeners[2];
    struct vmem_region *regions[2];
    struct pair pairs[2];
    pthread_t threads[2];
    _Atomic bool stop = false;
    struct world world;

    (void)state;
    world_open(&world, NR_UNITS * UNIT, UNIT, 0);
    regions[0] = world.region;
    assert_int_equal(vmem_region_new(world.vm, &config, &regions[1], NULL), 0);
    for (unsigned int i = 0; i < 2; i++) {
        pairs[i].other = regions[1 - i];
        pairs[i].stop = &stop;
        atomic_store(&pairs[i].nr_rounds, 0);
        assert_int_equal(
            vmem_source_add(regions[i], &source_config, &pairs[i].source, NULL),
            0);
        recorder_init(&listeners[i], "l", NR_UNITS * UNIT, UNIT, NULL);
        listeners[i].inside = look_at_other;
        listeners[i].inside_opaque = &pairs[i];
        assert_int_equal(recorder_add(&listeners[i], regions[i], NULL), 0);
    }
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, change_one, &pairs[i]), 0);
    }
    nanosleep(&duration, NULL);
    atomic_store(&stop, true);
    for (unsigned int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_true(atomic_load(&pairs[i].nr_rounds) > 0);
    }
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(recorder_remove(&listeners[i], NULL), 0);
        assert_string_equal(listeners[i].complaint, "");
        recorder_destroy(&listeners[i]);
        assert_int_equal(vmem_source_remove(pairs[i].source, NULL), 0);
    }
    assert_int_equal(vmem_region_free(regions[1], NULL), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_and_changes_run_together),
        cmocka_unit_test(freezers_and_listeners_come_and_go),
        cmocka_unit_test(requests_on_several_queues_run_together),
        cmocka_unit_test(listeners_of_two_regions_may_look_at_each_other),
    };

    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
