// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps: creation, single elements, batches of elements.

use core::ffi::{c_char, c_int, c_void};

use crate::kernel::attr::*;
use crate::kernel::call::call_for_fd_with_common;
use crate::kernel::uapi::*;
use crate::kernel::{call, call_for_fd_with_addrs, call_with_addrs, features, memlock};
use crate::opts::{self, InOut, field};
use crate::returns::{Out, to_c};
use crate::types::{__s32, __u32, __u64, bpf_map_type};

/// Log buffer for commands without log members of their own. The kernel may write to it why it
/// rejected the call. Kernels before 7.2 write nothing.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_log_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Buffer for the log; may be NULL.
    pub buf: *mut c_char,
    /// Size of `buf`, in bytes.
    pub size: __u32,
    /// Log level: bits 0 to 2 as in bpf_prog_load_opts.log_level.
    pub level: __u32,
    /// Out: size of the whole log in bytes, including its NUL, even if it did not fit; 0 if there is none.
    pub true_size: __u32,
}

/// Options of bpf_map_create().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_map_create_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// BTF object that describes the key and the value (Linux 4.18).
    pub btf_fd: __u32,
    /// Type of the key in that BTF object.
    pub btf_key_type_id: __u32,
    /// Type of the value in that BTF object.
    pub btf_value_type_id: __u32,
    /// For struct_ops maps: type in the kernel's own BTF (Linux 5.6).
    pub btf_vmlinux_value_type_id: __u32,
    /// For maps of maps: a map that serves as the template for the inner maps (Linux 4.12).
    pub inner_map_fd: __u32,
    /// `BPF_F_*` flags of the map (Linux 4.6).
    pub map_flags: __u32,
    /// Extra setting that depends on the map type, e.g. the number of hash functions of a bloom filter (Linux 5.16).
    pub map_extra: __u64,
    /// NUMA node to allocate on, with `BPF_F_NUMA_NODE` (Linux 4.14).
    pub numa_node: __u32,
    /// Network device to offload the map to (Linux 4.16).
    pub map_ifindex: __u32,
    /// For struct_ops maps: BTF object of a module, with `BPF_F_VTYPE_BTF_OBJ_FD` (Linux 6.9).
    pub value_type_btf_obj_fd: __s32,
    /// BPF token, with `BPF_F_TOKEN_FD` (Linux 6.9).
    pub token_fd: __u32,
    /// SHA-256 hash of the one program that may use the map (Linux 6.18).
    pub excl_prog_hash: *const c_void,
    /// Size of the hash, in bytes.
    pub excl_prog_hash_size: __u32,
    /// In and out: receives the kernel's message about a rejected map (Linux 7.2); may be NULL.
    pub log_opts: *mut bpf_log_opts,
}

/// Create a map.
///
/// On kernels before 5.11, the library raises RLIMIT_MEMLOCK before it creates the first map,
/// program or BTF object of a process; see libbpf_set_memlock_rlim().
///
/// @param map_type     `BPF_MAP_TYPE_*`
/// @param map_name     name, truncated to 15 bytes; NULL for none; not sent to kernels before 4.15
/// @param key_size     size of a key, in bytes
/// @param value_size   size of a value, in bytes
/// @param max_entries  maximum number of elements
/// @param opts         options, or NULL
/// @return descriptor of the map, to be closed by the caller, or a negative error code (also in errno):
///   - EINVAL: invalid combination of type, sizes and flags; invalid opts
///   - EPERM: the caller lacks CAP_BPF (some types CAP_NET_ADMIN or CAP_SYS_ADMIN), or RLIMIT_MEMLOCK is reached
///   - E2BIG: the sizes are too large for this type
///
/// Since Linux 3.18. See bpf(2), BPF_MAP_CREATE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_create(
    map_type: bpf_map_type,
    map_name: *const c_char,
    key_size: __u32,
    value_size: __u32,
    max_entries: __u32,
    opts: *const bpf_map_create_opts,
) -> c_int {
    to_c(|| {
        memlock::raise_if_needed();
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        // SAFETY: the caller's opts, inside those.
        let mut log_opts = unsafe { InOut::new(opts.log_opts) }?;
        let mut attr = MapCreate {
            map_type: map_type.0,
            // SAFETY: the caller's string, or NULL.
            map_name: unsafe { features::known_name(map_name) },
            key_size,
            value_size,
            max_entries,
            btf_fd: opts.btf_fd,
            btf_key_type_id: opts.btf_key_type_id,
            btf_value_type_id: opts.btf_value_type_id,
            btf_vmlinux_value_type_id: opts.btf_vmlinux_value_type_id,
            inner_map_fd: opts.inner_map_fd,
            map_flags: opts.map_flags,
            map_extra: opts.map_extra,
            numa_node: opts.numa_node,
            map_ifindex: opts.map_ifindex,
            value_type_btf_obj_fd: opts.value_type_btf_obj_fd,
            map_token_fd: opts.token_fd as i32,
            excl_prog_hash: addr(opts.excl_prog_hash),
            excl_prog_hash_size: opts.excl_prog_hash_size,
        };
        let mut common =
            CommonAttr { log_buf: addr(log_opts.buf), log_size: log_opts.size, log_level: log_opts.level, ..zeroed() };
        let map_fd = if !opts.log_opts.is_null() && features::common_attrs() {
            // SAFETY: the hash and the log buffer are the caller's.
            unsafe { call_for_fd_with_common(&mut attr, &mut common) }
        } else {
            // SAFETY: the hash is the caller's.
            unsafe { call_for_fd_with_addrs(&mut attr) }
        };
        log_opts.set(field!(bpf_log_opts.true_size), common.log_true_size);
        map_fd
    })
}

/// Add an element, or replace it.
///
/// @param fd     the map
/// @param key    key, of the map's key size
/// @param value  value, of the map's value size (rounded up to 8 bytes, times the number of possible CPUs, for per-CPU maps)
/// @param flags  BPF_ANY (0), BPF_NOEXIST (only add), BPF_EXIST (only replace), BPF_F_LOCK (Linux 5.1)
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd does not refer to a map
///   - EEXIST: BPF_NOEXIST, and the key exists
///   - ENOENT: BPF_EXIST, and the key does not exist
///   - E2BIG: the map is full, or the index is too large
///   - EINVAL: unknown flags
///   - EPERM: the map is frozen, or the descriptor is not open for writing
///
/// Since Linux 3.18. See bpf(2), BPF_MAP_UPDATE_ELEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_update_elem(
    fd: c_int,
    key: *const c_void,
    value: *const c_void,
    flags: __u64,
) -> c_int {
    // SAFETY: the key and the value are the caller's.
    unsafe { elem::<BPF_MAP_UPDATE_ELEM>(fd, key, value, flags) }
}

/// Look up an element.
///
/// @param fd     the map
/// @param key    key, of the map's key size
/// @param value  out: its value, of the map's value size (rounded up to 8 bytes, times the number of possible CPUs, for per-CPU maps)
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd does not refer to a map
///   - ENOENT: the key does not exist
///   - EPERM: the descriptor is not open for reading
///
/// Since Linux 3.18. See bpf(2), BPF_MAP_LOOKUP_ELEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_lookup_elem(fd: c_int, key: *const c_void, value: *mut c_void) -> c_int {
    // SAFETY: the key and the value are the caller's.
    unsafe { elem::<BPF_MAP_LOOKUP_ELEM>(fd, key, value, 0) }
}

/// Look up an element, with flags.
///
/// @param fd     the map
/// @param key    key, of the map's key size
/// @param value  out: its value, as for bpf_map_lookup_elem()
/// @param flags  BPF_F_LOCK: copy the value under its spin lock
/// @return 0, or a negative error code (also in errno): as bpf_map_lookup_elem(), and
///   - EINVAL: unknown flags, or BPF_F_LOCK and the value has no lock
///
/// Since Linux 5.1. See bpf(2), BPF_MAP_LOOKUP_ELEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_lookup_elem_flags(
    fd: c_int,
    key: *const c_void,
    value: *mut c_void,
    flags: __u64,
) -> c_int {
    // SAFETY: the key and the value are the caller's.
    unsafe { elem::<BPF_MAP_LOOKUP_ELEM>(fd, key, value, flags) }
}

/// Look up an element and delete it, in one step.
///
/// For queues and stacks the key must be NULL; the next element is returned.
///
/// @param fd     the map
/// @param key    key, of the map's key size
/// @param value  out: its value, as for bpf_map_lookup_elem()
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd does not refer to a map
///   - ENOENT: the key does not exist, or the queue is empty
///   - ENOTSUPP (524) or EINVAL: not supported by this type of map
///   - EPERM: the map is frozen, or the descriptor is not open for reading and writing
///
/// Since Linux 4.20 for queues and stacks, 5.14 for hashes. See bpf(2), BPF_MAP_LOOKUP_AND_DELETE_ELEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_lookup_and_delete_elem(fd: c_int, key: *const c_void, value: *mut c_void) -> c_int {
    // SAFETY: the key and the value are the caller's.
    unsafe { elem::<BPF_MAP_LOOKUP_AND_DELETE_ELEM>(fd, key, value, 0) }
}

/// Look up an element and delete it, in one step, with flags.
///
/// @param fd     the map
/// @param key    key, of the map's key size
/// @param value  out: its value, as for bpf_map_lookup_elem()
/// @param flags  BPF_F_LOCK: copy the value under its spin lock
/// @return 0, or a negative error code (also in errno): as bpf_map_lookup_and_delete_elem(), and
///   - EINVAL: unknown flags
///
/// Since Linux 5.14. See bpf(2), BPF_MAP_LOOKUP_AND_DELETE_ELEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_lookup_and_delete_elem_flags(
    fd: c_int,
    key: *const c_void,
    value: *mut c_void,
    flags: __u64,
) -> c_int {
    // SAFETY: the key and the value are the caller's.
    unsafe { elem::<BPF_MAP_LOOKUP_AND_DELETE_ELEM>(fd, key, value, flags) }
}

/// Delete an element.
///
/// @param fd   the map
/// @param key  key, of the map's key size
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd does not refer to a map
///   - ENOENT: the key does not exist
///   - EINVAL: elements of this type of map cannot be deleted
///   - EPERM: the map is frozen, or the descriptor is not open for writing
///
/// Since Linux 3.18. See bpf(2), BPF_MAP_DELETE_ELEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_delete_elem(fd: c_int, key: *const c_void) -> c_int {
    // SAFETY: the key is the caller's.
    unsafe { elem::<BPF_MAP_DELETE_ELEM>(fd, key, core::ptr::null(), 0) }
}

/// Delete an element, with flags.
///
/// @param fd     the map
/// @param key    key, of the map's key size
/// @param flags  no kernel up to 7.2 accepts any
/// @return 0, or a negative error code (also in errno): as bpf_map_delete_elem(), and
///   - EINVAL: unknown flags
///
/// Since Linux 3.18. See bpf(2), BPF_MAP_DELETE_ELEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_delete_elem_flags(fd: c_int, key: *const c_void, flags: __u64) -> c_int {
    // SAFETY: the key is the caller's.
    unsafe { elem::<BPF_MAP_DELETE_ELEM>(fd, key, core::ptr::null(), flags) }
}

/// Get the key that follows another one, to iterate over a map.
///
/// @param fd        the map
/// @param key       key, of the map's key size; NULL, or a key that does not exist, for the first
/// @param next_key  out: the key that follows, of the map's key size
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd does not refer to a map
///   - ENOENT: key is the last one
///   - EPERM: the descriptor is not open for reading
///
/// Since Linux 3.18. See bpf(2), BPF_MAP_GET_NEXT_KEY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_get_next_key(fd: c_int, key: *const c_void, next_key: *mut c_void) -> c_int {
    to_c(|| {
        let mut attr = MapGetNextKey { map_fd: fd as u32, key: addr(key), next_key: addr(next_key), ..zeroed() };
        // SAFETY: both keys are the caller's.
        unsafe { call_with_addrs(&mut attr) }
    })
}

/// Freeze a map: user space can no longer change its elements.
///
/// @param fd  the map
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd does not refer to a map
///   - EBUSY, or EPERM on some kernels: the map is frozen already
///   - EBUSY: the map is mapped for writing
///   - EPERM: the descriptor is not open for writing
///
/// Since Linux 5.2. See bpf(2), BPF_MAP_FREEZE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_freeze(fd: c_int) -> c_int {
    to_c(|| call(&mut MapFreeze { map_fd: fd as u32 }))
}

/// Options of the batch functions.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_map_batch_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Flags for each element, as for the function that handles one element.
    pub elem_flags: __u64,
    /// Flags for the batch; none so far.
    pub flags: __u64,
}

/// Delete several elements.
///
/// @param fd     the map
/// @param keys   the keys, one after another
/// @param count  in: number of elements; out, also on failure: number of elements deleted
/// @param opts   options, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd does not refer to a map
///   - EFAULT: a pointer is invalid; count is then meaningless
///   - EINVAL: invalid opts, or count is NULL
///   - ENOENT: a key does not exist
///   - ENOTSUPP (524): not supported by this type of map
///   - EPERM: the map is frozen, or the descriptor is not open for writing
///
/// Since Linux 5.6. See bpf(2), BPF_MAP_DELETE_BATCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_delete_batch(
    fd: c_int,
    keys: *const c_void,
    count: *mut __u32,
    opts: *const bpf_map_batch_opts,
) -> c_int {
    let pointers = MapBatch { keys: addr(keys), ..zeroed() };
    // SAFETY: all pointers are the caller's.
    unsafe { batch::<BPF_MAP_DELETE_BATCH>(fd, pointers, count, opts) }
}

/// Look up several elements.
///
/// To read a whole map, pass the position that one call writes to out_batch as in_batch to the
/// next. When a call returns -ENOENT, the end is reached; the count elements of that last call
/// are valid.
///
/// @param fd         the map
/// @param in_batch   position, of the map's key size (at least 4 bytes); NULL to start from the beginning
/// @param out_batch  out: position of the next batch, of the same size
/// @param keys       out: room for count keys
/// @param values     out: room for count values
/// @param count      in: maximum number of elements to read; out, also on failure: elements read
/// @param opts       options, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd does not refer to a map
///   - EFAULT: a pointer is invalid; count is then meaningless
///   - EINVAL: invalid opts, or count is NULL
///   - ENOENT: there are no more elements
///   - ENOSPC: count is less than the number of elements in a hash bucket
///   - ENOTSUPP (524): not supported by this type of map
///   - EPERM: the descriptor is not open for reading
///
/// Since Linux 5.6. See bpf(2), BPF_MAP_LOOKUP_BATCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_lookup_batch(
    fd: c_int,
    in_batch: *mut c_void,
    out_batch: *mut c_void,
    keys: *mut c_void,
    values: *mut c_void,
    count: *mut __u32,
    opts: *const bpf_map_batch_opts,
) -> c_int {
    let pointers = MapBatch {
        in_batch: addr(in_batch),
        out_batch: addr(out_batch),
        keys: addr(keys),
        values: addr(values),
        ..zeroed()
    };
    // SAFETY: all pointers are the caller's.
    unsafe { batch::<BPF_MAP_LOOKUP_BATCH>(fd, pointers, count, opts) }
}

/// Look up several elements and delete them.
///
/// The parameters, the result and the way to iterate are those of bpf_map_lookup_batch(). EPERM is
/// also returned if the map is frozen, or the descriptor is not open for writing.
///
/// Since Linux 5.6. See bpf(2), BPF_MAP_LOOKUP_AND_DELETE_BATCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_lookup_and_delete_batch(
    fd: c_int,
    in_batch: *mut c_void,
    out_batch: *mut c_void,
    keys: *mut c_void,
    values: *mut c_void,
    count: *mut __u32,
    opts: *const bpf_map_batch_opts,
) -> c_int {
    let pointers = MapBatch {
        in_batch: addr(in_batch),
        out_batch: addr(out_batch),
        keys: addr(keys),
        values: addr(values),
        ..zeroed()
    };
    // SAFETY: all pointers are the caller's.
    unsafe { batch::<BPF_MAP_LOOKUP_AND_DELETE_BATCH>(fd, pointers, count, opts) }
}

/// Add or replace several elements.
///
/// @param fd      the map
/// @param keys    the keys, one after another
/// @param values  their values, one after another
/// @param count   in: number of elements; out, also on failure: number of elements written
/// @param opts    options, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd does not refer to a map
///   - EFAULT: a pointer is invalid; count is then meaningless
///   - EINVAL: invalid opts, or count is NULL
///   - E2BIG: the map is full
///   - ENOTSUPP (524): not supported by this type of map
///   - EPERM: the map is frozen, or the descriptor is not open for writing
///
/// Since Linux 5.6. See bpf(2), BPF_MAP_UPDATE_BATCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_update_batch(
    fd: c_int,
    keys: *const c_void,
    values: *const c_void,
    count: *mut __u32,
    opts: *const bpf_map_batch_opts,
) -> c_int {
    let pointers = MapBatch { keys: addr(keys), values: addr(values), ..zeroed() };
    // SAFETY: all pointers are the caller's.
    unsafe { batch::<BPF_MAP_UPDATE_BATCH>(fd, pointers, count, opts) }
}

/// The common part of the functions for one element.
///
/// # Safety
/// `key` and `value` are the caller's.
#[inline]
unsafe fn elem<const CMD: bpf_cmd>(fd: c_int, key: *const c_void, value: *const c_void, flags: __u64) -> c_int {
    to_c(|| {
        let mut attr = MapElem::<CMD> { map_fd: fd as u32, pad: 0, key: addr(key), value: addr(value), flags };
        // SAFETY: as above.
        unsafe { call_with_addrs(&mut attr) }
    })
}

/// The common part of the batch functions.
///
/// # Safety
/// `count`, `opts` and the addresses in `pointers` are the caller's.
unsafe fn batch<const CMD: bpf_cmd>(
    fd: c_int,
    pointers: MapBatch<CMD>,
    count: *mut __u32,
    opts: *const bpf_map_batch_opts,
) -> c_int {
    to_c(|| {
        // SAFETY: as above.
        let (opts, count) = unsafe { (opts::read(opts)?, Out::new(count)?) };
        let mut attr = MapBatch {
            map_fd: fd as u32,
            count: count.get(),
            elem_flags: opts.elem_flags,
            flags: opts.flags,
            ..pointers
        };
        // SAFETY: as above.
        let result = unsafe { call_with_addrs(&mut attr) };
        count.set(attr.count);
        result
    })
}
