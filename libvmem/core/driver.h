/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_DRIVER_H
#define VMEMI_CORE_DRIVER_H

#include "core/source.h"

/* Those who drive sources of a region and shall hear of something: a place in
 * each gate, taken under the change lock, which keeps them alive, and left when
 * they have been told, without it. */
struct vmemi_drivers {
    uint32_t nr_drivers;
    struct vmemi_source_driver *drivers[VMEM_REGION_MAX_SOURCES];
    struct vmemi_frame frames[VMEM_REGION_MAX_SOURCES];
};

/* Under the change lock; drivers starts empty. */
void vmemi_drivers_collect(struct vmemi_drivers *drivers,
                           struct vmem_region *region);

/* Without locks, in the function that collected. */
void vmemi_drivers_tell(struct vmemi_drivers *drivers,
                        void (*tell)(struct vmemi_source_driver *driver,
                                     const void *what),
                        const void *what);

#endif /* VMEMI_CORE_DRIVER_H */
