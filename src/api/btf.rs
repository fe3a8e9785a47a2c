// SPDX-License-Identifier: MIT OR Apache-2.0
//! BTF: loading type information.

use core::ffi::{c_char, c_int, c_void};

use errno::Errno;

use crate::error::EINVAL;
use crate::kernel::attr::*;
use crate::kernel::{call_for_fd_with_addrs, memlock};
use crate::opts::{InOut, field};
use crate::returns::to_c;
use crate::types::__u32;

/// Options of bpf_btf_load().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_btf_load_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Buffer for the kernel's log; may be NULL.
    pub log_buf: *mut c_char,
    /// Log level: 1 types, 2 details; 0 none, unless loading fails and log_buf is set.
    pub log_level: __u32,
    /// Size of log_buf, in bytes.
    pub log_size: __u32,
    /// Out: size of the whole log in bytes, including its NUL, even if it did not fit; 0 if there is none (Linux 6.4).
    pub log_true_size: __u32,
    /// `BPF_F_TOKEN_FD` (Linux 6.9).
    pub btf_flags: __u32,
    /// BPF token, with `BPF_F_TOKEN_FD` (Linux 6.9).
    pub token_fd: __u32,
}

/// Load type information in BTF's binary format.
///
/// If it fails and opts provides a log buffer (log_buf) but no level (log_level 0), it is retried
/// once with level 1, so that log_buf explains the failure.
///
/// On kernels before 5.11, the library raises RLIMIT_MEMLOCK before it creates the first map,
/// program or BTF object of a process; see libbpf_set_memlock_rlim().
///
/// @param btf_data  the data: header, types and strings
/// @param btf_size  size of the data, in bytes
/// @param opts      options and outputs, or NULL
/// @return descriptor of the BTF object, to be closed by the caller, or a negative error code (also in errno):
///   - EINVAL: the data is invalid (the log explains why); log_size is set without log_buf; invalid opts
///   - E2BIG: the data is too large
///   - EPERM: the caller lacks CAP_BPF
///   - ENOSPC: the log did not fit into log_buf
///
/// Since Linux 4.18. See bpf(2), BPF_BTF_LOAD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_btf_load(btf_data: *const c_void, btf_size: usize, opts: *mut bpf_btf_load_opts) -> c_int {
    to_c(|| {
        memlock::raise_if_needed();
        // SAFETY: the caller's opts.
        let mut opts = unsafe { InOut::new(opts) }?;
        if opts.log_size != 0 && opts.log_buf.is_null() {
            return Err(EINVAL);
        }
        let mut attr = BtfLoad {
            btf: addr(btf_data),
            btf_size: u32::try_from(btf_size).map_err(|_| Errno(libc::E2BIG))?,
            btf_flags: opts.btf_flags,
            btf_token_fd: opts.token_fd as i32,
            ..zeroed()
        };
        if opts.log_level != 0 {
            give_log(&mut attr, &opts, opts.log_level);
        }
        // SAFETY: the data and the log buffer are the caller's.
        let mut result = unsafe { call_for_fd_with_addrs(&mut attr) };
        if result.is_err() && opts.log_level == 0 && !opts.log_buf.is_null() {
            give_log(&mut attr, &opts, 1);
            // SAFETY: likewise.
            result = unsafe { call_for_fd_with_addrs(&mut attr) };
        }
        opts.set(field!(bpf_btf_load_opts.log_true_size), attr.btf_log_true_size);
        result
    })
}

/// Requests a log, in the caller's buffer.
fn give_log(attr: &mut BtfLoad, opts: &bpf_btf_load_opts, log_level: u32) {
    attr.btf_log_buf = addr(opts.log_buf);
    attr.btf_log_size = opts.log_size;
    attr.btf_log_level = log_level;
}
