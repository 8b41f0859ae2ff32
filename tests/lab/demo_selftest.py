#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The demo must not say that all is well when it is not, and must end when it is
told to. What it starts is real but for minivmm: this file is in its place, and does one
thing wrong. That also takes the way without an emulated machine everywhere.

usage: demo_selftest.py DEMO-GUEST-SH BUILD
"""

import contextlib
import fcntl
import json
import os
import pty
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

MIB = 1 << 20
GPA = 1 << 32
BLOCK = 2 * MIB
BASE_KIB = 150 * 1024
WRONG = "VMEM_DEMO_WRONG"


class FakeVmm:
    """Answers as minivmm and the agent in its guest would, at once."""

    def __init__(self, arguments):
        self.monitor = arguments[arguments.index("--monitor") + 1]
        self.trace = arguments[arguments.index("--trace") + 1]
        self.wrong = os.environ[WRONG]
        self.size = self.used = 0
        self.events = []
        self.memory = os.memfd_create("vmem0")

    def occupy(self, size):
        os.ftruncate(self.memory, 0)
        os.ftruncate(self.memory, 1024 * MIB)
        if size:
            os.posix_fallocate(self.memory, 0, size)

    def request(self, verb, start, end):
        if end > start:
            self.events.append(f"1 vmem0 {verb} {GPA + start} "
                               f"{(end - start) // BLOCK} ack")

    def resize(self, text):
        size = int(text.rstrip("M")) * MIB
        if self.wrong == "ends":
            os._exit(1)
        self.events.append(f"1 vmem0 resize {size}")
        self.request("plug", self.size, size)
        self.request("unplug", size, self.size)
        self.size = size
        self.used = min(self.used, size)
        if self.wrong != "resident":
            self.occupy(self.used)

    def command(self, line):
        words = line.split()
        if words[:2] == ["--json", "info"]:
            return json.dumps({
                "memaddr": GPA, "max-size": 1024 * MIB, "block-size": BLOCK,
                "node": 0, "size": self.size, "requested-size": self.size,
                "resident": self.used, "resize": "idle", "stall": "none"})
        if words[:2] == ["--json", "map"]:
            runs = [{"offset": 0, "size": self.size}] if self.size else []
            return json.dumps({"plugged": runs})
        if words[0] == "resize":
            self.resize(words[2])
        if words[-1] == "quit":
            self.quit()
        return "{}" if words[0] == "--json" else "ok"

    def agent(self, line):
        words = line.split()
        if words[0] == "meminfo":
            lost = self.wrong == "total" and self.size == 256 * MIB
            return f"@ok {BASE_KIB + self.size // 1024 - lost} 0"
        if words[0] == "fill":
            self.used = int(words[1]) * MIB
            self.occupy(self.used)
            return f"@ok {self.used}"
        if words[0] == "keep":
            self.used = int(words[1]) * MIB
        if words[0] == "check" and self.wrong == "contents":
            return "@fail byte 0 has changed"
        return "@ok"

    def quit(self):
        with open(self.trace, "w", encoding="utf-8") as file:
            file.write("# vmem-trace 1\ndevice vmem0 addr=%d region_size=%d "
                       "block_size=%d node=0 requested_size=0 usable=region\n"
                       % (GPA, 1024 * MIB, BLOCK))
            file.write("\n".join(self.events + ["end vmem0 plugged_size=%d"
                                                % self.size]) + "\n")
        os.unlink(self.monitor)
        os._exit(0)

    def serve(self, connection):
        with contextlib.suppress(OSError):
            for line in connection.makefile():
                connection.sendall(self.command(line).encode() + b"\n")

    def run(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.monitor)
        listener.listen(8)

        def accept():
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self.serve, args=[connection],
                                 daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        print("\n@ready", flush=True)
        for line in sys.stdin:
            print("\n" + self.agent(line), flush=True)


class Demo(unittest.TestCase):
    def setUp(self):
        """A build whose minivmm of the lab is this file."""
        self.folder = tempfile.mkdtemp(prefix="demo-selftest-")
        self.addCleanup(shutil.rmtree, self.folder)
        lab = os.path.join(self.folder, "tests", "lab")
        os.makedirs(lab)
        for name in ("examples", "tools", "lab"):
            os.symlink(os.path.join(BUILD, name),
                       os.path.join(self.folder, name))
        for name in ("lab-init", "guest-agent", "guest-host"):
            os.symlink(os.path.join(BUILD, "tests/lab", name),
                       os.path.join(lab, name))
        fake = os.path.join(lab, "lab-minivmm")
        with open(fake, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nexec python3 -B {os.path.abspath(__file__)}"
                       " --fake \"$@\"\n")
        os.chmod(fake, 0o755)
        self.scratch = os.path.join(self.folder, "tmp")
        os.mkdir(self.scratch)
        self.words = [SCRIPT, "--built", self.folder]

    def environment(self, wrong):
        return os.environ | {WRONG: wrong, "TMPDIR": self.scratch}

    def auto(self, wrong):
        done = subprocess.run(
            self.words + ["--auto"], env=self.environment(wrong), check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", timeout=300)
        return done.returncode, done.stdout

    def test_all_is_well(self):
        status, text = self.auto("")
        self.assertEqual(status, 0, text)
        self.assertIn("were right at every step", text)
        self.assertEqual(os.listdir(self.scratch), [])
        for name in ("demo.trace", "demo.svg"):
            self.assertTrue(os.path.exists(os.path.join(self.folder, name)))
        self.assertFalse(os.path.exists(os.path.join(self.folder,
                                                     "demo.monitor")))

    def test_memory_that_is_not_given_back_is_wrong(self):
        status, text = self.auto("resident")
        self.assertEqual(status, 1, text)
        self.assertIn("bytes are resident, not 0 to 0", text)

    def test_a_guest_that_has_something_else_is_wrong(self):
        status, text = self.auto("total")
        self.assertEqual(status, 1, text)
        self.assertIn("WRONG: the guest has", text)

    def test_contents_that_have_changed_are_wrong(self):
        status, text = self.auto("contents")
        self.assertEqual(status, 1, text)
        self.assertIn("byte 0 has changed", text)

    def test_a_guest_that_ends_is_wrong(self):
        status, text = self.auto("ends")
        self.assertEqual(status, 1, text)

    def test_whoever_types_ends_it(self):
        for end in (b"quit\n", b"\x03", None):
            with self.subTest(end=end):
                self.converse(end)

    def ctl(self, *command):
        return subprocess.run(self.words + ["--ctl", *command], check=False,
                              stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT, timeout=60)

    def converse(self, end):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(self.words, env=self.environment(""),
                                   stdin=theirs, stdout=theirs, stderr=theirs,
                                   start_new_session=True, preexec_fn=take_tty)
        os.close(theirs)
        self.said = ""
        self.until(ours, "it uses nothing")
        self.assertIn("--ctl", self.said)
        self.assertEqual(self.ctl("resize", "vmem0", "64M").returncode, 0)
        self.until(ours, "vmem0: 64 MiB plugged")
        os.write(ours, b"use 10\n")
        self.until(ours, "it uses 10 MiB")
        os.write(ours, b"eat 10\n")
        self.until(ours, "there are: use MIB")
        if end:
            os.write(ours, end)
        else:
            self.ctl("quit")
        self.until(ours, "its picture")
        self.assertEqual(process.wait(60), 0, self.said)
        os.close(ours)
        self.assertEqual(self.ctl("help").returncode, 1)
        self.assertEqual(os.listdir(self.scratch), [])

    def until(self, fd, text):
        deadline = time.monotonic() + 60
        while text not in self.said:
            self.assertLess(time.monotonic(), deadline, self.said)
            if select.select([fd], [], [], 1)[0]:
                try:
                    self.said += os.read(fd, 65536).decode(errors="replace")
                except OSError:
                    self.fail("it has ended: " + self.said[-2000:])


def take_tty():
    """So that Ctrl-C is a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


if sys.argv[1] == "--fake":
    FakeVmm(sys.argv[2:]).run()
    sys.exit(0)
if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    print("SKIP: no /dev/kvm: a machine would be emulated")
    sys.exit(77)
SCRIPT, BUILD, *ONLY = sys.argv[1:]
unittest.main(argv=[sys.argv[0], "-v"] + ONLY)
