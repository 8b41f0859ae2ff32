/* SPDX-License-Identifier: BSD-3-Clause */
/* Is the lab machine what the other programs expect? */
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <vmem/vmem.h>

#include "result.h"

static void probe_kernel(void)
{
    struct utsname name = { 0 };
    uname(&name);
    result(access("/proc/self/smaps", R_OK) == 0, "kernel",
           "Linux %s with /proc, %ld processors", name.release,
           sysconf(_SC_NPROCESSORS_ONLN));
}

static void probe_library(void)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "probe" };
    struct vmem_vm *vm = NULL;
    const int ret = vmem_vm_new(&config, &vm, NULL);
    result(ret == 0 && vmem_vm_free(vm, NULL) == 0, "library",
           "libvmem %s, linked statically, made a machine", vmem_version());
}

/* The group of edu, made by its driver_override. */
static void probe_vfio(void)
{
    char target[256] = "";
    const ssize_t size =
        readlink("/sys/bus/pci/devices/0000:00:04.0/iommu_group", target,
                 sizeof(target) - 1);
    int group = -1;
    for (ssize_t i = size - 1; i > 0 && target[i] != '/'; i--) {
        sscanf(target + i, "%d", &group);
    }
    char path[64];
    snprintf(path, sizeof(path), "/dev/vfio/%d", group);
    const int group_fd = open(path, O_RDWR | O_CLOEXEC);
    const int container_fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
    struct vfio_group_status status = { .argsz = sizeof(status) };
    const bool is_viable =
        group_fd >= 0 && ioctl(group_fd, VFIO_GROUP_GET_STATUS, &status) == 0 &&
        (status.flags & VFIO_GROUP_FLAGS_VIABLE);
    const bool has_v2 =
        container_fd >= 0 &&
        ioctl(container_fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) > 0;
    result(is_viable && has_v2, "vfio",
           "group %d is viable: %d, the container has type 1 v2: %d", group,
           is_viable, has_v2);
    close(container_fd);
    close(group_fd);
}

static void probe_kvm(void)
{
    const int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    const int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);
    const int vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
    const int cpu_fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0);
    result(version == KVM_API_VERSION && cpu_fd >= 0, "kvm",
           "KVM %d made a nested machine with a processor", version);
    close(cpu_fd);
    close(vm_fd);
    close(kvm_fd);
}

int main(void)
{
    probe_kernel();
    probe_library();
    probe_vfio();
    probe_kvm();
    return result_status();
}
