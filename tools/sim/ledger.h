/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef GUESTI_LEDGER_H
#define GUESTI_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/device.h"

/* What the device has acknowledged, kept apart from what the drivers believe,
 * and compared with everything that the device says. */
struct guesti_ledger {
    uint8_t *has; /* one byte a device block: 1 if plugged; NULL: not open */
    uint64_t nr_blocks;
    uint64_t plugged_size;
    bool known;      /* false: a reset may have kept some of it */
    bool may_shrink; /* the usable region, once: UNPLUG ALL or reset */
    struct guesti_device_config seen; /* as the driver last read it */
};

/* A machine starts, or starts again after it was reset. 0, -EINVAL when config
 * describes no device, or -ENOMEM. */
int guesti_ledger_open(struct vmem_guest *guest,
                       const struct guesti_device_config *config);
void guesti_ledger_close(struct vmem_guest *guest);

/* The driver read the config space. */
void guesti_ledger_read(struct vmem_guest *guest,
                        const struct guesti_device_config *config);

/* A request was answered, perhaps with a number that is no answer. */
void guesti_ledger_answer(struct vmem_guest *guest, uint16_t type, uint64_t gpa,
                          uint64_t nr_blocks, uint32_t answer, uint16_t state);

/* The driver goes to sleep: nothing may have changed behind its back. */
void guesti_ledger_rest(struct vmem_guest *guest);

void guesti_ledger_report(struct vmem_guest *guest, uint32_t rule,
                          const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif /* GUESTI_LEDGER_H */
