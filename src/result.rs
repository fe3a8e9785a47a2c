//! The return protocol: a result inside, `-errno` with `errno` set outside; outputs that the
//! caller takes by pointer; warnings.

use core::ffi::{CStr, c_int};

use errno::{Errno, set_errno};

/// What every function here returns: its value, or an errno.
pub type Result<T> = core::result::Result<T, Errno>;

/// An invalid argument.
pub const EINVAL: Errno = Errno(libc::EINVAL);

/// Runs a function's body and gives its result to C: the value, with `errno` untouched, or
/// the negative errno, with `errno` set.
#[inline]
pub fn to_c(body: impl FnOnce() -> Result<c_int>) -> c_int {
    match body() {
        Ok(value) => value,
        Err(error) => error_to_c(error),
    }
}

/// Apart from the functions, so that those keep nothing in registers for it while they call.
#[cold]
#[inline(never)]
fn error_to_c(error: Errno) -> c_int {
    set_errno(error);
    -error.0
}

/// A pointer that the caller gives for an output. Several of them may be the same.
pub struct Out<T>(*mut T);

impl<T: Copy> Out<T> {
    /// NULL is an invalid argument, found before any system call.
    ///
    /// # Safety
    /// `pointer` is NULL, or can be read and written while this value is used.
    pub unsafe fn new(pointer: *mut T) -> Result<Self> {
        if pointer.is_null() { Err(EINVAL) } else { Ok(Self(pointer)) }
    }

    /// What the caller put there.
    pub fn get(&self) -> T {
        // SAFETY: `new` was promised that it can be read.
        unsafe { self.0.read_unaligned() }
    }

    /// Gives the caller a value.
    pub fn set(&self, value: T) {
        // SAFETY: `new` was promised that it can be written.
        unsafe { self.0.write_unaligned(value) }
    }
}

#[cfg(test)]
use crate::tests::warnings::stderr;

#[cfg(not(test))]
fn stderr() -> c_int {
    libc::STDERR_FILENO
}

/// Warns on stderr, as libbpf does: one line, written whole.
pub fn warn(name: &CStr, what: &CStr) {
    let parts = [c"libbpf: ", name, c": ", what, c"\n"]
        .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.count_bytes() });
    // SAFETY: `writev` reads the parts. If stderr is closed, nobody wants the warning; the
    // errno of that is replaced by the one that the function returns.
    unsafe { libc::writev(stderr(), parts.as_ptr(), parts.len() as c_int) };
}
