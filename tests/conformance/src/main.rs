//! `conformance`: holds a build of this library against the real libbpf 1.7.0, both loaded in one
//! process, every function of `bpf.h` called with the same generated arguments in both, against
//! a scripted kernel and the running one. See README.md.

mod case;
mod compare;
mod functions;
mod headers;
mod kernel;
mod library;
mod memory;
mod reference;
mod rules;
mod run;
mod world;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

#[derive(Parser)]
#[command(about = "Holds this library against the real libbpf, call by call, byte by byte")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare the two libraries, function by function
    Run(Run),
    /// The differences that are meant, each a rule that `run` goes by
    Differences {
        /// As a table of Markdown (the only form there is)
        #[arg(long, required = true)]
        markdown: bool,
    },
    /// Compare the headers: layouts, types, values
    Headers {
        /// Holds the bpf/bpf.h to hold against the reference's
        #[arg(long, default_value = "target/stage/include/sysbpf")]
        include: PathBuf,
    },
    /// Build the reference and print where it lies
    Reference,
    #[command(hide = true)]
    Worker {
        function: String,
        kernel: Kernel,
        folder: PathBuf,
        cgroup: PathBuf,
        #[command(flatten)]
        run: Run,
    },
}

#[derive(clap::Args, Clone)]
pub struct Run {
    /// The library to hold against the reference
    #[arg(long, env = "CONFORMANCE_LIBRARY", default_value = "target/stage/lib/libsysbpf.so.1")]
    library: PathBuf,
    /// The reference; built from libbpf 1.7.0's source where not given
    #[arg(long, env = "CONFORMANCE_REFERENCE")]
    reference: Option<PathBuf>,
    /// Cases for each function with the scripted kernel; a tenth as many with the running one
    #[arg(long, default_value_t = 100_000)]
    cases: u32,
    /// The seed of the generated cases; drawn anew where not given
    #[arg(long)]
    seed: Option<u64>,
    /// Only this function (repeatable)
    #[arg(long)]
    function: Vec<String>,
    /// Only this kernel
    #[arg(long = "mode", value_enum)]
    kernel: Option<Kernel>,
    /// How many functions to compare at a time; one for each processor where not given
    #[arg(long)]
    jobs: Option<usize>,
}

/// Who plays the kernel's part.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Kernel {
    /// The case itself answers every system call
    Scripted,
    /// The running kernel
    Real,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(run) => run::run(run),
        Command::Differences { .. } => {
            print!("{}", rules::markdown());
            ExitCode::SUCCESS
        }
        Command::Headers { include } => headers::run(&include),
        Command::Reference => match reference::build() {
            Ok(reference) => {
                println!("{}", reference.library.display());
                ExitCode::SUCCESS
            }
            Err(why) => run::skip("reference", &why),
        },
        Command::Worker { function, kernel, folder, cgroup, run } => {
            run::worker(&function, kernel, &folder, &cgroup, &run)
        }
    }
}
