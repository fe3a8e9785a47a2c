// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the program of a given name, and the library.

use core::ffi::CStr;

use crate::list::{NoMemory, Text};

/// The search path if PATH is not set, as in execvp(3).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// Whether a file can be executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Executable,
    /// It exists, but may not be executed.
    Denied,
    Absent,
}

/// The file that is executed for `name`: a name with a slash is a path, any other name is searched for
/// in the directories of `path`. As in execvp(3), files that may not be executed are skipped, and are
/// the result only if there is no other.
pub fn program(name: &[u8], path: Option<&[u8]>, access: impl Fn(&CStr) -> Access) -> Result<Option<Text>, NoMemory> {
    if name.is_empty() {
        return Ok(None);
    }
    if name.contains(&b'/') {
        let found = Text::new(&[name])?;
        return Ok((access(found.c_str()) != Access::Absent).then_some(found));
    }
    let mut denied = None;
    for directory in path.unwrap_or(DEFAULT_PATH).split(|&byte| byte == b':') {
        let found = Text::new(&[if directory.is_empty() { b"." } else { directory }, b"/", name])?;
        match access(found.c_str()) {
            Access::Executable => return Ok(Some(found)),
            Access::Denied => denied = denied.or(Some(found)),
            Access::Absent => {}
        }
    }
    Ok(denied)
}

/// The directory that a path is in.
pub fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&byte| byte == b'/').and_then(|slash| path.get(..slash)).unwrap_or(b"")
}

/// The directories in which to look for the library, in this order, for an executable in `root`/bin.
/// `layout` is the file that `make install` wrote: PREFIX and LIBDIR, one line each. If the tree was
/// moved, the library has kept its place relative to PREFIX.
pub fn library_directories(root: &[u8], layout: Option<&[u8]>) -> Result<[Option<Text>; 2], NoMemory> {
    let mut lines = layout.unwrap_or(b"").split(|&byte| byte == b'\n');
    let (Some(prefix), Some(libdir @ [_, ..])) = (lines.next(), lines.next()) else {
        return Ok([Some(Text::new(&[root, b"/lib"])?), None]);
    };
    let below = libdir.strip_prefix(prefix).filter(|rest| rest.starts_with(b"/"));
    let beside = below.map(|rest| Text::new(&[root, rest])).transpose()?;
    let installed = Text::new(&[libdir])?;
    Ok(match beside {
        Some(beside) if beside.bytes() != libdir => [Some(beside), Some(installed)],
        _ => [Some(installed), None],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str, path: Option<&str>, there: &[&str]) -> Option<String> {
        let access = |path: &CStr| match path.to_str().unwrap() {
            denied if denied.starts_with("/denied") => Access::Denied,
            path if there.contains(&path) => Access::Executable,
            _ => Access::Absent,
        };
        let found = program(name.as_bytes(), path.map(str::as_bytes), access).unwrap();
        found.map(|text| String::from_utf8(text.bytes().to_vec()).unwrap())
    }

    #[test]
    fn the_first_match_in_path_is_used() {
        let there = ["/b/ls", "/c/ls", "./here"];
        assert_eq!(find("ls", Some("/a:/b:/c"), &there).unwrap(), "/b/ls");
        assert_eq!(find("here", Some("/a::/c"), &there).unwrap(), "./here");
        assert_eq!(find("here", Some("/a:"), &there).unwrap(), "./here");
        assert_eq!(find("here", Some(""), &there).unwrap(), "./here");
        assert_eq!(find("here", Some("/a:/b"), &there), None);
        assert_eq!(find("sh", None, &["/bin/sh"]).unwrap(), "/bin/sh");
    }

    #[test]
    fn files_that_may_not_be_executed_are_a_last_resort() {
        assert_eq!(find("ls", Some("/a:/denied1:/denied2:/b"), &["/b/ls"]).unwrap(), "/b/ls");
        assert_eq!(find("ls", Some("/a:/denied1:/denied2:/b"), &[]).unwrap(), "/denied1/ls");
        assert_eq!(find("/denied/ls", Some("/b"), &["/b/ls"]).unwrap(), "/denied/ls");
    }

    #[test]
    fn an_empty_name_is_not_found() {
        assert_eq!(find("", Some("/denied:/b"), &["/b/"]), None);
    }

    #[test]
    fn a_name_with_a_slash_is_a_path() {
        assert_eq!(find("./here", Some("/b"), &["./here"]).unwrap(), "./here");
        assert_eq!(find("a/ls", Some("/b"), &["/b/a/ls"]), None);
    }

    #[test]
    fn the_parent_of_a_path_is_found() {
        assert_eq!(parent(b"/usr/bin/sysbpf-run"), b"/usr/bin");
        assert_eq!(parent(b"/bin"), b"");
        assert_eq!(parent(b"name"), b"");
    }

    fn directories(root: &str, layout: Option<&str>) -> Vec<String> {
        let places = library_directories(root.as_bytes(), layout.map(str::as_bytes)).unwrap();
        places.iter().flatten().map(|text| String::from_utf8(text.bytes().to_vec()).unwrap()).collect()
    }

    #[test]
    fn the_library_is_beside_the_executable_or_where_it_was_installed() {
        let multiarch = Some("/usr\n/usr/lib/x86_64-linux-gnu\n");
        assert_eq!(directories("/usr", multiarch), ["/usr/lib/x86_64-linux-gnu"]);
        assert_eq!(directories("/moved", multiarch), ["/moved/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"]);
        assert_eq!(directories("/a b", Some("/p q\n/p q/lib\n")), ["/a b/lib", "/p q/lib"]);
    }

    #[test]
    fn a_library_outside_the_prefix_is_searched_only_there() {
        assert_eq!(directories("/opt", Some("/opt\n/usr/lib64\n")), ["/usr/lib64"]);
        assert_eq!(directories("/opt", Some("/usr\n/usrlocal/lib\n")), ["/usrlocal/lib"]);
    }

    #[test]
    fn without_a_layout_the_default_is_used() {
        for layout in [None, Some(""), Some("/usr"), Some("/usr\n"), Some("/usr\n\n")] {
            assert_eq!(directories("/opt", layout), ["/opt/lib"]);
        }
    }
}
