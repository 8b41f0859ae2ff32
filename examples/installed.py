#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compile examples against what is installed, and compare what they print.

Usage: installed.py BUILD LANGUAGE [COMPILER...] -- EXAMPLE[:MODULE,...]...

BUILD is installed into a folder of its own; pkg-config says what to compile
with, for each MODULE or else for vmem. The compilers are as strict as they can be.
An example without an expected output of its own has that of its C twin. One that is a
folder is compiled whole, and only asked for help.
"""

import glob
import os
import shutil
import subprocess
import sys
import tempfile

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LANGUAGES = {
    "c": (".c", ["-std=c11", *STRICT]),
    "c++": (".cc", ["-std=c++17", *STRICT]),
    "rust": (".rs", ["--edition=2021", "-Dwarnings"]),
}
HERE = os.path.dirname(os.path.abspath(__file__))


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          check=False, **options)
    if done.returncode not in (0, 77):
        print(done.stdout, end="")
        sys.exit(f"exit status {done.returncode}: {' '.join(command)}")
    return done


def install(build, root):
    """Returns the environment in which pkg-config and programs find it."""
    run(["meson", "install", "-C", build, "--no-rebuild", "--quiet",
         "--destdir", root])
    env = {name: value for name, value in os.environ.items()
           if name not in ("CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH")}
    env["PKG_CONFIG_SYSROOT_DIR"] = root
    for folder, _, files in os.walk(root):
        if "vmem.pc" in files:
            env["PKG_CONFIG_PATH"] = folder
            env["LD_LIBRARY_PATH"] = os.path.dirname(folder)
            return env
    return sys.exit("no vmem.pc was installed")


def has_rust():
    """A rustc that is there may still be a front end without a toolchain."""
    return shutil.which("rustc") is not None and subprocess.run(
        ["rustc", "--version"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, check=False).returncode == 0


def flags_of(language, modules, env):
    libs = run(["pkg-config", "--libs", *modules], env=env).stdout.split()
    if language == "rust":
        return libs
    return run(["pkg-config", "--cflags", *modules], env=env).stdout.split() + libs


def compile_folder(name, command, program, flags, env):
    """As docs/guide/first-vmm.md says."""
    sources = glob.glob(os.path.join(HERE, name, "**", "*.c"), recursive=True)
    run([*command, "-D_GNU_SOURCE", "-pthread", "-o", program, *sources,
         *flags], env=env)
    done = run([program, "--help"], env=env)
    print(f"{name}: {len(sources)} files compile; {done.stdout.splitlines()[0]}")


def main():
    arguments, names = sys.argv[1:], []
    if "--" in arguments:
        names = arguments[arguments.index("--") + 1:]
        arguments = arguments[:arguments.index("--")]
    if len(arguments) < 2 or arguments[1] not in LANGUAGES or not names:
        sys.exit(__doc__)
    build, language, *compiler = arguments
    suffix, strict = LANGUAGES[language]
    if language == "rust":
        compiler = ["rustc"]
        if not has_rust():
            print("SKIP: there is no rustc")
            sys.exit(77)

    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        env = install(build, os.path.join(scratch, "root"))
        for entry in names:
            name, _, modules = entry.partition(":")
            program = os.path.join(scratch, name)
            if os.path.isdir(os.path.join(HERE, name)):
                compile_folder(name, [*compiler, *strict], program,
                               flags_of(language, ["vmem"], env), env)
                continue
            run([*compiler, *strict, "-o", program,
                 os.path.join(HERE, name + suffix),
                 *flags_of(language, (modules or "vmem").split(","), env)], env=env)
            done = run([program], env=env)
            with open(os.path.join(HERE, name + ".out"),
                      encoding="utf-8") as file:
                expected = file.read()
            if done.returncode == 77:
                verdict = "compiles; " + done.stdout.strip()
            elif done.stdout == expected:
                verdict = "as expected"
            else:
                verdict = "prints something else:\n" + done.stdout
                failures += 1
            print(f"{name}{suffix}: {verdict}")
    sys.exit(1 if failures else 0)


main()
