#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""vmemctl as a person or a script sees it: output, exit codes, refusals.

usage: test_vmemctl.py VMEMCTL DATA

DATA is tests/data. Uses up to 1 GiB of memory at a time.
"""

import copy
import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import unittest

VMEMCTL = ""
DATA = ""

MIB = 1 << 20
HEADER = "# vmem-trace 1\n"
DEVICE = ("device vmem0 addr=0x100000000 region_size=67108864 "
          "block_size=2097152 node=0 requested_size=8388608 "
          "usable=extent:16777216\n")


def run(*args, code=0):
    """Runs vmemctl, checks what it exits with, returns (stdout, stderr)."""
    done = subprocess.run([VMEMCTL, *args], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=300, check=False)
    out = done.stdout.decode("utf-8")
    err = done.stderr.decode("utf-8")
    if done.returncode != code:
        raise AssertionError(f"vmemctl {' '.join(args)} exits with "
                             f"{done.returncode}, expected {code}\n{out}{err}")
    return out, err


def run_json(*args, code=0):
    """The same with --json; returns what it prints, parsed."""
    out, _ = run(args[0], "--json", *args[1:], code=code)
    answer = json.loads(out)
    assert answer["command"] == args[0], answer
    assert answer["exit_code"] == code, answer
    return answer


def trace(name):
    return os.path.join(DATA, "traces", name + "_61.trace")


def vectors():
    return os.path.join(DATA, "vectors", "virtio-mem-vectors.json")


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vmemctl-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def write_trace(self, records, plugged_size=0):
        return self.write("t.trace", HEADER + DEVICE + records +
                          f"end vmem0 plugged_size={plugged_size}\n")


class TestCommandLine(Case):
    def test_help_says_what_there_is_and_the_exit_codes(self):
        out, _ = run("--help")
        self.assertIn("replay", out)
        self.assertIn("sim", out)
        self.assertIn("vectors", out)
        for command in "replay", "sim", "vectors":
            out, _ = run(command, "--help")
            self.assertIn("--json", out)
            self.assertIn("Exit codes:", out)
            for number in range(4):
                self.assertRegex(out, rf"(?m)^  {number}  ")
        out, _ = run("replay", "--help")
        for word in ("--backing", "--touch", "--fault", "skip-discard",
                     "memfd", "anon", "anon-shared", "hugetlb", "file:PATH"):
            self.assertIn(word, out)

    def test_version(self):
        out, _ = run("--version")
        self.assertRegex(out, r"^vmemctl \d+\.\d+\.\d+\n$")

    def test_wrong_usage_is_2(self):
        for args in ([], ["explode"], ["replay"], ["vectors"],
                     ["replay", "--colour", "x"],
                     ["replay", "--backing", "paper", trace("size_limit")],
                     ["replay", "--backing", "file:", trace("size_limit")],
                     ["replay", "--fault", "fire", trace("size_limit")],
                     ["sim", "file"], ["sim", "--guest", "solaris"],
                     ["sim", "--pattern", "plaid"],
                     ["sim", "--size", "3X"], ["sim", "--size", "0"],
                     ["sim", "--size", "3M"], ["sim", "--block-size", "3M"],
                     ["sim", "--memory-block", "4G"],
                     ["sim", "--resize", "1G,later"],
                     ["sim", "--size", "1G", "--resize", "2G"],
                     ["sim", "--resize", "1M"],
                     ["sim", "--backing", "paper"],
                     ["sim", "--fail", "listener:0"],
                     ["sim", "--fail", "discard:"],
                     ["sim", "--fail", "busy:5-5"],
                     ["sim", "--fail", "rain"]):
            out, err = run(*args, code=2)
            self.assertEqual(out, "")
            self.assertNotEqual(err, "")


class TestReplay(Case):
    def test_every_trace_goes_as_recorded(self):
        folder = os.path.join(DATA, "traces")
        names = sorted(name for name in os.listdir(folder)
                       if name.endswith(".trace"))
        self.assertEqual(len(names), 16)
        paths = [os.path.join(folder, name) for name in names]
        for backing in ("memfd", "anon", "anon-shared",
                        f"file:{self.folder}/ram"):
            out, err = run("replay", "--backing", backing, *paths)
            self.assertEqual(err, "")
            self.assertIn("16 traces", out.splitlines()[-1])
            self.assertIn("as recorded", out.splitlines()[-1])
        self.assertEqual(os.listdir(self.folder), [])

    def test_what_is_touched_is_resident_and_then_gone(self):
        for backing in "memfd", "anon", "anon-shared":
            answer = run_json("replay", "--touch", "--backing", backing,
                              trace("size_limit"), trace("block1m"))
            self.assertTrue(answer["touch"])
            self.assertIsNone(answer["fault"])
            for one in answer["traces"]:
                self.assertTrue(one["as_recorded"])
                self.assertEqual(one["failures"], [])
                self.assertGreaterEqual(one["peak_resident"], 128 * MIB)
                self.assertEqual(one["resident"], one["plugged"])
                for sample in one["samples"]:
                    self.assertEqual(sample["resident"], sample["plugged"])
                    self.assertEqual(sample["retained"], 0)
                self.assertGreater(one["samples"][-1]["nr_discards"], 0)
                self.assertGreater(one["samples"][-1]["nr_syscalls"], 0)
                for device in one["devices"]:
                    self.assertEqual(
                        sum(n for _, n in device["plugged_blocks"]) *
                        device["block_size"], device["plugged"])

    def test_a_file_on_disk_gives_its_blocks_back(self):
        answer = run_json("replay", "--touch", "--backing",
                          f"file:{self.folder}/ram", trace("two_nodes"))
        self.assertTrue(answer["traces"][0]["as_recorded"])
        self.assertEqual(answer["traces"][0]["resident"], 0)
        self.assertGreater(answer["traces"][0]["peak_resident"], 500 * MIB)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_file_of_somebody_is_not_overwritten(self):
        path = self.write("precious", "data")
        _, err = run("replay", "--backing", f"file:{path}",
                     trace("size_limit"), code=2)
        self.assertIn("not an empty file", err)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "data")
        path = self.write("empty", "")
        run("replay", "--backing", f"file:{path}", trace("size_limit"))
        self.assertEqual(os.stat(path).st_size, 0)

    def test_skipped_discards_are_noticed(self):
        for backing in "memfd", "anon", "anon-shared":
            answer = run_json("replay", "--fault", "skip-discard",
                              "--backing", backing, trace("size_limit"),
                              code=1)
            one = answer["traces"][0]
            self.assertEqual(answer["fault"], "skip-discard")
            self.assertFalse(one["as_recorded"])
            self.assertGreater(one["resident"], one["plugged"])
            kinds = {failure["kind"] for failure in one["failures"]}
            # Still there when unplugged, and old contents when plugged again.
            self.assertEqual(kinds, {"resident", "contents"})
        out, _ = run("replay", "--fault", "skip-discard", "--touch",
                     trace("size_limit"), code=1)
        self.assertIn("should be gone", out.splitlines()[-1])

    def test_text_ends_with_a_sentence_in_mib(self):
        out, _ = run("replay", "--touch", trace("migration_busy"))
        self.assertRegex(out.splitlines()[-1],
                         r"^1 trace on memfd: \d+ MiB were plugged and "
                         r"written, \d+ MiB of them unplugged again; 0 MiB "
                         r"stay plugged and 0 MiB are resident at the end, "
                         r"\d+ MiB at the peak\. All \d+ answers were as "
                         r"recorded\.$")
        self.assertRegex(out, r"(?m)^  vmem0 \|\.+\|$")
        self.assertNotIn("\033", out)

    def test_huge_pages_are_used_or_missed(self):
        records = ("1 vmem0 plug 0x100000000 4 ack\n"
                   "2 vmem0 unplug 0x100000000 4 ack\n")
        path = self.write_trace(records)
        with open("/proc/meminfo", encoding="ascii") as file:
            values = dict(line.split(":", 1) for line in file)
        free = int(values.get("HugePages_Free", "0"))
        size = int(values.get("Hugepagesize", "0 kB").split()[0])
        if size != 2048:
            self.skipTest("the default huge page is not 2 MiB")
        if free >= 4:
            answer = run_json("replay", "--backing", "hugetlb", "--touch",
                              path)
            self.assertEqual(answer["traces"][0]["resident"], 0)
        else:
            answer = run_json("replay", "--backing", "hugetlb", path, code=3)
            self.assertEqual(answer["traces"][0]["failures"][0]["kind"],
                             "host")

    def test_an_answer_that_differs_is_1(self):
        for records, size, kind, text in (
                ("1 vmem0 plug 0x100000000 1 nack\n", 2 * MIB, "answer",
                 "plug was answered ack, recorded is nack"),
                ("1 vmem0 plug 0x100000000 5 ack\n", 0, "answer",
                 "plug was answered nack, recorded is ack"),
                ("1 vmem0 unplug 0x100000000 1 ack\n", 0, "answer",
                 "unplug was answered error, recorded is ack"),
                ("1 vmem0 state 0x100000000 1 ack:plugged\n", 0, "answer",
                 "state was answered unplugged, recorded is plugged"),
                ("1 vmem0 unplug_all busy\n", 0, "answer",
                 "unplug_all was answered ack, recorded is busy"),
                ("1 vmem0 resize 1\n", 0, "answer", "resize was refused"),
                ("1 vmem0 resize 0 refused\n", 0, "answer",
                 "resize was accepted"),
                ("1 vmem0 busy on\n1 vmem0 plug 0x100000000 1 ack\n", 0,
                 "answer", "plug was answered busy, recorded is ack"),
                ("1 vmem0 plug 0x100000000 1 ack\n", 0, "end",
                 "ends with 2097152 bytes plugged, recorded are 0")):
            path = self.write_trace(records, size)
            answer = run_json("replay", path, code=1)
            failures = answer["traces"][0]["failures"]
            self.assertTrue(any(failure["kind"] == kind and
                                text in failure["message"]
                                for failure in failures), failures)
            out, _ = run("replay", path, code=1)
            self.assertRegex(out, r"t\.trace:\d: ")

    def test_every_kind_of_record_replays(self):
        path = self.write_trace(
            "1 vmem0 plug 0x100000000 4 ack\n"
            "2 vmem0 plug 0x100800000 1 nack\n"
            "3 vmem0 plug 0x100000000 1 error\n"
            "4 vmem0 state 0x100000000 4 ack:plugged\n"
            "5 vmem0 state 0x100000000 5 ack:mixed\n"
            "6 vmem0 state 0x100800000 1 ack:unplugged\n"
            "7 vmem0 state 0x100000001 1 error\n"
            "8 vmem0 resize 3 refused\n"
            "9 vmem0 resize 67108865 refused\n"
            "10 vmem0 busy on\n"
            "11 vmem0 unplug 0x100000000 1 busy\n"
            "12 vmem0 unplug_all busy\n"
            "13 * system_reset\n"
            "14 vmem0 state 0x100000000 4 ack:plugged\n"
            "15 vmem0 busy off\n"
            "16 * driver_reset\n"
            "17 vmem0 wakeup\n"
            "18 vmem0 unplug 0x100200000 1 ack\n"
            "19 vmem0 plug 0x100200000 1 ack\n"
            "20 vmem0 unplug_all ack\n"
            "21 vmem0 plug 0x100400000 2 ack\n"
            "22 vmem0 system_reset\n"
            "23 vmem0 plug 0x100400000 1 ack\n"
            "24 vmem0 busy on\n", 2 * MIB)
        for backing in "memfd", "anon", "anon-shared":
            run("replay", "--touch", "--backing", backing, path)

    def test_a_malformed_trace_is_refused_before_anything_runs(self):
        bad = self.write_trace("1 vmem0 plug 0x100000000 1 maybe\n")
        out, err = run("replay", trace("size_limit"), bad, code=2)
        self.assertEqual(out, "")
        self.assertEqual(err, f"vmemctl: {bad}:3: not an answer to plug: "
                              '"maybe"\n')
        answer = run_json("replay", bad, code=2)
        self.assertIn(f"{bad}:3: ", answer["error"])
        _, err = run("replay", self.folder + "/none", code=2)
        self.assertIn("none", err)

    def test_a_closed_output_is_noticed(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([VMEMCTL, "replay", trace("size_limit")],
                                  stdout=full, stderr=subprocess.PIPE,
                                  timeout=300, check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn(b"cannot write", done.stderr)


class TestSim(Case):
    def sim(self, *args, code=0):
        return run_json("sim", *args, code=code)

    def answers(self, answer, kind):
        """{answer: how many} of one type of request."""
        for one in answer["requests"]:
            if one["type"] == kind:
                return one
        raise AssertionError(kind)

    def test_guests_reach_the_sizes_asked_for(self):
        for guest in "linux", "linux-bbm", "windows":
            answer = self.sim("--guest", guest)
            self.assertEqual([(one["after"], one["plugged"] >> 30)
                              for one in answer["samples"]],
                             [("resize 0", 0), ("resize 32 GiB", 32),
                              ("resize 8 GiB", 8), ("resize 48 GiB", 48),
                              ("resize 0", 0)])
            self.assertEqual(answer["failures"], [])
            self.assertEqual(answer["guest"], guest)
            self.assertEqual(answer["nr_retries"], 0)

    def test_memory_is_not_touched_unless_asked(self):
        sizes = "--size", "256M", "--resize", "256M,64M,128M,0"
        answer = self.sim(*sizes)
        self.assertEqual({one["resident"] for one in answer["samples"]}, {0})
        for backing in "memfd", "anon", "anon-shared":
            answer = self.sim("--touch", "--backing", backing, *sizes)
            self.assertEqual([one["resident"] >> 20
                              for one in answer["samples"]],
                             [256, 64, 128, 0])

    def test_what_a_load_pins_stays(self):
        answer = self.sim("--pattern", "checker", "--size", "4G",
                          "--resize", "4G,0")
        self.assertEqual(answer["plugged"], 2 << 30)
        self.assertEqual(answer["samples"][-1]["status"], "waiting")
        self.assertGreater(answer["nr_retries"], 2)
        answer = self.sim("--pattern", "pressure", "--size", "4G",
                          "--resize", "4G,0")
        self.assertEqual(answer["plugged"], 0)

    def test_the_same_seed_is_the_same_guest(self):
        def outputs(seed):
            return run("sim", "--pattern", "random", "--seed", seed)[0]

        self.assertEqual(outputs("7"), outputs("7"))
        self.assertNotEqual(outputs("7"), outputs("8"))

    def test_failures_are_survived(self):
        sizes = "--size", "1G", "--resize", "0,1G,0,1G,0"
        answer = self.sim("--fail", "listener:2", *sizes)
        self.assertEqual(self.answers(answer, "plug")["busy"], 1)
        self.assertEqual(answer["nr_retries"], 1)
        answer = self.sim("--fail", "discard:3", *sizes)
        self.assertEqual([one["retained"] >> 20 for one in answer["samples"]],
                         [0, 0, 128, 0, 0])
        answer = self.sim("--fail", "busy:15-40", *sizes)
        self.assertGreater(self.answers(answer, "unplug")["busy"], 0)
        # At once when it ends, not after the timer.
        self.assertLess(answer["samples"][2]["seconds"], 51)
        answer = self.sim("--fail", "busy:15-40", "--fail", "listener:2",
                          "--fail", "discard:3", *sizes)
        self.assertEqual(answer["plugged"], 0)

    def test_a_guest_that_cannot_get_there_is_1(self):
        # 65536 blocks do not fit the count of a request: Windows asks for 0.
        answer = self.sim("--guest", "windows", "--block-size", "1M",
                          "--resize", "64G", code=1)
        self.assertEqual(answer["samples"][0]["status"], "spinning")
        self.assertEqual(answer["failures"][0]["kind"], "size")
        out, _ = run("sim", "--memory-block", "2G", "--size", "1G",
                     "--resize", "1G", code=1)
        self.assertIn("instead of 1 GiB and is stuck", out)

    def test_reboot_kexec_and_reload(self):
        out, _ = run("sim", "--size", "1G", "--resize",
                     "256M,reboot,kexec,reload,reboot,0,reload,512M")
        self.assertIn("after reload, refused by the guest: absent", out)
        self.assertRegex(out.splitlines()[-1],
                         r"512 MiB stay plugged.*The guest found no fault\.$")

    def test_a_trace_replays_with_the_same_answers(self):
        path = os.path.join(self.folder, "sim.trace")
        for args in (["--pattern", "random", "--seed", "5"],
                     ["--guest", "windows", "--fail", "busy:3-9",
                      "--pattern", "slab"],
                     ["--guest", "linux-bbm", "--memory-block", "512M"],
                     ["--fail", "listener:3", "--fail", "discard:2",
                      "--fail", "busy:12-300", "--pattern", "scatter"]):
            sizes = ["--size", "8G", "--resize",
                     "4G,512M,reboot,8G,kexec,1G,6G,reload,reboot,0"]
            answer = self.sim("--trace", path, *sizes, *args)
            replayed = run_json("replay", path)
            one, = replayed["traces"]
            self.assertTrue(one["as_recorded"])
            self.assertEqual(one["plugged"], answer["plugged"])
            self.assertEqual(one["nr_requests"],
                             sum(one[name] for one in answer["requests"]
                                 for name in ("ack", "nack", "busy", "error")))

    def test_a_trace_that_cannot_be_written_is_3(self):
        _, err = run("sim", "--trace", self.folder + "/no/such", "--resize",
                     "1G", code=3)
        self.assertIn("no/such", err)


class TestVectors(Case):
    def test_all_vectors_pass(self):
        out, err = run("vectors", vectors())
        self.assertEqual(out, "77 passed, 0 failed\n")
        self.assertEqual(err, "")
        answer = run_json("vectors", vectors(), vectors())
        self.assertEqual(answer["passed"], 154)
        self.assertEqual(answer["failed"], 0)

    def spoil(self, change):
        """Runs a copy of the vectors in which change() spoiled one."""
        with open(vectors(), encoding="utf-8") as file:
            document = json.load(file)
        by_id = {vector["id"]: vector for vector in document["vectors"]}
        change(by_id)
        path = self.write("v.json", json.dumps(document, indent=1))
        out, _ = run("vectors", path, code=1)
        self.assertEqual(out.splitlines()[-1], "76 passed, 1 failed", out)
        self.assertEqual(len(out.splitlines()), 2, out)
        answer = run_json("vectors", path, code=1)
        failure, = answer["files"][0]["failures"]
        return failure

    def test_every_check_can_fail(self):
        def p01(member, value):
            def change(by_id):
                by_id["P01"]["steps"][0]["after"][member] = value
            return self.spoil(change)

        for member, value in (("plugged", []), ("plugged", [[1, 1]]),
                              ("plugged", [[0, 2]]),
                              ("plugged", [[0, 1], [4, 1]]),
                              ("plugged_size", 0), ("retained_size", 1),
                              ("usable_region_size", 0),
                              ("requested_size", 0),
                              ("config_notifications", 1)):
            failure = p01(member, value)
            self.assertEqual((failure["id"], failure["step"]), ("P01", 0))

        def expect(vector, step, member, value):
            def change(by_id):
                by_id[vector]["steps"][step]["expect"][member] = value
            return self.spoil(change)

        failure = expect("P01", 0, "resp", "01000000000000000000")
        self.assertEqual(failure["message"], "answer is ack, expected nack")
        failure = expect("P01", 0, "resp", "00000000000000000001")
        self.assertIn("response is 00000000000000000000", failure["message"])
        failure = expect("P01", 0, "used_len", 8)
        self.assertIn("used length is 10", failure["message"])
        failure = expect("D02", 3, "resp", "00000000000000000200")
        self.assertIn("state is plugged, expected mixed", failure["message"])
        failure = expect("M04", 0, "any_of", ["resp_error"])
        self.assertIn("none of those allowed", failure["message"])
        failure = expect("C01", 0, "features_ok", False)
        self.assertIn("features were accepted", failure["message"])
        failure = expect("C01", 1, "data", "ff" * 56)
        self.assertIn("config is ", failure["message"])

    def test_creation_that_should_be_refused_and_the_other_way_round(self):
        def make(by_id):
            by_id["C10"]["device"]["block_size"] = 2097152

        def refuse(by_id):
            by_id["P01"]["device"]["addr"] += 1

        self.assertIn("expected is a refusal", self.spoil(make)["message"])
        self.assertIn("cannot be made", self.spoil(refuse)["message"])

    def test_malformed_vectors_are_refused(self):
        with open(vectors(), encoding="utf-8") as file:
            document = json.load(file)
        step = copy.deepcopy(document)
        step["vectors"][10]["steps"][0]["op"] = "explode"
        for text, reason in (
                ("{\n\"format\": }", ":2: "),
                ("", ":1: not a JSON object"),
                (json.dumps(step, indent=1),
                 ': vector P01 step 0: unknown op "explode"')):
            path = self.write("v.json", text)
            out, err = run("vectors", vectors(), path, code=2)
            self.assertEqual(out, "")
            self.assertTrue(err.startswith(f"vmemctl: {path}:"), err)
            self.assertIn(reason, err)
            answer = run_json("vectors", path, code=2)
            self.assertIn(reason, answer["error"])
        run("vectors", self.folder + "/none", code=2)


class TestTerminal(Case):
    def test_a_terminal_gets_shades_and_a_pipe_does_not(self):
        path = self.write_trace("1 vmem0 plug 0x100000000 4 ack\n", 8 * MIB)
        master, slave = pty.openpty()
        env = dict(os.environ, LC_ALL="C.UTF-8")
        with subprocess.Popen([VMEMCTL, "replay", path], stdout=slave,
                              stderr=slave, env=env) as child:
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
        self.assertIn("████····", text.decode("utf-8"))
        out, _ = run("replay", path)
        self.assertIn("|####....", out)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    VMEMCTL, DATA = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
