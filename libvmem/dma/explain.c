/* SPDX-License-Identifier: BSD-3-Clause */
#include "dma/explain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "dma/ioctl.h"

static void explain_memlock(const struct vmemi_dma_words *words, char *text,
                            size_t size)
{
    const uint64_t limit = vmemi_dma_sys_get()->memlock_limit();

    if (limit == UINT64_MAX) {
        snprintf(text, size,
                 "the kernel is out of memory; RLIMIT_MEMLOCK is unlimited");
        return;
    }
    snprintf(text, size,
             "RLIMIT_MEMLOCK of %s (%" PRIu64
             " bytes) or memory is spent: raise ulimit -l",
             words->memlock_of, limit);
}

void vmemi_dma_explain(const struct vmemi_dma_words *words,
                       const struct vmem_dma_mapping *mapping, int code,
                       char *text, size_t size)
{
    switch (code) {
    case -EEXIST:
        snprintf(text, size,
                 "something that was not mapped by libvmem is mapped there: "
                 "unmap it first");
        break;
    case -ENOSPC:
        snprintf(text, size,
                 "no mapping is left (%s): use larger blocks or raise it",
                 words->mappings_limit);
        break;
    case -ENOMEM:
        explain_memlock(words, text, size);
        break;
    case -EFAULT:
    case -EPERM:
        snprintf(text, size,
                 "%p cannot be pinned%s: unmapped, protected, guarded, or past "
                 "the end of its file",
                 mapping->hva,
                 (mapping->protection & VMEM_DMA_WRITE) != 0 ? " for writing"
                                                             : "");
        break;
    case -EINVAL:
    case -EOVERFLOW:
        snprintf(text, size,
                 "the IOMMU cannot map these IOVAs, or they are no multiples "
                 "of its page size, 0x%" PRIx64,
                 words->page_size);
        break;
    case -ENOENT:
        snprintf(text, size, "the address space is gone");
        break;
    default:
        text[0] = '\0';
        break;
    }
}
