/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_BACKING_H
#define VMEMI_CORE_BACKING_H

#include <stdatomic.h>
#include <stdbool.h>

#include <vmem/backing.h>

#include "base/name.h"
#include "core/vm.h"

/* The table through which core reaches memory. host/ implements it on Linux,
 * core/custom.c on the host program's callbacks. Ranges are checked and aligned
 * to page_size; impl is whatever vmemi_backing_new() was given. */
struct vmemi_backing_ops {
    /* 0 or a negative errno; *done says how many bytes from the start of the
     * range are certainly discarded, also on failure. Counts its system calls
     * in backing->nr_syscalls. */
    int (*discard)(struct vmem_backing *backing, const struct vmem_range *range,
                   uint64_t *done);
    /* 0 or a negative errno; on failure part of the range may be populated. */
    int (*populate)(struct vmem_backing *backing,
                    const struct vmem_range *range);
    /* Writes zeros. 0 or a negative errno. */
    int (*zero)(struct vmem_backing *backing, const struct vmem_range *range);
    /* Fills resident and method. 0 or a negative errno. */
    int (*usage)(struct vmem_backing *backing, const struct vmem_range *range,
                 struct vmem_backing_usage *usage);
    /* Fills hva, fd, fd_offset, discard, flags, kind, populate_threads. */
    void (*describe)(const struct vmem_backing *backing,
                     struct vmem_backing_info *info);
    /* Frees impl. Called once, last. */
    void (*destroy)(void *impl);
};

/* What the implementation has found out, at creation. */
struct vmemi_backing_traits {
    const char *name; /* copied */
    uint64_t size;
    uint64_t page_size;          /* smallest unit of a discard */
    uint64_t default_block_size; /* of a virtio-mem device; power of two */
    bool populate_on_plug;
    bool read_allocates; /* reading discarded memory allocates */
    const void *hva;     /* where it is mapped, or NULL */
};

struct vmem_backing {
    struct vmemi_child child;
    struct vmemi_name name;
    struct vmem_vm *vm;
    uint64_t size;
    uint64_t page_size;
    uint64_t default_block_size;
    bool populate_on_plug;
    bool read_allocates;
    const struct vmemi_backing_ops *ops;
    void *impl;
    const char *hva;            /* NULL: not known to be mapped */
    _Atomic(const char *) user; /* name of the region that uses it, or NULL */
    _Atomic uint64_t nr_discards;
    _Atomic uint64_t nr_discard_errors;
    _Atomic uint64_t discarded_bytes;
    _Atomic uint64_t nr_populates;
    _Atomic uint64_t nr_populate_errors;
    _Atomic uint64_t populated_bytes;
    _Atomic uint64_t zeroed_bytes;
    _Atomic uint64_t nr_syscalls;
    _Atomic uint64_t nr_threads;
    _Atomic uint64_t nr_thread_errors;
};

/* Takes over impl on success only: on failure it is still the caller's and
 * ops->destroy has not been called. 0 or a negative errno; checks name, size
 * and page_size, and that the caller is not inside a callback (-EDEADLK). */
int vmemi_backing_new(struct vmem_vm *vm,
                      const struct vmemi_backing_traits *traits,
                      const struct vmemi_backing_ops *ops, void *impl,
                      struct vmem_backing **out, struct vmem_error *err);

/* -EBUSY with the region's name if one uses it. */
int vmemi_backing_check_unused(const struct vmem_backing *backing,
                               const char *what, struct vmem_error *err);

/* For the region: ops with counting. The range is checked and aligned. */
int vmemi_backing_discard(struct vmem_backing *backing,
                          const struct vmem_range *range, uint64_t *done);
int vmemi_backing_populate(struct vmem_backing *backing,
                           const struct vmem_range *range);
int vmemi_backing_zero(struct vmem_backing *backing,
                       const struct vmem_range *range);

static inline void vmemi_backing_count_syscall(struct vmem_backing *backing)
{
    atomic_fetch_add_explicit(&backing->nr_syscalls, 1, memory_order_relaxed);
}

static inline void vmemi_backing_count_threads(struct vmem_backing *backing,
                                               uint64_t nr_started,
                                               uint64_t nr_failed)
{
    atomic_fetch_add_explicit(&backing->nr_threads, nr_started,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&backing->nr_thread_errors, nr_failed,
                              memory_order_relaxed);
}

#endif /* VMEMI_CORE_BACKING_H */
