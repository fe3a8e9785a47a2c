//! Writes the files of sysbpf that are generated and committed.
//!
//!     generate headers CRATE-ROOT OUT-FILE      include/bpf/bpf.h, from src/api
//!     generate bindings PACKAGE OUT-FILE          src/kernel/uapi.rs, from linux-libc-dev
//!
//! `make headers` and `make bindings` call it.

mod bindings;
mod headers;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["headers", root, out] => headers::generate(Path::new(root), Path::new(out)),
        ["bindings", package, out] => bindings::generate(Path::new(package), Path::new(out)),
        _ => Err("usage: generate headers CRATE-ROOT OUT-FILE\n       \
                  generate bindings PACKAGE OUT-FILE"
            .into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("generate: {message}");
            ExitCode::FAILURE
        }
    }
}
