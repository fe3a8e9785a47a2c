// SPDX-License-Identifier: MIT OR Apache-2.0
//! For all kinds of objects: ids, descriptors by id, information, pins in a BPF file system.

use core::ffi::{c_char, c_int, c_void};
use core::ptr::null;

use crate::kernel::attr::*;
use crate::kernel::uapi::*;
use crate::kernel::{call, call_for_fd, call_for_fd_with_addrs, call_with_addrs};
use crate::opts;
use crate::returns::{Out, to_c};
use crate::types::{__u32, bpf_btf_info, bpf_link_info, bpf_map_info, bpf_prog_info};

/// Options of bpf_obj_pin_opts().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_obj_pin_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// BPF_F_PATH_FD to use path_fd (Linux 6.5).
    pub file_flags: __u32,
    /// Directory that a relative path is relative to, with BPF_F_PATH_FD (Linux 6.5).
    pub path_fd: c_int,
}

/// Pin an object: create a file for it in a BPF file system, which keeps it alive.
///
/// @param fd        map, program, link or BTF object
/// @param pathname  path of the file; it must not exist yet
/// @return 0, or a negative error code (also in errno): as bpf_obj_pin_opts()
///
/// Since Linux 4.4. See bpf(2), BPF_OBJ_PIN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_obj_pin(fd: c_int, pathname: *const c_char) -> c_int {
    // SAFETY: NULL options.
    unsafe { bpf_obj_pin_opts(fd, pathname, null()) }
}

/// Pin an object, with options.
///
/// @param fd        map, program, link or BTF object
/// @param pathname  path of the file; it must not exist yet
/// @param opts      options, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EBADF: fd is invalid
///   - EEXIST: the file exists
///   - ENOENT: a directory of the path does not exist
///   - EINVAL: fd refers to an object that cannot be pinned; unknown flags; invalid opts
///   - EPERM: the directory is not in a BPF file system, or the caller lacks permission
///
/// Since Linux 4.4. See bpf(2), BPF_OBJ_PIN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_obj_pin_opts(fd: c_int, pathname: *const c_char, opts: *const bpf_obj_pin_opts) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        let mut attr = ObjPath::<BPF_OBJ_PIN> {
            pathname: addr(pathname),
            bpf_fd: fd as u32,
            file_flags: opts.file_flags,
            path_fd: opts.path_fd,
        };
        // SAFETY: the path is the caller's.
        unsafe { call_with_addrs(&mut attr) }
    })
}

/// Options of bpf_obj_get_opts().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_obj_get_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// BPF_F_RDONLY, BPF_F_WRONLY (Linux 4.15); BPF_F_PATH_FD to use path_fd (Linux 6.5).
    pub file_flags: __u32,
    /// Directory that a relative path is relative to, with BPF_F_PATH_FD (Linux 6.5).
    pub path_fd: c_int,
}

/// Open a pinned object.
///
/// @param pathname  path of its file in a BPF file system
/// @return descriptor, to be closed by the caller, or a negative error code (also in errno): as bpf_obj_get_opts()
///
/// Since Linux 4.4. See bpf(2), BPF_OBJ_GET.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_obj_get(pathname: *const c_char) -> c_int {
    // SAFETY: NULL options.
    unsafe { bpf_obj_get_opts(pathname, null()) }
}

/// Open a pinned object, with options.
///
/// @param pathname  path of its file in a BPF file system
/// @param opts      options, or NULL
/// @return descriptor, to be closed by the caller, or a negative error code (also in errno):
///   - ENOENT: the file does not exist
///   - EACCES: the file is not a pinned object, or the caller may not open it in this mode
///   - EINVAL: unknown flags; invalid opts
///   - EPERM: the caller lacks CAP_BPF, and the system does not allow unprivileged bpf(2)
///
/// Since Linux 4.4. See bpf(2), BPF_OBJ_GET.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_obj_get_opts(pathname: *const c_char, opts: *const bpf_obj_get_opts) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        let mut attr = ObjPath::<BPF_OBJ_GET> {
            pathname: addr(pathname),
            bpf_fd: 0,
            file_flags: opts.file_flags,
            path_fd: opts.path_fd,
        };
        // SAFETY: the path is the caller's.
        unsafe { call_for_fd_with_addrs(&mut attr) }
    })
}

/// Get the next program id, to iterate over all programs.
///
/// @param start_id  the previous id; 0 for the first
/// @param next_id   out: the id; written on success only
/// @return 0, or a negative error code (also in errno):
///   - ENOENT: no object has a higher id
///   - EPERM: the caller lacks CAP_SYS_ADMIN
///   - EINVAL: next_id is NULL
///
/// Since Linux 4.13. See bpf(2), BPF_PROG_GET_NEXT_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_get_next_id(start_id: __u32, next_id: *mut __u32) -> c_int {
    // SAFETY: the caller's output.
    unsafe { get_next_id::<BPF_PROG_GET_NEXT_ID>(start_id, next_id) }
}

/// Get the next map id, to iterate over all maps.
///
/// The parameters and the result are those of bpf_prog_get_next_id().
///
/// Since Linux 4.13. See bpf(2), BPF_MAP_GET_NEXT_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_get_next_id(start_id: __u32, next_id: *mut __u32) -> c_int {
    // SAFETY: the caller's output.
    unsafe { get_next_id::<BPF_MAP_GET_NEXT_ID>(start_id, next_id) }
}

/// Get the next BTF object id, to iterate over all BTF objects.
///
/// The parameters and the result are those of bpf_prog_get_next_id().
///
/// Since Linux 5.4. See bpf(2), BPF_BTF_GET_NEXT_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_btf_get_next_id(start_id: __u32, next_id: *mut __u32) -> c_int {
    // SAFETY: the caller's output.
    unsafe { get_next_id::<BPF_BTF_GET_NEXT_ID>(start_id, next_id) }
}

/// Get the next link id, to iterate over all links.
///
/// The parameters and the result are those of bpf_prog_get_next_id().
///
/// Since Linux 5.8. See bpf(2), BPF_LINK_GET_NEXT_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_link_get_next_id(start_id: __u32, next_id: *mut __u32) -> c_int {
    // SAFETY: the caller's output.
    unsafe { get_next_id::<BPF_LINK_GET_NEXT_ID>(start_id, next_id) }
}

/// Options of the functions that open an object by its id.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_get_fd_by_id_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// BPF_F_RDONLY, BPF_F_WRONLY: for maps (Linux 4.15).
    pub open_flags: __u32,
    /// BPF token: for BTF objects (Linux 6.18).
    pub token_fd: __u32,
}

/// Open a program by its id.
///
/// @param id  the id
/// @return descriptor, to be closed by the caller, or a negative error code (also in errno): as bpf_prog_get_fd_by_id_opts()
///
/// Since Linux 4.13. See bpf(2), BPF_PROG_GET_FD_BY_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_get_fd_by_id(id: __u32) -> c_int {
    // SAFETY: NULL options.
    unsafe { bpf_prog_get_fd_by_id_opts(id, null()) }
}

/// Open a program by its id, with options.
///
/// @param id    the id
/// @param opts  options, or NULL
/// @return descriptor, to be closed by the caller, or a negative error code (also in errno):
///   - ENOENT: no object has this id
///   - EPERM: the caller lacks CAP_SYS_ADMIN
///   - EINVAL: unknown flags; invalid opts
///
/// Since Linux 4.13. See bpf(2), BPF_PROG_GET_FD_BY_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_get_fd_by_id_opts(id: __u32, opts: *const bpf_get_fd_by_id_opts) -> c_int {
    // SAFETY: the caller's opts.
    unsafe { get_fd_by_id::<BPF_PROG_GET_FD_BY_ID>(id, opts) }
}

/// Open a map by its id.
///
/// @param id  the id
/// @return descriptor, to be closed by the caller, or a negative error code (also in errno): as bpf_prog_get_fd_by_id_opts()
///
/// Since Linux 4.13. See bpf(2), BPF_MAP_GET_FD_BY_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_get_fd_by_id(id: __u32) -> c_int {
    // SAFETY: NULL options.
    unsafe { bpf_map_get_fd_by_id_opts(id, null()) }
}

/// Open a map by its id, with options.
///
/// The parameters and the result are those of bpf_prog_get_fd_by_id_opts().
///
/// Since Linux 4.13. See bpf(2), BPF_MAP_GET_FD_BY_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_get_fd_by_id_opts(id: __u32, opts: *const bpf_get_fd_by_id_opts) -> c_int {
    // SAFETY: the caller's opts.
    unsafe { get_fd_by_id::<BPF_MAP_GET_FD_BY_ID>(id, opts) }
}

/// Open a BTF object by its id.
///
/// @param id  the id
/// @return descriptor, to be closed by the caller, or a negative error code (also in errno): as bpf_prog_get_fd_by_id_opts()
///
/// Since Linux 4.18. See bpf(2), BPF_BTF_GET_FD_BY_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_btf_get_fd_by_id(id: __u32) -> c_int {
    // SAFETY: NULL options.
    unsafe { bpf_btf_get_fd_by_id_opts(id, null()) }
}

/// Open a BTF object by its id, with options.
///
/// The parameters and the result are those of bpf_prog_get_fd_by_id_opts(). Only this function uses
/// opts->token_fd.
///
/// Since Linux 4.18. See bpf(2), BPF_BTF_GET_FD_BY_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_btf_get_fd_by_id_opts(id: __u32, opts: *const bpf_get_fd_by_id_opts) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        call_for_fd(&mut BtfGetFdById {
            btf_id: id,
            next_id: 0,
            open_flags: opts.open_flags,
            fd_by_id_token_fd: opts.token_fd as i32,
        })
    })
}

/// Open a link by its id.
///
/// @param id  the id
/// @return descriptor, to be closed by the caller, or a negative error code (also in errno): as bpf_prog_get_fd_by_id_opts()
///
/// Since Linux 5.8. See bpf(2), BPF_LINK_GET_FD_BY_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_link_get_fd_by_id(id: __u32) -> c_int {
    // SAFETY: NULL options.
    unsafe { bpf_link_get_fd_by_id_opts(id, null()) }
}

/// Open a link by its id, with options.
///
/// The parameters and the result are those of bpf_prog_get_fd_by_id_opts().
///
/// Since Linux 5.8. See bpf(2), BPF_LINK_GET_FD_BY_ID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_link_get_fd_by_id_opts(id: __u32, opts: *const bpf_get_fd_by_id_opts) -> c_int {
    // SAFETY: the caller's opts.
    unsafe { get_fd_by_id::<BPF_LINK_GET_FD_BY_ID>(id, opts) }
}

/// Get information about an object of any kind.
///
/// @param bpf_fd    map, program, link or BTF object
/// @param info      in and out: struct bpf_map_info, bpf_prog_info, bpf_link_info or bpf_btf_info; zeroed, except
///                  for pointers to buffers to be filled and the sizes of those
/// @param info_len  in: size of info, in bytes; out: number of bytes that the kernel filled, on success only
/// @return 0, or a negative error code (also in errno):
///   - EBADF: bpf_fd is invalid
///   - EINVAL: bpf_fd does not refer to a BPF object, or info_len is NULL
///   - E2BIG: info is larger than the kernel's struct, and the excess bytes are not zero
///
/// Since Linux 4.13. See bpf(2), BPF_OBJ_GET_INFO_BY_FD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_obj_get_info_by_fd(bpf_fd: c_int, info: *mut c_void, info_len: *mut __u32) -> c_int {
    to_c(|| {
        // SAFETY: the caller's output.
        let info_len = unsafe { Out::new(info_len) }?;
        let mut attr = ObjGetInfoByFd { bpf_fd: bpf_fd as u32, info_len: info_len.get(), info: addr(info) };
        // SAFETY: the info, and what it points to, are the caller's.
        let returned = unsafe { call_with_addrs(&mut attr) }?;
        if returned == 0 {
            info_len.set(attr.info_len);
        }
        Ok(returned)
    })
}

/// Get information about a program.
///
/// @param prog_fd   the program
/// @param info      in and out, as for bpf_obj_get_info_by_fd()
/// @param info_len  in: size of info, in bytes; out: number of bytes that the kernel filled, on success only
/// @return 0, or a negative error code (also in errno): as bpf_obj_get_info_by_fd()
///
/// Since Linux 4.13. See bpf(2), BPF_OBJ_GET_INFO_BY_FD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_prog_get_info_by_fd(
    prog_fd: c_int,
    info: *mut bpf_prog_info,
    info_len: *mut __u32,
) -> c_int {
    // SAFETY: the caller's pointers, as they are.
    unsafe { bpf_obj_get_info_by_fd(prog_fd, info.cast(), info_len) }
}

/// Get information about a map.
///
/// @param map_fd    the map
/// @param info      in and out, as for bpf_obj_get_info_by_fd()
/// @param info_len  in: size of info, in bytes; out: number of bytes that the kernel filled, on success only
/// @return 0, or a negative error code (also in errno): as bpf_obj_get_info_by_fd()
///
/// Since Linux 4.13. See bpf(2), BPF_OBJ_GET_INFO_BY_FD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_get_info_by_fd(map_fd: c_int, info: *mut bpf_map_info, info_len: *mut __u32) -> c_int {
    // SAFETY: the caller's pointers, as they are.
    unsafe { bpf_obj_get_info_by_fd(map_fd, info.cast(), info_len) }
}

/// Get information about a BTF object.
///
/// @param btf_fd    the BTF object
/// @param info      in and out, as for bpf_obj_get_info_by_fd()
/// @param info_len  in: size of info, in bytes; out: number of bytes that the kernel filled, on success only
/// @return 0, or a negative error code (also in errno): as bpf_obj_get_info_by_fd()
///
/// Since Linux 4.18. See bpf(2), BPF_OBJ_GET_INFO_BY_FD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_btf_get_info_by_fd(btf_fd: c_int, info: *mut bpf_btf_info, info_len: *mut __u32) -> c_int {
    // SAFETY: the caller's pointers, as they are.
    unsafe { bpf_obj_get_info_by_fd(btf_fd, info.cast(), info_len) }
}

/// Get information about a link.
///
/// @param link_fd   the link
/// @param info      in and out, as for bpf_obj_get_info_by_fd()
/// @param info_len  in: size of info, in bytes; out: number of bytes that the kernel filled, on success only
/// @return 0, or a negative error code (also in errno): as bpf_obj_get_info_by_fd()
///
/// Since Linux 5.8. See bpf(2), BPF_OBJ_GET_INFO_BY_FD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_link_get_info_by_fd(
    link_fd: c_int,
    info: *mut bpf_link_info,
    info_len: *mut __u32,
) -> c_int {
    // SAFETY: the caller's pointers, as they are.
    unsafe { bpf_obj_get_info_by_fd(link_fd, info.cast(), info_len) }
}

/// The common part of the functions that iterate over ids.
///
/// # Safety
/// `next_id` is NULL or the caller's output.
unsafe fn get_next_id<const CMD: bpf_cmd>(start_id: __u32, next_id: *mut __u32) -> c_int {
    to_c(|| {
        // SAFETY: as above.
        let next_id = unsafe { Out::new(next_id) }?;
        let mut attr = GetNextId::<CMD> { start_id, ..zeroed() };
        let returned = call(&mut attr)?;
        if returned == 0 {
            next_id.set(attr.next_id);
        }
        Ok(returned)
    })
}

/// The common part of the functions that open an object by its id, except for BTF, whose record is longer.
///
/// # Safety
/// `opts` is NULL or the caller's opts.
unsafe fn get_fd_by_id<const CMD: bpf_cmd>(id: __u32, opts: *const bpf_get_fd_by_id_opts) -> c_int {
    to_c(|| {
        // SAFETY: as above.
        let opts = unsafe { opts::read(opts) }?;
        call_for_fd(&mut GetFdById::<CMD> { start_id: id, next_id: 0, open_flags: opts.open_flags })
    })
}
