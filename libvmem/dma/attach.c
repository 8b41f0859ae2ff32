/* SPDX-License-Identifier: BSD-3-Clause */
/* Attaching: checked, claimed, judged, and only then mapped. */
#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "dma/mapper.h"

/* Under the lock: the first batch is over, or there was none. */
static void end_joining(struct vmem_dma_attachment *attachment)
{
    if (attachment->stage == VMEMI_DMA_JOINING) {
        attachment->stage = attachment->refusal.code < 0 ? VMEMI_DMA_LEAVING
                                                         : VMEMI_DMA_ATTACHED;
    }
}

/* ---- what the region tells ---- */

static void listener_begin(void *opaque)
{
    struct vmem_dma_attachment *attachment = opaque;

    vmemi_dma_lock(attachment->dma, NULL);
}

/* While joining, remembered for who attaches, and no veto. */
static int answer(struct vmem_dma_attachment *attachment, int ret)
{
    if (attachment->stage != VMEMI_DMA_JOINING) {
        return ret;
    }
    if (ret < 0 && attachment->refusal.code == 0) {
        attachment->refusal = attachment->dma->refusal;
    }
    return 0;
}

static int listener_commit(void *opaque)
{
    struct vmem_dma_attachment *attachment = opaque;
    int ret = answer(attachment, vmemi_dma_commit(attachment->dma));

    end_joining(attachment);
    vmemi_dma_unlock(attachment->dma);
    return ret;
}

static int populate_target(struct vmem_dma_attachment *target,
                           const struct vmem_range *range)
{
    struct vmem_dma *dma = target->dma;
    int ret = vmemi_dma_guests_retry(target, range);

    if (ret == 0) {
        return 0;
    }
    vmemi_add_locked(&dma->nr_stuck_refusals, 1);
    return vmemi_dma_refuse(
        dma, -EBUSY, VMEM_REASON_UNMAP_FAILED, target->name.text,
        "offset 0x%" PRIx64 " is still mapped for the guest: errno %d",
        range->offset, -ret);
}

static int listener_populate(const struct vmem_range *range, void *opaque)
{
    struct vmem_dma_attachment *attachment = opaque;
    int ret;

    if (attachment->refusal.code < 0 &&
        attachment->stage == VMEMI_DMA_JOINING) {
        return 0; /* what else would be mapped is unmapped soon */
    }
    if (attachment->is_target) {
        ret = populate_target(attachment, range);
    } else {
        ret = vmemi_dma_map_chunk(
            attachment, vmemi_dma_chunk_at(attachment, range->offset));
    }
    return answer(attachment, ret);
}

static void listener_discard(const struct vmem_range *range, void *opaque)
{
    struct vmem_dma_attachment *attachment = opaque;
    struct vmem_dma *dma = attachment->dma;
    uint64_t first;
    uint64_t nr_chunks;

    if (attachment->is_target) {
        vmemi_add_locked(&dma->nr_forced_unmaps,
                         vmemi_dma_guests_unmap(attachment, range));
        return;
    }
    first = vmemi_dma_chunk_at(attachment, range->offset);
    nr_chunks =
        vmemi_dma_chunk_at(attachment, vmemi_range_end(range) - 1) - first + 1;
    /* What is stuck here is of an attachment that is being detached. */
    vmemi_dma_retry_chunks(attachment, first, nr_chunks);
    vmemi_dma_unmap_chunks(attachment, first, nr_chunks);
}

const struct vmem_listener_ops vmemi_dma_listener = {
    .struct_size = sizeof(vmemi_dma_listener),
    .populate = listener_populate,
    .discard = listener_discard,
    .begin = listener_begin,
    .commit = listener_commit,
};

/* ---- admission ---- */

static bool overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* Under the lock: does something use these IOVAs? */
static int check_free(const struct vmem_dma_attachment *attachment,
                      struct vmem_error *err)
{
    const struct vmem_dma *dma = attachment->dma;
    const uint64_t size = attachment->window.size;

    if (attachment->is_target) {
        return 0;
    }
    for (const GList *link = dma->attachments.head; link != NULL;
         link = link->next) {
        const struct vmem_dma_attachment *other = link->data;

        if (!other->is_target &&
            overlaps(attachment->iova, size, other->iova, other->window.size)) {
            return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                              "attachment \"%s\": iova 0x%" PRIx64
                              " + 0x%" PRIx64 " overlaps \"%s\" at 0x%" PRIx64,
                              attachment->name.text, attachment->iova, size,
                              other->name.text, other->iova);
        }
    }
    if (vmemi_dma_guest_at(dma, attachment->iova, size) != NULL) {
        return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                          "attachment \"%s\": the guest has mapped something "
                          "at iova 0x%" PRIx64 " + 0x%" PRIx64,
                          attachment->name.text, attachment->iova, size);
    }
    return 0;
}

static int check_fit(const struct vmem_dma_attachment *attachment,
                     const struct vmem_dma_verdict *verdict, uint64_t flags,
                     struct vmem_error *err)
{
    const bool is_strict = (flags & VMEM_DMA_STRICT) != 0;
    /* Only the limit that decided: the other one may be none at all. */
    const bool is_pinned = verdict->bound == VMEM_DMA_BOUND_PINNED;
    const char *what = is_pinned ? "pinned bytes" : "mappings";
    const uint64_t limit =
        is_pinned ? verdict->max_pinned_size : verdict->max_mappings;
    const uint64_t used =
        is_pinned
            ? vmemi_add_saturating(verdict->pinned_size,
                                   verdict->requested_pinned_size)
            : vmemi_add_saturating(verdict->nr_taken, verdict->nr_requested);
    struct vmem_dma *dma = attachment->dma;

    if (verdict->fit == VMEM_DMA_FIT_OK) {
        return 0;
    }
    if (verdict->fit == VMEM_DMA_FIT_IMPOSSIBLE || is_strict) {
        return vmemi_fail(err, -ENOSPC, VMEM_REASON_BUDGET, NULL,
                          "attachment \"%s\" %s the limit of %s: %" PRIu64
                          " of %" PRIu64 "; block size that fits: 0x%" PRIx64,
                          attachment->name.text,
                          verdict->fit == VMEM_DMA_FIT_TIGHT ? "is near"
                                                             : "exceeds",
                          what, used, limit, verdict->recommended_block_size);
    }
    vmemi_log_add(&dma->vm->log, dma->log, VMEM_LOG_WARNING, VMEM_BLAME_HOST,
                  VMEM_LOG_CODE_DMA_NEAR, attachment->name.text,
                  "%" PRIu64 " of %" PRIu64 " %s: the limit is near", used,
                  limit, what);
    return 0;
}

void vmemi_dma_link(struct vmem_dma_attachment *attachment)
{
    g_queue_push_tail_link(&attachment->dma->attachments, &attachment->link);
    vmemi_add_locked(&attachment->dma->nr_attachments, 1);
}

void vmemi_dma_unlink(struct vmem_dma_attachment *attachment)
{
    g_queue_unlink(&attachment->dma->attachments, &attachment->link);
    vmemi_add_locked(&attachment->dma->nr_attachments, (uint64_t)-1);
}

/* Under the lock: on the list if nothing is at its IOVAs and the budget allows.
 * Fills the host's verdict, of which vmemi_sized_check_out() was asked. */
static int admit(struct vmem_dma_attachment *attachment, uint64_t flags,
                 uint64_t nr_now, uint64_t now_size,
                 struct vmem_dma_verdict *host_verdict, struct vmem_error *err)
{
    struct vmem_dma_verdict verdict = { 0 };
    int ret = check_free(attachment, err);

    if (ret < 0) {
        return ret;
    }
    vmemi_dma_judge_attachment(attachment, nr_now, now_size, &verdict);
    if (host_verdict != NULL) {
        vmemi_sized_write(host_verdict, &verdict, sizeof(verdict));
    }
    ret = check_fit(attachment, &verdict, flags, err);
    if (ret == 0) {
        vmemi_dma_link(attachment);
    }
    return ret;
}

/* ---- making and undoing ---- */

static int take_claim(struct vmem_dma_attachment *attachment,
                      struct vmem_error *err)
{
    const bool in_parts =
        (attachment->dma->backend.flags & VMEM_DMA_NO_PARTS) == 0;

    return vmem_discard_claim_take(
        attachment->dma->vm,
        in_parts ? VMEM_CLAIM_FORBID_UNCOORDINATED : VMEM_CLAIM_FORBID_ALL,
        attachment->name.text, &attachment->claim, err);
}

void vmemi_dma_free_attachment(struct vmem_dma_attachment *attachment)
{
    if (attachment->claim != NULL) {
        vmem_discard_claim_release(attachment->claim, NULL);
    }
    vmem_bitmap_free(attachment->mapped);
    vmem_bitmap_free(attachment->stuck);
    vmem_bitmap_free(attachment->unmapped);
    vmemi_free(attachment);
}

/* ---- joining ---- */

struct populated {
    uint64_t chunk_size;
    uint64_t nr_chunks;
    uint64_t size;
};

static int add_populated(const struct vmem_range *run, void *opaque)
{
    struct populated *populated = opaque;

    populated->nr_chunks += vmemi_dma_count_chunks(run, populated->chunk_size);
    populated->size += run->size;
    return 0;
}

/* Static memory is a region that is told once, by nobody. */
static void map_static(struct vmem_dma_attachment *attachment)
{
    struct vmem_dma *dma = attachment->dma;
    struct vmemi_log_queue log;

    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    for (uint64_t chunk = 0;
         chunk < attachment->nr_chunks && attachment->refusal.code == 0;
         chunk++) {
        answer(attachment, vmemi_dma_map_chunk(attachment, chunk));
    }
    answer(attachment, vmemi_dma_commit(dma));
    vmemi_dma_unlock(dma);
    vmemi_log_send(&dma->vm->log, &log);
}

/* 0, or why it has to leave again; whoever is refused listens on. */
static int end_join(struct vmem_dma_attachment *attachment,
                    struct vmem_error *err)
{
    const struct vmemi_dma_refusal *refusal = &attachment->refusal;
    struct vmemi_log_queue log;
    bool is_refused;

    log.nr_records = 0;
    vmemi_dma_lock(attachment->dma, &log);
    end_joining(attachment);
    is_refused = vmemi_dma_is_leaving(attachment);
    vmemi_dma_unlock(attachment->dma);
    if (!is_refused) {
        return 0;
    }
    return vmemi_fail(err, refusal->code, refusal->reason, NULL,
                      "attachment \"%s\": %s", attachment->name.text,
                      refusal->text);
}

/* Maps what is populated, and follows the region. */
static int join(struct vmem_dma_attachment *attachment, struct vmem_error *err)
{
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = attachment->name.text,
        .window = attachment->window,
        .granularity =
            attachment->is_target ? 0 : (uint64_t)1 << attachment->chunk_shift,
    };
    int ret = 0;

    if (attachment->region == NULL) {
        map_static(attachment);
    } else {
        ret =
            vmem_listener_add(attachment->region, &config, &vmemi_dma_listener,
                              attachment, &attachment->listener, err);
    }
    /* If it fails nothing was told. */
    return ret < 0 ? ret : end_join(attachment, err);
}

/* On the list, if the budget allows what is populated now. */
static int enter(struct vmem_dma_attachment *attachment, uint64_t flags,
                 struct vmem_dma_verdict *verdict, struct vmem_error *err)
{
    struct vmem_dma *dma = attachment->dma;
    struct populated populated = {
        .chunk_size = (uint64_t)1 << attachment->chunk_shift,
    };
    struct vmemi_log_queue log;
    int ret;

    if (attachment->region == NULL) {
        add_populated(&attachment->window, &populated);
    } else if (!attachment->is_target) {
        vmem_region_for_each_populated(attachment->region, &attachment->window,
                                       add_populated, &populated);
    }
    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    ret = admit(attachment, flags, populated.nr_chunks, populated.size, verdict,
                err);
    vmemi_dma_unlock(dma);
    vmemi_log_send(&dma->vm->log, &log);
    return ret;
}

/* ---- both kinds ---- */

/* What can be refused before the host's description is looked at. */
static int
begin_attach(struct vmem_dma *dma, struct vmem_dma_attachment *const *out,
             const struct vmem_dma_verdict *verdict, const char *what,
             struct vmem_dma_attachment **attachment, struct vmem_error *err)
{
    int ret;

    if (dma == NULL || out == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "%s: dma or out is NULL", what);
    }
    if (verdict != NULL &&
        vmemi_sized_check_out(verdict,
                              VMEMI_SIZE_THROUGH(struct vmem_dma_verdict,
                                                 worst_case_pinned_size)) < 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_STRUCT_SIZE, NULL,
                          "%s: struct_size of the verdict is %zu", what,
                          verdict->struct_size);
    }
    ret = vmemi_vm_check_unlocked(dma->vm, what, err);
    if (ret < 0) {
        return ret;
    }
    vmemi_dma_reap(dma); /* a plug may have unmapped what was stuck */
    *attachment = vmemi_alloc0(sizeof(**attachment));
    return *attachment != NULL ? 0 : vmemi_fail_no_memory(err, "an attachment");
}

/* A checked attachment, or why it was refused, is attached, or is gone. */
static int end_attach(struct vmem_dma_attachment *attachment, int ret,
                      uint64_t flags, struct vmem_dma_verdict *verdict,
                      struct vmem_dma_attachment **out, struct vmem_error *err)
{
    if (ret == 0) {
        ret = vmemi_dma_make_chunks(attachment, err);
    }
    if (ret == 0) {
        ret = take_claim(attachment, err);
    }
    if (ret == 0) {
        ret = enter(attachment, flags, verdict, err);
    }
    if (ret < 0) {
        vmemi_dma_free_attachment(attachment);
        return ret;
    }
    ret = join(attachment, err);
    if (ret < 0) {
        vmemi_dma_abandon(attachment);
        return ret;
    }
    *out = attachment;
    return 0;
}

int vmem_dma_attach(struct vmem_dma *dma,
                    const struct vmem_dma_attach_config *host_config,
                    struct vmem_dma_verdict *verdict,
                    struct vmem_dma_attachment **out, struct vmem_error *err)
{
    struct vmem_dma_attachment *attachment;
    struct vmem_dma_attach_config config;
    int ret;

    ret = vmemi_sized_read(
        &config, sizeof(config),
        VMEMI_SIZE_THROUGH(struct vmem_dma_attach_config, reserved),
        host_config, "vmem_dma_attach_config", err);
    if (ret == 0) {
        ret = begin_attach(dma, out, verdict, "vmem_dma_attach", &attachment,
                           err);
    }
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_dma_check_attach(dma, &config, attachment, err);
    return end_attach(attachment, ret, config.flags, verdict, out, err);
}

int vmem_dma_attach_static(struct vmem_dma *dma,
                           const struct vmem_dma_static_config *host_config,
                           struct vmem_dma_verdict *verdict,
                           struct vmem_dma_attachment **out,
                           struct vmem_error *err)
{
    struct vmem_dma_attachment *attachment;
    struct vmem_dma_static_config config;
    int ret;

    ret = vmemi_sized_read(
        &config, sizeof(config),
        VMEMI_SIZE_THROUGH(struct vmem_dma_static_config, reserved),
        host_config, "vmem_dma_static_config", err);
    if (ret == 0) {
        ret = begin_attach(dma, out, verdict, "vmem_dma_attach_static",
                           &attachment, err);
    }
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_dma_check_static(dma, &config, attachment, err);
    return end_attach(attachment, ret, config.flags, verdict, out, err);
}
