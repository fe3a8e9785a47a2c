// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links: attachments that live as long as a descriptor or a pin.

use core::ffi::{c_char, c_int, c_ulong};
use core::mem::offset_of;
use core::ptr::null;

use super::attach::relative;
use super::tracing::raw_tracepoint_open;
use crate::error::{EINVAL, Result};
use crate::kernel::attr::*;
use crate::kernel::uapi::*;
use crate::kernel::{call, call_for_fd, call_for_fd_with_addrs};
use crate::opts::{self, Fields, InOut, Opts, c_name, field};
use crate::returns::to_c;
use crate::types::{__s32, __u32, __u64, bpf_attach_type, bpf_iter_link_info};

/// Compiles only if a member of the union has the layout of `tcx`, because it is read as `tcx`.
macro_rules! same_as_tcx {
    ($member:ident) => {
        same_as_tcx!($member { relative_fd, relative_id, expected_revision });
    };
    ($member:ident { $($field:ident),* }) => {
        const _: () = assert!(size_of::<$member>() == size_of::<bpf_link_create_opts__tcx>());
        $(const _: () = assert!(offset_of!($member, $field) == offset_of!(bpf_link_create_opts__tcx, $field));)*
    };
}

/// Options of bpf_link_create().
///
/// At most one member of the union may be set, the one that belongs to the attach type.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// `BPF_F_*` flags of the attachment.
    pub flags: __u32,
    /// For BPF_TRACE_ITER: what to iterate over (Linux 5.9).
    pub iter_info: *mut bpf_iter_link_info,
    /// Size of iter_info, in bytes.
    pub iter_info_len: __u32,
    /// For programs that replace a function of another: type of that function in the target's BTF (Linux 5.10).
    pub target_btf_id: __u32,
    pub anonymous: bpf_link_create_opts__member,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub union bpf_link_create_opts__member {
    /// For BPF_PERF_EVENT (Linux 5.15).
    pub perf_event: bpf_link_create_opts__perf_event,
    /// For BPF_TRACE_KPROBE_MULTI (Linux 5.18) and BPF_TRACE_KPROBE_SESSION (Linux 6.10).
    pub kprobe_multi: bpf_link_create_opts__kprobe_multi,
    /// For BPF_TRACE_UPROBE_MULTI (Linux 6.6) and BPF_TRACE_UPROBE_SESSION (Linux 6.13).
    pub uprobe_multi: bpf_link_create_opts__uprobe_multi,
    /// For BPF_TRACE_RAW_TP, BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_MODIFY_RETURN,
    /// BPF_TRACE_FSESSION and BPF_LSM_MAC (Linux 5.18).
    pub tracing: bpf_link_create_opts__tracing,
    /// For BPF_NETFILTER (Linux 6.4).
    pub netfilter: bpf_link_create_opts__netfilter,
    /// For BPF_TCX_INGRESS and BPF_TCX_EGRESS (Linux 6.6).
    pub tcx: bpf_link_create_opts__tcx,
    /// For BPF_NETKIT_PRIMARY and BPF_NETKIT_PEER (Linux 6.7).
    pub netkit: bpf_link_create_opts__netkit,
    /// For `BPF_CGROUP_*` and BPF_LSM_CGROUP (Linux 6.17).
    pub cgroup: bpf_link_create_opts__cgroup,
    /// For BPF_TRACE_FENTRY_MULTI, BPF_TRACE_FEXIT_MULTI and BPF_TRACE_FSESSION_MULTI (Linux 7.2).
    pub tracing_multi: bpf_link_create_opts__tracing_multi,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts__perf_event {
    /// Value that bpf_get_attach_cookie() returns in the program.
    pub bpf_cookie: __u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts__kprobe_multi {
    /// `BPF_F_KPROBE_MULTI_*` flags.
    pub flags: __u32,
    /// Number of functions.
    pub cnt: __u32,
    /// Array of the names of the functions; NULL if addrs is given.
    pub syms: *mut *const c_char,
    /// Array of the addresses of the functions; NULL if syms is given.
    pub addrs: *const c_ulong,
    /// A cookie for each, or NULL.
    pub cookies: *const __u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts__uprobe_multi {
    /// `BPF_F_UPROBE_MULTI_*` flags.
    pub flags: __u32,
    /// Number of probes.
    pub cnt: __u32,
    /// Path of the file to probe.
    pub path: *const c_char,
    /// Array of the offsets of the probes in the file, in bytes.
    pub offsets: *const c_ulong,
    /// Array of the offsets of the probes' reference counters in the file, in bytes; may be NULL.
    pub ref_ctr_offsets: *const c_ulong,
    /// A cookie for each, or NULL.
    pub cookies: *const __u64,
    /// Process to trace; 0 for all.
    pub pid: __u32,
    /// Directory that path is relative to, with BPF_F_UPROBE_MULTI_PATH_FD.
    pub path_fd: __u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts__tracing {
    /// Value that bpf_get_attach_cookie() returns in the program.
    pub cookie: __u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts__netfilter {
    /// NFPROTO_IPV4 or NFPROTO_IPV6.
    pub pf: __u32,
    /// `NF_INET_*` hook.
    pub hooknum: __u32,
    /// Priority; lower values run earlier.
    pub priority: __s32,
    /// `BPF_F_NETFILTER_*` flags.
    pub flags: __u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts__tcx {
    /// Program or link to attach before or after; not with relative_id.
    pub relative_fd: __u32,
    /// Id of that program or link; not with relative_fd.
    pub relative_id: __u32,
    /// Attach only if the hook is at this revision; 0 for any.
    pub expected_revision: __u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts__netkit {
    /// Program or link to attach before or after; not with relative_id.
    pub relative_fd: __u32,
    /// Id of that program or link; not with relative_fd.
    pub relative_id: __u32,
    /// Attach only if the hook is at this revision; 0 for any.
    pub expected_revision: __u64,
}
same_as_tcx!(bpf_link_create_opts__netkit);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts__cgroup {
    /// Program or link to attach before or after; not with relative_id.
    pub relative_fd: __u32,
    /// Id of that program or link; not with relative_fd.
    pub relative_id: __u32,
    /// Attach only if the hook is at this revision; 0 for any.
    pub expected_revision: __u64,
}
same_as_tcx!(bpf_link_create_opts__cgroup);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_create_opts__tracing_multi {
    /// Array of the BTF types of the functions.
    pub ids: *const __u32,
    /// A cookie for each, or NULL.
    pub cookies: *const __u64,
    /// Number of functions.
    pub cnt: __u32,
}

// SAFETY: all members may be zero. The union is not listed, because the ends within it
// depend on the member in use.
unsafe impl Fields for bpf_link_create_opts {
    const ENDS: &'static [usize] = &[
        field!(bpf_link_create_opts.sz).end(),
        field!(bpf_link_create_opts.flags).end(),
        field!(bpf_link_create_opts.iter_info).end(),
        field!(bpf_link_create_opts.iter_info_len).end(),
        field!(bpf_link_create_opts.target_btf_id).end(),
    ];
}

// SAFETY: `sz` is the first member, and `KNOWN` is the end of the union's longest member.
unsafe impl Opts for bpf_link_create_opts {
    const NAME: &'static core::ffi::CStr = c_name!(bpf_link_create_opts);
    const KNOWN: usize = MEMBER + field!(bpf_link_create_opts__uprobe_multi.path_fd).end();
}
const _: () = assert!(
    size_of::<bpf_link_create_opts>() - bpf_link_create_opts::KNOWN < align_of::<bpf_link_create_opts>(),
    "KNOWN is not the end of the longest member"
);

/// The offset of the union.
const MEMBER: usize = offset_of!(bpf_link_create_opts, anonymous);

/// Attach a program, and create a link that holds the attachment.
///
/// If the kernel cannot create a link for the attach types of fentry, fexit, fmod_ret, LSM and raw
/// tracepoints, and target_fd and all options are 0, it falls back to bpf_raw_tracepoint_open().
///
/// @param prog_fd      the program (for struct_ops the map)
/// @param target_fd    what to attach to: a cgroup, a network namespace, a perf event, a program; for TCX, netkit and XDP the index of a network device
/// @param attach_type  `BPF_*` attach type
/// @param opts         options, or NULL
/// @return descriptor of the link, to be closed by the caller, or a negative error code (also in errno):
///   - EBADF: a descriptor is invalid
///   - EINVAL: invalid combination of program, target, attach type and options; options of another
///     attach type; relative_fd and relative_id both given; invalid opts
///   - EPERM: the caller lacks the capability required to attach this type of program
///   - EBUSY: a program is attached there that does not allow another one
///   - EOPNOTSUPP, ENOTSUPP (524): the kernel was built without support for it
///
/// Since Linux 5.7. See bpf(2), BPF_LINK_CREATE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_link_create(
    prog_fd: c_int,
    target_fd: c_int,
    attach_type: bpf_attach_type,
    opts: *const bpf_link_create_opts,
) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts; nothing is written to them.
        let opts = unsafe { InOut::new(opts.cast_mut()) }?;
        let head = LinkCreate {
            prog_fd: prog_fd as u32,
            target_fd: target_fd as u32,
            attach_type: attach_type.0,
            flags: opts.flags,
            member: (),
        };
        // SAFETY: the addresses in the opts are the caller's.
        let result = unsafe { create(head, &opts) };
        let plain = target_fd == 0 && opts.is_zero_after(field!(bpf_link_create_opts.sz).end());
        if result == Err(EINVAL) && plain && had_raw_tracepoint_form(attach_type.0) {
            // SAFETY: there is no name.
            return unsafe { raw_tracepoint_open(prog_fd, null(), 0) };
        }
        result
    })
}

/// Creates a link with the member that belongs to the attach type.
///
/// # Safety
/// The addresses in `opts` are the caller's.
unsafe fn create(head: LinkCreate<()>, opts: &InOut<bpf_link_create_opts>) -> Result<c_int> {
    let after_head = opts.is_zero_after(field!(bpf_link_create_opts.target_btf_id).end());
    match (opts.target_btf_id, opts.iter_info_len) {
        (0, 0) => {}
        (target_btf_id, 0) if after_head => {
            return call_for_fd(&mut head.with(TargetBtfId { target_btf_id, pad: [0; 11] }));
        }
        (0, _) if after_head => {}
        _ => return Err(EINVAL),
    }
    match head.attach_type {
        BPF_TRACE_ITER => {
            let member = Iter { iter_info: addr(opts.iter_info), iter_info_len: opts.iter_info_len, pad: [0; 9] };
            // SAFETY: as above.
            unsafe { call_for_fd_with_addrs(&mut head.with(member)) }
        }
        BPF_PERF_EVENT => {
            let given: bpf_link_create_opts__perf_event = member(opts)?;
            call_for_fd(&mut head.with(PerfEvent { bpf_cookie: given.bpf_cookie, pad: [0; 10] }))
        }
        BPF_TRACE_KPROBE_MULTI | BPF_TRACE_KPROBE_SESSION => {
            let given: bpf_link_create_opts__kprobe_multi = member(opts)?;
            let member = KprobeMulti {
                flags: given.flags,
                cnt: given.cnt,
                syms: addr(given.syms),
                addrs: addr(given.addrs),
                cookies: addr(given.cookies),
                pad: [0; 4],
            };
            // SAFETY: as above.
            unsafe { call_for_fd_with_addrs(&mut head.with(member)) }
        }
        BPF_TRACE_UPROBE_MULTI | BPF_TRACE_UPROBE_SESSION => {
            let given: bpf_link_create_opts__uprobe_multi = member(opts)?;
            let member = UprobeMulti {
                path: addr(given.path),
                offsets: addr(given.offsets),
                ref_ctr_offsets: addr(given.ref_ctr_offsets),
                cookies: addr(given.cookies),
                cnt: given.cnt,
                flags: given.flags,
                pid: given.pid,
                path_fd: given.path_fd,
            };
            // SAFETY: as above.
            unsafe { call_for_fd_with_addrs(&mut head.with(member)) }
        }
        BPF_TRACE_FENTRY_MULTI | BPF_TRACE_FEXIT_MULTI | BPF_TRACE_FSESSION_MULTI => {
            let given: bpf_link_create_opts__tracing_multi = member(opts)?;
            let (ids, cookies) = (addr(given.ids), addr(given.cookies));
            // SAFETY: as above.
            unsafe {
                call_for_fd_with_addrs(&mut head.with(TracingMulti { ids, cookies, cnt: given.cnt, pad: [0; 7] }))
            }
        }
        BPF_TRACE_RAW_TP | BPF_TRACE_FENTRY | BPF_TRACE_FEXIT | BPF_MODIFY_RETURN | BPF_TRACE_FSESSION
        | BPF_LSM_MAC => {
            let given: bpf_link_create_opts__tracing = member(opts)?;
            call_for_fd(&mut head.with(Tracing { target_btf_id: 0, pad0: 0, cookie: given.cookie, pad: [0; 8] }))
        }
        BPF_NETFILTER => {
            let given: bpf_link_create_opts__netfilter = member(opts)?;
            call_for_fd(&mut head.with(Netfilter {
                pf: given.pf,
                hooknum: given.hooknum,
                priority: given.priority,
                flags: given.flags,
                pad: [0; 8],
            }))
        }
        attach_type if takes_relative(attach_type) => {
            // `netkit` and `cgroup` have the layout of `tcx`, see same_as_tcx!.
            let given: bpf_link_create_opts__tcx = member(opts)?;
            let (relative, id_flag) = relative(given.relative_fd, given.relative_id)?;
            let head = LinkCreate { flags: head.flags | id_flag, ..head };
            call_for_fd(&mut head.with(Relative {
                relative_fd: relative,
                pad0: 0,
                expected_revision: given.expected_revision,
                pad: [0; 8],
            }))
        }
        _ if opts.is_zero_after(field!(bpf_link_create_opts.flags).end()) => {
            call_for_fd(&mut head.with(TargetBtfId { target_btf_id: 0, pad: [0; 11] }))
        }
        _ => Err(EINVAL),
    }
}

impl LinkCreate<()> {
    /// The record with this member.
    fn with<M: LinkMember>(self, member: M) -> LinkCreate<M> {
        let Self { prog_fd, target_fd, attach_type, flags, .. } = self;
        LinkCreate { prog_fd, target_fd, attach_type, flags, member }
    }
}

/// The union's member `M`. Those of its members that end after `sz` are zero. The bytes after it must be zero.
fn member<M: Fields>(opts: &InOut<bpf_link_create_opts>) -> Result<M> {
    const { assert!(MEMBER + size_of::<M>() <= size_of::<bpf_link_create_opts>()) };
    if !opts.is_zero_after(MEMBER + size_of::<M>()) {
        return Err(EINVAL);
    }
    // SAFETY: `M` at `MEMBER` lies within the struct: just asserted.
    Ok(unsafe { opts.member(MEMBER) })
}

/// Attach types that accept a position relative to another program or link.
fn takes_relative(attach_type: u32) -> bool {
    matches!(
        attach_type,
        BPF_TCX_INGRESS
            | BPF_TCX_EGRESS
            | BPF_NETKIT_PRIMARY
            | BPF_NETKIT_PEER
            | BPF_CGROUP_INET_INGRESS
            | BPF_CGROUP_INET_EGRESS
            | BPF_CGROUP_INET_SOCK_CREATE
            | BPF_CGROUP_INET_SOCK_RELEASE
            | BPF_CGROUP_SOCK_OPS
            | BPF_CGROUP_DEVICE
            | BPF_CGROUP_SYSCTL
            | BPF_CGROUP_INET4_BIND
            | BPF_CGROUP_INET6_BIND
            | BPF_CGROUP_INET4_POST_BIND
            | BPF_CGROUP_INET6_POST_BIND
            | BPF_CGROUP_INET4_CONNECT
            | BPF_CGROUP_INET6_CONNECT
            | BPF_CGROUP_UNIX_CONNECT
            | BPF_CGROUP_INET4_GETPEERNAME
            | BPF_CGROUP_INET6_GETPEERNAME
            | BPF_CGROUP_UNIX_GETPEERNAME
            | BPF_CGROUP_INET4_GETSOCKNAME
            | BPF_CGROUP_INET6_GETSOCKNAME
            | BPF_CGROUP_UNIX_GETSOCKNAME
            | BPF_CGROUP_UDP4_SENDMSG
            | BPF_CGROUP_UDP6_SENDMSG
            | BPF_CGROUP_UNIX_SENDMSG
            | BPF_CGROUP_UDP4_RECVMSG
            | BPF_CGROUP_UDP6_RECVMSG
            | BPF_CGROUP_UNIX_RECVMSG
            | BPF_CGROUP_GETSOCKOPT
            | BPF_CGROUP_SETSOCKOPT
            | BPF_LSM_CGROUP
    )
}

/// Attach types for which there was `BPF_RAW_TRACEPOINT_OPEN` before there were links.
fn had_raw_tracepoint_form(attach_type: u32) -> bool {
    matches!(attach_type, BPF_TRACE_RAW_TP | BPF_LSM_MAC | BPF_TRACE_FENTRY | BPF_TRACE_FEXIT | BPF_MODIFY_RETURN)
}

/// Options of bpf_link_update().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_link_update_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// BPF_F_REPLACE: replace only if old_prog_fd or old_map_fd is the current one of the link.
    pub flags: __u32,
    /// The program expected to be replaced, with BPF_F_REPLACE.
    pub old_prog_fd: __u32,
    /// The struct_ops map expected to be replaced, with BPF_F_REPLACE (Linux 6.4); not with old_prog_fd.
    pub old_map_fd: __u32,
}

/// Replace the program of a link (or the map of a struct_ops link).
///
/// @param link_fd      the link
/// @param new_prog_fd  the new program (or map)
/// @param opts         options, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: a descriptor is invalid
///   - EINVAL: the program does not match the link; old_prog_fd and old_map_fd both given; invalid opts
///   - EPERM: BPF_F_REPLACE is set, and the link has another program
///   - ENOLINK: the link is detached
///
/// Since Linux 5.7. See bpf(2), BPF_LINK_UPDATE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_link_update(
    link_fd: c_int,
    new_prog_fd: c_int,
    opts: *const bpf_link_update_opts,
) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        if opts.old_prog_fd != 0 && opts.old_map_fd != 0 {
            return Err(EINVAL);
        }
        call(&mut LinkUpdate {
            link_fd: link_fd as u32,
            new_prog_fd: new_prog_fd as u32,
            flags: opts.flags,
            // Both use this member, and at most one is set.
            old_prog_fd: opts.old_prog_fd | opts.old_map_fd,
        })
    })
}

/// Detach a link; the link object remains, attached to nothing.
///
/// @param link_fd  the link
/// @return 0, or a negative error code (also in errno):
///   - EBADF: link_fd is invalid
///   - EINVAL: link_fd does not refer to a link
///   - EOPNOTSUPP: links of this type cannot be detached; close them
///
/// Since Linux 5.9. See bpf(2), BPF_LINK_DETACH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_link_detach(link_fd: c_int) -> c_int {
    to_c(|| call(&mut LinkDetach { link_fd: link_fd as u32 }))
}

/// Create an iterator from an iterator link. Reading from the iterator runs the program.
///
/// @param link_fd  link created with BPF_TRACE_ITER
/// @return descriptor to read from, to be closed by the caller, or a negative error code (also in errno):
///   - EBADF: link_fd is invalid
///   - EINVAL: link_fd does not refer to an iterator link
///
/// Since Linux 5.8. See bpf(2), BPF_ITER_CREATE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_iter_create(link_fd: c_int) -> c_int {
    to_c(|| call_for_fd(&mut IterCreate { link_fd: link_fd as u32, flags: 0 }))
}
