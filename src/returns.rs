// SPDX-License-Identifier: MIT OR Apache-2.0
//! The return protocol: how results reach the C caller. A function returns its value, or a negative error code
//! with `errno` set to it; further outputs go where the caller's pointers point.

use core::ffi::c_int;

use errno::{Errno, set_errno};

use crate::error::{EINVAL, Result};

/// Runs the body of an exported function and converts its result for C: the value, with `errno` unchanged, or
/// the negative errno, with `errno` set.
#[inline]
pub fn to_c(body: impl FnOnce() -> Result<c_int>) -> c_int {
    match body() {
        Ok(value) => value,
        Err(error) => error_to_c(error),
    }
}

/// A function of its own, so that its callers need not save registers for it around the system call.
#[cold]
#[inline(never)]
fn error_to_c(error: Errno) -> c_int {
    set_errno(error);
    -error.0
}

/// A pointer that the caller passes for an output. Two outputs may be at the same address.
pub struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// Fails for NULL, before any system call.
    ///
    /// # Safety
    /// `pointer` is NULL, or what it points to can be read and written while this value is used.
    pub unsafe fn new(pointer: *mut T) -> Result<Self> {
        if pointer.is_null() { Err(EINVAL) } else { Ok(Self(pointer)) }
    }

    /// The value that the caller put there.
    pub fn get(&self) -> T {
        // SAFETY: the caller of `new` guarantees that it can be read.
        unsafe { self.0.read_unaligned() }
    }

    /// Writes the output.
    pub fn set(&self, value: T) {
        // SAFETY: the caller of `new` guarantees that it can be written.
        unsafe { self.0.write_unaligned(value) }
    }
}
