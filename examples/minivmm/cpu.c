/* SPDX-License-Identifier: BSD-3-Clause */
/* A CPU as the guest finds it: its features, and its registers at the start. */
#include <linux/kvm.h>
#include <stdlib.h>

#include "minivmm.h"

#define MAX_CPUID 128

/* What KVM can do, with the CPU's own number, that there is a hypervisor, so that
 * the guest takes KVM's clock, and the deadline timer, which spares it a timer to
 * calibrate by. */
int cpu_set_features(const struct cpu *cpu)
{
    const struct vm *vm = cpu->vm;
    struct kvm_cpuid2 *cpuid =
        calloc(1, sizeof(*cpuid) + MAX_CPUID * sizeof(cpuid->entries[0]));

    if (cpuid == NULL) {
        return complain("no memory for the CPU's features");
    }
    cpuid->nent = MAX_CPUID;
    int ret = kvm_ask(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid,
                      "tells no features");
    for (unsigned i = 0; ret == 0 && i < cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

        if (entry->function == 1) {
            entry->ebx = (entry->ebx & 0xffff) | cpu->index << 24 |
                         (uint32_t)vm->options->nr_cpus << 16;
            entry->ecx |= 1U << 31 | 1U << 24;
        } else if (entry->function == 0xb || entry->function == 0x1f) {
            entry->edx = cpu->index;
        }
    }
    if (ret == 0) {
        ret = kvm_ask(cpu->fd, KVM_SET_CPUID2, cpuid, "takes no features");
    }
    free(cpuid);
    return ret;
}

/* What the 64-bit boot protocol asks for. Of a segment, 64-bit mode looks at
 * little; the rest is as after a reset. */
int cpu_set_registers(const struct cpu *cpu)
{
    struct kvm_regs regs = { .rip = cpu->vm->entry_gpa,
                             .rsi = BOOT_PARAMS_GPA,
                             .rsp = BOOT_PARAMS_GPA,
                             .rflags = 2 };
    struct kvm_sregs sregs;

    if (kvm_ask(cpu->fd, KVM_GET_SREGS, &sregs, "shows no registers") != 0) {
        return -1;
    }
    sregs.cs.base = 0;
    sregs.cs.l = 1;
    sregs.cs.selector = 0x10;
    sregs.ds.selector = sregs.es.selector = sregs.ss.selector = 0x18;
    sregs.cr3 = PAGE_TABLES_GPA;
    sregs.cr4 |= 1 << 5;            /* PAE */
    sregs.cr0 |= 1U << 31 | 1 << 0; /* paging, protection */
    sregs.efer |= 1 << 10 | 1 << 8; /* long mode, active and enabled */
    return kvm_ask(cpu->fd, KVM_SET_SREGS, &sregs, "takes no registers") != 0 ||
                   kvm_ask(cpu->fd, KVM_SET_REGS, &regs,
                           "takes no registers") != 0
               ? -1
               : 0;
}
