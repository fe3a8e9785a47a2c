// SPDX-License-Identifier: MIT OR Apache-2.0
//! A scripted kernel for the unit tests, which replaces `bpf(2)` at its only call site.

use core::ffi::{c_char, c_int, c_long, c_void};
use std::cell::RefCell;
use std::collections::VecDeque;

use errno::{Errno, set_errno};

use super::attr::CommonAttr;
use super::uapi::{BPF_COMMON_ATTRS, bpf_cmd};

/// A call as the kernel saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub cmd: bpf_cmd,
    pub attr: Vec<u8>,
    /// The common attributes, if the command has their flag: their bytes, or none for NULL.
    pub common: Option<Vec<u8>>,
}

/// The kernel's answer to a call: it may write to the record, and returns a value or an errno.
pub type Answer = Box<dyn FnOnce(&mut [u8]) -> Result<c_long, i32>>;

#[derive(Default)]
struct Script {
    answers: VecDeque<Answer>,
    calls: Vec<Call>,
}

thread_local! {
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

/// Runs `body` over a kernel that gives these answers, in this order, to the calls of this
/// thread, and checks that all were used. Returns the result of `body`, and the calls.
pub fn with_answers<T>(answers: impl IntoIterator<Item = Answer>, body: impl FnOnce() -> T) -> (T, Vec<Call>) {
    let script = Script { answers: answers.into_iter().collect(), calls: Vec::new() };
    assert!(SCRIPT.replace(Some(script)).is_none(), "scripts do not nest");
    let result = body();
    let script = SCRIPT.take().expect("set above");
    assert!(script.answers.is_empty(), "{} answers were not used", script.answers.len());
    (result, script.calls)
}

/// The answer that returns a value.
pub fn returns(value: c_long) -> Answer {
    Box::new(move |_| Ok(value))
}

/// The answer that fails.
pub fn fails(errno: i32) -> Answer {
    Box::new(move |_| Err(errno))
}

/// Called in place of the system call.
pub fn answer(cmd: bpf_cmd, attr: *mut c_void, size: usize, common: *mut CommonAttr, common_size: usize) -> c_long {
    // SAFETY: the call site passes a record and its size.
    let attr = unsafe { std::slice::from_raw_parts_mut(attr.cast::<u8>(), size) };
    let has_common = cmd & BPF_COMMON_ATTRS != 0;
    assert_eq!(has_common, common_size != 0, "common attributes go with their flag");
    let common = has_common.then(|| {
        let len = if common.is_null() { 0 } else { common_size };
        let from = if common.is_null() { std::ptr::NonNull::dangling().as_ptr() } else { common.cast::<u8>() };
        // SAFETY: the call site passes common attributes of this size; for NULL the length is 0.
        unsafe { std::slice::from_raw_parts(from, len) }.to_vec()
    });
    let answer = SCRIPT.with_borrow_mut(|script| {
        let script = script.as_mut().expect("a unit test calls the kernel only through with_answers()");
        script.calls.push(Call { cmd, attr: attr.to_vec(), common });
        script.answers.pop_front().unwrap_or_else(|| panic!("no answer left for command {cmd}"))
    });
    answer(attr).unwrap_or_else(|errno| {
        set_errno(Errno(errno));
        -1
    })
}

/// `uname` for the unit tests: a release for which no feature is probed.
///
/// # Safety
/// As for `libc::uname`.
pub unsafe fn uname(uts: *mut libc::utsname) -> c_int {
    // SAFETY: as above; zeros are a value of the struct.
    let uts = unsafe {
        uts.write_bytes(0, 1);
        &mut *uts
    };
    for (to, from) in uts.release.iter_mut().zip(c"6.12.0".to_bytes_with_nul()) {
        *to = *from as c_char;
    }
    0
}
