// SPDX-License-Identifier: MIT OR Apache-2.0
//! Growable memory, allocated with libc because the standard library is not available here.

use core::ffi::CStr;
use core::{ptr, slice};

/// An allocation failed.
#[derive(Debug)]
pub struct NoMemory;

/// A growable array.
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
            // SAFETY: `start` is NULL or was returned by `realloc`, whose alignment is sufficient
            // for the types stored here, bytes and pointers.
            let start: *mut T = unsafe { libc::realloc(self.start.cast(), size) }.cast();
            if start.is_null() {
                return Err(NoMemory);
            }
            (self.start, self.room) = (start, room);
        }
        if !values.is_empty() {
            // SAFETY: there is room for the values after the first `len`. They cannot overlap with
            // this list, which is borrowed mutably.
            unsafe { ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(self.len), values.len()) };
        }
        self.len = len;
        Ok(())
    }

    pub fn as_slice(&self) -> &[T] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: the first `len` values are initialised.
        unsafe { slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Copy> Drop for List<T> {
    fn drop(&mut self) {
        // SAFETY: `start` was returned by `realloc`, or is NULL.
        unsafe { libc::free(self.start.cast()) };
    }
}

/// A path, or another string without NUL bytes, stored with a NUL at its end.
pub struct Text(List<u8>);

impl Text {
    /// Concatenates the parts.
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
    fn text_is_the_concatenation_of_its_parts() {
        assert_eq!(Text::new(&[]).unwrap().bytes(), b"");
        assert_eq!(Text::new(&[b"/a", b"", b"/b"]).unwrap().c_str(), c"/a/b");
    }
}
