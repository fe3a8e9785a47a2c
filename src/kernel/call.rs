//! The one call of `bpf(2)`, and the rule for the descriptors it returns.

use core::ffi::c_int;
use core::ptr::null_mut;

use errno::{errno, set_errno};

use super::attr::{Attr, CommonAttr, zeroed};
use super::uapi::{BPF_COMMON_ATTRS, bpf_cmd};
use crate::error::{Result, warn};

/// Sends a record; returns what the kernel returns.
#[inline]
pub fn call<A: Attr>(attr: &mut A) -> Result<c_int> {
    bpf(A::CMD, attr, null_mut(), 0)
}

/// Sends a record whose answer is a new descriptor; returns that, 3 or higher.
pub fn call_for_fd<A: Attr>(attr: &mut A) -> Result<c_int> {
    call(attr).and_then(off_stdio)
}

/// The same, with the attributes that all commands share.
pub fn call_for_fd_with_common<A: Attr>(attr: &mut A, common: &mut CommonAttr) -> Result<c_int> {
    bpf(A::CMD | BPF_COMMON_ATTRS, attr, common, size_of::<CommonAttr>()).and_then(off_stdio)
}

/// Sends an empty record with shared attributes that are announced but missing: a kernel
/// that takes them answers `EFAULT`, for want of them, before it looks at the record.
pub fn call_without_announced_common<A: Attr>() -> Result<c_int> {
    bpf(A::CMD | BPF_COMMON_ATTRS, &mut zeroed::<A>(), null_mut(), size_of::<CommonAttr>())
}

/// The system call: nothing else in the library makes it.
#[inline]
fn bpf<A: Attr>(cmd: bpf_cmd, attr: &mut A, common: *mut CommonAttr, common_size: usize) -> Result<c_int> {
    let attr: *mut A = attr;
    #[cfg(test)]
    let returned = super::scripted::answer(cmd, attr.cast(), size_of::<A>(), common, common_size);
    #[cfg(not(test))]
    // SAFETY: the kernel reads and writes `size_of::<A>()` bytes at `attr`, all initialised,
    // and the same at `common` if that is not NULL. The addresses within are the C caller's,
    // who is responsible for them as for those of any system call.
    let returned = unsafe { libc::syscall(libc::SYS_bpf, cmd as usize, attr, size_of::<A>(), common, common_size) };
    // What a C `int` holds of it, as libbpf's callers see it.
    let returned = returned as c_int;
    if returned < 0 { Err(errno()) } else { Ok(returned) }
}

/// Moves a descriptor away from 0, 1 and 2, where a program that closed its standard
/// streams would write its output into a map.
fn off_stdio(fd: c_int) -> Result<c_int> {
    const FIRST: c_int = 3;
    if fd >= FIRST {
        return Ok(fd);
    }
    // SAFETY: duplicates a descriptor.
    let moved = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, FIRST) };
    let after_move = errno();
    if moved < 0 {
        warn(c"bpf", c"a descriptor below 3 cannot be moved");
    }
    // SAFETY: the kernel just gave this descriptor to us alone.
    unsafe { libc::close(fd) };
    set_errno(after_move);
    if moved < 0 { Err(after_move) } else { Ok(moved) }
}
