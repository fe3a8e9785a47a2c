// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plays one case to one library, and describes how two outcomes differ.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::{
    case::{Case, Placed, Start},
    functions::{Function, Kind},
    interpose::{self, Answer, Event, Mode, PERSONAS, Script},
    library::{self, Library},
    memory::{MARGIN, Memory},
    table::Gives,
    world::World,
};

/// Everything about a call that a program or the kernel can observe.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub how: i32,
    pub signal: i32,
    pub value: i64,
    pub errno: i32,
    /// The address of the fault. It is not compared: the libraries are loaded at different addresses.
    pub died_at: Option<Address>,
    pub events: Vec<Event>,
    /// Each buffer and the bytes around it, after the call.
    pub memory: Vec<Vec<u8>>,
    pub warned: bool,
    /// The lowest free descriptor after the returned one was closed: shows leaks (running kernel only).
    pub free_fd: i32,
}

#[derive(Clone, Copy, Debug)]
pub struct Address(pub usize);
impl PartialEq for Address {
    fn eq(&self, _: &Address) -> bool {
        true
    }
}

/// A library, with the states that it can have when a case starts.
pub struct Subject {
    library: Library,
    cold: library::Memory,
    /// One for each persona.
    warm: Vec<library::Memory>,
    /// For the running kernel.
    warm_real: Option<library::Memory>,
}

impl Subject {
    pub fn new(library: Library, world: Option<&World>) -> Subject {
        let cold = library.remember();
        let script = |persona| Script { persona, rest: Answer { result: 50, writes: Vec::new() }, ..Script::default() };
        let warm = (0..PERSONAS.len()).map(|persona| {
            library.restore(&cold);
            warm_up(&library, &Mode::Scripted(script(persona)));
            library.remember()
        });
        let warm = warm.collect();
        let warm_real = world.map(|_| {
            library.restore(&cold);
            warm_up(&library, &Mode::Real);
            library.remember()
        });
        Subject { library, cold, warm, warm_real }
    }
}

/// Makes the calls after which a library knows what it can know about a kernel: a named map, a program, BTF.
/// The loads fail, since there are no instructions and no data, but the library probes the kernel before them.
fn warm_up(library: &Library, mode: &Mode) {
    let name = c"warm_up".as_ptr() as u64;
    let calls: [(&str, [u64; 9]); 3] = [
        // An array of one 4-byte value.
        ("bpf_map_create", [2, name, 4, 4, 1, 0, 0, 0, 0]),
        ("bpf_prog_load", [1, name, 0, 0, 0, 0, 0, 0, 0]),
        ("bpf_btf_load", [0; 9]),
    ];
    for (function, arguments) in calls {
        interpose::begin(mode.clone(), Some(0), [interpose::Records::default(); 2]);
        let ended = library.call(function, &arguments, 0);
        interpose::end();
        if matches!(mode, Mode::Real) && ended.how == library::RETURNED && ended.value as i32 >= 0 {
            close(ended.value as i32);
        }
    }
}

fn close(fd: RawFd) {
    // SAFETY: the call under test has returned it, and nothing else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

/// Redirects stderr to a file while cases run, to detect warnings.
pub struct Warnings(OwnedFd);

impl Warnings {
    pub fn capture() -> std::io::Result<Warnings> {
        // SAFETY: the descriptors are this process's, and the results are checked.
        unsafe {
            let fd = libc::memfd_create(c"warnings".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 || libc::dup2(fd, 2) < 0 || libc::fcntl(2, libc::F_SETFL, libc::O_APPEND) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(Warnings(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Whether anything was printed since the last call of this function.
    pub fn take(&self) -> bool {
        // SAFETY: the descriptor is open, and `stat` outlives the call.
        unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            libc::fstat(self.0.as_raw_fd(), &mut stat);
            if stat.st_size > 0 {
                libc::ftruncate(self.0.as_raw_fd(), 0);
            }
            stat.st_size > 0
        }
    }
}

/// Plays one case to one library.
pub fn play(
    subject: &Subject,
    function: &'static Function,
    case: &Case,
    placed: &Placed,
    memory: &Memory,
    warnings: &Warnings,
    world: Option<&World>,
) -> Outcome {
    memory.fill();
    let mode = match world {
        Some(world) => {
            world.reset(function, case.attach_type(function));
            Mode::Real
        }
        None => Mode::Scripted(case.script.clone()),
    };
    subject.library.restore(match (case.start, world) {
        (Start::Cold, _) => &subject.cold,
        (Start::Warm, None) => &subject.warm[case.script.persona],
        (Start::Warm, Some(_)) => subject.warm_real.as_ref().expect("warmed up on the running kernel"),
    });
    interpose::begin(mode, placed.insns, placed.records);
    let ended = subject.library.call(function.name, &placed.arguments, case.errno_before);
    let events = interpose::end();
    let value = if function.returns_long { ended.value } else { i64::from(ended.value as i32) };
    let mut read = memory.read();
    let mut free_fd = 0;
    if let Some(world) = world {
        if function.gives == Gives::Descriptor && ended.how == library::RETURNED && value >= 0 {
            close(value as i32);
        }
        free_fd = world.free_fd();
        if function.name == "bpf_prog_test_run_opts" {
            // The duration, which the kernel also writes on some failures.
            if let Some(slot) = placed.opts_slot {
                Memory::mask(&mut read, slot, 64, 4);
            }
        }
    }
    Outcome {
        how: ended.how,
        signal: ended.signal,
        value: if ended.how == library::RETURNED { value } else { 0 },
        errno: ended.error,
        died_at: (ended.how == library::DIED).then_some(Address(ended.address)),
        events,
        memory: read,
        warned: warnings.take(),
        free_fd,
    }
}

/// The differences: which call, which byte.
pub fn describe(function: &Function, placed: &Placed, reference: &Outcome, ours: &Outcome) -> String {
    use std::fmt::Write as _;
    let mut s = String::new();
    let _ = writeln!(s, "  reference: {}", ending(reference));
    let _ = writeln!(s, "  ours:      {}", ending(ours));
    if reference.warned != ours.warned {
        let _ = writeln!(s, "  warning on stderr: reference {}, ours {}", reference.warned, ours.warned);
    }
    if reference.free_fd != ours.free_fd {
        let _ = writeln!(s, "  lowest free descriptor: reference {}, ours {}", reference.free_fd, ours.free_fd);
    }
    if reference.events != ours.events {
        let most = reference.events.len().max(ours.events.len());
        for i in 0..most {
            let (r, o) = (reference.events.get(i), ours.events.get(i));
            if r == o {
                // Of many equal calls, the first few are enough.
                if i < 8 {
                    let _ = writeln!(s, "  call {} (both):    {}", i + 1, r.map_or("none".into(), event));
                }
                continue;
            }
            let _ = writeln!(s, "  call {} reference: {}", i + 1, r.map_or("none".into(), event));
            let _ = writeln!(s, "  call {} ours:      {}", i + 1, o.map_or("none".into(), event));
            if let (Some(Event::Bpf { attr: a, .. }), Some(Event::Bpf { attr: b, .. })) = (r, o) {
                for (at, (a, b)) in a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b) {
                    let _ = writeln!(s, "    byte {at} of the attribute: reference {a:#04x}, ours {b:#04x}");
                }
            }
        }
    }
    for (slot, (r, o)) in reference.memory.iter().zip(&ours.memory).enumerate() {
        for at in (0..r.len()).filter(|&at| r[at] != o[at]) {
            let what =
                if placed.opts_slot == Some(slot) { "the opts struct".to_string() } else { format!("buffer {slot}") };
            let at_there = at as i64 - MARGIN as i64;
            let _ =
                writeln!(s, "    byte {at_there} of {what} afterwards: reference {:#04x}, ours {:#04x}", r[at], o[at]);
        }
    }
    let pointers: Vec<_> = function
        .params
        .iter()
        .zip(placed.arguments)
        .filter(|(p, _)| p.kind.is_pointer() && !matches!(p.kind, Kind::Address))
        .map(|(p, word)| format!("{} = {word:#x}", p.name))
        .collect();
    if !pointers.is_empty() {
        let _ = writeln!(s, "  with {}", pointers.join(", "));
    }
    s
}

fn ending(o: &Outcome) -> String {
    match o.how {
        library::RETURNED => format!("returns {}, errno {}", o.value, o.errno),
        library::DIED => format!("killed by signal {} at {:#x}", o.signal, o.died_at.map_or(0, |a| a.0)),
        _ => "makes system calls without end".into(),
    }
}

fn event(e: &Event) -> String {
    match e {
        Event::Bpf { cmd, size, attr, common, answer, probe, copies } => {
            let name = interpose::cmd::NAMES.get((cmd & !interpose::COMMON) as usize).copied().unwrap_or("?");
            let words: Vec<_> =
                attr.chunks(4).map(|w| w.iter().rev().map(|b| format!("{b:02x}")).collect::<String>()).collect();
            let mut s = format!("bpf({name}, {}, {size}) = {answer}", words.join(" "));
            if let Some((size, bytes)) = common {
                s += &format!(", common attributes of {size} bytes {bytes:02x?}");
            }
            for (at, bytes) in copies {
                s += &format!(", copied records at {at}: {bytes:02x?}");
            }
            if *probe { s + " (a probe)" } else { s }
        }
        Event::Fcntl { fd, command, argument, answer } => format!("fcntl({fd}, {command}, {argument}) = {answer}"),
        Event::Close { fd, .. } => format!("close({fd})"),
        Event::Setrlimit { resource, soft, hard } => format!("setrlimit({resource}, {soft:#x}, {hard:#x})"),
        Event::Other { number } => format!("syscall({number}, ...)"),
    }
}
