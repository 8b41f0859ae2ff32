# SPDX-License-Identifier: BSD-3-Clause
"""Debian's kernels, unpacked into a cache; nothing is installed."""

import glob
import gzip
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile

# What it is called here: the package that depends on the newest of them.
KERNELS = {
    "6.1": "linux-image-cloud-amd64",
    "6.12": "linux-image-6.12-cloud-amd64",
}

# A module that is another one's job on other kernels, or built in.
MISSING_IS_FINE = {"vfio_virqfd"}


class Unavailable(Exception):
    """What the lab needs cannot be had here; the reason of a skip."""


def run(*command, **options):
    """Standard output of a command, or Unavailable with its last words."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False, **options)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().split("\n")
        errors = [line for line in words if line.startswith("E:")]
        raise Unavailable(f"{' '.join(command[:2])} failed: "
                          f"{(errors or words)[-1]}")
    return done.stdout


def field(text, name):
    match = re.search(rf"^{name}: (.*)$", text, flags=re.M)
    return match.group(1) if match else None


class Apt:
    """Debian's packages: what apt knows, else what it knows after looking
    again, with lists of its own so that no root is needed."""

    def __init__(self, cache):
        self.lists = os.path.join(cache, "apt")
        self.options = []
        if os.path.isdir(self.lists):
            self._use_own_lists()

    def _use_own_lists(self):
        self.options = [
            "-o", f"Dir::State::Lists={self.lists}/lists",
            "-o", f"Dir::Cache={self.lists}/cache",
            "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]

    def _look_again(self):
        for name in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(self.lists, name), exist_ok=True)
        self._use_own_lists()
        run("apt-get", "update", *self.options)

    def show(self, package):
        """The newest version's paragraph."""
        command = ["apt-cache", "show", "--no-all-versions", package]
        text = ""
        try:
            text = run(*command, *self.options).decode()
        except Unavailable:
            pass
        if not text:
            self._look_again()
            text = run(*command, *self.options).decode()
        if not text:
            raise Unavailable(f"apt knows no package {package}")
        return text

    def newest(self, meta):
        """(package, version) that a meta-package depends on."""
        depends = field(self.show(meta), "Depends") or ""
        match = re.match(r"([\w.+-]+) \(= ([^)]+)\)", depends)
        if match is None:
            raise Unavailable(f"{meta} depends on nothing known: {depends}")
        return match.groups()

    def unpack(self, package, version, folder):
        """Download one package and unpack it there."""
        with tempfile.TemporaryDirectory() as scratch:
            wanted = f"{package}={version}"
            command = ["apt-get", "download", wanted]
            try:
                run(*command, *self.options, cwd=scratch)
            except Unavailable:
                try:
                    self._look_again()
                    run(*command, *self.options, cwd=scratch)
                except Unavailable as error:
                    raise Unavailable(
                        f"{wanted} cannot be had: {error}") from error
            found = glob.glob(os.path.join(scratch, "*.deb"))
            if len(found) != 1:
                raise Unavailable(f"{wanted} was not downloaded")
            run("dpkg-deb", "-x", found[0], folder)


def decompress(payload):
    """The kernel proper inside a bzImage; its last four bytes are its size."""
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload)
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    tools = {b"\x02\x21\x4c\x18": ["lz4", "-d", "-c"],
             b"\x28\xb5\x2f\xfd": ["zstd", "-d", "-c"]}
    command = tools.get(payload[:4])
    if command is None:
        raise Unavailable(f"kernel compressed by {payload[:4].hex()}")
    if shutil.which(command[0]) is None:
        raise Unavailable(f"{command[0]} is not installed")
    # Both stop at the size behind the data, having written all of it.
    return subprocess.run(command, input=payload[:-4], check=False,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).stdout


def extract(vmlinuz, vmlinux):
    """QEMU starts the ELF file at once, without seconds of decompressing."""
    with open(vmlinuz, "rb") as file:
        image = file.read()
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (image[0x1f1] + 1) * 512 + offset
    payload = image[start:start + length]
    kernel = decompress(payload)
    size = struct.unpack("<I", payload[-4:])[0]
    if not kernel.startswith(b"\x7fELF") or len(kernel) != size:
        raise Unavailable(f"{os.path.basename(vmlinuz)}: {len(kernel)} bytes "
                          f"of {size} came out")
    with open(vmlinux, "wb") as file:
        file.write(kernel)


class Kernel:
    """An unpacked kernel: its files and its modules by name."""

    def __init__(self, folder, version=""):
        self.folder = folder
        self.version = version
        self.vmlinux = os.path.join(folder, "vmlinux")
        self.vmlinuz = glob.glob(os.path.join(folder, "boot/vmlinuz-*"))[0]
        self.release = os.path.basename(self.vmlinuz)[len("vmlinuz-"):]
        self.paths = {}
        top = os.path.join(folder, "lib/modules", self.release)
        for where, _, files in os.walk(top):
            for name in files:
                if ".ko" in name:
                    module = name.split(".")[0].replace("-", "_")
                    self.paths[module] = os.path.join(where, name)

    def add_modules(self, folder):
        """Modules built for this kernel replace those it has."""
        for path in glob.glob(os.path.join(folder, "*.ko")):
            module = os.path.basename(path)[:-3].replace("-", "_")
            self.paths[module] = path

    def read_module(self, name):
        path = self.paths[name]
        with open(path, "rb") as file:
            text = file.read()
        return lzma.decompress(text) if path.endswith(".xz") else text

    def modules(self, names):
        """[(name, bytes)], what they depend on before them."""
        found = {}

        def visit(name, is_wanted):
            name = name.replace("-", "_")
            if name in found:
                return
            if name not in self.paths:
                if is_wanted:
                    raise Unavailable(f"{self.release} has no module {name}")
                return
            text = self.read_module(name)
            depends = re.search(rb"\0depends=([^\0]*)\0", text)
            for other in (depends.group(1).decode().split(",")
                          if depends else []):
                if other:
                    visit(other, other not in MISSING_IS_FINE)
            found[name] = text

        for name in names:
            visit(name, True)
        return list(found.items())


def cached(cache, package, version, make):
    """The folder of a package's version; make(folder) fills it, once."""
    folder = os.path.join(cache, f"{package}_{version.replace(':', '_')}")
    if not os.path.isdir(folder):
        os.makedirs(cache, exist_ok=True)
        scratch = tempfile.mkdtemp(dir=cache, prefix="new-")
        try:
            make(scratch)
            os.chmod(scratch, 0o755)
            os.rename(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def get(name, cache, tell):
    """The newest Debian kernel of that name."""
    apt = Apt(cache)
    package, version = apt.newest(KERNELS[name])

    def make(folder):
        tell(0, f"unpacking {package}, once")
        apt.unpack(package, version, folder)
        vmlinuz = glob.glob(os.path.join(folder, "boot/vmlinuz-*"))
        if len(vmlinuz) != 1:
            raise Unavailable(f"{package} has no kernel")
        extract(vmlinuz[0], os.path.join(folder, "vmlinux"))

    return Kernel(cached(cache, package, version, make), version)
