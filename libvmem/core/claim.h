/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_CLAIM_H
#define VMEMI_CORE_CLAIM_H

#include <vmem/claim.h>

/* The discard policy of one machine; its struct is private to claim.c. */
struct vmemi_policy;

/* 0 or a negative errno. */
int vmemi_policy_new(struct vmemi_policy **out);
void vmemi_policy_free(struct vmemi_policy *policy);

/* -EBUSY with names if claims or watchers are left. */
int vmemi_policy_check_unused(const struct vmem_vm *vm, struct vmem_error *err);

#endif /* VMEMI_CORE_CLAIM_H */
