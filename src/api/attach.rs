// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attaching programs to cgroups, network devices and other hooks, and querying what is attached.

use core::ffi::c_int;
use core::ptr::null;

use crate::error::{EINVAL, Result};
use crate::kernel::attr::*;
use crate::kernel::uapi::{BPF_F_ID, BPF_PROG_ATTACH, BPF_PROG_DETACH};
use crate::kernel::{call, call_with_addrs};
use crate::opts::{self, InOut, field};
use crate::returns::{Out, to_c};
use crate::types::{__u32, __u64, bpf_attach_type};

/// Options of bpf_prog_attach_opts().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_prog_attach_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// `BPF_F_*` flags of the attachment.
    pub flags: __u32,
    pub anonymous: bpf_prog_attach_opts__replace,
    /// Program or link to attach before or after (Linux 6.6); not with relative_id.
    pub relative_fd: c_int,
    /// Id of that program or link; not with relative_fd.
    pub relative_id: __u32,
    /// Attach only if the hook is at this revision (Linux 6.6); 0 for any.
    pub expected_revision: __u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union bpf_prog_attach_opts__replace {
    /// Older name of replace_fd.
    pub replace_prog_fd: c_int,
    /// Program to replace, with BPF_F_REPLACE (Linux 5.6).
    pub replace_fd: c_int,
}

/// Attach a program to a hook.
///
/// @param prog_fd        the program
/// @param attachable_fd  the hook, as for bpf_prog_attach_opts()
/// @param type           `BPF_*` attach type
/// @param flags          BPF_F_ALLOW_OVERRIDE, BPF_F_ALLOW_MULTI
/// @return 0, or a negative error code (also in errno): as bpf_prog_attach_opts()
///
/// Since Linux 4.10. See bpf(2), BPF_PROG_ATTACH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_attach(
    prog_fd: c_int,
    attachable_fd: c_int,
    r#type: bpf_attach_type,
    flags: core::ffi::c_uint,
) -> c_int {
    to_c(|| {
        call(&mut ProgAttachDetach::<BPF_PROG_ATTACH> {
            target_fd: attachable_fd as u32,
            attach_bpf_fd: prog_fd as u32,
            attach_type: r#type.0,
            attach_flags: flags,
            ..zeroed()
        })
    })
}

/// Detach the program from a hook that has only one.
///
/// @param attachable_fd  the hook, as for bpf_prog_attach_opts()
/// @param type           `BPF_*` attach type
/// @return 0, or a negative error code (also in errno): as bpf_prog_detach_opts()
///
/// Since Linux 4.10. See bpf(2), BPF_PROG_DETACH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_detach(attachable_fd: c_int, r#type: bpf_attach_type) -> c_int {
    // SAFETY: NULL options.
    unsafe { bpf_prog_detach_opts(0, attachable_fd, r#type, null()) }
}

/// Detach a program from a hook.
///
/// @param prog_fd        the program
/// @param attachable_fd  the hook, as for bpf_prog_attach_opts()
/// @param type           `BPF_*` attach type
/// @return 0, or a negative error code (also in errno): as bpf_prog_detach_opts()
///
/// Since Linux 4.10. See bpf(2), BPF_PROG_DETACH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_detach2(prog_fd: c_int, attachable_fd: c_int, r#type: bpf_attach_type) -> c_int {
    // SAFETY: NULL options.
    unsafe { bpf_prog_detach_opts(prog_fd, attachable_fd, r#type, null()) }
}

/// Attach a program to a hook, with options.
///
/// @param prog_fd  the program
/// @param target   the hook: descriptor of a cgroup or sockmap; for TCX and netkit the index of a network device; 0 for a
///                 flow dissector, which is attached to the caller's network namespace
/// @param type     `BPF_*` attach type
/// @param opts     options, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: a descriptor is invalid
///   - EINVAL: invalid combination of program, hook, type and flags; relative_fd and relative_id both given; invalid opts
///   - EPERM: the caller lacks CAP_NET_ADMIN or what else the hook requires, or a parent cgroup forbids it
///   - EEXIST: the program is attached there already
///   - ESTALE: the hook is not at expected_revision
///
/// Since Linux 4.10. See bpf(2), BPF_PROG_ATTACH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_attach_opts(
    prog_fd: c_int,
    target: c_int,
    r#type: bpf_attach_type,
    opts: *const bpf_prog_attach_opts,
) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        let (relative_fd, id_flag) = relative(opts.relative_fd as u32, opts.relative_id)?;
        call(&mut ProgAttachDetach::<BPF_PROG_ATTACH> {
            target_fd: target as u32,
            attach_bpf_fd: prog_fd as u32,
            attach_type: r#type.0,
            attach_flags: opts.flags | id_flag,
            // SAFETY: both members are the same integer.
            replace_bpf_fd: unsafe { opts.anonymous.replace_fd } as u32,
            relative_fd,
            expected_revision: opts.expected_revision,
        })
    })
}

/// Options of bpf_prog_detach_opts().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_prog_detach_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// `BPF_F_*` flags.
    pub flags: __u32,
    /// Detach the program before or after this program or link (Linux 6.6); not with relative_id.
    pub relative_fd: c_int,
    /// Id of that program or link; not with relative_fd.
    pub relative_id: __u32,
    /// Detach only if the hook is at this revision (Linux 6.6); 0 for any.
    pub expected_revision: __u64,
}

/// Detach a program from a hook, with options.
///
/// @param prog_fd  the program; 0 if the hook has only one
/// @param target   the hook, as for bpf_prog_attach_opts()
/// @param type     `BPF_*` attach type
/// @param opts     options, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: a descriptor is invalid
///   - ENOENT: the program is not attached there
///   - EINVAL: invalid combination of program, hook and type; relative_fd and relative_id both given; invalid opts
///   - EPERM: the caller lacks CAP_NET_ADMIN or what else the hook requires
///   - ESTALE: the hook is not at expected_revision
///
/// Since Linux 4.10. See bpf(2), BPF_PROG_DETACH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_detach_opts(
    prog_fd: c_int,
    target: c_int,
    r#type: bpf_attach_type,
    opts: *const bpf_prog_detach_opts,
) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        let (relative_fd, id_flag) = relative(opts.relative_fd as u32, opts.relative_id)?;
        call(&mut ProgAttachDetach::<BPF_PROG_DETACH> {
            target_fd: target as u32,
            attach_bpf_fd: prog_fd as u32,
            attach_type: r#type.0,
            attach_flags: opts.flags | id_flag,
            replace_bpf_fd: 0,
            relative_fd,
            expected_revision: opts.expected_revision,
        })
    })
}

/// The program or link to be placed relative to, as a descriptor or an id, and the flag for an id.
pub fn relative(relative_fd: u32, relative_id: u32) -> Result<(u32, u32)> {
    match (relative_fd, relative_id) {
        (fd, 0) => Ok((fd, 0)),
        (0, id) => Ok((id, BPF_F_ID)),
        _ => Err(EINVAL),
    }
}

/// Options and outputs of bpf_prog_query_opts().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_prog_query_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// BPF_F_QUERY_EFFECTIVE: include programs inherited from parent cgroups.
    pub query_flags: __u32,
    /// Out: flags of the hook.
    pub attach_flags: __u32,
    /// Array for the ids of the programs, in the order in which they run; may be NULL.
    pub prog_ids: *mut __u32,
    pub anonymous: bpf_prog_query_opts__count,
    /// Array for the attach flags of each program (Linux 6.0); may be NULL.
    pub prog_attach_flags: *mut __u32,
    /// Array for the ids of the links, 0 where there is none (Linux 6.6); may be NULL.
    pub link_ids: *mut __u32,
    /// Array for the attach flags of each link (Linux 6.6); may be NULL.
    pub link_attach_flags: *mut __u32,
    /// Out: revision of the hook (Linux 6.6).
    pub revision: __u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union bpf_prog_query_opts__count {
    /// Older name of count.
    pub prog_cnt: __u32,
    /// In: capacity of each array, in elements. Out: number of programs attached.
    pub count: __u32,
}

/// Query the programs attached to a hook, with options.
///
/// The outputs attach_flags, count and revision are also written on failure.
///
/// @param target  the hook, as for bpf_prog_attach_opts(); for a flow dissector, descriptor of a network namespace
/// @param type    `BPF_*` attach type
/// @param opts    options and outputs, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: target is invalid
///   - EINVAL: invalid combination of hook, type and flags; invalid opts
///   - ENOSPC: the arrays are too small; count is the number of programs attached
///   - EPERM: the caller lacks CAP_NET_ADMIN
///
/// Since Linux 4.15. See bpf(2), BPF_PROG_QUERY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_query_opts(
    target: c_int,
    r#type: bpf_attach_type,
    opts: *mut bpf_prog_query_opts,
) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let mut opts = unsafe { InOut::new(opts) }?;
        let mut attr = ProgQuery {
            target_fd: target as u32,
            attach_type: r#type.0,
            query_flags: opts.query_flags,
            prog_ids: addr(opts.prog_ids),
            // SAFETY: both members are the same integer.
            prog_cnt: unsafe { opts.anonymous.count },
            prog_attach_flags: addr(opts.prog_attach_flags),
            link_ids: addr(opts.link_ids),
            link_attach_flags: addr(opts.link_attach_flags),
            ..zeroed()
        };
        // SAFETY: the arrays are the caller's.
        let result = unsafe { call_with_addrs(&mut attr) };
        opts.set(field!(bpf_prog_query_opts.attach_flags), attr.attach_flags);
        opts.set(field!(bpf_prog_query_opts.revision), attr.revision);
        opts.set(field!(bpf_prog_query_opts.anonymous), bpf_prog_query_opts__count { count: attr.prog_cnt });
        result
    })
}

/// Query the programs attached to a hook.
///
/// @param target_fd     the hook, as for bpf_prog_query_opts()
/// @param type          `BPF_*` attach type
/// @param query_flags   BPF_F_QUERY_EFFECTIVE: include programs inherited from parent cgroups
/// @param attach_flags  out, also on failure: flags of the hook; may be NULL
/// @param prog_ids      out: array for the ids of the programs, in the order in which they run; may be NULL
/// @param prog_cnt      in: capacity of prog_ids, in elements; out, also on failure: number of programs attached
/// @return 0, or a negative error code (also in errno): as bpf_prog_query_opts(), and
///   - EINVAL: prog_cnt is NULL
///
/// Since Linux 4.15. See bpf(2), BPF_PROG_QUERY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_query(
    target_fd: c_int,
    r#type: bpf_attach_type,
    query_flags: __u32,
    attach_flags: *mut __u32,
    prog_ids: *mut __u32,
    prog_cnt: *mut __u32,
) -> c_int {
    to_c(|| {
        // SAFETY: the caller's outputs.
        let (attach_flags, prog_cnt) = unsafe { (Out::new(attach_flags).ok(), Out::new(prog_cnt)?) };
        let mut attr = ProgQuery {
            target_fd: target_fd as u32,
            attach_type: r#type.0,
            query_flags,
            prog_ids: addr(prog_ids),
            prog_cnt: prog_cnt.get(),
            ..zeroed()
        };
        // SAFETY: the arrays are the caller's.
        let result = unsafe { call_with_addrs(&mut attr) };
        if let Some(attach_flags) = attach_flags {
            attach_flags.set(attr.attach_flags);
        }
        prog_cnt.set(attr.prog_cnt);
        result
    })
}
