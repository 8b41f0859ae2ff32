/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes of requests, responses and config space, against literal ones. */
#include <string.h>

#include "support/device_rig.h"
#include "virtio/wire.h"

static void requests_are_decoded_little_endian(void **u)
{
    static const uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = {
        0x03, 0x00, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, /* type, padding */
        0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* addr */
        0x34, 0x12, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, /* nb_blocks */
    };
    struct vmemi_wire_request request;

    (void)u;
    assert_true(vmemi_wire_decode_request(bytes, &request));
    assert_int_equal(request.type, VMEM_REQUEST_STATE);
    assert_true(request.gpa == 0x0102030405060708);
    assert_int_equal(request.nr_blocks, 0x1234);
}

static void requests_may_lie_at_any_address(void **u)
{
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE + 8];
    struct vmemi_wire_request request;

    (void)u;
    for (size_t shift = 0; shift < 8; shift++) {
        rig_encode(bytes + shift, VMEM_REQUEST_UNPLUG, UINT64_MAX - 1, 0xfffe);
        assert_true(vmemi_wire_decode_request(bytes + shift, &request));
        assert_int_equal(request.type, VMEM_REQUEST_UNPLUG);
        assert_true(request.gpa == UINT64_MAX - 1);
        assert_int_equal(request.nr_blocks, 0xfffe);
    }
}

static void only_four_of_65536_types_are_known(void **u)
{
    (void)u;
    for (uint32_t type = 0; type <= UINT16_MAX; type++) {
        uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE];
        struct vmemi_wire_request request;

        rig_encode(bytes, (uint16_t)type, 0, 0);
        assert_int_equal(vmemi_wire_decode_request(bytes, &request),
                         type <= VMEM_REQUEST_STATE);
    }
}

static void responses_carry_zeros_where_nothing_is(void **u)
{
    static const uint8_t busy[] = { 2, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    static const uint8_t odd[] = { 0x34, 0x12, 0, 0, 0, 0, 0, 0, 0x78, 0x56 };
    uint8_t bytes[VMEM_DEVICE_RESPONSE_SIZE];

    (void)u;
    memset(bytes, 0xee, sizeof(bytes));
    vmemi_wire_encode_response(VMEM_RESPONSE_BUSY, 0, bytes);
    assert_memory_equal(bytes, busy, sizeof(bytes));
    memset(bytes, 0xee, sizeof(bytes));
    vmemi_wire_encode_response(0x1234, 0x5678, bytes);
    assert_memory_equal(bytes, odd, sizeof(bytes));
}

static void config_space_is_encoded_little_endian(void **u)
{
    const struct vmemi_wire_config config = {
        .block_size = 0x1112131415161718,
        .node_id = 0x2122,
        .gpa = 0x3132333435363738,
        .region_size = 0x4142434445464748,
        .usable_region_size = 0x5152535455565758,
        .plugged_size = 0x6162636465666768,
        .requested_size = 0x7172737475767778,
    };
    static const uint8_t expected[VMEM_DEVICE_CONFIG_SIZE] = {
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x22, 0x21, 0,    0,
        0,    0,    0,    0,    0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31,
        0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41, 0x58, 0x57, 0x56, 0x55,
        0x54, 0x53, 0x52, 0x51, 0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61,
        0x78, 0x77, 0x76, 0x75, 0x74, 0x73, 0x72, 0x71,
    };
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];

    (void)u;
    memset(bytes, 0xee, sizeof(bytes));
    vmemi_wire_encode_config(&config, bytes);
    assert_memory_equal(bytes, expected, sizeof(bytes));
}

static void numbers_on_the_wire_are_those_of_the_specification(void **u)
{
    (void)u;
    assert_int_equal(VMEM_DEVICE_VIRTIO_ID, 24);
    assert_int_equal(VMEM_REQUEST_PLUG, 0);
    assert_int_equal(VMEM_REQUEST_UNPLUG, 1);
    assert_int_equal(VMEM_REQUEST_UNPLUG_ALL, 2);
    assert_int_equal(VMEM_REQUEST_STATE, 3);
    assert_int_equal(VMEM_RESPONSE_ACK, 0);
    assert_int_equal(VMEM_RESPONSE_NACK, 1);
    assert_int_equal(VMEM_RESPONSE_BUSY, 2);
    assert_int_equal(VMEM_RESPONSE_ERROR, 3);
    assert_int_equal(VMEM_STATE_PLUGGED, 0);
    assert_int_equal(VMEM_STATE_UNPLUGGED, 1);
    assert_int_equal(VMEM_STATE_MIXED, 2);
    assert_int_equal(VMEM_DEVICE_F_ACPI_PXM, 1);
    assert_int_equal(VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE, 2);
    assert_int_equal(VMEM_DEVICE_F_PERSISTENT_SUSPEND, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_decoded_little_endian),
        cmocka_unit_test(requests_may_lie_at_any_address),
        cmocka_unit_test(only_four_of_65536_types_are_known),
        cmocka_unit_test(responses_carry_zeros_where_nothing_is),
        cmocka_unit_test(config_space_is_encoded_little_endian),
        cmocka_unit_test(numbers_on_the_wire_are_those_of_the_specification),
    };

    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
