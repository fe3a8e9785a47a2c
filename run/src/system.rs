// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system, as far as it is asked: files, the terminal, other programs.

use core::ffi::{CStr, c_char, c_int};
use core::mem::MaybeUninit;
use core::{ptr, slice};

use errno::{Errno, errno};

use crate::list::{List, NoMemory, Text};
use crate::search::Access;

/// Writes the parts, 16 at most, in one piece. False if not all of it could be written.
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

/// What the system calls an error.
pub fn describe(error: Errno) -> &'static [u8] {
    // SAFETY: a string of libc's that stays until the next call, and there is none.
    unsafe { CStr::from_ptr(libc::strerror(error.0)) }.to_bytes()
}

/// A path without symbolic links; None if there is nothing.
pub fn real_path(path: &CStr) -> Result<Option<Text>, NoMemory> {
    // SAFETY: a C string in; what comes back is NULL, or a C string to be freed.
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

/// The file of this program.
pub fn own_file() -> Result<Option<Text>, NoMemory> {
    if let Some(file) = real_path(c"/proc/self/exe")? {
        return Ok(Some(file));
    }
    // Without /proc: the path that the kernel was given.
    // SAFETY: takes a number.
    let path = unsafe { libc::getauxval(libc::AT_EXECFN) } as *const c_char;
    if path.is_null() {
        return Ok(None);
    }
    // SAFETY: a string that the kernel left on the stack, where it stays.
    real_path(unsafe { CStr::from_ptr(path) })
}

/// What a file is.
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

    /// Only the superuser can have written it.
    pub fn is_systems(&self) -> bool {
        self.0.st_uid == 0 && self.0.st_mode & (libc::S_IWGRP | libc::S_IWOTH) == 0
    }

    /// Executed, it runs as another user.
    pub fn changes_user(&self) -> bool {
        // SAFETY: `geteuid` only tells.
        self.0.st_mode & libc::S_ISUID != 0 && self.0.st_uid != unsafe { libc::geteuid() }
    }

    /// Executed, it runs as another group.
    pub fn changes_group(&self) -> bool {
        // SAFETY: `getegid` only tells.
        self.0.st_mode & libc::S_ISGID != 0 && self.0.st_gid != unsafe { libc::getegid() }
    }
}

/// May this process execute it?
pub fn access(path: &CStr) -> Access {
    // SAFETY: `eaccess` reads a C string.
    let error = if unsafe { libc::eaccess(path.as_ptr(), libc::X_OK) } == 0 { Errno(0) } else { errno() };
    match error.0 {
        0 if Status::of(path).is_some_and(|status| status.is_file()) => Access::Executable,
        0 | libc::EACCES => Access::Denied,
        _ => Access::Absent,
    }
}

/// Executed, the file gives capabilities that the process may not have. The superuser has them.
pub fn gives_capabilities(path: &CStr) -> bool {
    // SAFETY: `geteuid` only tells; `getxattr` reads two C strings, and writes nothing of size 0.
    unsafe {
        libc::geteuid() != 0 && libc::getxattr(path.as_ptr(), c"security.capability".as_ptr(), ptr::null_mut(), 0) >= 0
    }
}

/// A file's bytes.
pub struct Mapping {
    start: *mut libc::c_void,
    len: usize,
}

impl Mapping {
    /// None if it cannot be read, or has none.
    pub fn new(path: &CStr) -> Option<Self> {
        let len = usize::try_from(Status::of(path).filter(Status::is_file)?.0.st_size).ok()?;
        // SAFETY: `open` reads a C string, `mmap` finds a free place, and `close` is told what
        // `open` returned.
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
        // SAFETY: mapped until this is dropped. A file that shrinks meanwhile ends this process
        // here, as the program itself when the kernel or the dynamic linker maps it next.
        unsafe { slice::from_raw_parts(self.start.cast(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing borrows from it any more.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

/// Becomes that program, or returns why not. Both lists end with NULL.
pub fn execute(path: &CStr, arguments: &[*const c_char], environment: &[*const c_char]) -> Errno {
    // SAFETY: lists of C strings that end with NULL.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    errno()
}

/// What a program writes to its standard output; its errors go nowhere.
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
    // SAFETY: there is one thread, and so no lock that another one holds.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the child has a copy of everything, and calls what a child may.
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
    // SAFETY: the descriptor of `pipe2`; what becomes of the child is of no interest.
    unsafe {
        libc::close(from);
        while child > 0 && libc::waitpid(child, ptr::null_mut(), 0) < 0 && errno().0 == libc::EINTR {}
    }
    // Where SIGCHLD is blocked, that of this child waits for the program that this process
    // becomes, which knows of no child.
    if !waiting && child_signal_waits() {
        take_child_signal();
    }
    read
}

/// Does a SIGCHLD wait to be unblocked?
fn child_signal_waits() -> bool {
    let mut signals = MaybeUninit::uninit();
    // SAFETY: `sigpending` writes the set, which is then read.
    unsafe { libc::sigpending(signals.as_mut_ptr()) == 0 && libc::sigismember(signals.as_ptr(), libc::SIGCHLD) == 1 }
}

fn take_child_signal() {
    let mut signals = MaybeUninit::uninit();
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `sigemptyset` writes the set; the wait is for what is there already.
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
        // SAFETY: `read` writes at most so many bytes there.
        let count = unsafe { libc::read(descriptor, part.as_mut_ptr().cast(), part.len()) };
        match usize::try_from(count) {
            Ok(0) => return Ok(Ok(all)),
            Ok(count) => all.extend(part.get(..count).unwrap_or(&[]))?,
            Err(_) if errno().0 == libc::EINTR => {}
            Err(_) => return Ok(Err(errno())),
        }
    }
}
