// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tracing: raw tracepoints, what a task's descriptor traces, run-time statistics.

use core::ffi::{c_char, c_int};

use crate::error::Result;
use crate::kernel::attr::*;
use crate::kernel::{call_for_fd, call_for_fd_with_addrs, call_with_addrs};
use crate::opts;
use crate::returns::{Out, to_c};
use crate::types::{__u32, __u64, bpf_stats_type};

/// Options of bpf_raw_tracepoint_open_opts().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_raw_tp_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Name of the tracepoint; NULL for programs whose target was set when they were loaded.
    pub tp_name: *const c_char,
    /// Value that bpf_get_attach_cookie() returns in the program (Linux 6.10).
    pub cookie: __u64,
}

/// Attach a program to a raw tracepoint, with options.
///
/// @param prog_fd  the program
/// @param opts     options, or NULL
/// @return descriptor that holds the attachment, to be closed by the caller, or a negative error code (also in errno):
///   - ENOENT: the tracepoint does not exist
///   - EBADF: prog_fd is invalid
///   - EINVAL: the program is of the wrong type; invalid opts
///   - EPERM: the caller lacks CAP_PERFMON
///
/// Since Linux 4.17. See bpf(2), BPF_RAW_TRACEPOINT_OPEN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_raw_tracepoint_open_opts(prog_fd: c_int, opts: *mut bpf_raw_tp_opts) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        // SAFETY: the name is the caller's.
        unsafe { raw_tracepoint_open(prog_fd, opts.tp_name, opts.cookie) }
    })
}

/// Attach a program to a raw tracepoint.
///
/// @param name     name of the tracepoint; NULL for programs whose target was set when they were loaded
/// @param prog_fd  the program
/// @return descriptor that holds the attachment, to be closed by the caller, or a negative error code (also in errno):
///   as bpf_raw_tracepoint_open_opts()
///
/// Since Linux 4.17. See bpf(2), BPF_RAW_TRACEPOINT_OPEN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_raw_tracepoint_open(name: *const c_char, prog_fd: c_int) -> c_int {
    // SAFETY: the name is the caller's.
    to_c(|| unsafe { raw_tracepoint_open(prog_fd, name, 0) })
}

/// The common part of both, which bpf_link_create() falls back to on older kernels.
///
/// # Safety
/// `name` is NULL or the caller's.
pub unsafe fn raw_tracepoint_open(prog_fd: c_int, name: *const c_char, cookie: u64) -> Result<c_int> {
    let mut attr = RawTracepointOpen { name: addr(name), prog_fd: prog_fd as u32, pad: 0, cookie };
    // SAFETY: as above.
    unsafe { call_for_fd_with_addrs(&mut attr) }
}

/// Query which perf event or raw tracepoint a task's descriptor refers to, and which program is attached to it.
///
/// The outputs are also written on failure. Only buf may be NULL.
///
/// @param pid           the task
/// @param fd            a descriptor of that task
/// @param flags         must be 0
/// @param buf           out: the name of the tracepoint, function or file, NUL-terminated; may be NULL
/// @param buf_len       in: size of buf, in bytes; out: length of the name
/// @param prog_id       out: id of the program
/// @param fd_type       out: `BPF_FD_TYPE_*`
/// @param probe_offset  out: offset in the function or file, for probes
/// @param probe_addr    out: address of the function, for probes
/// @return 0, or a negative error code (also in errno):
///   - ENOENT: the task does not exist
///   - EBADF: the task has no such descriptor
///   - ENOSPC: buf is too small and holds a truncated name
///   - EINVAL: an output is NULL, or flags is not 0
///   - ENOTSUPP (524): the descriptor refers to neither a perf event nor a raw tracepoint
///   - EPERM: the caller lacks CAP_SYS_ADMIN
///
/// Since Linux 4.18. See bpf(2), BPF_TASK_FD_QUERY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_task_fd_query(
    pid: c_int,
    fd: c_int,
    flags: __u32,
    buf: *mut c_char,
    buf_len: *mut __u32,
    prog_id: *mut __u32,
    fd_type: *mut __u32,
    probe_offset: *mut __u64,
    probe_addr: *mut __u64,
) -> c_int {
    to_c(|| {
        // SAFETY: the caller's outputs.
        let (buf_len, prog_id, fd_type) = unsafe { (Out::new(buf_len)?, Out::new(prog_id)?, Out::new(fd_type)?) };
        // SAFETY: likewise.
        let (probe_offset, probe_addr) = unsafe { (Out::new(probe_offset)?, Out::new(probe_addr)?) };
        let mut attr =
            TaskFdQuery { pid: pid as u32, fd: fd as u32, flags, buf: addr(buf), buf_len: buf_len.get(), ..zeroed() };
        // SAFETY: the buffer is the caller's.
        let result = unsafe { call_with_addrs(&mut attr) };
        buf_len.set(attr.buf_len);
        prog_id.set(attr.prog_id);
        fd_type.set(attr.fd_type);
        probe_offset.set(attr.probe_offset);
        probe_addr.set(attr.probe_addr);
        result
    })
}

/// Enable statistics in the kernel for as long as the returned descriptor is open.
///
/// @param type  BPF_STATS_RUN_TIME: the number of runs and the run time of each program
/// @return descriptor, to be closed by the caller, or a negative error code (also in errno):
///   - EINVAL: unknown type
///   - EPERM: the caller lacks CAP_SYS_ADMIN
///
/// Since Linux 5.8. See bpf(2), BPF_ENABLE_STATS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_enable_stats(r#type: bpf_stats_type) -> c_int {
    to_c(|| call_for_fd(&mut EnableStats { type_: r#type.0 }))
}
