/* SPDX-License-Identifier: BSD-3-Clause */
/* The discard policy against a table and a list. Claims come and go from the
 * host, from devices, and from inside watchers. */
#include <errno.h>

#include <vmem/vmem.h>

#include "base/alloc.h"
#include "fuzz_check.h"
#include "fuzz_input.h"
#include "support/quiet.h"

#define MAX_CLAIMS 12
#define MAX_WATCHERS 4
#define NR_DEVICES 2
#define BLOCK_SIZE ((uint64_t)1 << 20)

/* One claim that is held; a device's has no handle. */
struct claim {
    struct vmem_discard_claim *handle;
    uint32_t kind;
    char owner[8];
};

struct watcher {
    struct state *state;
    struct vmem_discard_watcher *handle; /* NULL: not there */
    uint32_t told;                       /* claims, as last heard */
    uint8_t reaction;                    /* what it does when it hears */
    bool running;
};

struct state {
    struct vmem_vm *vm;
    struct vmem_region *regions[NR_DEVICES];
    struct vmem_device *devices[NR_DEVICES];
    struct fuzz_input *input;
    struct claim claims[MAX_CLAIMS]; /* in the order of taking */
    unsigned nr_claims;
    struct watcher watchers[MAX_WATCHERS];
    unsigned nr_names;
    bool fail_alloc;
    bool failed_alloc;
    unsigned depth; /* of reactions */
    const char *broken;
};

static struct state *allocating;

static bool may_allocate(size_t size)
{
    (void)size;
    if (allocating->fail_alloc) {
        allocating->fail_alloc = false;
        allocating->failed_alloc = true;
        return false;
    }
    return true;
}

static void note(struct state *state, bool condition, const char *what)
{
    if (!condition && state->broken == NULL) {
        state->broken = what;
    }
}

/* The table of <vmem/claim.h>. */
static bool conflict(uint32_t a, uint32_t b)
{
    static const bool table[5][5] = {
        [VMEM_CLAIM_FORBID_ALL] = { [VMEM_CLAIM_NEED_UNCOORDINATED] = true,
                                    [VMEM_CLAIM_NEED_COORDINATED] = true },
        [VMEM_CLAIM_FORBID_UNCOORDINATED] = { [VMEM_CLAIM_NEED_UNCOORDINATED] =
                                                  true },
        [VMEM_CLAIM_NEED_UNCOORDINATED] = { [VMEM_CLAIM_FORBID_ALL] = true,
                                            [VMEM_CLAIM_FORBID_UNCOORDINATED] =
                                                true },
        [VMEM_CLAIM_NEED_COORDINATED] = { [VMEM_CLAIM_FORBID_ALL] = true },
    };

    return table[a][b];
}

static bool may_take(const struct state *state, uint32_t kind)
{
    for (unsigned i = 0; i < state->nr_claims; i++) {
        if (conflict(kind, state->claims[i].kind)) {
            return false;
        }
    }
    return true;
}

static uint32_t held(const struct state *state)
{
    uint32_t claims = 0;

    for (unsigned i = 0; i < state->nr_claims; i++) {
        claims |= VMEM_CLAIM_BIT(state->claims[i].kind);
    }
    return claims;
}

/* The model changes before the call: watchers run inside it, and look. */
static struct claim *add_claim(struct state *state, uint32_t kind,
                               const char *owner)
{
    struct claim *claim = &state->claims[state->nr_claims++];

    *claim = (struct claim){ .kind = kind };
    snprintf(claim->owner, sizeof(claim->owner), "%s", owner);
    return claim;
}

static void drop_claim(struct state *state, unsigned i)
{
    state->nr_claims--;
    memmove(&state->claims[i], &state->claims[i + 1],
            (state->nr_claims - i) * sizeof(state->claims[0]));
}

static int find_owner(const struct state *state, const char *owner)
{
    for (unsigned i = 0; i < state->nr_claims; i++) {
        if (strcmp(state->claims[i].owner, owner) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* A name that nobody else has. */
static void next_name(struct state *state, char *name, size_t size)
{
    snprintf(name, size, "c%u", state->nr_names++ % 10000);
}

static void take(struct state *state, uint32_t kind)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_discard_claim *handle = NULL;
    bool known =
        kind >= VMEM_CLAIM_FORBID_ALL && kind <= VMEM_CLAIM_NEED_COORDINATED;
    bool allowed = known && may_take(state, kind);
    char name[8];
    int ret;

    if (state->nr_claims == MAX_CLAIMS) {
        return;
    }
    next_name(state, name, sizeof(name));
    if (allowed && !state->fail_alloc) {
        add_claim(state, kind, name);
    }
    state->failed_alloc = false;
    ret = vmem_discard_claim_take(state->vm, kind, name, &handle, &err);
    if (ret == 0) {
        int i = find_owner(state, name);

        /* A watcher may not have released it: it had no handle yet. */
        note(state, allowed && i >= 0 && handle != NULL, "taken");
        if (i >= 0) {
            state->claims[i].handle = handle;
        }
        return;
    }
    note(state, handle == NULL && err.code == ret, "touched on failure");
    if (!known) {
        note(state, ret == -EINVAL, "an unknown kind was taken");
    } else if (ret == -ENOMEM) {
        note(state, state->failed_alloc, "out of memory");
    } else {
        note(state, ret == -EBUSY && !allowed, "refused without conflict");
        note(state, err.reason == VMEM_REASON_CLAIM_CONFLICT, "reason");
    }
}

static void release(struct state *state, unsigned i)
{
    struct vmem_discard_claim *handle;
    int ret;

    if (i >= state->nr_claims || state->claims[i].handle == NULL) {
        ret = vmem_discard_claim_release(NULL, NULL);
        note(state, ret == 0, "nothing was not released");
        return;
    }
    handle = state->claims[i].handle;
    drop_claim(state, i);
    ret = vmem_discard_claim_release(handle, NULL);
    note(state, ret == 0, "release");
}

/* A device claims by itself, under its name. */
static void toggle_device(struct state *state, unsigned i)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = i == 0 ? "device0" : "device1",
        .gpa = i * BLOCK_SIZE,
        .block_size = BLOCK_SIZE,
    };
    struct vmem_device *device = NULL;
    bool allowed = may_take(state, VMEM_CLAIM_NEED_COORDINATED);
    int ret;

    if (state->devices[i] != NULL) {
        device = state->devices[i];
        state->devices[i] = NULL;
        ret = find_owner(state, config.name);
        note(state, ret >= 0, "a device's claim is gone");
        if (ret >= 0) {
            drop_claim(state, (unsigned)ret);
        }
        note(state, vmem_device_free(device, NULL) == 0, "freeing a device");
        return;
    }
    if (state->nr_claims == MAX_CLAIMS) {
        return;
    }
    state->fail_alloc = false;
    if (allowed) {
        add_claim(state, VMEM_CLAIM_NEED_COORDINATED, config.name);
    }
    ret =
        vmem_device_new(state->regions[i], &config, NULL, NULL, &device, NULL);
    if (!allowed) {
        note(state, ret == -EBUSY, "a device in spite of a conflict");
    } else {
        note(state, ret == 0, "making a device");
        state->devices[i] = device;
    }
}

static void on_change(uint32_t claims, void *opaque);

static void toggle_watcher(struct state *state, unsigned i, uint8_t reaction)
{
    struct watcher *watcher = &state->watchers[i];
    struct vmem_discard_watcher *handle = NULL;
    int ret;

    if (watcher->handle == NULL && watcher->running) {
        return; /* removed inside, and its struct is still in use */
    }
    if (watcher->handle != NULL) {
        handle = watcher->handle;
        watcher->handle = NULL;
        ret = vmem_discard_watcher_remove(handle, NULL);
        note(state, ret == 0, "removing a watcher");
        return;
    }
    watcher->state = state;
    watcher->told = held(state);
    watcher->reaction = reaction;
    state->failed_alloc = false;
    ret =
        vmem_discard_watcher_add(state->vm, on_change, watcher, &handle, NULL);
    note(state, ret == 0 || (ret == -ENOMEM && state->failed_alloc),
         "adding a watcher");
    watcher->handle = handle;
}

static void react(struct state *state, struct watcher *watcher)
{
    uint8_t reaction = watcher->reaction;

    switch (reaction & 7) {
    case 1:
        take(state, 1 + (reaction >> 3 & 3));
        break;
    case 2:
        release(state, reaction >> 3);
        break;
    case 3: /* itself */
        toggle_watcher(state, (unsigned)(watcher - state->watchers), 0);
        break;
    case 4:
        toggle_watcher(state, (reaction >> 3) % MAX_WATCHERS, 1);
        break;
    default:
        break;
    }
}

static void on_change(uint32_t claims, void *opaque)
{
    struct watcher *watcher = opaque;
    struct state *state = watcher->state;

    note(state, watcher->handle != NULL, "told after removal");
    note(state, !watcher->running, "calls of a watcher overlap");
    note(state, claims == vmem_vm_get_claims(state->vm), "not the newest");
    note(state, claims == held(state), "told the wrong set");
    watcher->told = claims;
    /* Reactions change the set, which is told again; not for ever. */
    if (state->depth < 6) {
        state->depth++;
        watcher->running = true;
        react(state, watcher);
        watcher->running = false;
    }
}

struct walk {
    struct state *state;
    unsigned at;
    unsigned stop_at;
};

static int visit(uint32_t kind, const char *owner, void *opaque)
{
    struct walk *walk = opaque;
    struct state *state = walk->state;
    struct vmem_discard_claim *handle = NULL;
    struct vmem_discard_watcher *watcher = NULL;
    unsigned i = walk->at++;

    if (i >= state->nr_claims || state->claims[i].kind != kind ||
        strcmp(state->claims[i].owner, owner) != 0) {
        note(state, false, "a walk shows something else");
        return -EPROTO;
    }
    note(state,
         vmem_discard_claim_take(state->vm, kind, "x", &handle, NULL) ==
                 -EDEADLK &&
             handle == NULL,
         "taken inside a walk");
    note(state,
         vmem_discard_watcher_add(state->vm, on_change, &state->watchers[0],
                                  &watcher, NULL) == -EDEADLK,
         "watched inside a walk");
    note(state,
         state->watchers[1].handle == NULL ||
             vmem_discard_watcher_remove(state->watchers[1].handle, NULL) ==
                 -EDEADLK,
         "not watched inside a walk");
    note(state,
         vmem_discard_claim_release(state->claims[i].handle, NULL) ==
             (state->claims[i].handle != NULL ? -EDEADLK : 0),
         "released inside a walk");
    return i + 1 == walk->stop_at ? 9 : 0;
}

static int visit_outer(uint32_t kind, const char *owner, void *opaque)
{
    struct walk inner = { .state = ((struct walk *)opaque)->state };

    note(inner.state,
         vmem_vm_for_each_claim(inner.state->vm, visit, &inner) == 0 &&
             inner.at == inner.state->nr_claims,
         "a walk inside a walk");
    return visit(kind, owner, opaque);
}

static void check_walk(struct state *state, unsigned stop_at, bool nested)
{
    struct walk walk = { .state = state, .stop_at = stop_at };
    bool stops = stop_at > 0 && stop_at <= state->nr_claims;
    int ret =
        vmem_vm_for_each_claim(state->vm, nested ? visit_outer : visit, &walk);

    note(state, ret == (stops ? 9 : 0), "what a walk returned");
    note(state, walk.at == (stops ? stop_at : state->nr_claims), "walk");
}

static void check_wrong_arguments(struct state *state, uint32_t kind)
{
    struct vmem_discard_claim *handle = NULL;
    struct vmem_discard_watcher *watcher = NULL;
    char name[VMEM_NAME_MAX + 2];

    state->fail_alloc = false;
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    note(state,
         vmem_discard_claim_take(NULL, kind, "x", &handle, NULL) == -EINVAL,
         "no vm");
    note(state,
         vmem_discard_claim_take(state->vm, kind, "x", NULL, NULL) == -EINVAL,
         "no out");
    note(state,
         vmem_discard_claim_take(state->vm, 1, "", &handle, NULL) == -EINVAL,
         "no name");
    note(state,
         vmem_discard_claim_take(state->vm, 1, name, &handle, NULL) == -ERANGE,
         "a long name");
    note(state, vmem_vm_for_each_claim(state->vm, NULL, NULL) == -EINVAL,
         "no fn");
    note(state,
         vmem_discard_watcher_add(state->vm, NULL, NULL, &watcher, NULL) ==
             -EINVAL,
         "no watcher fn");
    note(state, vmem_discard_watcher_remove(NULL, NULL) == 0, "no watcher");
    note(state, handle == NULL && watcher == NULL, "touched on failure");
}

static void check(struct state *state)
{
    const uint32_t claims = held(state);
    const uint32_t forbids = VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_ALL) |
                             VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_UNCOORDINATED);
    const uint32_t needs = VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_UNCOORDINATED) |
                           VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_COORDINATED);

    fuzz_check(state->broken == NULL, "%s", state->broken);
    fuzz_check(vmem_vm_get_claims(state->vm) == claims, "%x, not %x",
               vmem_vm_get_claims(state->vm), claims);
    fuzz_check(vmem_vm_is_uncoordinated_forbidden(state->vm) ==
                   ((claims & forbids) != 0),
               "forbidden");
    fuzz_check(vmem_vm_is_discard_needed(state->vm) == ((claims & needs) != 0),
               "needed");
    for (unsigned i = 0; i < MAX_WATCHERS; i++) {
        fuzz_check(state->watchers[i].handle == NULL ||
                       state->watchers[i].told == claims,
                   "watcher %u believes %x, not %x", i, state->watchers[i].told,
                   claims);
    }
}

static void step(struct state *state)
{
    uint8_t op = fuzz_u8(state->input);
    unsigned arg = op >> 3;

    state->depth = 0;
    switch (op & 7) {
    case 0:
    case 1:
        take(state,
             arg == 31 ? (uint32_t)fuzz_number(state->input) : 1 + (arg & 3));
        break;
    case 2:
    case 3:
        release(state, arg % MAX_CLAIMS);
        break;
    case 4:
        toggle_watcher(state, arg % MAX_WATCHERS, fuzz_u8(state->input));
        break;
    case 5:
        toggle_device(state, arg % NR_DEVICES);
        break;
    case 6:
        check_walk(state, arg & 15, arg >> 4 != 0);
        break;
    default:
        if (arg < 16) {
            state->fail_alloc = true;
        } else {
            check_wrong_arguments(state, arg);
        }
        break;
    }
    check(state);
}

static void set_up(struct state *state)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = quiet_log,
        .clock_ns = quiet_clock,
    };
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "region",
        .size = BLOCK_SIZE,
    };
    int ret = vmem_vm_new(&vm_config, &state->vm, NULL);

    for (unsigned i = 0; ret == 0 && i < NR_DEVICES; i++) {
        ret = vmem_region_new(state->vm, &region_config, &state->regions[i],
                              NULL);
    }
    fuzz_check(ret == 0, "ret %d", ret);
}

static void tear_down(struct state *state)
{
    state->fail_alloc = false;
    state->depth = UINT32_MAX;
    for (unsigned i = 0; i < NR_DEVICES; i++) {
        if (state->devices[i] != NULL) {
            toggle_device(state, i);
        }
        vmem_region_free(state->regions[i], NULL);
    }
    check(state);
    while (state->nr_claims > 0) {
        fuzz_check(vmem_vm_free(state->vm, NULL) == -EBUSY, "claims are left");
        release(state, 0);
        check(state);
    }
    for (unsigned i = 0; i < MAX_WATCHERS; i++) {
        if (state->watchers[i].handle != NULL) {
            fuzz_check(vmem_vm_free(state->vm, NULL) == -EBUSY,
                       "watchers are left");
            toggle_watcher(state, i, 0);
        }
    }
    check(state);
    fuzz_check(vmem_vm_free(state->vm, NULL) == 0, "freeing the machine");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    struct state state = { .input = &input };

    allocating = &state;
    vmemi_alloc_set_hook(may_allocate);
    set_up(&state);
    while (fuzz_more(&input)) {
        step(&state);
    }
    tear_down(&state);
    vmemi_alloc_set_hook(NULL);
    return 0;
}
