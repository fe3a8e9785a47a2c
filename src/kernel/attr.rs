// SPDX-License-Identifier: MIT OR Apache-2.0
//! One attribute record per `bpf(2)` command: exactly the bytes that are sent.
//!
//! The command is part of a record's type, so a record cannot be sent with another command. All
//! its bytes are initialised: padding is a member too. `packed(4)` makes a record end with its
//! last member (92 bytes for `MapCreate`, not 96), and gives it the same layout on 32-bit and
//! 64-bit machines. Members have the names of `union bpf_attr`.

use core::ffi::{c_char, c_void};
use core::mem::MaybeUninit;

use super::uapi::*;

/// Data that the kernel is given as it lies in memory.
///
/// # Safety
/// All-zero bytes are a value of the type, none of its bytes is padding, and `HAS_ADDRS` is true if it contains an
/// [`Addr`].
pub unsafe trait Plain: Copy {
    const HAS_ADDRS: bool;
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        // SAFETY: an integer, or an array of them.
        unsafe impl Plain for $ty {
            const HAS_ADDRS: bool = false;
        }
    )*};
}
integers!(u32, i32, u64, [u8; NAME_LEN]);

// SAFETY: an array of integers.
unsafe impl<const N: usize> Plain for [u32; N] {
    const HAS_ADDRS: bool = false;
}

/// An address at which the kernel reads or writes. A record that contains one is sent only by an unsafe call.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Addr(u64);

#[cfg(test)]
impl Addr {
    /// The number that is sent.
    pub fn number(self) -> u64 {
        self.0
    }
}

// SAFETY: an integer.
unsafe impl Plain for Addr {
    const HAS_ADDRS: bool = true;
}

/// The address of a pointer from C, zero-extended to 64 bits.
pub fn addr<T>(pointer: *const T) -> Addr {
    Addr(pointer.cast::<c_void>() as usize as u64)
}

/// What `bpf(2)` can be called with.
///
/// # Safety
/// The record has every member that the kernel writes for this command.
pub unsafe trait Attr: Plain {
    const CMD: bpf_cmd;
}

/// A record with every byte zero, to be filled with `..zeroed()`.
pub fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` guarantees that all-zero bytes are a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Declares a record: its members, each of which is [`Plain`] data, with nothing between them.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident $([$cmd:ident])? { $($(#[$note:meta])* $member:ident: $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C, packed(4))]
        #[derive(Clone, Copy)]
        pub struct $name $(<const $cmd: bpf_cmd>)? { $($(#[$note])* pub $member: $ty),* }
        const _: () = {
            $(const $cmd: bpf_cmd = 0;)?
            assert!(0 $(+ size_of::<$ty>())* == size_of::<$name $(<$cmd>)?>());
        };
        // SAFETY: every member is `Plain`, or this does not compile, and their sizes add up to that of the record.
        unsafe impl $(<const $cmd: bpf_cmd>)? Plain for $name $(<$cmd>)? {
            const HAS_ADDRS: bool = false $(|| <$ty as Plain>::HAS_ADDRS)*;
        }
    };
}

/// Declares records, each with its command.
macro_rules! attrs {
    ($($(#[$doc:meta])* $name:ident: $cmd:ident $members:tt)*) => {$(
        record! { $(#[$doc])* $name $members }
        // SAFETY: the record of this command, all of it.
        unsafe impl Attr for $name {
            const CMD: bpf_cmd = $cmd;
        }
    )*};
}

/// Declares records that several commands share. A record is a distinct type for each command.
macro_rules! shared_attrs {
    ($($(#[$doc:meta])* $name:ident $members:tt)*) => {$(
        record! { $(#[$doc])* $name [CMD] $members }
        // SAFETY: the record of these commands, all of it.
        unsafe impl<const CMD: bpf_cmd> Attr for $name<CMD> {
            const CMD: bpf_cmd = CMD;
        }
    )*};
}

attrs! {
    MapCreate: BPF_MAP_CREATE {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; NAME_LEN],
        map_ifindex: u32,
        btf_fd: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_value_type_id: u32,
        map_extra: u64,
        value_type_btf_obj_fd: i32,
        map_token_fd: i32,
        excl_prog_hash: Addr,
        excl_prog_hash_size: u32,
    }
    MapGetNextKey: BPF_MAP_GET_NEXT_KEY {
        map_fd: u32,
        pad: u32,
        key: Addr,
        next_key: Addr,
    }
    MapFreeze: BPF_MAP_FREEZE {
        map_fd: u32,
    }
    ProgLoad: BPF_PROG_LOAD {
        prog_type: u32,
        insn_cnt: u32,
        insns: Addr,
        license: Addr,
        log_level: u32,
        log_size: u32,
        log_buf: Addr,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; NAME_LEN],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: Addr,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: Addr,
        line_info_cnt: u32,
        attach_btf_id: u32,
        /// Also `attach_btf_obj_fd`.
        attach_prog_fd: u32,
        core_relo_cnt: u32,
        fd_array: Addr,
        core_relos: Addr,
        core_relo_rec_size: u32,
        log_true_size: u32,
        prog_token_fd: i32,
        fd_array_cnt: u32,
        signature: Addr,
        signature_size: u32,
        keyring_id: i32,
    }
    ProgTestRun: BPF_PROG_TEST_RUN {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: Addr,
        data_out: Addr,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: Addr,
        ctx_out: Addr,
        flags: u32,
        cpu: u32,
        batch_size: u32,
        pad: u32,
    }
    BtfGetFdById: BPF_BTF_GET_FD_BY_ID {
        btf_id: u32,
        next_id: u32,
        open_flags: u32,
        fd_by_id_token_fd: i32,
    }
    ObjGetInfoByFd: BPF_OBJ_GET_INFO_BY_FD {
        bpf_fd: u32,
        info_len: u32,
        info: Addr,
    }
    ProgQuery: BPF_PROG_QUERY {
        /// Also `target_ifindex`.
        target_fd: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: Addr,
        /// Also `count`, since Linux 6.6.
        prog_cnt: u32,
        pad: u32,
        prog_attach_flags: Addr,
        link_ids: Addr,
        link_attach_flags: Addr,
        revision: u64,
    }
    RawTracepointOpen: BPF_RAW_TRACEPOINT_OPEN {
        name: Addr,
        prog_fd: u32,
        pad: u32,
        cookie: u64,
    }
    BtfLoad: BPF_BTF_LOAD {
        btf: Addr,
        btf_log_buf: Addr,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        btf_log_true_size: u32,
        btf_flags: u32,
        btf_token_fd: i32,
    }
    TaskFdQuery: BPF_TASK_FD_QUERY {
        pid: u32,
        fd: u32,
        flags: u32,
        buf_len: u32,
        buf: Addr,
        prog_id: u32,
        fd_type: u32,
        probe_offset: u64,
        probe_addr: u64,
    }
    LinkUpdate: BPF_LINK_UPDATE {
        link_fd: u32,
        /// Also `new_map_fd`.
        new_prog_fd: u32,
        flags: u32,
        /// Also `old_map_fd`.
        old_prog_fd: u32,
    }
    LinkDetach: BPF_LINK_DETACH {
        link_fd: u32,
    }
    EnableStats: BPF_ENABLE_STATS {
        type_: u32,
    }
    IterCreate: BPF_ITER_CREATE {
        link_fd: u32,
        flags: u32,
    }
    ProgBindMap: BPF_PROG_BIND_MAP {
        prog_fd: u32,
        map_fd: u32,
        flags: u32,
    }
    TokenCreate: BPF_TOKEN_CREATE {
        flags: u32,
        bpffs_fd: u32,
    }
    ProgStreamRead: BPF_PROG_STREAM_READ_BY_FD {
        stream_buf: Addr,
        stream_buf_len: u32,
        stream_id: u32,
        prog_fd: u32,
        pad: u32,
    }
    ProgAssocStructOps: BPF_PROG_ASSOC_STRUCT_OPS {
        map_fd: u32,
        prog_fd: u32,
        flags: u32,
    }
}

shared_attrs! {
    /// For the four commands that look up, update and delete an element.
    MapElem {
        map_fd: u32,
        pad: u32,
        key: Addr,
        value: Addr,
        flags: u64,
    }
    /// For the four batch commands.
    MapBatch {
        in_batch: Addr,
        out_batch: Addr,
        keys: Addr,
        values: Addr,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
    /// For `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
    ObjPath {
        pathname: Addr,
        bpf_fd: u32,
        file_flags: u32,
        path_fd: i32,
    }
    /// For `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
    ProgAttachDetach {
        /// Also `target_ifindex`.
        target_fd: u32,
        attach_bpf_fd: u32,
        attach_type: u32,
        attach_flags: u32,
        replace_bpf_fd: u32,
        /// Also `relative_id`, with `BPF_F_ID` in the flags.
        relative_fd: u32,
        expected_revision: u64,
    }
    /// For the four commands that iterate over ids.
    GetNextId {
        start_id: u32,
        next_id: u32,
        open_flags: u32,
    }
    /// For the three commands that open a program, a map or a link by its id.
    GetFdById {
        /// Also `prog_id`, `map_id`, `link_id`.
        start_id: u32,
        next_id: u32,
        open_flags: u32,
    }
}

/// For `BPF_LINK_CREATE`: 16 bytes, then 48 bytes for the union member that belongs to the attach type.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct LinkCreate<M> {
    /// Also `map_fd`.
    pub prog_fd: u32,
    /// Also `target_ifindex`.
    pub target_fd: u32,
    pub attach_type: u32,
    pub flags: u32,
    pub member: M,
}

/// The union member of a [`LinkCreate`].
///
/// # Safety
/// The type has 48 bytes and needs no alignment greater than 4.
pub unsafe trait LinkMember: Plain {}

// SAFETY: four integers, and the member right after them.
unsafe impl<M: LinkMember> Plain for LinkCreate<M> {
    const HAS_ADDRS: bool = M::HAS_ADDRS;
}

// SAFETY: the record of this command, all of it.
unsafe impl<M: LinkMember> Attr for LinkCreate<M> {
    const CMD: bpf_cmd = BPF_LINK_CREATE;
}

macro_rules! link_members {
    ($($(#[$doc:meta])* $name:ident $members:tt)*) => {$(
        record! { $(#[$doc])* $name $members }
        // SAFETY: `record!` packs it; its size is asserted below.
        unsafe impl LinkMember for $name {}
        const _: () = assert!(size_of::<$name>() == 48 && size_of::<LinkCreate<$name>>() == 64);
    )*};
}

link_members! {
    /// For `target_btf_id` alone, or no member.
    TargetBtfId { target_btf_id: u32, pad: [u32; 11] }
    Iter { iter_info: Addr, iter_info_len: u32, pad: [u32; 9] }
    PerfEvent { bpf_cookie: u64, pad: [u32; 10] }
    KprobeMulti { flags: u32, cnt: u32, syms: Addr, addrs: Addr, cookies: Addr, pad: [u32; 4] }
    Tracing { target_btf_id: u32, pad0: u32, cookie: u64, pad: [u32; 8] }
    Netfilter { pf: u32, hooknum: u32, priority: i32, flags: u32, pad: [u32; 8] }
    /// For `tcx`, `netkit` and `cgroup`. `relative_fd` is also `relative_id`, with `BPF_F_ID` in the flags.
    Relative { relative_fd: u32, pad0: u32, expected_revision: u64, pad: [u32; 8] }
    UprobeMulti {
        path: Addr,
        offsets: Addr,
        ref_ctr_offsets: Addr,
        cookies: Addr,
        cnt: u32,
        flags: u32,
        pid: u32,
        path_fd: u32,
    }
    TracingMulti { ids: Addr, cookies: Addr, cnt: u32, pad: [u32; 7] }
}

/// The common attributes: what a call with `BPF_COMMON_ATTRS` passes in addition to the record of its command.
#[repr(C, packed(4))]
#[derive(Clone, Copy)]
pub struct CommonAttr {
    pub log_buf: Addr,
    pub log_size: u32,
    pub log_level: u32,
    pub log_true_size: u32,
    pub pad: u32,
}
const _: () = assert!(size_of::<CommonAttr>() == 24);

// SAFETY: an address and four integers, 24 bytes in all.
unsafe impl Plain for CommonAttr {
    const HAS_ADDRS: bool = true;
}

/// The size of an object's name in a record, including the terminating NUL.
pub const NAME_LEN: usize = BPF_OBJ_NAME_LEN as usize;

/// A name as it is stored in a record: truncated to 15 bytes, and padded with zeros.
///
/// # Safety
/// `name` points to a NUL-terminated string.
#[inline(never)]
pub unsafe fn name(name: *const c_char) -> [u8; NAME_LEN] {
    let mut bytes = [0; NAME_LEN];
    let mut len = 0;
    // SAFETY: no byte before this one is the terminating NUL.
    while len < NAME_LEN - 1 && unsafe { name.add(len).read() } != 0 {
        // SAFETY: as above.
        bytes[len] = unsafe { name.add(len).read() } as u8;
        len += 1;
    }
    bytes
}
