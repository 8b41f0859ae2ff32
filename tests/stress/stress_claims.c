/* SPDX-License-Identifier: BSD-3-Clause */
/* Claims of all kinds from many threads, with watchers that come, go, remove
 * themselves and claim in turn. Conflicting claims are never held together;
 * calls of one watcher never overlap, and the last one has the newest answer. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <vmem/vmem.h>

#include "stress/threads.h"

#define NR_CLAIMERS 5
#define NR_WATCHERS 3

/* A watcher that stays; its books have no lock: the library's order is one. */
struct lasting {
    struct vmem_discard_watcher *watcher;
    uint32_t last;
    uint64_t nr_calls;
    bool inside;
};

struct passing {
    struct vmem_vm *vm;
    struct vmem_discard_watcher *watcher; /* written before it can be told */
    _Atomic uint64_t nr_calls;
    atomic_bool removes_itself;
    atomic_bool is_removed;
};

struct world {
    struct vmem_vm *vm;
    _Atomic int nr_held[5]; /* by kind; counted only while certainly held */
    struct lasting lasting[NR_WATCHERS];
    _Atomic uint64_t nr_taken;
    _Atomic uint64_t nr_refused;
    _Atomic uint64_t nr_self_removed;
};

static const uint32_t FORBIDS = VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_ALL) |
                                VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_UNCOORDINATED);

static void check_set(uint32_t claims)
{
    const uint32_t needs = VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_UNCOORDINATED) |
                           VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_COORDINATED);

    if ((claims & VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_ALL)) != 0) {
        STRESS_CHECK((claims & needs) == 0);
    }
    if ((claims & VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_UNCOORDINATED)) != 0) {
        STRESS_CHECK((claims & FORBIDS) == 0);
    }
}

static void on_claims(uint32_t claims, void *opaque)
{
    struct lasting *lasting = opaque;

    STRESS_CHECK(!lasting->inside);
    lasting->inside = true;
    check_set(claims);
    lasting->last = claims;
    lasting->nr_calls++;
    lasting->inside = false;
}

static void on_claims_passing(uint32_t claims, void *opaque)
{
    struct passing *passing = opaque;

    check_set(claims);
    STRESS_CHECK(!atomic_load(&passing->is_removed));
    atomic_fetch_add(&passing->nr_calls, 1);
    if (atomic_exchange(&passing->removes_itself, false)) {
        STRESS_CHECK(vmem_discard_watcher_remove(passing->watcher, NULL) == 0);
        atomic_store(&passing->is_removed, true);
    }
}

static void check_none_of(struct world *world, uint32_t kinds)
{
    for (uint32_t kind = 1; kind < 5; kind++) {
        if ((kinds & VMEM_CLAIM_BIT(kind)) != 0) {
            STRESS_CHECK(atomic_load(&world->nr_held[kind]) == 0);
        }
    }
}

static void claimer(struct stress_thread *thread)
{
    static const uint32_t conflicts[] = {
        [VMEM_CLAIM_FORBID_ALL] =
            VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_UNCOORDINATED) |
            VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_COORDINATED),
        [VMEM_CLAIM_FORBID_UNCOORDINATED] =
            VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_UNCOORDINATED),
        [VMEM_CLAIM_NEED_UNCOORDINATED] =
            VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_ALL) |
            VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_UNCOORDINATED),
        [VMEM_CLAIM_NEED_COORDINATED] = VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_ALL),
    };
    struct world *world = thread->world;
    struct vmem_discard_claim *claims[2];
    const uint32_t kind = 1 + (uint32_t)stress_below(thread, 4);
    struct vmem_error err = VMEM_ERROR_INIT;
    unsigned int nr = 0;

    while (nr < 2) {
        const int ret = vmem_discard_claim_take(world->vm, kind, thread->name,
                                                &claims[nr], &err);

        if (ret < 0) {
            STRESS_CHECK(ret == -EBUSY &&
                         err.reason == VMEM_REASON_CLAIM_CONFLICT);
            atomic_fetch_add(&world->nr_refused, 1);
            break;
        }
        atomic_fetch_add(&world->nr_held[kind], 1);
        atomic_fetch_add(&world->nr_taken, 1);
        nr++;
    }
    if (nr > 0) {
        /* Ours is held, so none that conflicts is. */
        check_none_of(world, conflicts[kind]);
        STRESS_CHECK((vmem_vm_get_claims(world->vm) & VMEM_CLAIM_BIT(kind)) !=
                     0);
        STRESS_CHECK((vmem_vm_get_claims(world->vm) & conflicts[kind]) == 0);
    }
    while (nr > 0) {
        nr--;
        atomic_fetch_sub(&world->nr_held[kind], 1);
        STRESS_CHECK(vmem_discard_claim_release(claims[nr], &err) == 0);
    }
}

/* opaque is on this thread's stack: no call may come after the removal. */
static void watcher(struct stress_thread *thread)
{
    struct world *world = thread->world;
    struct passing passing = { .vm = world->vm };
    struct vmem_discard_claim *claim;
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret;

    STRESS_CHECK(vmem_discard_watcher_add(world->vm, on_claims_passing,
                                          &passing, &passing.watcher,
                                          &err) == 0);
    if (stress_chance(thread, 2)) {
        /* From here on it knows its own handle. */
        atomic_store(&passing.removes_itself, true);
        do {
            ret =
                vmem_discard_claim_take(world->vm, VMEM_CLAIM_NEED_COORDINATED,
                                        thread->name, &claim, &err);
            if (ret == 0) {
                ret = vmem_discard_claim_release(claim, &err);
                STRESS_CHECK(ret == 0);
            }
        } while (atomic_load(&passing.removes_itself) &&
                 !stress_chance(thread, 64));
        if (!atomic_exchange(&passing.removes_itself, false)) {
            /* A call removes it, perhaps still on another thread: the stack
             * must wait for it. */
            while (!atomic_load(&passing.is_removed)) {
                vmem_vm_get_claims(world->vm);
            }
            atomic_fetch_add(&world->nr_self_removed, 1);
            return;
        }
    }
    STRESS_CHECK(vmem_discard_watcher_remove(passing.watcher, &err) == 0);
    atomic_store(&passing.is_removed, true);
}

static int visit(uint32_t kind, const char *owner, void *opaque)
{
    uint32_t *held = opaque;

    STRESS_CHECK(owner[0] != '\0');
    *held |= VMEM_CLAIM_BIT(kind);
    return 0;
}

static void reader(struct stress_thread *thread)
{
    struct world *world = thread->world;
    uint32_t held = 0;

    check_set(vmem_vm_get_claims(world->vm));
    vmem_vm_is_uncoordinated_forbidden(world->vm);
    vmem_vm_is_discard_needed(world->vm);
    STRESS_CHECK(vmem_vm_for_each_claim(world->vm, visit, &held) == 0);
    check_set(held);
}

int main(int argc, char **argv)
{
    struct stress_thread threads[NR_CLAIMERS + 3];
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "vm" };
    static struct world world;
    size_t nr = 0;

    stress_arguments(argc, argv);
    STRESS_CHECK(vmem_vm_new(&config, &world.vm, NULL) == 0);
    for (unsigned int i = 0; i < NR_WATCHERS; i++) {
        STRESS_CHECK(
            vmem_discard_watcher_add(world.vm, on_claims, &world.lasting[i],
                                     &world.lasting[i].watcher, NULL) == 0);
    }
    while (nr < NR_CLAIMERS) {
        threads[nr++] =
            (struct stress_thread){ .name = "claimer", .round = claimer };
    }
    threads[nr++] =
        (struct stress_thread){ .name = "watcher", .round = watcher };
    threads[nr++] =
        (struct stress_thread){ .name = "watcher", .round = watcher };
    threads[nr++] = (struct stress_thread){ .name = "reader", .round = reader };
    if (!stress_run("claims", threads, nr, &world)) {
        return stress_result();
    }
    STRESS_CHECK(vmem_vm_get_claims(world.vm) == 0);
    for (unsigned int i = 0; i < NR_WATCHERS; i++) {
        STRESS_CHECK(world.lasting[i].last == 0);
        STRESS_CHECK(world.lasting[i].nr_calls > 0);
        STRESS_CHECK(
            vmem_discard_watcher_remove(world.lasting[i].watcher, NULL) == 0);
    }
    STRESS_CHECK(vmem_vm_free(world.vm, NULL) == 0);
    printf("  %llu taken, %llu refused, %llu told, %llu watchers removed "
           "themselves\n",
           (unsigned long long)world.nr_taken,
           (unsigned long long)world.nr_refused,
           (unsigned long long)world.lasting[0].nr_calls,
           (unsigned long long)world.nr_self_removed);
    STRESS_CHECK(world.nr_refused > 0 && world.nr_self_removed > 0);
    return stress_result();
}
