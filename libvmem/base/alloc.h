/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_ALLOC_H
#define VMEMI_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* The only way to memory inside the library. GLib's plain allocators abort when
 * memory runs out; these return NULL, which becomes -ENOMEM. */

/* Zeroed memory, or NULL. */
void *vmemi_alloc0(size_t size);

/* Takes NULL. */
void vmemi_free(void *memory);

/* For tests: asked before each allocation, may refuse it; NULL removes it. */
typedef bool (*vmemi_alloc_hook_fn)(size_t size);
void vmemi_alloc_set_hook(vmemi_alloc_hook_fn hook);

#endif /* VMEMI_BASE_ALLOC_H */
