/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_MAPPER_H
#define VMEMI_DMA_MAPPER_H

#include <vmem/bitmap.h>
#include <vmem/claim.h>
#include <vmem/listener.h>

#include "core/region.h"
#include "dma/backend.h"
#include "dma/tree.h"

/* What the calls of the backend were about that cannot be taken back. */
struct vmemi_dma_refusal {
    int code; /* negative errno; 0: nothing was refused */
    uint32_t reason;
    char text[192];
};

/* One IOMMU address space. The lock is below the change locks of regions and
 * held from the begin to the commit of a batch, so one thread at a time calls
 * the backend; while it is held no other lock is taken but state locks and those
 * of the log. */
struct vmem_dma {
    struct vmemi_child child;
    struct vmemi_name name;
    struct vmem_vm *vm;
    struct vmemi_dma_backend backend;
    uint64_t page_size; /* the smallest */
    uint64_t max_mappings;
    uint64_t reserved_mappings;
    uint64_t max_pinned_size;
    uint64_t max_guest_mappings;
    bool is_timed;
    bool takes_claims;

    struct vmemi_mutex lock;
    /* Guarded by it. */
    struct vmemi_frame frame;
    struct vmemi_log_queue *log; /* of the operation that holds the lock */
    GQueue attachments;          /* of struct vmem_dma_attachment */
    struct vmemi_tree guests;    /* of struct vmemi_dma_guest, by IOVA */
    struct vmemi_dma_guest *unmapped_guests; /* in this batch */
    struct vmemi_dma_guest *mapped_guest;    /* the same; at most one */
    struct vmem_dma_attachment *touched;     /* those that have chunks so */
    bool has_begun;                          /* the backend, a batch */
    bool has_mapped;                         /* something, in this batch */
    bool has_refused;                        /* something, in this batch */
    struct vmemi_dma_refusal refusal;        /* the last one */
    int unmap_code; /* of the last unmap that failed, or 0 */
    int stuck_code; /* what was stuck last, for that */
    /* Episodes: logged once until they are over. */
    bool is_refusing;
    bool is_refusal_logged;
    bool is_stuck;
    bool is_stuck_logged;
    struct vmemi_name refused; /* who; of a refusal that is not logged */

    /* Written under the lock, read without. */
    _Atomic uint64_t nr_attachments;
    _Atomic uint64_t nr_mappings;
    _Atomic uint64_t peak_mappings;
    _Atomic uint64_t pinned_size;
    _Atomic uint64_t peak_pinned_size;
    _Atomic uint64_t nr_static_mappings;
    _Atomic uint64_t nr_guest_mappings;
    _Atomic uint64_t nr_stuck;
    _Atomic uint64_t stuck_size;
    _Atomic uint64_t nr_maps;
    _Atomic uint64_t nr_unmaps;
    _Atomic uint64_t nr_map_errors;
    _Atomic uint64_t nr_unmap_errors;
    _Atomic uint64_t nr_commit_errors;
    _Atomic uint64_t nr_budget_refusals;
    _Atomic uint64_t nr_stuck_refusals;
    _Atomic uint64_t nr_forced_unmaps;
    _Atomic uint64_t map_ns;
    _Atomic uint64_t unmap_ns;
    _Atomic uint64_t max_map_ns;
    _Atomic uint64_t max_unmap_ns;
};

/* Where an attachment is. It listens to its region from JOINING on until it is
 * freed, with nothing stuck: whoever removed its listener earlier could not add it
 * again before the guest changes what is stuck. */
enum vmemi_dma_stage {
    /* Its first batch, which is the replay of what is populated, is not over. A
     * refusal is no veto, for that would remove the listener: it is remembered. */
    VMEMI_DMA_JOINING,
    VMEMI_DMA_ATTACHED,
    /* Attaching was refused, or it is being detached: maps nothing any more, and
     * refuses only what is stuck. */
    VMEMI_DMA_LEAVING,
    /* The same, and nobody has a handle: vmemi_dma_reap() frees it. */
    VMEMI_DMA_ORPHAN,
};

/* A window of a region, or static memory, that is one region of its own. Its
 * chunks are numbered from the one that the window starts in. A chunk is clear,
 * mapped, or stuck; and it may be touched: mapped or unmapped in this batch, if the
 * backend says only at its end whether that worked. */
struct vmem_dma_attachment {
    GList link;
    struct vmemi_name name; /* "mapper/attachment" */
    struct vmem_dma *dma;
    struct vmem_region *region; /* NULL: static */
    struct vmem_listener *listener;
    struct vmem_discard_claim *claim;
    struct vmem_range window;
    uint64_t iova;      /* of the window's first byte */
    uint64_t hva;       /* of offset 0; 0: not known */
    uint64_t fd_offset; /* of offset 0 */
    int fd;             /* or -1 */
    uint32_t protection;
    bool is_target; /* of a virtual IOMMU: no chunks */
    enum vmemi_dma_stage stage;
    unsigned int chunk_shift;
    uint64_t first_chunk; /* number of the first one in the region */
    uint64_t nr_chunks;
    uint64_t nr_requested; /* chunks that the host wants to have mapped */
    uint64_t requested_size;
    struct vmem_bitmap *mapped;
    struct vmem_bitmap *stuck;
    struct vmem_bitmap *touched; /* in this batch; NULL: no commit */
    uint64_t first_touched;      /* those chunks are from here */
    uint64_t end_touched;
    struct vmem_dma_attachment *next_touched; /* of the mapper's list */
    struct vmemi_tree guests;                 /* that point here, by target */
    struct vmemi_tree stuck_guests;
    struct vmemi_dma_refusal refusal; /* the first one while joining */
    struct vmemi_dma_refusal veto; /* the first one of a batch; guarded by the
                                         region's change lock */
};

/* ---- lock and batch (batch.c) ---- */

/* Takes the lock and starts a batch, about which the backend hears with the first
 * call. log: where to put records; NULL: of the region's change that this thread
 * is inside of. */
void vmemi_dma_lock(struct vmem_dma *dma, struct vmemi_log_queue *log);

/* Ends the batch: 0, or what commit said. What was unmapped is stuck then; what
 * was mapped is unmapped, in another batch, or stuck. */
int vmemi_dma_commit(struct vmem_dma *dma);

/* Drops the lock. The batch must have been ended. */
void vmemi_dma_unlock(struct vmem_dma *dma);

/* The backend's calls, counted and timed. For unmap, 0 with the bytes that the
 * backend says; what a backend calls -ENOENT is 0 bytes. */
int vmemi_dma_call_map(struct vmem_dma *dma,
                       const struct vmem_dma_mapping *mapping);
int vmemi_dma_call_unmap(struct vmem_dma *dma, uint64_t iova, uint64_t size,
                         uint64_t *unmapped);

/* ---- budget (budget.c) ---- */

/* May one more mapping of this size be made? 0, or -ENOSPC with a refusal that
 * is on record. */
int vmemi_dma_check_budget(const struct vmem_dma_attachment *attachment,
                           uint64_t iova, uint64_t size);
void vmemi_dma_count_mapped(struct vmem_dma *dma, uint64_t size);
void vmemi_dma_count_unmapped(struct vmem_dma *dma, uint64_t size);

/* Fills and judges: what others have or want, against what this one asks for. */
void vmemi_dma_judge_attachment(const struct vmem_dma_attachment *attachment,
                                uint64_t nr_now, uint64_t now_size,
                                struct vmem_dma_verdict *verdict);

/* The judgement alone, of a verdict with all numbers but nr_available, fit, bound
 * and the block size. The range is what may be populated. */
void vmemi_dma_judge(struct vmem_dma_verdict *verdict,
                     const struct vmem_range *range);

/* Chunks that a range, which is not empty, touches. size is a power of two. */
uint64_t vmemi_dma_count_chunks(const struct vmem_range *range, uint64_t size);

/* The smallest power of two from size on, in chunks of which a range is at most
 * so many; 0: none. */
uint64_t vmemi_dma_fitting_size(const struct vmem_range *range, uint64_t size,
                                uint64_t nr_chunks);

/* ---- report (report.c) ---- */

/* A map that was not made: on record for the caller's error, and for the log.
 * Returns code. */
int vmemi_dma_refuse(struct vmem_dma *dma, int code, uint32_t reason,
                     const char *object, const char *format, ...)
    __attribute__((cold, format(printf, 5, 6)));

/* At the end of a batch, in which an answer may have explained another one: the
 * episodes that have begun or ended. What the log does not take now is kept for the
 * next end. */
void vmemi_dma_report(struct vmem_dma *dma);

/* The backend's words, or the best there are, for a map that failed. */
int vmemi_dma_refuse_map(const struct vmem_dma_attachment *attachment,
                         const struct vmem_dma_mapping *mapping, int code)
    __attribute__((cold));

/* ---- chunks (chunks.c) ---- */

/* Where a run of chunks lies in the region, clipped to the window. */
struct vmem_range
vmemi_dma_chunk_range(const struct vmem_dma_attachment *attachment,
                      uint64_t first, uint64_t nr_chunks);

uint64_t vmemi_dma_chunk_at(const struct vmem_dma_attachment *attachment,
                            uint64_t offset);

/* Maps one chunk; what is stuck there is unmapped first. 0, or a refusal that is
 * on record. */
int vmemi_dma_map_chunk(struct vmem_dma_attachment *attachment, uint64_t chunk);

/* Unmaps what is mapped of a run of chunks; what cannot be is stuck. */
void vmemi_dma_unmap_chunks(struct vmem_dma_attachment *attachment,
                            uint64_t first, uint64_t nr_chunks);

/* Tries again what is stuck. 0, or why some of it still is. */
int vmemi_dma_retry_chunks(struct vmem_dma_attachment *attachment,
                           uint64_t first, uint64_t nr_chunks);

/* Of a batch whose end failed: mapped or not, nobody knows, so it is stuck. */
void vmemi_dma_lose_chunk(struct vmem_dma_attachment *attachment,
                          uint64_t chunk, int code);

/* ---- what a batch touched (touched.c) ---- */

/* Mapped or unmapped in this batch. */
void vmemi_dma_touch(struct vmem_dma_attachment *attachment, uint64_t chunk);

/* The end of a batch. If it failed what it touched is stuck, and stays touched until
 * the next call; with it that is forgotten, and maybe tried again. */
void vmemi_dma_settle_chunks(struct vmem_dma *dma, int code);
void vmemi_dma_settle_lost_chunks(struct vmem_dma *dma, bool is_retried);

/* After both: the next batch has touched nothing. */
void vmemi_dma_forget_touched(struct vmem_dma *dma);

/* ---- guest mappings (guest.c) ---- */

/* A mapping that the guest made. */
struct vmemi_dma_guest {
    struct vmemi_tree_node by_iova;
    struct vmemi_tree_node by_target;
    struct vmemi_dma_guest *next; /* of those unmapped in a batch */
    struct vmem_dma_attachment *target;
    uint64_t iova;
    struct vmem_range range; /* in the region */
    uint64_t max_end;        /* of the ranges in this subtree */
    uint32_t protection;
    bool is_stuck;
};

void vmemi_dma_init_targets(struct vmem_dma_attachment *attachment);
void vmemi_dma_init_guests(struct vmem_dma *dma);

/* The first mapping that overlaps these IOVAs, or NULL. */
struct vmemi_dma_guest *vmemi_dma_guest_at(const struct vmem_dma *dma,
                                           uint64_t iova, uint64_t size);
struct vmemi_dma_guest *
vmemi_dma_guest_next(const struct vmemi_dma_guest *guest);

/* One that points into the range, or NULL. */
struct vmemi_dma_guest *vmemi_dma_guest_into(const struct vmemi_tree *tree,
                                             const struct vmem_range *range);

/* On the books from now on: mapped, in this batch. */
void vmemi_dma_guest_insert(struct vmemi_dma_guest *guest);

/* 0 and off the books; or stuck. The guest is gone with the batch. */
int vmemi_dma_guest_unmap(struct vmemi_dma_guest *guest);

/* Unmaps all that point into a range, stuck ones not. Returns how many. */
uint64_t vmemi_dma_guests_unmap(struct vmem_dma_attachment *target,
                                const struct vmem_range *range);

/* Tries again each that is stuck, whatever happens to the others. */
void vmemi_dma_guests_retry_all(struct vmem_dma_attachment *target);

/* Tries again those stuck that point into a range. 0, or why one still is, at
 * which it stops. */
int vmemi_dma_guests_retry(struct vmem_dma_attachment *target,
                           const struct vmem_range *range);

void vmemi_dma_settle_guests(struct vmem_dma *dma, int code);

/* Begins the message of a call that was to change nothing. */
#define VMEMI_DMA_STUCK_ADVICE                                                 \
    "something is stuck (vmem_dma_retry_unmaps() tries again): "

/* ---- attachments ---- */

/* The host's description, checked; everything but claim, listener and bitmaps
 * (check.c). */
int vmemi_dma_check_attach(struct vmem_dma *dma,
                           const struct vmem_dma_attach_config *config,
                           struct vmem_dma_attachment *attachment,
                           struct vmem_error *err);
int vmemi_dma_check_static(struct vmem_dma *dma,
                           const struct vmem_dma_static_config *config,
                           struct vmem_dma_attachment *attachment,
                           struct vmem_error *err);

/* Chunks of the granularity that is wanted, or 0 for what fits the region; or the
 * largest there can be; and how many of them hold what is requested
 * (granularity.c). */
int vmemi_dma_check_granularity(struct vmem_dma_attachment *attachment,
                                uint64_t wanted, struct vmem_error *err);
int vmemi_dma_set_pieces(struct vmem_dma_attachment *attachment,
                         struct vmem_error *err);
int vmemi_dma_set_requested(struct vmem_dma_attachment *attachment,
                            uint64_t size, struct vmem_error *err);

/* On the list, if nothing is at its IOVAs and the budget allows what is populated
 * now. Fills the verdict as vmem_dma_attach() (admit.c). */
int vmemi_dma_admit(struct vmem_dma_attachment *attachment, uint64_t flags,
                    struct vmem_dma_verdict *verdict, struct vmem_error *err);

/* Maps what is populated, and follows the region; static memory is mapped at once.
 * 0, or why it has to leave again: then it is to be abandoned. err says why it could
 * not follow; a map that was refused is on record (follow.c). */
int vmemi_dma_join(struct vmem_dma_attachment *attachment,
                   struct vmem_error *err);

/* Bitmaps and trees of a checked attachment. 0 or -ENOMEM. */
int vmemi_dma_make_chunks(struct vmem_dma_attachment *attachment,
                          struct vmem_error *err);

/* Of one that nobody lists; its claim is released. */
void vmemi_dma_free_attachment(struct vmem_dma_attachment *attachment);

/* Does it want nothing more? */
static inline bool
vmemi_dma_is_leaving(const struct vmem_dma_attachment *attachment)
{
    return attachment->stage >= VMEMI_DMA_LEAVING;
}

/* Under the lock: unmaps all of an attachment, which maps nothing from now on,
 * and commits. 0, or why something is stuck. */
int vmemi_dma_unmap_all(struct vmem_dma_attachment *attachment);

/* Under the lock: the first thing that is stuck; false if nothing is. */
bool vmemi_dma_find_stuck(const struct vmem_dma_attachment *attachment,
                          struct vmem_range *range, uint64_t *iova);

/* Under the lock: off the list. */
void vmemi_dma_unlink(struct vmem_dma_attachment *attachment);

/* Attaching was refused: detaches. True if something is stuck, and while it is: then
 * it is an orphan. */
bool vmemi_dma_abandon(struct vmem_dma_attachment *attachment);

/* Frees the orphans of which nothing is stuck any more. */
void vmemi_dma_reap(struct vmem_dma *dma);

#endif /* VMEMI_DMA_MAPPER_H */
