// SPDX-License-Identifier: MIT OR Apache-2.0
//! `conformance` compares a build of this library with libbpf 1.7.0. Both are loaded in one process, and each function of
//! `bpf.h` is called with the same generated arguments in both, on a scripted kernel and on the running one. See README.md.

mod arguments;
mod case;
mod compare;
mod count;
mod declarations;
mod functions;
mod headers;
mod interface;
mod interpose;
mod library;
mod memory;
mod print;
mod reference;
mod rules;
mod run;
mod scripted;
mod symbols;
#[rustfmt::skip]
mod table;
mod values;
mod worker;
mod world;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(run) => run::run(run),
        Command::Differences { .. } => {
            print!("{}", rules::markdown());
            ExitCode::SUCCESS
        }
        Command::Headers { include } => headers::run(&include),
        Command::Symbols { library } => symbols::run(&library),
        Command::Reference => match reference::build() {
            Ok(reference) => {
                println!("{}", reference.library.display());
                ExitCode::SUCCESS
            }
            Err(why) => count::skip("reference", &why),
        },
        Command::Worker { function, kernel, directory, cgroup, run } => {
            worker::run(&function, kernel, &directory, &cgroup, &run)
        }
    }
}
