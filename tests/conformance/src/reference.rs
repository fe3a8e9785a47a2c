// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reference: libbpf 1.7.0, built from the source in the `libbpf-sys` package.
//!
//! Cargo downloads and verifies the package: it is in the lock file, but is never compiled. libbpf's makefile builds the
//! library. Nothing of it is distributed.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{declarations::Compiler, interface::Interface};

const PACKAGE: &str = "libbpf-sys";

pub struct Reference {
    pub library: PathBuf,
    /// Contains `bpf/bpf.h`.
    pub headers: PathBuf,
    /// Contains the `linux/bpf.h` that belongs to this release.
    pub uapi: PathBuf,
}

/// Builds the reference unless it exists.
///
/// # Errors
/// What is missing on this machine.
pub fn build() -> Result<Reference, String> {
    let metadata = metadata()?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target directory")?;
    let tree = Path::new(target).join("reference");
    let reference = Reference {
        library: tree.join("root/usr/lib/libbpf.so.1.7.0"),
        headers: tree.join("root/usr/include"),
        uapi: tree.join("root/uapi"),
    };
    if tree.join("complete").exists() {
        return reference.with_interface();
    }
    let manifest = metadata["packages"]
        .as_array()
        .and_then(|all| all.iter().find(|p| p["name"] == PACKAGE))
        .and_then(|p| p["manifest_path"].as_str())
        .ok_or(format!("cargo did not download {PACKAGE}"))?;
    let source = Path::new(manifest).parent().expect("a file has a parent").join("libbpf");
    fs::create_dir_all(tree.join("obj")).map_err(|e| format!("{}: {e}", tree.display()))?;
    eprintln!("conformance: building the reference, once, from the source in {PACKAGE}");
    // make splits names at spaces: during the build the tree has a name without any.
    let name = Name::new(&tree)?;
    let make = |what: &[&str]| {
        let output = Command::new("make")
            .args(["-s", "-C"])
            .arg(source.join("src"))
            .arg(format!("OBJDIR={}", name.0.join("obj").display()))
            .arg(format!("DESTDIR={}", name.0.join("root").display()))
            .args(["PREFIX=/usr", "LIBDIR=/usr/lib", "UAPIDIR=/uapi"])
            .args(what)
            .output()
            .map_err(|e| format!("make: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().find(|l| l.contains("error")).or(said.lines().last()).unwrap_or("no message");
        Err(format!("cannot build the reference (this requires cc, make, libelf-dev, zlib1g-dev): {first}"))
    };
    make(&["install"])?;
    make(&["install_uapi_headers"])?;
    if !reference.library.exists() {
        return Err(format!("the reference was built, but {} does not exist", reference.library.display()));
    }
    fs::write(tree.join("complete"), "").map_err(|e| format!("{}: {e}", tree.display()))?;
    reference.with_interface()
}

impl Reference {
    /// Makes the file that lists what the headers declare.
    fn with_interface(self) -> Result<Reference, String> {
        Interface::keep(&self.library, &Compiler::new(&self.headers, &self.uapi, "interface")?)?;
        Ok(self)
    }
}

/// A symbolic link that is removed with this value.
struct Name(PathBuf);

impl Name {
    fn new(tree: &Path) -> Result<Self, String> {
        let name = env::temp_dir().join(format!("sysbpf-reference-{}", std::process::id()));
        symlink(tree, &name).map_err(|e| format!("{}: {e}", name.display()))?;
        Ok(Self(name))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // A link that remains is harmless.
        let _ = fs::remove_file(&self.0);
    }
}

fn metadata() -> Result<serde_json::Value, String> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ])
        .output()
        .map_err(|e| format!("cargo: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo cannot download {PACKAGE}: {}", said.lines().next().unwrap_or("no message")));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
}
