//! Where the reference comes from: libbpf 1.7.0, built from the source that the `libbpf-sys` package
//! carries. Cargo fetches and checks the package (it is in the lock file, though never compiled);
//! libbpf's own makefile builds it. Nothing of it becomes part of what is shipped.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGE: &str = "libbpf-sys";

pub struct Reference {
    pub library: PathBuf,
    /// Holds `bpf/bpf.h`.
    pub headers: PathBuf,
    /// Holds the `linux/bpf.h` of the same time.
    pub uapi: PathBuf,
}

/// The reference, built if it is not there yet.
///
/// # Errors
/// What is missing, in words for the user.
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
        return Ok(reference);
    }
    let manifest = metadata["packages"]
        .as_array()
        .and_then(|all| all.iter().find(|p| p["name"] == PACKAGE))
        .and_then(|p| p["manifest_path"].as_str())
        .ok_or(format!("cargo did not fetch {PACKAGE}"))?;
    let source = Path::new(manifest).parent().expect("a file has a parent").join("libbpf");
    fs::create_dir_all(tree.join("obj")).map_err(|e| format!("{}: {e}", tree.display()))?;
    eprintln!("conformance: building the reference from {PACKAGE}'s source (once)");
    // make takes a space in a name for the end of it: the tree has a name without, for a while.
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
        Err(format!("the reference does not build (it needs cc, make, libelf-dev, zlib1g-dev): {first}"))
    };
    make(&["install"])?;
    make(&["install_uapi_headers"])?;
    if !reference.library.exists() {
        return Err(format!("the reference was built, but {} is not there", reference.library.display()));
    }
    fs::write(tree.join("complete"), "").map_err(|e| format!("{}: {e}", tree.display()))?;
    Ok(reference)
}

/// A symbolic link that is removed when it is not needed any more.
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
        // Nothing is lost if it stays.
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
        return Err(format!("cargo could not fetch {PACKAGE}: {}", said.lines().next().unwrap_or("no message")));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
}
