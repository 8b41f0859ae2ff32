/* SPDX-License-Identifier: BSD-3-Clause */
/* The smallest host, in C++: one machine, one device, one request. */
#include <array>
#include <cstdio>
#include <stdexcept>

#include <vmem/vmem.h>

//! [cxx]
namespace
{

constexpr uint64_t MIB = 1024 * 1024;

vmem_error err = VMEM_ERROR_INIT;

/* Not in callbacks: an exception must not cross the library. */
void check(int ret)
{
    if (ret < 0) {
        throw std::runtime_error(err.message);
    }
}

/* C++17 has no designated initialisers: zero all, then say the size. */
template <typename T> T sized()
{
    T value = {};
    value.struct_size = sizeof(T);
    return value;
}

void run()
{
    auto machine = sized<vmem_vm_config>();
    auto memory = sized<vmem_backing_config>();
    auto ram = sized<vmem_region_config>();
    auto virtio = sized<vmem_device_config>();
    vmem_vm *vm = nullptr;
    vmem_region *region = nullptr;
    vmem_device *device = nullptr;

    machine.name = "guest";
    memory.name = "ram";
    memory.kind = VMEM_BACKING_MEMFD;
    memory.size = 64 * MIB;
    ram.name = "ram";
    virtio.name = "vmem0";
    virtio.gpa = 4096 * MIB;
    virtio.block_size = 2 * MIB;

    check(vmem_vm_new(&machine, &vm, &err));
    check(vmem_backing_new_allocated(vm, &memory, &ram.backing, &err));
    check(vmem_region_new(vm, &ram, &region, &err));
    check(vmem_device_new(region, &virtio, nullptr, nullptr, &device, &err));
    check(vmem_device_resize(device, 32 * MIB, &err));

    /* What a Linux guest sends: plug 16 blocks from 4 GiB on. */
    std::array<unsigned char, VMEM_DEVICE_REQUEST_SIZE> request = {};
    std::array<unsigned char, VMEM_DEVICE_RESPONSE_SIZE> response = {};
    request[0] = VMEM_REQUEST_PLUG;
    request[12] = 1;
    request[16] = 16;
    check(vmem_device_handle_request(device, request.data(), request.size(),
                                     response.data(), response.size(),
                                     nullptr));
    std::printf("answer: %s\n",
                response[0] == VMEM_RESPONSE_ACK ? "ack" : "no");

    check(vmem_device_free(device, &err));
    check(vmem_region_free(region, &err));
    check(vmem_backing_free(ram.backing, &err));
    check(vmem_vm_free(vm, &err));
}

} // namespace
//! [cxx]

int main()
{
    try {
        run();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
