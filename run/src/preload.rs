// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the environment becomes: how the library is named in it, and nothing else.

use crate::list::{NoMemory, Text};

/// What is preloaded, as the dynamic linker is told.
pub struct Preload<'a> {
    /// For LD_PRELOAD.
    name: &'a [u8],
    /// For LD_LIBRARY_PATH, if the name alone does not say where the library is.
    directory: Option<&'a [u8]>,
}

/// A variable, with the `=`.
pub const LD_PRELOAD: &[u8] = b"LD_PRELOAD=";
/// A variable, with the `=`.
pub const LD_LIBRARY_PATH: &[u8] = b"LD_LIBRARY_PATH=";

impl<'a> Preload<'a> {
    /// LD_PRELOAD is split at colons and spaces, and a dollar sign may start a token such as
    /// `$ORIGIN`. A directory with spaces is named in LD_LIBRARY_PATH instead, which is split at
    /// colons and semicolons. The error is the reason why neither will do.
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

    /// The variables to set, each with its value if it is not set yet.
    pub fn variables(&self) -> impl Iterator<Item = (&'static [u8], &'a [u8])> {
        let path = self.directory.map(|directory| (LD_LIBRARY_PATH, directory));
        core::iter::once((LD_PRELOAD, self.name)).chain(path)
    }

    /// What an entry of the environment becomes, if it changes. Of a variable that is there
    /// several times, one dynamic linker takes the first and another the last.
    pub fn change(&self, entry: &[u8]) -> Result<Option<Text>, NoMemory> {
        if let Some(old) = entry.strip_prefix(LD_PRELOAD) {
            // What came first still does: a tracer or a sanitizer may have to.
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
    fn what_is_preloaded_already_stays_in_front() {
        let change = |entry| changed("/usr/lib", entry);
        assert_eq!(change("LD_PRELOAD=").unwrap(), "LD_PRELOAD=/usr/lib/libsysbpf.so.1");
        assert_eq!(change("LD_PRELOAD=libasan.so").unwrap(), "LD_PRELOAD=libasan.so:/usr/lib/libsysbpf.so.1");
        assert_eq!(change("LD_PRELOAD=a b:c").unwrap(), "LD_PRELOAD=a b:c:/usr/lib/libsysbpf.so.1");
    }

    #[test]
    fn within_itself_nothing_is_added() {
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
    fn every_other_entry_stays() {
        for entry in ["", "LD_PRELOAD", "LD_PRELOADED=x", "ld_preload=x", "LD_LIBRARY_PATH=/x y", "a.b=1", "\u{e4}"] {
            assert_eq!(changed("/usr/lib", entry), None, "{entry}");
        }
    }

    #[test]
    fn what_cannot_be_named_is_refused() {
        for path in ["/a:b/l", "/a$b/l", "/a b;c/l"] {
            assert!(Preload::new(b"", SONAME, path.as_bytes()).is_err(), "{path}");
        }
        for path in ["/a;b/l", "/a b/l"] {
            assert!(Preload::new(b"", SONAME, path.as_bytes()).is_ok(), "{path}");
        }
    }
}
