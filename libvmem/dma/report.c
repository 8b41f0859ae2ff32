/* SPDX-License-Identifier: BSD-3-Clause */
/* What a mapper says: each refusal to who asked, the first of an episode to the
 * log. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/errno.h"
#include "dma/mapper.h"

int vmemi_dma_refuse(struct vmem_dma *dma, int code, uint32_t reason,
                     const char *object, const char *format, ...)
{
    va_list args;

    dma->refusal.code = code;
    dma->refusal.reason = reason;
    va_start(args, format);
    vsnprintf(dma->refusal.text, sizeof(dma->refusal.text), format, args);
    va_end(args);
    dma->has_refused = true;
    dma->is_refusing = true;
    if (!dma->is_refusal_logged) {
        snprintf(dma->refused.text, sizeof(dma->refused.text), "%s", object);
    }
    return code;
}

static void report_refusal(struct vmem_dma *dma)
{
    if (dma->has_mapped && !dma->has_refused) {
        if (dma->is_refusing && !dma->is_refusal_logged) {
            vmemi_log_drop(&dma->vm->log, VMEM_LOG_CODE_DMA_REFUSED);
        }
        dma->is_refusing = false;
        dma->is_refusal_logged = false;
    }
    if (dma->is_refusing && !dma->is_refusal_logged) {
        dma->is_refusal_logged = vmemi_log_offer(
            &dma->vm->log, dma->log, VMEM_LOG_WARNING,
            dma->refusal.reason == VMEM_REASON_BUDGET ? VMEM_BLAME_HOST
                                                      : VMEM_BLAME_OS,
            VMEM_LOG_CODE_DMA_REFUSED, dma->refused.text, dma->refusal.text);
    }
}

static const char *advice(int code)
{
    switch (code) {
    case -ENOSPC:
        return "; it has no mappings left: use larger blocks or raise its "
               "limit";
    case -ENOMEM:
        return "; memory may not be locked: raise RLIMIT_MEMLOCK";
    case -EEXIST:
        return "; something else has mapped there";
    default:
        return "";
    }
}

int vmemi_dma_refuse_map(const struct vmem_dma_attachment *attachment,
                         const struct vmem_dma_mapping *mapping, int code)
{
    struct vmem_dma *dma = attachment->dma;
    char text[128] = "";

    if (dma->backend.explain != NULL) {
        dma->backend.explain(mapping, code, text, sizeof(text),
                             dma->backend.opaque);
    }
    return vmemi_dma_refuse(
        dma, code, VMEM_REASON_MAP_FAILED, attachment->name.text,
        "map of 0x%" PRIx64 " bytes at iova 0x%" PRIx64 ": %s (errno %d)%s",
        mapping->size, mapping->iova,
        text[0] != '\0' ? text : vmemi_errno_text(code), -code,
        text[0] != '\0' ? "" : advice(code));
}

/* False: the log has no room for it now. */
static bool log_stuck(struct vmem_dma *dma,
                      const struct vmem_dma_attachment *attachment,
                      const struct vmem_range *range, uint64_t iova)
{
    char text[256];

    snprintf(text, sizeof(text),
             "0x%" PRIx64 " bytes at iova 0x%" PRIx64
             " could not be unmapped: %s (errno %d): a device may still reach "
             "them; vmem_dma_retry_unmaps() tries again",
             range->size, iova, vmemi_errno_text(dma->stuck_code),
             -dma->stuck_code);
    return vmemi_log_offer(&dma->vm->log, dma->log, VMEM_LOG_ERROR,
                           VMEM_BLAME_OS, VMEM_LOG_CODE_DMA_STUCK,
                           attachment->name.text, text);
}

static void report_stuck(struct vmem_dma *dma)
{
    struct vmem_range range;
    uint64_t iova;

    if (atomic_load(&dma->nr_stuck) == 0) {
        if (dma->is_stuck && !dma->is_stuck_logged) {
            vmemi_log_drop(&dma->vm->log, VMEM_LOG_CODE_DMA_STUCK);
        }
        dma->is_stuck = false;
        dma->is_stuck_logged = false;
        return;
    }
    dma->is_stuck = true;
    for (GList *link = dma->attachments.head;
         link != NULL && !dma->is_stuck_logged; link = link->next) {
        if (vmemi_dma_find_stuck(link->data, &range, &iova)) {
            dma->is_stuck_logged = log_stuck(dma, link->data, &range, iova);
            return;
        }
    }
}

void vmemi_dma_report(struct vmem_dma *dma)
{
    report_refusal(dma);
    report_stuck(dma);
}
