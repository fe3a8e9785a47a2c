// SPDX-License-Identifier: MIT OR Apache-2.0
//! A run: starts a worker process for each function and each kernel, and prints the table of results.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    arguments::{Kernel, Run},
    count::{in_ci, skip},
    functions::{Function, Table},
    interface::Interface,
    reference,
    table::Gives,
    worker::REAL_SHARE,
};

#[derive(Clone, Copy)]
enum Wrong {
    Different,
    NotCompared,
}

/// The result of a worker.
#[derive(Default)]
struct Found {
    played: u32,
    identical: u32,
    /// The cases in which the reference's call succeeded.
    succeeded: u32,
    rules: BTreeMap<String, u32>,
    /// A difference that no rule explains, or why there was no comparison.
    different: Vec<(Wrong, String)>,
}

impl Found {
    fn read(output: &str, ended: &str) -> Found {
        let mut found = Found::default();
        let mut lines = output.lines();
        let mut done = false;
        while let Some(line) = lines.next() {
            let words: Vec<&str> = line.split('\t').collect();
            match words[..] {
                ["found", played, identical, succeeded] => {
                    found.played = played.parse().unwrap_or(0);
                    found.identical = identical.parse().unwrap_or(0);
                    found.succeeded = succeeded.parse().unwrap_or(0);
                }
                ["rule", name, count] => {
                    found.rules.insert(name.to_string(), count.parse().unwrap_or(0));
                }
                ["cannot", why] => found.different.push((Wrong::NotCompared, format!("  {why}\n"))),
                ["different"] => {
                    let text: Vec<&str> = lines.by_ref().take_while(|l| *l != "done").collect();
                    found.different.push((Wrong::Different, text.join("\n") + "\n"));
                    done = true;
                }
                ["done"] => done = true,
                _ => {}
            }
        }
        if !done && found.different.is_empty() {
            found.different.push((Wrong::NotCompared, format!("  the worker did not finish: {ended}\n")));
        }
        found
    }
}

/// The mount point of the cgroup v2 hierarchy.
fn cgroup_mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let line = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|w| w.get(2) == Some(&"cgroup2"))?;
    Some(PathBuf::from(line[1]))
}

/// A directory and a cgroup for one worker, removed with this value.
struct Place {
    directory: PathBuf,
    cgroup: PathBuf,
}

impl Place {
    fn new(name: &str, real: bool) -> io::Result<Place> {
        let unique = format!("sysbpf-conformance-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(&unique);
        fs::create_dir(&directory)?;
        let cgroup = if real {
            let mount = cgroup_mount().ok_or_else(|| io::Error::other("no cgroup2 hierarchy is mounted"))?;
            let cgroup = mount.join(&unique);
            if let Err(e) = fs::create_dir(&cgroup) {
                fs::remove_dir(&directory)?;
                return Err(e);
            }
            cgroup
        } else {
            PathBuf::new()
        };
        Ok(Place { directory, cgroup })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for path in [&self.directory, &self.cgroup].into_iter().filter(|p| !p.as_os_str().is_empty()) {
            if let Err(e) = fs::remove_dir(path) {
                eprintln!("conformance: cannot remove {}: {e}", path.display());
            }
        }
    }
}

fn compare_in_worker(function: &Function, kernel: Kernel, run: &Run) -> Found {
    let kernel_name = if kernel == Kernel::Real { "real" } else { "scripted" };
    let attempt = || -> io::Result<Found> {
        let place = Place::new(&format!("{}-{kernel_name}", function.name), kernel == Kernel::Real)?;
        let output = Command::new(std::env::current_exe()?)
            .args(["worker", function.name, kernel_name])
            .arg(&place.directory)
            .arg(if kernel == Kernel::Real { &place.cgroup } else { Path::new("none") })
            .args(["--seed", &run.seed.expect("set by run").to_string(), "--cases", &run.cases.to_string()])
            .arg("--library")
            .arg(&run.library)
            .arg("--reference")
            .arg(run.reference.as_ref().expect("set by run"))
            .stdin(Stdio::null())
            .env_remove("LD_PRELOAD")
            .output()?;
        let mut ended = output.status.to_string();
        if let Some(last) = String::from_utf8_lossy(&output.stderr).lines().last() {
            ended += &format!(" ({last})");
        }
        Ok(Found::read(&String::from_utf8_lossy(&output.stdout), &ended))
    };
    attempt().unwrap_or_else(|e| Found {
        different: vec![(Wrong::NotCompared, format!("  no worker: {e}\n"))],
        ..Found::default()
    })
}

/// Fails, with the reason, if the running kernel cannot be used.
fn real_kernel() -> Result<(), String> {
    // SAFETY: the attribute outlives the call; this process owns the descriptor.
    unsafe {
        if libc::geteuid() != 0 {
            return Err("comparing on the running kernel requires root".into());
        }
        let mut attr = [2u32, 4, 4, 1, 0];
        let fd = libc::syscall(libc::SYS_bpf, 0, attr.as_mut_ptr(), size_of_val(&attr));
        if fd < 0 {
            return Err(format!("the running kernel cannot create a BPF map: {}", io::Error::last_os_error()));
        }
        libc::close(fd as i32);
    }
    cgroup_mount().map(|_| ()).ok_or("no cgroup2 hierarchy is mounted".into())
}

pub fn run(mut run: Run) -> ExitCode {
    if !run.library.exists() {
        return skip("conformance", &format!("{} does not exist; run make stage", run.library.display()));
    }
    // dlopen() searches the system's directories for a name without a slash.
    run.library = fs::canonicalize(&run.library).unwrap_or(run.library);
    if run.reference.is_none() {
        match reference::build() {
            Ok(reference) => run.reference = Some(reference.library),
            Err(why) => return skip("conformance", &why),
        }
    }
    let seed = *run.seed.get_or_insert_with(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64)
    });
    let library = run.reference.as_ref().expect("set above");
    let table = match Interface::of(library).and_then(|interface| Table::new(&interface)) {
        Ok(table) => table,
        Err(why) => {
            println!("FAIL {why}\nconformance: 0 passed, 1 failed, 0 skipped");
            return ExitCode::FAILURE;
        }
    };
    let unknown = run.function.iter().find(|name| table.function(name).is_none());
    if let Some(name) = unknown {
        eprintln!("conformance: bpf.h has no function {name}");
        return ExitCode::from(2);
    }
    let is_chosen = |f: &&Function| run.function.is_empty() || run.function.iter().any(|n| n == f.name);
    let (newer, chosen): (Vec<&Function>, Vec<&Function>) =
        table.functions.iter().filter(is_chosen).partition(|f| f.newer);
    let real = real_kernel();
    let mut tasks = Vec::new();
    for (i, function) in chosen.iter().enumerate() {
        if run.kernel != Some(Kernel::Real) {
            tasks.push((i, Kernel::Scripted));
        }
        // Without a bpf(2) call there is nothing to do for the running kernel.
        if run.kernel != Some(Kernel::Scripted) && real.is_ok() && function.gives != Gives::Nothing {
            tasks.push((i, Kernel::Real));
        }
    }
    println!(
        "reference {}\nours      {}\nseed {seed}, {} cases for each function with the scripted kernel, {} with the running one",
        run.reference.as_ref().expect("set above").display(),
        run.library.display(),
        run.cases,
        (run.cases / REAL_SHARE).max(1)
    );

    let found: Mutex<Vec<Vec<Found>>> = Mutex::new(chosen.iter().map(|_| Vec::new()).collect());
    let next = AtomicUsize::new(0);
    let jobs = run.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(&(i, kernel)) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = compare_in_worker(chosen[i], kernel, &run);
                    found.lock().expect("no worker thread panics")[i].push(result);
                }
            });
        }
    });
    let found = found.into_inner().expect("no worker thread panics");

    println!(
        "\n{:<38}{:>9}{:>11}{:>11}{:>9}{:>11}  rules",
        "function", "cases", "succeeded", "identical", "by rule", "otherwise"
    );
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (function, found) in chosen.iter().zip(&found) {
        let played: u32 = found.iter().map(|f| f.played).sum();
        let succeeded: u32 = found.iter().map(|f| f.succeeded).sum();
        let identical: u32 = found.iter().map(|f| f.identical).sum();
        let different: usize = found.iter().map(|f| f.different.len()).sum();
        let mut rules = BTreeMap::<&str, u32>::new();
        for (name, count) in found.iter().flat_map(|f| &f.rules) {
            *rules.entry(name).or_default() += count;
        }
        let shrunk = found.iter().flat_map(|f| &f.different).filter(|(wrong, _)| matches!(wrong, Wrong::Different));
        let by_rule = played - identical - shrunk.count() as u32;
        let named: Vec<String> = rules.iter().map(|(n, c)| format!("{n} {c}")).collect();
        println!(
            "{:<38}{played:>9}{succeeded:>11}{identical:>11}{by_rule:>9}{different:>11}  {}",
            function.name,
            named.join(", ")
        );
        match (different, played) {
            (0, 0) => {
                println!("SKIP {}: it makes no bpf(2) call, so the running kernel is not involved", function.name);
                skipped += 1;
            }
            (0, _) => passed += 1,
            _ => failed += 1,
        }
    }
    for (function, found) in chosen.iter().zip(&found) {
        for (wrong, words) in found.iter().flat_map(|f| &f.different) {
            let what = match wrong {
                Wrong::Different => "a difference that no rule explains",
                Wrong::NotCompared => "could not be compared",
            };
            println!("\n{}: {what} (--function {0} --seed {seed} --cases {})", function.name, run.cases);
            print!("{words}");
        }
    }
    println!();
    for function in &newer {
        // No failure in CI: libbpf 1.7.0 will never have it.
        println!("SKIP {}: libbpf 1.7.0 does not have it", function.name);
        skipped += 1;
    }
    if let (true, Err(why)) = (run.kernel != Some(Kernel::Scripted), real) {
        println!("SKIP the running kernel: {why}");
        skipped += 1;
        if in_ci() {
            skipped -= 1;
            failed += 1;
        }
    }
    println!("conformance: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
