/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_FAULT_H
#define VMEMCTL_FAULT_H

#include <vmem/backing.h>

/* A backing around another one that claims to give memory back and does not:
 * what vmemctl must notice. Everything else is done by the inner backing, which
 * must outlive it. 0 or a negative errno. */
int fault_new_skip_discard(struct vmem_vm *vm, struct vmem_backing *inner,
                           struct vmem_backing **out, struct vmem_error *err);

#endif /* VMEMCTL_FAULT_H */
