// SPDX-License-Identifier: MIT OR Apache-2.0
//! The only call site of `bpf(2)`, and the rule for new descriptors: none is returned below 3.

use core::ffi::c_int;
use core::ptr::null_mut;

use errno::{errno, set_errno};

use super::attr::{Attr, CommonAttr, zeroed};
use super::uapi::{BPF_COMMON_ATTRS, bpf_cmd};
use crate::error::{Result, warn};

/// Sends a record without addresses; returns what the kernel returns.
#[inline]
pub fn call<A: Attr>(attr: &mut A) -> Result<c_int> {
    const { assert!(!A::HAS_ADDRS, "a record with addresses is sent by an unsafe call") };
    // SAFETY: there are no addresses in the record.
    unsafe { call_with_addrs(attr) }
}

/// Sends a record without addresses, for a new descriptor; returns that, 3 or higher.
pub fn call_for_fd<A: Attr>(attr: &mut A) -> Result<c_int> {
    call(attr).and_then(off_stdio)
}

/// Sends a record with addresses; returns what the kernel returns.
///
/// # Safety
/// The kernel may read and write at the addresses in the record what the command reads and writes there.
#[inline]
pub unsafe fn call_with_addrs<A: Attr>(attr: &mut A) -> Result<c_int> {
    // SAFETY: as above, and there are no common attributes.
    unsafe { bpf(A::CMD, attr, null_mut(), 0) }
}

/// Sends a record with addresses, for a new descriptor; returns that, 3 or higher.
///
/// # Safety
/// As for [`call_with_addrs`].
pub unsafe fn call_for_fd_with_addrs<A: Attr>(attr: &mut A) -> Result<c_int> {
    // SAFETY: as above.
    unsafe { call_with_addrs(attr) }.and_then(off_stdio)
}

/// Sends a record together with the common attributes, for a new descriptor; returns that, 3 or higher.
///
/// # Safety
/// As for [`call_with_addrs`], and the same for the address in `common`.
pub unsafe fn call_for_fd_with_common<A: Attr>(attr: &mut A, common: &mut CommonAttr) -> Result<c_int> {
    // SAFETY: as above; `common` has the size that is passed.
    unsafe { bpf(A::CMD | BPF_COMMON_ATTRS, attr, common, size_of::<CommonAttr>()) }.and_then(off_stdio)
}

/// Sends a zeroed record and NULL for the common attributes, with their size. A kernel that supports common
/// attributes returns `EFAULT` before it looks at the record.
pub fn call_with_null_common<A: Attr>() -> Result<c_int> {
    // SAFETY: all addresses are NULL.
    unsafe { bpf(A::CMD | BPF_COMMON_ATTRS, &mut zeroed::<A>(), null_mut(), size_of::<CommonAttr>()) }
}

/// The system call. Nothing else in the library makes it.
///
/// # Safety
/// The kernel may read and write at the addresses in the record what the command reads and writes there. `common`
/// is NULL, or has `common_size` bytes, and the same holds for the address in it.
#[inline]
unsafe fn bpf<A: Attr>(cmd: bpf_cmd, attr: &mut A, common: *mut CommonAttr, common_size: usize) -> Result<c_int> {
    let attr: *mut A = attr;
    #[cfg(test)]
    let returned = super::scripted::answer(cmd, attr.cast(), size_of::<A>(), common, common_size);
    #[cfg(not(test))]
    // SAFETY: the kernel reads `size_of::<A>()` bytes at `attr` and `common_size` at `common`, all of them
    // initialised, and writes only within them and at the addresses in them, where it may.
    let returned = unsafe { libc::syscall(libc::SYS_bpf, cmd as usize, attr, size_of::<A>(), common, common_size) };
    // `int` is what libbpf's functions return.
    let returned = returned as c_int;
    if returned < 0 { Err(errno()) } else { Ok(returned) }
}

/// Duplicates a descriptor below 3 to a higher number, and closes it. A program that had closed its standard
/// streams would otherwise write its output to a map.
fn off_stdio(fd: c_int) -> Result<c_int> {
    const FIRST: c_int = 3;
    if fd >= FIRST {
        return Ok(fd);
    }
    // SAFETY: `fcntl` has no preconditions for this command.
    let moved = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, FIRST) };
    let after_move = errno();
    if moved < 0 {
        warn(c"bpf", c"a descriptor below 3 cannot be moved");
    }
    // SAFETY: the descriptor is new, so nothing else uses it.
    unsafe { libc::close(fd) };
    set_errno(after_move);
    if moved < 0 { Err(after_move) } else { Ok(moved) }
}
