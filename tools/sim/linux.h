/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef GUESTI_LINUX_H
#define GUESTI_LINUX_H

#include "sim/guest.h"

/* The virtio-mem driver of Linux 6.12: one work item, which compares sizes and
 * sends requests until they agree or something is in the way. */

/* How a step of the work ends. */
enum guesti_result {
    GUESTI_DONE,
    GUESTI_AGAIN,    /* NACK or new config: start over at once */
    GUESTI_RETRY,    /* BUSY, nothing can be freed, no memory: timer */
    GUESTI_NO_SPACE, /* sleep until an event; no timer */
    GUESTI_PINNED,   /* this range cannot be freed; try another */
    GUESTI_BROKEN    /* the device is not used again */
};

/* A unit is what Linux adds and removes: a memory block, divided into
 * sub-blocks (SBM), or a big block (BBM), which is all or nothing. */
enum guesti_unit_state {
    GUESTI_UNIT_UNSEEN, /* never used */
    GUESTI_UNIT_UNUSED,
    GUESTI_UNIT_PLUGGED, /* plugged, but Linux does not have it */
    GUESTI_UNIT_OFFLINE,
    GUESTI_UNIT_OFFLINE_PARTIAL,
    GUESTI_UNIT_KERNEL,
    GUESTI_UNIT_KERNEL_PARTIAL,
    GUESTI_UNIT_MOVABLE,
    GUESTI_UNIT_MOVABLE_PARTIAL,
    GUESTI_NR_UNIT_STATES
};

struct guesti_unit {
    uint8_t state;
    uint32_t nr_plugged; /* sub-blocks */
};

/* How one driver divides the region; made by probing. */
struct guesti_linux {
    struct vmem_guest *guest;
    bool sbm;
    uint64_t block_size;
    uint64_t sub_size;  /* bytes; in big-block mode the unit */
    uint64_t unit_size; /* bytes */
    uint64_t per_unit;  /* sub-blocks */
    uint64_t first_gpa; /* of unit 0: units lie at multiples of their size */
    uint64_t skipped;   /* bytes below unit 0 */
    uint64_t nr_units;  /* in the region */
    uint64_t nr_usable; /* in the usable region */
    uint64_t nr_seen;
    struct guesti_unit *units;
    uint8_t *plugged; /* nr_units * per_unit: is that sub-block plugged? */
    uint64_t nr_in_state[GUESTI_NR_UNIT_STATES];

    uint64_t offline_size;
    uint64_t offline_max; /* more is not added */
    uint64_t plugged_size;
    uint64_t requested_size;

    bool config_changed;
    bool queued;
    bool unplug_all_required;
    bool has_empty; /* a unit is empty, but Linux could not remove it */
    bool broken;
    bool starved; /* the last pass found no space */
    uint64_t retry_at_ns;
    uint64_t retry_ns;
};

/* linux.c */

/* Probes the device. 0, -ENOMEM or -EINVAL. */
int guesti_linux_new(struct vmem_guest *guest,
                     const struct guesti_device_config *config,
                     struct guesti_linux **out);
void guesti_linux_free(struct guesti_linux *tux);
/* The work item, as long as it is queued. An enum vmem_guest_status. */
int guesti_linux_run(struct guesti_linux *tux);
void guesti_linux_interrupt(struct guesti_linux *tux);
/* The timer expires. */
void guesti_linux_retry(struct guesti_linux *tux);
/* Does Linux have memory of the device? */
bool guesti_linux_uses_memory(const struct guesti_linux *tux);

/* linux_request.c: PLUG and UNPLUG, not sent if the config space changed. */

enum guesti_result guesti_linux_plug(struct guesti_linux *tux, uint64_t gpa,
                                     uint64_t size);
enum guesti_result guesti_linux_unplug(struct guesti_linux *tux, uint64_t gpa,
                                       uint64_t size);
/* Frees a range of online memory and unplugs it. */
enum guesti_result guesti_linux_unplug_online(struct guesti_linux *tux,
                                              uint64_t gpa, uint64_t size,
                                              bool movable);

/* linux_unit.c */

static inline uint64_t guesti_unit_gpa(const struct guesti_linux *tux,
                                       uint64_t unit)
{
    return tux->first_gpa + unit * tux->unit_size;
}

void guesti_unit_set(struct guesti_linux *tux, uint64_t unit,
                     enum guesti_unit_state state);
/* The first unit of that state from unit on; or the last one below unit.
 * nr_seen if there is none. */
uint64_t guesti_unit_find(const struct guesti_linux *tux,
                          enum guesti_unit_state state, uint64_t unit);
uint64_t guesti_unit_find_below(const struct guesti_linux *tux,
                                enum guesti_unit_state state, uint64_t unit);
/* Marks sub-blocks. */
void guesti_unit_mark(struct guesti_linux *tux, uint64_t unit, uint64_t first,
                      uint64_t nr, bool plugged);
/* First run of sub-blocks that are (not) plugged, from first on; or the last one
 * that ends at or below end. false if there is none. */
bool guesti_unit_find_run(const struct guesti_linux *tux, uint64_t unit,
                          uint64_t *first, uint64_t *nr, bool plugged);
bool guesti_unit_find_run_below(const struct guesti_linux *tux, uint64_t unit,
                                uint64_t end, uint64_t *first, uint64_t *nr);
enum guesti_unit_state guesti_unit_partial(enum guesti_unit_state state);
enum guesti_unit_state guesti_unit_full(enum guesti_unit_state state);
/* May so much more be offline? */
bool guesti_unit_may_add(const struct guesti_linux *tux, uint64_t size);
/* A unit to plug next: used before, else new. false with GUESTI_NO_SPACE
 * meant. */
bool guesti_unit_pick(struct guesti_linux *tux, uint64_t *unit);
/* Linux gets a plugged unit. */
enum guesti_result guesti_unit_add(struct guesti_linux *tux, uint64_t unit);
/* Linux lets go of an empty unit, if it can. */
void guesti_unit_remove(struct guesti_linux *tux, uint64_t unit);

/* linux_sbm.c, linux_bbm.c: bytes more, bytes less. */

enum guesti_result guesti_sbm_grow(struct guesti_linux *tux, uint64_t size);
enum guesti_result guesti_sbm_shrink(struct guesti_linux *tux, uint64_t size);
/* Unplugs what a unit has that Linux does not have. */
enum guesti_result guesti_sbm_clean(struct guesti_linux *tux, uint64_t unit);
enum guesti_result guesti_bbm_grow(struct guesti_linux *tux, uint64_t size);
enum guesti_result guesti_bbm_shrink(struct guesti_linux *tux, uint64_t size);

#endif /* GUESTI_LINUX_H */
