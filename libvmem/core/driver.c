/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/driver.h"

void vmemi_drivers_collect(struct vmemi_drivers *drivers,
                           struct vmem_region *region)
{
    for (GList *link = region->sources.head; link != NULL; link = link->next) {
        const struct vmem_source *source = link->data;
        uint32_t i = drivers->nr_drivers;

        if (source->driver != NULL &&
            vmemi_gate_enter(source->driver->gate, &drivers->frames[i],
                             region->vm)) {
            drivers->drivers[i] = source->driver;
            drivers->nr_drivers++;
        }
    }
}

/* Backwards, because frames are left in stack order. */
void vmemi_drivers_tell(struct vmemi_drivers *drivers,
                        void (*tell)(struct vmemi_source_driver *driver,
                                     const void *what),
                        const void *what)
{
    for (uint32_t i = drivers->nr_drivers; i-- > 0;) {
        struct vmemi_source_driver *driver = drivers->drivers[i];
        struct vmemi_gate *gate = driver->gate;

        if (vmemi_gate_is_open(gate)) {
            tell(driver, what);
        }
        vmemi_gate_leave(gate, &drivers->frames[i]);
    }
}
