# SPDX-License-Identifier: BSD-3-Clause
"""Modules of iommufd, which Debian's kernels leave out.

Built from Debian's own source and headers of the same version; nothing of the
kernel itself has to change.
"""

import glob
import os
import re
import shutil
import subprocess
import tempfile

from kernel import Apt, Unavailable, cached, run

# What the kernel's configuration would have said: to make, and to the compiler.
TO_MAKE = ["CONFIG_IOMMUFD=m", "CONFIG_VFIO_DEVICE_CDEV=y",
           "CONFIG_DEBUG_INFO_BTF_MODULES="]
TO_COMPILER = ["-DCONFIG_IOMMUFD_MODULE=1", "-DCONFIG_VFIO_DEVICE_CDEV=1",
               "-DCONFIG_INTERVAL_TREE_SPAN_ITER=1"]

# Of the source: folders, and what their files include from beside them.
PARTS = ["drivers/iommu/iommufd", "drivers/iommu/iommu-priv.h",
         "drivers/vfio", "lib/interval_tree.c"]


def unpack_headers(apt, kernel, folder):
    """The folder to build in; its Makefile then includes what is here."""
    base = re.sub(r"-(cloud-)?amd64$", "", kernel.release)
    for package in (f"linux-headers-{kernel.release}",
                    f"linux-headers-{base}-common", f"linux-kbuild-{base}"):
        apt.unpack(package, kernel.version, folder)
    top = os.path.join(folder, "usr/src")
    headers = os.path.join(top, f"linux-headers-{kernel.release}")
    makefile = os.path.join(headers, "Makefile")
    with open(makefile, encoding="utf-8") as file:
        text = file.read()
    with open(makefile, "w", encoding="utf-8") as file:
        file.write(text.replace("/usr/src", top))
    return headers


def unpack_source(apt, kernel, folder):
    """The folder of the modules' source."""
    series = ".".join(kernel.release.split(".")[:2])
    apt.unpack(f"linux-source-{series}", kernel.version, folder)
    name = f"linux-source-{series}"
    run("tar", "-C", folder, "-xf",
        os.path.join(folder, "usr/src", name + ".tar.xz"),
        *(f"{name}/{part}" for part in PARTS))
    return os.path.join(folder, name)


def arrange(source, folder):
    """The modules' folder: iommufd, and VFIO built anew to know of it."""
    os.mkdir(folder)
    shutil.copytree(os.path.join(source, "drivers/iommu/iommufd"),
                    os.path.join(folder, "iommufd"))
    shutil.copytree(os.path.join(source, "drivers/vfio"),
                    os.path.join(folder, "vfio"))
    shutil.copy(os.path.join(source, "drivers/iommu/iommu-priv.h"), folder)
    with open(os.path.join(folder, "Kbuild"), "w", encoding="utf-8") as file:
        file.write("obj-m := iommufd/ vfio/\n")
    # The part of the interval tree that only iommufd uses is not in the kernel.
    with open(os.path.join(source, "lib/interval_tree.c"),
              encoding="utf-8") as file:
        text = file.read()
    start = text.find("#ifdef CONFIG_INTERVAL_TREE_SPAN_ITER")
    if start < 0:
        raise Unavailable("this kernel's interval tree is another")
    with open(os.path.join(folder, "iommufd/span.c"), "w",
              encoding="utf-8") as file:
        file.write("#include <linux/export.h>\n"
                   "#include <linux/interval_tree.h>\n" + text[start:])
    with open(os.path.join(folder, "iommufd/Makefile"), "a",
              encoding="utf-8") as file:
        file.write("iommufd-y += span.o\n")


def build(kernel, cache, tell):
    """The folder of the modules, which replace those of the kernel."""

    def make(folder):
        tell(0, f"building iommufd for {kernel.release}, once")
        apt = Apt(cache)
        for tool in ("gcc-12", "make", "tar", "xz"):
            if shutil.which(tool) is None:
                raise Unavailable(f"{tool} is not installed")
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            headers = unpack_headers(apt, kernel, scratch)
            modules = os.path.join(scratch, "modules")
            arrange(unpack_source(apt, kernel, scratch), modules)
            # Not what the test runner has set for other builds.
            clean = {name: value for name, value in os.environ.items()
                     if name not in ("MAKEFLAGS", "CFLAGS", "LDFLAGS", "CC")}
            # All is there now: what fails from here on is no reason to skip.
            subprocess.run(
                ["make", "-s", f"-j{os.cpu_count()}", "-C", headers,
                 f"M={modules}", "CC=gcc-12",
                 "KCFLAGS=" + " ".join(TO_COMPILER), *TO_MAKE, "modules"],
                env=clean, stdin=subprocess.DEVNULL, check=True)
            for path in glob.glob(os.path.join(modules, "**/*.ko"),
                                  recursive=True):
                run("strip", "--strip-debug", path)
                shutil.copy(path, folder)

    return cached(cache, f"iommufd-{kernel.release}", kernel.version, make)
