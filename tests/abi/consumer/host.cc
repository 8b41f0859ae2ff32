/* SPDX-License-Identifier: BSD-3-Clause */
/* A program outside the tree, in C++17: one machine, one device, one plug. */
#include <vmem/vmem.h>

#include <array>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>

namespace
{

constexpr std::uint64_t mib = 1024 * 1024;
constexpr std::uint64_t gpa = 4096 * mib;
constexpr std::uint64_t region_size = 64 * mib;
constexpr std::uint64_t block_size = 2 * mib;
constexpr std::uint64_t plugged = 32 * mib;

vmem_error err = VMEM_ERROR_INIT;

void check(bool is_right, const char *what)
{
    if (!is_right) {
        throw std::runtime_error(std::string(what) + ": " + err.message);
    }
}

template <class T> T sized()
{
    T t{};
    t.struct_size = sizeof(t);
    return t;
}

unsigned int send(vmem_device *device, unsigned int type)
{
    std::array<unsigned char, VMEM_DEVICE_REQUEST_SIZE> request{};
    std::array<unsigned char, VMEM_DEVICE_RESPONSE_SIZE> response{};
    constexpr std::uint64_t nr_blocks = plugged / block_size;

    request[0] = static_cast<unsigned char>(type);
    for (unsigned int i = 0; i < 8; i++) {
        request[8 + i] = static_cast<unsigned char>(gpa >> (8 * i));
    }
    request[16] = static_cast<unsigned char>(nr_blocks);
    check(vmem_device_handle_request(device, request.data(), request.size(),
                                     response.data(), response.size(),
                                     nullptr) == VMEM_REQUEST_RESPOND,
          "request");
    return response[0];
}

void run()
{
    vmem_vm *vm = nullptr;
    vmem_backing *backing = nullptr;
    vmem_region *region = nullptr;
    vmem_device *device = nullptr;

    check(std::strcmp(vmem_version(), VMEM_VERSION) == 0, "version");

    auto vm_config = sized<vmem_vm_config>();
    vm_config.name = "guest";
    check(vmem_vm_new(&vm_config, &vm, &err) == 0, "vm");

    auto wanted = sized<vmem_backing_config>();
    wanted.name = "ram";
    wanted.size = region_size;
    wanted.kind = VMEM_BACKING_MEMFD;
    check(vmem_backing_new_allocated(vm, &wanted, &backing, &err) == 0,
          "backing");

    auto region_config = sized<vmem_region_config>();
    region_config.name = "ram";
    region_config.backing = backing;
    check(vmem_region_new(vm, &region_config, &region, &err) == 0, "region");

    auto device_config = sized<vmem_device_config>();
    device_config.name = "vmem0";
    device_config.gpa = gpa;
    device_config.block_size = block_size;
    check(vmem_device_new(region, &device_config, nullptr, nullptr, &device,
                          &err) == 0,
          "device");
    check(vmem_device_resize(device, plugged, &err) == 0, "resize");

    check(send(device, VMEM_REQUEST_PLUG) == VMEM_RESPONSE_ACK, "plug");
    auto device_info = sized<vmem_device_info>();
    check(vmem_device_get_info(device, &device_info) == 0, "device info");
    check(device_info.plugged_size == plugged, "plugged size");

    auto backing_info = sized<vmem_backing_info>();
    check(vmem_backing_get_info(backing, &backing_info) == 0, "backing info");
    std::memset(backing_info.hva, 0x5a, plugged);
    auto usage = sized<vmem_backing_usage>();
    check(vmem_backing_get_usage(backing, nullptr, &usage, &err) == 0 &&
              usage.resident == plugged,
          "usage when plugged");

    check(send(device, VMEM_REQUEST_UNPLUG) == VMEM_RESPONSE_ACK, "unplug");
    check(vmem_backing_get_usage(backing, nullptr, &usage, &err) == 0 &&
              usage.resident == 0,
          "usage when unplugged");

    check(vmem_device_free(device, &err) == 0, "freeing the device");
    check(vmem_region_free(region, &err) == 0, "freeing the region");
    check(vmem_backing_free(backing, &err) == 0, "freeing the backing");
    check(vmem_vm_free(vm, &err) == 0, "freeing the machine");
}

} // namespace

int main()
{
    try {
        run();
    } catch (const std::exception &error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
    std::cout << "C++ host: plugged, used and gave back 32 MiB\n";
    return 0;
}
