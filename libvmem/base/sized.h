/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_SIZED_H
#define VMEMI_BASE_SIZED_H

#include <stddef.h>

#include <vmem/error.h>

/* The struct_size rule of <vmem/types.h>, in one place. first_size is the size
 * that the struct had in the first release: named by its last member of then, so
 * that appending one does not shut out the programs of then. */
#define VMEMI_SIZE_THROUGH(type, member)                                       \
    (offsetof(type, member) + sizeof(((type *)NULL)->member))

/* Host to library: dst gets what the host knew, zeros for the rest. On -E2BIG,
 * when the host knows more, dst is filled too, but for that. */
int vmemi_sized_read(void *dst, size_t dst_size, size_t first_size,
                     const void *src, const char *what, struct vmem_error *err);

/* May the library fill this? 0 or -EINVAL. */
int vmemi_sized_check_out(const void *dst, size_t first_size);

/* Library to host, of which vmemi_sized_check_out() was asked: the smaller of
 * the two sizes is copied, struct_size is left alone, and a tail that only the
 * host knows is zeroed. */
void vmemi_sized_write(void *dst, const void *src, size_t src_size);

#endif /* VMEMI_BASE_SIZED_H */
