// SPDX-License-Identifier: BSD-3-Clause
//! Asks pkg-config where libvmem is, and takes only one that keeps to these
//! declarations.
use std::path::{Path, PathBuf};
use std::process::{exit, Command};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What follows our own version without breaking its interface: until 1.0 each minor
/// version may break it, afterwards each major one, and pkg-config's name stays.
fn too_new() -> String {
    let number = |text: &str| text.parse::<u32>().expect("cargo has checked it");
    let major = number(env!("CARGO_PKG_VERSION_MAJOR"));
    match major {
        0 => format!("0.{}", number(env!("CARGO_PKG_VERSION_MINOR")) + 1),
        _ => format!("{}", major + 1),
    }
}

fn program() -> String {
    std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into())
}

/// The file that pkg-config reads; None if it does not know.
fn pc_file() -> Option<PathBuf> {
    let mut command = Command::new(program());
    // Folders of a sysroot get its name in front, also those that are outside of it.
    command.args(["--variable=pcfiledir", "vmem"]).env_remove("PKG_CONFIG_SYSROOT_DIR");
    let said = String::from_utf8(command.output().ok()?.stdout).ok()?;
    Some(Path::new(said.trim()).join("vmem.pc")).filter(|file| file.exists())
}

/// What pkg-config says, or why it says nothing.
fn ask(arguments: &[&str]) -> Result<String, String> {
    let program = program();
    match Command::new(&program).args(arguments).output() {
        Ok(done) if done.status.success() => {
            Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
        }
        Ok(done) => Err(format!(
            "{program} {} says: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&done.stderr).trim()
        )),
        Err(why) => Err(format!("{program}, which says where libvmem is, does not run: {why}")),
    }
}

fn refuse(why: &str) -> ! {
    eprintln!("{why}");
    exit(1);
}

fn main() {
    for name in ["PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let found = ask(&["--modversion", "vmem"]).unwrap_or_else(|why| {
        refuse(&format!("{why}\nset PKG_CONFIG_PATH to the folder of libvmem's vmem.pc"))
    });
    // Another version may come to the same place.
    if let Some(file) = pc_file() {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    let (oldest, end) = (format!("vmem >= {VERSION}"), format!("vmem < {}", too_new()));
    let libraries = ask(&["--libs", &oldest, &end]).unwrap_or_else(|why| {
        let wanted = format!("libvmem {VERSION} or later, but before {}", too_new());
        refuse(&format!("vmem-sys {VERSION} needs {wanted}; pkg-config finds {found}\n{why}"))
    });
    for word in libraries.split_whitespace() {
        if let Some(folder) = word.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={folder}");
        } else if let Some(library) = word.strip_prefix("-l") {
            println!("cargo:rustc-link-lib={library}");
        } else {
            println!("cargo:rustc-link-arg={word}");
        }
    }
}
