// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds out whether the libbpf that the program would load is newer than the preloaded library. If so,
//! the program may use options that the preloaded functions do not know.

use crate::elf::Elf;

/// A version node of libbpf, such as `LIBBPF_1.7.0`. The name is the last member, so that the derived
/// order compares the numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Release<'a> {
    numbers: [u32; 3],
    pub name: &'a [u8],
}

impl<'a> Release<'a> {
    fn new(name: &'a [u8]) -> Option<Self> {
        let mut parts = name.strip_prefix(b"LIBBPF_")?.split(|&byte| byte == b'.').map(number);
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(Self { numbers, name })
    }

    /// The newest version node that a library defines.
    pub fn newest(library: &Elf<'a>) -> Option<Self> {
        library.versions().filter_map(Self::new).max()
    }

    pub fn is_newer_than(&self, other: &Release) -> bool {
        self.numbers > other.numbers
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Libraries of the compiler and the C library, which depend only on each other: a program that needs
/// no other library does not use libbpf.
const WITHOUT: [&[u8]; 12] = [
    b"libc.so.",
    b"libm.so.",
    b"libmvec.so.",
    b"libdl.so.",
    b"librt.so.",
    b"libpthread.so.",
    b"libutil.so.",
    b"libresolv.so.",
    b"libgcc_s.so.",
    b"libstdc++.so.",
    b"ld-linux",
    b"ld64.so.",
];

/// True if the program may load libbpf at startup. Otherwise the dynamic linker need not be run.
pub fn may_use_libbpf(program: &Elf) -> bool {
    program.needed().any(|name| !WITHOUT.iter().any(|prefix| name.starts_with(prefix)))
}

/// True if a dynamic linker of this name lists the libraries of a program when it is run with `--list`.
/// Those of glibc, musl and Android do; their names start like this. Another one might run the program.
pub fn lists(interpreter: &[u8]) -> bool {
    let name = interpreter.rsplit(|&byte| byte == b'/').next().unwrap_or(b"");
    interpreter.starts_with(b"/") && (name.starts_with(b"ld") || name.starts_with(b"linker"))
}

/// True if the file is in a library directory of the system: /lib, /lib/ARCH, lib32 and the like, and the
/// same below /usr. A program can name any file as its interpreter.
pub fn in_system_directory(path: &[u8]) -> bool {
    let mut parts = path.strip_prefix(b"/usr").unwrap_or(path).split(|&byte| byte == b'/');
    let start = (parts.next(), parts.next());
    let (Some(b""), Some(b"lib" | b"lib32" | b"lib64" | b"libx32" | b"libo32")) = start else { return false };
    let rest = parts.clone().count();
    (1..=2).contains(&rest) && parts.all(|part| !matches!(part, b"" | b"." | b".."))
}

/// The file of libbpf in the output of `--list`. Its lines are `NAME => FILE (ADDRESS)`, or
/// `FILE (ADDRESS)` if the program names the file itself.
pub fn libbpf(list: &[u8]) -> Option<&[u8]> {
    list.split(|&byte| byte == b'\n').find_map(|line| {
        let line = line.trim_ascii();
        let end = find(line, b" (0x")?;
        let file = line.get(..end)?;
        let (name, file) = match find(file, b" => ") {
            Some(arrow) => (file.get(..arrow)?, file.get(arrow + 4..)?),
            None => (file, file),
        };
        let name = name.rsplit(|&byte| byte == b'/').next()?;
        (name.starts_with(b"libbpf.so.") && file.starts_with(b"/")).then_some(file)
    })
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::tests::{MADE, Made};

    #[test]
    fn releases_are_compared_as_numbers() {
        let release = |name: &'static str| Release::new(name.as_bytes()).unwrap();
        assert!(release("LIBBPF_1.10.0").is_newer_than(&release("LIBBPF_1.9.0")));
        assert!(release("LIBBPF_2.0.0").is_newer_than(&release("LIBBPF_1.7.0")));
        assert!(!release("LIBBPF_1.7.0").is_newer_than(&release("LIBBPF_1.7.0")));
        assert!(!release("LIBBPF_0.8.0").is_newer_than(&release("LIBBPF_1.7.0")));
    }

    #[test]
    fn invalid_releases_are_rejected() {
        for name in ["", "LIBBPF_", "LIBBPF_1.7", "LIBBPF_1.7.0.1", "LIBBPF_1..0", "LIBBPF_1.a.0", "LIBBPF_1.-1.0"] {
            assert_eq!(Release::new(name.as_bytes()), None, "{name}");
        }
        assert_eq!(Release::new(b"LIBBPF_1.99999999999.0"), None);
        assert_eq!(Release::new(b"GLIBC_2.34.0"), None);
    }

    #[test]
    fn the_newest_release_of_a_library_is_found() {
        let newest = |versions| {
            let file = Made { versions, ..MADE }.file();
            Release::newest(&Elf::new(&file).unwrap()).map(|release| String::from_utf8_lossy(release.name).into_owned())
        };
        assert_eq!(newest(&["libbpf.so.1", "LIBBPF_1.10.0", "LIBBPF_1.9.0", "OWN_3.0.0"]).unwrap(), "LIBBPF_1.10.0");
        assert_eq!(newest(&["libbpf.so.1"]), None);
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn programs_that_need_only_the_c_library_do_not_use_libbpf() {
        let may_use = |needed| may_use_libbpf(&Elf::new(&Made { needed, ..MADE }.file()).unwrap());
        assert!(!may_use(&[]));
        assert!(!may_use(&["libm.so.6", "libstdc++.so.6", "libc.so.6", "ld-linux-x86-64.so.2"]));
        assert!(may_use(&["libbpf.so.1", "libc.so.6"]));
        assert!(may_use(&["libc.so.6", "libxdp.so.1"]));
    }

    #[test]
    fn dynamic_linkers_that_can_list_libraries_are_recognised() {
        for name in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-i386.so.1", "/lib/ld64.so.1", "/system/bin/linker64"]
        {
            assert!(lists(name.as_bytes()), "{name}");
        }
        for name in ["", "ld.so", "/bin/sh", "/ld.so/x"] {
            assert!(!lists(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn system_directories_are_recognised() {
        for path in ["/lib/ld.so", "/lib64/ld.so", "/usr/lib/ld.so", "/usr/lib/x86_64-linux-gnu/ld.so", "/libx32/ld.so"]
        {
            assert!(in_system_directory(path.as_bytes()), "{path}");
        }
        for path in [
            "",
            "/",
            "/lib",
            "/lib/",
            "/lib//",
            "lib/ld.so",
            "/tmp/ld.so",
            "/tmp/lib/ld.so",
            "/library/ld.so",
            "/usrlib/ld.so",
            "/usr/local/lib/ld.so",
            "/lib/../ld.so",
            "/lib/../tmp/ld.so",
            "/lib/a/b/ld.so",
        ] {
            assert!(!in_system_directory(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn libbpf_is_found_in_the_list_of_a_dynamic_linker() {
        let list = b"\tlinux-vdso.so.1 (0x00007ffd)\n\tlibbpf.so.1 => /a b/libbpf.so.1 (0x00007f)\n\
            \tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(libbpf(list), Some(&b"/a b/libbpf.so.1"[..]));
        assert_eq!(libbpf(b"\t/opt/libbpf.so.1 (0x1)\n"), Some(&b"/opt/libbpf.so.1"[..]));
        for none in [
            "",
            "\n",
            "libbpf.so.1 => not found\n",
            "\tlibbpf.so.1 (0x1)\n",
            "\tlibsysbpf.so.1 => /lib/libsysbpf.so.1 (0x1)\n",
            "libbpf.so.1 => /lib/libbpf.so.1",
        ] {
            assert_eq!(libbpf(none.as_bytes()), None, "{none}");
        }
    }
}
