// SPDX-License-Identifier: MIT OR Apache-2.0
//! In a unit test warnings are written to a file in memory, one per thread.

use core::ffi::c_int;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd};

thread_local! {
    static FILE: File = {
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"warnings".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: the descriptor is new, so nothing else owns it.
        unsafe { File::from_raw_fd(fd) }
    };
}

/// The descriptor that `warn` writes to instead of stderr.
pub fn stderr() -> c_int {
    FILE.with(AsRawFd::as_raw_fd)
}

/// The warnings of this thread since the last call.
pub fn taken() -> String {
    FILE.with(|mut file| {
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("the file is read");
        file.set_len(0).and_then(|()| file.rewind()).expect("the file is emptied");
        text
    })
}
