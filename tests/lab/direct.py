# SPDX-License-Identifier: BSD-3-Clause
"""A program of the lab without an emulated machine, on this one's /dev/kvm."""

import os
import subprocess
import tempfile
import threading
import time

PROBE_S = 20


class Direct:
    """The same without a machine, where /dev/kvm of this one runs Linux."""

    def __init__(self, folder, options, tell):
        self.folder = folder
        self.options = options
        self.tell = tell
        self.lines = []
        self.places = {path: source for source, path in options.file}
        # Before the probe, which leaves files there too.
        os.makedirs(os.path.join(folder, "out"), exist_ok=True)

    def place(self, word):
        if word.startswith("/out/"):
            return os.path.join(self.folder, "out", word[len("/out/"):])
        return self.places.get(word, word)

    def command(self):
        return [self.place(word) for word in self.options.command]

    def run(self):
        """What went wrong, or None."""
        start = time.monotonic()
        with (tempfile.TemporaryDirectory() as scratch,
              subprocess.Popen(self.command(), stdout=subprocess.PIPE,
                               env=os.environ | {"TMPDIR": scratch}, text=True,
                               errors="replace") as process):
            timer = threading.Timer(self.options.timeout, process.kill)
            timer.start()
            try:
                for line in process.stdout:
                    self.lines.append(line.rstrip())
                    self.tell(time.monotonic() - start, self.lines[-1])
            except KeyboardInterrupt:
                process.kill()
                raise
            finally:
                timer.cancel()  # else it holds this process for its time
        status = process.returncode
        name = "signal" if status < 0 else "status"
        self.lines.append(f"@init exit 1 {name} {abs(status)}")
        return None

    def files(self):
        return {}


def runs_linux(probe):
    """Does a probe, which boots a guest, see it within 20 s?"""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = subprocess.run(probe, stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.DEVNULL, check=False,
                                  env=os.environ | {"TMPDIR": scratch},
                                  timeout=PROBE_S)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0
