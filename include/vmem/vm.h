/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief One virtual machine: log, clock, and the inventory.
 * @ingroup vm
 */
#ifndef VMEM_VM_H
#define VMEM_VM_H

#include <vmem/error.h>
#include <vmem/log.h>
#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup vm Virtual machine
 * @brief The root of everything: one per virtual machine.
 *
 * A vmem_vm holds the log sink, the clock, one discard policy (see @ref claim)
 * and the list of what was made in it. Backings, regions, devices and mappers
 * belong to one vmem_vm. There is no global state: several machines in one process
 * do not know of each other.
 *
 * Objects are freed children first: attachments and listeners, then devices,
 * sources and mappers, then regions, then backings; claims and watchers at any
 * time; then the vmem_vm. The other way round is refused with -EBUSY and the names
 * of what is left.
 *
 * While a callback of a listener, a custom backing or a walk runs on a thread,
 * that thread may query but not change any region of the same vmem_vm
 * (-EDEADLK). Notifications are free of that rule. Every callback must return:
 * longjmp, an exception, or leaving it by switching stacks keeps the library's
 * locks held. Callbacks of one machine must not change another
 * one whose callbacks change the first.
 * @{
 */

/**
 * The clock of a VM. Called with locks held, by several threads at once: it must
 * not call the library.
 *
 * @param opaque  vmem_vm_config::opaque.
 * @return Nanoseconds from any start; never goes back.
 */
typedef uint64_t (*vmem_clock_fn)(void *opaque);

/** What a virtual machine is made of. */
struct vmem_vm_config {
    size_t struct_size;     /**< sizeof(struct vmem_vm_config). */
    const char *name;       /**< Appears in diagnostics; required. */
    vmem_log_fn log;        /**< Log sink; NULL: standard error. */
    vmem_clock_fn clock_ns; /**< Clock; NULL: CLOCK_MONOTONIC. */
    void *opaque;           /**< Passed to log and clock_ns. */
};

/**
 * Make a virtual machine.
 *
 * @param config    What to make. @ownership{copied}
 * @param[out] out  The machine; untouched on failure.
 *                  @ownership{the caller's, freed by vmem_vm_free()}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument, no name, or struct too short.
 * @retval -ERANGE  The name is longer than #VMEM_NAME_MAX.
 * @retval -E2BIG   Unknown members are set.
 * @retval -ENOMEM  Out of memory.
 * @threads{any thread}
 * @since 0.1
 */
VMEM_API int vmem_vm_new(const struct vmem_vm_config *config,
                         struct vmem_vm **out, struct vmem_error *err);

/**
 * Free a virtual machine that nothing belongs to any more.
 *
 * @param vm        The machine; NULL is allowed and does nothing.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno; on failure the machine stays as it is.
 * @retval -EBUSY    Backings, regions, devices, mappers, claims or watchers are
 *                   left.
 * @retval -EDEADLK  Called from a callback that holds one of its locks, or from its
 *                   log sink.
 * @threads{no other call on the machine may be running}
 * @since 0.1
 */
VMEM_API int vmem_vm_free(struct vmem_vm *vm, struct vmem_error *err);

/**
 * Name of a machine.
 *
 * @param vm  The machine; NULL has no name.
 * @return The name, or NULL.
 *         @ownership{the machine's, valid until it is freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_vm_get_name(const struct vmem_vm *vm);

/**
 * Visit every region of a machine, in the order of creation.
 *
 * The machine's inventory is locked during the walk: @p fn may query the
 * regions, but making or freeing regions, backings or devices is refused in it
 * with -EDEADLK.
 *
 * @param vm      The machine.
 * @param fn      Called for each region; a value other than 0 stops the walk.
 * @param opaque  Passed to @p fn.
 * @return 0, or what @p fn returned.
 * @retval -EINVAL   NULL argument.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_vm_for_each_region(struct vmem_vm *vm,
                                     int (*fn)(struct vmem_region *region,
                                               void *opaque),
                                     void *opaque);

/**
 * Visit every virtio-mem device of a machine, in the order of creation.
 *
 * The rules of vmem_vm_for_each_region() hold.
 *
 * @param vm      The machine.
 * @param fn      Called for each device; a value other than 0 stops the walk.
 * @param opaque  Passed to @p fn.
 * @return 0, or what @p fn returned.
 * @retval -EINVAL   NULL argument.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_vm_for_each_device(struct vmem_vm *vm,
                                     int (*fn)(struct vmem_device *device,
                                               void *opaque),
                                     void *opaque);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_VM_H */
