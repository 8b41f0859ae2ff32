#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""--help, the manual pages and the completion say the same, and are well made.

usage: test_help.py VMEMCTL FOLDER MAP

FOLDER has what the build made of tools/help/commands.py; MAP is the list of the
library's functions.
"""

import os
import re
import shutil
import subprocess
import sys
import unittest

VMEMCTL = ""
FOLDER = ""
MAP = ""


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def manual(name):
    return os.path.join(FOLDER, name)


def output(*args):
    return subprocess.run([VMEMCTL, *args], stdout=subprocess.PIPE, text=True,
                          timeout=60, check=True,
                          stdin=subprocess.DEVNULL).stdout


def commands():
    """Names, as vmemctl --help lists them."""
    listed = re.search(r"(?ms)^Commands:\n(.*?)\n\n", output("--help"))[1]
    return [line.split()[0] for line in listed.splitlines()]


def options(command):
    """{long: short or ""} that --help of a command shows."""
    found = {}
    for letter, name in re.findall(
            r"(?m)^  (?:-(\w), )?--([\w-]+)", output(command, "--help")):
        found[name] = letter
    return found


def complete(*words):
    """What bash offers for the last of some words."""
    script = ('source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1));'
              ' _vmemctl; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, manual("vmemctl"), *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, check=True)
    assert done.stderr == "", done.stderr
    return done.stdout.split()


def section(command):
    """The part of the manual page about a command, without roff's escapes."""
    text = read(manual("vmemctl.1")).replace("\\-", "-")
    text = re.sub(r"\\f[BIR]", "", text)
    return re.search(rf"(?ms)^\.SS {command}\n(.*?)(?=^\.S[SH])", text)[1]


class TestAgreement(unittest.TestCase):
    def test_every_command_is_everywhere(self):
        names = commands()
        self.assertGreaterEqual(len(names), 3)
        self.assertEqual(complete("vmemctl", ""),
                         names + ["--help", "--version"])
        self.assertEqual(
            re.findall(r"(?m)^\.SS (\w+)$", read(manual("vmemctl.1"))), names)
        for name in names:
            self.assertIn(f"vmemctl {name}", read(manual("vmem.7")))

    def test_every_option_is_everywhere(self):
        for command in commands():
            found = options(command)
            self.assertIn("help", found)
            self.assertGreater(len(found), 2)
            self.assertEqual(set(complete("vmemctl", command, "--")),
                             {"--" + name for name in found})
            text = section(command)
            in_manual = dict(
                (name, letter) for letter, name in
                re.findall(r"(?m)^(?:-(\w), )?--([\w-]+)", text))
            del found["help"]
            self.assertEqual(in_manual, found, command)

    def test_texts_are_the_same(self):
        flat = " ".join(read(manual("vmemctl.1")).replace("\\-", "-")
                        .replace("\\(aq", "'").split())
        for command in commands():
            for text in re.findall(r"(?m)^  (?:-\w, )?--[\w=.,:+-]+ +(\S.*)$",
                                   output(command, "--help")):
                if text != "Show help options":
                    self.assertIn(" ".join(text.split()), flat)

    def test_every_function_is_in_the_manual_of_the_library(self):
        names = set(re.findall(r"\b(vmem_\w+);", read(MAP)))
        self.assertGreater(len(names), 50)
        listed = re.findall(r"(?m)^\\fB(vmem_\w+)\\fR\(\)$",
                            read(manual("vmem.7")))
        self.assertEqual(sorted(names), sorted(listed))


class TestCompletion(unittest.TestCase):
    def test_values_are_offered(self):
        self.assertEqual(complete("vmemctl", "sim", "--guest", "lin"),
                         ["linux", "linux-bbm"])
        self.assertEqual(complete("vmemctl", "sim", "--guest", "=", "w"),
                         ["windows"])
        self.assertEqual(complete("vmemctl", "replay", "-b", "f"), ["file:"])
        self.assertIn("anon", complete("vmemctl", "replay", "--backing", "="))
        self.assertEqual(complete("vmemctl", "sim", "--seed", ""), [])

    def test_files_are_offered_where_they_are_taken(self):
        folder = FOLDER + "/"
        for words in (["replay"], ["replay", "--touch"],
                      ["sim", "--trace"]):
            self.assertIn(folder + "vmem.7",
                          complete("vmemctl", *words, folder))
        self.assertEqual(complete("vmemctl", "sim", folder), [])
        self.assertEqual(complete("vmemctl", "replay", "--backing", folder),
                         [])
        self.assertEqual(complete("vmemctl", "explode", ""), [])


class TestForm(unittest.TestCase):
    PAGES = ("vmemctl.1", "vmem.7")

    def need(self, tool):
        if shutil.which(tool) is None:
            self.skipTest(f"{tool} is not installed")

    def said(self, *args):
        done = subprocess.run(args, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60,
                              check=False, env=dict(os.environ, LC_ALL="C"))
        return done.stdout

    def test_groff_has_nothing_to_say(self):
        self.need("groff")
        for page in self.PAGES:
            self.assertEqual(
                self.said("groff", "-man", "-ww", "-z", manual(page)), "")

    def test_mandoc_has_nothing_to_say(self):
        self.need("mandoc")
        for page in self.PAGES:
            # A page without a date is the same whenever it is built.
            lines = [line for line in
                     self.said("mandoc", "-Tlint", manual(page)).splitlines()
                     if "missing date" not in line]
            self.assertEqual(lines, [])

    def test_man_finds_names(self):
        for page, name in zip(self.PAGES, ("vmemctl", "vmem")):
            text = read(manual(page))
            self.assertRegex(text, rf"\.SH NAME\n{name} \\- \w")
            self.assertTrue(text.isascii())
            # No bare minus sign: it would be copied as a hyphen.
            self.assertNotRegex(text, r"(?m)^[^.].*(?<!\\)-")

    def test_help_fits_a_terminal_but_for_the_options(self):
        for command in commands():
            for line in output(command, "--help").splitlines():
                if not line.startswith("  -"):
                    self.assertLessEqual(len(line), 78, line)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    VMEMCTL, FOLDER, MAP = sys.argv[1:4]
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)
