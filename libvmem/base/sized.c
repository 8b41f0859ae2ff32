/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/sized.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

/* No struct of the interface will ever be larger. A struct_size that nobody set
 * often is, and would make the library read or write far behind the struct. */
#define MOST_BYTES 4096

int vmemi_sized_read(void *dst, size_t dst_size, size_t first_size,
                     const void *src, const char *what, struct vmem_error *err)
{
    size_t size;
    size_t known;

    if (src == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "%s is NULL", what);
    }
    memcpy(&size, src, sizeof(size));
    if (size < first_size) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_STRUCT_SIZE, NULL,
                          "%s: struct_size is %zu, must be at least %zu", what,
                          size, first_size);
    }
    if (size > MOST_BYTES) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_STRUCT_SIZE, NULL,
                          "%s: struct_size is %zu, the limit is %d", what, size,
                          MOST_BYTES);
    }
    /* A part of a member is none: half a pointer must not be followed. */
    known = size - size % sizeof(uint64_t);
    known = known < first_size ? first_size : known;
    memset(dst, 0, dst_size);
    memcpy(dst, src, known < dst_size ? known : dst_size);
    for (size_t i = dst_size; i < size; i++) {
        if (((const unsigned char *)src)[i] != 0) {
            return vmemi_fail(err, -E2BIG, VMEM_REASON_STRUCT_TAIL, NULL,
                              "%s: byte %zu is set, this library knows %zu",
                              what, i, dst_size);
        }
    }
    return 0;
}

int vmemi_sized_check_out(const void *dst, size_t first_size)
{
    size_t size;

    if (dst == NULL) {
        return -EINVAL;
    }
    memcpy(&size, dst, sizeof(size));
    return size < first_size || size > MOST_BYTES ? -EINVAL : 0;
}

void vmemi_sized_write(void *dst, const void *src, size_t src_size)
{
    size_t size;

    memcpy(&size, dst, sizeof(size));
    if (size > src_size) {
        memset((char *)dst + src_size, 0, size - src_size);
    }
    memcpy((char *)dst + sizeof(size), (const char *)src + sizeof(size),
           (size < src_size ? size : src_size) - sizeof(size));
}
