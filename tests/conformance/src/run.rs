//! A run: one worker process for each function and each kernel, and the table of what they found.

use std::{
    cell::{Cell, RefCell},
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

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::{
    Kernel, Run,
    case::{self, Case},
    compare::{self, Subject, Warnings},
    functions::{FUNCTIONS, Function, Gives},
    library::Library,
    memory::{MARGIN, Memory},
    reference,
    rules::{self, Seen, Verdict},
    world::World,
};

/// Differences in the running kernel must show this often in a row: other processes use it too.
const TIMES: usize = 5;
/// So many scripted cases for each case in the running kernel.
const REAL_SHARE: u32 = 10;

// ---- the worker ----------------------------------------------------------------------------

/// The comparison of one function, in a process of its own.
struct Bench {
    function: &'static Function,
    reference: Subject,
    ours: Subject,
    memory: RefCell<Memory>,
    warnings: Warnings,
    world: Option<World>,
}

impl Bench {
    fn new(function: &'static Function, run: &Run, world: Option<World>) -> Result<Bench, String> {
        // What a library allocates for records beyond all memory must fail, not be promised.
        let limit = libc::rlimit { rlim_cur: 2 << 30, rlim_max: 2 << 30 };
        // SAFETY: a plain call.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
        let path = run.reference.as_ref().ok_or("no reference given")?;
        let warnings = Warnings::capture().map_err(|e| e.to_string())?;
        Ok(Bench {
            function,
            reference: Subject::new(Library::open(path)?, world.as_ref()),
            ours: Subject::new(Library::open(&run.library)?, world.as_ref()),
            memory: RefCell::new(Memory::new().map_err(|e| e.to_string())?),
            warnings,
            world,
        })
    }

    /// What is to be said of a case: the verdict, the difference in words, whether the call succeeded.
    fn compare(&self, case: &Case) -> (Verdict, String, bool) {
        let placed = case.place(self.function, &mut self.memory.borrow_mut());
        let play = |subject| {
            let memory = self.memory.borrow();
            compare::play(subject, self.function, case, &placed, &memory, &self.warnings, self.world.as_ref())
        };
        let mut last = None;
        for _ in 0..if self.world.is_some() { TIMES } else { 1 } {
            let reference = play(&self.reference);
            let ours = play(&self.ours);
            let before = self.memory.borrow().before().to_vec();
            let again = |from: usize| {
                let Some(slot) = placed.opts_slot else { return play(&self.reference) };
                self.memory.borrow_mut().zero_from(slot, from);
                let mut outcome = play(&self.reference);
                self.memory.borrow_mut().put_back(slot, &before[slot]);
                // What the caller really has there.
                if let Some(there) = before[slot].get(MARGIN + from..) {
                    outcome.memory[slot][MARGIN + from..].copy_from_slice(there);
                }
                outcome
            };
            let verdict = rules::judge(Seen {
                function: self.function,
                case,
                placed: &placed,
                before: &before,
                reference: reference.clone(),
                ours: ours.clone(),
                again: &again,
                running_kernel: self.world.is_some(),
            });
            let Verdict::Different = verdict else { return (verdict, String::new(), reference.value >= 0) };
            last = Some((reference, ours));
        }
        let (reference, ours) = last.expect("compared at least once");
        (Verdict::Different, compare::describe(self.function, &placed, &reference, &ours), false)
    }
}

/// Compares one function and prints what `Found::read` reads.
pub fn worker(name: &str, kernel: Kernel, folder: &Path, cgroup: &Path, run: &Run) -> ExitCode {
    match work(name, kernel, folder, cgroup, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            println!("cannot\t{e}");
            ExitCode::from(2)
        }
    }
}

fn work(name: &str, kernel: Kernel, folder: &Path, cgroup: &Path, run: &Run) -> Result<(), String> {
    let function = FUNCTIONS.iter().find(|f| f.name == name).ok_or("no such function")?;
    let seed = run.seed.ok_or("no seed given")?;
    // SAFETY: a plain call: a library that never returns must not hang the run.
    unsafe { libc::alarm(120 + run.cases / 50) };
    let (world, cases, share) = match kernel {
        Kernel::Scripted => (None, case::scripted_cases(function), 1),
        Kernel::Real => {
            let world = World::new(folder, cgroup).map_err(|e| format!("the objects to work on: {e}"))?;
            (Some(world), case::real_cases(function), REAL_SHARE)
        }
    };
    let bench = Bench::new(function, run, world)?;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    for (i, byte) in name.bytes().enumerate() {
        bytes[8 + i % 24] ^= byte.rotate_left(i as u32 / 24);
    }
    let config = Config {
        cases: (run.cases / share).max(1),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let (played, identical, succeeded, failed) = (Cell::new(0u32), Cell::new(0u32), Cell::new(0u32), Cell::new(false));
    let by_rule = RefCell::new(BTreeMap::<&str, u32>::new());
    let result = runner.run(&cases, |case| {
        let (verdict, words, success) = bench.compare(&case);
        // Once a case has failed, proptest shrinks it: those are not cases of the run.
        if !failed.get() {
            played.set(played.get() + 1);
            succeeded.set(succeeded.get() + u32::from(success));
        }
        match verdict {
            Verdict::Identical if !failed.get() => identical.set(identical.get() + 1),
            Verdict::Rules(names) if !failed.get() => {
                for name in names {
                    *by_rule.borrow_mut().entry(name).or_default() += 1;
                }
            }
            Verdict::Different => {
                failed.set(true);
                return Err(TestCaseError::fail(words));
            }
            _ => {}
        }
        Ok(())
    });
    println!("found\t{}\t{}\t{}", played.get(), identical.get(), succeeded.get());
    for (rule, count) in by_rule.into_inner() {
        println!("rule\t{rule}\t{count}");
    }
    match result {
        Ok(()) => {}
        Err(TestError::Abort(why)) => return Err(why.to_string()),
        Err(TestError::Fail(why, case)) => {
            println!("different");
            let (verdict, words, _) = bench.compare(&case);
            let words = match verdict {
                Verdict::Different => words,
                _ => format!("{why}  (not seen when the shrunk case was played once more)\n"),
            };
            print!("{words}{}", case::print(function, &case, kernel == Kernel::Scripted));
        }
    }
    println!("done");
    Ok(())
}

// ---- the parent ----------------------------------------------------------------------------

#[derive(Clone, Copy)]
enum Wrong {
    Different,
    NotCompared,
}

/// What a worker found.
#[derive(Default)]
struct Found {
    played: u32,
    identical: u32,
    /// In how many the reference's call succeeded.
    succeeded: u32,
    rules: BTreeMap<String, u32>,
    /// What went wrong, in words: a difference that no rule explains, or no comparison at all.
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

/// Where the unified cgroup hierarchy is mounted.
fn cgroup_mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let line = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|w| w.get(2) == Some(&"cgroup2"))?;
    Some(PathBuf::from(line[1]))
}

/// A folder and a cgroup for one worker, removed with this value.
struct Place {
    folder: PathBuf,
    cgroup: PathBuf,
}

impl Place {
    fn new(name: &str, real: bool) -> io::Result<Place> {
        let unique = format!("sysbpf-conformance-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(&unique);
        fs::create_dir(&folder)?;
        let cgroup = if real {
            let mount = cgroup_mount().ok_or_else(|| io::Error::other("no cgroup2 hierarchy is mounted"))?;
            let cgroup = mount.join(&unique);
            if let Err(e) = fs::create_dir(&cgroup) {
                fs::remove_dir(&folder)?;
                return Err(e);
            }
            cgroup
        } else {
            PathBuf::new()
        };
        Ok(Place { folder, cgroup })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for path in [&self.folder, &self.cgroup].into_iter().filter(|p| !p.as_os_str().is_empty()) {
            if let Err(e) = fs::remove_dir(path) {
                eprintln!("conformance: {} stays behind: {e}", path.display());
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
            .arg(&place.folder)
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

/// Whether the running kernel can take part; why not, otherwise.
fn real_kernel() -> Result<(), String> {
    // SAFETY: plain calls.
    unsafe {
        if libc::geteuid() != 0 {
            return Err("comparing in the running kernel needs root".into());
        }
        let mut attr = [2u32, 4, 4, 1, 0];
        let fd = libc::syscall(libc::SYS_bpf, 0, attr.as_mut_ptr(), size_of_val(&attr));
        if fd < 0 {
            return Err(format!("the running kernel makes no BPF map: {}", io::Error::last_os_error()));
        }
        libc::close(fd as i32);
    }
    cgroup_mount().map(|_| ()).ok_or("no cgroup2 hierarchy is mounted".into())
}

/// A named skip: fine on a developer's machine, an error in CI.
pub fn skip(what: &str, why: &str) -> ExitCode {
    println!("SKIP {what}: {why}");
    if std::env::var("CI").is_ok_and(|ci| ci == "true") {
        println!("conformance: 0 passed, 1 failed, 0 skipped");
        return ExitCode::FAILURE;
    }
    println!("conformance: 0 passed, 0 failed, 1 skipped");
    ExitCode::SUCCESS
}

pub fn run(mut run: Run) -> ExitCode {
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    if !run.library.exists() {
        return skip("conformance", &format!("{} is not there: `make stage` builds it", run.library.display()));
    }
    // dlopen takes a name without a slash for a library of the system's.
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
    let unknown = run.function.iter().find(|name| FUNCTIONS.iter().all(|f| f.name != **name));
    if let Some(name) = unknown {
        eprintln!("conformance: bpf.h has no function {name}");
        return ExitCode::from(2);
    }
    let chosen: Vec<&Function> =
        FUNCTIONS.iter().filter(|f| run.function.is_empty() || run.function.iter().any(|n| n == f.name)).collect();
    let real = real_kernel();
    let mut tasks = Vec::new();
    for (i, function) in chosen.iter().enumerate() {
        if run.kernel != Some(Kernel::Real) {
            tasks.push((i, Kernel::Scripted));
        }
        // What makes no system call meets no kernel.
        if run.kernel != Some(Kernel::Scripted) && real.is_ok() && function.gives != Gives::Nothing {
            tasks.push((i, Kernel::Real));
        }
    }
    println!(
        "reference {}\nours      {}\nseed {seed}, {} cases for each function with a scripted kernel, {} with the running one",
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
                println!("SKIP {}: it makes no system call that the running kernel could answer", function.name);
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
    if let (true, Err(why)) = (run.kernel != Some(Kernel::Scripted), real) {
        println!("SKIP the running kernel: {why}");
        skipped += 1;
        if ci {
            skipped -= 1;
            failed += 1;
        }
    }
    println!("conformance: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
