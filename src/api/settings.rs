//! Settings of the process, and libbpf's older error convention.

use core::ffi::{c_int, c_long, c_void};

use errno::{Errno, errno, set_errno};

use crate::kernel::memlock;
use crate::returns::to_c;
use crate::types::libbpf_strict_mode;

/// Set what RLIMIT_MEMLOCK is raised to, on kernels that charge BPF memory to it (before 5.11).
///
/// The limit is raised once, before the first map, program or BTF; by default to infinity. If
/// libbpf is loaded too, its own limit is set to the same value.
///
/// @param memlock_bytes  the limit, in bytes; 0 to leave it unchanged
/// @return 0, or a negative error code (also in errno):
///   - EBUSY: it has been raised already
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libbpf_set_memlock_rlim(memlock_bytes: usize) -> c_int {
    to_c(|| memlock::set_limit(memlock_bytes, libbpf_set_memlock_rlim))
}

/// cbindgen:ignore
///
/// Declared in `libbpf_legacy.h`: chose between old and new behaviour before libbpf 1.0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libbpf_set_strict_mode(_mode: libbpf_strict_mode) -> c_int {
    0
}

/// cbindgen:ignore
///
/// Declared in `libbpf_legacy.h`: the error that a returned pointer stands for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libbpf_get_error(ptr: *const c_void) -> c_long {
    /// The last addresses, which no object has, stand for errors.
    const MAX_ERRNO: usize = 4095;
    let error = (ptr as usize).wrapping_neg();
    if (1..=MAX_ERRNO).contains(&error) {
        set_errno(Errno(error as c_int));
    } else if !ptr.is_null() {
        return 0;
    }
    // NULL is what a function returned that set errno itself.
    -c_long::from(errno().0)
}
