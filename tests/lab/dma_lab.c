/* SPDX-License-Identifier: BSD-3-Clause */
/* The mapper against the kernel's real VFIO and iommufd, with a device that does
 * DMA. usage: dma_lab type1|compat|iommufd... TRACE */
#include <stdio.h>
#include <string.h>

#include "result.h"
#include "steps.h"

static void run(enum space_kind kind, const char *trace)
{
    step_follow(kind);
    step_transfer(kind);
    step_stale(kind);
    step_limit(kind);
    step_failure(kind);
    step_trace(kind, trace);
    step_viommu(kind);
    step_replay(kind);
}

int main(int argc, char **argv)
{
    const enum space_kind kinds[] = { SPACE_TYPE1, SPACE_COMPAT,
                                      SPACE_IOMMUFD };
    if (argc < 3) {
        fprintf(stderr, "usage: dma_lab type1|compat|iommufd... TRACE\n");
        return 2;
    }
    for (int i = 1; i < argc - 1; i++) {
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            if (strcmp(argv[i], space_kind_name(kinds[k])) == 0) {
                run(kinds[k], argv[argc - 1]);
            }
        }
    }
    return result_status();
}
