// SPDX-License-Identifier: MIT OR Apache-2.0
//! Errors inside the library, where a function returns its value or an errno; and the warnings on stderr that
//! explain the errors which an errno alone does not.

use core::ffi::{CStr, c_int};

use errno::Errno;

/// What every function inside the library returns: its value, or an errno.
pub type Result<T> = core::result::Result<T, Errno>;

/// An argument is invalid.
pub const EINVAL: Errno = Errno(libc::EINVAL);

#[cfg(test)]
use crate::tests::warnings::stderr;

#[cfg(not(test))]
fn stderr() -> c_int {
    libc::STDERR_FILENO
}

/// Writes a warning to stderr, as libbpf does: one line, in one write.
pub fn warn(name: &CStr, what: &CStr) {
    let parts = [c"libbpf: ", name, c": ", what, c"\n"]
        .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.count_bytes() });
    // SAFETY: `writev` reads the parts, which outlive the call. Its result is ignored: there is nowhere else to
    // report that stderr is closed, and the calling function sets errno to its own error.
    unsafe { libc::writev(stderr(), parts.as_ptr(), parts.len() as c_int) };
}
