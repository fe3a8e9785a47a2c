// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory that grows, from libc: there is no standard library here to have it from.

use core::ffi::CStr;
use core::{ptr, slice};

/// There was no memory left.
#[derive(Debug)]
pub struct NoMemory;

/// Values one after another.
pub struct List<T: Copy> {
    start: *mut T,
    len: usize,
    room: usize,
}

impl<T: Copy> List<T> {
    pub const fn new() -> Self {
        Self { start: ptr::null_mut(), len: 0, room: 0 }
    }

    pub fn push(&mut self, value: T) -> Result<(), NoMemory> {
        self.extend(&[value])
    }

    pub fn extend(&mut self, values: &[T]) -> Result<(), NoMemory> {
        let len = self.len.checked_add(values.len()).ok_or(NoMemory)?;
        if len > self.room {
            let room = len.checked_mul(2).ok_or(NoMemory)?;
            let size = room.checked_mul(size_of::<T>()).ok_or(NoMemory)?;
            // SAFETY: `start` is NULL or came from here; malloc's alignment suits what is stored
            // here, bytes and pointers.
            let start: *mut T = unsafe { libc::realloc(self.start.cast(), size) }.cast();
            if start.is_null() {
                return Err(NoMemory);
            }
            (self.start, self.room) = (start, room);
        }
        if !values.is_empty() {
            // SAFETY: there is room for them after the first `len`; they are not in this list,
            // which is borrowed mutably.
            unsafe { ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(self.len), values.len()) };
        }
        self.len = len;
        Ok(())
    }

    pub fn as_slice(&self) -> &[T] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: the first `len` were written.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Copy> Drop for List<T> {
    fn drop(&mut self) {
        // SAFETY: it came from `realloc`, or is NULL.
        unsafe { libc::free(self.start.cast()) };
    }
}

/// A path, or another string without NUL bytes, that C can read too.
pub struct Text(List<u8>);

impl Text {
    /// The parts, one after another.
    pub fn new(parts: &[&[u8]]) -> Result<Self, NoMemory> {
        let mut bytes = List::new();
        for part in parts {
            bytes.extend(part)?;
        }
        bytes.push(0)?;
        Ok(Self(bytes))
    }

    pub fn c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(self.0.as_slice()).unwrap_or(c"")
    }

    pub fn bytes(&self) -> &[u8] {
        self.c_str().to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_grows_and_keeps_its_values() {
        let mut list = List::new();
        assert_eq!(list.as_slice(), &[] as &[usize]);
        for value in 0..1000 {
            list.push(value).unwrap();
        }
        assert_eq!(list.as_slice(), (0..1000).collect::<Vec<usize>>());
    }

    #[test]
    fn text_is_its_parts() {
        assert_eq!(Text::new(&[]).unwrap().bytes(), b"");
        assert_eq!(Text::new(&[b"/a", b"", b"/b"]).unwrap().c_str(), c"/a/b");
    }
}
