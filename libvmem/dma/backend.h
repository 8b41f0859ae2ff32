/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_BACKEND_H
#define VMEMI_DMA_BACKEND_H

#include <vmem/dma.h>

/* What the mapper needs of whoever maps: the public table of callbacks, which
 * the kernel's interfaces implement too, and what they have found out.
 *
 * The mapper calls with its lock held, one call at a time. It maps chunks, each
 * its own mapping, and unmaps runs of them, with EXACT_UNMAP one by one; it never
 * asks to cut a mapping. Addresses, sizes and offsets are multiples of the
 * smallest page and do not wrap.
 *
 * map     All or nothing, with what the kernel said as negative errno: -ENOSPC
 *         (no entries left), -ENOMEM (locked memory), -EFAULT (cannot be pinned),
 *         -EEXIST (something is there that the mapper did not put there).
 * unmap   *unmapped comes in as the size asked for and goes out as the bytes that
 *         were mapped and are not any more. On failure it says how many are
 *         certainly gone; 0 if the kernel does not tell. Nothing mapped in the
 *         range is success with 0 bytes, whatever the kernel calls it. */
struct vmemi_dma_backend {
    uint32_t kind;         /* enum vmem_dma_kind */
    uint64_t flags;        /* VMEM_DMA_EXACT_UNMAP and others */
    uint64_t page_sizes;   /* not 0 */
    uint64_t max_size;     /* of one mapping, bytes; or VMEM_DMA_UNLIMITED */
    uint64_t max_mappings; /* left now; or VMEM_DMA_UNLIMITED */
    /* Can this window ever be mapped? 0, or -ERANGE with the reserved range in
     * the message; NULL: any. Asked when something is attached, without locks. */
    int (*check_window)(uint64_t iova, uint64_t size, struct vmem_error *err,
                        void *opaque);
    /* Why a map failed with this negative errno, in words, with the limit and
     * what to do about it, for a message or a log line; NULL: nothing is known.
     * Writes a string of up to size bytes, empty where the errno says it all.
     * Changes nothing. */
    void (*explain)(const struct vmem_dma_mapping *mapping, int code,
                    char *text, size_t size, void *opaque);
    struct vmem_dma_ops ops;
    void *opaque;
};

/* For constructors, before they look at their descriptor: copies and checks the
 * host's config, and that vm and out are there and this is no callback. what:
 * "vmem_dma_new_type1". */
int vmemi_dma_read_config(struct vmem_vm *vm,
                          const struct vmem_dma_config *host_config,
                          struct vmem_dma *const *out, const char *what,
                          struct vmem_dma_config *config,
                          struct vmem_error *err);

/* Makes a mapper, with the config as read. Takes over the backend's opaque on
 * success only: on failure it is still the caller's and ops.destroy has not been
 * called. 0 or a negative errno. */
int vmemi_dma_new(struct vmem_vm *vm, const struct vmem_dma_config *config,
                  const struct vmemi_dma_backend *backend,
                  struct vmem_dma **out, struct vmem_error *err);

#endif /* VMEMI_DMA_BACKEND_H */
