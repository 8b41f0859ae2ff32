/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_FAULT_H
#define VMEMCTL_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include <vmem/backing.h>

/* A backing around another one, which does everything and must outlive it, but
 * for discards: all claim to give memory back and do not (skip), which vmemctl
 * must notice, or the one with this number, counted from 1, fails with -EIO,
 * which the library must survive; 0 is none. 0 or a negative errno. */
int fault_new(struct vmem_vm *vm, struct vmem_backing *inner, bool skip,
              uint64_t fail_at, struct vmem_backing **out,
              struct vmem_error *err);

#endif /* VMEMCTL_FAULT_H */
