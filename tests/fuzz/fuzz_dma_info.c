/* SPDX-License-Identifier: BSD-3-Clause */
/* What a kernel says of its IOMMU, as any bytes: VFIO's chain of capabilities, and
 * the lists of iommufd. Whatever it is, asking ends, reads nothing but the answer,
 * and believes no window that the answer does not allow. */
#include <errno.h>

#include "dma/ioctl.h"
#include "dma/iommufd.h"
#include "dma/kernel.h"
#include "dma/type1_info.h"
#include "fuzz_check.h"
#include "fuzz_input.h"

/* Questions that one call may ask, whatever it is answered. */
#define MAX_QUESTIONS 8

static struct fuzz_input input;
static unsigned nr_questions;

/* Ranges as they were said, when the answer was taken. */
static struct vmemi_iova_range said[64];
static uint32_t nr_said;

/* The size that is wanted, a head, and capabilities up to the end of the room. */
static int answer_info(void *argument)
{
    struct vfio_iommu_type1_info info;
    uint32_t room;

    memcpy(&info, argument, sizeof(info));
    room = info.argsz;
    info.argsz = fuzz_u16(&input);
    if (info.argsz == 0xffff) {
        info.argsz = (uint32_t)fuzz_u64(&input);
    }
    info.flags = fuzz_u8(&input);
    info.iova_pgsizes = (uint64_t)fuzz_u8(&input) << 12;
    info.cap_offset = fuzz_u16(&input);
    fuzz_bytes(&input, (uint8_t *)argument + sizeof(info), room - sizeof(info));
    memcpy(argument, &info, sizeof(info));
    return 0;
}

static int answer_ranges(void *argument)
{
    struct iommu_ioas_iova_ranges *ranges = argument;
    const uint32_t room = ranges->num_iovas;
    const bool fits = (fuzz_u8(&input) & 1) != 0;

    ranges->num_iovas = fuzz_u8(&input);
    if (ranges->num_iovas == 0xff) {
        ranges->num_iovas = (uint32_t)fuzz_u64(&input);
    }
    ranges->out_iova_alignment = (uint64_t)fuzz_u8(&input) << 8;
    fuzz_bytes(&input, (void *)(uintptr_t)ranges->allowed_iovas,
               room * sizeof(struct iommu_iova_range));
    nr_said = 0;
    if (fits && ranges->num_iovas <= room && ranges->num_iovas <= 64) {
        nr_said = ranges->num_iovas;
        memcpy(said, (void *)(uintptr_t)ranges->allowed_iovas,
               nr_said * sizeof(said[0]));
    }
    return fits ? 0 : -EMSGSIZE;
}

static int answer(int fd, unsigned long request, void *argument)
{
    (void)fd;
    nr_questions++;
    /* Now and then it fails, or is interrupted. */
    switch (fuzz_u8(&input)) {
    case 1:
        return -EFAULT;
    case 2:
        nr_questions--;
        return -EINTR;
    default:
        return request == VFIO_IOMMU_GET_INFO ? answer_info(argument)
                                              : answer_ranges(argument);
    }
}

static uint64_t no_limit(void)
{
    return UINT64_MAX;
}

/* Every address of the window is in some range, looked for from the start each
 * time. */
static bool is_allowed(const struct vmemi_iova_range *ranges, uint32_t nr,
                       uint64_t iova, uint64_t size)
{
    const uint64_t last = iova + (size - 1);

    for (;;) {
        uint32_t i = 0;

        while (i < nr && (iova < ranges[i].start || iova > ranges[i].last)) {
            i++;
        }
        if (i == nr) {
            return false;
        }
        if (last <= ranges[i].last) {
            return true;
        }
        iova = ranges[i].last + 1;
    }
}

static void make_window(uint64_t *iova, uint64_t *size)
{
    *iova = fuzz_u64(&input);
    *size = fuzz_u64(&input);
    if (*size == 0 || *size - 1 > UINT64_MAX - *iova) {
        *size = UINT64_MAX - *iova;
    }
    *size += *size == 0;
}

static void check_error(const struct vmem_error *err, int ret)
{
    fuzz_check(ret == -EPROTO || ret == -EFAULT || ret == -EINTR ||
                   ret == -ERANGE,
               "%d", ret);
    fuzz_check(err->code == ret && err->message[0] != '\0', "%d, \"%s\"",
               err->code, err->message);
}

static void ask_type1(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmemi_type1_info info;
    uint64_t iova;
    uint64_t size;
    int ret = vmemi_type1_info_get(0, &info, &err);

    fuzz_check(nr_questions <= MAX_QUESTIONS, "%u questions", nr_questions);
    if (ret < 0) {
        check_error(&err, ret);
        fuzz_check(info.ranges.ranges == NULL, "ranges of a failure");
        return;
    }
    fuzz_check(info.page_sizes != 0, "no page size");
    fuzz_check((info.ranges.ranges == NULL) == (info.ranges.nr_ranges == 0),
               "%u ranges", info.ranges.nr_ranges);
    make_window(&iova, &size);
    ret = vmemi_iova_ranges_check(&info.ranges, iova, size, &err);
    if (ret < 0) {
        check_error(&err, ret);
    } else if (info.ranges.ranges != NULL) {
        fuzz_check(
            is_allowed(info.ranges.ranges, info.ranges.nr_ranges, iova, size),
            "0x%llx + 0x%llx", (unsigned long long)iova,
            (unsigned long long)size);
    }
    vmemi_iova_ranges_destroy(&info.ranges);
}

static void ask_iommufd(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmemi_dma_backend backend;
    uint64_t iova;
    uint64_t size;
    int ret = vmemi_iommufd_open(0, 1, &backend, &err);

    fuzz_check(nr_questions <= MAX_QUESTIONS, "%u questions", nr_questions);
    if (ret < 0) {
        check_error(&err, ret);
        return;
    }
    fuzz_check((backend.page_sizes & (backend.page_sizes - 1)) == 0,
               "page sizes 0x%llx", (unsigned long long)backend.page_sizes);
    make_window(&iova, &size);
    nr_questions = 0;
    ret = backend.check_window(iova, size, &err, backend.opaque);
    fuzz_check(nr_questions <= MAX_QUESTIONS, "%u questions", nr_questions);
    if (ret < 0) {
        check_error(&err, ret);
    } else if (nr_said > 0) {
        fuzz_check(is_allowed(said, nr_said, iova, size), "0x%llx + 0x%llx",
                   (unsigned long long)iova, (unsigned long long)size);
    }
    backend.ops.destroy(backend.opaque);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vmemi_dma_sys table = {
        .ioctl = answer,
        .memlock_limit = no_limit,
    };

    input.data = data;
    input.size = size;
    nr_questions = 0;
    nr_said = 0;
    vmemi_dma_sys_set(&table);
    if ((fuzz_u8(&input) & 1) == 0) {
        ask_type1();
    } else {
        ask_iommufd();
    }
    vmemi_dma_sys_set(NULL);
    return 0;
}
