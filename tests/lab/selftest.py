#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The lab must not say that all is well when something did not run."""

import argparse
import contextlib
import io
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import types
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# pylint: disable=wrong-import-position
import direct  # noqa: E402
import initramfs  # noqa: E402
import kernel  # noqa: E402
import lab  # noqa: E402
import machine  # noqa: E402


def judged(lines, expected=()):
    results = lab.Results()
    results.read(lines)
    results.require(expected)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        is_fine = results.show()
    return is_fine, out.getvalue()


class Verdicts(unittest.TestCase):
    def test_what_passes_says_what_it_proved(self):
        is_fine, text = judged(["PASS a: 64 maps", "@init exit 1 status 0"])
        self.assertTrue(is_fine)
        self.assertIn("[ RUN      ] a\nPROVED: 64 maps\n[       OK ] a", text)

    def test_a_failure_fails(self):
        is_fine, text = judged(["FAIL a: 63 maps", "@init exit 1 status 1"])
        self.assertFalse(is_fine)
        self.assertIn("63 maps\n[  FAILED  ] a", text)
        self.assertNotIn("machine", text)

    def test_a_skip_has_its_reason(self):
        is_fine, text = judged(["SKIP a: no device", "@init exit 1 status 0"])
        self.assertTrue(is_fine)
        self.assertIn("SKIP: no device\n[  SKIPPED ] a", text)

    def test_a_program_that_dies_fails(self):
        for end in ("signal 11", "timeout", "status 3"):
            is_fine, text = judged(["PASS a: x", f"@init exit 1 {end}"])
            self.assertFalse(is_fine)
            self.assertIn(end, text)

    def test_a_signal_after_a_failure_is_another_failure(self):
        _, text = judged(["FAIL a: x", "@init exit 1 signal 6"])
        self.assertIn("signal 6", text)

    def test_a_step_that_fails_fails(self):
        self.assertFalse(judged(["PASS a: x", "@init failed module y"])[0])

    def test_a_missing_or_doubled_result_fails(self):
        self.assertFalse(judged(["PASS a: x"], ["a", "b"])[0])
        self.assertFalse(judged(["PASS a: x", "PASS a: y"])[0])


class Archive(unittest.TestCase):
    def test_it_holds_what_was_added(self):
        archive = initramfs.Archive()
        archive.data("/lib/deep/file", b"12345")
        archive.data("lab.steps", b"run\n")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.cpio")
            archive.write(path)
            with open(path, "rb") as file:
                data = file.read()
        names = []
        at = 0
        while True:
            self.assertEqual(data[at:at + 6], b"070701")
            size, name_size = (int(data[at + start:at + start + 8], 16)
                               for start in (54, 94))
            name = data[at + 110:at + 110 + name_size - 1].decode()
            at += (110 + name_size + 3) // 4 * 4
            if name == "TRAILER!!!":
                break
            names.append((name, data[at:at + size]))
            at += (size + 3) // 4 * 4
        self.assertEqual(names, [("lib", b""), ("lib/deep", b""),
                                 ("lib/deep/file", b"12345"),
                                 ("lab.steps", b"run\n")])


class Files(unittest.TestCase):
    def test_files_come_out_as_they_were(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "files"), "wb") as file:
                file.write(b"@file 3 a\n\n@f@file 0 empty\n@file 2 b c\nxy")
            run = machine.Run(folder, None)
            self.assertEqual(run.files(),
                             {"a": b"\n@f", "empty": b"", "b c": b"xy"})


class SecondTry(unittest.TestCase):
    def deserves(self, lines, console):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "console.log"), "wb") as file:
                file.write(console)
            run = machine.Run(folder, None)
            run.lines = lines
            return run.deserves_another()

    def test_only_the_emulation_s_failures_deserve_one(self):
        started = ["@init boot 1.0", "PASS a: x"]
        self.assertTrue(self.deserves([], b"Kernel panic"))
        self.assertTrue(self.deserves(started, b"x\nPANIC: double fault\n"))
        self.assertTrue(self.deserves(
            started + ["  guest: [ 9.0] rcu: rcu_preempt kthread timer wakeup "
                       "didn't happen for 7670 jiffies! g-1187"], b""))
        self.assertFalse(self.deserves(started, b"Kernel panic"))
        self.assertFalse(self.deserves(started + ["FAIL b: y"], b""))

    def test_a_lost_timer_ends_the_first_try(self):
        says = ("printf '@init boot 1\\nguest: rcu_preempt kthread timer wakeup "
                "didn%st happen\\n' \"'\"; sleep 60")
        with tempfile.TemporaryDirectory() as folder:
            run = machine.Run(folder, lambda seconds, line: None)
            wrong = run.watch(["sh", "-c", says], 50)
            self.assertIn("lost a timer", wrong)
            self.assertLess(time.monotonic() - run.start, 20)

    def test_the_logs_of_the_first_try_are_kept(self):
        says = ("#!/bin/sh\n"
                "for word; do case $word in file:*console.log)\n"
                "  log=${word#file:};; esac; done\n"
                "cd \"$(dirname \"$log\")\"\n"
                "if [ -e first-console.log ]; then\n"
                "  echo second >console.log; echo '@init done 1'\n"
                "else echo first >console.log; fi\n")
        options = types.SimpleNamespace(memory=1, cpus=1, iommu=False,
                                        append="", qemu=[], timeout=1)
        with tempfile.TemporaryDirectory() as folder:
            qemu = os.path.join(folder, "qemu-system-x86_64")
            with open(qemu, "w", encoding="utf-8") as file:
                file.write(says)
            os.chmod(qemu, 0o755)
            path = os.environ["PATH"]
            os.environ["PATH"] = folder + ":" + path
            try:
                _, wrong = machine.boot(types.SimpleNamespace(vmlinux="v"), "i",
                                        folder, options, lambda *_: None)
            finally:
                os.environ["PATH"] = path
            self.assertIsNone(wrong)
            for name, text in (("first-console.log", "first\n"),
                               ("console.log", "second\n")):
                with open(os.path.join(folder, name),
                          encoding="utf-8") as file:
                    self.assertEqual(file.read(), text)


class Packages(unittest.TestCase):
    def test_one_that_cannot_be_had_is_a_skip_with_its_name(self):
        with tempfile.TemporaryDirectory() as folder:
            apt = os.path.join(folder, "apt-get")
            with open(apt, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
            os.chmod(apt, 0o755)
            path = os.environ["PATH"]
            os.environ["PATH"] = folder + ":" + path
            try:
                with self.assertRaisesRegex(kernel.Unavailable,
                                            "^linux=1 cannot.*no network"):
                    kernel.Apt(folder).unpack("linux", "1", folder)
            finally:
                os.environ["PATH"] = path


class Kernels(unittest.TestCase):
    def unpack(self, payload):
        with tempfile.TemporaryDirectory() as folder:
            image = bytearray(2 * 512)
            image[0x1f1] = 1
            struct.pack_into("<II", image, 0x248, 16, len(payload))
            vmlinuz = os.path.join(folder, "vmlinuz")
            with open(vmlinuz, "wb") as file:
                file.write(bytes(image) + b"\0" * 16 + payload)
            vmlinux = os.path.join(folder, "vmlinux")
            kernel.extract(vmlinuz, vmlinux)
            with open(vmlinux, "rb") as file:
                return file.read()

    def test_a_kernel_is_taken_out_of_its_image(self):
        elf = b"\x7fELF" + bytes(range(256)) * 64
        for tool in (["lz4", "-l", "-c"], ["zstd", "-c"]):
            if shutil.which(tool[0]) is None:
                continue
            packed = subprocess.run(tool, input=elf, check=True,
                                    stdout=subprocess.PIPE).stdout
            self.assertEqual(
                self.unpack(packed + struct.pack("<I", len(elf))), elf)

    def test_another_format_is_a_skip(self):
        with self.assertRaises(kernel.Unavailable):
            self.unpack(b"what is this")

    def test_what_modules_depend_on_comes_first(self):
        with tempfile.TemporaryDirectory() as folder:
            top = os.path.join(folder, "lib/modules/1.0")
            os.makedirs(top)
            os.makedirs(os.path.join(folder, "boot"))
            for path, text in (("boot/vmlinuz-1.0", b""),
                               ("lib/modules/1.0/a-b.ko",
                                b"\0depends=c,d\0license=x\0"),
                               ("lib/modules/1.0/c.ko", b"\0depends=d\0"),
                               ("lib/modules/1.0/d.ko", b"\0depends=\0")):
                with open(os.path.join(folder, path), "wb") as file:
                    file.write(text)
            found = kernel.Kernel(folder)
            self.assertEqual([name for name, _ in found.modules(["a-b"])],
                             ["d", "c", "a_b"])
            with self.assertRaises(kernel.Unavailable):
                found.modules(["e"])


class Replays(unittest.TestCase):
    """Traces that a machine left, given to something like vmemctl."""

    def replay(self, program, trace):
        with tempfile.TemporaryDirectory() as folder:
            if trace is not None:
                with open(os.path.join(folder, "a.trace"), "w",
                          encoding="utf-8") as file:
                    file.write(trace)
            return lab.replay("k", program, folder)[0]

    def test_requests_are_counted(self):
        self.assertEqual(
            self.replay("true", "1.0 a plug 0x1 1 ack\n1.1 a busy on\n"
                        "1.2 a unplug_all ack\n"),
            "PASS k: 2 requests of 1 traces have the same answers")

    def test_a_replay_that_fails_fails(self):
        self.assertTrue(self.replay("false", "1.0 a state 0x1 1 ack:plugged\n")
                        .startswith("FAIL k: a.trace"))

    def test_nothing_recorded_is_a_failure(self):
        self.assertIn("FAIL k: no request", self.replay("true", None))
        self.assertIn("FAIL k: no request", self.replay("true", "# empty\n"))


class WithoutAMachine(unittest.TestCase):
    """A program that finds what a machine would have, here."""

    def run_here(self, words, timeout=20):
        options = argparse.Namespace(command=words, timeout=timeout,
                                     file=[("/etc/hostname", "/guest/vmlinux")])
        with tempfile.TemporaryDirectory() as folder:
            here = direct.Direct(folder, options, lambda seconds, line: None)
            here.run()
            return here

    def test_its_paths_are_those_from_here(self):
        here = self.run_here(["echo", "/guest/vmlinux", "/out/x", "rest"])
        self.assertEqual(here.lines[0], "/etc/hostname "
                         + os.path.join(here.folder, "out", "x") + " rest")
        self.assertEqual(here.lines[-1], "@init exit 1 status 0")

    def test_its_end_is_told(self):
        self.assertEqual(self.run_here(["false"]).lines,
                         ["@init exit 1 status 1"])
        self.assertEqual(self.run_here(["sleep", "60"], 0.2).lines,
                         ["@init exit 1 signal 9"])

    def test_a_probe_that_fails_means_no(self):
        if os.access("/dev/kvm", os.R_OK | os.W_OK):
            self.assertTrue(direct.runs_linux(["true"]))
        self.assertFalse(direct.runs_linux(["false"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
