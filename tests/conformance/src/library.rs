// SPDX-License-Identifier: MIT OR Apache-2.0
//! One of the two libraries: loaded privately, called under a guard, its state restored between cases.

use std::{collections::HashMap, ffi::c_void, io, path::Path};

use crate::functions::Table;

/// How a guarded call ended: `struct outcome` of interpose.c.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ended {
    pub value: i64,
    pub how: i32,
    pub signal: i32,
    pub error: i32,
    pub address: usize,
}
pub const RETURNED: i32 = 0;
pub const DIED: i32 = 1;

unsafe extern "C" {
    fn conformance_guard_setup();
    fn conformance_guard(function: *mut c_void, arguments: *const u64, errno_before: i32, out: *mut Ended);
}

pub struct Library {
    // The library is unloaded with this value.
    _handle: libloading::os::unix::Library,
    functions: HashMap<&'static str, *mut c_void>,
    /// The memory that keeps the library's state between calls.
    writable: Vec<(*mut u8, usize)>,
}

/// The state of a library at one time.
pub struct Memory(Vec<Vec<u8>>);

impl Library {
    /// Loads a shared object privately. It may lack functions that are newer than the reference.
    pub fn open(path: &Path, table: &'static Table) -> Result<Library, String> {
        // SAFETY: this runs the constructors of a library that the user has chosen.
        let handle = unsafe { libloading::os::unix::Library::open(Some(path), libc::RTLD_NOW | libc::RTLD_LOCAL) }
            .map_err(|e| format!("cannot load {}: {e}", path.display()))?;
        let mut functions = HashMap::new();
        for function in table.functions.iter().filter(|f| !f.newer) {
            // SAFETY: only the address is taken.
            let symbol = unsafe { handle.get::<*mut c_void>(function.name.as_bytes()) }
                .map_err(|e| format!("{}: {e}", path.display()))?;
            functions.insert(function.name, symbol.as_raw_ptr());
        }
        let any = *functions.values().next().ok_or("the reference has none of the functions")?;
        let writable = writable_memory(any).map_err(|e| format!("{}: {e}", path.display()))?;
        // SAFETY: it installs signal handlers for the guard; this worker has no others.
        unsafe { conformance_guard_setup() };
        Ok(Library { _handle: handle, functions, writable })
    }

    pub fn call(&self, function: &str, arguments: &[u64; 9], errno_before: i32) -> Ended {
        let mut ended = Ended::default();
        // SAFETY: the function takes at most nine words. The guard catches invalid accesses.
        unsafe { conformance_guard(self.functions[function], arguments.as_ptr(), errno_before, &mut ended) };
        ended
    }

    pub fn remember(&self) -> Memory {
        // SAFETY: the memory is readable as long as the library is loaded.
        Memory(self.writable.iter().map(|&(at, len)| unsafe { std::slice::from_raw_parts(at, len) }.to_vec()).collect())
    }

    /// Restores the state of the library.
    pub fn restore(&self, memory: &Memory) {
        for (&(at, len), bytes) in self.writable.iter().zip(&memory.0) {
            // SAFETY: this is writable memory of that length, and no call into the library is in progress.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, len) };
        }
    }
}

/// The memory of the shared object with this address that is still writable after relocation.
fn writable_memory(inside: *mut c_void) -> io::Result<Vec<(*mut u8, usize)>> {
    struct Search {
        inside: usize,
        found: Option<Vec<(*mut u8, usize)>>,
    }
    unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> i32 {
        // SAFETY: dl_iterate_phdr() passes a valid record, and `data` is the Search below.
        let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
        // SAFETY: the record has the number of headers.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
        let span = |h: &libc::Elf64_Phdr| {
            let start = info.dlpi_addr as usize + h.p_vaddr as usize;
            start..start + h.p_memsz as usize
        };
        let loads = || headers.iter().filter(|h| h.p_type == libc::PT_LOAD);
        if !loads().any(|h| span(h).contains(&search.inside)) {
            return 0;
        }
        let page = 4096;
        let protected = headers.iter().find(|h| h.p_type == libc::PT_GNU_RELRO).map(span);
        search.found = Some(
            loads()
                .filter(|h| h.p_flags & libc::PF_W != 0)
                .map(|h| {
                    let mut range = span(h);
                    if let Some(p) = protected.as_ref().filter(|p| range.contains(&p.start)) {
                        // The dynamic linker makes whole pages read-only.
                        range.start = (p.end / page * page).max(range.start).min(range.end);
                    }
                    (range.start as *mut u8, range.len())
                })
                .filter(|r| r.1 > 0)
                .collect(),
        );
        1
    }
    let mut search = Search { inside: inside as usize, found: None };
    // SAFETY: the callback and its data outlive the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.found.ok_or_else(|| io::Error::other("its memory is not mapped"))
}
