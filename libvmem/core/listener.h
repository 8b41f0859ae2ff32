/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_LISTENER_H
#define VMEMI_CORE_LISTENER_H

#include <vmem/listener.h>

#include "core/region.h"
#include "core/walk.h"

struct vmem_listener {
    GList link;
    struct vmemi_name name;
    struct vmem_region *region;
    struct vmem_listener_ops ops;
    void *opaque;
    struct vmem_range window;
    uint64_t granularity; /* 0: whole runs */
    uint64_t flags;
    bool has_refused; /* a change, so that a guest may wait; change lock */
};

/* Tells one listener populate for [from, end) of what the terms say; a veto is
 * undone before it is returned. */
int vmemi_listener_populate(struct vmem_listener *listener,
                            const struct vmemi_terms *terms, uint64_t from,
                            uint64_t end);

/* Tells one listener discard for [from, end) of what the terms say. */
void vmemi_listener_discard(struct vmem_listener *listener,
                            const struct vmemi_terms *terms, uint64_t from,
                            uint64_t end);

/* Tells every listener, in order of registration, populate for what the terms
 * say of the range. On a veto tells discard to those told before, in reverse
 * order, and returns the veto with its cause in change. */
int vmemi_listeners_populate(const struct vmemi_terms *terms,
                             const struct vmem_range *range,
                             struct vmemi_change *change);

/* Asks every listener that wants to be asked, in order of registration, whether
 * what the terms say of the range may be discarded. The first that objects ends
 * it, with its cause in change; nobody has been told anything. */
int vmemi_listeners_ask_discard(const struct vmemi_terms *terms,
                                const struct vmem_range *range,
                                struct vmemi_change *change);

static inline int vmemi_listeners_may_discard(const struct vmemi_terms *terms,
                                              const struct vmem_range *range,
                                              struct vmemi_change *change)
{
    return change->region->nr_objectors == 0
               ? 0
               : vmemi_listeners_ask_discard(terms, range, change);
}

/* Tells every listener discard for what the terms say, in reverse order: after
 * vmemi_listeners_may_discard(), unless this undoes something. */
void vmemi_listeners_discard(const struct vmemi_terms *terms,
                             const struct vmem_range *range,
                             struct vmemi_change *change);

/* Adds the names of the listeners. Either lock. */
void vmemi_listeners_list(const struct vmem_region *region,
                          struct vmemi_name_list *names);

/* The first listener with chunks larger than granularity, or NULL. */
const struct vmem_listener *
vmemi_listeners_find_coarser(const struct vmem_region *region,
                             uint64_t granularity);

#endif /* VMEMI_CORE_LISTENER_H */
