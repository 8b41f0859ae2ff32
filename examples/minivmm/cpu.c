/* SPDX-License-Identifier: BSD-3-Clause */
/* A CPU as the guest finds it: its features, and its registers at the start. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

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
    int ret = -1;

    if (cpuid == NULL) {
        return complain("no memory for the CPU's features");
    }
    cpuid->nent = MAX_CPUID;
    if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0) {
        for (unsigned i = 0; i < cpuid->nent; i++) {
            struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

            if (entry->function == 1) {
                entry->ebx = (entry->ebx & 0xff00ffff) |
                             (uint32_t)vm->options->nr_cpus << 16;
                entry->ebx = (entry->ebx & 0x00ffffff) | cpu->index << 24;
                entry->ecx |= 1U << 31 | 1U << 24;
            } else if (entry->function == 0xb || entry->function == 0x1f) {
                entry->edx = cpu->index;
            }
        }
        ret = ioctl(cpu->fd, KVM_SET_CPUID2, cpuid);
    }
    free(cpuid);
    return ret == 0 ? 0
                    : complain("KVM takes no features: %s", strerror(errno));
}

/* The state that the 64-bit boot protocol asks for. */
int cpu_set_registers(const struct cpu *cpu, uint64_t entry_gpa)
{
    const struct kvm_segment code = { .limit = UINT32_MAX,
                                      .selector = 0x10,
                                      .type = 0xb,
                                      .present = 1,
                                      .s = 1,
                                      .l = 1,
                                      .g = 1 };
    const struct kvm_segment data = { .limit = UINT32_MAX,
                                      .selector = 0x18,
                                      .type = 3,
                                      .present = 1,
                                      .db = 1,
                                      .s = 1,
                                      .g = 1 };
    const struct kvm_regs regs = { .rip = entry_gpa,
                                   .rsi = BOOT_PARAMS_GPA,
                                   .rsp = BOOT_PARAMS_GPA,
                                   .rflags = 2 };
    struct kvm_sregs sregs;

    if (ioctl(cpu->fd, KVM_GET_SREGS, &sregs) != 0) {
        return complain("KVM shows no registers: %s", strerror(errno));
    }
    sregs.cs = code;
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cr3 = PAGE_TABLES_GPA;
    sregs.cr4 |= 1 << 5;            /* PAE */
    sregs.cr0 |= 1U << 31 | 1 << 0; /* paging, protection */
    sregs.efer |= 1 << 10 | 1 << 8; /* long mode, active and enabled */
    if (ioctl(cpu->fd, KVM_SET_SREGS, &sregs) != 0 ||
        ioctl(cpu->fd, KVM_SET_REGS, &regs) != 0) {
        return complain("KVM takes no registers: %s", strerror(errno));
    }
    return 0;
}
