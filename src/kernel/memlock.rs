//! The memlock step: before its first map, program or BTF, a process on a kernel that charges
//! BPF memory to `RLIMIT_MEMLOCK` has that limit raised.

use core::ffi::c_int;
use core::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use errno::{Errno, errno, set_errno};

use super::features;
use crate::error::Result;

static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Set only after the limit has been raised, so that no thread relies on a limit that is
/// still the old one. Threads that arrive before that raise it themselves, to what `set_limit`
/// said last.
static RAISED: AtomicBool = AtomicBool::new(false);

/// Raises the limit, once, on a kernel that needs it. A failure shows in the call that
/// follows, if it matters there; `errno` stays as it is.
pub fn raise_if_needed() {
    if features::memcg_accounting() || RAISED.load(Acquire) {
        return;
    }
    match LIMIT.load(Relaxed) {
        0 => {}
        usize::MAX => raise(libc::RLIM_INFINITY),
        bytes => raise(bytes as libc::rlim_t),
    }
    RAISED.store(true, Release);
}

fn raise(limit: libc::rlim_t) {
    let saved = errno();
    let rlimit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: `setrlimit` reads the struct.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &rlimit) };
    set_errno(saved);
}

/// The prototype of `libbpf_set_memlock_rlim()`.
pub type SetLimit = unsafe extern "C" fn(usize) -> c_int;

/// Sets the limit that is to be used; 0 means never to raise it. `ours` is the exported function
/// that this is done for.
pub fn set_limit(bytes: usize, ours: SetLimit) -> Result<c_int> {
    if RAISED.load(Relaxed) {
        return Err(Errno(libc::EBUSY));
    }
    LIMIT.store(bytes, Relaxed);
    tell_libbpf(bytes, ours)
}

/// A real libbpf in the same process loads objects with a limit of its own. It is asked for by
/// its name among the libraries that are loaded already: linked, or opened by `dlopen()`, global
/// or local.
#[cfg(feature = "tell-libbpf")]
fn tell_libbpf(bytes: usize, ours: SetLimit) -> Result<c_int> {
    use core::ffi::c_void;

    let saved = errno();
    // SAFETY: the name is terminated; nothing is loaded that is not loaded already.
    let handle = unsafe { libc::dlopen(c"libbpf.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    set_errno(saved);
    if handle.is_null() {
        return Ok(0);
    }
    // SAFETY: the handle is open and the name is terminated.
    let theirs = unsafe { libc::dlsym(handle, c"libbpf_set_memlock_rlim".as_ptr()) };
    // This library itself may be installed under that name: it would be called for ever.
    let returned = if theirs.is_null() || theirs == ours as *mut c_void {
        0
    } else {
        // SAFETY: what libbpf exports by this name has this prototype.
        unsafe { core::mem::transmute::<*mut c_void, SetLimit>(theirs)(bytes) }
    };
    // SAFETY: gives back the reference that `dlopen` took.
    unsafe { libc::dlclose(handle) };
    if returned < 0 { Err(Errno(-returned)) } else { Ok(returned) }
}

/// A static program has no other library to tell.
#[cfg(not(feature = "tell-libbpf"))]
fn tell_libbpf(_bytes: usize, _ours: SetLimit) -> Result<c_int> {
    Ok(0)
}
