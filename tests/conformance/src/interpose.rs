// SPDX-License-Identifier: MIT OR Apache-2.0
//! Intercepts the system calls of the library under test, with interpose.c: records each, and returns the result that the
//! case's script has, or that of the running kernel.

use std::cell::UnsafeCell;

pub const SYS_BPF: i64 = libc::SYS_bpf;
/// `bpf(cmd | COMMON, attr, size, common, size)`: a call with common attributes.
pub const COMMON: u32 = 1 << 16;
const GIVE_UP: i64 = i64::MIN;
/// A function that makes more system calls than this is stopped, which is part of the outcome.
const MOST_CALLS: usize = 48;
/// The scripted kernel returns these descriptors to feature probes, to recognise them in later calls.
const PROBE_FDS: std::ops::Range<i32> = 70_000..80_000;

pub mod cmd {
    pub const MAP_CREATE: u32 = 0;
    pub const PROG_LOAD: u32 = 5;
    pub const NAMES: [&str; 39] = [
        "BPF_MAP_CREATE",
        "BPF_MAP_LOOKUP_ELEM",
        "BPF_MAP_UPDATE_ELEM",
        "BPF_MAP_DELETE_ELEM",
        "BPF_MAP_GET_NEXT_KEY",
        "BPF_PROG_LOAD",
        "BPF_OBJ_PIN",
        "BPF_OBJ_GET",
        "BPF_PROG_ATTACH",
        "BPF_PROG_DETACH",
        "BPF_PROG_TEST_RUN",
        "BPF_PROG_GET_NEXT_ID",
        "BPF_MAP_GET_NEXT_ID",
        "BPF_PROG_GET_FD_BY_ID",
        "BPF_MAP_GET_FD_BY_ID",
        "BPF_OBJ_GET_INFO_BY_FD",
        "BPF_PROG_QUERY",
        "BPF_RAW_TRACEPOINT_OPEN",
        "BPF_BTF_LOAD",
        "BPF_BTF_GET_FD_BY_ID",
        "BPF_TASK_FD_QUERY",
        "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
        "BPF_MAP_FREEZE",
        "BPF_BTF_GET_NEXT_ID",
        "BPF_MAP_LOOKUP_BATCH",
        "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
        "BPF_MAP_UPDATE_BATCH",
        "BPF_MAP_DELETE_BATCH",
        "BPF_LINK_CREATE",
        "BPF_LINK_UPDATE",
        "BPF_LINK_GET_FD_BY_ID",
        "BPF_LINK_GET_NEXT_ID",
        "BPF_ENABLE_STATS",
        "BPF_ITER_CREATE",
        "BPF_LINK_DETACH",
        "BPF_PROG_BIND_MAP",
        "BPF_TOKEN_CREATE",
        "BPF_PROG_STREAM_READ_BY_FD",
        "BPF_PROG_ASSOC_STRUCT_OPS",
    ];
}

/// A system call of a library.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A `bpf(2)` call: the attribute before the call, and the result.
    Bpf {
        cmd: u32,
        size: u32,
        attr: Vec<u8>,
        /// Records that the library has copied: the offset of the pointer in `attr`, and the bytes.
        copies: Vec<(usize, Vec<u8>)>,
        /// The size and the bytes of the common attribute.
        common: Option<(u32, Vec<u8>)>,
        answer: i64,
        /// Whether the library makes the call to detect a kernel feature.
        probe: bool,
    },
    Fcntl {
        fd: i32,
        command: i32,
        argument: i64,
        answer: i64,
    },
    Close {
        fd: i32,
        probe: bool,
    },
    Setrlimit {
        resource: i32,
        soft: u64,
        hard: u64,
    },
    Other {
        number: i64,
    },
}

impl Event {
    /// Whether this is part of a feature probe.
    pub fn is_probe(&self) -> bool {
        matches!(self, Event::Bpf { probe: true, .. } | Event::Close { probe: true, .. })
    }

    /// Whether this precedes the caller's command: a probe, or raising RLIMIT_MEMLOCK.
    pub fn is_prelude(&self) -> bool {
        self.is_probe() || matches!(self, Event::Setrlimit { .. })
    }
}

/// What the scripted kernel does in one call: a result or -errno, and numbers that it writes to the attribute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    pub result: i64,
    pub writes: Vec<(usize, u32)>,
}

/// A kernel, as feature probes see it.
#[derive(Debug)]
pub struct Persona {
    pub name: &'static str,
    pub release: &'static str,
    /// Supports object names.
    pub names: bool,
    /// Charges BPF memory to the cgroup.
    pub memcg: bool,
    /// Supports common attributes.
    pub common: bool,
    /// Permits this process to load programs.
    pub privileged: bool,
}

pub static PERSONAS: [Persona; 5] = [
    Persona { name: "6.18", release: "6.18.1", names: true, memcg: true, common: false, privileged: true },
    Persona { name: "7.2", release: "7.2.0-cloud-amd64", names: true, memcg: true, common: true, privileged: true },
    Persona { name: "5.10", release: "5.10.0-8-amd64", names: true, memcg: false, common: false, privileged: true },
    Persona { name: "4.14", release: "4.14.99", names: false, memcg: false, common: false, privileged: true },
    Persona { name: "6.1, unprivileged", release: "6.1.0", names: true, memcg: true, common: false, privileged: false },
];

/// The behaviour of the scripted kernel during one call.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub persona: usize,
    pub answers: Vec<Answer>,
    /// For all later calls.
    pub rest: Answer,
    /// The result of fcntl().
    pub dup: i64,
    /// The result of close().
    pub close: i64,
    /// The `log_true_size` that is written to the common attribute.
    pub common_true_size: u32,
}

#[derive(Clone, Debug)]
pub enum Mode {
    Scripted(Script),
    Real,
}

/// The address of the caller's records, and the size of each.
#[derive(Clone, Copy, Default)]
pub struct Records {
    pub at: u64,
    pub size: u64,
}

struct Watch {
    mode: Mode,
    /// The caller's instructions. A load of other instructions is a probe.
    insns: Option<u64>,
    /// The caller's func_info and line_info.
    records: [Records; 2],
    answered: usize,
    probes: i32,
    events: Vec<Event>,
}

impl Watch {
    fn runs_away(&self) -> bool {
        self.events.iter().rev().take_while(|e| !e.is_prelude()).count() >= MOST_CALLS
    }
}

struct Shared(UnsafeCell<Option<Watch>>);
// SAFETY: a worker has one thread.
unsafe impl Sync for Shared {}
static WATCH: Shared = Shared(UnsafeCell::new(None));

/// Starts watching the next guarded call.
pub fn begin(mode: Mode, insns: Option<u64>, records: [Records; 2]) {
    // SAFETY: there is one thread, and the functions below keep no reference.
    unsafe { *WATCH.0.get() = Some(Watch { mode, insns, records, answered: 0, probes: 0, events: Vec::new() }) }
}

/// Stops watching, and returns the system calls.
pub fn end() -> Vec<Event> {
    // SAFETY: as in `begin`.
    unsafe { (*WATCH.0.get()).take() }.expect("a call was watched").events
}

fn watch() -> &'static mut Watch {
    // SAFETY: as in `begin`; the interposed functions do not nest.
    unsafe { (*WATCH.0.get()).as_mut() }.expect("a call is watched")
}

unsafe extern "C" {
    fn conformance_next_syscall(number: i64, arguments: *const i64) -> i64;
    fn conformance_next_fcntl(fd: i32, command: i32, argument: i64) -> i64;
    fn conformance_next_close(fd: i32) -> i64;
    fn conformance_next_uname(name: *mut libc::utsname) -> i32;
}

fn word(attr: &[u8], at: usize) -> u32 {
    attr.get(at..at + 4).map_or(0, |b| u32::from_ne_bytes(b.try_into().expect("four bytes")))
}
fn long(attr: &[u8], at: usize) -> u64 {
    attr.get(at..at + 8).map_or(0, |b| u64::from_ne_bytes(b.try_into().expect("eight bytes")))
}

/// Offsets in the record of BPF_PROG_LOAD: pointer, count, record size.
const RECORDS: [(usize, usize, usize); 2] = [(80, 88, 76), (96, 104, 92)];

unsafe fn bytes(address: u64, len: usize) -> Vec<u8> {
    if address == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's promise. If the library passes an invalid pointer, the guard catches the fault.
    unsafe { std::slice::from_raw_parts(address as *const u8, len) }.to_vec()
}

/// The result of a program load that probes for a feature.
fn probe_answer(persona: &Persona, attr: &[u8], next: i32) -> i64 {
    if !persona.privileged {
        return -i64::from(libc::EPERM);
    }
    let named = attr.get(48..64).is_some_and(|name| name.iter().any(|&b| b != 0));
    if named && !persona.names {
        return -i64::from(libc::E2BIG);
    }
    // SAFETY: the library has passed that many instructions of eight bytes.
    let insns = unsafe { bytes(long(attr, 8), word(attr, 4).min(64) as usize * 8) };
    // bpf_ktime_get_coarse_ns() (160) is as old as memory accounting by cgroup: Linux 5.11.
    let coarse = insns.chunks(8).any(|i| i[0] == 0x85 && word(i, 4) == 160);
    if coarse && !persona.memcg {
        return -i64::from(libc::EINVAL);
    }
    i64::from(next)
}

#[unsafe(no_mangle)]
extern "C" fn conformance_on_syscall(number: i64, arguments: *const i64) -> i64 {
    let watch = watch();
    if watch.runs_away() {
        return GIVE_UP;
    }
    // SAFETY: interpose.c passes six words.
    let a = unsafe { std::slice::from_raw_parts(arguments, 6) };
    match number {
        SYS_BPF => {}
        libc::SYS_fcntl => return conformance_on_fcntl(a[0] as i32, a[1] as i32, a[2]),
        libc::SYS_close => return conformance_on_close(a[0] as i32),
        _ => {
            watch.events.push(Event::Other { number });
            // SAFETY: the library's call is passed on unchanged.
            return unsafe { conformance_next_syscall(number, arguments) };
        }
    }
    let (cmd, attr_at, size) = (a[0] as u32, a[1] as u64, a[2] as u32);
    // SAFETY: the library passes that many bytes; otherwise the guard catches the fault.
    let mut attr = unsafe { bytes(attr_at, size as usize) };
    let common = (cmd & COMMON != 0).then(|| {
        let size = a[4] as u32;
        // SAFETY: as above.
        (size, unsafe { bytes(a[3] as u64, size as usize) })
    });
    let plain = cmd & !COMMON;
    let asks_for_common = cmd & COMMON != 0 && a[3] == 0;
    let probe = asks_for_common || plain == cmd::PROG_LOAD && watch.insns != Some(long(&attr, 8));

    let answer = match &watch.mode {
        // SAFETY: the library's call is passed on unchanged.
        Mode::Real => unsafe { conformance_next_syscall(number, arguments) },
        Mode::Scripted(script) if probe => {
            let persona = &PERSONAS[script.persona];
            if asks_for_common {
                -i64::from(if persona.common { libc::EFAULT } else { libc::EINVAL })
            } else {
                watch.probes += 1;
                probe_answer(persona, &attr, PROBE_FDS.start + watch.probes)
            }
        }
        Mode::Scripted(script) => {
            let answer = script.answers.get(watch.answered).unwrap_or(&script.rest);
            watch.answered += 1;
            for &(at, value) in &answer.writes {
                if at + 4 <= size as usize {
                    // SAFETY: the number is within the attribute, which the kernel may write to.
                    unsafe { ((attr_at as usize + at) as *mut u32).write_unaligned(value) };
                }
            }
            if let Some((24, _)) = common {
                // SAFETY: log_true_size is within the 24 bytes of the common attribute.
                unsafe { ((a[3] as usize + 16) as *mut u32).write_unaligned(script.common_true_size) };
            }
            answer.result
        }
    };

    let mut copies = Vec::new();
    if plain == cmd::PROG_LOAD && !probe {
        for (which, (pointer, count, record)) in RECORDS.into_iter().enumerate() {
            let at = long(&attr, pointer);
            if at != 0 && at != watch.records[which].at && attr.len() >= 168 {
                // The kernel may write back a size larger than that of the copied records.
                let size = u64::from(word(&attr, record)).min(watch.records[which].size);
                let len = (u64::from(word(&attr, count)) * size).min(1 << 16);
                // SAFETY: the copy has that many records; otherwise the guard catches the fault.
                copies.push((pointer, unsafe { bytes(at, len as usize) }));
                // The address of the copy is not compared.
                attr[pointer..pointer + 8].copy_from_slice(&u64::MAX.to_ne_bytes());
            }
        }
    }
    watch.events.push(Event::Bpf { cmd, size, attr, copies, common, answer, probe });
    answer
}

#[unsafe(no_mangle)]
extern "C" fn conformance_on_fcntl(fd: i32, command: i32, argument: i64) -> i64 {
    let watch = watch();
    if watch.runs_away() {
        return GIVE_UP;
    }
    let answer = match &watch.mode {
        Mode::Scripted(script) => script.dup,
        // SAFETY: the library's call is passed on unchanged.
        Mode::Real => unsafe { conformance_next_fcntl(fd, command, argument) },
    };
    watch.events.push(Event::Fcntl { fd, command, argument, answer });
    answer
}

#[unsafe(no_mangle)]
extern "C" fn conformance_on_close(fd: i32) -> i64 {
    let watch = watch();
    if watch.runs_away() {
        return GIVE_UP;
    }
    let opened_by_probe = |e: &Event| matches!(e, Event::Bpf { probe: true, answer, .. } if *answer == i64::from(fd));
    let probe = watch.events.iter().any(opened_by_probe);
    let answer = match &watch.mode {
        Mode::Scripted(_) if probe => 0,
        Mode::Scripted(script) => script.close,
        // SAFETY: the library's call is passed on unchanged.
        Mode::Real => unsafe { conformance_next_close(fd) },
    };
    watch.events.push(Event::Close { fd, probe });
    answer
}

#[unsafe(no_mangle)]
extern "C" fn conformance_on_setrlimit(resource: i32, limits: *const u64) -> i64 {
    let watch = watch();
    if watch.runs_away() {
        return GIVE_UP;
    }
    // SAFETY: a struct rlimit is two 64-bit numbers here.
    let [soft, hard] = unsafe { limits.cast::<[u64; 2]>().read_unaligned() };
    watch.events.push(Event::Setrlimit { resource, soft, hard });
    // Not passed on: the limits of the runner remain unchanged.
    0
}

#[unsafe(no_mangle)]
extern "C" fn conformance_on_uname(name: *mut libc::utsname) -> i64 {
    // SAFETY: libc fills the caller's struct.
    unsafe {
        conformance_next_uname(name);
        if let Mode::Scripted(script) = &watch().mode {
            let release = PERSONAS[script.persona].release;
            for (to, from) in (*name).release.iter_mut().zip(release.bytes().chain([0])) {
                *to = from as libc::c_char;
            }
        }
    }
    0
}
