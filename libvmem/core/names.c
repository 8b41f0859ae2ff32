/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of numbers in <vmem/backing.h>. */
#include <vmem/backing.h>

#include "base/name.h"

const char *vmem_backing_kind_name(uint32_t kind)
{
    static const char *const names[] = {
        [VMEM_BACKING_ANON] = "anon",
        [VMEM_BACKING_ANON_SHARED] = "anon-shared",
        [VMEM_BACKING_MEMFD] = "memfd",
        [VMEM_BACKING_FILE] = "file",
        [VMEM_BACKING_HUGETLB_ANON] = "hugetlb-anon",
        [VMEM_BACKING_HUGETLB_MEMFD] = "hugetlb",
        [VMEM_BACKING_CUSTOM] = "custom",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), kind);
}

const char *vmem_usage_method_name(uint32_t method)
{
    static const char *const names[] = {
        [VMEM_USAGE_PAGEMAP] = "page-tables",
        [VMEM_USAGE_MINCORE] = "mincore",
        [VMEM_USAGE_SEEK_DATA] = "seek-data",
        [VMEM_USAGE_ST_BLOCKS] = "st-blocks",
        [VMEM_USAGE_CALLBACK] = "callback",
    };

    return vmemi_name_of(names, sizeof(names) / sizeof(names[0]), method);
}
