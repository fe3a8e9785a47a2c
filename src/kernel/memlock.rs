// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raising `RLIMIT_MEMLOCK`, once, before the first map, program or BTF object of a process, on
//! a kernel that charges BPF memory to that limit.

use core::ffi::c_int;
use core::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use errno::{Errno, errno, set_errno};

use super::features;
use crate::error::Result;

static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
/// Set only after the limit has been raised, so that no thread goes on with the old limit. A
/// thread that arrives earlier raises it too, to the value last passed to `set_limit`.
static RAISED: AtomicBool = AtomicBool::new(false);

/// Raises the limit, once, on a kernel that needs it. `errno` is unchanged. If raising the limit
/// fails, and the old limit does not suffice, the `bpf(2)` call that follows fails.
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

/// Sets the limit to raise to; 0 means to leave it unchanged. `ours` is the exported function
/// that calls this.
pub fn set_limit(bytes: usize, ours: SetLimit) -> Result<c_int> {
    if RAISED.load(Relaxed) {
        return Err(Errno(libc::EBUSY));
    }
    LIMIT.store(bytes, Relaxed);
    tell_libbpf(bytes, ours)
}

/// Passes the limit on to libbpf, if it is loaded in this process too: libbpf raises the limit
/// itself when it loads objects. It is looked up by name among the loaded libraries, whether
/// linked or opened with `dlopen()`, global or local.
#[cfg(feature = "tell-libbpf")]
fn tell_libbpf(bytes: usize, ours: SetLimit) -> Result<c_int> {
    use core::ffi::c_void;

    let saved = errno();
    // SAFETY: the name is NUL-terminated. RTLD_NOLOAD loads nothing, so no constructor is run.
    let handle = unsafe { libc::dlopen(c"libbpf.so.1".as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    set_errno(saved);
    if handle.is_null() {
        return Ok(0);
    }
    // SAFETY: the handle is open and the name is NUL-terminated.
    let theirs = unsafe { libc::dlsym(handle, c"libbpf_set_memlock_rlim".as_ptr()) };
    // This library may itself be installed under that name, and must not call itself without end.
    let returned = if theirs.is_null() || theirs == ours as *mut c_void {
        0
    } else {
        // SAFETY: the function that libbpf exports under this name has this prototype.
        unsafe { core::mem::transmute::<*mut c_void, SetLimit>(theirs)(bytes) }
    };
    // SAFETY: the handle is open; this releases the reference that `dlopen` took.
    unsafe { libc::dlclose(handle) };
    if returned < 0 { Err(Errno(-returned)) } else { Ok(returned) }
}

/// The static library does not depend on the dynamic loader.
#[cfg(not(feature = "tell-libbpf"))]
fn tell_libbpf(_bytes: usize, _ours: SetLimit) -> Result<c_int> {
    Ok(0)
}
