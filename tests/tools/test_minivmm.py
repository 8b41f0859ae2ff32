#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What minivmm says when it cannot: one clear sentence, and a status of 1.

Usage: test_minivmm.py MINIVMM
"""

import os
import struct
import subprocess
import sys
import tempfile
import unittest

NOBODY = 65534


def elf(gpa, file_size, size):
    """A kernel of one segment."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1,
                         gpa, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 7, 0, gpa, gpa, file_size,
                                size, 4096)


class TestMinivmm(unittest.TestCase):
    program = ""

    def refuses(self, sentence, *arguments, **options):
        done = subprocess.run([self.program, *arguments], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, check=False,
                              timeout=60, **options)
        self.assertEqual(done.stdout, "")
        self.assertTrue(done.stderr.startswith("minivmm: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(sentence, done.stderr)
        self.assertEqual(done.returncode, 1)

    def test_help_is_no_error(self):
        done = subprocess.run([self.program, "--help"], text=True,
                              stdout=subprocess.PIPE, check=True)
        for option in ("--kernel", "--device", "--monitor", "--trace"):
            self.assertIn(option, done.stdout)

    def test_bad_options(self):
        kernel = ("--kernel", "/nowhere")
        self.refuses("--kernel is missing")
        self.refuses("there is no option --nonsense", "--nonsense")
        self.refuses("--kernel needs a value", "--kernel")
        self.refuses('"word" is not an option', *kernel, "word")
        self.refuses("--memory 1: not a multiple of 2M from 64M", *kernel,
                     "--memory", "1")
        self.refuses("--memory much:", *kernel, "--memory", "much")
        self.refuses("to 3G", *kernel, "--memory", "3074M")
        self.refuses("--cpus 0: not a number from 1", *kernel, "--cpus", "0")
        self.refuses("--stall 0: not a number", *kernel, "--stall", "0")

    def test_bad_devices(self):
        def device(sentence, *devices):
            words = ["--kernel", "/nowhere"]
            for text in devices:
                words += ["--device", text]
            self.refuses(sentence, *words)

        device("size is missing", "block=2M")
        for text in ("size=much", "size=", "size=1X", "size=0", "block=x",
                     "block=0"):
            device(f"--device {text}: it takes a size above 0, such as", text)
        device("--device size: it takes a size above 0", "size")
        device("--device backing=clay: it takes memfd, anon, anon-shared, "
               "hugetlb or file:PATH", "size=1G,backing=clay")
        for text in ("node=8", "node=99", "node="):
            device(f"--device {text}: it takes a number from 0 to 7", text)
        device("--device inaccessible=maybe: it takes off",
               "size=1G,inaccessible=maybe")
        for text in ("colour=red", "name=", "name=" + 80 * "x", "name"):
            device(f"--device {text}: the keys are size, block, node, "
                   "backing and inaccessible", "size=1G," + text)
        device("more than 8 devices", *["size=1G"] * 9)

    def test_a_trace_that_cannot_be_written(self):
        self.refuses("--trace /nowhere/x: No such file", "--kernel",
                     "/nowhere", "--trace", "/nowhere/x")

    def test_a_monitor_that_is_not_there(self):
        self.refuses("no monitor at /nowhere/x", "--ctl", "/nowhere/x",
                     "stats")
        self.refuses("--ctl needs a command", "--ctl", "/nowhere/x")
        self.refuses("longer than", "--ctl", "x" * 200, "stats")

    def test_no_kvm(self):
        if os.path.exists("/dev/kvm"):
            self.skipTest("there is a /dev/kvm here")
        self.refuses("there is no KVM here", "--kernel", "/nowhere")

    def test_no_right_to_use_kvm(self):
        if os.geteuid() != 0 or not os.path.exists("/dev/kvm"):
            self.skipTest("needs root, and a /dev/kvm to have no right to")
        if os.stat("/dev/kvm").st_mode & 0o006:
            self.skipTest("everybody may use /dev/kvm")
        try:
            self.refuses("no right to use /dev/kvm", "--kernel", "/nowhere",
                         user=NOBODY, group=NOBODY, extra_groups=[])
        except PermissionError:
            self.skipTest("others cannot run programs of this folder")

    def test_kernels_that_are_none(self):
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.skipTest("no /dev/kvm")
        with tempfile.NamedTemporaryFile() as file:
            self.refuses("cannot read /nowhere: No such file",
                         "--kernel", "/nowhere")
            file.write(b"no kernel" * 1000)
            file.flush()
            self.refuses("neither a 64-bit bzImage nor an ELF kernel",
                         "--kernel", file.name)
            file.seek(0)
            file.write(b"\x7fELF" + bytes(100))
            file.flush()
            self.refuses("is not for 64-bit x86", "--kernel", file.name)
            for segment, sentence in (((0x1000000, 1 << 20, 1 << 20),
                                       "is cut off"),
                                      ((0x1000000, 16, 1 << 40),
                                       "does not fit into the boot RAM")):
                file.seek(0)
                file.write(elf(*segment))
                file.truncate()
                file.flush()
                self.refuses(sentence, "--kernel", file.name)
            self.refuses("--pass 9: there is no such device with an IOMMU"
                         if os.path.exists("/dev/vfio/vfio")
                         else "--pass 9: /dev/vfio/vfio: No such file",
                         "--kernel", file.name, "--pass", "9")
            for text, sentence in (
                    ("size=3M,block=2M", "--device number 1:"),
                    ("size=4M,block=3M", "--device number 1:"),
                    ("size=4M,backing=file:", "--device number 1:"),
                    ("size=4M,backing=file:/nowhere/x", "/nowhere/x")):
                self.refuses(sentence, "--kernel", file.name, "--device", text)


if __name__ == "__main__":
    TestMinivmm.program = os.path.abspath(sys.argv.pop())
    unittest.main()
