/* SPDX-License-Identifier: BSD-3-Clause */
/* The mapper against what must be mapped, calculated anew. The first byte chooses
 * the backend, then five are an operation. */
#include "fuzz_check.h"
#include "fuzz_input.h"
#include "support/dma_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    static struct dma_world world;

    dma_world_open(&world, fuzz_u8(&input));
    for (unsigned i = 0; fuzz_more(&input) && i < 500; i++) {
        unsigned operation = fuzz_u8(&input);
        uint8_t numbers[4];

        fuzz_bytes(&input, numbers, sizeof(numbers));
        dma_world_step(&world, operation, numbers);
        fuzz_check(world.wrong[0] == '\0', "operation %u: %s", i, world.wrong);
    }
    dma_world_close(&world);
    fuzz_check(world.wrong[0] == '\0', "close: %s", world.wrong);
    return 0;
}
