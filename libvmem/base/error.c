/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/name.h"

int vmemi_fail(struct vmem_error *err, int code, uint32_t reason,
               const struct vmem_range *range, const char *format, ...)
{
    struct vmem_error full = { .struct_size = sizeof(full) };
    int saved_errno = errno;
    size_t size;
    va_list args;

    if (err == NULL || err->struct_size <= sizeof(err->struct_size)) {
        return code;
    }
    full.code = code;
    full.reason = reason;
    if (range != NULL) {
        full.range = *range;
    }
    va_start(args, format);
    vsnprintf(full.message, sizeof(full.message), format, args);
    va_end(args);

    size = err->struct_size < sizeof(full) ? err->struct_size : sizeof(full);
    full.struct_size = err->struct_size;
    memcpy(err, &full, size);
    if (size > offsetof(struct vmem_error, message) && size < sizeof(full)) {
        ((char *)err)[size - 1] = '\0';
    }
    errno = saved_errno;
    return code;
}

int vmemi_fail_no_memory(struct vmem_error *err, const char *what)
{
    return vmemi_fail(err, -ENOMEM, VMEM_REASON_NO_MEMORY, NULL,
                      "out of memory for %s", what);
}

const char *vmem_reason_name(uint32_t reason)
{
    static const char *const names[] = {
        [VMEM_REASON_NONE] = "none",
        [VMEM_REASON_ARGUMENT] = "argument",
        [VMEM_REASON_STRUCT_SIZE] = "struct-size",
        [VMEM_REASON_STRUCT_TAIL] = "struct-tail",
        [VMEM_REASON_ALIGNMENT] = "alignment",
        [VMEM_REASON_RANGE] = "range",
        [VMEM_REASON_OVERFLOW] = "overflow",
        [VMEM_REASON_NO_MEMORY] = "no-memory",
        [VMEM_REASON_IN_USE] = "in-use",
        [VMEM_REASON_REENTERED] = "reentered",
        [VMEM_REASON_FROZEN] = "frozen",
        [VMEM_REASON_LISTENER_VETO] = "listener-veto",
        [VMEM_REASON_POPULATE_FAILED] = "populate-failed",
        [VMEM_REASON_DISCARD_FAILED] = "discard-failed",
        [VMEM_REASON_CLAIM_CONFLICT] = "claim-conflict",
        [VMEM_REASON_DUPLICATE] = "duplicate",
        [VMEM_REASON_NOT_FOUND] = "not-found",
        [VMEM_REASON_NOT_POPULATED] = "not-populated",
        [VMEM_REASON_READ_ONLY] = "read-only",
        [VMEM_REASON_SEALED] = "sealed",
        [VMEM_REASON_UNSUPPORTED] = "unsupported",
        [VMEM_REASON_MISMATCH] = "mismatch",
        [VMEM_REASON_OS] = "os",
        [VMEM_REASON_BUDGET] = "budget",
        [VMEM_REASON_MAP_FAILED] = "map-failed",
        [VMEM_REASON_UNMAP_FAILED] = "unmap-failed",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), reason);
}
