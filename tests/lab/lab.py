#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Boots a Debian kernel in an emulated machine and runs programs in it.

See tests/lab/README.md. Exit status: 0 all passed, 1 something failed, 77 the
machine cannot be had, with the reason.
"""

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys

import direct
import initramfs
import iommufd
import kernel as kernels
import machine

# What needs which modules in the machine.
IOMMU_MODULES = ["vfio-pci", "vfio_iommu_type1"]
IOMMUFD_MODULES = ["iommufd"]
KVM_MODULES = ["kvm-amd"]

# How long nothing but notes may go by unseen.
NOTES_S = 10

RESULT = re.compile(r"(PASS|FAIL|SKIP) ([\w.-]+): (.*)")


def pair(text, separator, default):
    left, _, right = text.partition(separator)
    return left, right or default


def tell_progress(name):
    """Prints each line, and shows it to whoever looks at the file that
    VMEM_PROGRESS names, while it happens: of notes one in ten seconds."""
    path = os.environ.get("VMEM_PROGRESS")
    shown = 0

    def tell(seconds, line):
        nonlocal shown
        print(f"{seconds:7.1f}  {line}", flush=True)
        is_note = line.startswith("  ") and seconds < shown + NOTES_S
        if path and not is_note:
            shown = seconds
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"    {name:<10} {seconds:6.1f} s  {line}\n")

    return tell


class Results:
    """PASS, FAIL and SKIP lines, and what is wrong besides."""

    def __init__(self):
        self.found = {}
        self.wrong = []

    def read(self, lines):
        last_failures = 0
        failures = 0
        for line in lines:
            match = RESULT.match(line)
            if match:
                verdict, name, text = match.groups()
                if name in self.found:
                    self.wrong.append(f"{name} has two results")
                self.found[name] = (verdict, text)
                failures += verdict == "FAIL"
                continue
            match = re.match(r"@init (exit (\d+) (.*)|failed .*)", line)
            if match is None:
                continue
            # A program that counted its failures may say so by its status.
            said = match.group(3)
            if said is None:
                self.wrong.append(match.group(1))
            elif said != "status 0" and (failures == last_failures
                                         or not said.startswith("status")):
                self.wrong.append(f"program {match.group(2)}: {said}")
            last_failures = failures

    def require(self, names):
        self.wrong += [f"{name} has no result" for name in names
                       if name not in self.found]

    def show(self):
        """In the form of cmocka, which scripts/summary.py counts."""
        total = len(self.found) + len(self.wrong)
        print(f"[==========] Running {total} test(s).")
        for name, (verdict, text) in self.found.items():
            print(f"[ RUN      ] {name}")
            if verdict == "PASS":
                print(f"PROVED: {text}\n[       OK ] {name}")
            elif verdict == "SKIP":
                print(f"SKIP: {text}\n[  SKIPPED ] {name}")
            else:
                print(f"{text}\n[  FAILED  ] {name}")
        for text in self.wrong:
            print(f"[ RUN      ] machine\n{text}\n[  FAILED  ] machine")
        print(f"[==========] {total} test(s) run.")
        return not self.wrong and not any(
            verdict == "FAIL" for verdict, _ in self.found.values())


def steps_of(options):
    steps = []
    if options.iommu:
        for edu in machine.EDUS:
            device = f"/sys/bus/pci/devices/{edu}/driver_override"
            steps += [["write", device, "vfio-pci"],
                      ["write", "/sys/bus/pci/drivers_probe", edu]]
    program = "/bin/" + os.path.basename(options.command[0])
    options.file.append((options.command[0], program))
    return steps + [["run", str(options.timeout), program]
                    + options.command[1:]]


def add_guest(kernel, options, folder, tell):
    """What a nested machine boots: its kernel and an initramfs, in /guest."""
    if options.guest_kernel:
        kernel = kernels.get(options.guest_kernel, options.cache, tell)
    archive = os.path.join(folder, "guest-initramfs")
    steps = [["run", str(options.timeout)] + line.split(" ")
             for line in options.guest_run]
    if options.guest_boot:
        options.guest_file.append((kernel.vmlinuz, "/boot/vmlinuz"))
    initramfs.build(archive, kernel, options.guest_init, options.guest_module,
                    options.guest_file, steps)
    options.file += [(kernel.vmlinuz, "/guest/vmlinuz"),
                     (kernel.vmlinux, "/guest/vmlinux"),
                     (archive, "/guest/initramfs")]


def make_initramfs(kernel, options, out):
    wanted = list(options.module)
    if options.iommu:
        wanted += [(name, "") for name in IOMMU_MODULES
                   if name not in dict(wanted)]
    if options.iommufd:
        wanted += [(name, "") for name in IOMMUFD_MODULES]
    if options.kvm:
        wanted += [(name, "") for name in KVM_MODULES]
    initramfs.build(out, kernel, options.init, wanted, options.file,
                    steps_of(options))


def replay(name, vmemctl, folder):
    """Recorded guests give the same answers again, on real memory."""
    traces = sorted(glob.glob(os.path.join(folder, "*.trace")))
    nr_requests = 0
    for trace in traces:
        done = subprocess.run([vmemctl, "replay", trace], check=False,
                              stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.STDOUT)
        if done.returncode != 0:
            return [f"FAIL {name}: {os.path.basename(trace)}: "
                    + " ".join(done.stdout.split())[-300:]]
        with open(trace, encoding="utf-8") as file:
            nr_requests += len(re.findall(
                r" (?:plug|unplug|unplug_all|state) .*", file.read()))
    if nr_requests == 0:
        return [f"FAIL {name}: no request was recorded"]
    return [f"PASS {name}: {nr_requests} requests of {len(traces)} traces have "
            "the same answers"]


def run_anywhere(kernel, archive, folder, options, tell):
    if options.direct:
        here = direct.Direct(folder, options, tell)
        if direct.runs_linux(here.command()[:-1] + ["probe"]):
            tell(0, "/dev/kvm runs Linux: no machine is emulated")
            return here, here.run()
        tell(0, "/dev/kvm does not run Linux: a machine is emulated")
    return machine.boot(kernel, archive, folder, options, tell)


def run_machine(kernel, options, tell):
    folder = os.path.join(options.logs, options.name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    archive = os.path.join(folder, "initramfs")
    if options.guest_init:
        add_guest(kernel, options, folder, tell)
    make_initramfs(kernel, options, archive)
    run, wrong = run_anywhere(kernel, archive, folder, options, tell)
    results = Results()
    if wrong:
        results.wrong.append(wrong)
    results.read(run.lines)
    for name, data in run.files().items():
        out = os.path.join(folder, "out")
        os.makedirs(out, exist_ok=True)
        with open(os.path.join(out, os.path.basename(name)), "wb") as file:
            file.write(data)
    if options.replay:
        results.read(replay(*options.replay, os.path.join(folder, "out")))
    results.require(options.expect)
    is_fine = results.show()
    for name in ("initramfs", "guest-initramfs"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            os.remove(path)
    if not is_fine:
        print(f"kept in {folder}: console.log, results.log, qemu.log")
        console = os.path.join(folder, "console.log")
        if os.path.exists(console):
            with open(console, encoding="utf-8", errors="replace") as file:
                print("the end of the kernel's console:")
                print("".join(file.readlines()[-15:]))
    return is_fine


def parse(arguments):
    parser = argparse.ArgumentParser(prog="lab.sh", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in (
            ("run", "boot a machine and run a program in it"),
            ("kernel", "print the folder of an unpacked kernel")):
        action = actions.add_parser(name, help=text)
        action.add_argument("--kernel", default="6.1",
                            choices=sorted(kernels.KERNELS))
        action.add_argument("--cache", required=True,
                            help="where kernels are kept")
        action.add_argument("--iommufd", action="store_true",
                            help="with iommufd, built here; 6.12 only")
        if name == "run":
            add_options(action)
            add_guest_options(action)
    return parser.parse_args(arguments)


def add_options(action):
    """Of "run"."""
    action.add_argument("--name", required=True,
                        help="of the logs and in the progress")
    action.add_argument("--logs", required=True, help="folder")
    action.add_argument("--init", required=True,
                        help="the first program, static")
    action.add_argument("--module", action="append", default=[],
                        type=lambda text: pair(text, "=", ""),
                        metavar="NAME[=PARAMETERS]")
    action.add_argument("--file", action="append", default=[],
                        type=lambda text: pair(text, ":", text),
                        metavar="SOURCE[:PATH]")
    action.add_argument("--iommu", action="store_true",
                        help="an IOMMU, edu behind it, bound to vfio-pci")
    action.add_argument("--kvm", action="store_true",
                        help="load KVM's modules")
    action.add_argument("--timeout", type=int, default=120,
                        help="seconds, for the program")
    action.add_argument("--memory", type=int, default=1024, help="MiB")
    action.add_argument("--cpus", type=int, default=1)
    action.add_argument("--append", default="",
                        help="to the kernel's command line")
    action.add_argument("--qemu", action="append", default=[],
                        help="one more word for QEMU")
    action.add_argument("--direct", action="store_true",
                        help="without a machine, if the program succeeds here "
                        "with its last argument \"probe\" within 20 s")
    action.add_argument("--replay", metavar="NAME=VMEMCTL",
                        type=lambda text: pair(text, "=", "vmemctl"),
                        help="replays each /out/*.trace here: the result NAME")
    action.add_argument("--expect", default=[],
                        type=lambda text: text.split(","),
                        help="results that there must be")
    action.add_argument("command", nargs="+", metavar="PROGRAM [ARGUMENT]",
                        help="behind --; a static program from here")


def add_guest_options(action):
    """What is in /guest of the machine."""
    action.add_argument("--guest-kernel", choices=sorted(kernels.KERNELS),
                        help="another than the machine's")
    action.add_argument("--guest-init", help="the guest's first program")
    action.add_argument("--guest-module", action="append", default=[],
                        type=lambda text: pair(text, "=", ""),
                        metavar="NAME[=PARAMETERS]")
    action.add_argument("--guest-file", action="append", default=[],
                        type=lambda text: pair(text, ":", text),
                        metavar="SOURCE[:PATH]")
    action.add_argument("--guest-boot", action="store_true",
                        help="its kernel in /boot/vmlinuz too, for kexec")
    action.add_argument("--guest-run", action="append", default=[],
                        metavar="PROGRAM [ARGUMENT]",
                        help="if its first program is the machine's")


def main():
    options = parse(sys.argv[1:])
    options.cache = os.path.abspath(options.cache)
    is_run = options.action == "run"
    tell = tell_progress(options.name) if is_run else lambda _, line: None
    try:
        kernel = kernels.get(options.kernel, options.cache, tell)
        if options.iommufd:
            kernel.add_modules(iommufd.build(kernel, options.cache, tell))
        if options.action == "kernel":
            print(kernel.folder)
        else:
            sys.exit(0 if run_machine(kernel, options, tell) else 1)
    except kernels.Unavailable as error:
        print(f"SKIP: {error}")
        sys.exit(77)


if __name__ == "__main__":
    main()
