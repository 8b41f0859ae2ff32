/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief Export and linkage macros; included by every other header.
 */
#ifndef VMEM_MACROS_H
#define VMEM_MACROS_H

/** Marks a symbol as part of the public interface. */
#if defined(__GNUC__)
#define VMEM_API __attribute__((visibility("default")))
#else
#define VMEM_API
#endif

/** Opens a block of declarations with C linkage. */
#ifdef __cplusplus
#define VMEM_BEGIN_DECLS extern "C" {
#define VMEM_END_DECLS }
#else
#define VMEM_BEGIN_DECLS
#define VMEM_END_DECLS
#endif

/**
 * @def VMEM_END_DECLS
 * Closes a block opened by VMEM_BEGIN_DECLS.
 */

#endif /* VMEM_MACROS_H */
