#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""scripts/demo-guest.sh: a guest in minivmm, somebody at a second terminal who
grows and shrinks it, and a map of its blocks.

Runs "guest-host ... demo" by the lab's runner: on this machine's /dev/kvm if that
runs Linux, else in an emulated machine, whose virtio ports lead to what is a socket
here. Exit status: 0, 1 if something is wrong, 77 if there can be no guest here.
"""

import argparse
import json
import os
import queue
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20
DEVICE = "vmem0"
BOOT_S = 600
SETTLE_S = 180
ONLINE_S = 30
ANSWER_S = 200
END_S = 60
MACHINE = ["--kvm", "--memory", "1536", "--cpus", "2"]

# What a port of the emulated machine is called there, by the socket's name here.
# QEMU serves one program at a time on each: one is for the second terminal.
PORTS = {"monitor": "monitor1", "map": "monitor2", "agent": "agent"}


class Wrong(Exception):
    """Something is not as it should be."""


class Unavailable(Exception):
    """There can be no guest here."""


class Machine:
    """The lab's runner, and where to reach what runs in it."""

    def __init__(self, options, folder):
        self.folder = folder
        self.said = []
        self.is_direct = False
        self.sockets = None
        self.ready = threading.Event()
        words = [sys.executable,
                 os.path.join(os.path.dirname(os.path.abspath(__file__)),
                              "lab.py"), "run", "--name", "demo",
                 "--cache", options.cache, "--logs", folder,
                 "--init", options.init, *MACHINE,
                 "--timeout", "300" if options.auto else "86400",
                 "--module", "virtio_pci", "--module", "virtio_console",
                 *[f"--qemu={word}" for word in self._ports()],
                 "--guest-init", options.agent,
                 "--guest-module", "virtio_mmio",
                 "--guest-module", "virtio_mem",
                 "--file", options.lab_minivmm + ":/bin/minivmm", "--direct",
                 "--replay", "replay=" + options.vmemctl,
                 "--expect", "boot,replay,quit",
                 "--", options.host, "/bin/minivmm", "/guest/vmlinux",
                 "/guest/initramfs", "/out/guest.trace", "demo"]
        # Ctrl-C is for us: minivmm shall end in order.
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _ports(self):
        words = ["-device", "virtio-serial-pci"]
        for number, (name, port) in enumerate(PORTS.items(), 1):
            path = os.path.join(self.folder, name)
            words += ["-chardev", f"socket,id={port},path={path},"
                      "server=on,wait=off",
                      "-device", f"virtserialport,chardev={port},name={port},"
                      f"nr={number}"]
        return words

    def _read(self):
        for line in self.process.stdout:
            text = re.sub(r"^ *[\d.]+  ", "", line.rstrip())
            self.said.append(text)
            if text.startswith("unpacking"):
                print(text, flush=True)
            elif text.startswith("/dev/kvm") or text.endswith("once more"):
                self.is_direct = "no machine is emulated" in text
                print(text, flush=True)
            elif match := re.match(r" *ready in (\S+)$", text):
                self.sockets = match.group(1)
                self.ready.set()
        self.ready.set()

    def wait_ready(self):
        self.ready.wait(BOOT_S)
        if self.sockets is None:
            self.end()
            for line in self.said:
                if line.startswith("SKIP: "):
                    raise Unavailable(line[len("SKIP: "):])
            raise Wrong("the guest did not boot:\n"
                        + "\n".join(self.said[-20:]))

    def path(self, name):
        """Of a socket."""
        if self.is_direct:
            return os.path.join(self.sockets, name.replace("map", "monitor"))
        return os.path.join(self.folder, name)

    def has_ended(self):
        return self.process.poll() is not None

    def end(self):
        """minivmm was told to quit; what the runner thinks of it."""
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()
        self.reader.join()
        return self.process.returncode

    def trace(self):
        return os.path.join(self.folder, "demo", "out", "guest.trace")


class Talk:
    """A question in one line, an answer in one line."""

    def __init__(self, machine, name):
        self.machine = machine
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(machine.path(name))
        self.socket.settimeout(1)
        self.rest = b""
        self.lock = threading.Lock()

    def ask(self, text):
        with self.lock:
            return self._ask(text)

    def _ask(self, text):
        deadline = time.monotonic() + ANSWER_S
        try:
            self.socket.sendall(text.encode() + b"\n")
            while b"\n" not in self.rest:
                try:
                    data = self.socket.recv(65536)
                except TimeoutError:
                    data = None
                if data == b"" or self.machine.has_ended():
                    raise EOFError
                if time.monotonic() > deadline:
                    raise Wrong(f"no answer to \"{text}\"")
                self.rest += data or b""
        except (BrokenPipeError, ConnectionResetError) as error:
            raise EOFError from error
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode(errors="replace").strip()


class Guest:
    """What the host's monitor says, what the guest's agent says."""

    def __init__(self, machine):
        self.monitor = Talk(machine, "map")
        self.agent = Talk(machine, "agent")

    def info(self, command):
        return json.loads(self.monitor.ask("--json " + command))

    def device(self):
        return self.info(f"info virtio-mem {DEVICE}")

    def tell(self, command):
        """To the agent: the numbers of its answer."""
        answer = self.agent.ask(command)
        if not answer.startswith("@ok"):
            raise Wrong(f"guest: {command}: {answer.removeprefix('@fail ')}")
        return [int(word) for word in answer.split()[1:] if word.isdigit()]

    def total(self):
        """The guest's MemTotal, in bytes."""
        return self.tell("meminfo")[0] * 1024

    def use(self, mib):
        """Writes to that much of its memory; what of it is the device's."""
        device = self.device()
        return self.tell(f"fill {mib} {device['memaddr']} "
                         f"{device['max-size']} {device['node']}")[0]


class Map:
    """The blocks, drawn by vmemctl: it is given what minivmm's "map" says in the
    form of a trace that plugs just that."""

    def __init__(self, vmemctl, folder):
        self.vmemctl = vmemctl
        self.path = os.path.join(folder, "map.trace")

    def draw(self, device, runs):
        gpa, block = device["memaddr"], device["block-size"]
        lines = ["# vmem-trace 1",
                 f"device {DEVICE} addr={gpa} region_size={device['max-size']} "
                 f"block_size={block} node=0 requested_size="
                 f"{device['max-size']} usable=region"]
        lines += [f"0 {DEVICE} plug {gpa + run['offset']} "
                  f"{run['size'] // block} ack" for run in runs]
        lines += [f"0 {DEVICE} resize {device['requested-size']}",
                  f"end {DEVICE} plugged_size="
                  f"{sum(run['size'] for run in runs)}"]
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        width = shutil.get_terminal_size().columns
        done = subprocess.run(
            [self.vmemctl, "map", "--lines", "4", "--width",
             str(max(40, min(width, 100))), self.path],
            check=True, stdout=subprocess.PIPE, encoding="utf-8",
            errors="replace")
        return done.stdout.splitlines()[1:]


def mib(size):
    return f"{size // MIB} MiB"


class Screen:
    """The map in place, if this is a terminal, above the line of whoever types;
    else each picture below the other."""

    def __init__(self):
        self.is_terminal = sys.stdout.isatty() and sys.stdin.isatty()
        self.height = 0
        self.shown = None

    def show(self, lines):
        if lines == self.shown:
            return
        self.shown = lines
        if self.is_terminal:  # a line that goes on in the next is two
            width = shutil.get_terminal_size().columns
            lines = [line[:width - 1] for line in lines]
        text = ""
        if self.is_terminal and self.height:
            text += f"\0337\033[{self.height}A\r"
        text += "".join(line + ("\033[K\n" if self.is_terminal else "\n")
                        for line in lines)
        if self.is_terminal and self.height:
            text += "\0338"
        self.height = len(lines)
        print(text, end="", flush=True)

    def typed(self):
        """Enter has moved everything up: the next line is where the last was."""
        if self.is_terminal:
            print("\033[A\r\033[K", end="", flush=True)


class Worker(threading.Thread):
    """Asks the agent, which may take a while; the map goes on meanwhile."""

    def __init__(self, guest):
        super().__init__(daemon=True)
        self.guest = guest
        self.wanted = queue.Queue()
        self.busy = None
        self.note = ""
        self.total = guest.total()

    def run(self):
        try:
            while True:
                try:
                    words = self.wanted.get(timeout=1)
                except queue.Empty:
                    words = None
                if words:
                    self.busy = " ".join(words)
                    self._do(words)
                    self.busy = None
                self.total = self.guest.total()
        except (EOFError, OSError):
            return

    def _do(self, words):
        try:
            if words[0] == "use":
                touched = self.guest.use(int(words[1]))
                self.note = (f"it uses {words[1]} MiB, {mib(touched)} of them "
                             f"{DEVICE}'s")
            else:
                self.guest.tell("keep 0")
                self.note = "it has freed what it used"
        except Wrong as error:
            self.note = str(error)


def instructions(options, machine):
    ctl = f"{options.minivmm} --ctl {machine.path('monitor')}"
    return f"""
In a second terminal:

  {ctl} resize {DEVICE} 512M
  {ctl} info virtio-mem {DEVICE}
  {ctl} help

{options.short}Here: "use 300" makes the guest write to 300 MiB, "drop" makes it free them,
"quit" or Ctrl-C ends it.
"""


def read_typed(worker):
    """False at "quit"."""
    line = sys.stdin.readline()
    words = line.split()
    if not line or words == ["quit"]:
        return False
    if words == ["drop"] or (len(words) == 2 and words[0] == "use"
                             and words[1].isdigit() and int(words[1]) > 0):
        worker.wanted.put(words)
    elif words:
        worker.note = "there are: use MIB, drop, quit"
    return True


def watch(machine, guest, picture):
    """Until somebody ends it."""
    screen = Screen()
    worker = Worker(guest)
    worker.start()
    inputs = [sys.stdin] if sys.stdin.isatty() else []
    while not machine.has_ended():
        device = guest.device()
        runs = guest.info(f"map {DEVICE}")["plugged"]
        resize = device["resize"]
        if resize == "stalled":
            resize += f" ({device['stall']})"
        work = f"it does \"{worker.busy}\"" if worker.busy else worker.note
        screen.show(picture.draw(device, runs) + [
            f"{mib(device['resident'])} are resident here; the guest's "
            f"MemTotal is {mib(worker.total)}; resize: {resize}",
            work or "it uses nothing", ""])
        if select.select(inputs, [], [], 0.25)[0]:
            screen.typed()
            if not read_typed(worker):
                return


class Auto:
    """The same without anybody: each step is checked."""

    def __init__(self, options, machine, guest, picture):
        self.options = options
        self.machine = machine
        self.guest = guest
        self.picture = picture
        self.base = guest.total()
        self.nr_wrong = 0

    def resize(self, size):
        """As from a second terminal."""
        words = [self.options.minivmm, "--ctl", self.machine.path("monitor"),
                 "resize", DEVICE, f"{size // MIB}M" if size else "0"]
        print("\n$ minivmm --ctl SOCKET " + " ".join(words[3:]), flush=True)
        subprocess.run(words, check=True, timeout=ANSWER_S)
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            device = self.guest.device()
            if device["size"] == size and device["resize"] == "idle":
                break
            time.sleep(0.1)
        # The guest onlines what it plugged, and that takes it a moment.
        deadline = time.monotonic() + ONLINE_S
        while (self.guest.total() != self.base + size
               and time.monotonic() < deadline):
            time.sleep(0.1)

    def expect(self, is_so, text):
        if not is_so:
            self.nr_wrong += 1
            print(f"WRONG: {text}", flush=True)

    def check(self, size, least, most):
        """What is plugged, what the guest has, and what is resident, by the
        kernel's count of the memory's file."""
        device = self.guest.device()
        total = self.guest.total()
        resident = self.guest.tell("resident")[0]
        block = device["block-size"]
        runs = self.guest.info(f"map {DEVICE}")["plugged"]
        for line in self.picture.draw(device, runs):
            print(line)
        print(f"the guest's MemTotal is {mib(total)}, {mib(resident)} are "
              "resident here", flush=True)
        self.expect(device["size"] == size and
                    sum(run["size"] for run in runs) == size,
                    f"{device['size']} bytes are plugged, not {size}")
        self.expect(total == self.base + size,
                    f"the guest has {total - self.base} bytes more than "
                    f"without the device, not {size}")
        self.expect(least - block <= resident <= most + block,
                    f"{resident} bytes are resident, not {least} to {most}")

    def run(self):
        print(f"the guest's MemTotal is {mib(self.base)}")
        self.resize(512 * MIB)
        self.check(512 * MIB, 0, 0)
        print("\nthe guest writes to 300 MiB", flush=True)
        touched = self.guest.use(300)
        self.expect(touched >= 128 * MIB,
                    f"only {touched} bytes of it are {DEVICE}'s")
        self.check(512 * MIB, touched, touched)
        print("\nthe guest keeps 100 MiB of that", flush=True)
        self.guest.tell("keep 100")
        self.resize(256 * MIB)
        self.check(256 * MIB, 0, 256 * MIB)
        self.guest.tell("check")  # what had to move is what it was
        self.resize(900 * MIB)
        self.check(900 * MIB, 0, 256 * MIB)
        print("\nthe guest frees everything", flush=True)
        self.guest.tell("keep 0")
        self.resize(0)
        self.check(0, 0, 0)
        return self.nr_wrong


def draw_session(options, machine):
    """The picture of what happened, from minivmm's trace."""
    shutil.copyfile(machine.trace(), options.trace)
    done = subprocess.run(
        [options.vmemctl, "replay", "--touch", "--svg", options.svg,
         options.trace], check=False, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Wrong(done.stdout)
    print(f"\nthe session's trace is {options.trace},\n"
          f"its picture {options.svg}")


def session(options, machine):
    print("a Linux guest boots ...", flush=True)
    machine.wait_ready()
    where = "on /dev/kvm" if machine.is_direct else "in the emulated machine"
    print(f"it is up, {where}", flush=True)
    if options.running:
        tell_where(options.running, machine)
    guest = Guest(machine)
    guest.tell("online online_movable")
    picture = Map(options.vmemctl, machine.folder)
    nr_wrong = 0
    try:
        if options.auto:
            nr_wrong = Auto(options, machine, guest, picture).run()
        else:
            print(instructions(options, machine), flush=True)
            watch(machine, guest, picture)
    except (EOFError, KeyboardInterrupt):
        if options.auto:
            raise
    print("\nthe guest ends", flush=True)
    try:
        guest.info("quit")
    except (EOFError, OSError, ValueError):
        pass  # it had ended before
    if machine.end() != 0:
        raise Wrong("the end was not as it should be:\n"
                    + "\n".join(machine.said[-20:]))
    draw_session(options, machine)
    if nr_wrong:
        raise Wrong(f"{nr_wrong} things were not as they should be")
    if options.auto:
        print("grown, used, shrunk: plugged, resident and the guest's MemTotal "
              "were right at every step")


def tell_where(link, machine):
    """For --ctl of the script."""
    scratch = link + ".new"
    with open(scratch, "w", encoding="utf-8") as file:
        file.write(machine.path("monitor") + "\n")
    os.replace(scratch, link)


def parse():
    parser = argparse.ArgumentParser(prog="demo.py", description=__doc__)
    for name in ("cache", "init", "agent", "host", "lab-minivmm", "minivmm",
                 "vmemctl"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--auto", action="store_true")
    parser.add_argument("--trace", required=True, help="of the session")
    parser.add_argument("--svg", required=True, help="its picture")
    parser.add_argument("--running", help="a file that says where the monitor "
                        "is, while it is")
    parser.add_argument("--short", default="", help="one more instruction")
    return parser.parse_args()


def interrupt(_signal, _frame):
    raise KeyboardInterrupt


def main():
    options = parse()
    options.short = options.short and options.short + "\n\n"
    signal.signal(signal.SIGTERM, interrupt)
    folder = tempfile.mkdtemp(prefix="vmem-demo-")
    machine = None
    status = 1
    try:
        machine = Machine(options, folder)
        session(options, machine)
        status = 0
    except Unavailable as error:
        print(f"SKIP: {error}")
        status = 77
    except KeyboardInterrupt:
        status = 130
    except (Wrong, EOFError, OSError, subprocess.SubprocessError) as error:
        print(f"demo-guest: {error or 'the guest ended by itself'}")
    finally:
        if machine and not machine.has_ended():
            machine.process.send_signal(signal.SIGINT)
            machine.process.wait()
        if options.running and os.path.exists(options.running):
            os.remove(options.running)
        if status in (0, 77, 130):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"logs are in {folder}/demo")
    sys.exit(status)


main()
