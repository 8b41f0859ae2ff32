/* SPDX-License-Identifier: BSD-3-Clause */
/* The public operations of mappers, on VFIO and iommufd, whose ioctls are fault
 * points, and on callbacks. What is stuck is tried again before two states are
 * compared: that it may be stuck is what the interface says. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "faults/point.h"
#include "faults/point_dma.h"
#include "faults/scene.h"
#include "support/iova_set.h"

#define IOVA ((uint64_t)1 << 32)
#define HVA ((uint64_t)1 << 40)
#define STATIC_IOVA (2 * IOVA)
#define GUEST_IOVA ((uint64_t)1 << 30)

static const int may_stop[] = { POINT_POSITIVE, 0 };

static struct dma_part {
    struct type1_model type1;
    struct iommufd_model iommufd;
    struct iova_set custom; /* what the callbacks have mapped */
    struct iova_set late_custom;
    struct iova_set *set; /* of the mapper's kind */
    uint32_t kind;        /* enum vmem_dma_kind */
    uint64_t properties;
    bool refuses; /* unmaps fail, without being a fault point */
    unsigned int nr_destroys;
    struct vmem_dma *dma;
    struct vmem_dma *late;
    struct vmem_dma_attachment *attachment;
    struct vmem_dma_attachment *fixed; /* static memory */
    struct vmem_dma_attachment *late_attachment;
} part;

/* ---- callbacks ---- */

static int custom_map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    static const int variants[] = { -ENOSPC, POINT_POSITIVE, 0 };
    const int variant = point("map", variants);
    const struct iova_mapping made = {
        .iova = mapping->iova,
        .size = mapping->size,
    };

    if (variant == 0) {
        iova_set_add(opaque, &made);
    }
    return variant;
}

static int custom_unmap(uint64_t iova, uint64_t size, uint64_t *unmapped,
                        void *opaque)
{
    static const int variants[] = { -EIO, -ENOENT, POINT_POSITIVE, 0 };
    const int variant = part.refuses ? -EIO : point("unmap", variants);

    *unmapped = 0;
    if (variant == 0 || variant == -ENOENT) {
        *unmapped = iova_set_remove(opaque, iova, iova + (size - 1));
    }
    return variant;
}

static void custom_begin(void *opaque)
{
    (void)opaque;
    point_reached("begin");
}

static int custom_commit(void *opaque)
{
    static const int variants[] = { -EIO, POINT_POSITIVE, 0 };

    (void)opaque;
    return point("commit", variants);
}

static void custom_destroy(void *opaque)
{
    (void)opaque;
    point_reached("destroy");
    part.nr_destroys++;
}

/* ---- making ---- */

static int make(struct scene *it, const char *name, struct iova_set *set,
                struct vmem_dma **dma)
{
    const struct vmem_dma_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .flags = VMEM_DMA_MEASURE_LATENCY,
    };
    const struct vmem_dma_properties properties = {
        .struct_size = sizeof(properties),
        .flags = part.properties,
        .page_sizes = UNIT,
    };
    const struct vmem_dma_ops ops = {
        .struct_size = sizeof(ops),
        .map = custom_map,
        .unmap = custom_unmap,
        .begin = custom_begin,
        .commit = custom_commit,
        .destroy = custom_destroy,
    };

    switch (part.kind) {
    case VMEM_DMA_TYPE1:
        return vmem_dma_new_type1(it->vm, &config, POINT_DMA_TYPE1, dma,
                                  &it->err);
    case VMEM_DMA_IOMMUFD:
        return vmem_dma_new_iommufd(it->vm, &config, POINT_DMA_IOMMUFD, 1, dma,
                                    &it->err);
    default:
        return vmem_dma_new_custom(it->vm, &config, &properties, &ops, set, dma,
                                   &it->err);
    }
}

static int attach_to(struct scene *it, struct vmem_dma *dma, uint64_t flags,
                     struct vmem_dma_attachment **attachment)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .region = it->region,
        .iova = (flags & VMEM_DMA_VIOMMU) != 0 ? 0 : IOVA,
        .hva = (void *)(uintptr_t)HVA,
        .flags = flags | VMEM_DMA_HAS_FD,
        .fd = 0,
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };

    return vmem_dma_attach(dma, &config, &verdict, attachment, &it->err);
}

/* ---- operations ---- */

static int new_dma(struct scene *it)
{
    const unsigned int nr_destroys = part.nr_destroys;
    const int ret = make(it, "made", &part.custom, &part.dma);

    if (part.kind == VMEM_DMA_CUSTOM &&
        part.nr_destroys - nr_destroys != (ret < 0)) {
        complain(it, "mapper: %u destroys, returned %d",
                 part.nr_destroys - nr_destroys, ret);
    }
    return ret;
}

static void undo_dma(struct scene *it)
{
    if (vmem_dma_free(part.dma, &it->err) < 0) {
        complain(it, "the mapper is not freed: %s", it->err.message);
    }
    part.dma = NULL;
}

static int make_and_free_dma(struct scene *it)
{
    int ret = new_dma(it);

    if (ret == 0) {
        undo_dma(it);
    }
    return ret;
}

static int attach(struct scene *it)
{
    return attach_to(it, part.dma, 0, &part.attachment);
}

static void detach_all(struct scene *it,
                       struct vmem_dma_attachment **attachment)
{
    if (vmem_dma_detach(*attachment, &it->err) < 0) {
        complain(it, "not detached: %s", it->err.message);
    }
    *attachment = NULL;
}

static void undo_attach(struct scene *it)
{
    detach_all(it, &part.attachment);
}

static int attach_static(struct scene *it)
{
    const struct vmem_dma_static_config config = {
        .struct_size = sizeof(config),
        .name = "rom",
        .iova = STATIC_IOVA,
        .size = SIZE,
        .hva = (void *)(uintptr_t)HVA,
        .flags = VMEM_DMA_READ_ONLY,
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };

    return vmem_dma_attach_static(part.dma, &config, &verdict, &part.fixed,
                                  &it->err);
}

static void undo_static(struct scene *it)
{
    detach_all(it, &part.fixed);
}

static int detach(struct scene *it)
{
    int ret = vmem_dma_detach(part.attachment, &it->err);

    if (ret == 0) {
        part.attachment = NULL;
    }
    return ret;
}

/* What could not be unmapped was stuck, and nothing else was mapped any more: now
 * that it was tried again, nothing is. */
static void check_unmapped(struct scene *it, int ret)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };

    vmem_dma_get_stats(part.dma, &stats);
    if (ret >= 0 || stats.nr_mappings != 0 || stats.nr_stuck != 0 ||
        stats.stuck_size != 0 || stats.pinned_size != 0 ||
        part.set->size != 0) {
        complain(it,
                 "returned %d: %" PRIu64 " mappings, %" PRIu64
                 " stuck, %" PRIu64 " bytes are mapped",
                 ret, stats.nr_mappings, stats.nr_stuck, part.set->size);
    }
}

static int plug_mapped(struct scene *it)
{
    const struct vmem_range range = units(0, 2);

    return vmem_source_populate(it->a, &range, &it->err);
}

static int unplug_mapped(struct scene *it)
{
    const struct vmem_range range = units(2, 4);

    return vmem_source_discard(it->a, &range, &it->err);
}

static int retry_unmaps(struct scene *it)
{
    part.refuses = false;
    return vmem_dma_retry_unmaps(part.dma, &it->err);
}

/* What is populated is mapped, and by now nothing else. */
static void check_retried(struct scene *it, int ret)
{
    if (ret >= 0 || part.set->size != 3 * UNIT) {
        complain(it, "retried with %d, %" PRIu64 " bytes are mapped", ret,
                 part.set->size);
    }
}

static int on_run(const struct vmem_dma_run *run, void *opaque)
{
    (void)run;
    (void)opaque;
    return point("run", may_stop);
}

static int walk_mapped(struct scene *it)
{
    (void)it;
    return vmem_dma_for_each_mapped(part.dma, NULL, on_run, NULL);
}

static int guest_map(struct scene *it)
{
    const struct vmem_range range = units(2, 3);

    return vmem_dma_viommu_map(part.attachment, GUEST_IOVA, &range,
                               VMEM_DMA_READ | VMEM_DMA_WRITE, &it->err);
}

static int guest_unmap(struct scene *it)
{
    uint64_t unmapped;

    return vmem_dma_viommu_unmap(part.dma, 0, UINT64_MAX, &unmapped, &it->err);
}

static void undo_guest_map(struct scene *it)
{
    if (guest_unmap(it) < 0) {
        complain(it, "the guest cannot unmap: %s", it->err.message);
    }
}

static int replay(struct scene *it)
{
    const int ret = vmem_dma_viommu_replay(part.late, part.dma, &it->err);

    if (ret == 0 && part.late_custom.size != part.custom.size) {
        complain(it, "%" PRIu64 " bytes of %" PRIu64 " are replayed",
                 part.late_custom.size, part.custom.size);
    }
    return ret;
}

static int ask_dma(struct scene *it)
{
    const struct vmem_dma_plan_config config = {
        .struct_size = sizeof(config),
        .region_size = SIZE,
        .block_size = UNIT,
        .max_mappings = 64,
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    struct vmem_dma_info info = { .struct_size = sizeof(info) };
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };
    int ret = vmem_dma_plan(&config, &verdict, &it->err);

    ret = ret == 0 ? vmem_dma_get_info(part.dma, &info) : ret;
    return ret == 0 ? vmem_dma_get_stats(part.dma, &stats) : ret;
}

/* ---- before and after ---- */

enum stage { NO_MAPPER, A_MAPPER, ATTACHED, TARGET, MAPPED, STUCK, LATE };

static bool open_part(struct scene *it, uint32_t kind, enum stage stage)
{
    bool ok = true;

    memset(&part, 0, sizeof(part));
    part.kind = kind;
    type1_model_init(&part.type1, TYPE1_V2);
    iommufd_model_init(&part.iommufd);
    part.iommufd.has_map_file = true;
    iommufd_model_alloc(&part.iommufd);
    iova_set_init(&part.custom);
    iova_set_init(&part.late_custom);
    part.set = kind == VMEM_DMA_TYPE1     ? &part.type1.set
               : kind == VMEM_DMA_IOMMUFD ? iommufd_model_set(&part.iommufd, 1)
                                          : &part.custom;
    point_dma_install(&part.type1, &part.iommufd);
    it->has_dma = true;
    if (stage >= A_MAPPER) {
        ok = make(it, "mapper", &part.custom, &part.dma) == 0;
    }
    if (stage == ATTACHED || stage == STUCK) {
        ok = ok && attach(it) == 0;
    } else if (stage >= TARGET) {
        ok = ok &&
             attach_to(it, part.dma, VMEM_DMA_VIOMMU, &part.attachment) == 0;
    }
    if (stage == MAPPED || stage == LATE) {
        ok = ok && guest_map(it) == 0;
    }
    if (stage == STUCK) {
        part.refuses = true;
        ok = ok && unplug_mapped(it) == 0;
    }
    if (stage == LATE) {
        ok = ok && make(it, "late", &part.late_custom, &part.late) == 0 &&
             attach_to(it, part.late, VMEM_DMA_VIOMMU, &part.late_attachment) ==
                 0;
    }
    if (!ok) {
        complain(it, "the mapper could not be made: %s", it->err.message);
    }
    return true;
}

static void close_part(struct scene *it)
{
    part.refuses = false;
    undo_static(it);
    detach_all(it, &part.late_attachment);
    detach_all(it, &part.attachment);
    if (vmem_dma_free(part.late, &it->err) < 0) {
        complain(it, "the late mapper is not freed: %s", it->err.message);
    }
    undo_dma(it);
    if (part.set->size + part.late_custom.size != 0) {
        complain(it, "%" PRIu64 " bytes stay mapped",
                 part.set->size + part.late_custom.size);
    }
    it->has_dma = false;
    point_dma_remove();
    iova_set_destroy(&part.custom);
    iova_set_destroy(&part.late_custom);
    iommufd_model_destroy(&part.iommufd);
    type1_model_destroy(&part.type1);
}

void dma_settle(struct scene *it)
{
    struct vmem_dma *mappers[] = { part.dma, part.late };
    struct vmem_error err = VMEM_ERROR_INIT;

    for (unsigned int i = 0; i < 2; i++) {
        if (mappers[i] != NULL && !part.refuses &&
            vmem_dma_retry_unmaps(mappers[i], &err) < 0) {
            complain(it, "what is stuck is not unmapped: %s", err.message);
        }
    }
}

void dma_describe(struct scene *it, GString *text)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };
    g_autofree char *runs = iova_set_runs(part.set, 0, UNIT);

    (void)it;
    g_string_append_printf(text, "\nmapped %s", runs);
    if (part.dma != NULL) {
        vmem_dma_get_stats(part.dma, &stats);
        g_string_append_printf(text,
                               "\nmapper: %" PRIu64 " mappings, %" PRIu64
                               " stuck, %" PRIu64 " bytes",
                               stats.nr_mappings, stats.nr_stuck,
                               stats.pinned_size);
    }
}

/* Each kind of mapper at each stage. */
#define PREPARE(name, kind, stage)                                             \
    static bool name(struct scene *it)                                         \
    {                                                                          \
        return open_part(it, kind, stage);                                     \
    }

PREPARE(type1, VMEM_DMA_TYPE1, NO_MAPPER)
PREPARE(type1_mapper, VMEM_DMA_TYPE1, A_MAPPER)
PREPARE(type1_attached, VMEM_DMA_TYPE1, ATTACHED)
PREPARE(iommufd, VMEM_DMA_IOMMUFD, NO_MAPPER)
PREPARE(iommufd_mapper, VMEM_DMA_IOMMUFD, A_MAPPER)
PREPARE(iommufd_attached, VMEM_DMA_IOMMUFD, ATTACHED)
PREPARE(custom, VMEM_DMA_CUSTOM, NO_MAPPER)
PREPARE(custom_mapper, VMEM_DMA_CUSTOM, A_MAPPER)
PREPARE(custom_attached, VMEM_DMA_CUSTOM, ATTACHED)
PREPARE(custom_target, VMEM_DMA_CUSTOM, TARGET)
PREPARE(custom_mapped, VMEM_DMA_CUSTOM, MAPPED)
PREPARE(custom_stuck, VMEM_DMA_CUSTOM, STUCK)
PREPARE(custom_late, VMEM_DMA_CUSTOM, LATE)

#define OF(prepare_, ...)                                                      \
    __VA_ARGS__, .prepare = (prepare_), .clean = close_part

const struct operation dma_operations[] = {
    { "making a mapper of type1", OF(type1, new_dma), .undo = undo_dma,
      .has_error = true },
    { "making a mapper of iommufd", OF(iommufd, new_dma), .undo = undo_dma,
      .has_error = true },
    { "making a mapper of callbacks", OF(custom, new_dma), .undo = undo_dma,
      .has_error = true },
    { "making a mapper of callbacks and freeing it",
      OF(custom, make_and_free_dma), .has_error = true },
    { "attaching to type1", OF(type1_mapper, attach), .undo = undo_attach,
      .has_error = true },
    { "attaching to iommufd", OF(iommufd_mapper, attach), .undo = undo_attach,
      .has_error = true },
    { "attaching to callbacks", OF(custom_mapper, attach), .undo = undo_attach,
      .has_error = true },
    { "attaching a target", OF(custom_target, ask_dma), .has_error = true },
    { "attaching static memory", OF(custom_mapper, attach_static),
      .undo = undo_static, .has_error = true },
    { "attaching static memory to type1", OF(type1_mapper, attach_static),
      .undo = undo_static, .has_error = true },
    { "plugging what type1 maps", OF(type1_attached, plug_mapped),
      .has_error = true },
    { "plugging what iommufd maps", OF(iommufd_attached, plug_mapped),
      .has_error = true },
    { "plugging what callbacks map", OF(custom_attached, plug_mapped),
      .has_error = true },
    { "unplugging what type1 maps", OF(type1_attached, unplug_mapped),
      .has_error = true },
    { "unplugging what iommufd maps", OF(iommufd_attached, unplug_mapped),
      .has_error = true },
    { "unplugging what callbacks map", OF(custom_attached, unplug_mapped),
      .has_error = true },
    { "detaching from type1", OF(type1_attached, detach),
      .check_failed = check_unmapped, .has_error = true },
    { "detaching from iommufd", OF(iommufd_attached, detach),
      .check_failed = check_unmapped, .has_error = true },
    { "detaching from callbacks", OF(custom_attached, detach),
      .check_failed = check_unmapped, .has_error = true },
    { "retrying unmaps", OF(custom_stuck, retry_unmaps),
      .check_failed = check_retried, .has_error = true },
    { "walking what is mapped", OF(custom_attached, walk_mapped) },
    { "walking what the guest mapped", OF(custom_mapped, walk_mapped) },
    { "the guest maps", OF(custom_target, guest_map), .undo = undo_guest_map,
      .has_error = true },
    { "the guest unmaps", OF(custom_mapped, guest_unmap),
      .check_failed = check_unmapped, .has_error = true },
    { "unplugging what the guest maps", OF(custom_mapped, unplug_mapped),
      .has_error = true },
    { "replaying what the guest maps", OF(custom_late, replay),
      .has_error = true },
    { "asking a mapper", OF(type1_attached, ask_dma), .has_error = true },
};

const size_t nr_dma_operations =
    sizeof(dma_operations) / sizeof(dma_operations[0]);
