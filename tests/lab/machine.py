# SPDX-License-Identifier: BSD-3-Clause
"""One emulated machine: boots, is watched, and ends in time."""

import os
import re
import selectors
import shutil
import subprocess
import time

from kernel import Unavailable

# QEMU 7.2 sometimes leaves garbage in EFLAGS after cmpxchg16b, and an interrupt
# at that moment ends the kernel: hence without cx16, and a second try.
CPU = "EPYC,+svm,-cx16"
KNOWN_CRASH = b"PANIC: double fault"

# The emulated KVM sometimes forgets a timer of a nested guest, whose kernel then
# waits half a minute for nothing, again and again.
LOST_TIMER = "kthread timer wakeup didn't happen"

# To boot, and to end, besides what the program may take.
BOOT_S = 60

# On a busy host the timer interrupt may seem not to come, and with an IOMMU that
# ends the kernel: it is not checked. Warnings are for the log only.
APPEND = ("console=ttyS0 8250.nr_uarts=4 panic=-1 quiet loglevel=5 nokaslr "
          "mitigations=off cryptomgr.notests no_timer_check")

# An IOMMU, and behind it QEMU's device for teaching, whose only use is DMA, twice:
# each is a group of its own. By default they would cut addresses at 28 bits.
EDUS = ["0000:00:04.0", "0000:00:05.0"]
IOMMU_DEVICES = ["-device", "intel-iommu,intremap=on,caching-mode=on",
                 "-device", "edu,addr=4,dma_mask=0xffffffffff",
                 "-device", "edu,addr=5,dma_mask=0xffffffffff"]


def command(kernel, initramfs, folder, options):
    words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi",
             "-machine", "q35,kernel-irqchip=split", "-cpu", CPU,
             "-m", str(options.memory), "-smp", str(options.cpus),
             "-display", "none", "-nodefaults", "-no-user-config",
             "-monitor", "none", "-no-reboot",
             "-serial", "file:" + os.path.join(folder, "console.log"),
             "-serial", "stdio",
             "-serial", "file:" + os.path.join(folder, "files"),
             "-kernel", kernel.vmlinux, "-initrd", initramfs]
    append = APPEND
    if options.iommu:
        words += IOMMU_DEVICES
        append += " intel_iommu=on"
    if options.append:
        append += " " + options.append
    return words + ["-append", append] + options.qemu


class Run:
    """What one boot said, line by line."""

    def __init__(self, folder, tell):
        self.folder = folder
        self.tell = tell
        self.lines = []
        self.start = time.monotonic()
        self.rest = b""

    def _take(self, data):
        self.rest += data
        *lines, self.rest = self.rest.split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            self.lines.append(text)
            self.tell(time.monotonic() - self.start, text)

    def _console(self):
        try:
            with open(os.path.join(self.folder, "console.log"), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def watch(self, words, timeout):
        """Until it powers off; what went wrong, or None."""
        errors = os.path.join(self.folder, "qemu.log")
        with open(errors, "wb") as log:
            log.write(" ".join(words).encode() + b"\n")
            log.flush()
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=log)
        try:
            ended = self._read(process, timeout)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        with open(os.path.join(self.folder, "results.log"), "w",
                  encoding="utf-8") as file:
            file.write("\n".join(self.lines) + "\n")
        if self._lost_timer():
            return "the emulation has lost a timer of the nested guest"
        if not ended:
            return f"the machine did not end within {timeout} s"
        if not any(line.startswith("@init done") for line in self.lines):
            return "the machine stopped before its steps were done"
        return None

    def _lost_timer(self):
        return any(LOST_TIMER in line for line in self.lines)

    def _read(self, process, timeout):
        """Whether it ended by itself in time, or need not go on."""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                left = self.start + timeout - time.monotonic()
                if left <= 0:
                    return False
                if not selector.select(min(left, 1.0)):
                    continue
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    return True
                self._take(data)
                if self._lost_timer():
                    return True

    def deserves_another(self):
        """The emulation failed, before or without anything of ours."""
        return (KNOWN_CRASH in self._console() or self._lost_timer()
                or not any(line.startswith("@init") for line in self.lines))

    def files(self):
        """{name: bytes} of what was left in /out."""
        found = {}
        try:
            with open(os.path.join(self.folder, "files"), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return found
        while match := re.match(rb"@file (\d+) ([^\n]*)\n", data):
            size = int(match.group(1))
            start = match.end()
            found[match.group(2).decode()] = data[start:start + size]
            data = data[start + size:]
        return found


def keep_logs(folder):
    """Of a try that is not the last: "first-" before their names."""
    for name in ("console.log", "results.log", "qemu.log"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            os.rename(path, os.path.join(folder, "first-" + name))


def boot(kernel, initramfs, folder, options, tell):
    """(Run, what went wrong or None); once more if the kernel did not start, or
    after one of QEMU's known failures."""
    if shutil.which("qemu-system-x86_64") is None:
        raise Unavailable("qemu-system-x86 is not installed")
    words = command(kernel, initramfs, folder, options)
    for attempt in (1, 2):
        run = Run(folder, tell)
        wrong = run.watch(words, options.timeout + BOOT_S)
        if wrong is None or attempt == 2 or not run.deserves_another():
            return run, wrong
        keep_logs(folder)
        tell(0, f"{wrong}; once more")
