//! Writes the files of sysbpf that are generated and committed.
//!
//!     generate headers CRATE-ROOT OUT-FILE      include/bpf/bpf.h, from src/api
//!     generate bindings PACKAGE OUT-FILE          src/kernel/uapi.rs, from linux-libc-dev
//!     generate manpages CRATE-ROOT OUT-DIR      docs/man/man3, from src/api as well
//!     generate python CRATE-ROOT OUT-FILE       the ctypes layer, from src/api as well
//!     generate conformance CRATE-ROOT OUT-FILE  the conformance runner's table, from src/api as well
//!     generate python-linux PACKAGE OUT-FILE    its constants, from linux-libc-dev
//!
//! `make headers`, `make bindings`, `make manpages` and `make python` call it.

mod bindings;
mod conformance;
mod headers;
mod manpages;
mod python;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["headers", root, out] => headers::generate(Path::new(root), Path::new(out)),
        ["bindings", package, out] => bindings::generate(Path::new(package), Path::new(out)),
        ["python", root, out] => python::bpf(Path::new(root), Path::new(out)),
        ["python-linux", package, out] => python::linux(Path::new(package), Path::new(out)),
        ["conformance", root, out] => conformance::generate(Path::new(root), Path::new(out)),
        ["manpages", root, out] => manpages::generate(Path::new(root), Path::new(out)),
        _ => Err("usage: generate headers CRATE-ROOT OUT-FILE\n       \
                  generate bindings PACKAGE OUT-FILE\n       \
                  generate manpages CRATE-ROOT OUT-DIR\n       \
                  generate python CRATE-ROOT OUT-FILE\n       \
                  generate conformance CRATE-ROOT OUT-FILE\n       \
                  generate python-linux PACKAGE OUT-FILE"
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
