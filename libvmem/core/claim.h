/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_CLAIM_H
#define VMEMI_CORE_CLAIM_H

#include <vmem/claim.h>

#include "base/lock.h"
#include "core/vm.h"

/* One more than the largest kind. */
#define VMEMI_CLAIM_KINDS (VMEM_CLAIM_NEED_COORDINATED + 1)

/* The discard policy of one machine; private to claim.c and watcher.c. */
struct vmemi_policy {
    struct vmemi_mutex lock; /* guards everything but held, to write it too */
    _Atomic uint32_t held;   /* VMEM_CLAIM_BIT of the kinds that are held */
    uint32_t nr_held[VMEMI_CLAIM_KINDS];
    GQueue claims;       /* of struct vmem_discard_claim */
    GQueue watchers;     /* of struct vmem_discard_watcher */
    uint64_t generation; /* counts changes of held */
    bool dispatching;    /* some thread is telling watchers */
};

/* 0 or a negative errno. */
int vmemi_policy_new(struct vmemi_policy **out);
void vmemi_policy_free(struct vmemi_policy *policy);

/* -EBUSY with names if claims or watchers are left. */
int vmemi_policy_check_unused(const struct vmem_vm *vm, struct vmem_error *err);

/* After held has changed; without locks. */
void vmemi_watchers_tell(struct vmem_vm *vm);

#endif /* VMEMI_CORE_CLAIM_H */
