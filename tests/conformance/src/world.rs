// SPDX-License-Identifier: MIT OR Apache-2.0
//! The running kernel: the objects that a worker creates in namespaces, a bpffs and a cgroup of its own, and cases whose
//! arguments refer to these objects only.
//!
//! Both libraries are called with the same objects. `reset` restores them before each call.

use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    case::{Case, Start},
    functions::{Function, Kind, Member},
    interpose::{SYS_BPF, Script},
    values::{Value, null, one_of, opts},
};

// The descriptors of the objects. They are fixed: both calls of a case use the same numbers.
const HASH: i32 = 100;
const ARRAY: i32 = 101;
const PERCPU: i32 = 102;
const QUEUE: i32 = 103;
const FILTER: i32 = 104;
const CGROUP_SKB: i32 = 105;
const SCHED_CLS: i32 = 106;
const RAW_TP: i32 = 107;
const LINK: i32 = 108;
const BTF: i32 = 109;
const CGROUP: i32 = 110;
const BPFFS: i32 = 111;
const NOT_BPF: i32 = 112;
/// The index of the loopback device in the network namespace: the only valid ifindex of a target.
const LOOPBACK: i32 = 1;

// Attach types and a flag.
const INGRESS: u32 = 0;
const EGRESS: u32 = 1;
const TCX: u32 = 46;
const ALLOW_MULTI: u32 = 2;

const KEYS: u32 = 8;
const GOOD: &[u8] = &[0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
/// Returns an uninitialised register, which the verifier rejects.
const BAD: &[u8] = &[0xbf, 0x20, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// The size of BTF with one type, `int`.
const BTF_LEN: u64 = 45;
fn btf() -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(0xeb9fu16.to_ne_bytes());
    b.extend([1, 0]);
    for n in [24u32, 0, 16, 16, 5, 1, 0x0100_0000, 4, 0x0100_0020] {
        b.extend(n.to_ne_bytes());
    }
    b.extend(b"\0int\0");
    b
}

pub struct World {
    bpffs: PathBuf,
}

struct Known {
    ids: Vec<u64>,
    paths: Vec<Vec<u8>>,
}
static KNOWN: OnceLock<Known> = OnceLock::new();

fn bpf(command: i64, attr: &mut [u8]) -> io::Result<i32> {
    // SAFETY: the attribute, and what the callers below let it point to, outlive the call.
    let result = unsafe { libc::syscall(SYS_BPF, command, attr.as_mut_ptr(), attr.len()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// An attribute: numbers and addresses, one after another.
macro_rules! attr {
    ($($value:expr),* $(,)?) => {{
        let mut bytes: Vec<u8> = Vec::new();
        $(bytes.extend_from_slice(&$value.to_ne_bytes());)*
        bytes
    }};
}

fn at<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<u8>() as u64
}

/// Moves a descriptor to its fixed number.
fn settle(fd: i32, to: i32) -> io::Result<()> {
    // SAFETY: this process owns both descriptors.
    unsafe {
        if libc::dup3(fd, to, libc::O_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::close(fd);
    }
    Ok(())
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl World {
    /// Creates the objects. `directory` is an empty directory for the bpffs, `cgroup` an empty cgroup.
    pub fn new(directory: &Path, cgroup: &Path) -> io::Result<World> {
        let here = CString::new(directory.as_os_str().as_encoded_bytes())?;
        // SAFETY: the strings outlive the calls.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET))?;
            let private = libc::MS_REC | libc::MS_PRIVATE;
            check(libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), private, std::ptr::null()))?;
            check(libc::mount(c"bpf".as_ptr(), here.as_ptr(), c"bpf".as_ptr(), 0, std::ptr::null()))?;
        }
        let world = World { bpffs: directory.to_path_buf() };
        let open_directory = |path: &Path| fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path);
        settle(std::os::fd::IntoRawFd::into_raw_fd(open_directory(directory)?), BPFFS)?;
        settle(std::os::fd::IntoRawFd::into_raw_fd(open_directory(cgroup)?), CGROUP)?;
        settle(std::os::fd::IntoRawFd::into_raw_fd(fs::File::open("/dev/null")?), NOT_BPF)?;
        world.maps()?;
        let license = c"GPL".as_ptr() as u64;
        // SOCKET_FILTER, CGROUP_SKB, SCHED_CLS, RAW_TRACEPOINT.
        for (kind, to) in [(1u32, FILTER), (8, CGROUP_SKB), (3, SCHED_CLS), (17, RAW_TP)] {
            let mut load = attr!(kind, 2u32, at(GOOD), license, 0u32, 0u32, 0u64, 0u32, 0u32);
            load.extend_from_slice(b"conformance\0\0\0\0\0");
            settle(bpf(5, &mut load)?, to)?;
        }
        let data = btf();
        settle(bpf(18, &mut attr!(at(&data[..]), 0u64, data.len() as u32, 0u32, 0u32, 0u32))?, BTF)?;
        world.link()?;
        let pinned = CString::new(directory.join("pinned").as_os_str().as_encoded_bytes())?;
        bpf(6, &mut attr!(pinned.as_ptr() as u64, HASH, 0u32))?;

        let mut ids = vec![0, 1, 0x7fff_ffff];
        for fd in [HASH, ARRAY, FILTER, CGROUP_SKB, LINK, BTF] {
            let mut info = [0u8; 32];
            bpf(15, &mut attr!(fd, 32u32, std::ptr::from_mut(&mut info).cast::<u8>() as u64))?;
            let place = match fd {
                BTF => 12,
                _ => 4,
            };
            ids.push(u32::from_ne_bytes(info[place..place + 4].try_into().expect("four bytes")).into());
        }
        let name = |path: PathBuf| [path.as_os_str().as_encoded_bytes(), b"\0"].concat();
        let paths = vec![
            name(directory.join("pinned")),
            name(directory.join("new")),
            name(directory.join("absent/new")),
            b"pinned\0".to_vec(),
            b"new\0".to_vec(),
            b"\0".to_vec(),
            b"sys_enter\0".to_vec(),
            b"no_such_tracepoint\0".to_vec(),
        ];
        KNOWN.set(Known { ids, paths }).unwrap_or_else(|_| panic!("one world in a process"));
        Ok(world)
    }

    fn maps(&self) -> io::Result<()> {
        // Type, key, value, entries: HASH, ARRAY, PERCPU_ARRAY, QUEUE.
        for (kind, key, to) in [(1u32, 4u32, HASH), (2, 4, ARRAY), (6, 4, PERCPU), (22, 0, QUEUE)] {
            settle(bpf(0, &mut attr!(kind, key, 8u32, KEYS, 0u32))?, to)?;
        }
        self.fill()
    }

    fn link(&self) -> io::Result<()> {
        // On egress. Ingress is left to the calls.
        settle(bpf(28, &mut attr!(CGROUP_SKB, CGROUP, EGRESS, 0u32))?, LINK)
    }

    /// Restores the elements: half of the keys in the hash, two elements in the queue.
    fn fill(&self) -> io::Result<()> {
        let value = [0x1122_3344_5566_7788u64; 16];
        for key in 0..KEYS {
            let element = |fd: i32| attr!(fd, 0u32, at(&key), at(&value), 0u64);
            if key < KEYS / 2 {
                bpf(2, &mut element(HASH))?;
            } else {
                // It fails if there is no such element.
                let _ = bpf(3, &mut element(HASH));
            }
            bpf(2, &mut element(ARRAY))?;
            bpf(2, &mut element(PERCPU))?;
        }
        while bpf(21, &mut attr!(QUEUE, 0u32, 0u64, std::ptr::from_mut(&mut [0u64; 2]).cast::<u8>() as u64, 0u64))
            .is_ok()
        {}
        for _ in 0..2 {
            bpf(2, &mut attr!(QUEUE, 0u32, 0u64, at(&value), 0u64))?;
        }
        Ok(())
    }

    /// Restores the objects that a call of this function, with this attach type, can change.
    pub fn reset(&self, function: &Function, attach_type: u32) {
        let again = match function.name {
            "bpf_map_freeze" => self.maps(),
            name if name.starts_with("bpf_map_") && (name.contains("elem") || name.contains("batch")) => self.fill(),
            "bpf_link_create"
            | "bpf_link_update"
            | "bpf_link_detach"
            | "bpf_prog_attach"
            | "bpf_prog_attach_opts"
            | "bpf_prog_detach"
            | "bpf_prog_detach2"
            | "bpf_prog_detach_opts" => {
                for attach in [INGRESS, EGRESS] {
                    for program in [CGROUP_SKB, 0] {
                        // It fails when nothing is attached.
                        while bpf(9, &mut attr!(CGROUP, program, attach, 0u32)).is_ok() {}
                    }
                }
                // This is slow, and only needed after calls for tcx.
                if attach_type == TCX {
                    while bpf(9, &mut attr!(LOOPBACK, SCHED_CLS, TCX, 0u32)).is_ok() {}
                }
                // SAFETY: only this module uses the descriptor.
                unsafe { libc::close(LINK) };
                self.link().and_then(|()| {
                    if function.name.contains("prog_detach") {
                        // A program to detach.
                        bpf(8, &mut attr!(CGROUP, CGROUP_SKB, INGRESS, ALLOW_MULTI))?;
                        if attach_type == TCX {
                            // It fails before Linux 6.6, which has no tcx.
                            let _ = bpf(8, &mut attr!(LOOPBACK, SCHED_CLS, TCX, 0u32));
                        }
                    }
                    Ok(())
                })
            }
            "bpf_obj_pin" | "bpf_obj_pin_opts" => match fs::remove_file(self.bpffs.join("new")) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            },
            _ => Ok(()),
        };
        again.unwrap_or_else(|e| panic!("the objects for {} could not be restored: {e}", function.name));
    }

    /// The lowest free descriptor.
    pub fn free_fd(&self) -> i32 {
        // SAFETY: the calls access no memory; this process owns the descriptor.
        unsafe {
            let fd = libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 0);
            libc::close(fd);
            fd
        }
    }
}

fn bytes(of: &'static [&'static [u8]]) -> BoxedStrategy<Value> {
    select(of).prop_map(|b| Value::Bytes(b.to_vec())).boxed()
}

/// Addresses that are not mapped in this process.
const WILD: &[u64] = &[8, 0xdead_0000_0000_0000, u64::MAX];

/// Cases of a function.
pub fn cases(function: &'static Function) -> BoxedStrategy<Case> {
    let arguments: Vec<_> = function.params.iter().map(|p| values(function, p.name, p.kind)).collect();
    let start = prop_oneof![15 => Just(Start::Warm), 1 => Just(Start::Cold)];
    (arguments, prop_oneof![3 => Just(0i32), 1 => 1..134i32], start)
        .prop_map(|(arguments, errno_before, start)| Case { arguments, errno_before, start, script: Script::default() })
        .boxed()
}

/// Values of an argument that are harmless in the running kernel, and that mostly match each other.
fn values(function: &'static Function, name: &str, kind: Kind) -> BoxedStrategy<Value> {
    let maps = &[HASH as u64, ARRAY as u64, PERCPU as u64, QUEUE as u64];
    let attaches = ["attach", "detach", "link_create"].iter().any(|f| function.name.contains(f));
    let mostly = |values: &'static [u64]| prop_oneof![5 => one_of(values), 1 => draw(kind)].boxed();
    match (kind, name) {
        (Kind::Opts(o), _) => prop_oneof![1 => null(), 6 => opts(o, member)].boxed(),
        (_, "target" | "target_fd" | "attachable_fd") => mostly(&[CGROUP as u64, CGROUP as u64, LOOPBACK as u64]),
        (_, "link_fd") => mostly(&[LINK as u64]),
        (_, "new_prog_fd") => mostly(&[CGROUP_SKB as u64]),
        (_, "prog_fd") if attaches => mostly(&[CGROUP_SKB as u64, CGROUP_SKB as u64, SCHED_CLS as u64]),
        (_, "prog_fd") if function.name.contains("raw_tracepoint") => mostly(&[RAW_TP as u64]),
        (_, "prog_fd") => mostly(&[FILTER as u64, CGROUP_SKB as u64, SCHED_CLS as u64, RAW_TP as u64]),
        (_, "map_fd") => prop_oneof![5 => select(&maps[..]).prop_map(Value::Number), 1 => draw(kind)].boxed(),
        (_, "btf_fd") => mostly(&[BTF as u64]),
        (_, "bpffs_fd") => mostly(&[BPFFS as u64]),
        (_, "fd") if function.name.starts_with("bpf_map") => {
            prop_oneof![5 => select(&maps[..]).prop_map(Value::Number), 1 => draw(kind)].boxed()
        }
        (_, "fd") if function.name.contains("pin") => mostly(&[HASH as u64, FILTER as u64, LINK as u64]),
        (_, "flags") if attaches => mostly(&[0, 2]),
        (_, "insn_cnt") => mostly(&[2]),
        (_, "btf_size") => mostly(&[BTF_LEN]),
        (_, "prog_type") => mostly(&[1, 3, 8, 17]),
        (_, "key_size") => mostly(&[4]),
        (_, "value_size" | "max_entries") => mostly(&[4, 8]),
        (Kind::AttachType, _) => mostly(&[
            INGRESS as u64,
            INGRESS as u64,
            INGRESS as u64,
            EGRESS as u64,
            EGRESS as u64,
            EGRESS as u64,
            TCX as u64,
        ]),
        _ => draw(kind),
    }
}

fn member(m: &Member) -> (u32, BoxedStrategy<Value>) {
    match m.name {
        // The data for a test run.
        "data_in" => (1, Just(Value::Bytes(vec![0; 64])).boxed()),
        "data_size_in" => (1, one_of(&[64, 64, 64, 14, 4096])),
        "tp_name" => (1, draw(m.kind)),
        "count" => (1, draw(m.kind)),
        _ => (12, draw(m.kind)),
    }
}

/// Values of one kind.
fn draw(kind: Kind) -> BoxedStrategy<Value> {
    let known = KNOWN.get().expect("World::new() was called");
    match kind {
        Kind::Fd => prop_oneof![
            12 => (HASH..=NOT_BPF).prop_map(|n| Value::Number(n as u64)),
            1 => one_of(&[0, 9999, 0xffff_ffff]),
        ]
        .boxed(),
        Kind::Pid => prop_oneof![3 => one_of(&[0]), 1 => Just(Value::Number(std::process::id().into()))].boxed(),
        Kind::Id => select(known.ids.as_slice()).prop_map(Value::Number).boxed(),
        Kind::MapType => prop_oneof![2 => one_of(&[1, 2]), 1 => (0..40u64).prop_map(Value::Number)].boxed(),
        Kind::ProgType => prop_oneof![2 => one_of(&[1, 3, 8]), 1 => (0..36u64).prop_map(Value::Number)].boxed(),
        Kind::StatsType => one_of(&[0, 1, 77]),
        Kind::AttachType => (0..66u64).prop_map(Value::Number).boxed(),
        Kind::Flags => prop_oneof![
            6 => null(),
            2 => (0..32u32).prop_map(|b| Value::Number(1 << b)),
            1 => (0..256u64).prop_map(Value::Number),
        ]
        .boxed(),
        Kind::U32 => prop_oneof![4 => null(), 2 => (0..9u64).prop_map(Value::Number), 1 => one_of(&[0xffff_ffff])].boxed(),
        Kind::U64 => prop_oneof![4 => null(), 2 => (0..9u64).prop_map(Value::Number), 1 => one_of(&[u64::MAX])].boxed(),
        Kind::Attempts => one_of(&[0, 1, 2, 0xffff_ffff]),
        Kind::Len => one_of(&[0, 1, 2, 4, 8, 16, 64, 256, 4096]),
        Kind::RecordSize => one_of(&[0, 8, 16, 64]),
        Kind::Size => one_of(&[0, 1, 2, 3, 24, 45, 0xffff_ffff]),
        Kind::Name => {
            prop_oneof![1 => null(), 4 => "[a-z_]{0,20}".prop_map(|s| Value::Bytes([s.as_bytes(), b"\0"].concat()))].boxed()
        }
        Kind::License => prop_oneof![6 => bytes(&[b"GPL\0"]), 1 => bytes(&[b"\0", b"none\0"]), 1 => one_of(WILD)].boxed(),
        Kind::Str => {
            prop_oneof![1 => null(), 1 => one_of(WILD), 8 => select(known.paths.as_slice()).prop_map(Value::Bytes)].boxed()
        }
        Kind::Insns => prop_oneof![6 => bytes(&[GOOD]), 3 => bytes(&[BAD]), 1 => one_of(WILD)].boxed(),
        Kind::Btf => prop_oneof![
            6 => Just(Value::Bytes(btf())),
            1 => vec(any::<u8>(), 45).prop_map(Value::Bytes),
            1 => one_of(WILD)
        ]
        .boxed(),
        Kind::Records => prop_oneof![1 => null(), 2 => Just(Value::Bytes(vec![0; 512]))].boxed(),
        // A key, or space for the kernel's output.
        Kind::Buffer => prop_oneof![
            2 => null(),
            1 => one_of(WILD),
            6 => (0..KEYS + 1).prop_map(|k| Value::Bytes([&k.to_ne_bytes()[..], &[0; 60]].concat())),
            3 => select(&[8usize, 16, 256, 1024][..]).prop_map(|n| Value::Bytes(vec![0; n])),
        ]
        .boxed(),
        Kind::At32(_) => prop_oneof![
            1 => null(),
            12 => select(&[0u32, 1, 2, 4, 8, 16, 64, 256, 1024, u32::MAX][..]).prop_map(|n| Value::Bytes(n.to_ne_bytes().to_vec())),
        ]
        .boxed(),
        Kind::At64(_) => prop_oneof![1 => null(), 12 => Just(Value::Bytes(vec![0; 8]))].boxed(),
        Kind::Nested(o) => prop_oneof![6 => null(), 1 => opts(o, member)].boxed(),
        Kind::Address | Kind::Opts(_) => unreachable!("no member of an opts struct is of this kind"),
    }
}
