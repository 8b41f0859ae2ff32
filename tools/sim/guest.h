/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef GUESTI_GUEST_H
#define GUESTI_GUEST_H

#include <stdbool.h>

#include "sim/device.h"
#include "sim/guest_sim.h"
#include "sim/ledger.h"
#include "sim/load.h"

#define GUESTI_MS_NS ((uint64_t)1000000)
/* How often a load releases memory. */
#define GUESTI_RELEASE_NS (50000 * GUESTI_MS_NS)

struct guesti_linux;
struct guesti_windows;

struct vmem_guest {
    struct vmem_guest_config config; /* defaults filled in */
    struct vmem_guest_ops ops;
    void *opaque;

    struct guesti_linux *tux; /* "linux" is a macro of GNU C */
    struct guesti_windows *windows;
    bool loaded;  /* one of the two is there and bound to the device */
    bool running; /* inside run: callbacks must not enter again */
    bool hung;    /* a request was never answered */
    bool told;    /* interrupted since the driver last read the config space */

    struct guesti_ledger ledger;
    struct guesti_load load;
    uint64_t nr_boots;
    uint64_t now_ns;
    uint64_t release_at_ns; /* when the load releases memory again */
    uint64_t nr_refusals;   /* requests refused in a row */
    struct vmem_guest_stats stats;
};

/* Refused too often in a row? */
static inline bool guesti_is_spinning(const struct vmem_guest *guest)
{
    return guest->nr_refusals >= guest->config.max_refusals;
}

#endif /* GUESTI_GUEST_H */
