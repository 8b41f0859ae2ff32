/* SPDX-License-Identifier: BSD-3-Clause */
/* Config space and features: any offset and size, before and after anything that
 * may change them. */
#include <errno.h>

#include <vmem/vmem.h>

#include "fuzz_check.h"
#include "fuzz_input.h"
#include "support/quiet.h"

#define BLOCK_SIZE ((uint64_t)1 << 20)
#define NR_BLOCKS 64
#define GPA ((uint64_t)3 << 33)
#define NODE 0x1234
#define ROOM 160
#define CANARY 0x5a
#define ALL_FEATURES                                                           \
    (VMEM_DEVICE_F_ACPI_PXM | VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE |           \
     VMEM_DEVICE_F_PERSISTENT_SUSPEND)

/* A device and what its config space should say. */
struct known {
    struct vmem_device *device;
    uint64_t features;
    uint64_t node;
    bool requires; /* UNPLUGGED_INACCESSIBLE */
    uint64_t driver_features;
    uint64_t plugged; /* bytes */
    uint64_t requested;
    uint64_t usable;
    uint64_t nr_writes;
    uint64_t nr_refused;
};

static struct known devices[4];

static void make_device(struct known *known, uint64_t features, bool requires)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = quiet_log,
        .clock_ns = quiet_clock,
    };
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "region",
        .size = NR_BLOCKS * BLOCK_SIZE,
    };
    struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "device",
        .gpa = GPA,
        .block_size = BLOCK_SIZE,
        .usable_policy = VMEM_USABLE_ALL,
        .features = features,
        .flags = requires ? VMEM_DEVICE_REQUIRE_INACCESSIBLE
                 : (features & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) == 0
                     ? VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE
                     : 0,
    };
    struct vmem_vm *vm = NULL;
    struct vmem_region *region = NULL;
    int ret;

    known->features =
        features | (requires ? VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE : 0);
    known->requires = requires;
    known->usable = region_config.size;
    known->node = (features & VMEM_DEVICE_F_ACPI_PXM) != 0 ? NODE : 0;
    config.node_id = known->node;
    /* Each in a machine of its own: two in one may not overlap. */
    ret = vmem_vm_new(&vm_config, &vm, NULL);
    if (ret == 0) {
        ret = vmem_region_new(vm, &region_config, &region, NULL);
    }
    if (ret == 0) {
        ret =
            vmem_device_new(region, &config, NULL, NULL, &known->device, NULL);
    }
    fuzz_check(ret == 0, "ret %d", ret);
}

/* Once for all inputs, which begin with a reset. */
static void make_devices(void)
{
    make_device(&devices[0], 0, false);
    make_device(&devices[1], ALL_FEATURES, true);
    make_device(&devices[2], VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE, false);
    make_device(&devices[3], VMEM_DEVICE_F_ACPI_PXM, true);
}

static void put64(uint8_t *bytes, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

/* The layout of the specification. */
static void encode(const struct known *known,
                   uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE])
{
    memset(bytes, 0, VMEM_DEVICE_CONFIG_SIZE);
    put64(bytes, BLOCK_SIZE);
    bytes[8] = (uint8_t)known->node;
    bytes[9] = (uint8_t)(known->node >> 8);
    put64(bytes + 16, GPA);
    put64(bytes + 24, NR_BLOCKS * BLOCK_SIZE);
    put64(bytes + 32, known->usable);
    put64(bytes + 40, known->plugged);
    put64(bytes + 48, known->requested);
}

static void check_read(const struct known *known, size_t offset, size_t size)
{
    uint8_t config[VMEM_DEVICE_CONFIG_SIZE];
    uint8_t expected[ROOM];
    uint8_t bytes[ROOM];
    size_t part = 0;
    int ret;

    encode(known, config);
    memset(bytes, CANARY, sizeof(bytes));
    memset(expected, CANARY, sizeof(expected));
    memset(expected, 0, size);
    if (offset < sizeof(config)) {
        part = sizeof(config) - offset;
        part = part < size ? part : size;
        memcpy(expected, config + offset, part);
    }
    ret = vmem_device_read_config(known->device, offset, bytes, size);
    fuzz_check(ret == 0, "ret %d", ret);
    fuzz_check(memcmp(bytes, expected, sizeof(bytes)) == 0,
               "%zu bytes at %zu differ", size, offset);
}

static void check_null(const struct known *known, size_t size)
{
    fuzz_check(vmem_device_read_config(known->device, 0, NULL, size) ==
                   (size > 0 ? -EINVAL : 0),
               "no room");
    fuzz_check(vmem_device_read_config(NULL, 0, NULL, 0) == -EINVAL,
               "no device");
    fuzz_check(vmem_device_write_config(NULL, 0, NULL, size) == -EINVAL,
               "no device");
    fuzz_check(vmem_device_set_driver_features(NULL, 0) == -EINVAL,
               "no device");
}

static void negotiate(struct known *known, uint64_t features)
{
    const uint64_t transport = ((uint64_t)1 << 50) - ((uint64_t)1 << 24);
    const uint64_t accepted = features & ~transport;
    const bool breaks_rule = (accepted & ~known->features) != 0;
    const bool lacks = known->requires &&
                       (accepted & VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE) == 0;
    const int expected = breaks_rule ? -EPROTO : lacks ? -ENOTSUP : 0;
    int ret = vmem_device_set_driver_features(known->device, features);

    fuzz_check(ret == expected, "ret %d for features %llx", ret,
               (unsigned long long)features);
    known->nr_refused += expected < 0;
    if (expected == 0) {
        known->driver_features = accepted;
    }
}

/* Plugs or unplugs; the policy and the range are such that no more can happen
 * than is foreseen here. */
static void request(struct known *known, uint8_t type, uint64_t first_block,
                    uint8_t nr_blocks)
{
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = { type };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    uint64_t size = nr_blocks * BLOCK_SIZE;
    int ret;

    put64(bytes + 8, GPA + first_block * BLOCK_SIZE);
    bytes[16] = nr_blocks;
    ret = vmem_device_handle_request(known->device, bytes, sizeof(bytes),
                                     response, sizeof(response), NULL);
    fuzz_check(ret == VMEM_REQUEST_RESPOND, "ret %d", ret);
    if (response[0] != VMEM_RESPONSE_ACK) {
        return;
    }
    if (type == VMEM_REQUEST_PLUG) {
        known->plugged += size;
    } else if (type == VMEM_REQUEST_UNPLUG) {
        known->plugged -= size;
    } else if (type == VMEM_REQUEST_UNPLUG_ALL) {
        known->plugged = 0;
    }
}

static void resize(struct known *known, uint64_t requested)
{
    int expected = 0;
    int ret = vmem_device_resize(known->device, requested, NULL);

    if (requested % BLOCK_SIZE != 0) {
        expected = -EINVAL;
    } else if (requested > NR_BLOCKS * BLOCK_SIZE) {
        expected = -ERANGE;
    } else {
        known->requested = requested;
    }
    fuzz_check(ret == expected, "ret %d", ret);
}

static void reset(struct known *known, uint32_t kind)
{
    int ret = vmem_device_reset(known->device, kind, NULL);
    bool valid = kind >= VMEM_RESET_DRIVER && kind <= VMEM_RESET_WAKEUP;

    fuzz_check(ret == (valid ? 0 : -EINVAL), "ret %d", ret);
    if (valid) {
        known->driver_features = 0;
    }
    if (kind == VMEM_RESET_SYSTEM) {
        known->plugged = 0;
    }
}

static void check_info(const struct known *known)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };

    vmem_device_get_info(known->device, &info);
    vmem_device_get_stats(known->device, &stats);
    fuzz_check(info.features == known->features &&
                   vmem_device_get_features(known->device) == known->features,
               "features");
    fuzz_check(info.driver_features == known->driver_features, "driver's");
    fuzz_check(info.node_id == known->node, "node");
    fuzz_check(info.plugged_size == known->plugged &&
                   info.requested_size == known->requested &&
                   info.usable_region_size == known->usable,
               "sizes");
    fuzz_check(info.config_generation ==
                   vmem_device_get_config_generation(known->device),
               "generation");
    fuzz_check(stats.nr_config_writes == known->nr_writes &&
                   stats.nr_features_refused == known->nr_refused,
               "counts");
}

/* A config space that changed has another generation. */
static void check_generation(const struct known *known,
                             const struct known *before, uint32_t generation)
{
    bool changed = known->plugged != before->plugged ||
                   known->requested != before->requested;

    fuzz_check(!changed || generation !=
                               vmem_device_get_config_generation(known->device),
               "generation %u is for two states", generation);
}

static void step(struct known *known, struct fuzz_input *input)
{
    const struct known before = *known;
    uint32_t generation = vmem_device_get_config_generation(known->device);
    uint8_t op = fuzz_u8(input);
    uint64_t number;

    switch (op & 7) {
    case 0:
    case 1:
    case 2:
        number = fuzz_number(input);
        check_read(known, (size_t)number, fuzz_u8(input) % ROOM);
        break;
    case 3:
        number = fuzz_number(input);
        fuzz_check(vmem_device_write_config(known->device, (size_t)number,
                                            input->data, input->size) == 0,
                   "write");
        known->nr_writes++;
        break;
    case 4:
        number = fuzz_number(input);
        negotiate(known, number);
        break;
    case 5:
        number = fuzz_u8(input);
        request(known, op >> 3 & 3, number, fuzz_u8(input));
        break;
    case 6:
        number = fuzz_number(input);
        resize(known, (op & 128) != 0 ? number : number * BLOCK_SIZE);
        break;
    default:
        if (op >= 128) {
            check_null(known, op & 15);
        } else {
            reset(known, op >> 3 & 7);
        }
        break;
    }
    check_generation(known, &before, generation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    struct known *known;

    if (devices[0].device == NULL) {
        make_devices();
    }
    known = &devices[fuzz_below(&input, 4)];
    resize(known, 0);
    reset(known, VMEM_RESET_SYSTEM);
    while (fuzz_more(&input)) {
        step(known, &input);
    }
    check_read(known, 0, VMEM_DEVICE_CONFIG_SIZE);
    check_info(known);
    return 0;
}
