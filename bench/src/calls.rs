// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls that are timed in this process: with a library, and without one.

use std::{
    ffi::{c_char, c_int, c_void},
    mem::size_of,
    path::Path,
    ptr::null,
};

pub const ARRAY: u32 = 2;
pub const HASH: u32 = 1;

/// The calls that are measured. Errors are negative.
pub trait Calls: Copy + Send + Sync + 'static {
    fn lookup(self, fd: c_int, key: *const u32, value: *mut u64) -> c_int;
    fn update(self, fd: c_int, key: *const u32, value: *const u64) -> c_int;
    fn delete(self, fd: c_int, key: *const u32) -> c_int;
    fn next_key(self, fd: c_int, key: *const u32, next: *mut u32) -> c_int;
    /// Looks up `count` elements from the start of the map.
    fn lookup_batch(self, fd: c_int, keys: *mut u32, values: *mut u64, count: u32) -> c_int;
    fn load(self, insns: &[u64]) -> c_int;
}

/// The bare system call, inlined where a library would be called.
#[derive(Clone, Copy)]
pub struct Bare;

#[repr(C)]
struct Elem {
    fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    fd: u32,
    elem_flags: u64,
    flags: u64,
}

#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    unused: [u32; 36],
}

const MAP_CREATE: c_int = 0;
const LOOKUP: c_int = 1;
const UPDATE: c_int = 2;
const DELETE: c_int = 3;
const NEXT_KEY: c_int = 4;
const PROG_LOAD: c_int = 5;
const LOOKUP_BATCH: c_int = 24;

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn bpf<T>(cmd: c_int, attr: &mut T) -> c_int {
    let returned: i64;
    // SAFETY: the kernel accesses the attribute, and the memory that it points to.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") libc::SYS_bpf => returned, in("rdi") cmd, in("rsi") attr,
            in("rdx") size_of::<T>(), out("rcx") _, out("r11") _, options(nostack));
    }
    returned as c_int
}

/// On other architectures the bare call is libc's syscall().
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn bpf<T>(cmd: c_int, attr: &mut T) -> c_int {
    // SAFETY: the kernel accesses the attribute, and the memory that it points to.
    unsafe { libc::syscall(libc::SYS_bpf, cmd, attr as *mut T, size_of::<T>()) as c_int }
}

/// Creates a map with 4-byte keys and 8-byte values.
pub fn new_map(map_type: u32, entries: u32) -> Result<c_int, String> {
    let mut attr = [map_type, 4, 8, entries, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let fd = bpf(MAP_CREATE, &mut attr);
    if fd < 0 { Err(format!("cannot create a map: {}", std::io::Error::from_raw_os_error(-fd))) } else { Ok(fd) }
}

#[inline(always)]
fn elem(cmd: c_int, fd: c_int, key: *const u32, value: *const c_void) -> c_int {
    bpf(cmd, &mut Elem { fd: fd as u32, pad: 0, key: key as u64, value: value as u64, flags: 0 })
}

impl Calls for Bare {
    #[inline(always)]
    fn lookup(self, fd: c_int, key: *const u32, value: *mut u64) -> c_int {
        elem(LOOKUP, fd, key, value.cast())
    }
    #[inline(always)]
    fn update(self, fd: c_int, key: *const u32, value: *const u64) -> c_int {
        elem(UPDATE, fd, key, value.cast())
    }
    #[inline(always)]
    fn delete(self, fd: c_int, key: *const u32) -> c_int {
        elem(DELETE, fd, key, null())
    }
    #[inline(always)]
    fn next_key(self, fd: c_int, key: *const u32, next: *mut u32) -> c_int {
        elem(NEXT_KEY, fd, key, next.cast())
    }
    #[inline(always)]
    fn lookup_batch(self, fd: c_int, keys: *mut u32, values: *mut u64, count: u32) -> c_int {
        let mut position = 0u64;
        bpf(
            LOOKUP_BATCH,
            &mut Batch {
                in_batch: 0,
                out_batch: &raw mut position as u64,
                keys: keys as u64,
                values: values as u64,
                count,
                fd: fd as u32,
                elem_flags: 0,
                flags: 0,
            },
        )
    }
    #[inline(always)]
    fn load(self, insns: &[u64]) -> c_int {
        bpf(
            PROG_LOAD,
            &mut Load {
                prog_type: 1,
                insn_cnt: insns.len() as u32,
                insns: insns.as_ptr() as u64,
                license: c"GPL".as_ptr() as u64,
                unused: [0; 36],
            },
        )
    }
}

/// The same in a separate function, as in a library: shows the cost of the call and the return alone.
#[derive(Clone, Copy)]
pub struct Function;

impl Calls for Function {
    #[inline(never)]
    fn lookup(self, fd: c_int, key: *const u32, value: *mut u64) -> c_int {
        Bare.lookup(fd, key, value)
    }
    #[inline(never)]
    fn update(self, fd: c_int, key: *const u32, value: *const u64) -> c_int {
        Bare.update(fd, key, value)
    }
    #[inline(never)]
    fn delete(self, fd: c_int, key: *const u32) -> c_int {
        Bare.delete(fd, key)
    }
    #[inline(never)]
    fn next_key(self, fd: c_int, key: *const u32, next: *mut u32) -> c_int {
        Bare.next_key(fd, key, next)
    }
    #[inline(never)]
    fn lookup_batch(self, fd: c_int, keys: *mut u32, values: *mut u64, count: u32) -> c_int {
        Bare.lookup_batch(fd, keys, values, count)
    }
    #[inline(never)]
    fn load(self, insns: &[u64]) -> c_int {
        Bare.load(insns)
    }
}

macro_rules! library {
    ($($field:ident = $symbol:literal: fn($($arg:ty),*);)*) => {
        /// A library's functions.
        #[derive(Clone, Copy)]
        pub struct Library { $($field: unsafe extern "C" fn($($arg),*) -> c_int),* }

        impl Library {
            /// Loads a shared object, even if another one with the same name is loaded. It is never unloaded.
            pub fn open(path: &Path) -> Result<Library, String> {
                use libloading::os::unix;
                // SAFETY: this runs the constructors of a library that the user has chosen.
                let library = unsafe { unix::Library::open(Some(path), libc::RTLD_NOW | libc::RTLD_LOCAL) }
                    .map_err(|e| format!("cannot load {}: {e}", path.display()))?;
                let found = Library {
                    // SAFETY: the function has the prototype of bpf.h.
                    $($field: *unsafe { library.get($symbol.as_bytes()) }
                        .map_err(|e| format!("{}: {e}", path.display()))?),*
                };
                std::mem::forget(library);
                Ok(found)
            }
        }
    };
}

library! {
    lookup = "bpf_map_lookup_elem": fn(c_int, *const c_void, *mut c_void);
    update = "bpf_map_update_elem": fn(c_int, *const c_void, *const c_void, u64);
    delete = "bpf_map_delete_elem": fn(c_int, *const c_void);
    next_key = "bpf_map_get_next_key": fn(c_int, *const c_void, *mut c_void);
    lookup_batch = "bpf_map_lookup_batch":
        fn(c_int, *mut c_void, *mut c_void, *mut c_void, *mut c_void, *mut u32, *const c_void);
    load = "bpf_prog_load": fn(u32, *const c_char, *const c_char, *const c_void, usize, *mut c_void);
}

impl Calls for Library {
    fn lookup(self, fd: c_int, key: *const u32, value: *mut u64) -> c_int {
        // SAFETY: the prototype is that of bpf.h, and the pointers are those of the measurement.
        unsafe { (self.lookup)(fd, key.cast(), value.cast()) }
    }
    fn update(self, fd: c_int, key: *const u32, value: *const u64) -> c_int {
        // SAFETY: the prototype is that of bpf.h, and the pointers are those of the measurement.
        unsafe { (self.update)(fd, key.cast(), value.cast(), 0) }
    }
    fn delete(self, fd: c_int, key: *const u32) -> c_int {
        // SAFETY: the prototype is that of bpf.h, and the pointers are those of the measurement.
        unsafe { (self.delete)(fd, key.cast()) }
    }
    fn next_key(self, fd: c_int, key: *const u32, next: *mut u32) -> c_int {
        // SAFETY: the prototype is that of bpf.h, and the pointers are those of the measurement.
        unsafe { (self.next_key)(fd, key.cast(), next.cast()) }
    }
    fn lookup_batch(self, fd: c_int, keys: *mut u32, values: *mut u64, mut count: u32) -> c_int {
        let mut position = 0u64;
        let position = (&raw mut position).cast();
        // SAFETY: the prototype is that of bpf.h, and the pointers are those of the measurement.
        unsafe {
            (self.lookup_batch)(fd, std::ptr::null_mut(), position, keys.cast(), values.cast(), &mut count, null())
        }
    }
    fn load(self, insns: &[u64]) -> c_int {
        let insn_cnt = insns.len();
        // SAFETY: the prototype is that of bpf.h, and the pointers are those of the measurement.
        unsafe { (self.load)(1, null(), c"GPL".as_ptr(), insns.as_ptr().cast(), insn_cnt, std::ptr::null_mut()) }
    }
}
