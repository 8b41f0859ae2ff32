/* SPDX-License-Identifier: BSD-3-Clause */
/* Every public struct of the mapper, as struct_check.h says. The others are in
 * fuzz_structs.c. */
#include <errno.h>

#include <vmem/vmem.h>

#include "fuzz_check.h"
#include "fuzz_input.h"
#include "struct_check.h"
#include "support/quiet.h"

#define BLOCK_SIZE ((uint64_t)1 << 16)
#define REGION_SIZE (16 * BLOCK_SIZE)
#define REGION_IOVA ((uint64_t)1 << 32)
#define STATIC_IOVA ((uint64_t)1 << 40)

static struct vmem_vm *vm;
static struct vmem_backing *backing;
static struct vmem_region *region;
static struct vmem_dma *dma; /* nothing is attached between inputs */
static unsigned nr_destroys;

static void begin(void *opaque)
{
    (void)opaque;
}

static int commit(void *opaque)
{
    (void)opaque;
    return 0;
}

static void count_destroy(void *opaque)
{
    (void)opaque;
    nr_destroys++;
}

/* Structs as a host would fill them. */
static const struct vmem_dma_config good_config = {
    .struct_size = sizeof(good_config),
    .name = "mapper",
    .max_mappings = 1000,
    .reserved_mappings = 10,
};
static const struct vmem_dma_properties good_properties = {
    .struct_size = sizeof(good_properties),
    .page_sizes = 4096,
};
static const struct vmem_dma_ops good_ops = {
    .struct_size = sizeof(good_ops),
    .map = quiet_map,
    .unmap = quiet_unmap,
    .begin = begin,
    .commit = commit,
    .destroy = count_destroy,
};
/* The region is there only at run time. */
static struct vmem_dma_attach_config good_attach = {
    .struct_size = sizeof(good_attach),
    .name = "window",
    .iova = REGION_IOVA,
    .granularity = BLOCK_SIZE,
    .hva = (void *)REGION_IOVA,
    .fd = -1,
};
static const struct vmem_dma_static_config good_static = {
    .struct_size = sizeof(good_static),
    .name = "static",
    .iova = STATIC_IOVA,
    .size = REGION_SIZE,
    .hva = (void *)STATIC_IOVA,
    .fd = -1,
};
static const struct vmem_dma_plan_config good_plan = {
    .struct_size = sizeof(good_plan),
    .region_size = REGION_SIZE,
    .block_size = BLOCK_SIZE,
    .requested_size = REGION_SIZE / 2,
    .max_mappings = 12,
    .nr_taken = 3,
};

/* Each makes what the struct describes, and frees it again. */
static int make_dma(const void *config, const void *properties, const void *ops,
                    bool has_destroy)
{
    struct vmem_dma *made = NULL;
    int ret;

    nr_destroys = 0;
    ret = vmem_dma_new_custom(vm, config, properties, ops, NULL, &made, NULL);
    fuzz_check((ret == 0) == (made != NULL), "ret %d", ret);
    fuzz_check(ret == 0 ? nr_destroys == 0 : nr_destroys == has_destroy,
               "%u destroys, ret %d", nr_destroys, ret);
    fuzz_check(vmem_dma_free(made, NULL) == 0, "free");
    fuzz_check(nr_destroys == has_destroy, "%u destroys", nr_destroys);
    nr_destroys = 0; /* so that detach() sees those of the other mapper */
    return ret;
}

static int make_config(const void *config)
{
    return make_dma(config, NULL, &good_ops, true);
}

static int make_properties(const void *properties)
{
    return make_dma(&good_config, properties, &good_ops, true);
}

static int make_ops(const void *ops)
{
    size_t size;
    void *destroy = NULL;

    memcpy(&size, ops, sizeof(size));
    if (size >= sizeof(struct vmem_dma_ops)) {
        memcpy(&destroy,
               (const uint8_t *)ops + offsetof(struct vmem_dma_ops, destroy),
               sizeof(destroy));
    }
    return make_dma(&good_config, NULL, ops, destroy != NULL);
}

static int detach(int ret, struct vmem_dma_attachment *made)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };

    fuzz_check((ret == 0) == (made != NULL), "ret %d", ret);
    fuzz_check(vmem_dma_detach(made, NULL) == 0, "detach");
    fuzz_check(vmem_dma_get_stats(dma, &stats) == 0 && stats.nr_mappings == 0 &&
                   stats.pinned_size == 0,
               "%llu mappings are left", (unsigned long long)stats.nr_mappings);
    fuzz_check(nr_destroys == 0, "destroyed too early");
    return ret;
}

static int attach(const void *config, void *verdict)
{
    struct vmem_dma_attachment *made = NULL;
    int ret = vmem_dma_attach(dma, config, verdict, &made, NULL);

    return detach(ret, made);
}

static int attach_static(const void *config, void *verdict)
{
    struct vmem_dma_attachment *made = NULL;
    int ret = vmem_dma_attach_static(dma, config, verdict, &made, NULL);

    return detach(ret, made);
}

static int make_attachment(const void *config)
{
    return attach(config, NULL);
}

static int make_static(const void *config)
{
    return attach_static(config, NULL);
}

static int make_plan(const void *config)
{
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };

    return vmem_dma_plan(config, &verdict, NULL);
}

#define AT(type, member) offsetof(struct type, member)

static const struct struct_input inputs[] = {
    { &good_config,
      sizeof(good_config),
      make_config,
      true,
      { AT(vmem_dma_config, name) } },
    { &good_properties, sizeof(good_properties), make_properties },
    { &good_ops,
      sizeof(good_ops),
      make_ops,
      false,
      { AT(vmem_dma_ops, map), AT(vmem_dma_ops, unmap), AT(vmem_dma_ops, begin),
        AT(vmem_dma_ops, commit), AT(vmem_dma_ops, destroy) } },
    { &good_attach,
      sizeof(good_attach),
      make_attachment,
      true,
      { AT(vmem_dma_attach_config, name), AT(vmem_dma_attach_config, region),
        AT(vmem_dma_attach_config, hva) } },
    { &good_static,
      sizeof(good_static),
      make_static,
      true,
      { AT(vmem_dma_static_config, name), AT(vmem_dma_static_config, hva) } },
    { &good_plan, sizeof(good_plan), make_plan },
};

#define NR_INPUTS (sizeof(inputs) / sizeof(inputs[0]))

static int get_plan_verdict(void *out)
{
    return vmem_dma_plan(&good_plan, out, NULL);
}

static int get_attach_verdict(void *out)
{
    return attach(&good_attach, out);
}

static int get_static_verdict(void *out)
{
    return attach_static(&good_static, out);
}

static int get_info(void *out)
{
    return vmem_dma_get_info(dma, out);
}

static int get_stats(void *out)
{
    return vmem_dma_get_stats(dma, out);
}

static const struct struct_output outputs[] = {
    { sizeof(struct vmem_dma_verdict), get_plan_verdict },
    { sizeof(struct vmem_dma_verdict), get_attach_verdict },
    { sizeof(struct vmem_dma_verdict), get_static_verdict },
    { sizeof(struct vmem_dma_info), get_info },
    { sizeof(struct vmem_dma_stats), get_stats },
};

#define NR_OUTPUTS (sizeof(outputs) / sizeof(outputs[0]))

/* Once for all inputs, which leave everything as it is. */
static void set_up(void)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = quiet_log,
    };
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "custom",
        .size = REGION_SIZE,
    };
    const struct vmem_backing_ops backing_ops = {
        .struct_size = sizeof(backing_ops),
        .discard = quiet_accept,
        .populate = quiet_accept,
        .zero = quiet_accept,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "region",
        .size = REGION_SIZE,
    };
    int ret = vmem_vm_new(&vm_config, &vm, NULL);

    if (ret == 0) {
        ret = vmem_backing_new_custom(vm, &custom, &backing_ops, NULL, &backing,
                                      NULL);
    }
    region_config.backing = backing;
    if (ret == 0) {
        ret = vmem_region_new(vm, &region_config, &region, NULL);
    }
    if (ret == 0) {
        ret = vmem_dma_new_custom(vm, &good_config, NULL, &good_ops, NULL, &dma,
                                  NULL);
    }
    fuzz_check(ret == 0, "ret %d", ret);
    good_attach.region = region;
    /* Else the comparisons would be of refusals only. */
    for (unsigned i = 0; i < NR_INPUTS; i++) {
        ret = inputs[i].make(inputs[i].good);
        fuzz_check(ret == 0, "struct %u: ret %d", i, ret);
        struct_check_input_sizes(&inputs[i]);
    }
    for (unsigned i = 0; i < NR_OUTPUTS; i++) {
        struct_check_output_sizes(&outputs[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };

    if (vm == NULL) {
        set_up();
    }
    do {
        unsigned which = fuzz_below(&input, NR_INPUTS + NR_OUTPUTS);

        if (which < NR_INPUTS) {
            struct_check_input(&input, &inputs[which]);
        } else {
            struct_check_output(&input, &outputs[which - NR_INPUTS]);
        }
    } while (fuzz_more(&input));
    return 0;
}
