/* SPDX-License-Identifier: BSD-3-Clause */
/* Attaching: checked, claimed, judged, and only then mapped. */
#include <errno.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/sized.h"
#include "dma/mapper.h"

static int take_claim(struct vmem_dma_attachment *attachment,
                      struct vmem_error *err)
{
    const bool in_parts =
        (attachment->dma->backend.flags & VMEM_DMA_NO_PARTS) == 0;

    if (!attachment->dma->takes_claims) {
        return 0; /* the host arbitrates */
    }
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
    vmem_bitmap_free(attachment->touched);
    vmemi_free(attachment);
}

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

/* The attachment is gone, or its owner's no more. */
static int fail_join(struct vmem_dma_attachment *attachment, int code,
                     struct vmem_error *err)
{
    const struct vmemi_dma_refusal refusal = attachment->refusal;
    const struct vmemi_name name = attachment->name;
    const bool is_stuck = vmemi_dma_abandon(attachment);

    if (refusal.code == 0) {
        return code;
    }
    return vmemi_fail(err, refusal.code, refusal.reason, NULL,
                      "attachment \"%s\": %s%s", name.text,
                      is_stuck ? VMEMI_DMA_STUCK_ADVICE : "", refusal.text);
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
        ret = vmemi_dma_admit(attachment, flags, verdict, err);
    }
    if (ret < 0) {
        vmemi_dma_free_attachment(attachment);
        return ret;
    }
    ret = vmemi_dma_join(attachment, err);
    if (ret < 0) {
        return fail_join(attachment, ret, err);
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
