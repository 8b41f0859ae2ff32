/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief What went wrong, for the host program.
 * @ingroup error
 */
#ifndef VMEM_ERROR_H
#define VMEM_ERROR_H

#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup error Errors
 * @brief Negative errno, stable reason, and a message with name, value, limit.
 *
 * Three parties can be wrong, and each has a channel of its own. The guest gets
 * a virtio answer, never an error of these. The host program gets -EINVAL,
 * -ERANGE, -EBUSY, -EDEADLK and the like, checked in every build. When the
 * environment says no, its negative errno comes back with everything undone,
 * or with the error's range saying how far the call got.
 *
 * What a code means wherever it is returned:
 *
 * | code       | meaning |
 * |------------|---------|
 * | -EINVAL    | an argument is wrong in itself: NULL, misaligned, not a power of two, unknown flag, struct too short |
 * | -ERANGE    | a range leaves the object it is about, or a number exceeds its limit |
 * | -EOVERFLOW | offset + size does not fit 64 bits |
 * | -E2BIG     | a struct carries members that this library does not know |
 * | -EBUSY     | in use, frozen, or held by somebody; the message names them |
 * | -EDEADLK   | called from a callback in which this call is not allowed |
 * | -EEXIST    | there is one already |
 * | -ENOENT    | there is none |
 * | -ENOMEM    | host memory is exhausted |
 * | -ENOTSUP   | the kernel, file system, mapping or driver cannot do it |
 * | -EPROTO    | a driver broke a rule of virtio |
 * | -ENXIO     | that memory is not populated |
 * | -ENOSPC    | a limit of a mapper would be exceeded |
 * | -EPERM     | to be written, but read-only |
 *
 * Listener and backing callbacks' own codes are passed through unchanged.
 * @{
 */

/** Why a call failed; stable across releases, new ones are added at the end. */
enum vmem_reason {
    VMEM_REASON_NONE = 0,           /**< No error. */
    VMEM_REASON_ARGUMENT = 1,       /**< An argument is NULL or unknown. */
    VMEM_REASON_STRUCT_SIZE = 2,    /**< struct_size is too small. */
    VMEM_REASON_STRUCT_TAIL = 3,    /**< Unknown members are not zero. */
    VMEM_REASON_ALIGNMENT = 4,      /**< Misaligned, or not a power of two. */
    VMEM_REASON_RANGE = 5,          /**< Outside the object, or over a limit. */
    VMEM_REASON_OVERFLOW = 6,       /**< 64-bit arithmetic would wrap. */
    VMEM_REASON_NO_MEMORY = 7,      /**< The library's own allocation failed. */
    VMEM_REASON_IN_USE = 8,         /**< Children or users are left. */
    VMEM_REASON_REENTERED = 9,      /**< Called from a forbidding callback. */
    VMEM_REASON_FROZEN = 10,        /**< The region is frozen. */
    VMEM_REASON_LISTENER_VETO = 11, /**< A listener refused to populate or to
                                        discard. */
    VMEM_REASON_POPULATE_FAILED = 12, /**< Host memory could not be had. */
    VMEM_REASON_DISCARD_FAILED =
        13, /**< Host memory could not be given back. */
    VMEM_REASON_CLAIM_CONFLICT = 14, /**< Somebody holds an opposite claim. */
    VMEM_REASON_DUPLICATE = 15,      /**< There is one already. */
    VMEM_REASON_NOT_FOUND = 16,      /**< There is none. */
    VMEM_REASON_NOT_POPULATED = 17,  /**< The memory is not populated. */
    VMEM_REASON_READ_ONLY = 18,      /**< The file cannot be written. */
    VMEM_REASON_SEALED = 19,         /**< A file seal forbids discarding. */
    VMEM_REASON_UNSUPPORTED = 20,    /**< Kernel or file system cannot. */
    VMEM_REASON_MISMATCH = 21,       /**< Description and kernel, or saved state
                                          and device, disagree. */
    VMEM_REASON_OS = 22,             /**< Some other system call failed. */
    VMEM_REASON_BUDGET = 23,         /**< A limit of a mapper is spent. */
    VMEM_REASON_MAP_FAILED = 24,     /**< The IOMMU could not map. */
    VMEM_REASON_UNMAP_FAILED = 25    /**< The IOMMU could not unmap. */
};

/** Bytes in vmem_error::message, with the terminating NUL. */
#define VMEM_ERROR_MESSAGE_SIZE 256

/**
 * An error report, owned by the caller.
 *
 * Pass one as the last argument of a control call, or NULL. It is written only
 * when the call fails, as far as its struct_size reaches: a report must not hide
 * the failure behind another one.
 */
struct vmem_error {
    size_t struct_size;      /**< sizeof(struct vmem_error). */
    int32_t code;            /**< The negative errno also returned. */
    uint32_t reason;         /**< An enum vmem_reason. */
    struct vmem_range range; /**< What it is about; size 0: nothing special. */
    char message[VMEM_ERROR_MESSAGE_SIZE]; /**< For people; do not parse. */
};

/** Initialiser for a struct vmem_error, in C and C++. */
#define VMEM_ERROR_INIT                                                        \
    {                                                                          \
        sizeof(struct vmem_error), 0, 0, { 0, 0 },                             \
        {                                                                      \
            0                                                                  \
        }                                                                      \
    }

/**
 * Name of a reason, such as "listener-veto".
 *
 * @param reason  An enum vmem_reason; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_reason_name(uint32_t reason);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_ERROR_H */
