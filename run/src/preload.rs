// SPDX-License-Identifier: MIT OR Apache-2.0
//! Adds the library to the environment, and changes nothing else in it.

use crate::list::{NoMemory, Text};

/// The variables that make the dynamic linker preload the library.
pub struct Preload<'a> {
    /// For LD_PRELOAD.
    name: &'a [u8],
    /// For LD_LIBRARY_PATH, if the name is not a path.
    directory: Option<&'a [u8]>,
}

/// The name of the variable, with the `=`.
pub const LD_PRELOAD: &[u8] = b"LD_PRELOAD=";
/// The name of the variable, with the `=`.
pub const LD_LIBRARY_PATH: &[u8] = b"LD_LIBRARY_PATH=";

impl<'a> Preload<'a> {
    /// LD_PRELOAD is split at colons and spaces, and a dollar sign can start a token such as
    /// `$ORIGIN`. A directory whose path has spaces is therefore added to LD_LIBRARY_PATH, which is
    /// split at colons and semicolons. The error explains why neither variable can be used.
    pub fn new(directory: &'a [u8], soname: &'a [u8], path: &'a [u8]) -> Result<Self, &'static [u8]> {
        let has = |byte: u8| path.contains(&byte);
        if has(b':') || has(b'$') {
            Err(b"the dynamic linker gives ':' and '$' a meaning of their own")
        } else if !has(b' ') {
            Ok(Self { name: path, directory: None })
        } else if has(b';') {
            Err(b"its path has both ' ' and ';' in it")
        } else {
            Ok(Self { name: soname, directory: Some(directory) })
        }
    }

    /// The variables to set, each with the value it gets if it is not set yet.
    pub fn variables(&self) -> impl Iterator<Item = (&'static [u8], &'a [u8])> {
        let path = self.directory.map(|directory| (LD_LIBRARY_PATH, directory));
        core::iter::once((LD_PRELOAD, self.name)).chain(path)
    }

    /// The new text of an environment entry, if it changes. Every entry of a variable that occurs more
    /// than once is changed: some dynamic linkers use the first, others the last.
    pub fn change(&self, entry: &[u8]) -> Result<Option<Text>, NoMemory> {
        if let Some(old) = entry.strip_prefix(LD_PRELOAD) {
            // The existing libraries stay first: tracers and sanitizers may have to be.
            if old.split(|&byte| byte == b':' || byte == b' ').any(|name| name == self.name) {
                return Ok(None);
            }
            let colon: &[u8] = if old.is_empty() { b"" } else { b":" };
            return Text::new(&[LD_PRELOAD, old, colon, self.name]).map(Some);
        }
        if let (Some(old), Some(directory)) = (entry.strip_prefix(LD_LIBRARY_PATH), self.directory) {
            if old.split(|&byte| byte == b':' || byte == b';').next() == Some(directory) {
                return Ok(None);
            }
            let colon: &[u8] = if old.is_empty() { b"" } else { b":" };
            return Text::new(&[LD_LIBRARY_PATH, directory, colon, old]).map(Some);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SONAME: &[u8] = b"libsysbpf.so.1";

    fn changed(directory: &str, entry: &str) -> Option<String> {
        let path = format!("{directory}/libsysbpf.so.1");
        let preload = Preload::new(directory.as_bytes(), SONAME, path.as_bytes()).ok().unwrap();
        let text = preload.change(entry.as_bytes()).unwrap()?;
        Some(String::from_utf8(text.bytes().to_vec()).unwrap())
    }

    #[test]
    fn libraries_already_preloaded_stay_in_front() {
        let change = |entry| changed("/usr/lib", entry);
        assert_eq!(change("LD_PRELOAD=").unwrap(), "LD_PRELOAD=/usr/lib/libsysbpf.so.1");
        assert_eq!(change("LD_PRELOAD=libasan.so").unwrap(), "LD_PRELOAD=libasan.so:/usr/lib/libsysbpf.so.1");
        assert_eq!(change("LD_PRELOAD=a b:c").unwrap(), "LD_PRELOAD=a b:c:/usr/lib/libsysbpf.so.1");
    }

    #[test]
    fn a_library_already_listed_is_not_added_again() {
        for entry in ["LD_PRELOAD=/usr/lib/libsysbpf.so.1", "LD_PRELOAD=a /usr/lib/libsysbpf.so.1:b"] {
            assert_eq!(changed("/usr/lib", entry), None);
        }
        assert!(changed("/usr/lib", "LD_PRELOAD=/usr/lib/libsysbpf.so.10").is_some());
        assert_eq!(changed("/a b", "LD_PRELOAD=libsysbpf.so.1"), None);
        assert_eq!(changed("/a b", "LD_LIBRARY_PATH=/a b:/c"), None);
    }

    #[test]
    fn a_directory_with_spaces_goes_to_the_library_path() {
        assert_eq!(changed("/a b", "LD_PRELOAD=x").unwrap(), "LD_PRELOAD=x:libsysbpf.so.1");
        assert_eq!(changed("/a b", "LD_LIBRARY_PATH=").unwrap(), "LD_LIBRARY_PATH=/a b");
        assert_eq!(changed("/a b", "LD_LIBRARY_PATH=/c:/a b").unwrap(), "LD_LIBRARY_PATH=/a b:/c:/a b");
    }

    #[test]
    fn other_entries_are_unchanged() {
        for entry in ["", "LD_PRELOAD", "LD_PRELOADED=x", "ld_preload=x", "LD_LIBRARY_PATH=/x y", "a.b=1", "\u{e4}"] {
            assert_eq!(changed("/usr/lib", entry), None, "{entry}");
        }
    }

    #[test]
    fn paths_that_cannot_be_written_are_rejected() {
        for path in ["/a:b/l", "/a$b/l", "/a b;c/l"] {
            assert!(Preload::new(b"", SONAME, path.as_bytes()).is_err(), "{path}");
        }
        for path in ["/a;b/l", "/a b/l"] {
            assert!(Preload::new(b"", SONAME, path.as_bytes()).is_ok(), "{path}");
        }
    }
}
