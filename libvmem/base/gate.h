/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_GATE_H
#define VMEMI_BASE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/frame.h"
#include "base/lock.h"

/* Guards the notifications of an object that another thread may be sending
 * while the object is freed. Closing waits for those on other threads; a
 * notification may close its own gate, and the object's memory then lives until
 * that notification has returned. */
struct vmemi_gate {
    struct vmemi_mutex lock;
    struct vmemi_cond idle;
    unsigned int nr_inside; /* notifications entered, on all threads */
    bool closed;
    bool orphaned; /* closed from inside: the last one to leave releases */
    void (*release)(struct vmemi_gate *gate); /* frees the object */
};

/* 0 or a negative errno. */
int vmemi_gate_init(struct vmemi_gate *gate,
                    void (*release)(struct vmemi_gate *gate));

/* For an object that was never published: undoes init, does not release. */
void vmemi_gate_destroy(struct vmemi_gate *gate);

/* Reserves a place inside, while the caller still knows the object to be alive
 * (by a lock, or by using it). The frame stands for the place, so that a close
 * on this thread does not wait for itself. False: closed, nothing entered. */
bool vmemi_gate_enter(struct vmemi_gate *gate, struct vmemi_frame *frame,
                      const void *vm);

/* Asked by who is inside, right before the callback: may it still be called? */
bool vmemi_gate_is_open(struct vmemi_gate *gate);

/* Gives the place back, in the reverse order of entering; the object may be
 * gone afterwards. */
void vmemi_gate_leave(struct vmemi_gate *gate, struct vmemi_frame *frame);

/* No callback starts after this. Waits for the places of other threads; the
 * object is released here, or by the last leave if this thread is inside. */
void vmemi_gate_close(struct vmemi_gate *gate);

#endif /* VMEMI_BASE_GATE_H */
