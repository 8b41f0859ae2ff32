#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""vmemctl plan: the numbers, for people and for programs.

usage: test_plan.py VMEMCTL
"""

import json
import subprocess
import sys
import unittest

VMEMCTL = ""

MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40


def run(*args, code=0):
    """Runs plan, checks what it exits with, returns (stdout, stderr)."""
    done = subprocess.run([VMEMCTL, "plan", *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, check=False)
    if done.returncode != code:
        raise AssertionError(f"plan {' '.join(args)} exits with "
                             f"{done.returncode}, expected {code}\n"
                             f"{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def plan(*args):
    return json.loads(run("--json", *args)[0])


class Plan(unittest.TestCase):
    def test_the_numbers_come_out(self):
        for region, worst, block in (("1T", 524288, 32 * MIB),
                                     ("4T", 2097152, 128 * MIB),
                                     ("8T", 4194304, 256 * MIB)):
            answer = plan("--region", region, "--block-size", "2M", "--limit",
                          "65535", "--requested", "4G")
            self.assertEqual(answer["fit"], "ok")
            self.assertEqual(answer["bound"], "none")
            self.assertEqual(answer["requested_mappings"], 2048)
            self.assertEqual(answer["worst_case_mappings"], worst)
            self.assertEqual(answer["recommended_block_size"], block)
            self.assertEqual(answer["requested_pinned_size"], 4 * GIB)

    def test_without_a_request_it_is_about_all_of_it(self):
        answer = plan("--region", "4T")
        self.assertEqual(answer["limit"], 65535)
        self.assertEqual(answer["block_size"], 2 * MIB)
        self.assertEqual(answer["fit"], "impossible")
        self.assertEqual(answer["bound"], "mappings")
        self.assertEqual(answer["requested_mappings"], 2097152)
        self.assertEqual(plan("--region", "4T", "--block-size",
                              "128M")["fit"], "ok")

    def test_no_limit(self):
        answer = plan("--region", "8T", "--limit", "none")
        self.assertEqual(answer["fit"], "ok")
        self.assertFalse(answer["limited"])
        self.assertNotIn("limit", answer)
        self.assertEqual(answer["recommended_block_size"], 2 * MIB)

    def test_containers_lock_on_their_own(self):
        args = ("--region", "64G", "--requested", "8G", "--pinned-limit", "24G")
        for containers, fit in (("1", "ok"), ("2", "ok"), ("3", "tight"),
                                ("4", "impossible")):
            answer = plan(*args, "--containers", containers)
            self.assertEqual(answer["fit"], fit)
            self.assertEqual(answer["requested_mappings"], 4096)
            self.assertEqual(answer["requested_pinned_size"],
                             int(containers) * 8 * GIB)
            self.assertEqual(answer["bound"],
                             "none" if fit == "ok" else "pinned")

    def test_people_get_sentences(self):
        text, _ = run("--region", "4T", "--requested", "4G")
        for words in ("4 TiB in blocks of 2 MiB", "limit          65535 mappings\n",
                      "2048 mappings, 4 GiB locked", "ok",
                      "2097152 mappings, 4 TiB locked",
                      "128 MiB would fit all of it"):
            self.assertIn(words, text)
        text, _ = run("--region", "4T", "--containers", "2")
        self.assertIn("65535 mappings for each of 2 containers\n", text)
        self.assertIn("impossible: the limit of mappings is exceeded", text)
        text, _ = run("--region", "128G", "--limit", "65536")
        self.assertIn("tight: less than 1/8 of the limit of mappings", text)
        self.assertIn("2 MiB fits all of it", text)
        text, _ = run("--region", "1G", "--limit", "0")
        self.assertIn("none fits all of it", text)
        text, _ = run("--region", "1G", "--limit", "none")
        self.assertIn("limit          no limit of mappings\n", text)
        self.assertIn("block size     2 MiB fits all of it\n", text)

    def test_locked_memory_is_not_mended_by_blocks(self):
        args = ("--region", "1T", "--pinned-limit", "1G")
        text, _ = run(*args, "--requested", "4G")
        self.assertIn("limit          1 GiB locked\n", text)
        self.assertIn("impossible: the limit of locked memory", text)
        self.assertIn("block size     none helps: locked memory is short\n",
                      text)
        answer = plan(*args, "--requested", "4G")
        self.assertEqual(answer["recommended_block_size"], 0)
        self.assertEqual(answer["pinned_limit"], GIB)
        self.assertEqual(answer["requested_size"], 4 * GIB)
        text, _ = run(*args, "--requested", "512M", "--containers", "1")
        self.assertIn("32 MiB would fit all of it, but for locked memory\n",
                      text)
        text, _ = run(*args, "--requested", "1M", "--containers", "2")
        self.assertIn("1 GiB locked by all of them\n", text)
        self.assertNotIn("pinned_limit", plan("--region", "1T"))

    def test_numbers_at_the_end(self):
        text, _ = run("--region", "8E", "--block-size", "1P", "--containers",
                      "4")
        self.assertIn("8 EiB in blocks of 1 PiB", text)
        self.assertIn("8192 mappings, more than 15 EiB locked", text)
        text, _ = run("--region", "1G", "--limit", "1")
        self.assertIn("limit          1 mapping\n", text)

    def test_refusals(self):
        for args, words in (
                ((), "plan needs --region"),
                (("--region", "many"), "--region is not a size: \"many\""),
                (("--region", "1T", "--block-size", "x"), "--block-size"),
                (("--region", "1T", "--requested", "x"), "--requested"),
                (("--region", "1T", "--pinned-limit", "x"), "--pinned-limit"),
                (("--region", "1T", "--limit", "x"), "--limit"),
                (("--region", "1T", "--limit", "9223372036854775808"),
                 "up to 9223372036854775807"),
                (("--region", "16E"), "--region is not a size"),
                (("--region", "1T", "--containers", "0"), "at least 1"),
                (("--region", "1T", "--nonsense"), "nonsense"),
                (("--region", "0"), "empty"),
                (("--region", "1T", "--block-size", "3M"), "0x300000"),
                (("--region", "1T", "--requested", "2T"), "0x20000000000")):
            _, err = run(*args, code=2)
            self.assertIn(words, err)


if __name__ == "__main__":
    VMEMCTL = sys.argv.pop(1)
    unittest.main()
