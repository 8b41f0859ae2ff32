# SPDX-License-Identifier: BSD-3-Clause
"""An initramfs: an uncompressed cpio archive, made without root."""

import os
import stat


class Archive:
    """Files and folders in the order in which they were added."""

    def __init__(self):
        self.bytes = bytearray()
        self.folders = set()
        self.inode = 0

    def _entry(self, path, mode, data=b""):
        self.inode += 1
        name = path.lstrip("/").encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
                  len(name), 0]
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + name, data):
            self.bytes += part
            self.bytes += b"\0" * (-len(self.bytes) % 4)

    def folder(self, path):
        path = path.strip("/")
        if path and path not in self.folders:
            self.folder(os.path.dirname(path))
            self.folders.add(path)
            self._entry(path, stat.S_IFDIR | 0o755)

    def data(self, path, data, mode=0o755):
        self.folder(os.path.dirname(path.strip("/")))
        self._entry(path, stat.S_IFREG | mode, data)

    def file(self, path, source):
        with open(source, "rb") as file:
            self.data(path, file.read())

    def write(self, path):
        self._entry("TRAILER!!!", 0)
        with open(path, "wb") as file:
            file.write(self.bytes)


def build(out, kernel, init, modules=(), files=(), steps=()):
    """A machine's files: `modules` are (name, parameters), loaded in order
    before the steps; `files` are (source, path); `steps` are lists of words."""
    archive = Archive()
    for folder in ("dev", "proc", "sys", "tmp", "out", "bin"):
        archive.folder(folder)
    archive.file("init", init)
    parameters = {name.replace("-", "_"): text for name, text in modules}
    lines = []
    for name, text in kernel.modules([name for name, _ in modules]):
        path = f"/lib/{name}.ko"
        archive.data(path, text)
        lines.append(["module", path] + [parameters[name]]
                     if parameters.get(name) else ["module", path])
    for source, path in files:
        archive.file(path, source)
    lines += steps
    archive.data("lab.steps", "".join("\t".join(line) + "\n"
                                      for line in lines).encode())
    archive.write(out)
