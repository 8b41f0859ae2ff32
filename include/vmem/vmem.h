/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief Everything of libvmem.
 */
#ifndef VMEM_VMEM_H
#define VMEM_VMEM_H

#include <vmem/backing.h>
#include <vmem/bitmap.h>
#include <vmem/claim.h>
#include <vmem/device.h>
#include <vmem/dma.h>
#include <vmem/error.h>
#include <vmem/listener.h>
#include <vmem/log.h>
#include <vmem/macros.h>
#include <vmem/region.h>
#include <vmem/source.h>
#include <vmem/types.h>
#include <vmem/version.h>
#include <vmem/vm.h>

#endif /* VMEM_VMEM_H */
