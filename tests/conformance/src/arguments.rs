// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const LIBRARY: &str = "target/stage/lib/libsysbpf.so.1";

#[derive(Parser)]
#[command(about = "Compares this library with libbpf 1.7.0, call by call and byte by byte")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Compare the functions of the two libraries
    Run(Run),
    /// Print the deliberate differences, each of which is a rule for `run`
    Differences {
        /// As a Markdown table (the only format)
        #[arg(long, required = true)]
        markdown: bool,
    },
    /// Compare the headers: layouts, types, values
    Headers {
        /// The directory that contains bpf/bpf.h
        #[arg(long, default_value = "target/stage/include/sysbpf")]
        include: PathBuf,
    },
    /// Compare the exported symbols and their version nodes
    Symbols {
        /// The library to compare with the reference
        #[arg(long, default_value = LIBRARY)]
        library: PathBuf,
    },
    /// Build the reference and print its path
    Reference,
    #[command(hide = true)]
    Worker {
        function: String,
        kernel: Kernel,
        directory: PathBuf,
        cgroup: PathBuf,
        #[command(flatten)]
        run: Run,
    },
}

#[derive(Args, Clone)]
pub struct Run {
    /// The library to compare with the reference
    #[arg(long, env = "CONFORMANCE_LIBRARY", default_value = LIBRARY)]
    pub library: PathBuf,
    /// The reference; by default libbpf 1.7.0, built from its source
    #[arg(long, env = "CONFORMANCE_REFERENCE")]
    pub reference: Option<PathBuf>,
    /// Cases for each function with the scripted kernel; a tenth of it with the running kernel
    #[arg(long, default_value_t = 100_000)]
    pub cases: u32,
    /// The seed of the generated cases; by default a new one
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only this function (repeatable)
    #[arg(long)]
    pub function: Vec<String>,
    /// Only this kernel
    #[arg(long = "mode", value_enum)]
    pub kernel: Option<Kernel>,
    /// How many functions to compare at a time; by default one for each CPU
    #[arg(long)]
    pub jobs: Option<usize>,
}

/// Which kernel executes the system calls.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Kernel {
    /// None: each case has the results of its system calls
    Scripted,
    /// The running kernel
    Real,
}
