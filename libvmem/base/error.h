/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_ERROR_H
#define VMEMI_BASE_ERROR_H

#include <vmem/error.h>

/* Fills err (which may be NULL) as far as its struct_size reaches and returns
 * code, so that a failure is one statement. Preserves errno. */
int vmemi_fail(struct vmem_error *err, int code, uint32_t reason,
               const struct vmem_range *range, const char *format, ...)
    __attribute__((cold, format(printf, 5, 6)));

/* The library's own allocation failed. */
int vmemi_fail_no_memory(struct vmem_error *err, const char *what)
    __attribute__((cold));

#endif /* VMEMI_BASE_ERROR_H */
