/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_EXCHANGE_H
#define VMEMI_CORE_EXCHANGE_H

#include "core/source.h"

/* All blocks of a source are exchanged for others, in one change that happens as
 * a whole or not at all: by runs, whatever the number of blocks. What the memory
 * holds is left alone, but for blocks that are in use before and not after.
 *
 * Whether what leaves may leave is asked first, and then what comes is told,
 * because no other steps can be refused; so what leaves is there still when a
 * refusal is undone. */
struct vmemi_exchange {
    struct vmem_source *source;
    struct vmem_bitmap *blocks; /* the others; the old ones after the commit */
    struct vmem_bitmap *retained; /* room for what will be; NULL: none */
};

/* Allocates; without locks. words as of vmem_bitmap_copy_out(). -ENOMEM, or
 * -ERANGE for a bit behind the last block; then there is nothing to free. */
int vmemi_exchange_init(struct vmemi_exchange *exchange,
                        struct vmem_source *source, const uint64_t *words);
void vmemi_exchange_free(struct vmemi_exchange *exchange);

/* Under the change lock: how much is plugged and unplugged, in bytes. */
void vmemi_exchange_measure(const struct vmemi_exchange *exchange,
                            uint64_t *plugged, uint64_t *unplugged);

/* Under the change lock: listeners agree to let go, memory is populated where it
 * has to be, listeners agree to what is plugged and let go of what is not. A failure is undone, with
 * change->cause; but memory that was populated for it may hold what somebody has
 * put there for the guest, and is retained. */
int vmemi_exchange_agree(struct vmemi_exchange *exchange,
                         struct vmemi_change *change);

/* Under both locks: the blocks change hands. */
void vmemi_exchange_commit(struct vmemi_exchange *exchange);

/* Under the change lock, after the commit: what is not plugged is given back. */
void vmemi_exchange_give_back(struct vmemi_exchange *exchange,
                              struct vmemi_change *change);

#endif /* VMEMI_CORE_EXCHANGE_H */
