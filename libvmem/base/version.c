/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmem/version.h>

const char *vmem_version(void)
{
    return VMEM_VERSION;
}
