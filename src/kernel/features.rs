//! What the running kernel can do, asked once and remembered for the process.
//!
//! Where the release that `uname` gives settles a question, nothing is asked. Only a release
//! that is too old for it, which may still carry the feature, is worth a probe.

use core::ffi::{CStr, c_char};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use errno::{Errno, errno, set_errno};

use super::attr::{self, NAME_LEN, ProgLoad, addr, zeroed};
use super::call::{call, call_without_announced_common};
use super::uapi::BPF_PROG_TYPE_SOCKET_FILTER;

/// Accounts BPF memory to the cgroup, not to `RLIMIT_MEMLOCK`.
pub fn memcg_accounting() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| release_is_at_least(5, 11) || loads(&[CALL_KTIME_GET_COARSE_NS, EXIT], c""))
}

/// Takes names for programs and maps.
pub fn names() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| release_is_at_least(4, 15) || loads(&[MOV_R0_0, EXIT], c"sysbpf_name"))
}

/// A name for a record; none if the caller gives none, or the kernel takes none.
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

/// Takes the attributes that all commands share. No release settles this one.
pub fn common_attrs() -> bool {
    static ANSWER: Answer = Answer::new();
    ANSWER.get(|| call_without_announced_common::<ProgLoad>() == Err(Errno(libc::EFAULT)))
}

/// A yes or no that is found out at most once, unless threads race for it.
struct Answer(AtomicU8);

impl Answer {
    const UNKNOWN: u8 = 0;
    const NO: u8 = 1;
    const YES: u8 = 2;

    const fn new() -> Self {
        Self(AtomicU8::new(Self::UNKNOWN))
    }

    /// The remembered answer, or else what `ask` says. `errno` stays as it is.
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

/// `struct bpf_insn`, as eight bytes in the machine's order.
type Insn = u64;

const fn insn(code: u8, registers: u8, immediate: i32) -> Insn {
    let i = immediate.to_ne_bytes();
    Insn::from_ne_bytes([code, registers, 0, 0, i[0], i[1], i[2], i[3]])
}

const MOV_R0_0: Insn = insn(0xb7, 0, 0);
const CALL_KTIME_GET_COARSE_NS: Insn = insn(0x85, 0, 160);
const EXIT: Insn = insn(0x95, 0, 0);

/// Whether the kernel loads a throw-away program.
fn loads(insns: &[Insn], prog_name: &CStr) -> bool {
    let mut attr = ProgLoad {
        prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
        insn_cnt: insns.len() as u32,
        insns: addr(insns.as_ptr()),
        license: addr(c"GPL".as_ptr()),
        // SAFETY: a `CStr` is terminated.
        prog_name: unsafe { attr::name(prog_name.as_ptr()) },
        ..zeroed()
    };
    match call(&mut attr) {
        Ok(fd) => {
            // SAFETY: the kernel just gave this descriptor to us alone.
            unsafe { libc::close(fd) };
            true
        }
        Err(_) => false,
    }
}

/// Compares the release that `uname` gives, such as "6.12.38-amd64".
fn release_is_at_least(major: u32, minor: u32) -> bool {
    let mut uts = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `uname` fills the struct, which zero bytes are a value of if it should fail.
    let uts = unsafe {
        libc::uname(uts.as_mut_ptr());
        uts.assume_init()
    };
    parse_release(uts.release.iter().map(|&c| c.cast_unsigned())) >= (major, minor)
}

/// The first two numbers of a release; what is missing counts as 0.
fn parse_release(mut release: impl Iterator<Item = u8>) -> (u32, u32) {
    let mut number = || {
        release
            .by_ref()
            .map_while(|c| char::from(c).to_digit(10))
            .fold(0u32, |n, digit| n.wrapping_mul(10).wrapping_add(digit))
    };
    (number(), number())
}
