#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What is asked of the scripts in the wrong way is refused with one sentence, before
anything is written or deleted.

usage: test_scripts.py ROOT
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = ""


def script(name, *args, **options):
    done = subprocess.run([os.path.join(ROOT, "scripts", name), *args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60,
                          check=False, **options)
    return done.returncode, done.stdout, done.stderr


class Scripts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="scripts-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, *names):
        with open(self.path(*names), "w", encoding="utf-8") as file:
            file.write("mine\n")

    def refused(self, status, words, name, *args):
        got, out, said = script(name, *args)
        self.assertEqual((got, out), (status, ""), said)
        self.assertIn(words, said)
        self.assertEqual(said.count("\n"), 1, said)

    def test_packages_go_into_no_folder_with_something_else(self):
        # What looks like a package of this script may go, what only begins so may not.
        for name in ("notes", "libvmem", "libvmem_notes.txt",
                     "libvmem_0.1.0.orig.tar.xz.asc", ".hidden"):
            with self.subTest(name=name):
                os.makedirs(self.path("out"))
                self.write("out", "libvmem-dev_0.1.0-1_amd64.deb")
                self.write("out", name)
                self.refused(1, f"out has {name} in it", "package.sh",
                             self.path("out"))
                self.assertEqual(sorted(os.listdir(self.path("out"))), sorted(
                    [name, "libvmem-dev_0.1.0-1_amd64.deb"]))
                shutil.rmtree(self.path("out"))
        os.makedirs(self.path("out", "libvmem_0.1.0.tar.xz"))
        self.refused(1, "out has libvmem_0.1.0.tar.xz in it", "package.sh",
                     self.path("out"))

    def test_the_demo_wants_a_build_that_has_it(self):
        for args in (["--built"], ["--built", ""], ["--auto", "--built"]):
            with self.subTest(args=args):
                self.refused(2, "--built needs the build directory",
                             "demo-guest.sh", *args)
        for args in (["--built", self.path("none"), "--auto"],
                     ["--built", self.path("none")],
                     ["--auto", "--built", self.folder]):
            with self.subTest(args=args):
                self.refused(1, "has no tests/lab/guest-host", "demo-guest.sh",
                             *args)
                self.assertEqual(os.listdir(self.folder), [])
        self.refused(1, "no guest of demo-guest.sh runs in", "demo-guest.sh",
                     "--built", self.folder, "--ctl", "help")

    def test_a_build_with_the_network_is_a_skip(self):
        """As a kernel without network namespaces for everybody has it."""
        for status in (0, 1):
            self.write("unshare")
            with open(self.path("unshare"), "w", encoding="utf-8") as file:
                file.write(f"#!/bin/sh\nexit {status}\n")
            os.chmod(self.path("unshare"), 0o755)
            done = subprocess.run(
                ["bash", "-c", '. "$0"; echo "${#offline[@]} words"',
                 os.path.join(ROOT, "scripts", "dist.sh")],
                env={**os.environ,
                     "PATH": f"{self.folder}:{os.environ['PATH']}"},
                stdout=subprocess.PIPE, text=True, timeout=60, check=True)
            self.assertIn(f"{0 if status else 3} words", done.stdout)
            self.assertEqual(done.stdout.startswith("SKIP: "), status == 1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ROOT = sys.argv.pop()
    unittest.main(verbosity=2)
