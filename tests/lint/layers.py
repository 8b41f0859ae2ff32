#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who may include whom.

    base <- core <- {host, virtio, dma} <- state

The arrows are security boundaries: guest bytes enter in virtio/, stored bytes
in state/, and memory system calls leave in host/.
"""

import os

import common

# Layer: the layers whose headers it may include.
MAY_INCLUDE = {
    "base": {"base"},
    "core": {"base", "core"},
    "host": {"base", "core", "host"},
    "virtio": {"base", "core", "virtio"},
    "dma": {"base", "core", "dma"},
    "state": {"base", "core", "host", "virtio", "dma", "state"},
}

# base knows nothing of memory: of the public headers it sees only these.
PUBLIC_IN_BASE = {"error.h", "log.h", "macros.h", "types.h", "version.h"}

# Kernel headers describe memory calls and VFIO; nobody else needs them.
MAY_USE_KERNEL = {"host", "dma"}

# All that a public header may include besides <vmem/...>.
LIBC_IN_PUBLIC = {"stdbool.h", "stddef.h", "stdint.h", "sys/uio.h"}

GLIB = ("glib", "gio", "gobject", "json-glib")


def is_glib(path):
    return path.split("/")[0].split(".")[0].startswith(GLIB)


def is_internal(path):
    return path.split("/")[0] in MAY_INCLUDE


def check_library(root, problems):
    paths = common.walk(root, "libvmem", suffixes=(".c", ".h"))
    for path in paths:
        parts = path.split("/")
        layer = parts[1]
        if len(parts) != 3 or layer not in MAY_INCLUDE:
            problems.append(f"{path}: not in a folder that is a layer")
            continue
        found = list(common.includes(common.read(root, path)))
        for number, quoted, included in found:
            where = f"{path}:{number}"
            if not quoted and is_internal(included):
                problems.append(f"{where}: write internal headers in quotes")
            if quoted and not is_internal(included):
                problems.append(f'{where}: "{included}" is not layer/file.h')
            elif quoted and not os.path.exists(
                    os.path.join(root, "libvmem", included)):
                problems.append(f'{where}: "{included}" does not exist')
            elif is_internal(included):
                other = included.split("/")[0]
                if other not in MAY_INCLUDE[layer]:
                    problems.append(f"{where}: {layer} must not include {other}")
            if (layer == "base" and included.startswith("vmem/")
                    and included[5:] not in PUBLIC_IN_BASE):
                problems.append(f"{where}: base knows nothing of <{included}>")
            if included.startswith("linux/") and layer not in MAY_USE_KERNEL:
                problems.append(f"{where}: {layer} must not use <{included}>")
        own = f"{layer}/{parts[2][:-2]}.h"
        if (path.endswith(".c")
                and os.path.exists(os.path.join(root, "libvmem", own))
                and (not found or found[0][2] != own)):
            problems.append(f'{path}: "{own}" must be the first include')
    return len(paths)


def check_public(root, problems):
    paths = common.walk(root, "include/vmem", suffixes=(".h", ".h.in"))
    for path in paths:
        for number, quoted, included in common.includes(
                common.read(root, path)):
            if quoted or not (included.startswith("vmem/")
                              or included in LIBC_IN_PUBLIC):
                problems.append(f"{path}:{number}: a public header must not "
                                f"include {included}")
    return len(paths)


def check_users(root, top, with_glib, problems):
    """tools/ and examples/ live on what an installed libvmem offers."""
    paths = common.walk(root, top, suffixes=(".c", ".h", ".cc"))
    for path in paths:
        folder = os.path.dirname(path)
        found = list(common.includes(common.read(root, path)))
        for number, quoted, included in found:
            where = f"{path}:{number}"
            if quoted:
                near = [os.path.normpath(os.path.join(base, included))
                        for base in (folder, top)]
                if not any(p.startswith(top + "/")
                           and os.path.exists(os.path.join(root, p))
                           for p in near):
                    problems.append(f'{where}: "{included}" is not of {top}/')
            elif is_internal(included):
                problems.append(f"{where}: <{included}> is internal")
            elif is_glib(included) and not with_glib:
                problems.append(f"{where}: {top}/ does without GLib")
        own = os.path.basename(path)[:-2] + ".h"
        if (path.endswith(".c")
                and os.path.exists(os.path.join(root, folder, own))
                and (not found or os.path.basename(found[0][2]) != own)):
            problems.append(f'{path}: "{own}" must be the first include')
    return len(paths)


def check_conformance(root, problems):
    """These tests hold for whoever implements the public interface."""
    paths = common.walk(root, "tests/conformance", suffixes=(".c", ".h"))
    for path in paths:
        for number, _, included in common.includes(common.read(root, path)):
            if is_internal(included):
                problems.append(f"{path}:{number}: conformance tests use the "
                                f"public interface only, not {included}")
    return len(paths)


def main():
    root = common.root_from_args(__doc__.split("\n", maxsplit=1)[0])
    problems = []
    nr_files = check_library(root, problems)
    nr_files += check_public(root, problems)
    nr_files += check_users(root, "tools", True, problems)
    nr_files += check_users(root, "examples", False, problems)
    nr_files += check_conformance(root, problems)
    common.finish("layers", problems, nr_files)


main()
