#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Build the Rust crates against what is installed, run tests and examples; their
documentation has no warnings and their form is rustfmt's, where that is there. They
do not build against a libvmem whose interface may be another one.

Usage: crates.py BUILD BINDINGS

BUILD is installed into BUILD/rust/root, where pkg-config finds it; cargo builds in
BUILD/rust/target, without network. What an example prints is in NAME.out beside it.
"""

import os
import re
import shutil
import subprocess
import sys

SKIP = 77


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False,
                          **options)
    if done.returncode != 0:
        print(done.stdout, end="")
        sys.exit(f"exit status {done.returncode}: {' '.join(command)}")
    return done.stdout


def has(program):
    """One that is there may still be a front end without a toolchain."""
    try:
        return subprocess.run([program, "--version"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL,
                              check=False).returncode == 0
    except FileNotFoundError:
        return False


def install(build, root):
    shutil.rmtree(root, ignore_errors=True)
    run(["meson", "install", "-C", build, "--no-rebuild", "--quiet",
         "--destdir", root])
    for folder, _, files in os.walk(root):
        if "vmem.pc" in files:
            libraries = [os.path.dirname(folder)]
            libraries += filter(None, [os.environ.get("LD_LIBRARY_PATH")])
            return {**os.environ, "PKG_CONFIG_SYSROOT_DIR": root,
                    "PKG_CONFIG_PATH": folder,
                    "LD_LIBRARY_PATH": ":".join(libraries)}
    return sys.exit("no vmem.pc was installed")


def refused(bindings, env, target, scratch):
    """They build against a later patch version only; what was wrong, a line each."""
    with open(os.path.join(env["PKG_CONFIG_PATH"], "vmem.pc"),
              encoding="utf-8") as file:
        text = file.read()
    version = re.search(r"^Version: (.*)$", text, re.M).group(1)
    major, minor, patch = (int(number) for number in version.split("."))
    breaks = f"0.{minor + 1}" if major == 0 else f"{major + 1}"
    words = (f"vmem-sys {version} needs libvmem {version} or later, but before "
             f"{breaks}; pkg-config finds ")
    cases = [(f"{major}.{minor}.{patch + 1}", None),
             (f"{breaks}.0", words + f"{breaks}.0\n"),
             ("0.0.9", words + "0.0.9\n"),
             (None, "set PKG_CONFIG_PATH to the folder of libvmem's vmem.pc\n")]
    problems = []
    folder = os.path.join(scratch, "pkgconfig")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    faked = os.path.join(folder, "vmem.pc")
    for found, sentence in cases:
        if found is None:
            os.remove(faked)
        else:
            with open(faked, "w", encoding="utf-8") as file:
                file.write(text.replace(f"\nVersion: {version}\n",
                                        f"\nVersion: {found}\n"))
        done = subprocess.run(
            ["cargo", "build", "--offline", "--locked", "-p", "vmem-sys",
             "--target-dir", target], cwd=bindings,
            env={**env, "PKG_CONFIG_PATH": folder, "PKG_CONFIG_LIBDIR": folder},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
        if (done.returncode == 0) != (sentence is None) or \
                (sentence or "") not in done.stdout:
            problems.append(f"with libvmem {found} cargo said:\n{done.stdout}")
    return problems, len(cases)


def listing(folder):
    """Every file and when it was written."""
    found = {}
    for path, _, files in os.walk(folder):
        for name in files:
            full = os.path.join(path, name)
            found[full] = os.stat(full).st_mtime_ns
    return found


def sources(bindings):
    """Each file that rustfmt does not find through another."""
    found = []
    for folder, _, files in os.walk(bindings):
        found += [os.path.join(folder, name) for name in files
                  if name.endswith(".rs") and
                  (name == "lib.rs" or os.path.basename(folder) != "src")]
    return sorted(found)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for program in ("rustc", "cargo"):
        if not has(program):
            print(f"SKIP: there is no {program} that runs")
            sys.exit(SKIP)
    build, bindings = (os.path.abspath(path) for path in sys.argv[1:])
    top = os.path.join(build, "rust")
    before = listing(bindings)
    env = install(build, os.path.join(top, "root"))
    env.update(RUSTFLAGS="-Dwarnings", CARGO_TERM_COLOR="never")
    # The registry is not needed, nor is anybody's configuration of it.
    env["CARGO_HOME"] = os.path.join(top, "home")
    target = os.path.join(top, "target")
    common = ["--offline", "--locked", "--workspace", "--target-dir", target]
    run(["cargo", "build", "--examples", *common], cwd=bindings, env=env)
    run(["cargo", "doc", "--no-deps", *common], cwd=bindings,
        env={**env, "RUSTDOCFLAGS": "-Dwarnings"})
    words = run(["cargo", "test", *common], cwd=bindings, env=env)
    passed = words.count(" ... ok\n")
    if passed == 0:
        print(words)
        sys.exit("no test ran")

    problems, nr_versions = refused(bindings, env, target, top)
    failures = len(problems)
    print("\n".join(problems))
    if has("rustfmt"):
        done = subprocess.run(
            ["rustfmt", "--check", *sources(bindings)], cwd=bindings,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
        if done.returncode != 0:
            print(f"rustfmt would write something else:\n{done.stdout}")
            failures += 1
    examples = os.path.join(bindings, "vmem", "examples")
    names = sorted(name.removesuffix(".rs") for name in os.listdir(examples)
                   if name.endswith(".rs"))
    for name in names:
        words = run([os.path.join(target, "debug", "examples", name)], env=env)
        with open(os.path.join(examples, name + ".out"),
                  encoding="utf-8") as file:
            if words != file.read():
                print(f"{name} prints something else:\n{words}")
                failures += 1
    if listing(bindings) != before:
        print("files among the sources were written")
        failures += 1
    print(f"{passed} tests passed, {len(names)} examples ran, {nr_versions} "
          f"versions of libvmem judged, {failures} problem(s)")
    sys.exit(1 if failures or not names else 0)


main()
