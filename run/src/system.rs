// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls: files, output, other programs.

use core::ffi::{CStr, c_char, c_int};
use core::mem::MaybeUninit;
use core::{ptr, slice};

use errno::{Errno, errno};

use crate::list::{List, NoMemory, Text};
use crate::search::Access;

/// Writes the parts, at most 16, with one system call. False if not everything was written.
pub fn write<'a>(descriptor: c_int, parts: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut pieces = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; 16];
    let mut len = 0;
    for (piece, part) in pieces.iter_mut().zip(parts) {
        *piece = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
        len += part.len();
    }
    // SAFETY: `writev` reads the parts.
    let written = unsafe { libc::writev(descriptor, pieces.as_ptr(), pieces.len() as c_int) };
    usize::try_from(written) == Ok(len)
}

/// The text of an error code.
pub fn describe(error: Errno) -> &'static [u8] {
    // SAFETY: the string is valid until the next call of `strerror`, and there is none.
    unsafe { CStr::from_ptr(libc::strerror(error.0)) }.to_bytes()
}

/// The path without symbolic links; None if the file does not exist.
pub fn real_path(path: &CStr) -> Result<Option<Text>, NoMemory> {
    // SAFETY: `realpath` takes a C string, and returns NULL or a C string to be freed.
    unsafe {
        let real = libc::realpath(path.as_ptr(), ptr::null_mut());
        if real.is_null() {
            return Ok(None);
        }
        let text = Text::new(&[CStr::from_ptr(real).to_bytes()]);
        libc::free(real.cast());
        text.map(Some)
    }
}

/// The executable file of this process.
pub fn own_file() -> Result<Option<Text>, NoMemory> {
    if let Some(file) = real_path(c"/proc/self/exe")? {
        return Ok(Some(file));
    }
    // Without /proc: the path that was passed to execve().
    // SAFETY: the argument is a number.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const c_char;
    if path.is_null() {
        return Ok(None);
    }
    // SAFETY: the kernel put the string on the initial stack, where it stays.
    real_path(unsafe { CStr::from_ptr(path) })
}

/// The type and the permissions of a file.
#[derive(Clone, Copy)]
pub struct Status(libc::stat64);

impl Status {
    pub fn of(path: &CStr) -> Option<Self> {
        let mut status = MaybeUninit::uninit();
        // SAFETY: `stat64` reads a C string, and writes the status if it returns 0.
        unsafe { (libc::stat64(path.as_ptr(), status.as_mut_ptr()) == 0).then(|| Self(status.assume_init())) }
    }

    pub fn is_file(&self) -> bool {
        self.0.st_mode & libc::S_IFMT == libc::S_IFREG
    }

    pub fn is_directory(&self) -> bool {
        self.0.st_mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// True if only the superuser can have written it.
    pub fn is_systems(&self) -> bool {
        self.0.st_uid == 0 && self.0.st_mode & (libc::S_IWGRP | libc::S_IWOTH) == 0
    }

    /// True if it runs as another user when executed.
    pub fn changes_user(&self) -> bool {
        // SAFETY: `geteuid` has no preconditions.
        self.0.st_mode & libc::S_ISUID != 0 && self.0.st_uid != unsafe { libc::geteuid() }
    }

    /// True if it runs as another group when executed.
    pub fn changes_group(&self) -> bool {
        // SAFETY: `getegid` has no preconditions.
        self.0.st_mode & libc::S_ISGID != 0 && self.0.st_gid != unsafe { libc::getegid() }
    }
}

/// Whether this process may execute the file.
pub fn access(path: &CStr) -> Access {
    // SAFETY: `eaccess` reads a C string.
    let error = if unsafe { libc::eaccess(path.as_ptr(), libc::X_OK) } == 0 { Errno(0) } else { errno() };
    match error.0 {
        0 if Status::of(path).is_some_and(|status| status.is_file()) => Access::Executable,
        0 | libc::EACCES => Access::Denied,
        _ => Access::Absent,
    }
}

/// True if executing the file can add capabilities. The superuser already has them all.
pub fn gives_capabilities(path: &CStr) -> bool {
    // SAFETY: `getxattr` reads two C strings and, with size 0, writes nothing.
    unsafe {
        libc::geteuid() != 0 && libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), ptr::null_mut(), 0) >= 0
    }
}

/// A file mapped into memory.
pub struct Mapping {
    start: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    /// None if the file cannot be read, or is empty.
    pub fn new(path: &CStr) -> Option<Self> {
        let len = usize::try_from(Status::of(path).filter(Status::is_file)?.0.st_size).ok()?;
        // SAFETY: `open` reads a C string, `mmap` chooses a free address, and `close` gets the
        // descriptor that `open` returned.
        let start = unsafe {
            let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | libc::O_LARGEFILE);
            if file < 0 {
                return None;
            }
            let start = libc::mmap(ptr::null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file, 0);
            libc::close(file);
            start
        };
        (start != libc::MAP_FAILED).then_some(Self { start, len })
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped until this is dropped. If the file is truncated meanwhile, an access kills
        // this process with SIGBUS, as it would the program when it is loaded.
        unsafe { slice::from_raw_parts(self.start.cast(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from the mapping any more.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

/// Executes a program; returns only on failure. Both lists end with NULL.
pub fn execute(path: &CStr, arguments: &[*const c_char], environment: &[*const c_char]) -> Errno {
    // SAFETY: lists of C strings that end with NULL.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    errno()
}

/// Runs a program and returns what it writes to its standard output; its standard error is discarded.
pub fn output_of(
    path: &CStr,
    arguments: &[*const c_char],
    environment: &[*const c_char],
) -> Result<Result<List<u8>, Errno>, NoMemory> {
    let mut ends = [0; 2];
    // SAFETY: `pipe2` writes two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Ok(Err(errno()));
    }
    let [from, to] = ends;
    let waiting = child_signal_waits();
    // SAFETY: this process has only one thread, so no other thread holds a lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the child calls only functions that are allowed after `fork`.
        unsafe {
            if to == libc::STDOUT_FILENO {
                libc::fcntl(to, libc::F_SETFD, 0);
            } else {
                libc::dup2(to, libc::STDOUT_FILENO);
            }
            let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
            if nowhere >= 0 {
                libc::dup2(nowhere, libc::STDERR_FILENO);
            } else {
                libc::close(libc::STDERR_FILENO);
            }
            execute(path, arguments, environment);
            libc::_exit(127)
        }
    }
    let failed = errno();
    // SAFETY: the descriptor of `pipe2`.
    unsafe { libc::close(to) };
    let read = if child > 0 { read_all(from) } else { Ok(Err(failed)) };
    // SAFETY: the descriptor is that of `pipe2`; the exit status of the child is not needed.
    unsafe {
        libc::close(from);
        while child > 0 && libc::waitpid(child, ptr::null_mut(), 0) < 0 && errno().0 == libc::EINTR {}
    }
    // If SIGCHLD is blocked, the signal of this child would stay pending for the program that is
    // executed next, which does not know of any child.
    if !waiting && child_signal_waits() {
        take_child_signal();
    }
    read
}

/// True if a SIGCHLD is pending.
fn child_signal_waits() -> bool {
    let mut signals = MaybeUninit::uninit();
    // SAFETY: `sigpending` writes the set, which is then read.
    unsafe { libc::sigpending(signals.as_mut_ptr()) == 0 && libc::sigismember(signals.as_ptr(), libc::SIGCHLD) == 1 }
}

fn take_child_signal() {
    let mut signals = MaybeUninit::uninit();
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `sigemptyset` initialises the set; the timeout is zero.
    unsafe {
        libc::sigemptyset(signals.as_mut_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGCHLD);
        libc::sigtimedwait(signals.as_ptr(), ptr::null_mut(), &now);
    }
}

fn read_all(descriptor: c_int) -> Result<Result<List<u8>, Errno>, NoMemory> {
    let mut all = List::new();
    let mut part = [0u8; 4096];
    loop {
        // SAFETY: `read` writes at most `part.len()` bytes to `part`.
        let count = unsafe { libc::read(descriptor, part.as_mut_ptr().cast(), part.len()) };
        match usize::try_from(count) {
            Ok(0) => return Ok(Ok(all)),
            Ok(count) => all.extend(part.get(..count).unwrap_or(&[]))?,
            Err(_) if errno().0 == libc::EINTR => {}
            Err(_) => return Ok(Err(errno())),
        }
    }
}
