// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs: loading, running, binding, reading their output streams.

use core::ffi::{c_char, c_int, c_void};

use errno::Errno;

use crate::error::{EINVAL, Result};
use crate::kernel::attr::*;
use crate::kernel::{call, call_for_fd_with_addrs, call_with_addrs, features, memlock};
use crate::opts::{self, InOut, field};
use crate::returns::to_c;
use crate::types::{__u32, bpf_attach_type, bpf_insn, bpf_prog_type};

/// Options of bpf_prog_load().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_prog_load_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Maximum number of attempts while the kernel returns EAGAIN; 0 means 5.
    pub attempts: c_int,
    /// Attach type, for program types that require it when a program is loaded (Linux 4.17).
    pub expected_attach_type: bpf_attach_type,
    /// BTF object that describes the program (Linux 5.0).
    pub prog_btf_fd: __u32,
    /// `BPF_F_*` flags of the program (Linux 4.12).
    pub prog_flags: __u32,
    /// Network device to offload the program to (Linux 4.15).
    pub prog_ifindex: __u32,
    /// LINUX_VERSION_CODE, required for kprobes before Linux 5.0.
    pub kern_version: __u32,
    /// BTF type to attach to, in the BTF of the kernel, a module or a program (Linux 5.5).
    pub attach_btf_id: __u32,
    /// Program to attach to (Linux 5.5); not with attach_btf_obj_fd.
    pub attach_prog_fd: __u32,
    /// BTF object of the module to attach to (Linux 5.11).
    pub attach_btf_obj_fd: __u32,
    /// Descriptors that the instructions refer to by index (Linux 5.14).
    pub fd_array: *const c_int,
    /// Function records for prog_btf_fd (Linux 5.0).
    pub func_info: *const c_void,
    /// Number of function records.
    pub func_info_cnt: __u32,
    /// Size of one function record, in bytes.
    pub func_info_rec_size: __u32,
    /// Line records for prog_btf_fd (Linux 5.0).
    pub line_info: *const c_void,
    /// Number of line records.
    pub line_info_cnt: __u32,
    /// Size of one line record, in bytes.
    pub line_info_rec_size: __u32,
    /// Verifier log level: 1 decisions, 2 details, 4 statistics; 0 none, unless loading fails and log_buf is set.
    pub log_level: __u32,
    /// Size of log_buf, in bytes.
    pub log_size: __u32,
    /// Buffer for the verifier log; may be NULL.
    pub log_buf: *mut c_char,
    /// Out: size of the whole log in bytes, including its NUL, even if it did not fit; 0 if there is none (Linux 6.4).
    pub log_true_size: __u32,
    /// BPF token, with `BPF_F_TOKEN_FD` (Linux 6.9).
    pub token_fd: __u32,
    /// Number of descriptors in fd_array, to bind all of them to the program; 0 otherwise (Linux 6.14).
    pub fd_array_cnt: __u32,
}

/// Load a program. The kernel verifies it, and keeps it as long as a descriptor, a pin or a link refers to it.
///
/// If the kernel returns EAGAIN, the load is retried, up to opts->attempts attempts in all. If the
/// kernel knows only shorter function or line records than the caller's, the load is retried with
/// the bytes that it does not know set to zero. If it fails and opts provides a log buffer (log_buf) but no level
/// (log_level 0), it is retried once with level 1, so that log_buf explains the failure.
///
/// On kernels before 5.11, the library raises RLIMIT_MEMLOCK before it creates the first map,
/// program or BTF object of a process; see libbpf_set_memlock_rlim().
///
/// @param prog_type  `BPF_PROG_TYPE_*`
/// @param prog_name  name, truncated to 15 bytes; NULL for none; not sent to kernels before 4.15
/// @param license    licence, e.g. "GPL", which decides which helpers the program may call
/// @param insns      the instructions
/// @param insn_cnt   number of instructions
/// @param opts       options and outputs, or NULL
/// @return descriptor of the program, to be closed by the caller, or a negative error code (also in errno):
///   - EACCES: the verifier rejected the program; the log explains why
///   - EINVAL: invalid combination of type, instructions and options; invalid opts
///   - EPERM: the caller lacks CAP_BPF, for tracing CAP_PERFMON, or for networking CAP_NET_ADMIN
///   - E2BIG: the program has too many instructions, or is too complex to verify
///   - ENOSPC: the log did not fit into log_buf
///
/// Since Linux 3.18. See bpf(2), BPF_PROG_LOAD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_load(
    prog_type: bpf_prog_type,
    prog_name: *const c_char,
    license: *const c_char,
    insns: *const bpf_insn,
    insn_cnt: usize,
    opts: *mut bpf_prog_load_opts,
) -> c_int {
    to_c(|| {
        memlock::raise_if_needed();
        // SAFETY: the caller's opts.
        let mut opts = unsafe { InOut::new(opts) }?;
        let attempts = match opts.attempts {
            ..0 => return Err(EINVAL),
            0 => DEFAULT_ATTEMPTS,
            given => given,
        };
        let insn_cnt = u32::try_from(insn_cnt).map_err(|_| E2BIG)?;
        if opts.attach_prog_fd != 0 && opts.attach_btf_obj_fd != 0 {
            return Err(EINVAL);
        }
        if opts.log_buf.is_null() != (opts.log_size == 0) {
            return Err(EINVAL);
        }
        let mut attr = ProgLoad {
            prog_type: prog_type.0,
            expected_attach_type: opts.expected_attach_type.0,
            prog_btf_fd: opts.prog_btf_fd,
            prog_flags: opts.prog_flags,
            prog_ifindex: opts.prog_ifindex,
            kern_version: opts.kern_version,
            prog_token_fd: opts.token_fd as i32,
            // SAFETY: the caller's string, or NULL.
            prog_name: unsafe { features::known_name(prog_name) },
            license: addr(license),
            insns: addr(insns),
            insn_cnt,
            attach_btf_id: opts.attach_btf_id,
            // Both use this member, and at most one is set.
            attach_prog_fd: opts.attach_prog_fd | opts.attach_btf_obj_fd,
            fd_array: addr(opts.fd_array),
            fd_array_cnt: opts.fd_array_cnt,
            func_info: addr(opts.func_info),
            func_info_cnt: opts.func_info_cnt,
            func_info_rec_size: opts.func_info_rec_size,
            line_info: addr(opts.line_info),
            line_info_cnt: opts.line_info_cnt,
            line_info_rec_size: opts.line_info_rec_size,
            ..zeroed()
        };
        if opts.log_level != 0 {
            give_log(&mut attr, &opts, opts.log_level);
        }
        // SAFETY: the addresses are the caller's.
        unsafe { load_with_repair(&mut attr, &mut opts, attempts) }
    })
}

const DEFAULT_ATTEMPTS: c_int = 5;
const E2BIG: Errno = Errno(libc::E2BIG);
const EAGAIN: Errno = Errno(libc::EAGAIN);

/// Requests a log, in the caller's buffer.
fn give_log(attr: &mut ProgLoad, opts: &bpf_prog_load_opts, log_level: u32) {
    attr.log_buf = addr(opts.log_buf);
    attr.log_size = opts.log_size;
    attr.log_level = log_level;
}

/// Loads the program, with up to `attempts` calls while the kernel returns EAGAIN.
///
/// # Safety
/// The addresses in `attr` are the caller's, or those of copies that outlive the call.
#[inline(never)]
unsafe fn load(attr: &mut ProgLoad, opts: &mut InOut<bpf_prog_load_opts>, attempts: c_int) -> Result<c_int> {
    let mut left = attempts;
    let result = loop {
        // SAFETY: as above.
        let result = unsafe { call_for_fd_with_addrs(attr) };
        left -= 1;
        if result != Err(EAGAIN) || left <= 0 {
            break result;
        }
    };
    opts.set(field!(bpf_prog_load_opts.log_true_size), attr.log_true_size);
    result
}

/// Loads the program, and again if the kernel knows shorter function or line records, which it shows by E2BIG
/// and the record size that it writes back: then with copies whose surplus is zeroed. If loading fails in the end,
/// and the caller wants the log in that case, loads once more with the log.
///
/// # Safety
/// The addresses in `attr` and `opts` are the caller's.
unsafe fn load_with_repair(
    attr: &mut ProgLoad,
    opts: &mut InOut<bpf_prog_load_opts>,
    attempts: c_int,
) -> Result<c_int> {
    // The copies must outlive the last load that uses them.
    let mut func_info = None;
    let mut line_info = None;
    // SAFETY: the addresses are the caller's.
    let mut result = unsafe { load(attr, opts, attempts) };
    while result == Err(E2BIG) {
        if func_info.is_none() && attr.func_info_cnt != 0 && attr.func_info_rec_size < opts.func_info_rec_size {
            // SAFETY: the caller's records, which the caller's opts describe.
            let copy = unsafe {
                Records::cut(opts.func_info, opts.func_info_cnt, opts.func_info_rec_size, attr.func_info_rec_size)
            }?;
            attr.func_info = addr(copy.0);
            attr.func_info_rec_size = opts.func_info_rec_size;
            func_info = Some(copy);
        } else if line_info.is_none() && attr.line_info_cnt != 0 && attr.line_info_rec_size < opts.line_info_rec_size {
            // SAFETY: the caller's records, which the caller's opts describe.
            let copy = unsafe {
                Records::cut(opts.line_info, opts.line_info_cnt, opts.line_info_rec_size, attr.line_info_rec_size)
            }?;
            attr.line_info = addr(copy.0);
            attr.line_info_rec_size = opts.line_info_rec_size;
            line_info = Some(copy);
        } else {
            break;
        }
        // SAFETY: the addresses are the caller's or those of the copies.
        result = unsafe { load(attr, opts, attempts) };
    }
    if result.is_err() && opts.log_level == 0 && !opts.log_buf.is_null() {
        give_log(attr, opts, 1);
        // SAFETY: as above, and the log buffer is the caller's.
        result = unsafe { load(attr, opts, attempts) };
    }
    result
}

/// A copy of function or line records. The library allocates nothing else.
struct Records(*mut c_void);

impl Records {
    /// Copies the first `known` bytes of each record, and zeroes the rest. Fails with E2BIG, the
    /// error of the rejected load, if there is no memory.
    ///
    /// # Safety
    /// `records` is NULL or holds `count` records of `size` bytes, and `known` is less than `size`.
    #[cold]
    unsafe fn cut(records: *const c_void, count: u32, size: u32, known: u32) -> Result<Self> {
        let (count, size, known) = (count as usize, size as usize, known as usize);
        // SAFETY: `calloc` has no preconditions; it checks the product for overflow.
        let copy = Self(unsafe { libc::calloc(count, size) });
        if copy.0.is_null() || (records.is_null() && known != 0) {
            return Err(E2BIG);
        }
        for i in 0..count {
            // SAFETY: both hold `count * size` bytes, which did not overflow.
            unsafe { records.wrapping_byte_add(i * size).copy_to_nonoverlapping(copy.0.byte_add(i * size), known) };
        }
        Ok(copy)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        // SAFETY: the pointer is from `calloc`, or NULL.
        unsafe { libc::free(self.0) };
    }
}

/// Options of bpf_prog_bind_map().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_prog_bind_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Flags; none so far.
    pub flags: __u32,
}

/// Bind a map to a program, so that the map lives as long as the program even if no instruction refers to it.
///
/// @param prog_fd  the program
/// @param map_fd   the map
/// @param opts     options, or NULL
/// @return 0 (also if they are bound already), or a negative error code (also in errno):
///   - EBADF: a descriptor is invalid
///   - EINVAL: prog_fd does not refer to a program, or map_fd not to a map; invalid opts
///
/// Since Linux 5.10. See bpf(2), BPF_PROG_BIND_MAP.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_bind_map(prog_fd: c_int, map_fd: c_int, opts: *const bpf_prog_bind_opts) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        call(&mut ProgBindMap { prog_fd: prog_fd as u32, map_fd: map_fd as u32, flags: opts.flags })
    })
}

/// Options and outputs of bpf_prog_test_run_opts().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_test_run_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Input data, e.g. a packet; NULL for none.
    pub data_in: *const c_void,
    /// Buffer for the data after the run; NULL if not wanted.
    pub data_out: *mut c_void,
    /// Size of data_in, in bytes.
    pub data_size_in: __u32,
    /// In: size of data_out, in bytes. Out: size of the data.
    pub data_size_out: __u32,
    /// Context to pass to the program; NULL for the default (Linux 5.2).
    pub ctx_in: *const c_void,
    /// Buffer for the context after the run; NULL if not wanted (Linux 5.2).
    pub ctx_out: *mut c_void,
    /// Size of ctx_in, in bytes.
    pub ctx_size_in: __u32,
    /// In: size of ctx_out, in bytes. Out: size of the context.
    pub ctx_size_out: __u32,
    /// Out: return value of the program.
    pub retval: __u32,
    /// Number of runs; 0 means 1.
    pub repeat: c_int,
    /// Out: average time of one run, in nanoseconds.
    pub duration: __u32,
    /// `BPF_F_TEST_*` flags (Linux 5.10).
    pub flags: __u32,
    /// CPU to run on, with `BPF_F_TEST_RUN_ON_CPU` (Linux 5.10).
    pub cpu: __u32,
    /// Number of packets in a batch, with `BPF_F_TEST_XDP_LIVE_FRAMES` (Linux 5.18).
    pub batch_size: __u32,
}

/// Run a program in the kernel on the given data, without attaching it.
///
/// The outputs data_size_out, ctx_size_out, retval and duration are also written on failure.
///
/// @param prog_fd  the program
/// @param opts     input and outputs, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: prog_fd is invalid
///   - EINVAL: the sizes or the flags are invalid for this program; invalid opts
///   - ENOSPC: data_out is too small; data_size_out is the size needed
///   - ENOTSUPP (524): not supported by this type of program
///
/// Since Linux 4.12. See bpf(2), BPF_PROG_TEST_RUN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_test_run_opts(prog_fd: c_int, opts: *mut bpf_test_run_opts) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let mut opts = unsafe { InOut::new(opts) }?;
        let mut attr = ProgTestRun {
            prog_fd: prog_fd as u32,
            batch_size: opts.batch_size,
            cpu: opts.cpu,
            flags: opts.flags,
            repeat: opts.repeat as u32,
            duration: opts.duration,
            ctx_size_in: opts.ctx_size_in,
            ctx_size_out: opts.ctx_size_out,
            data_size_in: opts.data_size_in,
            data_size_out: opts.data_size_out,
            ctx_in: addr(opts.ctx_in),
            ctx_out: addr(opts.ctx_out),
            data_in: addr(opts.data_in),
            data_out: addr(opts.data_out),
            retval: 0,
            pad: 0,
        };
        // SAFETY: the data and the context, in and out, are the caller's.
        let result = unsafe { call_with_addrs(&mut attr) };
        opts.set(field!(bpf_test_run_opts.data_size_out), attr.data_size_out);
        opts.set(field!(bpf_test_run_opts.ctx_size_out), attr.ctx_size_out);
        opts.set(field!(bpf_test_run_opts.duration), attr.duration);
        opts.set(field!(bpf_test_run_opts.retval), attr.retval);
        result
    })
}

/// Options of bpf_prog_stream_read(); none so far.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_prog_stream_read_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
}

/// Read what a program wrote to one of its streams.
///
/// @param prog_fd    the program
/// @param stream_id  BPF_STDOUT (1) or BPF_STDERR (2)
/// @param buf        out: the text, not NUL-terminated
/// @param buf_len    size of buf, in bytes
/// @param opts       options, or NULL
/// @return number of bytes read, 0 if there is nothing to read, or a negative error code (also in errno):
///   - EBADF: prog_fd is invalid
///   - ENOENT: the stream does not exist
///   - EINVAL: invalid opts, or the kernel does not support this command
///
/// Since Linux 6.17. See bpf(2), BPF_PROG_STREAM_READ_BY_FD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_stream_read(
    prog_fd: c_int,
    stream_id: __u32,
    buf: *mut c_void,
    buf_len: __u32,
    opts: *mut bpf_prog_stream_read_opts,
) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        unsafe { opts::read(opts) }?;
        let mut attr = ProgStreamRead {
            stream_buf: addr(buf),
            stream_buf_len: buf_len,
            stream_id,
            prog_fd: prog_fd as u32,
            pad: 0,
        };
        // SAFETY: the buffer is the caller's.
        unsafe { call_with_addrs(&mut attr) }
    })
}

/// Options of bpf_prog_assoc_struct_ops().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_prog_assoc_struct_ops_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Flags; none so far.
    pub flags: __u32,
}

/// Associate a program with a struct_ops map, which kernel functions called by the program then use.
///
/// @param prog_fd  the program; its type must not be struct_ops
/// @param map_fd   the struct_ops map
/// @param opts     options, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: a descriptor is invalid
///   - EINVAL: the program or the map is of the wrong type; invalid opts, or the kernel does not support this command
///   - EBUSY: the program is associated with another map
///
/// Since Linux 7.0. See bpf(2), BPF_PROG_ASSOC_STRUCT_OPS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_assoc_struct_ops(
    prog_fd: c_int,
    map_fd: c_int,
    opts: *mut bpf_prog_assoc_struct_ops_opts,
) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        call(&mut ProgAssocStructOps { map_fd: map_fd as u32, prog_fd: prog_fd as u32, flags: opts.flags })
    })
}
