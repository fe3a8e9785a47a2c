// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the parts of an ELF file that a loader uses. The file can have any content: every read is
//! bounds-checked, and anything that does not fit in the file counts as absent.

/// An executable or a shared library.
#[derive(Clone, Copy)]
pub struct Elf<'a> {
    file: &'a [u8],
    /// 64 bits rather than 32.
    wide: bool,
    big_endian: bool,
    machine: u64,
    segments: usize,
    segment_size: usize,
    segment_count: usize,
}

/// A part of the file, and its address in memory.
struct Segment {
    kind: u64,
    offset: usize,
    address: u64,
    size: usize,
}

const ET_EXEC: u64 = 2;
const ET_DYN: u64 = 3;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;

const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
const DT_DEPAUDIT: u64 = 0x6fff_fefb;
const DT_AUDIT: u64 = 0x6fff_fefc;
const DT_VERDEF: u64 = 0x6fff_fffc;
const DT_VERDEFNUM: u64 = 0x6fff_fffd;

impl<'a> Elf<'a> {
    /// None if the file is not an executable or a shared library.
    pub fn new(file: &'a [u8]) -> Option<Self> {
        let &[0x7f, b'E', b'L', b'F', class @ 1..=2, data @ 1..=2, ..] = file else { return None };
        let mut elf = Self {
            file,
            wide: class == 2,
            big_endian: data == 2,
            machine: 0,
            segments: 0,
            segment_size: 0,
            segment_count: 0,
        };
        if !matches!(elf.number(16, 2)?, ET_EXEC | ET_DYN) {
            return None;
        }
        elf.machine = elf.number(18, 2)?;
        elf.segments = elf.position(if elf.wide { 32 } else { 28 })?;
        let sizes = if elf.wide { 54 } else { 42 };
        elf.segment_size = elf.number(sizes, 2)?.try_into().ok()?;
        elf.segment_count = elf.number(sizes + 2, 2)?.try_into().ok()?;
        Some(elf)
    }

    /// True if both have the same class, byte order and machine, as a program and its libraries must.
    pub fn same_kind(&self, other: &Elf) -> bool {
        (self.wide, self.big_endian, self.machine) == (other.wide, other.big_endian, other.machine)
    }

    /// The path of the dynamic linker; None for a static program or a library.
    pub fn interpreter(&self) -> Option<&'a [u8]> {
        let segment = self.segments().find(|segment| segment.kind == PT_INTERP)?;
        let name = self.file.get(segment.offset..segment.offset.checked_add(segment.size)?)?;
        name.split(|&byte| byte == 0).next()
    }

    /// True if it is executed without a dynamic linker and is not one itself: a dynamic linker is a
    /// library, and has a soname.
    pub fn is_static(&self) -> bool {
        self.interpreter().is_none() && self.dynamic(DT_SONAME).next().is_none()
    }

    /// The names of the libraries that it needs.
    pub fn needed(&self) -> impl Iterator<Item = &'a [u8]> {
        self.dynamic(DT_NEEDED).map_while(|name| self.string(name))
    }

    /// True if it names an audit library, which the dynamic linker runs even with `--list`.
    pub fn is_audited(&self) -> bool {
        [DT_AUDIT, DT_DEPAUDIT].into_iter().any(|tag| self.dynamic(tag).next().is_some())
    }

    /// The names of the version nodes that it defines.
    pub fn versions(&self) -> impl Iterator<Item = &'a [u8]> {
        let count = self.dynamic(DT_VERDEFNUM).next().unwrap_or(0);
        let mut next = self.dynamic(DT_VERDEF).next().and_then(|address| self.in_file(address));
        (0..count).map_while(move |_| {
            let definition = next.take()?;
            let name = definition.checked_add(self.size(definition.checked_add(12)?)?)?;
            // Offsets only go forward, so a crafted file cannot cause an endless loop.
            let step = self.size(definition.checked_add(16)?)?;
            next = if step == 0 { None } else { definition.checked_add(step) };
            self.string(self.number(name, 4)?)
        })
    }

    fn segments(&self) -> impl Iterator<Item = Segment> {
        (0..self.segment_count).map_while(|index| {
            let at = self.segments.checked_add(index.checked_mul(self.segment_size)?)?;
            let word = if self.wide { 8 } else { 4 };
            let field = |number: usize| at.checked_add(word * number);
            Some(Segment {
                kind: self.number(at, 4)?,
                offset: self.position(field(1)?)?,
                address: self.word(field(2)?)?,
                size: self.position(field(4)?)?,
            })
        })
    }

    /// The values of a tag in the dynamic section, which ends at DT_NULL.
    fn dynamic(&self, tag: u64) -> impl Iterator<Item = u64> {
        let word = if self.wide { 8 } else { 4 };
        let section = self.segments().find(|segment| segment.kind == PT_DYNAMIC);
        let (start, count) = section.map_or((0, 0), |section| (section.offset, section.size / (2 * word)));
        (0..count)
            .map_while(move |index| {
                let at = start.checked_add(index * 2 * word)?;
                Some((self.word(at)?, self.word(at.checked_add(word)?)?))
            })
            .take_while(|&(tag, _)| tag != DT_NULL)
            .filter(move |&(found, _)| found == tag)
            .map(|(_, value)| value)
    }

    /// A string of the dynamic string table.
    fn string(&self, offset: u64) -> Option<&'a [u8]> {
        let start = self.in_file(self.dynamic(DT_STRTAB).next()?.checked_add(offset)?)?;
        let mut strings = self.file.get(start..)?.split(|&byte| byte == 0);
        strings.next()
    }

    /// The offset in the file of an address in memory.
    fn in_file(&self, address: u64) -> Option<usize> {
        self.segments().filter(|segment| segment.kind == PT_LOAD).find_map(|segment| {
            let inside = usize::try_from(address.checked_sub(segment.address)?).ok()?;
            if inside < segment.size { segment.offset.checked_add(inside) } else { None }
        })
    }

    fn word(&self, at: usize) -> Option<u64> {
        self.number(at, if self.wide { 8 } else { 4 })
    }

    /// A word that is an offset or a size in the file.
    fn position(&self, at: usize) -> Option<usize> {
        self.word(at)?.try_into().ok()
    }

    /// A distance in the file, which has four bytes in both classes.
    fn size(&self, at: usize) -> Option<usize> {
        self.number(at, 4)?.try_into().ok()
    }

    /// The number stored in `size` bytes at this offset.
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.file.get(at..at.checked_add(size)?)?;
        let append = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        Some(if self.big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An ELF file made for a test: only what a loader reads, at addresses from 0x1000.
    pub struct Made {
        pub wide: bool,
        pub big_endian: bool,
        pub interpreter: Option<&'static str>,
        pub soname: Option<&'static str>,
        pub needed: &'static [&'static str],
        pub versions: &'static [&'static str],
    }

    pub const MADE: Made =
        Made { wide: true, big_endian: false, interpreter: None, soname: None, needed: &[], versions: &[] };

    const BASE: u64 = 0x1000;

    impl Made {
        fn put(&self, to: &mut Vec<u8>, number: u64, size: usize) {
            let bytes = number.to_be_bytes()[8 - size..].to_vec();
            to.extend(if self.big_endian { bytes } else { bytes.into_iter().rev().collect() });
        }

        pub fn file(&self) -> Vec<u8> {
            let word = if self.wide { 8 } else { 4 };
            let (header, segment) = if self.wide { (64, 56) } else { (52, 32) };
            let segments = 2 + usize::from(self.interpreter.is_some());

            let mut strings = vec![0];
            let mut string = |text: &str| {
                let at = strings.len() as u64;
                strings.extend(text.as_bytes());
                strings.push(0);
                at
            };
            let mut dynamic: Vec<(u64, u64)> = self.needed.iter().map(|name| (DT_NEEDED, string(name))).collect();
            dynamic.extend(self.soname.map(|name| (DT_SONAME, string(name))));
            let mut versions = Vec::new();
            for (index, name) in self.versions.iter().enumerate() {
                for _ in 0..4 {
                    self.put(&mut versions, 1, 2);
                }
                let next = if index + 1 == self.versions.len() { 0 } else { 28 };
                for number in [0, 20, next, string(name), 0] {
                    self.put(&mut versions, number, 4);
                }
            }
            let interpreter = self.interpreter.map_or(vec![], |name| [name.as_bytes(), b"\0"].concat());

            let at_interpreter = header + segments * segment;
            let at_versions = at_interpreter + interpreter.len();
            let at_strings = at_versions + versions.len();
            let at_dynamic = at_strings + strings.len();
            dynamic.push((DT_STRTAB, BASE + at_strings as u64));
            if !self.versions.is_empty() {
                dynamic.push((DT_VERDEF, BASE + at_versions as u64));
                dynamic.push((DT_VERDEFNUM, self.versions.len() as u64));
            }
            dynamic.extend([(DT_NULL, 0), (DT_NEEDED, 1)]);
            let end = at_dynamic + dynamic.len() * 2 * word;

            let mut file = b"\x7fELF".to_vec();
            file.extend([1 + u8::from(self.wide), 1 + u8::from(self.big_endian), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            self.put(&mut file, ET_DYN, 2);
            self.put(&mut file, 62, 2);
            self.put(&mut file, 1, 4);
            for number in [0, header as u64, 0] {
                self.put(&mut file, number, word);
            }
            self.put(&mut file, 0, 4);
            for number in [header, segment, segments, 0, 0, 0] {
                self.put(&mut file, number as u64, 2);
            }
            let parts = [
                (PT_INTERP, at_interpreter, interpreter.len()),
                (PT_LOAD, 0, end),
                (PT_DYNAMIC, at_dynamic, end - at_dynamic),
            ];
            for (kind, at, size) in parts.into_iter().skip(3 - segments) {
                self.put(&mut file, kind, 4);
                if self.wide {
                    self.put(&mut file, 0, 4);
                }
                for number in [at as u64, BASE + at as u64, 0, size as u64, size as u64] {
                    self.put(&mut file, number, word);
                }
                self.put(&mut file, 0, word);
                if !self.wide {
                    self.put(&mut file, 0, 4);
                }
            }
            assert_eq!(file.len(), at_interpreter);
            file.extend(interpreter);
            file.extend(versions);
            file.extend(strings);
            for (tag, value) in dynamic {
                self.put(&mut file, tag, word);
                self.put(&mut file, value, word);
            }
            file
        }
    }

    fn names<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
        names.map(|name| core::str::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn files_of_every_class_and_byte_order_are_read() {
        for (wide, big_endian) in [(true, false), (true, true), (false, false), (false, true)] {
            let file = Made {
                wide,
                big_endian,
                interpreter: Some("/lib/ld.so.1"),
                needed: &["libbpf.so.1", "libc.so.6"],
                versions: &["libx.so", "LIBBPF_0.0.1", "LIBBPF_1.9.0"],
                ..MADE
            }
            .file();
            let elf = Elf::new(&file).unwrap();
            assert_eq!(elf.interpreter(), Some(&b"/lib/ld.so.1"[..]));
            assert_eq!(names(elf.needed()), ["libbpf.so.1", "libc.so.6"]);
            assert_eq!(names(elf.versions()), ["libx.so", "LIBBPF_0.0.1", "LIBBPF_1.9.0"]);
            assert!(!elf.is_static());
        }
    }

    #[test]
    fn a_file_without_interpreter_and_soname_is_static() {
        let is_static = |made: Made| Elf::new(&made.file()).unwrap().is_static();
        assert!(is_static(Made { ..MADE }));
        assert!(!is_static(Made { interpreter: Some("/lib/ld.so"), ..MADE }));
        // The dynamic linker itself, for which preloading works.
        assert!(!is_static(Made { soname: Some("ld-linux.so.2"), ..MADE }));
    }

    #[test]
    fn files_of_different_kinds_are_distinguished() {
        let files = [(true, false), (true, true), (false, false)]
            .map(|(wide, big_endian)| Made { wide, big_endian, ..MADE }.file());
        let kinds: Vec<_> = files.iter().map(|file| Elf::new(file).unwrap()).collect();
        assert!(kinds[0].same_kind(&kinds[0]));
        assert!(!kinds[0].same_kind(&kinds[1]));
        assert!(!kinds[0].same_kind(&kinds[2]));
    }

    #[test]
    fn other_files_are_rejected() {
        let file = Made { ..MADE }.file();
        for other in [&b""[..], b"\x7fEL", b"#!/bin/sh\nexit 0\n", &file[..17]] {
            assert!(Elf::new(other).is_none());
        }
        for (at, byte) in [(0, 0), (4, 0), (4, 3), (5, 0), (5, 3), (16, 1), (16, 4)] {
            let mut other = file.clone();
            other[at] = byte;
            assert!(Elf::new(&other).is_none(), "byte {at} is {byte}");
        }
    }

    /// Reads everything that this module can read.
    fn walk(file: &[u8]) -> usize {
        let Some(elf) = Elf::new(file) else { return 0 };
        let lengths = elf.needed().chain(elf.versions()).chain(elf.interpreter()).map(|name| name.len());
        lengths.sum::<usize>() + usize::from(elf.is_static())
    }

    fn whole(wide: bool, big_endian: bool) -> Vec<u8> {
        let (interpreter, needed, versions) = (Some("/lib/ld.so"), &["a", "b"], &["LIBBPF_0.0.1", "LIBBPF_1.0.0"]);
        Made { wide, big_endian, interpreter, needed, versions, ..MADE }.file()
    }

    #[test]
    fn a_truncated_file_is_not_read_past_its_end() {
        for file in [whole(true, false), whole(false, true)] {
            let all = walk(&file);
            for len in 0..file.len() {
                assert!(walk(&file[..len]) <= all);
            }
        }
    }

    #[test]
    fn invalid_numbers_are_not_followed() {
        for original in [whole(true, false), whole(true, true), whole(false, false), whole(false, true)] {
            for at in 0..original.len() {
                for (value, count) in [(0xff, 1), (0xff, 4), (0xff, 8), (0, 1), (0, 4), (0x7f, 8), (0x80, 1)] {
                    let mut file = original.clone();
                    file.iter_mut().skip(at).take(count).for_each(|byte| *byte = value);
                    walk(&file);
                }
            }
        }
    }

    #[test]
    fn only_versions_within_the_file_are_read() {
        let made = Made { versions: &["LIBBPF_0.0.1", "LIBBPF_1.0.0"], ..MADE };
        let file = made.file();
        let count = {
            let mut tag = Vec::new();
            made.put(&mut tag, DT_VERDEFNUM, 8);
            file.windows(8).position(|window| window == tag).unwrap() + 8
        };
        let versions = |claimed: &[u8]| {
            let mut file = file.clone();
            file[count..count + claimed.len()].copy_from_slice(claimed);
            Elf::new(&file).unwrap().versions().count()
        };
        assert_eq!(versions(&[1]), 1);
        assert_eq!(versions(&[0xff; 8]), 2);
    }
}
