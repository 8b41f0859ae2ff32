#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""vmemctl probe: measures what there is, claims nothing else, leaves no trace.

usage: test_probe.py VMEMCTL
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

VMEMCTL = ""

MIB = 1 << 20
MEASURED = ["size", "nr_rounds", "populate_ns_per_block",
            "populate_ns_per_gib", "discard_ns_per_block",
            "discard_ns_per_gib", "discard_empty_ns_per_gib", "populated",
            "left", "huge", "method"]


def run(*args, code=0):
    done = subprocess.run([VMEMCTL, "probe", *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=200, check=False)
    if done.returncode != code:
        raise AssertionError(f"probe {' '.join(args)} exits with "
                             f"{done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout, done.stderr


def read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return None


def settings():
    """What a probe must not change."""
    paths = (glob.glob("/sys/kernel/mm/transparent_hugepage/*enabled")
             + ["/sys/kernel/mm/transparent_hugepage/defrag"]
             + glob.glob("/sys/kernel/mm/hugepages/*/nr_*hugepages")
             + glob.glob("/proc/sys/vm/*_ratio")
             + ["/proc/sys/vm/nr_hugepages", "/proc/sys/vm/overcommit_memory"])
    return {path: read(path) for path in paths}


class TestProbe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="vmemctl-probe-", dir="/var/tmp")
        # Somebody else may change a setting meanwhile, but not every time.
        for _ in range(3):
            cls.before = settings()
            out, err = run("--size", "8M", "--file", cls.folder + "/ram",
                           "--json")
            cls.after = settings()
            if cls.before == cls.after:
                break
        cls.left = os.listdir(cls.folder)
        assert err == "", err
        cls.answer = json.loads(out)
        cls.rows = {(row["name"], row["pages"], row["page_size"]): row
                    for row in cls.answer["backings"]}

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_every_kind_of_memory_is_there(self):
        names = [(row["name"], row["pages"])
                 for row in self.answer["backings"]]
        for name in "anon", "anon-shared", "memfd":
            for pages in "base", "thp":
                self.assertEqual(names.count((name, pages)), 1)
        self.assertEqual(names.count(("file", "base")), 1)
        pools = glob.glob("/sys/kernel/mm/hugepages/hugepages-*")
        self.assertEqual(names.count(("hugetlb", "hugetlb")),
                         max(1, len(pools)))
        self.assertEqual(len(self.rows), len(names))
        self.assertEqual(self.answer["size"], 8 * MIB)
        self.assertEqual(self.answer["page_size"], os.sysconf("SC_PAGESIZE"))

    def test_what_was_not_measured_has_a_reason_and_nothing_else(self):
        for row in self.answer["backings"]:
            for name in MEASURED:
                self.assertIn(name, row)
                self.assertEqual(row[name] is None, row["reason"] is not None,
                                 row)
            if row["reason"] is not None:
                self.assertGreater(len(row["reason"]), 10)

    def test_ordinary_memory_is_measured(self):
        for name in "anon", "anon-shared", "memfd":
            row, = [row for row in self.answer["backings"]
                    if (row["name"], row["pages"]) == (name, "base")]
            if row["reason"] is not None:
                # Only a machine that gives huge pages whatever is asked.
                self.assertIn("huge pages all the same", row["reason"])
                continue
            self.assertEqual(row["size"], 8 * MIB)
            self.assertEqual(row["huge"], 0)

    def test_measured_numbers_are_possible(self):
        measured = [row for row in self.answer["backings"]
                    if row["reason"] is None]
        self.assertGreater(len(measured), 0)
        for row in measured:
            self.assertEqual(row["left"], 0)
            # A file system allocates when and in what units it likes.
            if row["name"] != "file":
                self.assertEqual(row["populated"], row["size"])
            self.assertLessEqual(row["size"], 8 * MIB)
            self.assertLessEqual(1, row["nr_rounds"])
            self.assertLessEqual(row["nr_rounds"], 5)
            for name in MEASURED[2:7]:
                self.assertGreater(row[name], 0)
            # A second for a block is no measurement of memory.
            self.assertLess(row["populate_ns_per_block"], 10**9)
            # Nothing is found faster than something is freed.
            self.assertLess(row["discard_empty_ns_per_gib"],
                            row["populate_ns_per_gib"])
            if row["pages"] == "thp":
                self.assertGreater(row["huge"], 0)
        methods = {(row["name"], row["method"]) for row in measured}
        for name, method in methods:
            self.assertIn(method, {"anon": ["page-tables"],
                                   "anon-shared": ["mincore"],
                                   "memfd": ["st-blocks"],
                                   "file": ["st-blocks"],
                                   "hugetlb": ["st-blocks"],
                                   "hugetlb-anon": ["page-tables"]}[name])

    def test_huge_pages_are_claimed_only_where_they_are(self):
        thp = "/sys/kernel/mm/transparent_hugepage/"
        for name, file in (("anon", "enabled"), ("memfd", "shmem_enabled"),
                           ("anon-shared", "shmem_enabled")):
            row, = [row for row in self.answer["backings"]
                    if (row["name"], row["pages"]) == (name, "thp")]
            setting = read(thp + file)
            if setting is None or "[never]" in setting:
                self.assertIsNotNone(row["reason"])
            else:
                self.assertTrue(row["reason"] is not None or row["huge"] > 0)

    def test_nothing_is_left_behind(self):
        self.assertEqual(self.before, self.after)
        self.assertEqual(self.left, [])

    def test_the_table_says_the_same_with_units(self):
        out, err = run("--size", "4M")
        self.assertEqual(err, "")
        lines = out.splitlines()
        self.assertIn("4 MiB at a time", lines[0])
        self.assertIn(read("/proc/sys/kernel/osrelease").strip(), lines[0])
        self.assertIn("us/2 MiB", out)
        self.assertIn("ms/GiB", out)
        table = lines[4:-2]
        self.assertEqual([line.split()[0] for line in table],
                         [row["name"] for row in self.answer["backings"]])
        for line in table:
            if re.search(r"- \(.+\)$", line):
                self.assertNotRegex(line[22:72], r"\d", line)
            else:
                self.assertRegex(line, r"^[\w-]+ +\d+ \wiB( +\d+\.\d){4} +"
                                 r"\d+\.\d{3}  [\d.]+ MiB of [\d.]+ MiB "
                                 r"\((page-tables|mincore|st-blocks)\)")
        self.assertTrue(table[-1].endswith("- (no --file was given)"))

    def test_refusals(self):
        precious = os.path.join(self.folder, "precious")
        with open(precious, "w", encoding="ascii") as file:
            file.write("data")
        for args, code in ((["--size", "0"], 2), (["--size", "3M"], 2),
                           (["--size", "x"], 2), (["file"], 2),
                           (["--file", precious], 2),
                           (["--file", self.folder + "/no/such"], 3),
                           (["--size", "1024T"], 3)):
            out, err = run(*args, code=code)
            self.assertEqual(out, "")
            self.assertTrue(err.startswith("vmemctl: "), err)
        self.assertEqual(read(precious), "data")
        os.unlink(precious)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    VMEMCTL = sys.argv[1]
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
