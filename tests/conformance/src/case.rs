//! One case: the arguments of one call, what lies behind its pointers, and the kernel's script.
//! How cases are generated, laid out in memory, and printed as C.

use std::fmt::Write as _;

use proptest::{collection::vec, option, prelude::*};

use crate::{
    functions::{Function, Gives, Kind, LOG_OPTS, Member, Opts},
    kernel::{Answer, PERSONAS, Records, Script},
    memory::Memory,
    world,
};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number, or an address at which nothing is.
    Number(u64),
    Bytes(Vec<u8>),
    Opts(Box<OptsValue>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct OptsValue {
    pub sz: u64,
    /// One per member, those of unused alternatives included.
    pub members: Vec<Value>,
    /// The alternative of the union that is filled; 0: the one that goes with the attach type.
    pub alternative: u8,
    /// Keep to what the struct's members allow together.
    pub tidy: bool,
    /// What fills the holes between members.
    pub hole: u8,
    /// A byte past the last member: where (modulo the room there), and its value.
    pub tail: Option<(usize, u8)>,
}

/// What a library remembers when the call begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Nothing: this is the first call of the process.
    Cold,
    /// What it learnt from a kernel of this kind.
    Warm,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub arguments: Vec<Value>,
    pub errno_before: i32,
    pub start: Start,
    pub script: Script,
}

// ---- generation ----------------------------------------------------------------------------

fn number32() -> impl Strategy<Value = u64> {
    prop_oneof![
        5 => Just(0u64),
        4 => 1..17u64,
        2 => any::<u32>().prop_map(u64::from),
        1 => (0..32u32).prop_map(|b| 1u64 << b),
        1 => Just(u64::from(u32::MAX)),
    ]
}

fn number64() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0u64), 3 => 1..17u64, 2 => any::<u64>(), 1 => (0..64u32).prop_map(|b| 1u64 << b), 1 => Just(u64::MAX)]
}

/// Addresses at which nothing can be mapped.
fn wild() -> impl Strategy<Value = u64> {
    prop_oneof![1..4000u64, (0..u64::MAX >> 17).prop_map(|a| 0xdead_0000_0000_0000 ^ a)]
}

fn bytes(len: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Value> {
    vec(any::<u8>(), len).prop_map(Value::Bytes)
}

fn string(len: usize) -> impl Strategy<Value = Value> {
    vec(prop_oneof![4 => 0x61..0x7bu8, 1 => 1..255u8], len).prop_map(|mut s| {
        s.push(0);
        Value::Bytes(s)
    })
}

fn numbers(s: impl Strategy<Value = u64> + 'static) -> BoxedStrategy<Value> {
    s.prop_map(Value::Number).boxed()
}

fn null() -> Just<Value> {
    Just(Value::Number(0))
}

/// Values of one kind, for a scripted kernel: it follows no pointer, so those may be anything.
fn scripted(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::U32 | Kind::Id | Kind::Flags | Kind::Len | Kind::ProgType | Kind::MapType | Kind::StatsType => {
            numbers(number32())
        }
        Kind::RecordSize => numbers(prop_oneof![1 => Just(0u64), 8 => 1..65u64, 1 => Just(u64::from(u32::MAX))]),
        Kind::U64 | Kind::Address => numbers(prop_oneof![number64(), (1..5000u64).prop_map(|n| n.wrapping_neg())]),
        Kind::Size => numbers(prop_oneof![
            6 => 0..64u64,
            1 => any::<u32>().prop_map(u64::from),
            1 => (0..3u64).prop_map(|d| u64::from(u32::MAX) + d),
            1 => any::<u64>(),
        ]),
        Kind::Fd | Kind::Pid => numbers(prop_oneof![
            3 => Just(0u64),
            4 => 1..200u64,
            1 => Just(u64::from(u32::MAX)),
            1 => any::<u32>().prop_map(u64::from),
        ]),
        Kind::AttachType => {
            numbers(prop_oneof![2 => Just(0u64), 12 => 0..65u64, 1 => any::<u32>().prop_map(u64::from)])
        }
        Kind::Attempts => numbers(prop_oneof![
            5 => Just(0u64),
            4 => 1..12u64,
            1 => Just(40u64),
            1 => Just(i32::MAX as u64),
            1 => (-3..0i32).prop_map(|n| u64::from(n as u32)),
        ]),
        Kind::Name => prop_oneof![
            2 => null(),
            6 => prop_oneof![Just(0usize), Just(1), Just(14), Just(15), Just(16), Just(17), Just(100), 2..14usize]
                .prop_flat_map(string),
            // Not terminated within the fifteen bytes that count, and nothing after them.
            1 => vec(1..255u8, 16).prop_map(Value::Bytes),
        ]
        .boxed(),
        Kind::Str | Kind::License | Kind::Buffer | Kind::Insns | Kind::Btf => {
            prop_oneof![3 => null(), 1 => wild().prop_map(Value::Number), 4 => bytes(1..24usize)].boxed()
        }
        // As much as eight records of 64 bytes take: the library may read it.
        Kind::Records => prop_oneof![1 => null(), 4 => bytes(512usize)].boxed(),
        Kind::At32(_) => prop_oneof![1 => null(), 12 => bytes(4usize)].boxed(),
        Kind::At64(_) => prop_oneof![1 => null(), 12 => bytes(8usize)].boxed(),
        Kind::LogOpts => prop_oneof![6 => null(), 1 => opts(&LOG_OPTS, scripted_member)].boxed(),
        Kind::Opts(o) => prop_oneof![1 => null(), 12 => opts(o, scripted_member)].boxed(),
    }
}

/// A member of an opts struct for a scripted kernel: how often it is zero for each time that it is drawn, and from what.
fn scripted_member(member: &Member) -> (u32, BoxedStrategy<Value>) {
    match (member.kind, member.name) {
        // These leave no room for anything else in the struct.
        (kind, "iter_info" | "iter_info_len" | "target_btf_id") => (8, scripted(kind)),
        // A record count that goes with the memory behind it, or is beyond all memory.
        (_, "func_info_cnt" | "line_info_cnt") => {
            (1, numbers(prop_oneof![1 => Just(0u64), 8 => 1..9u64, 1 => Just(u64::from(u32::MAX))]))
        }
        (kind, _) => (1, scripted(kind)),
    }
}

/// An opts struct whose members are drawn by `of`.
pub fn opts(o: &'static Opts, of: fn(&Member) -> (u32, BoxedStrategy<Value>)) -> BoxedStrategy<Value> {
    let known = o.known();
    let ends: Vec<u64> = o.members.iter().map(|m| m.end() as u64).chain([8]).collect();
    let sz = prop_oneof![
        6 => Just(o.size as u64),
        2 => Just(known as u64),
        2 => Just(o.known_reference as u64),
        2 => proptest::sample::select(ends),
        4 => 0..=2 * o.size as u64,
    ];
    let members: Vec<_> = o
        .members
        .iter()
        .map(|m| {
            let (zeros, drawn) = of(m);
            prop_oneof![zeros => null(), 1 => drawn].boxed()
        })
        .collect();
    let alternative = match o.alternative {
        Some(_) => prop_oneof![4 => Just(0u8), 1 => 1..7u8].boxed(),
        None => Just(0u8).boxed(),
    };
    let hole = prop_oneof![8 => Just(0u8), 1 => any::<u8>()];
    let tail = option::weighted(0.25, (any::<u16>().prop_map(usize::from), 1..=255u8));
    (sz, members, alternative, prop::bool::weighted(0.8), hole, tail)
        .prop_map(|(sz, members, alternative, tidy, hole, tail)| {
            Value::Opts(Box::new(OptsValue { sz, members, alternative, tidy, hole, tail }))
        })
        .boxed()
}

const ERRORS: [i32; 16] = [
    libc::EPERM,
    libc::ENOENT,
    libc::EINTR,
    libc::EIO,
    libc::E2BIG,
    libc::EBADF,
    libc::EAGAIN,
    libc::ENOMEM,
    libc::EACCES,
    libc::EFAULT,
    libc::EBUSY,
    libc::EEXIST,
    libc::EINVAL,
    libc::EMFILE,
    libc::ENOSPC,
    524, // ENOTSUPP, which the kernel lets slip
];

fn answer(function: &Function) -> BoxedStrategy<Answer> {
    let failure = prop_oneof![
        8 => proptest::sample::select(&ERRORS[..]),
        // The answers that make a library try again.
        8 => proptest::sample::select(&[libc::EAGAIN, libc::E2BIG, libc::EINVAL][..]),
        1 => 1..4096i32,
    ]
    .prop_map(|e| -i64::from(e));
    let success = match function.gives {
        Gives::Zero | Gives::Nothing => prop_oneof![8 => Just(0i64), 1 => 1..5i64].boxed(),
        Gives::Descriptor => prop_oneof![3 => 3..100i64, 3 => 0..3i64, 1 => Just(i64::from(i32::MAX))].boxed(),
        Gives::Count => prop_oneof![0..5000i64, Just(i64::from(i32::MAX))].boxed(),
    };
    let result = if function.name == "bpf_prog_load" {
        prop_oneof![1 => success, 3 => failure].boxed()
    } else {
        prop_oneof![success, failure].boxed()
    };
    let value = prop_oneof![2 => Just(0u32), 6 => 1..65u32, 1 => any::<u32>()];
    let writes: Vec<_> =
        function.writes.iter().map(|&at| option::of(value.clone()).prop_map(move |v| v.map(|v| (at, v)))).collect();
    (result, writes)
        .prop_map(|(result, writes)| Answer { result, writes: writes.into_iter().flatten().collect() })
        .boxed()
}

/// Cases of a function for a scripted kernel.
pub fn scripted_cases(function: &'static Function) -> BoxedStrategy<Case> {
    let arguments: Vec<_> = function.params.iter().map(|p| scripted(p.kind)).collect();
    let answers = vec(answer(function), 0..if function.writes.contains(&140) { 7 } else { 3 });
    (
        arguments,
        answers,
        answer(function),
        prop_oneof![3..50i64, Just(-i64::from(libc::EMFILE)), Just(-i64::from(libc::EBADF))],
        prop_oneof![6 => Just(0i64), 1 => Just(-i64::from(libc::EINTR)), 1 => Just(-i64::from(libc::EBADF))],
        prop_oneof![3 => Just(0i32), 1 => 1..134i32],
        prop_oneof![8 => Just(Start::Warm), 1 => Just(Start::Cold)],
        (prop_oneof![6 => Just(0usize), 5 => 1..PERSONAS.len()], any::<u32>()),
    )
        .prop_map(|(arguments, answers, rest, dup, close, errno_before, start, (persona, common_true_size))| Case {
            arguments,
            errno_before,
            start,
            script: Script { persona, answers, rest, dup, close, common_true_size },
        })
        .boxed()
}

/// Cases of a function for the running kernel.
pub fn real_cases(function: &'static Function) -> BoxedStrategy<Case> {
    let arguments: Vec<_> = function.params.iter().map(|p| world::values(function, p.name, p.kind)).collect();
    let start = prop_oneof![15 => Just(Start::Warm), 1 => Just(Start::Cold)];
    (arguments, prop_oneof![3 => Just(0i32), 1 => 1..134i32], start)
        .prop_map(|(arguments, errno_before, start)| Case { arguments, errno_before, start, script: Script::default() })
        .boxed()
}

// ---- in memory -----------------------------------------------------------------------------

/// A case laid out in memory: what is passed.
pub struct Placed {
    pub arguments: [u64; 9],
    /// For a program load: where the caller's instructions and its two kinds of records lie.
    pub insns: Option<u64>,
    pub records: [Records; 2],
    /// Where the opts struct lies, and in which slot of the memory.
    pub opts_slot: Option<usize>,
}

impl OptsValue {
    /// The members that are filled, with their values, once the struct's own rules are applied.
    pub fn filled<'a>(&'a self, o: &'static Opts, attach_type: u32) -> Vec<(&'static Member, &'a Value)> {
        let zero = &Value::Number(0);
        let chosen = match (self.alternative, o.alternative) {
            (0, Some(of)) => of(attach_type),
            (n, _) => n,
        };
        let mut filled: Vec<_> =
            o.members.iter().zip(&self.members).filter(|(m, _)| m.of == 0 || m.of == chosen).collect();
        if self.tidy {
            let set = |filled: &[(&Member, &Value)], name: &str| {
                filled.iter().any(|(m, v)| m.name == name && !matches!(v, Value::Number(0)))
            };
            let mut clear = Vec::new();
            for &(a, b) in o.exclusive {
                if set(&filled, a) {
                    clear.push(b);
                }
            }
            for &(a, b) in o.together {
                if !set(&filled, a) || !set(&filled, b) {
                    clear.extend([a, b]);
                }
            }
            for (member, value) in &mut filled {
                if clear.contains(&member.name) {
                    *value = zero;
                }
            }
        }
        filled
    }

    fn place(&self, o: &'static Opts, attach_type: u32, memory: &mut Memory, records: &mut [Records; 2]) -> u64 {
        let sz = self.sz as usize;
        let mut bytes = vec![self.hole; sz.max(8)];
        bytes[..8].copy_from_slice(&self.sz.to_ne_bytes());
        let known = o.known();
        if sz > known {
            bytes[known..].fill(0);
            if let Some((at, byte)) = self.tail {
                bytes[known + at % (sz - known)] = byte;
            }
        }
        // What lies beyond the reference's last member belongs to no hole of the reference's.
        for (member, value) in self.filled(o, attach_type) {
            let number = place(value, member.kind, attach_type, memory, records);
            match member.name {
                "func_info" => records[0].at = number,
                "line_info" => records[1].at = number,
                "func_info_rec_size" => records[0].size = number,
                "line_info_rec_size" => records[1].size = number,
                _ => {}
            }
            for (i, byte) in number.to_ne_bytes()[..member.size()].iter().enumerate() {
                if let Some(to) = bytes.get_mut(member.at + i).filter(|_| member.at + i < sz) {
                    *to = *byte;
                }
            }
        }
        memory.place(&bytes, 8)
    }
}

fn place(value: &Value, kind: Kind, attach_type: u32, memory: &mut Memory, records: &mut [Records; 2]) -> u64 {
    match (value, kind) {
        (Value::Number(n), _) => *n,
        (Value::Bytes(b), Kind::Name | Kind::Str | Kind::License) => memory.place(b, 1),
        (Value::Bytes(b), Kind::At32(_)) => memory.place(b, 4),
        (Value::Bytes(b), _) => memory.place(b, 8),
        (Value::Opts(v), Kind::Opts(o)) => v.place(o, attach_type, memory, records),
        (Value::Opts(v), Kind::LogOpts) => v.place(&LOG_OPTS, attach_type, memory, records),
        (Value::Opts(_), _) => unreachable!("only opts arguments have opts values"),
    }
}

impl Case {
    pub fn attach_type(&self, function: &Function) -> u32 {
        let typed = function.params.iter().zip(&self.arguments);
        typed
            .filter_map(|(p, v)| match (p.kind, v) {
                (Kind::AttachType, Value::Number(n)) => Some(*n as u32),
                _ => None,
            })
            .next()
            .unwrap_or(0)
    }

    /// The opts argument, if there is one.
    pub fn opts(&self, function: &Function) -> Option<(&'static Opts, &OptsValue)> {
        function.params.iter().zip(&self.arguments).find_map(|(p, v)| match (p.kind, v) {
            (Kind::Opts(o), Value::Opts(v)) => Some((o, &**v)),
            _ => None,
        })
    }

    pub fn place(&self, function: &Function, memory: &mut Memory) -> Placed {
        memory.clear();
        let attach_type = self.attach_type(function);
        let mut placed = Placed { arguments: [0; 9], insns: None, records: [Records::default(); 2], opts_slot: None };
        for (i, (param, value)) in function.params.iter().zip(&self.arguments).enumerate() {
            let word = place(value, param.kind, attach_type, memory, &mut placed.records);
            placed.arguments[i] = word;
            match (param.kind, value) {
                (Kind::Insns, _) => placed.insns = Some(word),
                (Kind::Opts(_), Value::Opts(_)) => placed.opts_slot = Some(memory.last()),
                _ => {}
            }
        }
        placed
    }
}

// ---- as C ----------------------------------------------------------------------------------

/// A case printed as a block of C that a person can paste, script in comments.
pub fn print(function: &Function, case: &Case, scripted: bool) -> String {
    let mut c = String::from("{\n");
    let mut call = Vec::new();
    let attach_type = case.attach_type(function);
    for (param, value) in function.params.iter().zip(&case.arguments) {
        call.push(print_value(&mut c, param.name, param.ctype, param.kind, value, attach_type));
    }
    let _ = writeln!(c, "\terrno = {};", case.errno_before);
    let _ = writeln!(
        c,
        "\t{} result = {}({});",
        if function.returns_long { "long" } else { "int" },
        function.name,
        call.join(", ")
    );
    if scripted {
        let persona = &PERSONAS[case.script.persona];
        let _ = writeln!(
            c,
            "\t/* {} call of a process, kernel like {} */",
            if case.start == Start::Cold { "first" } else { "later" },
            persona.name
        );
        for (i, a) in case.script.answers.iter().enumerate() {
            let _ = writeln!(c, "\t/* bpf(2) call {}: {} */", i + 1, print_answer(a));
        }
        let _ = writeln!(c, "\t/* bpf(2) calls after that: {} */", print_answer(&case.script.rest));
        let _ = writeln!(c, "\t/* fcntl answers {}, close answers {} */", case.script.dup, case.script.close);
    }
    c.push_str("}\n");
    c
}

fn print_answer(answer: &Answer) -> String {
    let mut s = format!("answers {}", answer.result);
    for (at, value) in &answer.writes {
        let _ = write!(s, ", writes {value:#x} at offset {at} of the attribute");
    }
    s
}

fn hex(bytes: &[u8]) -> String {
    let mut s = String::new();
    for b in bytes {
        let _ = write!(s, "{b:#x}, ");
    }
    s.trim_end_matches(", ").to_string()
}

fn print_value(c: &mut String, name: &str, ctype: &str, kind: Kind, value: &Value, attach_type: u32) -> String {
    let name = name.replace('.', "_");
    match value {
        Value::Number(0) if kind.is_pointer() => "NULL".into(),
        Value::Number(n) if kind.is_pointer() => format!("(void *){n:#x}"),
        Value::Number(n) if matches!(kind, Kind::Fd | Kind::Pid | Kind::Attempts) => format!("{}", *n as i32),
        Value::Number(n) => {
            let cast = if ctype.starts_with("enum") { format!("({ctype})") } else { String::new() };
            format!("{cast}{n:#x}")
        }
        Value::Bytes(b) if matches!(kind, Kind::Name | Kind::Str | Kind::License) => {
            let mut s = String::from("\"");
            for &byte in b.strip_suffix(&[0]).unwrap_or(b) {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'_' | b'.' | b' ' => s.push(byte as char),
                    _ => {
                        let _ = write!(s, "\\{byte:03o}");
                    }
                }
            }
            s + "\""
        }
        Value::Bytes(b) => {
            let _ = writeln!(c, "\tunsigned char {name}[{}] = {{ {} }};", b.len(), hex(b));
            format!("(void *){name}")
        }
        Value::Opts(v) => {
            let o = match kind {
                Kind::Opts(o) => o,
                _ => &LOG_OPTS,
            };
            let mut set = format!("\t\t.sz = {},\n", v.sz);
            for (member, value) in v.filled(o, attach_type) {
                if *value == Value::Number(0) {
                    continue;
                }
                let shown = print_value(c, &format!("{name}_{}", member.name), "", member.kind, value, attach_type);
                let past = if member.end() > v.sz as usize { " /* past sz: must not be read */" } else { "" };
                let _ = writeln!(set, "\t\t.{} = {shown},{past}", member.name);
            }
            let room = (v.sz as usize).max(o.size);
            let _ = writeln!(
                c,
                "\tunion {{ struct {} o; unsigned char bytes[{room}]; }} {name} = {{ .o = {{\n{set}\t}} }};",
                o.name
            );
            if v.hole != 0 {
                let _ = writeln!(c, "\t/* with {:#x} in every hole between members */", v.hole);
            }
            let known = o.known();
            if let Some((at, byte)) = v.tail.filter(|_| v.sz as usize > known) {
                let _ = writeln!(c, "\t{name}.bytes[{}] = {byte:#x};", known + at % (v.sz as usize - known));
            }
            format!("&{name}.o")
        }
    }
}
