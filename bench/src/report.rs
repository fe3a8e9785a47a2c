// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takes all measurements, and writes the page.

use std::{fmt::Write, path::Path, process::Command};

use crate::{
    measure::{Rounds, Spread},
    processes::{Processes, size},
    within::{BATCHES, LOADS, STEADY, Within},
};

/// The subjects that are measured in processes of their own: the bare call, this library, libbpf, the distribution's.
const BARE: usize = 0;
const OURS: usize = 1;
const REFERENCE: usize = 2;

/// The subject after those: a program that calls uname() and creates a map, or one that is linked with an empty shared
/// object.
const ASKING: usize = 4;
const LINKING: usize = 4;

/// In this process, the bare call in a function comes before the libraries.
mod within {
    pub const FUNCTION: usize = 1;
    pub const OURS: usize = 2;
    pub const REFERENCE: usize = 3;
}

pub const FIRST: [(&str, &str); 3] = [("create", "bpf_map_create"), ("load", "bpf_prog_load"), ("btf", "bpf_btf_load")];

/// What instructions are counted for: the name in the table, the operation of calls.c, its size.
const COUNTED: [(&str, &str, u32); 12] = [
    ("bpf_map_lookup_elem", "lookup", 1),
    ("bpf_map_update_elem", "update", 1),
    ("bpf_map_delete_elem", "delete", 1),
    ("bpf_map_get_next_key", "next", 1),
    ("bpf_map_lookup_batch, 1 element", "batch", 1),
    ("bpf_map_lookup_batch, 100", "batch", 100),
    ("bpf_map_lookup_batch, 10,000", "batch", 10_000),
    ("bpf_prog_load, 2 instructions", "load", 2),
    ("bpf_prog_load, 4,096", "load", 4096),
    ("bpf_prog_load, 1,000,000", "load", 1_000_000),
    ("bpf_map_create", "create", 1),
    ("bpf_btf_load", "btf", 1),
];

pub struct Measured {
    cpus: usize,
    /// The subjects that are measured in processes of their own, and those that are measured in this one.
    pub processes: Vec<String>,
    pub within: Vec<String>,
    /// Nanoseconds of the first call of a process: cold, and after the kernel was warmed up.
    pub first: Vec<(Rounds, Rounds)>,
    /// Nanoseconds per call, by operation.
    pub steady: Vec<Rounds>,
    batches: Vec<Rounds>,
    loads: Vec<Rounds>,
    /// The number of threads, whether they use one map, and nanoseconds per call.
    threads: Vec<(usize, bool, Rounds)>,
    instructions: Vec<Vec<f64>>,
    /// Milliseconds.
    start: Rounds,
    relocations: Vec<(f64, f64)>,
    memory: Vec<(i64, i64)>,
    /// The numbers of bpf and uname calls, for one map and for two.
    system_calls: Vec<Vec<(usize, usize)>>,
    stripped: Vec<u64>,
    static_programs: Vec<Option<u64>>,
}

/// A row of the table of goals.
struct Goal {
    what: &'static str,
    goal: &'static str,
    found: String,
    met: bool,
    /// The reason if it is missed.
    why: String,
}

impl Measured {
    /// `fewer` divides the number of rounds.
    pub fn take(
        libraries: Vec<String>,
        within: &Within,
        processes: &Processes,
        work: &Path,
        fewer: usize,
    ) -> Result<Measured, String> {
        let say = |what: &str| eprintln!("bench: {what}");
        let cpus = within.cpus.len();
        say("steady calls");
        let steady = STEADY.iter().map(|o| processes.steady(o, 4800 / fewer)).collect::<Result<_, _>>()?;
        say("batches");
        let batches = BATCHES
            .iter()
            .map(|&b| within.batch(b, if b > 1000 { 300 } else { 2000 } / fewer))
            .collect::<Result<_, _>>()?;
        say("threads");
        let mut threads = Vec::new();
        for one_map in [false, true] {
            for count in [1, cpus, 2 * cpus] {
                threads.push((count, one_map, within.threads(count, one_map, 60 / fewer)?));
            }
        }
        say("loads");
        let loads = LOADS
            .iter()
            .map(|&l| within.load(l, if l > 10_000 { 7.max(10 / fewer) } else { 400 / fewer }))
            .collect::<Result<_, _>>()?;
        say("first calls");
        let first = FIRST
            .iter()
            .map(|(o, _)| Ok((processes.first(o, false, 400 / fewer)?, processes.first(o, true, 400 / fewer)?)))
            .collect::<Result<_, String>>()?;
        say("starts of processes");
        let start = processes.start(60 / fewer, work)?;
        say("instructions");
        let instructions =
            COUNTED.iter().map(|(_, o, size)| processes.instructions(o, *size)).collect::<Result<_, _>>()?;
        let sizes = |files: &[Option<std::path::PathBuf>]| {
            files.iter().map(|f| f.as_deref().map(size).transpose()).collect::<Result<Vec<_>, _>>()
        };
        let named = |bare: &[&str]| bare.iter().map(|b| b.to_string()).chain(libraries.iter().cloned()).collect();
        Ok(Measured {
            cpus,
            processes: named(&["bare call"]),
            within: named(&["bare call", "bare, in a function"]),
            first,
            steady,
            batches,
            loads,
            threads,
            instructions,
            start,
            relocations: processes.relocations()?,
            memory: processes.memory()?,
            system_calls: [1, 2].iter().map(|&maps| processes.system_calls(maps, work)).collect::<Result<_, _>>()?,
            stripped: processes.stripped.iter().map(|so| size(so)).collect::<Result<_, _>>()?,
            static_programs: sizes(&processes.static_programs)?,
        })
    }

    fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        let list = |parts: Vec<String>| parts.join(", ");

        let cold: Vec<f64> = self.first.iter().map(|(cold, _)| cold.ratio(OURS, BARE).median).collect();
        let warm: Vec<f64> = self.first.iter().map(|(_, warm)| warm.ratio(OURS, BARE).median).collect();
        let show =
            |ratios: &[f64]| list(FIRST.iter().zip(ratios).map(|((_, f), r)| format!("{} {r:.2}", short(f))).collect());
        let (first_map, first_map_warm) = &self.first[0];
        let microseconds = |rounds: &Rounds, subject: usize| format!("{:.1} us", rounds.spread(subject).median / 1e3);
        let asking = |rounds: &Rounds| {
            format!(
                "Before its first map, a library must know whether the kernel charges RLIMIT_MEMLOCK. A program without a \
                 library that calls libc's `uname()` and then creates the map with libc's `syscall()` takes {} times as long \
                 as the bare call ({}; bare {}, sysbpf {}). The rest is due to code and data that the process accesses for \
                 the first time. Calling `uname` through `syscall()` would save half a microsecond, but then `uname` could no \
                 longer be interposed.",
                format_args!("{:.2}", rounds.ratio(ASKING, BARE).median),
                microseconds(rounds, ASKING),
                microseconds(rounds, BARE),
                microseconds(rounds, OURS),
            )
        };
        goals.push(Goal {
            what: "first call of a process, compared with a bare first call",
            goal: "at most 1.2",
            found: show(&cold),
            met: cold.iter().all(|&r| r <= 1.2),
            why: asking(first_map),
        });
        goals.push(Goal {
            what: "the same, after the kernel was warmed up by bare calls",
            goal: "at most 1.2",
            found: show(&warm),
            met: warm.iter().all(|&r| r <= 1.2),
            why: asking(first_map_warm),
        });
        let faster = |rounds: &Rounds| rounds.ratio(REFERENCE, OURS).median;
        let limit = |rounds: &Rounds| {
            format!(
                "libbpf takes {} and the bare call {}, so no library can be more than {:.0} times as fast as libbpf.",
                microseconds(rounds, REFERENCE),
                microseconds(rounds, BARE),
                rounds.ratio(REFERENCE, BARE).median
            )
        };
        goals.push(Goal {
            what: "first map in a process: libbpf's time divided by sysbpf's",
            goal: "at least 20",
            found: format!("{:.1}", faster(first_map)),
            met: faster(first_map) >= 20.0,
            why: limit(first_map),
        });
        goals.push(Goal {
            what: "the same, after the kernel was warmed up by bare calls",
            goal: "at least 20",
            found: format!("{:.1}", faster(first_map_warm)),
            met: faster(first_map_warm) >= 20.0,
            why: format!("{} {}", limit(first_map_warm), asking(first_map_warm)),
        });

        let steady = |subject: usize, over: usize| -> Vec<f64> {
            self.steady.iter().map(|r| r.ratio(subject, over).median).collect()
        };
        let over_bare = steady(within::OURS, BARE);
        let function_over_bare = steady(within::FUNCTION, BARE);
        let over_function = steady(within::OURS, within::FUNCTION);
        let over_libbpf = steady(within::OURS, within::REFERENCE);
        let show = |ratios: &[f64]| list(STEADY.iter().zip(ratios).map(|(o, r)| format!("{o} {r:.3}")).collect());
        goals.push(Goal {
            what: "steady element calls, compared with the bare inline call",
            goal: "at most 1.05",
            found: show(&over_bare),
            met: over_bare.iter().all(|&r| r <= 1.05),
            why: format!(
                "No library can reach this: the bare call in a separate function, which does nothing but make the call and \
                 return, takes {}. The cost is that of the first return instruction after a system call, which this processor \
                 mispredicts with this kernel (an indirect jump instead has no such cost). Only an inlined call avoids it. \
                 The next row shows what the library adds.",
                show(&function_over_bare)
            ),
        });
        goals.push(Goal {
            what: "the same, compared with the bare call in a function",
            goal: "at most 1.05",
            found: show(&over_function),
            met: over_function.iter().all(|&r| r <= 1.05),
            why: WHY_FUNCTION.into(),
        });
        goals.push(Goal {
            what: "the same, compared with libbpf",
            goal: "at most 1.00, within 1%",
            found: show(&over_libbpf),
            // The ratio of two runs of the same code varies by 1%.
            met: over_libbpf.iter().all(|&r| r < 1.01),
            why: WHY_STEADY_LIBBPF.into(),
        });
        let counted = |range: std::ops::Range<usize>, subject: usize| -> Vec<f64> {
            self.instructions[range].iter().map(|row| row[subject]).collect()
        };
        let (ours, theirs) = (counted(0..4, OURS), counted(0..4, REFERENCE));
        goals.push(Goal {
            what: "user-space instructions of an element call, including the caller's and libc's",
            goal: "fewer than libbpf",
            found: list(
                STEADY
                    .iter()
                    .zip(ours.iter().zip(&theirs))
                    .map(|(o, (a, b))| format!("{o} {a} (libbpf {b})"))
                    .collect(),
            ),
            met: ours.iter().zip(&theirs).all(|(a, b)| a < b),
            why: String::new(),
        });
        let constant = |rows: std::ops::Range<usize>| -> Vec<f64> {
            self.instructions[rows].iter().map(|row| row[OURS] - row[BARE]).collect()
        };
        let same = |values: &[f64]| values.iter().all(|v| v == &values[0]);
        let instructions = |values: &[f64]| {
            format!("{} more than the bare call", values.iter().map(f64::to_string).collect::<Vec<_>>().join(", "))
        };
        let share = constant(4..7);
        goals.push(Goal {
            what: "batches of 1, 100 and 10,000: sysbpf's own instructions",
            goal: "constant",
            found: instructions(&share),
            met: same(&share),
            why: String::new(),
        });
        let share = constant(7..10);
        goals.push(Goal {
            what: "bpf_prog_load of 2, 4,096 and 1,000,000 instructions: sysbpf's own instructions",
            goal: "constant",
            found: instructions(&share),
            met: same(&share),
            why: String::new(),
        });
        let start = self.start.ratio(OURS, BARE);
        goals.push(Goal {
            what: "start of a process linked with sysbpf, compared with one that is not",
            goal: "at most 1.03",
            found: format!("{} (libbpf {:.2})", ratio(start), self.start.ratio(REFERENCE, BARE).median),
            met: start.median <= 1.03,
            why: format!(
                "For a process linked with an empty shared object the ratio is {}, which is the cost of opening and mapping \
                 any library.",
                ratio(self.start.ratio(LINKING, BARE))
            ),
        });
        goals.push(Goal {
            what: "shared object, stripped",
            goal: "under 40 KiB",
            found: format!("{} (libbpf {})", kib(self.stripped[0]), kib(self.stripped[1])),
            met: self.stripped[0] < 40 << 10,
            why: String::new(),
        });
        let grown = |i: usize| self.static_programs[i].zip(self.static_programs[BARE]).map(|(a, b)| a - b);
        if let (Some(ours), Some(theirs)) = (grown(OURS), grown(REFERENCE)) {
            goals.push(Goal {
                what: "growth of a static program",
                goal: "under 16 KiB",
                found: format!("{} (libbpf {})", kib(ours), kib(theirs)),
                met: ours < 16 << 10,
                why: String::new(),
            });
        }
        let (heap, resident) = self.memory[OURS];
        goals.push(Goal {
            what: "heap and resident private memory after 1,000 maps",
            goal: "no growth",
            found: format!("{heap} and {resident} bytes"),
            met: heap == 0 && resident <= self.memory[BARE].1,
            why: String::new(),
        });
        let scales: Vec<(usize, bool, Spread)> = self
            .threads
            .iter()
            .map(|(n, one, rounds)| (*n, *one, rounds.ratio(within::OURS, within::FUNCTION)))
            .collect();
        goals.push(Goal {
            what: "threads, on maps of their own or on one map, compared with threads that make the bare call in a function",
            goal: "at most 1.05",
            found: list(
                scales
                    .iter()
                    .map(|(n, one, r)| format!("{n} {} {:.3}", if *one { "on one" } else { "own" }, r.median))
                    .collect(),
            ),
            met: scales.iter().all(|(_, _, r)| r.median <= 1.05),
            why: WHY_THREADS.into(),
        });
        let (one, two) = (self.system_calls[0][OURS], self.system_calls[1][OURS]);
        goals.push(Goal {
            what: "system calls of the first map and of the second",
            goal: "1 and 1, at most one uname",
            found: format!("{} and {}, {} uname", one.0, two.0 - one.0, two.1),
            met: one.0 == 1 && two.0 == 2 && two.1 <= 1,
            why: String::new(),
        });
        goals
    }

    pub fn markdown(&self) -> Result<String, String> {
        let mut page = String::new();
        let out = &mut page;
        self.write(out).map_err(|e| e.to_string())?;
        Ok(wrapped(&page))
    }

    /// What to conclude from the page.
    fn summary(&self, goals: &[Goal]) -> String {
        let steady = |subject: usize| {
            let ratios = self.steady.iter().map(|r| r.ratio(subject, BARE).median);
            ratios.fold(0.0, f64::max)
        };
        let first = |subject: usize| format!("{:.1} us", self.first[0].0.spread(subject).median / 1e3);
        format!(
            "A steady call on a map element takes at most {:.3} times as long as the bare system call, with libbpf at most \
             {:.3} times. The first map of a process takes {}, with libbpf {}, with the bare call {}. The shared object has \
             {}, that of libbpf {}. Of {} goals, {} are met; the table shows which.",
            steady(within::OURS),
            steady(within::REFERENCE),
            first(OURS),
            first(REFERENCE),
            first(BARE),
            kib(self.stripped[0]),
            kib(self.stripped[1]),
            goals.len(),
            goals.iter().filter(|g| g.met).count(),
        )
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let goals = self.goals();
        writeln!(out, "# What a call costs\n")?;
        writeln!(out, "{}\n", self.summary(&goals))?;
        writeln!(out, "All figures, and the plot, are produced by `make bench`.\n")?;
        writeln!(out, "{}\n", machine(self.cpus))?;
        writeln!(
            out,
            "Compared: the bare `bpf(2)` call (inline, without any library); {}. Times are medians, with the \
             quartiles in brackets. All subjects take turns within each round, pinned to one CPU, and ratios are taken \
             within rounds.\n",
            self.within[1..].join("; ")
        )?;
        writeln!(out, "| what | goal | measured | |\n|---|---|---|---|")?;
        for goal in &goals {
            let verdict = if goal.met { "met" } else { "**missed**" };
            writeln!(out, "| {} | {} | {} | {verdict} |", goal.what, goal.goal, goal.found)?;
        }
        if goals.iter().any(|g| !g.met) {
            writeln!(out, "\nGoals that are missed, and why:\n")?;
            for goal in goals.iter().filter(|g| !g.met) {
                writeln!(out, "- *{}* ({}; measured {}): {}", goal.what, goal.goal, goal.found, goal.why)?;
            }
        }
        writeln!(out, "\n![cost of a call by operation and library](performance.svg)\n")?;

        writeln!(out, "## The first call of a process\n")?;
        writeln!(
            out,
            "In microseconds. Warm: the process has already made the same bare call 50 times, so that only the library's first-call cost remains.\n"
        )?;
        let asking: Vec<String> = self.processes.iter().cloned().chain(["uname(), map by syscall()".into()]).collect();
        header(out, &asking)?;
        for (i, (_, function)) in FIRST.iter().enumerate() {
            row(out, &asking, &format!("{function}, cold"), &self.first[i].0, 1e-3, 1)?;
            row(out, &asking, &format!("{function}, warm"), &self.first[i].1, 1e-3, 2)?;
        }
        writeln!(out, "\n## Steady calls\n\nNanoseconds per call, on a hash map of 1,024 elements.\n")?;
        header(out, &self.within)?;
        for (operation, rounds) in STEADY.iter().zip(&self.steady) {
            row(out, &self.within, operation, rounds, 1.0, 1)?;
        }
        writeln!(
            out,
            "\n## Batches and program loads\n\nIn microseconds: bpf_map_lookup_batch on an array, and bpf_prog_load of a program that repeats `r0 = 0`.\n"
        )?;
        header(out, &self.within)?;
        for (size, rounds) in BATCHES.iter().zip(&self.batches) {
            row(out, &self.within, &format!("batch of {size}"), rounds, 1e-3, 2)?;
        }
        for (size, rounds) in LOADS.iter().zip(&self.loads) {
            row(out, &self.within, &format!("load of {size}"), rounds, 1e-3, 1)?;
        }
        writeln!(out, "\n## Threads\n\nNanoseconds per lookup, with all threads running at the same time.\n")?;
        header(out, &self.within)?;
        for (threads, one_map, rounds) in &self.threads {
            let maps = if *one_map { "one map" } else { "own maps" };
            row(out, &self.within, &format!("{threads} thread(s), {maps}"), rounds, 1.0, 0)?;
        }
        writeln!(out, "\n## Instructions\n")?;
        writeln!(
            out,
            "User-space instructions per call, counted by callgrind, including the caller's loop and libc's `syscall()`. They are the same in every run.\n"
        )?;
        writeln!(out, "| | {} |\n|---|{}", self.processes.join(" | "), "---:|".repeat(self.processes.len()))?;
        for ((what, _, _), row) in COUNTED.iter().zip(&self.instructions) {
            let cells: Vec<String> = row.iter().map(f64::to_string).collect();
            writeln!(out, "| {what} | {} |", cells.join(" | "))?;
        }
        writeln!(out, "\n## Run time of a process that does nothing\n\nIn microseconds.\n")?;
        let linking: Vec<String> =
            self.processes.iter().cloned().chain(["linked with an empty shared object".into()]).collect();
        header(out, &linking)?;
        row(out, &linking, "run time", &self.start, 1e3, 0)?;
        writeln!(out, "\n## Relocations, sizes, memory\n")?;
        writeln!(out, "| | {} |\n|---|{}", self.processes.join(" | "), "---:|".repeat(self.processes.len()))?;
        let mut line = |what: &str, cells: Vec<String>| writeln!(out, "| {what} | {} |", cells.join(" | "));
        let each = |f: &dyn Fn(usize) -> String| (0..self.processes.len()).map(f).collect::<Vec<_>>();
        line("symbols looked up at start", each(&|i| format!("{}", self.relocations[i].0)))?;
        line("relative relocations at start", each(&|i| format!("{}", self.relocations[i].1)))?;
        line(
            "shared object, stripped, bytes",
            each(&|i| if i == BARE { String::new() } else { self.stripped[i - 1].to_string() }),
        )?;
        line(
            "static program, stripped, bytes",
            each(&|i| self.static_programs[i].map_or("-".into(), |s| s.to_string())),
        )?;
        line("heap growth by 1,000 maps, bytes", each(&|i| self.memory[i].0.to_string()))?;
        line("resident growth by 1,000 maps, bytes", each(&|i| self.memory[i].1.to_string()))?;
        line(
            "bpf and uname calls for one map",
            each(&|i| format!("{}, {}", self.system_calls[0][i].0, self.system_calls[0][i].1)),
        )?;
        line(
            "bpf and uname calls for two maps",
            each(&|i| format!("{}, {}", self.system_calls[1][i].0, self.system_calls[1][i].1)),
        )?;
        writeln!(out, "\n{HOW}")
    }
}

/// The header of a table of times and ratios.
fn header(out: &mut String, names: &[String]) -> std::fmt::Result {
    writeln!(out, "| | {} | ratio to bare: {} |", names.join(" | "), names[1..].join(" | "))?;
    writeln!(out, "|---|{}", "---:|".repeat(2 * names.len() - 1))
}

/// A row of that table. `names` are those of the header; the cell of a subject that was not measured is empty.
fn row(out: &mut String, names: &[String], what: &str, rounds: &Rounds, unit: f64, digits: usize) -> std::fmt::Result {
    let cell = |subject: usize, show: &dyn Fn() -> String| {
        if subject < rounds.0.len() { show() } else { String::new() }
    };
    let times = (0..names.len()).map(|i| cell(i, &|| times(rounds.spread(i), unit, digits)));
    let ratios = (1..names.len()).map(|i| cell(i, &|| ratio(rounds.ratio(i, BARE))));
    let cells: Vec<String> = times.chain(ratios).collect();
    writeln!(out, "| {what} | {} |", cells.join(" | "))
}

const WHY_FUNCTION: &str = "The time of the call itself varies more than that on this machine.";
const WHY_STEADY_LIBBPF: &str = "The difference is smaller than the spread, and its sign changes from run to run. The number of instructions does not vary.";
const WHY_THREADS: &str = "The library writes no memory that threads share, which `tests/installed/test_costs.py` checks. With all CPUs busy, the \
    rounds vary more than that.";

const HOW: &str = "\
## How it is measured

- *Steady calls, batches, loads, threads*: in a process that has loaded all stripped libraries. Steady calls are measured in \
sixteen such processes, one after another, because the address at which a library is loaded matters. Libraries are called \
through a function pointer; the bare call is inlined into the loop. A round takes one sample of each subject in turn, starting \
with a different one each time. Ratios are taken between samples of the same round, so that a disturbance longer than a round \
affects all subjects equally. (This is why criterion is not used: it finishes one subject before it starts the next.)
- *First calls, memory, system calls, instructions*: `bench/calls.c`, built with each library and without one, and linked with \
`-z now`. Each sample is a new process; the subjects take turns.
- *Run time*: the same programs without arguments under hyperfine, 40 runs of each in every round. Libraries are linked by path, \
so that none is searched for.
- *Instructions* are counted by callgrind, *system calls* by strace, *symbols and relocations* by the dynamic linker.

`tests/installed/test_costs.py`, part of `make check`, checks what does not depend on time: instructions, system calls, \
allocations, writes to shared memory, sizes, relocations.";

fn short(function: &str) -> &str {
    function.trim_start_matches("bpf_")
}

fn times(spread: Spread, unit: f64, digits: usize) -> String {
    let [median, low, high] = [spread.median, spread.low, spread.high].map(|t| t * unit);
    format!("{median:.digits$} [{low:.digits$}, {high:.digits$}]")
}

fn ratio(spread: Spread) -> String {
    let digits = if spread.median < 2.0 { 3 } else { 1 };
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", spread.median, spread.low, spread.high)
}

fn kib(bytes: u64) -> String {
    format!("{:.1} KiB", bytes as f64 / 1024.0)
}

/// The page with lines of at most 120 columns, except those that cannot be broken: rows of tables, and the plot.
fn wrapped(page: &str) -> String {
    let mut out = String::new();
    for line in page.lines() {
        if line.starts_with(['|', '!']) {
            out += line;
        } else {
            let indent = if line.starts_with("- ") { "  " } else { "" };
            let mut column = 0;
            for word in line.split(' ') {
                let width = word.chars().count();
                if column > 0 && column + 1 + width > 120 {
                    out += "\n";
                    out += indent;
                    column = indent.len();
                } else if column > 0 {
                    out.push(' ');
                    column += 1;
                }
                out += word;
                column += width;
            }
        }
        out.push('\n');
    }
    out
}

/// The processor, the kernel, libc and the date, but not the name of the machine.
fn machine(cpus: usize) -> String {
    let first_line = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        let said = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        said.lines().next().unwrap_or("unknown").trim().to_string()
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|info| {
            info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": ").map(|p| p.1.to_string()))
        })
        .unwrap_or("unknown processor".into());
    let virtual_machine = match first_line("systemd-detect-virt", &["--vm"]).as_str() {
        "none" | "unknown" => String::new(),
        vm => format!(", a virtual machine ({vm})"),
    };
    format!(
        "Machine: {cpu}, {} CPUs{virtual_machine}; Linux {} {}; {}; {}; {}.",
        cpus,
        first_line("uname", &["-r"]),
        first_line("uname", &["-m"]),
        first_line("ldd", &["--version"]).replace("ldd (", "libc ("),
        first_line("rustc", &["--version"]),
        first_line("date", &["-u", "+%-d %B %Y"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_and_tables_are_not() {
        let (word, row) = ("w".repeat(59), format!("| {} |", "cell | ".repeat(40)));
        let page = format!("{word} {word} x\n\n- {word} {word}\n{row}\n");
        assert_eq!(wrapped(&page), format!("{word} {word}\nx\n\n- {word}\n  {word}\n{row}\n"));
    }
}
