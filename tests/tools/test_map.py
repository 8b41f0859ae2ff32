#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""vmemctl map: the right shades at any width, live, in any locale.

usage: test_map.py VMEMCTL DATA
"""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unittest

VMEMCTL = ""
DATA = ""

UNICODE = "·░▒▓█"
ASCII = ".-+*#"
SIM = ["--sim", "--size", "1G", "--resize", "1G,256M", "--pattern", "slab"]


def trace(name):
    return os.path.join(DATA, "traces", name + "_61.trace")


def run(*args, code=0, locale="C"):
    done = subprocess.run([VMEMCTL, "map", *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, check=False,
                          env=dict(os.environ, LC_ALL=locale))
    if done.returncode != code:
        raise AssertionError(f"map {' '.join(args)} exits with "
                             f"{done.returncode}\n{done.stderr}")
    return done.stdout.decode("utf-8"), done.stderr.decode("utf-8")


def plugged_blocks(device):
    """One flag a block, of the device's JSON."""
    blocks = [False] * (device["region_size"] // device["block_size"])
    for first, number in device["plugged_blocks"]:
        blocks[first:first + number] = [True] * number
    return blocks


def cell(blocks, shades):
    """What a cell of these blocks must show."""
    if not any(blocks):
        return shades[0]
    if all(blocks):
        return shades[4]
    return shades[1 + sum(blocks) * 3 // len(blocks)]


class TestMap(unittest.TestCase):
    def check(self, text, devices, width, lines, shades):
        """A whole map, against the blocks that JSON says."""
        rows = text.splitlines()
        self.assertIn("requests, at second", rows.pop(0))
        self.assertIn("none", rows.pop())
        for device in devices:
            said = rows.pop(0)
            self.assertTrue(said.startswith(device["name"] + ": "))
            size, unit = re.search(r"a cell is (\d+) (\wiB)$", said).groups()
            per_cell = (int(size) * {"MiB": 1 << 20, "GiB": 1 << 30}[unit]
                        // device["block_size"])
            blocks = plugged_blocks(device)
            drawn = ""
            nr_rows = 0
            while len(drawn) * per_cell < len(blocks):
                row = rows.pop(0)
                nr_rows += 1
                self.assertLessEqual(len(row), width)
                if "|" in row:
                    address = device["gpa"] + (len(drawn) * per_cell
                                               * device["block_size"])
                    where, row, _ = row.split("|")
                    self.assertEqual(int(where, 16), address)
                drawn += row
            self.assertLessEqual(nr_rows, lines)
            self.assertEqual(drawn, "".join(
                cell(blocks[i:i + per_cell], shades)
                for i in range(0, len(blocks), per_cell)))
        self.assertEqual(rows, [])

    def test_every_width_shows_the_same_blocks(self):
        for source in ([trace("frag_kernel"), "--at", "100"],
                       [trace("two_nodes"), "--at", "60"],
                       [trace("block1m")], SIM, SIM + ["--at", "40"]):
            text, _ = run("--json", *source)
            answer = json.loads(text)
            self.assertEqual(answer["exit_code"], 0)
            for device in answer["devices"]:
                self.assertEqual(sum(plugged_blocks(device))
                                 * device["block_size"], device["plugged"])
            for width in 1, 2, 7, 16, 29, 30, 31, 80, 133, 400, 5000:
                for lines in 1, 3, 8, 100:
                    text, _ = run(*source, "--width", str(width), "--lines",
                                  str(lines))
                    self.assertTrue(text.isascii())
                    self.check(text, answer["devices"], width, lines, ASCII)

    def test_shades_follow_the_locale(self):
        source = [trace("frag_kernel"), "--at", "100", "--width", "60"]
        devices = json.loads(run("--json", *source)[0])["devices"]
        text, _ = run(*source, locale="C.UTF-8")
        self.check(text, devices, 60, 8, UNICODE)
        text, _ = run(*source, "--ascii", locale="C.UTF-8")
        self.check(text, devices, 60, 8, ASCII)
        # All kinds of cells were there to be compared.
        text, _ = run("--sim", "--size", "8G", "--resize", "8G,1G",
                      "--pattern", "slab")
        self.assertEqual(set("".join(re.findall(r"\|(.*)\|", text))),
                         set(ASCII))

    def test_the_state_is_that_after_the_request(self):
        sizes = []
        for number in 0, 1, 2, 4, 8, 9, 12, 16:
            answer = json.loads(run("--json", "--at", str(number),
                                    trace("basic_movable"))[0])
            self.assertEqual(answer["nr_requests"], number)
            sizes.append(answer["devices"][0]["plugged"] >> 20)
        # 128 MiB each, up and down.
        self.assertEqual(sizes, [0, 128, 256, 512, 1024, 896, 512, 0])
        answer = json.loads(run("--json", trace("size_limit"))[0])
        replayed = json.loads(subprocess.run(
            [VMEMCTL, "replay", "--json", trace("size_limit")],
            stdout=subprocess.PIPE, check=True, timeout=60).stdout)
        self.assertEqual(answer["devices"][0]["plugged_blocks"],
                         replayed["traces"][0]["devices"][0]["plugged_blocks"])
        self.assertEqual(answer["nr_requests"],
                         replayed["traces"][0]["nr_requests"])

    def test_what_is_not_blocks_is_said(self):
        answer = json.loads(run("--json", "--at", "12",
                                trace("migration_busy"))[0])
        text, _ = run("--at", "12", trace("migration_busy"))
        self.assertEqual(answer["devices"][0]["frozen"], "host busy" in text)
        text, _ = run("--at", "5", trace("migration_busy"))
        self.assertIn("512 MiB plugged, 128 MiB requested, 0 retained, host "
                      "busy; 2 GiB in blocks of 2 MiB", text)
        text, _ = run(*SIM, "--fail", "discard:3")
        self.assertIn("2 MiB retained", text)

    def test_following_draws_every_request(self):
        text, _ = run("--follow", "--delay", "0", trace("basic_movable"))
        numbers = [int(number) for number in
                   re.findall(r"after (\d+) requests", text)]
        self.assertEqual(sorted(set(numbers)), list(range(17)))
        self.assertEqual(numbers, sorted(numbers))
        # 16 requests, 4 sizes, the end; no control characters in a file.
        self.assertEqual(len(numbers), 21)
        self.assertNotIn("\033", text)
        text, _ = run("--follow", "--delay", "0", "--at", "3",
                      trace("basic_movable"))
        self.assertEqual(re.findall(r"after (\d+) requests", text)[-1], "3")

    def test_refusals(self):
        for args in ([], ["--sim", "file"], [trace("kdump"), trace("reboot")],
                     ["--size", "1G", trace("kdump")],
                     ["--follow", "--json", trace("kdump")],
                     ["--width", "-1", trace("kdump")],
                     ["--lines", "0", trace("kdump")],
                     ["--at", "-2", trace("kdump")],
                     ["--delay", "-1", trace("kdump")],
                     ["--at", "1000000", trace("kdump")],
                     ["--sim", "--guest", "solaris"],
                     ["--sim", "--size", "1G", "--resize", "2G"],
                     ["/no/such"]):
            out, err = run(*args, code=2)
            self.assertEqual(out, "")
            self.assertTrue(err.startswith("vmemctl: "), err)


class TestTerminal(unittest.TestCase):
    def follow(self, columns, locale, *args, rows=24):
        """What a terminal of so many columns is sent."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))
        with subprocess.Popen([VMEMCTL, "map", "--follow", "--delay", "1",
                               *args], stdout=slave, stderr=slave,
                              env=dict(os.environ, LC_ALL=locale)) as child:
            os.close(slave)
            text = b""
            while True:
                try:
                    piece = os.read(master, 65536)
                except OSError:
                    break
                if not piece:
                    break
                text += piece
            self.assertEqual(child.wait(timeout=60), 0)
        os.close(master)
        return text.decode("utf-8").replace("\r\n", "\n")

    def test_pictures_replace_each_other(self):
        for columns, locale, shades in ((40, "C.UTF-8", UNICODE),
                                        (97, "C", ASCII)):
            frames = re.split(r"\033\[(\d+)A\r\033\[J",
                              self.follow(columns, locale, *SIM))
            pictures = frames[0::2]
            self.assertGreater(len(pictures), 20)
            for picture, up in zip(pictures, frames[1::2]):
                lines = picture.split("\n")
                self.assertEqual(lines.pop(), "")
                self.assertEqual(len(lines), int(up))
                self.assertTrue(all(len(line) <= columns for line in lines))
            self.assertNotIn("\033", "".join(pictures))
            self.assertIn(shades[4] * 16, pictures[-1])

    def test_pictures_fit_the_terminal(self):
        for rows in 5, 12, 24, 200:
            frames = re.split(r"\033\[\d+A\r\033\[J",
                              self.follow(30, "C", trace("two_nodes"),
                                          "--lines", "30", rows=rows))
            heights = {frame.count("\n") for frame in frames}
            self.assertEqual(len(heights), 1)
            # Two lines of blocks and four of words there are at least; the
            # cursor is below them.
            self.assertLess(heights.pop(), max(rows, 7))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    VMEMCTL, DATA = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
