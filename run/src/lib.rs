// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sysbpf-run`: runs a program with the library preloaded, so that sysbpf provides the functions
//! of `<bpf/bpf.h>` that it calls, and libbpf the rest of its API.
//!
//! This is an executable rather than a script because a shell changes the environment: it drops
//! variables whose names are not valid in shell syntax. The program gets the environment unchanged,
//! except for the preloading.
//!
//! - [`search`]: finds the program and the library; [`preload`]: changes the environment;
//! - [`elf`] and [`newer`]: read the files of the program and of its libbpf, for warnings;
//! - [`system`] and [`list`]: system calls, and memory.

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
/// Set by the Makefile, which takes it from Cargo.toml; not set when cargo is run directly.
const VERSION: &str = match option_env!("SYSBPF_VERSION") {
    Some(version) => version,
    None => "(no version)",
};

const HELP: &[u8] = b"\
Usage: sysbpf-run [--] PROGRAM [ARGUMENT...]
       sysbpf-run --check PROGRAM
       sysbpf-run --help | --version

Runs PROGRAM with libsysbpf.so.1 preloaded: sysbpf then provides every function of
<bpf/bpf.h> that the program or its libraries call through the dynamic linker. The
exit status is the program's; 125 means that sysbpf-run itself failed, 126 that the
program could not be executed, 127 that it was not found.

  -c, --check PROGRAM  do not run PROGRAM; list the functions that sysbpf would
                       replace, and those that would stay with libbpf. Exit status:
                       0 if there are functions to replace, 1 if not, 2 on an error
  -h, --help           print this text
  -V, --version        print the version, and the library that is preloaded

An existing LD_PRELOAD is kept, before the library, so that a tracer or sanitizer can
still come first. Preloading has no effect on programs that gain privileges when
executed (set-user-ID, set-group-ID, file capabilities), on statically linked
programs, and on functions that a program looks up in a libbpf that it opens itself
with dlopen(3).
";

/// Why this program exits instead of executing another one.
enum End {
    /// With this exit status; the message has been printed.
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

/// Prints a message, in one line.
fn say(parts: &[&[u8]]) {
    let line = once(&b"sysbpf-run: "[..]).chain(parts.iter().copied()).chain(once(&b"\n"[..]));
    // If stderr is closed, there is nowhere to report that.
    system::write(libc::STDERR_FILENO, line);
}

fn fail<T>(status: c_int, parts: &[&[u8]]) -> Result<T> {
    say(parts);
    Err(End::Status(status))
}

/// A list of C strings that ends with NULL, such as `argv`.
type Strings = [*const c_char];

/// # Safety
/// The list ends with NULL, and the list and its strings are valid for the rest of the process.
#[cfg(not(test))]
unsafe fn strings<'a>(list: *const *const c_char) -> &'a Strings {
    let mut len = 1;
    // SAFETY: the caller guarantees a list that ends with NULL.
    unsafe {
        while !(*list.add(len - 1)).is_null() {
            len += 1;
        }
        core::slice::from_raw_parts(list, len)
    }
}

/// Leaks a text, so that it stays valid until `execve`.
fn keep(text: Text) -> *const c_char {
    let start = text.c_str().as_ptr();
    core::mem::forget(text);
    start
}

/// The arguments and the environment of this process.
struct Call<'a> {
    /// The name of the program to run, and its arguments.
    arguments: &'a Strings,
    environment: &'a Strings,
    /// The exit status if sysbpf-run itself fails.
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
            // A script without an interpreter line: the shell runs it, as with execvp(3).
            let mut arguments = List::new();
            arguments.extend(&[c"/bin/sh".as_ptr(), program.as_ptr()])?;
            arguments.extend(self.arguments.get(1..).unwrap_or(&[]))?;
            error = system::execute(c"/bin/sh", arguments.as_slice(), environment.as_slice());
        }
        let status = if error.0 == libc::ENOENT { 127 } else { 126 };
        fail(status, &[name, b": ", system::describe(error)])
    }

    /// Executes the script behind `--check`, which examines the program without running it.
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

    /// The file of this name in PATH; one that may not be executed if there is no other.
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

    /// The library is at the same place relative to this program as when it was installed, even if
    /// the tree was moved, or else where it was installed.
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

    /// With a newer libbpf, the program may use options that the library does not know.
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

    /// The file of a program's interpreter, if it is safe to execute: the interpreter that started
    /// this program, or one in the system's library directories. A program can name any file as its
    /// interpreter, and neither that file nor the program may be run.
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

    /// The libbpf that the program would load at startup, as reported by the dynamic linker. Only the
    /// dynamic linker knows: the search depends on the program, its libraries, the environment and
    /// a cache.
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
        // No variables that could make the dynamic linker do more than list the libraries.
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
        // SAFETY: a list of valid strings, as the caller of `strings` guarantees.
        (pointer, unsafe { CStr::from_ptr(pointer) })
    })
}

/// Warns if the program gains privileges when executed: the dynamic linker then ignores preloading.
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

/// False also if the file is not an ELF file, or cannot be read.
fn elf_says(program: &CStr, what: impl Fn(&Elf) -> bool) -> bool {
    Mapping::new(program).is_some_and(|file| Elf::new(file.bytes()).is_some_and(|elf| what(&elf)))
}

/// Warns if the program is static: it has no dynamic linker that could preload the library.
fn warn_if_static(program: &CStr) {
    if elf_says(program, |elf| elf.is_static()) {
        say(&[WARNING, program.to_bytes(), b" is statically linked, so nothing can be preloaded into it"]);
    }
}

/// # Safety
/// The arguments are those that C passes to `main`.
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

/// Aborts. The linked program never calls this.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

/// The unwind tables of 32-bit ARM refer to this function. Nothing unwinds through this program.
#[cfg(all(not(test), target_arch = "arm"))]
#[unsafe(no_mangle)]
extern "C" fn __aeabi_unwind_cpp_pr0() {}
