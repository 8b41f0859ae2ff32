/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_FREEZE_H
#define VMEMI_CORE_FREEZE_H

#include "core/region.h"

int vmemi_region_fail_frozen(const struct vmem_region *region, const char *what,
                             struct vmemi_change *change,
                             struct vmem_error *err) __attribute__((cold));

/* Under the change lock: -EBUSY with the owners' names if frozen, and the cause
 * in change (which may be NULL). */
static inline int vmemi_region_check_thawed(const struct vmem_region *region,
                                            const char *what,
                                            struct vmemi_change *change,
                                            struct vmem_error *err)
{
    return region->freezers.length == 0
               ? 0
               : vmemi_region_fail_frozen(region, what, change, err);
}

/* Adds the owners' names. Either lock. */
void vmemi_freezers_list(const struct vmem_region *region,
                         struct vmemi_name_list *names);

#endif /* VMEMI_CORE_FREEZE_H */
