// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reference: the libbpf whose source is in the `libbpf-sys` package that Cargo.toml names.
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
    let package = metadata["packages"].as_array().and_then(|all| all.iter().find(|p| p["name"] == PACKAGE));
    let (version, manifest) = package
        .and_then(|p| Some((p["version"].as_str()?, p["manifest_path"].as_str()?)))
        .ok_or(format!("cargo did not download {PACKAGE}"))?;
    // The version of the package is that of libbpf; build metadata may follow.
    let release = version.split_once('+').map_or(version, |(release, _)| release);
    let tree = Path::new(target).join("reference");
    let reference = Reference {
        library: tree.join(format!("root/usr/lib/libbpf.so.{release}")),
        headers: tree.join("root/usr/include"),
        uapi: tree.join("root/uapi"),
    };
    // It contains the version, so that another one is built from scratch.
    let complete = tree.join("complete");
    if fs::read_to_string(&complete).is_ok_and(|built| built == version) {
        return reference.with_interface();
    }
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(|e| format!("{}: {e}", tree.display()))?;
    }
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
    fs::write(&complete, version).map_err(|e| format!("{}: {e}", complete.display()))?;
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
