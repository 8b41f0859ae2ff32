/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief Who needs discards, and whom they would break.
 * @ingroup claim
 */
#ifndef VMEM_CLAIM_H
#define VMEM_CLAIM_H

#include <stdbool.h>

#include <vmem/error.h>
#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup claim Discard policy
 * @brief Arbitration between those who discard memory and those who pin it.
 *
 * A *coordinated* discard goes through a region: listeners are told first and
 * unmap (virtio-mem). An *uncoordinated* one just happens (a balloon, free page
 * reporting). Whoever pins memory and follows a region can live with the first
 * but not the second (VFIO); whoever pins and does not follow can live with
 * neither (some encrypted guests, vhost-vdpa, an IOMMU that cannot unmap parts).
 *
 * Each takes a claim, with a name, for as long as it lives:
 *
 * | claim                | conflicts with                             |
 * |----------------------|--------------------------------------------|
 * | forbid all           | need uncoordinated, need coordinated       |
 * | forbid uncoordinated | need uncoordinated                         |
 * | need uncoordinated   | forbid all, forbid uncoordinated           |
 * | need coordinated     | forbid all                                 |
 *
 * Any number of claims that do not conflict may be held. A refused claim names
 * the holders. There is one policy for each vmem_vm. Claims are about discards
 * that would not work or be undone, not a lock against running ones.
 * @{
 */

/** What a claim says. */
enum vmem_discard_claim_kind {
    VMEM_CLAIM_FORBID_ALL = 1,           /**< Any discard would break me. */
    VMEM_CLAIM_FORBID_UNCOORDINATED = 2, /**< Tell me first, or break me. */
    VMEM_CLAIM_NEED_UNCOORDINATED = 3,   /**< I discard without telling. */
    VMEM_CLAIM_NEED_COORDINATED = 4      /**< I discard through a region. */
};

/** Bit of a claim kind in the answer of vmem_vm_get_claims(). */
#define VMEM_CLAIM_BIT(kind) ((uint32_t)1 << (kind))

/**
 * Called when the set of kinds that are held has changed.
 *
 * Runs after all locks are dropped; any call is legal in it. Calls of one
 * watcher never overlap, and the last one has the newest answer.
 *
 * @param claims  Set of VMEM_CLAIM_BIT() of the kinds now held.
 * @param opaque  What was passed to vmem_discard_watcher_add().
 */
typedef void (*vmem_discard_watcher_fn)(uint32_t claims, void *opaque);

/**
 * Take a claim.
 *
 * @param vm        The machine.
 * @param kind      An enum vmem_discard_claim_kind.
 * @param owner     Who claims, for people; required. @ownership{copied}
 * @param[out] out  The claim; untouched on failure.
 *                  @ownership{the caller's, released by
 *                  vmem_discard_claim_release()}
 * @param[out] err  Filled on failure, naming the holders of conflicting claims;
 *                  may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL   NULL argument or unknown kind.
 * @retval -ERANGE   The owner's name is longer than #VMEM_NAME_MAX.
 * @retval -EBUSY    A conflicting claim is held.
 * @retval -ENOMEM   Out of memory.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_discard_claim_take(struct vmem_vm *vm, uint32_t kind,
                                     const char *owner,
                                     struct vmem_discard_claim **out,
                                     struct vmem_error *err);

/**
 * Release a claim.
 *
 * @param claim     The claim; gone on success. NULL is allowed and does nothing.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno; on failure the claim is still held.
 * @retval -EDEADLK Called from a listener, backing or walk callback.
 * @threads{no other call on the claim may be running; not from listener, backing
 * and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_discard_claim_release(struct vmem_discard_claim *claim,
                                        struct vmem_error *err);

/**
 * Which kinds of claims are held? Lock-free.
 *
 * @param vm  The machine; NULL has none.
 * @return Set of VMEM_CLAIM_BIT().
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API uint32_t vmem_vm_get_claims(const struct vmem_vm *vm);

/**
 * Would an uncoordinated discard break somebody? Lock-free.
 *
 * What a balloon asks before it discards.
 *
 * @param vm  The machine; NULL: false.
 * @return Whether "forbid all" or "forbid uncoordinated" is held.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API bool vmem_vm_is_uncoordinated_forbidden(const struct vmem_vm *vm);

/**
 * Does somebody rely on discards? Lock-free.
 *
 * What a feature asks that would pin or re-populate everything.
 *
 * @param vm  The machine; NULL: false.
 * @return Whether "need uncoordinated" or "need coordinated" is held.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API bool vmem_vm_is_discard_needed(const struct vmem_vm *vm);

/**
 * Visit every claim, in the order in which they were taken.
 *
 * The policy is locked during the walk: taking and releasing claims in @p fn is
 * refused with -EDEADLK.
 *
 * @param vm      The machine.
 * @param fn      Called with kind and owner; a value other than 0 stops.
 * @param opaque  Passed to @p fn.
 * @return 0, or what @p fn returned.
 * @retval -EINVAL  NULL argument.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_vm_for_each_claim(struct vmem_vm *vm,
                                    int (*fn)(uint32_t kind, const char *owner,
                                              void *opaque),
                                    void *opaque);

/**
 * Be told when the set of held kinds changes.
 *
 * @param vm        The machine.
 * @param fn        Called on each change, not for the present state.
 * @param opaque    Passed to @p fn.
 * @param[out] out  The watcher; untouched on failure.
 *                  @ownership{the caller's, removed by
 *                  vmem_discard_watcher_remove()}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument.
 * @retval -ENOMEM  Out of memory.
 * @retval -EDEADLK Called from a listener, backing or walk callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_discard_watcher_add(struct vmem_vm *vm,
                                      vmem_discard_watcher_fn fn, void *opaque,
                                      struct vmem_discard_watcher **out,
                                      struct vmem_error *err);

/**
 * Be told no longer.
 *
 * Waits for a running call of the watcher on another thread, so that @p opaque
 * may be freed afterwards. A watcher may remove itself. Two callbacks on two
 * threads must not take each other away, because both would wait: the watchers of
 * two machines, or a watcher and the notification of a device that it frees.
 *
 * @param watcher   The watcher; gone on success. NULL is allowed and does
 *                  nothing.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno; on failure the watcher is still told.
 * @retval -EDEADLK  Called from a listener, backing or walk callback.
 * @threads{no other call on the watcher may be running; not from listener,
 * backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_discard_watcher_remove(struct vmem_discard_watcher *watcher,
                                         struct vmem_error *err);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_CLAIM_H */
