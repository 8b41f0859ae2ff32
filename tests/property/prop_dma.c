/* SPDX-License-Identifier: BSD-3-Clause */
/* Random plugs, unplugs, attachments, guest mappings and failures: after each the
 * IOMMU has exactly what must be mapped. usage: prop_dma [SEEDS [OPS [FIRST]]] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/dma_world.h"

static unsigned long argument(int argc, char **argv, int i, unsigned long value)
{
    return argc > i ? strtoul(argv[i], NULL, 0) : value;
}

int main(int argc, char **argv)
{
    const unsigned long nr_seeds = argument(argc, argv, 1, 1000);
    const unsigned long nr_ops = argument(argc, argv, 2, 1000);
    const unsigned long first_seed = argument(argc, argv, 3, 1);
    uint64_t nr_done = 0;
    uint64_t nr_refused = 0;
    uint64_t nr_stuck = 0;

    for (unsigned long i = 0; i < nr_seeds; i++) {
        const guint32 seed = (guint32)(first_seed + i);
        GRand *rand = g_rand_new_with_seed(seed);
        static struct dma_world world;
        unsigned long op = 0;

        dma_world_open(&world, g_rand_int(rand));
        for (; op < nr_ops && world.wrong[0] == '\0'; op++) {
            const guint32 random = g_rand_int(rand);
            const uint8_t numbers[4] = { (uint8_t)random,
                                         (uint8_t)(random >> 8),
                                         (uint8_t)(random >> 16),
                                         (uint8_t)(random >> 24) };

            dma_world_step(&world, g_rand_int(rand), numbers);
        }
        if (world.wrong[0] == '\0') {
            dma_world_close(&world);
        }
        if (world.wrong[0] != '\0') {
            printf("seed %u, operation %lu: %s\n", seed, op, world.wrong);
            return 1;
        }
        nr_done += world.nr_done;
        nr_refused += world.nr_refused;
        nr_stuck += world.nr_stuck;
        g_rand_free(rand);
    }
    printf("%lu seeds from %lu on, %lu operations each: all agree\n", nr_seeds,
           first_seed, nr_ops);
    printf("%" PRIu64 " done, %" PRIu64 " refused, up to %" PRIu64
           " stuck in all\n",
           nr_done, nr_refused, nr_stuck);
    /* Small runs, made to reproduce something, may miss the rare ones. */
    return nr_seeds * nr_ops < 100000 ||
                   (nr_done > 0 && nr_refused > 0 && nr_stuck > 0)
               ? 0
               : 1;
}
