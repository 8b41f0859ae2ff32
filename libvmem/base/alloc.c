/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/alloc.h"

#include <stdatomic.h>

#include <glib.h>

static _Atomic(vmemi_alloc_hook_fn) alloc_hook;

void *vmemi_alloc0(size_t size)
{
    vmemi_alloc_hook_fn hook =
        atomic_load_explicit(&alloc_hook, memory_order_relaxed);

    if (hook != NULL && !hook(size)) {
        return NULL;
    }
    return g_try_malloc0(size);
}

void vmemi_free(void *memory)
{
    g_free(memory);
}

void vmemi_alloc_set_hook(vmemi_alloc_hook_fn hook)
{
    atomic_store(&alloc_hook, hook);
}
