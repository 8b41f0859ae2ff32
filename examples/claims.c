/* SPDX-License-Identifier: BSD-3-Clause */
/* May a balloon discard while a device does DMA? Who decides? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

static struct vmem_vm *vm;
static struct vmem_discard_watcher *watcher;

struct balloon {
    struct vmem_discard_claim *claim; /* held while the balloon is in use */
};

//! [balloon]
/* A balloon discards pages that its guest gives, and tells nobody. */
static int inflate(struct balloon *balloon)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = 0;

    if (balloon->claim == NULL) {
        ret = vmem_discard_claim_take(vm, VMEM_CLAIM_NEED_UNCOORDINATED,
                                      "balloon", &balloon->claim, &err);
    }
    printf("balloon: %s\n", ret == 0 ? "pages are given back" : err.message);
    return ret;
}

static int deflate(struct balloon *balloon, struct vmem_error *err)
{
    struct vmem_discard_claim *claim = balloon->claim;

    balloon->claim = NULL;
    printf("balloon: empty\n");
    return vmem_discard_claim_release(claim, err);
}
//! [balloon]

//! [device]
/* A device whose mappings follow the region can live with discards that are
 * announced (virtio-mem), and with no others. */
static int attach(struct vmem_discard_claim **claim)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = vmem_discard_claim_take(vm, VMEM_CLAIM_FORBID_UNCOORDINATED,
                                      "nic0", claim, &err);

    printf("nic0: %s\n", ret == 0 ? "attached" : err.message);
    return ret;
}
//! [device]

//! [watcher]
/* The set of claims has changed. Runs without locks, so any call is legal. */
static void changed(uint32_t claims, void *opaque)
{
    (void)opaque;
    if ((claims & VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_UNCOORDINATED)) != 0) {
        printf("  free page reporting stops\n");
    } else if (!vmem_vm_is_uncoordinated_forbidden(vm)) {
        printf("  free page reporting may run\n");
    }
}
//! [watcher]

static int show(uint32_t kind, const char *owner, void *opaque)
{
    (void)opaque;
    printf("  %s holds a claim of kind %u\n", owner, kind);
    return 0;
}

static int run(struct vmem_error *err)
{
    struct balloon balloon = { NULL };
    struct vmem_discard_claim *nic = NULL;

    if (inflate(&balloon) < 0 || attach(&nic) != -EBUSY ||
        deflate(&balloon, err) < 0 || attach(&nic) < 0 ||
        inflate(&balloon) != -EBUSY) {
        return -EPROTO; /* not what the policy promises */
    }
    printf("claims %#x, discards are %sneeded:\n",
           (unsigned)vmem_vm_get_claims(vm),
           vmem_vm_is_discard_needed(vm) ? "" : "not ");
    if (vmem_vm_for_each_claim(vm, show, NULL) != 0) {
        return -EPROTO;
    }
    printf("nic0: detached\n");
    return vmem_discard_claim_release(nic, err);
}

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };

    /* On failure the process ends, and the kernel takes everything back. */
    if (vmem_vm_new(&machine, &vm, &err) < 0 ||
        vmem_discard_watcher_add(vm, changed, NULL, &watcher, &err) < 0 ||
        run(&err) < 0 || vmem_discard_watcher_remove(watcher, &err) < 0 ||
        vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
