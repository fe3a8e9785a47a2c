//! The memlock step: before its first map, program or BTF, a process on a kernel that charges
//! BPF memory to `RLIMIT_MEMLOCK` has that limit raised.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use errno::{Errno, errno, set_errno};

use super::features;
use crate::result::Result;

static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static RAISED: AtomicBool = AtomicBool::new(false);

/// Raises the limit, once, on a kernel that needs it. A failure shows in the call that
/// follows, if it matters there; `errno` stays as it is.
pub fn raise_if_needed() {
    if features::memcg_accounting() || RAISED.swap(true, Relaxed) {
        return;
    }
    let limit = match LIMIT.load(Relaxed) {
        0 => return,
        usize::MAX => libc::RLIM_INFINITY,
        bytes => bytes as libc::rlim_t,
    };
    let saved = errno();
    let rlimit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: `setrlimit` reads the struct.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &rlimit) };
    set_errno(saved);
}

/// Sets the limit that is to be used; 0 means never to raise it.
pub fn set_limit(bytes: usize) -> Result<c_int> {
    if RAISED.load(Relaxed) {
        return Err(Errno(libc::EBUSY));
    }
    LIMIT.store(bytes, Relaxed);
    tell_libbpf(bytes)
}

/// A real libbpf in the same process loads objects with a limit of its own.
#[cfg(feature = "rtld-next")]
fn tell_libbpf(bytes: usize) -> Result<c_int> {
    type SetLimit = unsafe extern "C" fn(usize) -> c_int;
    // SAFETY: the name is terminated.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"libbpf_set_memlock_rlim".as_ptr()) };
    if next.is_null() {
        return Ok(0);
    }
    // SAFETY: what the next library exports by this name has libbpf's prototype.
    let returned = unsafe { core::mem::transmute::<*mut libc::c_void, SetLimit>(next)(bytes) };
    if returned < 0 { Err(Errno(-returned)) } else { Ok(returned) }
}

/// A static program has no other library to tell.
#[cfg(not(feature = "rtld-next"))]
fn tell_libbpf(_bytes: usize) -> Result<c_int> {
    Ok(0)
}
