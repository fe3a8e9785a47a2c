// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sysbpf-run`: runs a program with the library preloaded, so that the functions of
//! `<bpf/bpf.h>` that it calls are sysbpf's, while the rest of libbpf stays the real one's.
//!
//! An executable and no script, because a shell changes what it hands on: it drops environment
//! variables whose names it does not know how to write. Here the program is given what this one
//! was given, but for the preloading.
//!
//! - [`search`]: where the program and the library are; [`preload`]: what the environment becomes;
//! - [`elf`] and [`newer`]: what the program's file and its libbpf's say, for warnings;
//! - [`system`] and [`list`]: the calls of the system, and memory.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(test, allow(dead_code))]

mod elf;
mod list;
mod newer;
mod preload;
mod search;
mod system;

use core::ffi::{CStr, c_char, c_int};
use core::iter::once;
use core::ptr;

use elf::Elf;
use list::{List, NoMemory, Text};
use newer::Release;
use preload::Preload;
use search::Access;
use system::{Mapping, Status};

const SONAME: &[u8] = b"libsysbpf.so.1";
/// From the Makefile, which has it from Cargo.toml; cargo alone gives none.
const VERSION: &str = match option_env!("SYSBPF_VERSION") {
    Some(version) => version,
    None => "(no version)",
};

const HELP: &[u8] = b"\
Usage: sysbpf-run [--] PROGRAM [ARGUMENT...]
       sysbpf-run --check PROGRAM
       sysbpf-run --help | --version

Runs PROGRAM with libsysbpf.so.1 preloaded: every function of <bpf/bpf.h> that it, or a
library it uses, calls through the dynamic linker is then sysbpf's. The exit status
is the program's; 125 means that sysbpf-run itself failed, 126 that the program could
not be executed, 127 that it was not found.

  -c, --check PROGRAM  do not run it; list which functions sysbpf would take over, and
                       which of libbpf stay with the real library. Exit status 0
                       if there is something to take over, 1 if not, 2 on an error.
  -h, --help           this text
  -V, --version        the version, and the library that is preloaded

An LD_PRELOAD that is already set is kept, in front: a tracer or sanitizer that
must come first still does. Preloading does not reach programs that gain privileges
when executed (set-user-ID, set-group-ID, file capabilities), statically linked
programs, and what a program looks up in a libbpf that it opens itself with dlopen(3).
";

/// Why this program ends before it becomes another one.
enum End {
    /// With this exit status; what there was to say was said.
    Status(c_int),
    /// Out of memory.
    Memory,
}

impl From<NoMemory> for End {
    fn from(_: NoMemory) -> Self {
        Self::Memory
    }
}

type Result<T> = core::result::Result<T, End>;

/// Says what is wrong, in one line.
fn say(parts: &[&[u8]]) {
    let line = once(&b"sysbpf-run: "[..]).chain(parts.iter().copied()).chain(once(&b"\n"[..]));
    // Where stderr is closed, nobody wants to know.
    system::write(libc::STDERR_FILENO, line);
}

fn fail<T>(status: c_int, parts: &[&[u8]]) -> Result<T> {
    say(parts);
    Err(End::Status(status))
}

/// A list of C strings, as C programs are given theirs: the last one is NULL.
type Strings = [*const c_char];

/// # Safety
/// The strings stay, and so does the list, which ends with NULL.
#[cfg(not(test))]
unsafe fn strings<'a>(list: *const *const c_char) -> &'a Strings {
    let mut len = 1;
    // SAFETY: the caller's promise.
    unsafe {
        while !(*list.add(len - 1)).is_null() {
            len += 1;
        }
        core::slice::from_raw_parts(list, len)
    }
}

/// A text that stays until this process is another program.
fn keep(text: Text) -> *const c_char {
    let start = text.c_str().as_ptr();
    core::mem::forget(text);
    start
}

/// What this program was called with.
struct Call<'a> {
    /// From the program's name on.
    arguments: &'a Strings,
    environment: &'a Strings,
    /// The exit status of an error of our own.
    own_failure: c_int,
}

impl<'a> Call<'a> {
    /// The program's name; empty if there is none.
    fn name(&self) -> &'a CStr {
        entries(self.arguments).next().map_or(c"", |(_, name)| name)
    }

    fn variable(&self, name_and_equals: &[u8]) -> Option<&'a [u8]> {
        entries(self.environment).find_map(|(_, entry)| entry.to_bytes().strip_prefix(name_and_equals))
    }

    fn option(mut self) -> Result<()> {
        match self.name().to_bytes() {
            b"-h" | b"--help" => self.print(&[HELP]),
            b"-V" | b"--version" => {
                let library = self.library()?;
                self.print(&[b"sysbpf-run ", VERSION.as_bytes(), b" (", library.bytes(), b")\n"])
            }
            b"-c" | b"--check" => {
                self.own_failure = 2;
                let [_, _, end] = self.arguments else {
                    return fail(self.own_failure, &[b"--check takes one program; see --help"]);
                };
                debug_assert!(end.is_null());
                self.skip_one();
                self.check()
            }
            b"--" => {
                self.skip_one();
                if self.arguments.len() < 2 {
                    return fail(self.own_failure, &[b"no program given; see --help"]);
                }
                self.run()
            }
            b"" => {
                system::write(libc::STDERR_FILENO, once(HELP));
                Err(End::Status(self.own_failure))
            }
            option @ [b'-', ..] => fail(self.own_failure, &[b"unknown option ", option, b"; see --help"]),
            _ => self.run(),
        }
    }

    fn skip_one(&mut self) {
        self.arguments = self.arguments.get(1..).unwrap_or(&[]);
    }

    fn print(&self, parts: &[&[u8]]) -> Result<()> {
        if system::write(libc::STDOUT_FILENO, parts.iter().copied()) {
            return Ok(());
        }
        fail(self.own_failure, &[b"standard output cannot be written"])
    }

    fn run(&self) -> Result<()> {
        let name = self.name().to_bytes();
        let Some(found) = self.find(name)? else { return fail(127, &[name, b": not found"]) };
        let program = found.c_str();
        if Status::of(program).is_some_and(|status| status.is_directory()) {
            return fail(126, &[name, b": is a directory"]);
        }
        if system::access(program) != Access::Executable {
            return fail(126, &[name, b": permission denied"]);
        }
        let privileged = warn_if_privileged(program);
        let library = self.library()?;
        let directory = search::parent(library.bytes());
        let preload = match Preload::new(directory, SONAME, library.bytes()) {
            Ok(preload) => preload,
            Err(reason) => return fail(self.own_failure, &[b"cannot preload ", library.bytes(), b": ", reason]),
        };
        if !privileged {
            warn_if_static(program);
            self.warn_if_newer(program, &library)?;
        }

        let mut environment = List::new();
        for (pointer, entry) in entries(self.environment) {
            environment.push(preload.change(entry.to_bytes())?.map_or(pointer, keep))?;
        }
        for (variable, value) in preload.variables() {
            if self.variable(variable).is_none() {
                environment.push(keep(Text::new(&[variable, value])?))?;
            }
        }
        environment.push(ptr::null())?;

        let mut error = system::execute(program, self.arguments, environment.as_slice());
        if error.0 == libc::ENOEXEC {
            // A script that does not say what runs it: the shell does, as with execvp(3).
            let mut arguments = List::new();
            arguments.extend(&[c"/bin/sh".as_ptr(), program.as_ptr()])?;
            arguments.extend(self.arguments.get(1..).unwrap_or(&[]))?;
            error = system::execute(c"/bin/sh", arguments.as_slice(), environment.as_slice());
        }
        let status = if error.0 == libc::ENOENT { 127 } else { 126 };
        fail(status, &[name, b": ", system::describe(error)])
    }

    /// A script prints what is found out without running the program.
    fn check(&self) -> Result<()> {
        let name = self.name().to_bytes();
        if !self.find(b"readelf")?.is_some_and(|found| system::access(found.c_str()) == Access::Executable) {
            return fail(self.own_failure, &[b"--check needs readelf (package binutils)"]);
        }
        let Some(found) = self.find(name)? else { return fail(self.own_failure, &[name, b": not found"]) };
        if elf_says(found.c_str(), |elf| elf.is_audited()) {
            let why = b" names an audit library (DT_AUDIT), which listing its libraries would run";
            return fail(self.own_failure, &[found.bytes(), why]);
        }
        let library = self.library()?;
        if !warn_if_privileged(found.c_str()) {
            self.warn_if_newer(found.c_str(), &library)?;
        }
        let script = Text::new(&[self.root()?.bytes(), b"/lib/sysbpf-run/check"])?;
        let pointers = [&script, &library, &found].map(|text| text.c_str().as_ptr());
        let [script_name, library, program] = pointers;
        let error = system::execute(script.c_str(), &[script_name, library, program, ptr::null()], self.environment);
        fail(self.own_failure, &[script.bytes(), b": ", system::describe(error)])
    }

    /// The file that executing this name starts, or that may not be executed.
    fn find(&self, name: &[u8]) -> Result<Option<Text>> {
        Ok(search::program(name, self.variable(b"PATH="), system::access)?)
    }

    /// The directory that this program's `bin` is in.
    fn root(&self) -> Result<Text> {
        let Some(own) = system::own_file()? else {
            return fail(self.own_failure, &[b"its own file cannot be found: is /proc mounted?"]);
        };
        Ok(Text::new(&[search::parent(search::parent(own.bytes()))])?)
    }

    /// The library is there relative to this program, in a tree that was moved too, or else where
    /// it was installed.
    fn library(&self) -> Result<Text> {
        let root = self.root()?;
        let layout = Mapping::new(Text::new(&[root.bytes(), b"/lib/sysbpf-run/layout"])?.c_str());
        let directories = search::library_directories(root.bytes(), layout.as_ref().map(Mapping::bytes))?;
        for directory in directories.iter().flatten() {
            if Status::of(Text::new(&[directory.bytes(), b"/", SONAME])?.c_str()).is_none() {
                continue;
            }
            if let Some(directory) = system::real_path(directory.c_str())? {
                return Ok(Text::new(&[directory.bytes(), b"/", SONAME])?);
            }
        }
        match &directories {
            [Some(one), Some(other)] => {
                fail(self.own_failure, &[SONAME, b" is neither in ", one.bytes(), b" nor in ", other.bytes()])
            }
            [one, _] => fail(self.own_failure, &[SONAME, b" is not in ", one.as_ref().map_or(b"", Text::bytes)]),
        }
    }

    /// Under a newer libbpf the program may use what the library does not know.
    fn warn_if_newer(&self, program: &CStr, library: &Text) -> Result<()> {
        let Some(real) = self.real_libbpf(program)? else { return Ok(()) };
        let (Some(theirs), Some(ours)) = (Mapping::new(real.c_str()), Mapping::new(library.c_str())) else {
            return Ok(());
        };
        let (Some(theirs), Some(ours)) = (Elf::new(theirs.bytes()), Elf::new(ours.bytes())) else { return Ok(()) };
        if !theirs.same_kind(&ours) {
            return Ok(());
        }
        let (Some(newest), Some(known)) = (Release::newest(&theirs), Release::newest(&ours)) else { return Ok(()) };
        if newest.is_newer_than(&known) {
            let but = b": options of bpf.h that are newer than that fail with EINVAL";
            say(&[WARNING, real.bytes(), b" has ", newest.name, b", and sysbpf only ", known.name, but]);
        }
        Ok(())
    }

    /// The file of a program's interpreter, if it may be executed: any file can be named there, and
    /// the program itself is not to be run. It is the one that started this program, or one that
    /// the system has where it has its libraries.
    fn system_linker(&self, interpreter: &[u8]) -> Result<Option<Text>> {
        if !newer::lists(interpreter) {
            return Ok(None);
        }
        let Some(linker) = system::real_path(Text::new(&[interpreter])?.c_str())? else { return Ok(None) };
        if self.own_linker()?.is_some_and(|own| own.bytes() == linker.bytes()) {
            return Ok(Some(linker));
        }
        let there = newer::in_system_directory(interpreter) && newer::in_system_directory(linker.bytes());
        let status = Status::of(linker.c_str());
        Ok((there && status.is_some_and(|status| status.is_file() && status.is_systems())).then_some(linker))
    }

    /// The dynamic linker that started this program; None if it is statically linked.
    fn own_linker(&self) -> Result<Option<Text>> {
        let Some(file) = system::own_file()?.and_then(|own| Mapping::new(own.c_str())) else { return Ok(None) };
        let Some(name) = Elf::new(file.bytes()).and_then(|elf| elf.interpreter()) else { return Ok(None) };
        Ok(system::real_path(Text::new(&[name])?.c_str())?)
    }

    /// The libbpf that the program would load when it starts, from the dynamic linker itself:
    /// where that looks depends on the program, its libraries, the environment and a cache.
    fn real_libbpf(&self, program: &CStr) -> Result<Option<Text>> {
        let Some(file) = Mapping::new(program) else { return Ok(None) };
        let Some(elf) = Elf::new(file.bytes()) else { return Ok(None) };
        let Some(interpreter) = elf.interpreter() else { return Ok(None) };
        let preloaded = self.variable(preload::LD_PRELOAD).is_some_and(|value| !value.is_empty());
        if !preloaded && !newer::may_use_libbpf(&elf) {
            return Ok(None);
        }
        let unknown = b": whether its libbpf is newer than sysbpf is not known: ";
        if elf.is_audited() {
            let why = b"it names an audit library (DT_AUDIT), which asking would run";
            say(&[WARNING, program.to_bytes(), unknown, why]);
            return Ok(None);
        }
        let Some(linker) = self.system_linker(interpreter)? else {
            let why = b" is not a dynamic linker of the system";
            say(&[WARNING, program.to_bytes(), unknown, interpreter, why]);
            return Ok(None);
        };
        let Some(path) = system::real_path(program)? else { return Ok(None) };
        // Nothing that makes the dynamic linker do more than list.
        let mut environment = List::new();
        for (pointer, entry) in entries(self.environment) {
            if [preload::LD_PRELOAD, preload::LD_LIBRARY_PATH, b"GLIBC_TUNABLES="]
                .iter()
                .any(|variable| entry.to_bytes().starts_with(variable))
            {
                environment.push(pointer)?;
            }
        }
        environment.push(ptr::null())?;
        let arguments = [linker.c_str(), c"--list", path.c_str()].map(CStr::as_ptr);
        let [linker_name, list, path_name] = arguments;
        let arguments = [linker_name, list, path_name, ptr::null()];
        match system::output_of(linker.c_str(), &arguments, environment.as_slice())? {
            Ok(list) => newer::libbpf(list.as_slice()).map(|file| Text::new(&[file])).transpose().map_err(End::from),
            Err(error) => {
                say(&[WARNING, b"the libraries of ", path.bytes(), b" cannot be listed: ", system::describe(error)]);
                Ok(None)
            }
        }
    }
}

const WARNING: &[u8] = b"warning: ";

/// The strings of a list, each with its pointer.
fn entries(list: &Strings) -> impl Iterator<Item = (*const c_char, &CStr)> {
    list.iter().take_while(|pointer| !pointer.is_null()).map(|&pointer| {
        // SAFETY: a list of strings that stay, by the promise that `strings` asks for.
        (pointer, unsafe { CStr::from_ptr(pointer) })
    })
}

/// The dynamic linker ignores preloading for programs that gain privileges when executed.
fn warn_if_privileged(program: &CStr) -> bool {
    let status = Status::of(program);
    let why: &[u8] = if system::gives_capabilities(program) {
        b" has file capabilities"
    } else if status.is_some_and(|status| status.changes_group()) {
        b" is set-group-ID"
    } else if status.is_some_and(|status| status.changes_user()) {
        b" is set-user-ID"
    } else {
        return false;
    };
    let what = b", so the dynamic linker ignores preloading: libbpf's own functions are used";
    say(&[WARNING, program.to_bytes(), why, what]);
    true
}

/// False also of what is not an ELF file, or cannot be read.
fn elf_says(program: &CStr, what: impl Fn(&Elf) -> bool) -> bool {
    Mapping::new(program).is_some_and(|file| Elf::new(file.bytes()).is_some_and(|elf| what(&elf)))
}

/// There is no dynamic linker that would preload.
fn warn_if_static(program: &CStr) {
    if elf_says(program, |elf| elf.is_static()) {
        say(&[WARNING, program.to_bytes(), b" is statically linked, so nothing can be preloaded into it"]);
    }
}

/// # Safety
/// Lists as C gives them to `main`.
#[cfg(not(test))]
#[unsafe(no_mangle)]
unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char, envp: *const *const c_char) -> c_int {
    // SAFETY: `argv` and `envp` are such lists; the first string of `argv` is this program's name.
    let (arguments, environment) = unsafe { (strings(argv.add(usize::from(argc > 0))), strings(envp)) };
    match (Call { arguments, environment, own_failure: 125 }).option() {
        Ok(()) => 0,
        Err(End::Status(status)) => status,
        Err(End::Memory) => {
            say(&[b"out of memory"]);
            125
        }
    }
}

/// Ends the process; the linked program has no path to here.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

/// What the unwind tables of 32-bit ARM name. Nothing unwinds through this program.
#[cfg(all(not(test), target_arch = "arm"))]
#[unsafe(no_mangle)]
extern "C" fn __aeabi_unwind_cpp_pr0() {}
