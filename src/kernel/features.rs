// SPDX-License-Identifier: MIT OR Apache-2.0
//! Features of the running kernel, remembered for the lifetime of the process.
//!
//! If the release that `uname` returns has a feature, it is not probed for. An older release is
//! probed once, because the feature may have been backported.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use errno::{Errno, errno, set_errno};

use super::attr::{self, NAME_LEN, ProgLoad, addr, zeroed};
use super::call::{call_with_addrs, call_with_null_common};
#[cfg(test)]
use super::scripted::uname;
use super::uapi::BPF_PROG_TYPE_SOCKET_FILTER;
#[cfg(not(test))]
use libc::uname;

/// Whether the kernel charges BPF memory to the cgroup, not to `RLIMIT_MEMLOCK`.
pub fn memcg_accounting() -> bool {
    static ANSWER: Answer = Answer::new();
    release() >= (5, 11) || ANSWER.get(|| loads(&[CALL_KTIME_GET_COARSE_NS, EXIT], c""))
}

/// Whether the kernel accepts names of programs and maps.
pub fn names() -> bool {
    static ANSWER: Answer = Answer::new();
    release() >= (4, 15) || ANSWER.get(|| loads(&[MOV_R0_0, EXIT], c"sysbpf_name"))
}

/// A name for a record: empty if the caller passes NULL, or if the kernel does not accept names.
///
/// # Safety
/// `name` is NULL or points to a NUL-terminated string.
pub unsafe fn known_name(name: *const c_char) -> [u8; NAME_LEN] {
    if name.is_null() || !names() {
        return [0; NAME_LEN];
    }
    // SAFETY: as above.
    unsafe { attr::name(name) }
}

/// Whether the kernel supports common attributes. It is always probed for.
pub fn common_attrs() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| call_with_null_common::<ProgLoad>() == Err(Errno(libc::EFAULT)))
}

/// Whether the kernel has a feature. It is probed at most once, or once by each of several racing threads.
struct Answer(AtomicU8);

impl Answer {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;

    const fn new() -> Self {
        Self(AtomicU8::new(Self::UNKNOWN))
    }

    /// The remembered answer, or else that of `ask`. `errno` is unchanged.
    #[cold]
    fn get(&self, ask: impl FnOnce() -> bool) -> bool {
        let known = self.0.load(Relaxed);
        if known != Self::UNKNOWN {
            return known == Self::YES;
        }
        let saved = errno();
        let answer = ask();
        set_errno(saved);
        self.0.store(if answer { Self::YES } else { Self::NO }, Relaxed);
        answer
    }
}

/// `struct bpf_insn` as a 64-bit integer.
type Insn = u64;

const fn insn(code: u8, registers: u8, immediate: i32) -> Insn {
    let i = immediate.to_ne_bytes();
    Insn::from_ne_bytes([code, registers, 0, 0, i[0], i[1], i[2], i[3]])
}

const MOV_R0_0: Insn = insn(0xb7, 0, 0);
const CALL_KTIME_GET_COARSE_NS: Insn = insn(0x85, 0, 160);
const EXIT: Insn = insn(0x95, 0, 0);

/// Whether the kernel accepts a program, which is not kept.
#[cold]
fn loads(insns: &[Insn], prog_name: &CStr) -> bool {
    let mut attr = ProgLoad {
        prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
        insn_cnt: insns.len() as u32,
        insns: addr(insns.as_ptr()),
        license: addr(c"GPL".as_ptr()),
        // SAFETY: a `CStr` is NUL-terminated.
        prog_name: unsafe { attr::name(prog_name.as_ptr()) },
        ..zeroed()
    };
    // SAFETY: the kernel reads the instructions and the license, which outlive the call, and writes nothing.
    match unsafe { call_with_addrs(&mut attr) } {
        Ok(fd) => {
            // SAFETY: the descriptor is new, so nothing else uses it.
            unsafe { libc::close(fd) };
            true
        }
        Err(_) => false,
    }
}

/// The first two numbers of the release that `uname` returns, such as "6.12.38-amd64". It is called once.
fn release() -> Release {
    /// Both numbers, 16 bits each; 0 until they are known.
    static RELEASE: AtomicU32 = AtomicU32::new(0);
    let known = RELEASE.load(Relaxed);
    if known != 0 {
        return ((known >> 16) as u16, known as u16);
    }
    let (major, minor) = ask_release();
    RELEASE.store(u32::from(major) << 16 | u32::from(minor), Relaxed);
    (major, minor)
}

type Release = (u16, u16);

fn ask_release() -> Release {
    let mut uts = MaybeUninit::<libc::utsname>::uninit();
    // SAFETY: the struct is valid for writes.
    if unsafe { uname(uts.as_mut_ptr()) } != 0 {
        return (0, 0);
    }
    // SAFETY: `uname` succeeded, and has filled the struct.
    let uts = unsafe { uts.assume_init_ref() };
    parse_release(uts.release.iter().map(|&c| c as u8))
}

/// The first two numbers of a release string; 0 for a missing one.
fn parse_release(mut release: impl Iterator<Item = u8>) -> Release {
    let mut number = || {
        release
            .by_ref()
            .map_while(|c| char::from(c).to_digit(10))
            .fold(0u16, |n, digit| n.wrapping_mul(10).wrapping_add(digit as u16))
    };
    (number(), number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_first_two_numbers() {
        let release = |text: &str| parse_release(text.bytes());
        assert_eq!(release("6.12.38+deb13-amd64"), (6, 12));
        assert_eq!(release("5.10.0-33-cloud-amd64"), (5, 10));
        assert_eq!(release("7.2-rc1"), (7, 2));
        assert_eq!(release("4.4"), (4, 4));
        assert_eq!(release("3"), (3, 0));
        assert_eq!(release(""), (0, 0));
        assert_eq!(release("99999999999999.1").1, 1);
        assert!(release("5.9") < (5, 11) && release("5.11") >= (5, 11) && release("10.0") >= (5, 11));
    }

    #[test]
    fn a_feature_is_probed_once_and_errno_is_unchanged() {
        for yes in [true, false] {
            let answer = Answer::new();
            set_errno(Errno(777));
            assert_eq!(
                answer.get(|| {
                    set_errno(Errno(1));
                    yes
                }),
                yes
            );
            assert_eq!(answer.get(|| panic!("probed again")), yes);
            assert_eq!(errno().0, 777);
        }
    }

    #[test]
    fn a_probe_that_loads_returns_true_and_leaks_no_descriptor() {
        use crate::kernel::scripted::{fails, returns, with_answers};
        // SAFETY: opens a descriptor that the probe is to close.
        let fd = unsafe { libc::dup(0) };
        let (yes, calls) = with_answers([returns(fd.into())], || loads(&[MOV_R0_0, EXIT], c"sysbpf_name"));
        assert!(yes && calls.len() == 1);
        // SAFETY: asks about the descriptor.
        assert_eq!(unsafe { libc::fcntl(fd, libc::F_GETFD) }, -1, "closed");
        assert!(!with_answers([fails(libc::EINVAL)], || loads(&[EXIT], c"")).0);
    }
}
