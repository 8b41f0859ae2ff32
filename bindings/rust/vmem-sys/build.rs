// SPDX-License-Identifier: BSD-3-Clause
//! Asks pkg-config where libvmem is.
use std::process::{exit, Command};

const NEEDED: &str = "vmem >= 0.1";

fn ask(arguments: &[&str]) -> String {
    let program = std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let done = Command::new(&program).args(arguments).arg(NEEDED).output();
    match done {
        Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout).into_owned(),
        Ok(done) => {
            eprintln!("{}", String::from_utf8_lossy(&done.stderr));
            eprintln!("{program} does not find {NEEDED}: set PKG_CONFIG_PATH to its folder");
            exit(1);
        }
        Err(why) => {
            eprintln!("{program}, which says where libvmem is, does not run: {why}");
            exit(1);
        }
    }
}

fn main() {
    for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    for word in ask(&["--libs"]).split_whitespace() {
        if let Some(folder) = word.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={folder}");
        } else if let Some(library) = word.strip_prefix("-l") {
            println!("cargo:rustc-link-lib={library}");
        } else {
            println!("cargo:rustc-link-arg={word}");
        }
    }
}
