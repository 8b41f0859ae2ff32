/* SPDX-License-Identifier: BSD-3-Clause */
/* What is done to the memory of a backing, and counted: for its region, or for
 * the host program where there is none. */
#include <errno.h>
#include <inttypes.h>

#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "core/region.h"

/* A region that uses a backing is its only user, one change at a time; without
 * one there may be several threads. */
static inline void count(struct vmem_backing *backing,
                         _Atomic uint64_t *counter, uint64_t by)
{
    if (by == 0) {
        return;
    }
    if (atomic_load_explicit(&backing->user, memory_order_relaxed) != NULL) {
        vmemi_add_locked(counter, by);
    } else {
        atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
    }
}

int vmemi_backing_discard(struct vmem_backing *backing,
                          const struct vmem_range *range, uint64_t *done)
{
    int ret;

    *done = 0;
    ret = backing->ops->discard(backing, range, done);
    *done = ret == 0 ? range->size : vmemi_min(*done, range->size);
    count(backing, &backing->nr_discards, 1);
    count(backing, &backing->nr_discard_errors, ret < 0);
    count(backing, &backing->discarded_bytes, *done);
    return ret;
}

int vmemi_backing_populate(struct vmem_backing *backing,
                           const struct vmem_range *range)
{
    int ret = backing->ops->populate(backing, range);

    count(backing, &backing->nr_populates, 1);
    count(backing, &backing->nr_populate_errors, ret < 0);
    count(backing, &backing->populated_bytes, ret == 0 ? range->size : 0);
    return ret;
}

int vmemi_backing_zero(struct vmem_backing *backing,
                       const struct vmem_range *range)
{
    int ret = backing->ops->zero(backing, range);

    count(backing, &backing->zeroed_bytes, ret == 0 ? range->size : 0);
    return ret;
}

static int check_direct_use(struct vmem_backing *backing,
                            const struct vmem_range *range, const char *what,
                            struct vmem_error *err)
{
    int ret;

    if (backing == NULL || range == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "%s: NULL argument", what);
    }
    ret = vmemi_range_check(range, backing->size, backing->name.text, err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_range_check_aligned(range, backing->page_size,
                                    backing->name.text, err);
    if (ret < 0) {
        return ret;
    }
    return vmemi_backing_check_unused(backing, what, err);
}

int vmem_backing_discard(struct vmem_backing *backing,
                         const struct vmem_range *range, struct vmem_error *err)
{
    struct vmem_range left;
    uint64_t done;
    int ret;

    ret = check_direct_use(backing, range, "vmem_backing_discard", err);
    if (ret < 0 || range->size == 0) {
        return ret;
    }
    ret = vmemi_backing_discard(backing, range, &done);
    if (ret < 0) {
        left.offset = range->offset + done;
        left.size = range->size - done;
        return vmemi_fail(err, ret, VMEM_REASON_DISCARD_FAILED, &left,
                          "backing \"%s\": discard of 0x%" PRIx64
                          " bytes at offset 0x%" PRIx64 ": %s (errno %d)",
                          backing->name.text, left.size, left.offset,
                          vmemi_errno_text(ret), -ret);
    }
    return 0;
}

int vmem_backing_populate(struct vmem_backing *backing,
                          const struct vmem_range *range,
                          struct vmem_error *err)
{
    int ret;

    ret = check_direct_use(backing, range, "vmem_backing_populate", err);
    if (ret < 0 || range->size == 0) {
        return ret;
    }
    ret = vmemi_backing_populate(backing, range);
    if (ret < 0) {
        return vmemi_fail(err, ret, VMEM_REASON_POPULATE_FAILED, range,
                          "backing \"%s\": populate of 0x%" PRIx64
                          " bytes at offset 0x%" PRIx64 ": %s (errno %d)",
                          backing->name.text, range->size, range->offset,
                          vmemi_errno_text(ret), -ret);
    }
    return 0;
}
