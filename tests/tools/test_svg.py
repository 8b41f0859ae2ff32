#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The pictures of --svg: form, values, bounds, and that those of the docs are new.

usage: test_svg.py VMEMCTL ROOT
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

VMEMCTL = ""
ROOT = ""

MIB = 1 << 20
NAMESPACE = "{http://www.w3.org/2000/svg}"
CURVES = ["plugged", "requested", "resident", "retained"]
HEADER = "# vmem-trace 1\n"


def trace(name):
    return os.path.join(ROOT, "tests/data/traces", name + "_61.trace")


def numbers(path):
    """The absolute y coordinates that a curve visits."""
    return [float(y) for y in re.findall(r"V([\d.]+)", path.get("d"))]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vmemctl-svg-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def run_json(self, *args, code=0):
        done = subprocess.run([VMEMCTL, args[0], "--json", *args[1:]],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=300, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout)

    def draw(self, *args, code=0):
        """(what the command says, the picture's root, its text)."""
        path = os.path.join(self.folder, "p.svg")
        answer = self.run_json(*args, "--svg", path, code=code)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertNotIn("http", text.replace(NAMESPACE.strip("{}"), "", 1))
        self.assertNotRegex(text, r"href|<script|<style|@import|<image")
        self.assertNotRegex(text, r"\bnan\b|\binf\b")
        root = xml.fromstring(text)
        self.check_frame(root)
        return answer, root, text

    def check_frame(self, root):
        """Everything is inside, and there is what must be in every picture."""
        width, height = float(root.get("width")), float(root.get("height"))
        self.assertEqual(root.get("viewBox"), f"0 0 {width:.0f} {height:.0f}")
        background = root.find(NAMESPACE + "rect")
        self.assertEqual(background.get("fill"), "#ffffff")
        self.assertEqual(float(background.get("width")), width)
        found = {path.get("id"): path
                 for path in root.iter(NAMESPACE + "path") if path.get("id")}
        self.assertEqual(sorted(found), CURVES)
        dashes = [path.get("stroke-dasharray") for path in found.values()]
        self.assertEqual(len(set(dashes)), len(CURVES))
        self.assertEqual(len({path.get("stroke") for path in found.values()}),
                         len(CURVES))
        for path in found.values():
            for y in numbers(path):
                self.assertTrue(104 <= y <= 334, y)
        for text in root.iter(NAMESPACE + "text"):
            self.assertTrue(0 <= float(text.get("x")) <= width)
            self.assertTrue(0 <= float(text.get("y")) <= height)
        texts = self.texts(root)
        for word in CURVES:
            self.assertIn(word, texts)
        self.assertTrue(any(text.startswith("memory (") for text in texts))
        self.assertTrue(any(re.match(r".*time.* \(\w+\)$", text)
                            for text in texts))

    def texts(self, root):
        return [text.text for text in root.iter(NAMESPACE + "text")]

    def description(self, root):
        return root.find(NAMESPACE + "desc").text


class TestPicture(Case):
    def test_values_are_those_of_the_run(self):
        for name in "basic_movable", "frag_kernel", "two_nodes":
            answer, root, _ = self.draw("replay", "--touch", trace(name))
            one, = answer["traces"]
            said = self.description(root)
            self.assertIn(f"{one['nr_requests']} requests", said)
            self.assertIn(f"resident {one['peak_resident']},", said)
            self.assertIn(f"plugged {one['plugged']}, resident "
                          f"{one['resident']}, retained 0.", said)
            self.assertEqual(self.texts(root)[0], name + "_61.trace")
            self.assertEqual(root.find(NAMESPACE + "title").text,
                             name + "_61.trace")
            for i, device in enumerate(one["devices"]):
                self.assertTrue(any(text.startswith(device["name"] + ": ")
                                    for text in self.texts(root)))
                self.assertIsNotNone(
                    root.find(f".//{NAMESPACE}g[@id='map-{i}']"))

    def test_curves_end_where_the_run_ends(self):
        answer, root, _ = self.draw("replay", "--touch", trace("frag_kernel"))
        one, = answer["traces"]
        self.assertEqual(one["plugged"], one["resident"])
        plugged = root.find(f".//{NAMESPACE}path[@id='plugged']")
        resident = root.find(f".//{NAMESPACE}path[@id='resident']")
        # 0 at the bottom, the peak ten pixels below the top.
        expected = 334 - 220 * one["plugged"] / one["peak_resident"]
        for path in plugged, resident:
            self.assertAlmostEqual(numbers(path)[-1], expected, delta=0.06)
            self.assertAlmostEqual(min(numbers(path)), 114, delta=0.06)
        # What was requested had ended at 0.
        requested = root.find(f".//{NAMESPACE}path[@id='requested']")
        self.assertAlmostEqual(numbers(requested)[-1], 334, delta=0.06)

    def test_untouched_memory_is_not_resident(self):
        _, root, _ = self.draw("replay", trace("basic_movable"))
        resident = root.find(f".//{NAMESPACE}path[@id='resident']")
        self.assertEqual(numbers(resident), [])
        self.assertIn("nothing is written", self.description(root))

    def test_the_map_shows_what_is_plugged(self):
        path = os.path.join(self.folder, "t.trace")
        with open(path, "w", encoding="utf-8") as file:
            file.write(HEADER + "device vmem0 addr=0x100000000 "
                       "region_size=16777216 block_size=2097152 node=0 "
                       "requested_size=16777216 usable=extent:16777216\n"
                       "0 vmem0 plug 0x100400000 1 ack\n"
                       "50 vmem0 plug 0x100600000 2 ack\n"
                       "100 vmem0 unplug 0x100400000 3 ack\n"
                       "end vmem0 plugged_size=0\n")
        _, root, _ = self.draw("replay", path)
        group = root.find(f".//{NAMESPACE}g[@id='map-0']")
        full = group.find(f"{NAMESPACE}path[@class='shade-4']").get("d")
        cells = re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z", full)
        self.assertEqual("".join("M{} {}h{}v{}h-{}z".format(*cell)
                                 for cell in cells), full)
        # 420 columns, 1.5 % of the time at either side; 8 rows of a block.
        found = {}
        for x, y, width, height, back in cells:
            self.assertEqual(width, back)
            found[int(y)] = (int(x), int(x) + int(width), int(height))
        self.assertEqual(sorted(found), [2, 3])
        self.assertEqual(found[2][2], 1)
        self.assertEqual(found[3][2], 2)
        for row, start, end in (2, 0, 100), (3, 50, 100):
            self.assertAlmostEqual(found[row][0],
                                   (start + 1.5) / 103 * 420, delta=1)
            self.assertAlmostEqual(found[row][1],
                                   (end + 1.5) / 103 * 420, delta=1)

    def test_busy_and_resets_are_marked(self):
        _, root, text = self.draw("replay", trace("migration_busy"))
        self.assertIn("host busy", self.texts(root))
        self.assertNotIn("reset", self.texts(root))
        # Sizes, map, legend.
        self.assertEqual(text.count('fill="url(#busy)"'), 3)
        _, root, text = self.draw("replay", trace("reboot"))
        self.assertIn("reset", self.texts(root))
        self.assertNotIn("host busy", self.texts(root))

    def test_a_simulation_is_drawn(self):
        answer, root, _ = self.draw(
            "sim", "--size", "1G", "--resize", "1G,256M,0", "--touch",
            "--pattern", "slab", "--fail", "discard:3")
        said = self.description(root)
        self.assertIn("At the end: requested 0, "
                      f"plugged {answer['plugged']}, ", said)
        peak = max(one["retained"] for one in answer["samples"])
        self.assertGreater(peak, 0)
        self.assertIn(f"resident {1024 * MIB}, retained {peak}.", said)
        self.assertIn("Simulated linux guest, pattern slab, seed 1",
                      self.texts(root))

    def test_a_run_that_differs_is_drawn_too(self):
        _, root, _ = self.draw("replay", "--fault", "skip-discard",
                               trace("size_limit"), code=1)
        resident = root.find(f".//{NAMESPACE}path[@id='resident']")
        self.assertLess(numbers(resident)[-1], 300)

    def test_refusals(self):
        path = os.path.join(self.folder, "p.svg")
        for args, code in (
                (["replay", "--svg", path, trace("reboot"), trace("kdump")], 2),
                (["replay", "--svg", path, self.folder + "/none"], 2),
                (["replay", "--svg", self.folder + "/no/such", trace("reboot")],
                 3),
                (["sim", "--size", "64M", "--resize", "64M", "--svg",
                  self.folder + "/no/such"], 3)):
            done = subprocess.run([VMEMCTL, *args], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=60,
                                  check=False)
            self.assertEqual(done.returncode, code)
            self.assertNotEqual(done.stderr, b"")
        self.assertEqual(os.listdir(self.folder), [])


class TestBounds(Case):
    def write(self, name, nr_blocks, records, plugged):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(HEADER + f"device vmem0 addr=0x100000000 "
                       f"region_size={nr_blocks * 2 * MIB} "
                       "block_size=2097152 node=0 "
                       f"requested_size={nr_blocks * 2 * MIB} "
                       "usable=region\n")
            file.writelines(records)
            file.write(f"end vmem0 plugged_size={plugged * 2 * MIB}\n")
        return path

    def test_three_requests_and_none(self):
        path = self.write("t.trace", 128, [
            "1 vmem0 plug 0x100000000 1 ack\n",
            "1 vmem0 plug 0x100200000 127 ack\n",
            "1 vmem0 unplug_all ack\n"], 0)
        _, root, text = self.draw("replay", path)
        self.assertIn("3 requests", self.description(root))
        self.assertLess(len(text), 20000)
        _, root, _ = self.draw("replay", self.write("n.trace", 1, [], 0))
        self.assertIn("0 requests", self.description(root))
        # Seconds of any size have marks that can be told apart.
        for first, last in (0, 1e-9), (0, 9e8), (9e8, 9e8 + 1):
            path = self.write("s.trace", 1, [
                f"{first:.9f} vmem0 plug 0x100000000 1 ack\n",
                f"{last:.9f} vmem0 unplug_all ack\n"], 0)
            _, root, text = self.draw("replay", path)
            self.assertLess(len(text), 20000)
            self.assertNotIn("-0", self.texts(root))

    def test_any_name_makes_well_formed_xml(self):
        path = self.write("a<b>&\"'\001\x7f\uffff\udcff.trace", 1, [], 0)
        _, root, _ = self.draw("replay", path)
        self.assertTrue(self.texts(root)[0].startswith("a<b>&\"'"))
        path = self.write("n" * 240 + ".trace", 1, [], 0)
        _, root, _ = self.draw("replay", path)
        self.assertEqual(self.texts(root)[0], "n" * 119 + "…")

    def test_many_requests_of_the_worst_kind_stay_small(self):
        # Every cell of the map differs from its neighbours, every curve jumps.
        dice = random.Random(7)
        plugged = [False] * 128
        records = []
        for i in range(300000):
            block = dice.randrange(128)
            verb = "unplug" if plugged[block] else "plug"
            plugged[block] = not plugged[block]
            records.append(f"{i / 100:.2f} vmem0 {verb} "
                           f"{0x100000000 + block * 2 * MIB:#x} 1 ack\n")
        path = self.write("t.trace", 128, records, sum(plugged))
        _, root, text = self.draw("replay", path)
        self.assertIn("300000 requests", self.description(root))
        self.assertGreater(len(text), 200000)
        self.assertLess(len(text), 1500000)


class TestDocs(Case):
    def test_the_pictures_of_the_docs_are_what_is_drawn_now(self):
        subprocess.run([os.path.join(ROOT, "scripts/pictures.sh"), VMEMCTL,
                        self.folder], timeout=300, check=True)
        kept = os.path.join(ROOT, "docs/pictures")
        names = sorted(name for name in os.listdir(kept)
                       if name.endswith(".svg"))
        self.assertEqual(names, sorted(os.listdir(self.folder)))
        self.assertGreaterEqual(len(names), 3)
        for name in names:
            texts = []
            for folder in kept, self.folder:
                with open(os.path.join(folder, name),
                          encoding="utf-8") as file:
                    texts.append(file.read())
            self.assertEqual(*texts, f"{name}: run scripts/pictures.sh")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    VMEMCTL, ROOT = os.path.abspath(sys.argv[1]), sys.argv[2]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
