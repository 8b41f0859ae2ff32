/* SPDX-License-Identifier: BSD-3-Clause */
/* "AR" names the behaviour of QEMU's arbitration that a test covers, "B" the bug
 * of QEMU that it would have found. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define FORBID_ALL VMEM_CLAIM_FORBID_ALL
#define FORBID_UNCOORDINATED VMEM_CLAIM_FORBID_UNCOORDINATED
#define NEED_UNCOORDINATED VMEM_CLAIM_NEED_UNCOORDINATED
#define NEED_COORDINATED VMEM_CLAIM_NEED_COORDINATED

static struct vmem_vm *new_vm(void)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "vm" };
    struct vmem_vm *vm = NULL;

    assert_int_equal(vmem_vm_new(&config, &vm, NULL), 0);
    return vm;
}

static struct vmem_discard_claim *take(struct vmem_vm *vm, uint32_t kind,
                                       const char *owner)
{
    struct vmem_discard_claim *claim = NULL;

    assert_int_equal(vmem_discard_claim_take(vm, kind, owner, &claim, NULL), 0);
    assert_non_null(claim);
    return claim;
}

static void release(struct vmem_discard_claim *claim)
{
    assert_int_equal(vmem_discard_claim_release(claim, NULL), 0);
}

static void close_vm(struct vmem_vm *vm)
{
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

/* AR1 to AR5: all pairs. */
static void kinds_conflict_as_the_table_says(void **state)
{
    static const bool conflict[5][5] = {
        [FORBID_ALL] = { [NEED_UNCOORDINATED] = true,
                         [NEED_COORDINATED] = true },
        [FORBID_UNCOORDINATED] = { [NEED_UNCOORDINATED] = true },
        [NEED_UNCOORDINATED] = { [FORBID_ALL] = true,
                                 [FORBID_UNCOORDINATED] = true },
        [NEED_COORDINATED] = { [FORBID_ALL] = true },
    };
    struct vmem_vm *vm = new_vm();

    (void)state;
    for (uint32_t held = 1; held <= 4; held++) {
        for (uint32_t asked = 1; asked <= 4; asked++) {
            struct vmem_discard_claim *const untouched =
                (struct vmem_discard_claim *)&vm;
            struct vmem_discard_claim *first = take(vm, held, "the holder");
            struct vmem_discard_claim *second = untouched;
            struct vmem_error err = VMEM_ERROR_INIT;
            const int code =
                vmem_discard_claim_take(vm, asked, "the asker", &second, &err);

            if (conflict[held][asked]) {
                assert_int_equal(code, -EBUSY);
                assert_int_equal(err.reason, VMEM_REASON_CLAIM_CONFLICT);
                /* B28, B46: by whom? */
                assert_non_null(strstr(err.message, "the holder"));
                assert_ptr_equal(second, untouched);
                assert_int_equal(vmem_vm_get_claims(vm), VMEM_CLAIM_BIT(held));
            } else {
                assert_int_equal(code, 0);
                assert_int_equal(vmem_vm_get_claims(vm),
                                 VMEM_CLAIM_BIT(held) | VMEM_CLAIM_BIT(asked));
                release(second);
            }
            release(first);
            assert_int_equal(vmem_vm_get_claims(vm), 0);
        }
    }
    close_vm(vm);
}

/* AR1: any number of each kind, and the kind is held until the last one goes. */
static void claims_of_a_kind_are_counted(void **state)
{
    struct vmem_discard_claim *claims[20];
    struct vmem_discard_claim *opposite;
    struct vmem_vm *vm = new_vm();

    (void)state;
    for (unsigned int i = 0; i < 20; i++) {
        claims[i] = take(vm, FORBID_UNCOORDINATED, "group");
    }
    for (unsigned int i = 0; i < 20; i++) {
        assert_int_equal(vmem_discard_claim_take(vm, NEED_UNCOORDINATED, "b",
                                                 &opposite, NULL),
                         -EBUSY);
        assert_int_equal(vmem_vm_get_claims(vm),
                         VMEM_CLAIM_BIT(FORBID_UNCOORDINATED));
        release(claims[(i * 7) % 20]);
    }
    assert_int_equal(vmem_vm_get_claims(vm), 0);
    release(take(vm, NEED_UNCOORDINATED, "b"));
    close_vm(vm);
}

/* AR6, B46: QEMU's counters underflow silently; here a claim is a thing that its
 * taker has, and nothing else can be taken away. */
static void a_release_takes_away_its_own_claim_only(void **state)
{
    struct vmem_vm *vm = new_vm();
    struct vmem_discard_claim *first = take(vm, FORBID_ALL, "a");
    struct vmem_discard_claim *second = take(vm, FORBID_ALL, "b");

    (void)state;
    release(first);
    assert_int_equal(vmem_discard_claim_release(NULL, NULL), 0);
    assert_int_equal(vmem_vm_get_claims(vm), VMEM_CLAIM_BIT(FORBID_ALL));
    release(second);
    assert_int_equal(vmem_vm_get_claims(vm), 0);
    close_vm(vm);
}

/* AR7, AR8, AR13: what a balloon or RDMA asks without holding anything. */
static void readers_learn_what_is_forbidden_and_needed(void **state)
{
    static const struct {
        uint32_t kind;
        bool forbidden;
        bool needed;
    } cases[] = {
        { FORBID_ALL, true, false },
        { FORBID_UNCOORDINATED, true, false },
        { NEED_UNCOORDINATED, false, true },
        { NEED_COORDINATED, false, true },
    };
    struct vmem_discard_claim *both[2];
    struct vmem_vm *vm = new_vm();

    (void)state;
    assert_false(vmem_vm_is_uncoordinated_forbidden(vm));
    assert_false(vmem_vm_is_discard_needed(vm));
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vmem_discard_claim *claim = take(vm, cases[i].kind, "a");

        assert_int_equal(vmem_vm_is_uncoordinated_forbidden(vm),
                         cases[i].forbidden);
        assert_int_equal(vmem_vm_is_discard_needed(vm), cases[i].needed);
        release(claim);
    }
    both[0] = take(vm, FORBID_UNCOORDINATED, "vfio");
    both[1] = take(vm, NEED_COORDINATED, "virtio-mem");
    assert_true(vmem_vm_is_uncoordinated_forbidden(vm));
    assert_true(vmem_vm_is_discard_needed(vm));
    release(both[0]);
    release(both[1]);
    close_vm(vm);
}

static int make_device(struct world *world, struct vmem_device **device,
                       struct vmem_error *err)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "memory device",
                                               .block_size = UNIT };

    return vmem_device_new(world->region, &config, NULL, NULL, device, err);
}

/* AR9: whoever pins all and follows nothing keeps virtio-mem away. */
static void a_full_forbid_keeps_devices_away(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_device *device = NULL;
    struct vmem_discard_claim *claim;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    claim = take(world.vm, FORBID_ALL, "sev guest");
    assert_int_equal(make_device(&world, &device, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_CLAIM_CONFLICT);
    assert_non_null(strstr(err.message, "sev guest"));
    assert_null(device);
    world_expect(&world, "");
    assert_string_equal(world_populated_runs(&world), "[0,16)");
    release(claim);
    assert_int_equal(make_device(&world, &device, &err), 0);
    assert_int_equal(vmem_device_free(device, NULL), 0);
    world_close(&world);
}

/* AR10: VFIO lives with virtio-mem, and not with a balloon. */
static void who_follows_a_region_lives_with_devices(void **state)
{
    struct vmem_discard_claim *balloon = NULL;
    struct vmem_discard_claim *vfio;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_device *device;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    vfio = take(world.vm, FORBID_UNCOORDINATED, "vfio group 7");
    assert_int_equal(make_device(&world, &device, NULL), 0);
    assert_int_equal(vmem_discard_claim_take(world.vm, NEED_UNCOORDINATED,
                                             "balloon", &balloon, &err),
                     -EBUSY);
    assert_non_null(strstr(err.message, "vfio group 7"));
    /* Not the device, with which it does not conflict. */
    assert_null(strstr(err.message, "memory device"));
    release(vfio);
    balloon = take(world.vm, NEED_UNCOORDINATED, "balloon");
    release(balloon);
    assert_int_equal(vmem_device_free(device, NULL), 0);
    world_close(&world);
}

static int list_claim(uint32_t kind, const char *owner, void *opaque)
{
    g_string_append_printf(opaque, "%u:%s ", kind, owner);
    return strcmp(owner, "stop") == 0 ? 5 : 0;
}

/* AR11, AR12: needing is a claim as well, held from creation to removal. */
static void a_device_needs_coordinated_for_as_long_as_it_lives(void **state)
{
    struct vmem_discard_claim *claim = NULL;
    struct vmem_error err = VMEM_ERROR_INIT;
    GString *text = g_string_new(NULL);
    struct vmem_device *device;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    assert_int_equal(make_device(&world, &device, NULL), 0);
    assert_int_equal(vmem_vm_get_claims(world.vm),
                     VMEM_CLAIM_BIT(NEED_COORDINATED));
    assert_int_equal(vmem_vm_for_each_claim(world.vm, list_claim, text), 0);
    assert_string_equal(text->str, "4:memory device ");
    assert_int_equal(
        vmem_discard_claim_take(world.vm, FORBID_ALL, "pinner", &claim, &err),
        -EBUSY);
    assert_non_null(strstr(err.message, "memory device"));
    assert_int_equal(vmem_device_reset(device, VMEM_RESET_SYSTEM, NULL), 0);
    assert_int_equal(vmem_vm_get_claims(world.vm),
                     VMEM_CLAIM_BIT(NEED_COORDINATED));
    assert_int_equal(vmem_device_free(device, NULL), 0);
    assert_int_equal(vmem_vm_get_claims(world.vm), 0);
    g_string_free(text, TRUE);
    world_close(&world);
}

/* AR14: one of a group gives its claim up early, and only its own. */
static void a_claim_can_be_given_up_early(void **state)
{
    struct vmem_vm *vm = new_vm();
    struct vmem_discard_claim *mediated = take(vm, FORBID_UNCOORDINATED, "ap");
    struct vmem_discard_claim *physical = take(vm, FORBID_UNCOORDINATED, "pci");

    (void)state;
    release(mediated);
    assert_true(vmem_vm_is_uncoordinated_forbidden(vm));
    release(physical);
    assert_false(vmem_vm_is_uncoordinated_forbidden(vm));
    close_vm(vm);
}

/* AR15: a device that cannot be made leaves no claim. */
static void a_failed_device_leaves_no_claim(void **state)
{
    struct vmem_device *device = NULL;
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    source = world_add_source(&world, "memory device", UNIT, 0);
    assert_int_equal(make_device(&world, &device, NULL), -EEXIST);
    assert_int_equal(vmem_vm_get_claims(world.vm), 0);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    assert_int_equal(make_device(&world, &device, NULL), -EBUSY);
    assert_int_equal(vmem_vm_get_claims(world.vm), 0);
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    world_close(&world);
}

/* AR16. */
static void a_claim_is_no_lock_against_discards(void **state)
{
    const struct vmem_range some = { 4 * UNIT, UNIT };
    struct vmem_discard_claim *claim;
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    source = world_add_source(&world, "s", UNIT,
                              VMEM_SOURCE_DISCARDS | VMEM_SOURCE_POPULATED);
    claim = take(world.vm, FORBID_ALL, "a");
    assert_int_equal(vmem_source_discard(source, &some, NULL), 0);
    world_expect(&world, "mem-[4,5)");
    release(claim);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

static void bad_arguments_are_refused(void **state)
{
    struct vmem_discard_watcher *watcher = NULL;
    struct vmem_discard_claim *claim = NULL;
    char longest[VMEM_NAME_MAX + 2];
    struct vmem_vm *vm = new_vm();

    (void)state;
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(vmem_discard_claim_take(NULL, 1, "a", &claim, NULL),
                     -EINVAL);
    assert_int_equal(vmem_discard_claim_take(vm, 0, "a", &claim, NULL),
                     -EINVAL);
    assert_int_equal(vmem_discard_claim_take(vm, 5, "a", &claim, NULL),
                     -EINVAL);
    assert_int_equal(vmem_discard_claim_take(vm, UINT32_MAX, "a", &claim, NULL),
                     -EINVAL);
    assert_int_equal(vmem_discard_claim_take(vm, 1, NULL, &claim, NULL),
                     -EINVAL);
    assert_int_equal(vmem_discard_claim_take(vm, 1, "", &claim, NULL), -EINVAL);
    assert_int_equal(vmem_discard_claim_take(vm, 1, longest, &claim, NULL),
                     -ERANGE);
    assert_int_equal(vmem_discard_claim_take(vm, 1, "a", NULL, NULL), -EINVAL);
    assert_null(claim);
    assert_int_equal(vmem_vm_get_claims(vm), 0);
    assert_int_equal(vmem_discard_watcher_add(vm, NULL, NULL, &watcher, NULL),
                     -EINVAL);
    assert_int_equal(vmem_vm_for_each_claim(NULL, list_claim, NULL), -EINVAL);
    assert_int_equal(vmem_vm_for_each_claim(vm, NULL, NULL), -EINVAL);
    close_vm(vm);
}

static void claims_are_visited_in_the_order_of_taking(void **state)
{
    GString *text = g_string_new(NULL);
    struct vmem_vm *vm = new_vm();
    struct vmem_discard_claim *claims[] = {
        take(vm, NEED_COORDINATED, "b"),
        take(vm, FORBID_UNCOORDINATED, "a"),
        take(vm, NEED_COORDINATED, "stop"),
        take(vm, NEED_COORDINATED, "c"),
    };

    (void)state;
    assert_int_equal(vmem_vm_for_each_claim(vm, list_claim, text), 5);
    assert_string_equal(text->str, "4:b 2:a 4:stop ");
    release(claims[2]);
    g_string_truncate(text, 0);
    assert_int_equal(vmem_vm_for_each_claim(vm, list_claim, text), 0);
    assert_string_equal(text->str, "4:b 2:a 4:c ");
    release(claims[0]);
    release(claims[1]);
    release(claims[3]);
    g_string_free(text, TRUE);
    close_vm(vm);
}

static void many_holders_are_named_and_counted(void **state)
{
    struct vmem_discard_claim *claims[100];
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_discard_claim *claim;
    struct vmem_vm *vm = new_vm();

    (void)state;
    for (unsigned int i = 0; i < 100; i++) {
        claims[i] = take(vm, FORBID_ALL, "a rather long name of a holder");
    }
    assert_int_equal(
        vmem_discard_claim_take(vm, NEED_COORDINATED, "x", &claim, &err),
        -EBUSY);
    assert_non_null(strstr(err.message, " more"));
    for (unsigned int i = 0; i < 100; i++) {
        release(claims[i]);
    }
    close_vm(vm);
}

/* ---- watchers ---- */

struct watch {
    struct vmem_vm *vm;
    struct vmem_discard_watcher *watcher;
    GString *text; /* or NULL */
    _Atomic uint32_t last;
    _Atomic unsigned int nr_calls;
    _Atomic unsigned int nr_inside;
    _Atomic unsigned int nr_overlaps;
    struct vmem_discard_watcher *remove; /* in the next call */
    uint32_t take;                       /* in the next call, a kind */
    struct vmem_discard_claim *claim;
    int code;
};

static void on_change(uint32_t claims, void *opaque)
{
    struct watch *it = opaque;

    if (atomic_fetch_add(&it->nr_inside, 1) != 0) {
        atomic_fetch_add(&it->nr_overlaps, 1);
    }
    atomic_store(&it->last, claims);
    atomic_fetch_add(&it->nr_calls, 1);
    if (it->text != NULL) {
        g_string_append_printf(it->text, "%x ", claims);
    }
    if (it->remove != NULL) {
        struct vmem_discard_watcher *removed = it->remove;

        it->remove = NULL;
        it->code = vmem_discard_watcher_remove(removed, NULL);
    }
    if (it->take != 0) {
        const uint32_t kind = it->take;

        it->take = 0;
        it->code =
            vmem_discard_claim_take(it->vm, kind, "watcher", &it->claim, NULL);
    }
    atomic_fetch_sub(&it->nr_inside, 1);
}

static void add_watch(struct vmem_vm *vm, struct watch *it, GString *text)
{
    memset(it, 0, sizeof(*it));
    it->vm = vm;
    it->text = text;
    it->code = 1;
    assert_int_equal(
        vmem_discard_watcher_add(vm, on_change, it, &it->watcher, NULL), 0);
}

static void remove_watch(struct watch *it)
{
    assert_int_equal(vmem_discard_watcher_remove(it->watcher, NULL), 0);
}

static void watchers_hear_of_changes_of_the_set_only(void **state)
{
    GString *text = g_string_new(NULL);
    struct vmem_discard_claim *a;
    struct vmem_discard_claim *b;
    struct vmem_vm *vm = new_vm();
    struct watch watch;

    (void)state;
    a = take(vm, FORBID_UNCOORDINATED, "a");
    add_watch(vm, &watch, text);
    assert_string_equal(text->str, "");
    b = take(vm, FORBID_UNCOORDINATED, "b");
    assert_string_equal(text->str, "");
    release(a);
    assert_string_equal(text->str, "");
    release(b);
    assert_string_equal(text->str, "0 ");
    a = take(vm, NEED_COORDINATED, "a");
    b = take(vm, FORBID_UNCOORDINATED, "b");
    assert_string_equal(text->str, "0 10 14 ");
    release(a);
    release(b);
    assert_string_equal(text->str, "0 10 14 4 0 ");
    /* A refused claim is no change. */
    a = take(vm, FORBID_ALL, "a");
    assert_int_equal(
        vmem_discard_claim_take(vm, NEED_COORDINATED, "b", &b, NULL), -EBUSY);
    assert_string_equal(text->str, "0 10 14 4 0 2 ");
    remove_watch(&watch);
    release(a);
    assert_string_equal(text->str, "0 10 14 4 0 2 ");
    g_string_free(text, TRUE);
    close_vm(vm);
}

static void a_watcher_may_remove_itself(void **state)
{
    struct vmem_vm *vm = new_vm();
    struct watch first;
    struct watch second;

    (void)state;
    add_watch(vm, &first, NULL);
    add_watch(vm, &second, NULL);
    first.remove = first.watcher;
    release(take(vm, FORBID_ALL, "a"));
    assert_int_equal(first.code, 0);
    assert_int_equal(first.nr_calls, 1);
    assert_int_equal(second.nr_calls, 2);
    remove_watch(&second);
    close_vm(vm);
}

static void a_watcher_may_remove_one_that_was_not_told_yet(void **state)
{
    struct vmem_vm *vm = new_vm();
    struct watch first;
    struct watch second;

    (void)state;
    add_watch(vm, &first, NULL);
    add_watch(vm, &second, NULL);
    first.remove = second.watcher;
    release(take(vm, FORBID_ALL, "a"));
    assert_int_equal(first.code, 0);
    assert_int_equal(first.nr_calls, 2);
    assert_int_equal(second.nr_calls, 0);
    remove_watch(&first);
    close_vm(vm);
}

/* It changes what it is being told of: calls still do not overlap, and
 * everybody's last call has the newest answer. */
static void a_watcher_may_take_a_claim(void **state)
{
    GString *texts[2] = { g_string_new(NULL), g_string_new(NULL) };
    struct vmem_discard_claim *claim;
    struct vmem_vm *vm = new_vm();
    struct watch first;
    struct watch second;

    (void)state;
    add_watch(vm, &first, texts[0]);
    add_watch(vm, &second, texts[1]);
    first.take = NEED_COORDINATED;
    claim = take(vm, FORBID_UNCOORDINATED, "a");
    assert_int_equal(first.code, 0);
    assert_int_equal(first.nr_overlaps, 0);
    assert_string_equal(texts[0]->str, "4 14 ");
    assert_true(strcmp(texts[1]->str, "14 ") == 0 ||
                strcmp(texts[1]->str, "4 14 ") == 0);
    release(claim);
    release(first.claim);
    assert_int_equal(first.last, 0);
    assert_int_equal(second.last, 0);
    remove_watch(&first);
    remove_watch(&second);
    g_string_free(texts[0], TRUE);
    g_string_free(texts[1], TRUE);
    close_vm(vm);
}

static void add_another(uint32_t claims, void *opaque)
{
    struct watch *it = opaque;

    (void)claims;
    if (it[1].watcher == NULL) {
        add_watch(it->vm, &it[1], NULL);
    }
}

/* Also one that joins while others are being told. */
static void a_new_watcher_is_not_told_the_present_state(void **state)
{
    struct vmem_vm *vm = new_vm();
    struct watch watches[2] = { { .vm = vm } };
    struct vmem_discard_claim *claim;

    (void)state;
    assert_int_equal(vmem_discard_watcher_add(vm, add_another, watches,
                                              &watches[0].watcher, NULL),
                     0);
    claim = take(vm, FORBID_ALL, "a");
    assert_non_null(watches[1].watcher);
    assert_int_equal(watches[1].nr_calls, 0);
    release(claim);
    assert_int_equal(watches[1].nr_calls, 1);
    remove_watch(&watches[0]);
    remove_watch(&watches[1]);
    close_vm(vm);
}

static void remove_and_free(uint32_t claims, void *opaque)
{
    struct watch *it = opaque;

    (void)claims;
    it->code = vmem_discard_watcher_remove(it->watcher, NULL);
    if (it->code == 0) {
        it->code = vmem_vm_free(it->vm, NULL);
    }
}

/* Who tells it comes back to look for more. */
static void a_watcher_may_not_free_the_machine(void **state)
{
    struct vmem_vm *vm = new_vm();
    struct watch watch = { .vm = vm };
    struct vmem_discard_claim *claim = take(vm, FORBID_ALL, "a");

    (void)state;
    assert_int_equal(vmem_discard_watcher_add(vm, remove_and_free, &watch,
                                              &watch.watcher, NULL),
                     0);
    release(claim);
    assert_true(watch.code == -EBUSY || watch.code == -EDEADLK);
    close_vm(vm);
}

static void linger(uint32_t claims, void *opaque)
{
    struct watch *it = opaque;

    (void)claims;
    atomic_store(&it->nr_inside, 1);
    g_usleep(30000);
    atomic_store(&it->nr_calls, 1);
}

static void *take_and_release(void *opaque)
{
    struct vmem_discard_claim *claim;

    if (vmem_discard_claim_take(opaque, FORBID_ALL, "t", &claim, NULL) == 0) {
        vmem_discard_claim_release(claim, NULL);
    }
    return NULL;
}

static void removing_waits_for_a_running_call(void **state)
{
    struct vmem_vm *vm = new_vm();
    struct watch watch = { .vm = vm };
    pthread_t thread;

    (void)state;
    assert_int_equal(
        vmem_discard_watcher_add(vm, linger, &watch, &watch.watcher, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, take_and_release, vm), 0);
    while (atomic_load(&watch.nr_inside) == 0) {
        g_usleep(100);
    }
    remove_watch(&watch);
    assert_int_equal(watch.nr_calls, 1);
    pthread_join(thread, NULL);
    close_vm(vm);
}

/* Several threads change the set while others watch it. */
#define NR_THREADS 4
#define NR_ROUNDS 3000

static void *churn(void *opaque)
{
    struct vmem_vm *vm = opaque;

    for (unsigned int i = 0; i < NR_ROUNDS; i++) {
        struct vmem_discard_claim *claim;

        if (vmem_discard_claim_take(vm, i % 4 + 1, "churn", &claim, NULL) ==
            0) {
            vmem_discard_claim_release(claim, NULL);
        }
        if (i % 16 == 0) {
            struct watch watch = { .vm = vm };

            if (vmem_discard_watcher_add(vm, on_change, &watch, &watch.watcher,
                                         NULL) == 0) {
                vmem_discard_watcher_remove(watch.watcher, NULL);
            }
        }
    }
    return NULL;
}

static void
calls_of_a_watcher_do_not_overlap_and_end_with_the_truth(void **state)
{
    struct vmem_discard_claim *claim;
    struct vmem_vm *vm = new_vm();
    pthread_t threads[NR_THREADS];
    struct watch watches[3];

    (void)state;
    for (unsigned int i = 0; i < 3; i++) {
        add_watch(vm, &watches[i], NULL);
    }
    for (unsigned int i = 0; i < NR_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, vm), 0);
    }
    for (unsigned int i = 0; i < NR_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned int i = 0; i < 3; i++) {
        assert_int_equal(watches[i].nr_overlaps, 0);
        assert_true(watches[i].nr_calls > 0);
        assert_int_equal(watches[i].last, 0);
    }
    claim = take(vm, FORBID_ALL, "last");
    for (unsigned int i = 0; i < 3; i++) {
        assert_int_equal(watches[i].last, VMEM_CLAIM_BIT(FORBID_ALL));
        remove_watch(&watches[i]);
    }
    release(claim);
    close_vm(vm);
}

/* ---- walks on two threads ---- */

struct walks {
    struct vmem_vm *vm;
    _Atomic unsigned int nr_inside;
};

/* Gives the other thread time to get into its walk, too. */
static void meet(struct walks *it)
{
    atomic_fetch_add(&it->nr_inside, 1);
    for (unsigned int i = 0; i < 500 && atomic_load(&it->nr_inside) < 2; i++) {
        g_usleep(100);
    }
}

static int nothing_region(struct vmem_region *region, void *opaque)
{
    (void)region;
    (void)opaque;
    return 0;
}

static int nothing_claim(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    (void)opaque;
    return 0;
}

static int visit_region(struct vmem_region *region, void *opaque)
{
    struct walks *it = opaque;

    (void)region;
    meet(it);
    return vmem_vm_for_each_claim(it->vm, nothing_claim, NULL);
}

static int visit_claim(uint32_t kind, const char *owner, void *opaque)
{
    struct walks *it = opaque;

    (void)kind;
    (void)owner;
    meet(it);
    return vmem_vm_for_each_region(it->vm, nothing_region, NULL);
}

static void *walk_claims(void *opaque)
{
    struct walks *it = opaque;

    vmem_vm_for_each_claim(it->vm, visit_claim, it);
    return NULL;
}

/* Regions inside claims on one thread, claims inside regions on another. */
static void nested_walks_on_two_threads_do_not_wait_for_each_other(void **state)
{
    struct vmem_discard_claim *claim;
    struct walks walks;
    struct world world;
    pthread_t thread;

    (void)state;
    world_open(&world, UNIT, UNIT, 0);
    claim = take(world.vm, FORBID_ALL, "a");
    walks.vm = world.vm;
    atomic_store(&walks.nr_inside, 0);
    alarm(20); /* a deadlock kills the test instead of hanging it */
    assert_int_equal(pthread_create(&thread, NULL, walk_claims, &walks), 0);
    assert_int_equal(vmem_vm_for_each_region(world.vm, visit_region, &walks),
                     0);
    pthread_join(thread, NULL);
    alarm(0);
    release(claim);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_conflict_as_the_table_says),
        cmocka_unit_test(claims_of_a_kind_are_counted),
        cmocka_unit_test(a_release_takes_away_its_own_claim_only),
        cmocka_unit_test(readers_learn_what_is_forbidden_and_needed),
        cmocka_unit_test(a_full_forbid_keeps_devices_away),
        cmocka_unit_test(who_follows_a_region_lives_with_devices),
        cmocka_unit_test(a_device_needs_coordinated_for_as_long_as_it_lives),
        cmocka_unit_test(a_claim_can_be_given_up_early),
        cmocka_unit_test(a_failed_device_leaves_no_claim),
        cmocka_unit_test(a_claim_is_no_lock_against_discards),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(claims_are_visited_in_the_order_of_taking),
        cmocka_unit_test(many_holders_are_named_and_counted),
        cmocka_unit_test(watchers_hear_of_changes_of_the_set_only),
        cmocka_unit_test(a_watcher_may_remove_itself),
        cmocka_unit_test(a_watcher_may_remove_one_that_was_not_told_yet),
        cmocka_unit_test(a_watcher_may_take_a_claim),
        cmocka_unit_test(a_new_watcher_is_not_told_the_present_state),
        cmocka_unit_test(a_watcher_may_not_free_the_machine),
        cmocka_unit_test(removing_waits_for_a_running_call),
        cmocka_unit_test(
            calls_of_a_watcher_do_not_overlap_and_end_with_the_truth),
        cmocka_unit_test(
            nested_walks_on_two_threads_do_not_wait_for_each_other),
    };

    return cmocka_run_group_tests_name("claim", tests, NULL, NULL);
}
