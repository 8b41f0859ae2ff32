/* SPDX-License-Identifier: BSD-3-Clause */
/* Each operation of the core once for every allocation, callback of a listener
 * and callback of the memory that it makes, with that one failing (I3, I12). */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "core/source.h"
#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define NR_UNITS 16
#define ALL ((struct vmem_range){ 0, 0 })
#define DISCARDS VMEM_SOURCE_DISCARDS

/* ---- faults ---- */

enum fault {
    FAULT_ALLOCATION,
    FAULT_VETO,
    FAULT_MEMORY_POPULATE,
    FAULT_MEMORY_DISCARD,
    FAULT_MEMORY_ZERO,
    NR_FAULTS
};

static const char *const fault_names[] = {
    "allocation", "veto", "memory populate", "memory discard", "memory zero",
};

static _Atomic uint64_t allocation_countdown;

static bool fail_allocation(size_t size)
{
    (void)size;
    if (atomic_load(&allocation_countdown) == UINT64_MAX) {
        return true;
    }
    return atomic_fetch_sub(&allocation_countdown, 1) != 0;
}

/* Two sources that discard, in blocks of one and of four units, with a block
 * that is retained; three listeners of different kinds; memory that is populated
 * on plug, with contents. */
struct rig {
    struct world world;
    struct vmem_source *a;
    struct vmem_source *b;
    struct recorder listeners[3];
    uint64_t veto_countdown;
    /* What the operation makes. */
    struct vmem_source *source;
    struct recorder late;
    struct fake_backing memory;
    struct vmem_device *device;
    struct vmem_discard_claim *claim;
    struct vmem_discard_watcher *watcher;
    struct vmem_region *region;
    struct vmem_vm *vm;
    unsigned int nr_told; /* calls of the watcher */
};

static struct fake_calls *memory_calls(struct rig *rig, enum fault fault)
{
    struct fake_backing *memory = &rig->world.memory;

    return fault == FAULT_MEMORY_POPULATE  ? &memory->populates
           : fault == FAULT_MEMORY_DISCARD ? &memory->discards
           : fault == FAULT_MEMORY_ZERO    ? &memory->zeros
                                           : NULL;
}

static void arm(struct rig *rig, enum fault fault, uint64_t at)
{
    struct fake_calls *calls = memory_calls(rig, fault);

    if (calls != NULL) {
        fake_calls_fail(calls, at, 1, -EIO);
    }
    rig->veto_countdown = fault == FAULT_VETO ? at : UINT64_MAX;
    atomic_store(&allocation_countdown,
                 fault == FAULT_ALLOCATION ? at : UINT64_MAX);
    vmemi_alloc_set_hook(fail_allocation);
}

/* Returns whether the fault was hit. */
static bool disarm(struct rig *rig, enum fault fault)
{
    struct fake_calls *calls = memory_calls(rig, fault);
    bool hit;

    vmemi_alloc_set_hook(NULL);
    if (calls != NULL) {
        hit = calls->nr_failed > 0;
        fake_calls_succeed(calls);
    } else if (fault == FAULT_VETO) {
        hit = rig->veto_countdown == UINT64_MAX;
    } else {
        hit = atomic_load(&allocation_countdown) == UINT64_MAX;
    }
    rig->veto_countdown = UINT64_MAX;
    atomic_store(&allocation_countdown, UINT64_MAX);
    return hit;
}

/* ---- the rig ---- */

static void open_rig(struct rig *rig)
{
    struct world *world = &rig->world;

    memset(rig, 0, sizeof(*rig));
    rig->veto_countdown = UINT64_MAX;
    atomic_store(&allocation_countdown, UINT64_MAX);
    world_open(world, NR_UNITS * UNIT, UNIT, VMEM_BACKING_POPULATE);
    world->journal.muted = true;
    rig->a = world_add_source(world, "a", UNIT, DISCARDS);
    rig->b = world_add_source(world, "b", 4 * UNIT, DISCARDS);
    assert_int_equal(world_plug(&rig->world, rig->b, 0, 12), 0);
    assert_int_equal(world_plug(&rig->world, rig->a, 2, 4), 0);
    assert_int_equal(world_plug(&rig->world, rig->a, 7, 1), 0);
    assert_int_equal(world_plug(&rig->world, rig->a, 9, 3), 0);
    assert_int_equal(world_plug(&rig->world, rig->a, 13, 2), 0);
    fake_backing_write(&world->memory, &(struct vmem_range){ 2 * UNIT, UNIT });
    fake_backing_write(&world->memory, &(struct vmem_range){ 7 * UNIT, UNIT });
    /* Unit 7 is retained by a, and what is in it is dirty. */
    fake_calls_fail(&world->memory.discards, 0, 1, -EIO);
    assert_int_equal(world_unplug(&rig->world, rig->a, 7, 1), 0);
    fake_calls_succeed(&world->memory.discards);
    world_add_listener(world, &rig->listeners[0], "x", ALL, 0, 0);
    world_add_listener(world, &rig->listeners[1], "y", units(world, 1, 9), UNIT,
                       0);
    world_add_listener(world, &rig->listeners[2], "z", ALL, UNIT,
                       VMEM_LISTENER_EXACT_DISCARD);
    for (unsigned int i = 0; i < 3; i++) {
        rig->listeners[i].veto_countdown = &rig->veto_countdown;
    }
}

static void close_rig(struct rig *rig)
{
    for (unsigned int i = 0; i < 3; i++) {
        world_remove_listener(&rig->world, &rig->listeners[i]);
    }
    if (rig->a != NULL) {
        assert_int_equal(vmem_source_remove(rig->a, NULL), 0);
    }
    if (rig->b != NULL) {
        assert_int_equal(vmem_source_remove(rig->b, NULL), 0);
    }
    world_close(&rig->world);
}

static void add_source_state(GString *text, const char *name,
                             const struct vmem_source *source, bool retained)
{
    const struct vmem_bitmap *bitmap;

    g_string_append_printf(text, "%s:", name);
    if (source == NULL) {
        return;
    }
    bitmap = retained ? source->retained : source->blocks;
    for (uint64_t i = 0; i < vmem_bitmap_get_nr_blocks(bitmap); i++) {
        g_string_append_c(text, vmem_bitmap_is_set(bitmap, i) ? '#' : '.');
    }
}

/* All that must be as before when an operation has failed. */
static char *describe(struct rig *rig)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    GString *text = g_string_new(NULL);

    add_source_state(text, "a", rig->a, false);
    add_source_state(text, " b", rig->b, false);
    g_string_append_printf(text, " runs %s", world_populated_runs(&rig->world));
    for (unsigned int i = 0; i < 3; i++) {
        g_string_append_printf(text, " %s:", rig->listeners[i].name);
        for (unsigned int j = 0; j < NR_UNITS; j++) {
            g_string_append_c(text,
                              rig->listeners[i].shadow[j] != 0 ? '#' : '.');
        }
    }
    vmem_region_get_info(rig->world.region, &info);
    g_string_append_printf(text,
                           " sources %" PRIu64 " listeners %" PRIu64
                           " freezers %" PRIu64 " claims %x told %u",
                           info.nr_sources, info.nr_listeners, info.nr_freezers,
                           vmem_vm_get_claims(rig->world.vm), rig->nr_told);
    return g_string_free(text, FALSE);
}

static bool is_wanted(const struct rig *rig, unsigned int unit)
{
    return (rig->a == NULL || vmem_bitmap_is_set(rig->a->blocks, unit)) &&
           (rig->b == NULL || vmem_bitmap_is_set(rig->b->blocks, unit / 4));
}

static bool is_retained(const struct rig *rig, unsigned int unit)
{
    return (rig->a != NULL && vmem_bitmap_is_set(rig->a->retained, unit)) ||
           (rig->b != NULL && vmem_bitmap_is_set(rig->b->retained, unit / 4));
}

/* Wanted memory has its contents; what is not wanted is gone or retained, and
 * what was gone before is gone. */
static void check_memory(struct rig *rig, const uint8_t *before,
                         bool discards_work, const char *what)
{
    for (unsigned int i = 0; i < NR_UNITS; i++) {
        const uint8_t now = rig->world.memory.content[i];

        if (is_wanted(rig, i) ? now != before[i]
                              : now != FAKE_ABSENT && !is_retained(rig, i)) {
            fail_msg("%s: unit %u holds %u, before %u", what, i, now,
                     before[i]);
        }
        if (discards_work && before[i] == FAKE_ABSENT && now != FAKE_ABSENT) {
            fail_msg("%s: unit %u stays allocated", what, i);
        }
    }
}

/* ---- the operations ---- */

static int op_populate_a(struct rig *rig)
{
    return world_plug(&rig->world, rig->a, 0, 16);
}

static int op_populate_a_retained(struct rig *rig)
{
    return world_plug(&rig->world, rig->a, 6, 2);
}

static int op_populate_b(struct rig *rig)
{
    return world_plug(&rig->world, rig->b, 8, 8);
}

static int op_discard_a(struct rig *rig)
{
    return world_unplug(&rig->world, rig->a, 0, 16);
}

static int op_discard_b(struct rig *rig)
{
    return world_unplug(&rig->world, rig->b, 0, 12);
}

static int add_source(struct rig *rig, uint64_t flags)
{
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "new",
                                               .block_size = 2 * UNIT,
                                               .flags = flags };

    return vmem_source_add(rig->world.region, &config, &rig->source, NULL);
}

static int op_add_hiding(struct rig *rig)
{
    return add_source(rig, 0);
}

static int op_add_discarding(struct rig *rig)
{
    return add_source(rig, DISCARDS);
}

static int op_add_populated(struct rig *rig)
{
    return add_source(rig, DISCARDS | VMEM_SOURCE_POPULATED);
}

static void undo_add(struct rig *rig)
{
    assert_int_equal(vmem_source_remove(rig->source, NULL), 0);
}

static int op_remove_a(struct rig *rig)
{
    int ret = vmem_source_remove(rig->a, NULL);

    rig->a = ret == 0 ? NULL : rig->a;
    return ret;
}

static int op_remove_b(struct rig *rig)
{
    int ret = vmem_source_remove(rig->b, NULL);

    rig->b = ret == 0 ? NULL : rig->b;
    return ret;
}

static int op_retry(struct rig *rig)
{
    return vmem_region_retry_discards(rig->world.region, NULL);
}

static int op_listener_add(struct rig *rig)
{
    int ret;

    if (rig->late.shadow == NULL) {
        recorder_init(&rig->late, "late", NR_UNITS * UNIT, UNIT, NULL);
        rig->late.granularity = UNIT;
        rig->late.veto_countdown = &rig->veto_countdown;
    }
    ret = recorder_add(&rig->late, rig->world.region, NULL);
    assert_int_equal(rig->late.nr_destroys, ret < 0);
    return ret;
}

static void undo_listener_add(struct rig *rig)
{
    assert_int_equal(recorder_remove(&rig->late, NULL), 0);
    assert_string_equal(rig->late.complaint, "");
    recorder_destroy(&rig->late);
}

static int op_freeze(struct rig *rig)
{
    return vmem_region_freeze(rig->world.region, "f", NULL);
}

static void undo_freeze(struct rig *rig)
{
    assert_int_equal(vmem_region_thaw(rig->world.region, "f", NULL), 0);
}

static int op_claim(struct rig *rig)
{
    return vmem_discard_claim_take(rig->world.vm, VMEM_CLAIM_FORBID_ALL, "c",
                                   &rig->claim, NULL);
}

static void undo_claim(struct rig *rig)
{
    assert_int_equal(vmem_discard_claim_release(rig->claim, NULL), 0);
}

static void on_claims(uint32_t claims, void *opaque)
{
    (void)claims;
    ((struct rig *)opaque)->nr_told++;
}

static int op_watcher(struct rig *rig)
{
    return vmem_discard_watcher_add(rig->world.vm, on_claims, rig,
                                    &rig->watcher, NULL);
}

static void undo_watcher(struct rig *rig)
{
    assert_int_equal(vmem_discard_watcher_remove(rig->watcher, NULL), 0);
}

static int op_region(struct rig *rig)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = UNIT };

    return vmem_region_new(rig->world.vm, &config, &rig->region, NULL);
}

static void undo_region(struct rig *rig)
{
    assert_int_equal(vmem_region_free(rig->region, NULL), 0);
}

static int op_backing(struct rig *rig)
{
    int ret;

    if (rig->memory.content == NULL) {
        fake_backing_init(&rig->memory, "m", UNIT, UNIT, NULL);
    }
    ret = fake_backing_make(&rig->memory, rig->world.vm, NULL);
    assert_int_equal(rig->memory.nr_destroys, ret < 0);
    return ret;
}

static void undo_backing(struct rig *rig)
{
    assert_int_equal(vmem_backing_free(rig->memory.backing, NULL), 0);
    assert_string_equal(rig->memory.complaint, "");
    fake_backing_destroy(&rig->memory);
}

static int op_device(struct rig *rig)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "d",
                                               .block_size = UNIT };

    return vmem_device_new(rig->world.region, &config, NULL, NULL, &rig->device,
                           NULL);
}

/* Listeners would be told that everything is populated: they have to go. */
static void undo_device(struct rig *rig)
{
    for (unsigned int i = 0; i < 3; i++) {
        assert_int_equal(recorder_remove(&rig->listeners[i], NULL), 0);
    }
    assert_int_equal(vmem_device_free(rig->device, NULL), 0);
}

static int op_vm(struct rig *rig)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "other" };

    return vmem_vm_new(&config, &rig->vm, NULL);
}

static void undo_vm(struct rig *rig)
{
    assert_int_equal(vmem_vm_free(rig->vm, NULL), 0);
}

static const struct {
    const char *name;
    int (*run)(struct rig *rig);
    void (*undo)(struct rig *rig); /* or NULL */
    /* Calls that can fail in it; the tests must have met them all. */
    unsigned int min_hits[NR_FAULTS];
} operations[] = {
    { "populate of a", op_populate_a, NULL, { 0, 9, 2, 1, 0 } },
    { "populate of a retained",
      op_populate_a_retained,
      NULL,
      { 0, 5, 1, 1, 0 } },
    { "populate of b", op_populate_b, NULL, { 0, 3, 1, 0, 0 } },
    { "discard of a", op_discard_a, NULL, { 0, 0, 0, 3, 0 } },
    { "discard of b", op_discard_b, NULL, { 0, 0, 0, 1, 0 } },
    { "adding a hiding source", op_add_hiding, undo_add, { 2, 0, 0, 0, 0 } },
    { "adding a discarding source",
      op_add_discarding,
      undo_add,
      { 3, 0, 0, 1, 0 } },
    { "adding a populated source",
      op_add_populated,
      undo_add,
      { 3, 0, 0, 0, 0 } },
    { "removing a", op_remove_a, NULL, { 0, 9, 0, 1, 0 } },
    { "removing b", op_remove_b, NULL, { 0, 3, 0, 0, 0 } },
    { "retrying", op_retry, NULL, { 0, 0, 0, 1, 0 } },
    { "adding a listener",
      op_listener_add,
      undo_listener_add,
      { 1, 7, 0, 0, 0 } },
    { "freezing", op_freeze, undo_freeze, { 1, 0, 0, 0, 0 } },
    { "claiming", op_claim, undo_claim, { 1, 0, 0, 0, 0 } },
    { "watching", op_watcher, undo_watcher, { 1, 0, 0, 0, 0 } },
    { "making a region", op_region, undo_region, { 1, 0, 0, 0, 0 } },
    { "making a backing", op_backing, undo_backing, { 2, 0, 0, 0, 0 } },
    { "making a device", op_device, undo_device, { 5, 0, 0, 1, 0 } },
    { "making a vm", op_vm, undo_vm, { 2, 0, 0, 0, 0 } },
};

/* ---- the loop ---- */

static char *final_state(struct rig *rig)
{
    GString *text;
    char *state;

    assert_int_equal(vmem_region_retry_discards(rig->world.region, NULL),
                     vmem_region_is_frozen(rig->world.region) ? -EBUSY : 0);
    state = describe(rig);
    text = g_string_new(state);
    g_free(state);
    add_source_state(text, " retained a", rig->a, true);
    add_source_state(text, " b", rig->b, true);
    for (unsigned int i = 0; i < NR_UNITS; i++) {
        const uint8_t content = rig->world.memory.content[i];

        /* Zeros are zeros to whom the memory is. */
        g_string_append_printf(
            text, " %u", is_wanted(rig, i) ? content == FAKE_DIRTY : content);
    }
    return g_string_free(text, FALSE);
}

/* The state that an operation without faults leads to. */
static char *faultless_state(size_t which)
{
    struct rig rig;
    char *state;

    open_rig(&rig);
    assert_int_equal(operations[which].run(&rig), 0);
    state = final_state(&rig);
    if (operations[which].undo != NULL) {
        operations[which].undo(&rig);
    }
    close_rig(&rig);
    return state;
}

/* Returns whether there was a call number at. */
static bool run_with_fault(size_t which, enum fault fault, uint64_t at,
                           bool discards_fail, const char *expected)
{
    uint8_t before_memory[NR_UNITS];
    char what[128];
    struct rig rig;
    char *before;
    char *after;
    bool hit;
    int ret;

    snprintf(what, sizeof(what), "%s, %s %" PRIu64 " fails%s",
             operations[which].name, fault_names[fault], at,
             discards_fail ? ", and so do discards" : "");
    open_rig(&rig);
    before = describe(&rig);
    memcpy(before_memory, rig.world.memory.content, NR_UNITS);
    arm(&rig, fault, at);
    if (discards_fail) {
        fake_calls_fail(&rig.world.memory.discards, 0, UINT64_MAX, -EIO);
    }
    ret = operations[which].run(&rig);
    hit = disarm(&rig, fault);
    if (discards_fail) {
        fake_calls_succeed(&rig.world.memory.discards);
    }
    for (unsigned int i = 0; i < 3; i++) {
        if (rig.listeners[i].nr_complaints > 0) {
            fail_msg("%s: %s", what, rig.listeners[i].complaint);
        }
    }
    after = describe(&rig);
    if (ret < 0) {
        if (!hit && !discards_fail) {
            fail_msg("%s: %d without a fault", what, ret);
        }
        if (strcmp(before, after) != 0) {
            fail_msg("%s:\nwas %s\nis  %s", what, before, after);
        }
        check_memory(&rig, before_memory, !discards_fail, what);
        ret = operations[which].run(&rig);
        if (ret < 0) {
            fail_msg("%s: the second attempt gives %d", what, ret);
        }
    } else if (hit && fault != FAULT_MEMORY_DISCARD) {
        fail_msg("%s: and succeeded", what);
    }
    g_free(after);
    after = final_state(&rig);
    if (!discards_fail && strcmp(after, expected) != 0) {
        fail_msg("%s:\nwant %s\nis   %s", what, expected, after);
    }
    g_free(after);
    g_free(before);
    if (operations[which].undo != NULL) {
        operations[which].undo(&rig);
    }
    close_rig(&rig);
    return hit;
}

static void a_single_fault_leaves_everything_as_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(operations); i++) {
        char *expected = faultless_state(i);

        for (unsigned int fault = 0; fault < NR_FAULTS; fault++) {
            uint64_t at = 0;

            while (run_with_fault(i, fault, at, false, expected)) {
                at++;
            }
            if (at < operations[i].min_hits[fault]) {
                fail_msg("%s: only %" PRIu64 " faults of kind %s",
                         operations[i].name, at, fault_names[fault]);
            }
        }
        g_free(expected);
    }
}

/* Then undoing cannot give the memory back either: it must be retained. */
static void a_fault_with_failing_discards_loses_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(operations); i++) {
        char *expected = faultless_state(i);

        for (unsigned int fault = 0; fault < NR_FAULTS; fault++) {
            uint64_t at = 0;

            if (fault == FAULT_MEMORY_DISCARD) {
                continue;
            }
            while (run_with_fault(i, fault, at, true, expected)) {
                at++;
            }
            /* Unit 7 has to be zeroed. */
            assert_true(fault != FAULT_MEMORY_ZERO || i > 1 || at == 1);
        }
        g_free(expected);
    }
}

/* The heap does not grow by as much as one small allocation a round. The leak
 * checker of the address sanitizer, under which this is always 0, says the same
 * more precisely. */
#define NR_ROUNDS 200

static void failing_again_and_again_leaks_nothing(void **state)
{
    size_t in_use = 0;

    (void)state;
    for (unsigned int round = 0; round < NR_ROUNDS; round++) {
        for (size_t i = 0; i < G_N_ELEMENTS(operations); i++) {
            struct rig rig;
            bool hit = true;

            open_rig(&rig);
            for (uint64_t at = 0; hit; at++) {
                arm(&rig, FAULT_ALLOCATION, at);
                if (operations[i].run(&rig) == 0) {
                    break;
                }
                hit = disarm(&rig, FAULT_ALLOCATION);
            }
            disarm(&rig, FAULT_ALLOCATION);
            if (operations[i].undo != NULL) {
                operations[i].undo(&rig);
            }
            close_rig(&rig);
        }
        if (round == 3) {
            in_use = mallinfo2().uordblks;
        }
    }
    assert_true(mallinfo2().uordblks < in_use + NR_ROUNDS * 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_fault_leaves_everything_as_it_was),
        cmocka_unit_test(a_fault_with_failing_discards_loses_nothing),
        cmocka_unit_test(failing_again_and_again_leaks_nothing),
    };

    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
