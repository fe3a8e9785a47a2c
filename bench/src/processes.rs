// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures whole processes: `calls.c`, built with each library and without one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::measure::{Rounds, rounds};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/calls.c");

/// The files of a library.
pub struct Installed {
    pub name: String,
    pub so: PathBuf,
    /// The static library, and other libraries that a static program needs.
    pub archive: Option<(PathBuf, &'static [&'static str])>,
}

/// The programs: the bare one, then one for each library.
pub struct Processes {
    pub programs: Vec<PathBuf>,
    /// Calls libc's uname() and creates a map with libc's syscall(): the minimum for a library that must know the kernel.
    asking: PathBuf,
    /// Is linked with an empty shared object.
    linking: PathBuf,
    /// Each library, stripped.
    pub stripped: Vec<PathBuf>,
    /// The static programs, stripped, of libraries with an archive.
    pub static_programs: Vec<Option<PathBuf>>,
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|e| format!("{:?}: {e}", command.get_program()))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}: {}", output.status, said.lines().next_back().unwrap_or("")))
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// The number after a label in the output of a tool.
fn number_after(text: &str, label: &str) -> Result<f64, String> {
    text.lines()
        .find_map(|line| line.split_once(label))
        .and_then(|(_, rest)| rest.split_whitespace().next()?.replace(',', "").parse().ok())
        .ok_or(format!("no \"{label}\" in the output"))
}

impl Processes {
    /// Builds the programs. Each is linked with the path of its library, so that the dynamic linker does not search.
    pub fn build(libraries: &[Installed], include: &Path, work: &Path) -> Result<Processes, String> {
        let cc = std::env::var_os("CC").unwrap_or("cc".into());
        let compile = |out: &Path| {
            let mut command = Command::new(&cc);
            command.args(["-O2", "-Wl,-z,now", "-I"]).arg(include).arg("-o").arg(out).arg(SOURCE);
            command
        };
        let bare = work.join("calls-bare");
        run(compile(&bare).arg("-DBARE"))?;
        let bare_static = work.join("calls-bare-static");
        run(compile(&bare_static).args(["-DBARE", "-static", "-s"]))?;
        let asking = work.join("calls-asking");
        run(compile(&asking).args(["-DBARE", "-DASKING"]))?;
        let (nothing, linking) = (work.join("nothing.so"), work.join("calls-linking"));
        let soname = format!("-Wl,-soname,{}", nothing.display());
        run(Command::new(&cc)
            .args(["-shared", "-nostdlib", "-s", &soname, "-x", "c", "/dev/null", "-o"])
            .arg(&nothing))?;
        run(compile(&linking).args(["-DBARE", "-Wl,--no-as-needed"]).arg(&nothing))?;
        let mut built = Processes {
            programs: vec![bare],
            asking,
            linking,
            stripped: Vec::new(),
            static_programs: vec![Some(bare_static)],
        };
        let functions = [
            "bpf_map_create",
            "bpf_prog_load",
            "bpf_btf_load",
            "bpf_map_lookup_elem",
            "bpf_map_update_elem",
            "bpf_map_delete_elem",
            "bpf_map_get_next_key",
            "bpf_map_lookup_batch",
        ];
        let stand_in = work.join("stand-in.c");
        fs::write(&stand_in, functions.map(|f| format!("void {f}(void) {{}}\n")).concat())
            .map_err(|e| format!("{}: {e}", stand_in.display()))?;
        for (i, library) in libraries.iter().enumerate() {
            let stripped = work.join(format!("library-{i}.so"));
            run(Command::new("strip").arg("-o").arg(&stripped).arg(&library.so))?;
            // A stand-in for the library at link time, whose soname is the path of the library.
            let named = work.join(format!("stand-in-{i}.so"));
            let soname = format!("-Wl,-soname,{}", stripped.display());
            run(Command::new(&cc).args(["-shared", "-nostdlib", &soname, "-o"]).arg(&named).arg(&stand_in))?;
            let program = work.join(format!("calls-{i}"));
            run(compile(&program).arg(&named))?;
            built.programs.push(program);
            built.stripped.push(stripped);
            built.static_programs.push(match &library.archive {
                Some((archive, besides)) => {
                    let program = work.join(format!("calls-{i}-static"));
                    run(compile(&program).args(["-static", "-s"]).arg(archive).args(*besides))?;
                    Some(program)
                }
                None => None,
            });
        }
        Ok(built)
    }

    /// Nanoseconds of the first call of a process; `warm`: after bare calls. For a map, the last subject is the program that
    /// calls uname().
    pub fn first(&self, operation: &str, warm: bool, count: usize) -> Result<Rounds, String> {
        let mode = if warm { "warm" } else { "first" };
        let asking = (operation == "create").then(|| self.asking.clone());
        let mut programs: Vec<PathBuf> = self.programs.iter().cloned().chain(asking).collect();
        rounds(count, &mut programs, |program| {
            let output = run(Command::new(program).args([mode, operation]))?;
            text(&output.stdout).trim().parse().map_err(|_| "the program printed no time".into())
        })
    }

    /// Nanoseconds per steady call, measured in several processes: the addresses at which the libraries are loaded differ,
    /// which changes the result by some percent.
    pub fn steady(&self, operation: &str, count: usize) -> Result<Rounds, String> {
        const PROCESSES: usize = 16;
        let bench = std::env::current_exe().map_err(|e| format!("the path of this program: {e}"))?;
        let mut all: Vec<Vec<f64>> = Vec::new();
        for _ in 0..PROCESSES {
            let rounds = (count / PROCESSES).to_string();
            let output = run(Command::new(&bench).args(["--steady", operation, &rounds]).args(&self.stripped))?;
            for (i, line) in text(&output.stdout).lines().enumerate() {
                let samples = line.split(' ').map(|n| n.parse().map_err(|e| format!("{n}: {e}")));
                let samples = samples.collect::<Result<Vec<f64>, String>>()?;
                match all.get_mut(i) {
                    Some(subject) => subject.extend(samples),
                    None => all.push(samples),
                }
            }
        }
        Ok(Rounds(all))
    }

    /// Milliseconds that a process takes that does nothing, by hyperfine: 40 runs of each program in every round. The last
    /// subject is the program with the empty shared object.
    pub fn start(&self, count: usize, work: &Path) -> Result<Rounds, String> {
        let json = work.join("hyperfine.json");
        let mut programs: Vec<PathBuf> = self.programs.iter().chain([&self.linking]).cloned().collect();
        rounds(count, &mut programs, |program| {
            run(Command::new("hyperfine")
                .args(["-N", "--style", "none", "--warmup", "3", "--runs", "40", "--export-json"])
                .arg(&json)
                .arg(&*program))?;
            let results = fs::read(&json).map_err(|e| format!("{}: {e}", json.display()))?;
            let results: serde_json::Value = serde_json::from_slice(&results).map_err(|e| format!("hyperfine: {e}"))?;
            let median = results["results"][0]["median"].as_f64().ok_or("hyperfine reports no median")?;
            Ok(median * 1e3)
        })
    }

    /// User-space instructions per call, including the caller's loop. They are the same in every run.
    pub fn instructions(&self, operation: &str, size: u32) -> Result<Vec<f64>, String> {
        let count = |program: &Path, calls: u32| {
            let output = run(Command::new("valgrind")
                .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                .arg(program)
                .args(["make", operation, &calls.to_string(), &size.to_string()]))?;
            number_after(&text(&output.stderr), "Collected : ")
        };
        self.programs.iter().map(|program| Ok(count(program, 3)? - count(program, 2)?)).collect()
    }

    /// The relocations before `main`: those with a symbol lookup, and those that only add the load address.
    pub fn relocations(&self) -> Result<Vec<(f64, f64)>, String> {
        let count = |program: &PathBuf| {
            let output = run(Command::new(program).env("LD_DEBUG", "statistics").env("LD_BIND_NOW", "1"))?;
            let said = text(&output.stderr);
            let relative = number_after(&said, "number of relative relocations: ")?;
            Ok((number_after(&said, "number of relocations: ")?, relative))
        };
        self.programs.iter().map(count).collect()
    }

    /// The growth of the heap and of the resident private memory, in bytes, for 1000 maps.
    pub fn memory(&self) -> Result<Vec<(i64, i64)>, String> {
        let grown = |program: &PathBuf| {
            let said = text(&run(Command::new(program).args(["memory", "1000"]))?.stdout);
            let mut numbers = said.split_whitespace().map_while(|n| n.parse().ok());
            numbers.next().zip(numbers.next()).ok_or("the program printed no numbers".into())
        };
        self.programs.iter().map(grown).collect()
    }

    /// The `bpf` and `uname` calls of a process that creates `maps` maps.
    pub fn system_calls(&self, maps: u32, work: &Path) -> Result<Vec<(usize, usize)>, String> {
        let trace = work.join("strace");
        let count = |program: &PathBuf| {
            run(Command::new("strace").args(["-f", "-e", "trace=bpf,uname", "-o"]).arg(&trace).arg(program).args([
                "make",
                "create",
                &maps.to_string(),
                "1",
            ]))?;
            let lines = fs::read_to_string(&trace).map_err(|e| format!("{}: {e}", trace.display()))?;
            let calls = |name: &str| lines.lines().filter(|l| l.contains(name)).count();
            Ok((calls(" bpf("), calls(" uname(")))
        };
        self.programs.iter().map(count).collect()
    }
}

pub fn size(file: &Path) -> Result<u64, String> {
    Ok(fs::metadata(file).map_err(|e| format!("{}: {e}", file.display()))?.len())
}
