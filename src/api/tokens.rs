// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tokens: BPF privileges that a BPF file system delegates.

use core::ffi::c_int;

use crate::kernel::attr::*;
use crate::kernel::call_for_fd;
use crate::opts;
use crate::returns::to_c;
use crate::types::__u32;

/// Options of bpf_token_create().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_token_create_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Flags; none so far.
    pub flags: __u32,
}

/// Create a token with the privileges that a BPF file system delegates to its user namespace.
///
/// @param bpffs_fd  root directory of the file system, mounted with delegate_* options
/// @param opts      options, or NULL
/// @return descriptor of the token, to be closed by the caller, or a negative error code (also in errno):
///   - EBADF: bpffs_fd is invalid
///   - EINVAL: bpffs_fd is not the root of a BPF file system; invalid opts, or the kernel does not support this command
///   - ENOENT: the file system delegates nothing
///   - EPERM: the caller lacks CAP_BPF in the user namespace of the file system
///   - EOPNOTSUPP: that user namespace is the initial one, in which no token is needed
///
/// Since Linux 6.9. See bpf(2), BPF_TOKEN_CREATE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_token_create(bpffs_fd: c_int, opts: *mut bpf_token_create_opts) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        call_for_fd(&mut TokenCreate { flags: opts.flags, bpffs_fd: bpffs_fd as u32 })
    })
}
