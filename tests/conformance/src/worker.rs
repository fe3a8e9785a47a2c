// SPDX-License-Identifier: MIT OR Apache-2.0
//! A worker: compares one function, on one kernel, in a process of its own.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::Path,
    process::ExitCode,
};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::{
    arguments::{Kernel, Run},
    case::Case,
    compare::{self, Subject, Warnings},
    functions::{Function, Table},
    interface::Interface,
    library::Library,
    memory::{MARGIN, Memory},
    print::print,
    rules::{self, Seen, Verdict},
    scripted,
    world::{self, World},
};

/// A difference on the running kernel counts if it is seen this many times in a row: other processes use the kernel too.
const TIMES: usize = 5;
/// Scripted cases for each case on the running kernel.
pub const REAL_SHARE: u32 = 10;

struct Bench {
    function: &'static Function,
    reference: Subject,
    ours: Subject,
    memory: RefCell<Memory>,
    warnings: Warnings,
    world: Option<World>,
}

impl Bench {
    fn new(
        function: &'static Function,
        table: &'static Table,
        run: &Run,
        world: Option<World>,
    ) -> Result<Bench, String> {
        // A library's allocation for more records than fit in memory must fail.
        let limit = libc::rlimit { rlim_cur: 2 << 30, rlim_max: 2 << 30 };
        // SAFETY: the limit outlives the call.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) };
        let path = run.reference.as_ref().ok_or("no reference given")?;
        let warnings = Warnings::capture().map_err(|e| e.to_string())?;
        Ok(Bench {
            function,
            reference: Subject::new(Library::open(path, table)?, world.as_ref()),
            ours: Subject::new(Library::open(&run.library, table)?, world.as_ref()),
            memory: RefCell::new(Memory::new().map_err(|e| e.to_string())?),
            warnings,
            world,
        })
    }

    /// The verdict on a case, a description of the difference, and whether the reference's call succeeded.
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
                // The bytes that were zero for this call only.
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

/// Compares one function and prints the result for `Found::read`.
pub fn run(name: &str, kernel: Kernel, directory: &Path, cgroup: &Path, run: &Run) -> ExitCode {
    match work(name, kernel, directory, cgroup, run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            println!("cannot\t{e}");
            ExitCode::from(2)
        }
    }
}

fn work(name: &str, kernel: Kernel, directory: &Path, cgroup: &Path, run: &Run) -> Result<(), String> {
    let reference = run.reference.as_ref().ok_or("no reference given")?;
    let table = Table::new(&Interface::of(reference)?)?;
    let function = table.function(name).ok_or("no such function")?;
    let seed = run.seed.ok_or("no seed given")?;
    // SAFETY: the call accesses no memory. It ends the worker if a library does not return.
    unsafe { libc::alarm(120 + run.cases / 50) };
    let (world, cases, share) = match kernel {
        Kernel::Scripted => (None, scripted::cases(function), 1),
        Kernel::Real => {
            let world = World::new(directory, cgroup).map_err(|e| format!("cannot create the kernel objects: {e}"))?;
            (Some(world), world::cases(function), REAL_SHARE)
        }
    };
    let bench = Bench::new(function, table, run, world)?;
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
        // After a failure proptest shrinks the case; the smaller ones do not count.
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
                _ => format!("{why}  (not reproduced when the shrunk case was repeated)\n"),
            };
            print!("{words}{}", print(function, &case, kernel == Kernel::Scripted));
        }
    }
    println!("done");
    Ok(())
}
