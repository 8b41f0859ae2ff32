/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/claim.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/error.h"

#define FORBIDS                                                                \
    (VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_ALL) |                                   \
     VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_UNCOORDINATED))
#define NEEDS                                                                  \
    (VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_UNCOORDINATED) |                           \
     VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_COORDINATED))

/* The kinds that a kind cannot live with. */
static const uint32_t conflicts[VMEMI_CLAIM_KINDS] = {
    [VMEM_CLAIM_FORBID_ALL] = NEEDS,
    [VMEM_CLAIM_FORBID_UNCOORDINATED] =
        VMEM_CLAIM_BIT(VMEM_CLAIM_NEED_UNCOORDINATED),
    [VMEM_CLAIM_NEED_UNCOORDINATED] = FORBIDS,
    [VMEM_CLAIM_NEED_COORDINATED] = VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_ALL),
};

static const char *const kind_texts[VMEMI_CLAIM_KINDS] = {
    [VMEM_CLAIM_FORBID_ALL] = "forbid all",
    [VMEM_CLAIM_FORBID_UNCOORDINATED] = "forbid uncoordinated",
    [VMEM_CLAIM_NEED_UNCOORDINATED] = "need uncoordinated",
    [VMEM_CLAIM_NEED_COORDINATED] = "need coordinated",
};

struct vmem_discard_claim {
    struct vmem_vm *vm;
    GList link;
    uint32_t kind;
    struct vmemi_name owner;
};

int vmemi_policy_new(struct vmemi_policy **out)
{
    struct vmemi_policy *policy = vmemi_alloc0(sizeof(*policy));
    int ret;

    if (policy == NULL) {
        return -ENOMEM;
    }
    ret = vmemi_mutex_init(&policy->lock);
    if (ret < 0) {
        vmemi_free(policy);
        return ret;
    }
    *out = policy;
    return 0;
}

void vmemi_policy_free(struct vmemi_policy *policy)
{
    vmemi_mutex_destroy(&policy->lock);
    vmemi_free(policy);
}

int vmemi_policy_check_unused(const struct vmem_vm *vm, struct vmem_error *err)
{
    struct vmemi_policy *policy = vm->policy;
    struct vmemi_name_list names = { 0 };
    unsigned int nr_watchers;

    vmemi_mutex_lock(&policy->lock);
    for (GList *link = policy->claims.head; link != NULL; link = link->next) {
        vmemi_name_list_add(
            &names, ((struct vmem_discard_claim *)link->data)->owner.text);
    }
    /* Who tells a watcher, which may have removed itself, comes back for more. */
    nr_watchers = policy->watchers.length + policy->dispatching;
    vmemi_mutex_unlock(&policy->lock);
    if (names.nr_names + names.nr_dropped + nr_watchers == 0) {
        return 0;
    }
    vmemi_name_list_finish(&names);
    return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                      "vm \"%s\" still has discard claims (%s) and %u watchers",
                      vm->name.text, names.text, nr_watchers);
}

/* Returns whether the answer changed. */
static bool update_held(struct vmemi_policy *policy)
{
    uint32_t held = 0;

    for (uint32_t kind = 1; kind < VMEMI_CLAIM_KINDS; kind++) {
        held |= policy->nr_held[kind] > 0 ? VMEM_CLAIM_BIT(kind) : 0;
    }
    if (held == atomic_load(&policy->held)) {
        return false;
    }
    atomic_store(&policy->held, held);
    policy->generation++;
    return true;
}

static int fail_conflict(const struct vmemi_policy *policy, uint32_t kind,
                         const char *owner, struct vmem_error *err)
{
    struct vmemi_name_list names = { 0 };

    for (GList *link = policy->claims.head; link != NULL; link = link->next) {
        const struct vmem_discard_claim *claim = link->data;

        if ((conflicts[kind] & VMEM_CLAIM_BIT(claim->kind)) != 0) {
            vmemi_name_list_add(&names, claim->owner.text);
        }
    }
    vmemi_name_list_finish(&names);
    return vmemi_fail(
        err, -EBUSY, VMEM_REASON_CLAIM_CONFLICT, NULL,
        "discard claim \"%s\" of \"%s\" conflicts with those of %s",
        kind_texts[kind], owner, names.text);
}

int vmem_discard_claim_take(struct vmem_vm *vm, uint32_t kind,
                            const char *owner, struct vmem_discard_claim **out,
                            struct vmem_error *err)
{
    struct vmem_discard_claim *claim;
    struct vmemi_policy *policy;
    bool changed;
    int ret;

    if (vm == NULL || out == NULL || kind == 0 || kind >= VMEMI_CLAIM_KINDS) {
        return vmemi_fail(
            err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
            "vmem_discard_claim_take: NULL, or kind %u is none of "
            "1 to 4",
            kind);
    }
    ret = vmemi_vm_check_unlocked(vm, "vmem_discard_claim_take", err);
    if (ret < 0) {
        return ret;
    }
    claim = vmemi_alloc0(sizeof(*claim));
    if (claim == NULL) {
        return vmemi_fail_no_memory(err, "a discard claim");
    }
    ret = vmemi_name_set(&claim->owner, owner, "claim owner", err);
    if (ret < 0) {
        goto fail;
    }
    claim->vm = vm;
    claim->kind = kind;
    claim->link.data = claim;

    policy = vm->policy;
    vmemi_mutex_lock(&policy->lock);
    if ((atomic_load(&policy->held) & conflicts[kind]) != 0) {
        ret = fail_conflict(policy, kind, claim->owner.text, err);
        vmemi_mutex_unlock(&policy->lock);
        goto fail;
    }
    g_queue_push_tail_link(&policy->claims, &claim->link);
    policy->nr_held[kind]++;
    changed = update_held(policy);
    vmemi_mutex_unlock(&policy->lock);

    *out = claim;
    if (changed) {
        vmemi_watchers_tell(vm);
    }
    return 0;

fail:
    vmemi_free(claim);
    return ret;
}

int vmem_discard_claim_release(struct vmem_discard_claim *claim,
                               struct vmem_error *err)
{
    struct vmemi_policy *policy;
    struct vmem_vm *vm;
    bool changed;
    int ret;

    if (claim == NULL) {
        return 0;
    }
    vm = claim->vm;
    ret = vmemi_vm_check_unlocked(vm, "vmem_discard_claim_release", err);
    if (ret < 0) {
        return ret;
    }
    policy = vm->policy;
    vmemi_mutex_lock(&policy->lock);
    g_queue_unlink(&policy->claims, &claim->link);
    policy->nr_held[claim->kind]--;
    changed = update_held(policy);
    vmemi_mutex_unlock(&policy->lock);

    vmemi_free(claim);
    if (changed) {
        vmemi_watchers_tell(vm);
    }
    return 0;
}

uint32_t vmem_vm_get_claims(const struct vmem_vm *vm)
{
    return vm != NULL ? atomic_load(&vm->policy->held) : 0;
}

bool vmem_vm_is_uncoordinated_forbidden(const struct vmem_vm *vm)
{
    return (vmem_vm_get_claims(vm) & FORBIDS) != 0;
}

bool vmem_vm_is_discard_needed(const struct vmem_vm *vm)
{
    return (vmem_vm_get_claims(vm) & NEEDS) != 0;
}

int vmem_vm_for_each_claim(struct vmem_vm *vm,
                           int (*fn)(uint32_t kind, const char *owner,
                                     void *opaque),
                           void *opaque)
{
    struct vmemi_frame inventory_frame;
    struct vmemi_frame frame;
    bool inventory_locked;
    bool locked;
    int ret = 0;

    if (vm == NULL || fn == NULL) {
        return -EINVAL;
    }
    /* fn may walk the regions, whose callbacks may walk the claims: both walks
     * take the locks in the same order. */
    inventory_locked = vmemi_vm_lock_inventory(vm, &inventory_frame);
    locked = !vmemi_frame_is_inside(vm, VMEMI_FRAME_POLICY);
    if (locked) {
        vmemi_mutex_lock(&vm->policy->lock);
    }
    vmemi_frame_enter(&frame, vm, vm->policy, VMEMI_FRAME_POLICY);
    for (GList *link = vm->policy->claims.head; link != NULL && ret == 0;
         link = link->next) {
        const struct vmem_discard_claim *claim = link->data;

        ret = fn(claim->kind, claim->owner.text, opaque);
    }
    vmemi_frame_leave(&frame);
    if (locked) {
        vmemi_mutex_unlock(&vm->policy->lock);
    }
    vmemi_vm_unlock_inventory(vm, &inventory_frame, inventory_locked);
    return ret;
}
