/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief What the library has to tell people.
 * @ingroup log
 */
#ifndef VMEM_LOG_H
#define VMEM_LOG_H

#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup log Log
 * @brief Records with a level, whose fault it is, a stable code and a message.
 *
 * A vmem_vm has one sink, given in its config. Without a sink warnings and
 * errors go to standard error. Each code is rate-limited: at most
 * #VMEM_LOG_BURST records a second and VM, the next one says how many were
 * suppressed. The sink is called after all locks are dropped, by several threads
 * at once if several log. Any call is legal in it but those that free a machine,
 * backing, region, device or mapper (-EDEADLK), because the call that logs is not
 * over. If that call removes a listener or source, or detaches, the sink must not
 * use what goes; taking it away a second time is refused (-EDEADLK). A call that
 * logs again calls the sink again.
 * @{
 */

/** Records of one code that pass in one second. */
#define VMEM_LOG_BURST 5

/** How bad it is. */
enum vmem_log_level {
    VMEM_LOG_DEBUG = 1,   /**< For debugging. */
    VMEM_LOG_INFO = 2,    /**< Normal. */
    VMEM_LOG_WARNING = 3, /**< Something works less well than it could. */
    VMEM_LOG_ERROR = 4    /**< Something did not work. */
};

/** Whose fault it is. */
enum vmem_blame {
    VMEM_BLAME_GUEST = 1, /**< The guest broke its rules. */
    VMEM_BLAME_HOST = 2,  /**< The program using the library, or its setup. */
    VMEM_BLAME_OS = 3,    /**< The kernel said no. */
    VMEM_BLAME_VMEM = 4   /**< A defect of libvmem. */
};

/** What it is about; stable, new ones are added at the end. */
enum vmem_log_code {
    VMEM_LOG_CODE_MALFORMED = 1,    /**< Request without meaning. */
    VMEM_LOG_CODE_GUEST_ERROR = 2,  /**< Request answered ERROR. */
    VMEM_LOG_CODE_BUSY = 3,         /**< Request answered BUSY, and why. */
    VMEM_LOG_CODE_RETAINED = 4,     /**< Unplugged memory stays allocated. */
    VMEM_LOG_CODE_ZEROED = 5,       /**< Retained memory zeroed by writing. */
    VMEM_LOG_CODE_FEATURES = 6,     /**< The driver's features refused. */
    VMEM_LOG_CODE_SMALL_BLOCKS = 7, /**< Block size may be too small. */
    VMEM_LOG_CODE_READ_ALLOCATES =
        8,                           /**< Reading unplugged memory allocates. */
    VMEM_LOG_CODE_FILE_MODIFIED = 9, /**< A privately mapped file is punched. */
    VMEM_LOG_CODE_CONFIG_WRITE = 10, /**< The driver wrote config space. */
    VMEM_LOG_CODE_UNVERIFIED = 11,   /**< A description was not checked. */
    VMEM_LOG_CODE_DMA_REFUSED = 12,  /**< Nothing can be mapped, and why. */
    VMEM_LOG_CODE_DMA_STUCK = 13,    /**< What is discarded stays mapped. */
    VMEM_LOG_CODE_DMA_NEAR = 14      /**< A limit of a mapper is near. */
};

/** One record; valid during the sink's call. */
struct vmem_log_record {
    size_t struct_size;  /**< As filled by the library. */
    uint32_t level;      /**< An enum vmem_log_level. */
    uint32_t blame;      /**< An enum vmem_blame. */
    uint32_t code;       /**< An enum vmem_log_code. */
    uint32_t suppressed; /**< Records of this code dropped before this one. */
    const char *object;  /**< Name of the object it is about. */
    const char *message; /**< One line for people, without newline. */
};

/**
 * A log sink.
 *
 * @param record  The record, valid during the call.
 * @param opaque  vmem_vm_config::opaque.
 */
typedef void (*vmem_log_fn)(const struct vmem_log_record *record, void *opaque);

/**
 * Name of a blame: "guest", "host", "os" or "vmem".
 *
 * @param blame  An enum vmem_blame; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_blame_name(uint32_t blame);

/**
 * Name of a level: "debug", "info", "warning" or "error".
 *
 * @param level  An enum vmem_log_level; anything else gives "unknown".
 * @return The name. @ownership{static, never freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_log_level_name(uint32_t level);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_LOG_H */
