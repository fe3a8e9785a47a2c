// SPDX-License-Identifier: MIT OR Apache-2.0
//! Measures the cost of a call with this library, with libbpf 1.7.0, with the distribution's libbpf, and without a
//! library. Prints `docs/performance.md`, or also writes it.

mod calls;
mod measure;
mod plot;
mod processes;
mod report;
mod within;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::Parser;

use calls::Library;
use measure::{cpus, pin};
use processes::{Installed, Processes};
use within::Within;

#[derive(Parser)]
#[command(name = "bench", about = "Measures the cost of a call with each library, and without one")]
struct Arguments {
    /// The directory with lib/ and include/ of this library
    #[arg(long, default_value = "target/stage")]
    stage: PathBuf,
    /// The libbpf that `conformance reference` builds, with libbpf.a in the same directory
    #[arg(long, default_value = "target/reference/root/usr/lib/libbpf.so.1")]
    reference: PathBuf,
    /// The distribution's libbpf; by default the one that the compiler finds
    #[arg(long)]
    distribution: Option<PathBuf>,
    /// Write performance.md and performance.svg to this directory
    #[arg(long)]
    write: Option<PathBuf>,
    /// Take only a tenth of the rounds
    #[arg(long)]
    quick: bool,
    /// Print the samples of one steady operation with these libraries; for processes that `bench` starts
    #[arg(long, hide = true, num_args = 3.., value_names = ["OPERATION", "ROUNDS", "LIBRARY"])]
    steady: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.steady.is_empty() { run(&arguments) } else { steady(&arguments.steady) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// One line of samples for each subject.
fn steady(arguments: &[String]) -> Result<(), String> {
    let (operation, count, libraries) = (&arguments[0], &arguments[1], &arguments[2..]);
    let operation = within::STEADY.into_iter().find(|o| o == operation).ok_or("no such operation")?;
    let count = count.parse().map_err(|e| format!("{count}: {e}"))?;
    let libraries = libraries.iter().map(|so| Library::open(Path::new(so))).collect::<Result<Vec<_>, _>>()?;
    for samples in (Within { libraries: &libraries, cpus: &cpus() }).steady(operation, count)?.0 {
        println!("{}", samples.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

/// The distribution's libbpf, as the compiler finds it.
fn find_distribution() -> Result<PathBuf, String> {
    let cc = std::env::var_os("CC").unwrap_or("cc".into());
    let output = Command::new(cc).arg("-print-file-name=libbpf.so.1").output().map_err(|e| format!("cc: {e}"))?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if path.is_absolute() { Ok(path) } else { Err("the distribution's libbpf.so.1 is not installed".into()) }
}

/// The version at the end of the file name of a shared object.
fn version(so: &Path) -> String {
    let name = so.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split_once(".so.").map_or(name.clone(), |(_, version)| version.into())
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let resolve = |path: &Path| path.canonicalize().map_err(|e| format!("{}: {e}", path.display()));
    let ours = resolve(&arguments.stage.join("lib/libsysbpf.so.1"))?;
    let reference = resolve(&arguments.reference)?;
    let distribution = resolve(&arguments.distribution.clone().map_or_else(find_distribution, Ok)?)?;
    const LIBBPF_NEEDS: &[&str] = &["-lelf", "-lz"];
    let libraries = [
        Installed { name: "sysbpf".into(), archive: Some((arguments.stage.join("lib/libsysbpf.a"), &[])), so: ours },
        Installed {
            name: format!("libbpf {}", version(&reference)),
            archive: Some((reference.with_file_name("libbpf.a"), LIBBPF_NEEDS)),
            so: reference,
        },
        Installed {
            name: format!("libbpf {} (distribution)", version(&distribution)),
            archive: None,
            so: distribution,
        },
    ];

    let cpus = cpus();
    let last = *cpus.last().ok_or("no CPU to run on")?;
    pin(last)?;
    let work = tempfile::tempdir().map_err(|e| format!("cannot create a temporary directory: {e}"))?;
    let processes = Processes::build(&libraries, &arguments.stage.join("include/sysbpf"), work.path())?;
    // Stripped as in a package, and the same files that the programs use.
    let loaded = processes.stripped.iter().map(|so| Library::open(so)).collect::<Result<Vec<_>, _>>()?;
    let within = Within { libraries: &loaded, cpus: &cpus };
    let names: Vec<String> = libraries.iter().map(|l| l.name.clone()).collect();

    let measured =
        report::Measured::take(names, &within, &processes, work.path(), if arguments.quick { 10 } else { 1 })?;
    let text = measured.markdown()?;
    print!("{text}");
    if let Some(directory) = &arguments.write {
        let file = directory.join("performance.md");
        std::fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        plot::draw(&measured, &directory.join("performance.svg"))?;
    }
    Ok(())
}
