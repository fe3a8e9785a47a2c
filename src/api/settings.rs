// SPDX-License-Identifier: MIT OR Apache-2.0
//! Settings of the process, and libbpf's older error convention.

use core::ffi::{c_int, c_long, c_void};

use errno::{Errno, errno, set_errno};

use crate::kernel::memlock;
use crate::returns::to_c;
use crate::types::libbpf_strict_mode;

/// Set the value that RLIMIT_MEMLOCK is raised to, on kernels that charge BPF memory to it (before 5.11).
///
/// The limit is raised once, before the first map, program or BTF; by default to infinity. If
/// libbpf is loaded too, its own limit is set to the same value.
///
/// @param memlock_bytes  the limit, in bytes; 0 to leave it unchanged
/// @return 0, or a negative error code (also in errno):
///   - EBUSY: the limit has already been raised
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libbpf_set_memlock_rlim(memlock_bytes: usize) -> c_int {
    to_c(|| memlock::set_limit(memlock_bytes, libbpf_set_memlock_rlim))
}

/// cbindgen:ignore
///
/// Declared in `libbpf_legacy.h`: before libbpf 1.0 it chose between old and new behaviour.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libbpf_set_strict_mode(_mode: libbpf_strict_mode) -> c_int {
    0
}

/// cbindgen:ignore
///
/// Declared in `libbpf_legacy.h`: the error encoded in a returned pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libbpf_get_error(ptr: *const c_void) -> c_long {
    /// The highest addresses, at which there are no objects, encode errors.
    const MAX_ERRNO: usize = 4095;
    let error = (ptr as usize).wrapping_neg();
    if (1..=MAX_ERRNO).contains(&error) {
        set_errno(Errno(error as c_int));
    } else if !ptr.is_null() {
        return 0;
    }
    // A function that returned NULL has set errno itself.
    -c_long::from(errno().0)
}
