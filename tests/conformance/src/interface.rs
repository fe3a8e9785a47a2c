// SPDX-License-Identifier: MIT OR Apache-2.0
//! What libbpf 1.7.0 has: the functions and the struct members that its headers declare.
//!
//! It is read from the reference's headers when the reference is built, and kept in a file beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::declarations::{Compiler, Side, layout_program, values};

#[derive(Default)]
pub struct Interface {
    functions: BTreeSet<String>,
    /// The end of each member, in bytes from the start of the struct.
    structs: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Interface {
    /// Reads the file beside a reference library.
    ///
    /// # Errors
    /// Why the file cannot be read, and how to make it.
    pub fn of(library: &Path) -> Result<Interface, String> {
        let file = file_of(library);
        let text = fs::read_to_string(&file)
            .map_err(|e| format!("{}: {e} (`conformance reference` writes it)", file.display()))?;
        let mut interface = Interface::default();
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["function", name] => {
                    interface.functions.insert(name.into());
                }
                ["member", of, name, end] => {
                    let end = end.parse().map_err(|e| format!("{}: {line}: {e}", file.display()))?;
                    interface.structs.entry(of.into()).or_default().insert(name.into(), end);
                }
                _ => return Err(format!("{}: cannot read \"{line}\"", file.display())),
            }
        }
        if interface.functions.is_empty() || interface.structs.is_empty() {
            return Err(format!("{} names no functions or no structs", file.display()));
        }
        Ok(interface)
    }

    /// Writes the file beside a reference library, from the library's headers, unless it exists.
    ///
    /// # Errors
    /// What the compiler or the file system reports.
    pub fn keep(library: &Path, headers: &Compiler) -> Result<(), String> {
        let file = file_of(library);
        if file.exists() {
            return Ok(());
        }
        let side = headers.side()?;
        side.check_complete()?;
        let printed = headers.prints("layout", &layout_program(&side, &[]))?;
        let text = lines(&side, &values(&printed))?;
        // Another process may be reading it.
        let new = file.with_extension(format!("new-{}", std::process::id()));
        fs::write(&new, text).and_then(|()| fs::rename(&new, &file)).map_err(|e| format!("{}: {e}", file.display()))
    }

    pub fn has_function(&self, name: &str) -> bool {
        self.functions.contains(name)
    }

    pub fn has_member(&self, of: &str, name: &str) -> bool {
        self.structs.get(of).is_some_and(|members| members.contains_key(name))
    }

    /// The end of the last member of a struct; `None` if there is no such struct.
    pub fn end_of(&self, of: &str) -> Option<usize> {
        self.structs.get(of)?.values().copied().max()
    }
}

fn file_of(library: &Path) -> PathBuf {
    let mut path = library.as_os_str().to_owned();
    path.push(".interface");
    path.into()
}

fn lines(side: &Side, layout: &BTreeMap<&str, &str>) -> Result<String, String> {
    let mut text = String::new();
    for name in side.functions.keys() {
        text += &format!("function {name}\n");
    }
    for (name, members) in &side.structs {
        for member in members {
            let path = &member.path;
            let printed = layout.get(format!("struct {name}.{path}").as_str()).copied().unwrap_or_default();
            // "8, 4 bytes": offset and size.
            let numbers: Vec<usize> = printed.split([',', ' ']).filter_map(|word| word.parse().ok()).collect();
            let [at, size] = numbers[..] else { return Err(format!("the layout of struct {name}.{path} is unknown")) };
            text += &format!("member {name} {path} {}\n", at + size);
        }
    }
    Ok(text)
}
