// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the files of sysbpf that are generated and committed.
//!
//!     generate WHAT CRATE-ROOT OUT      from the sources under CRATE-ROOT
//!     generate WHAT PACKAGE OUT         from an unpacked linux-libc-dev: `bindings` and `python-linux`
//!
//! The Makefile calls it, for each of its targets that are listed below `make generate`.

mod api;
mod bindings;
mod conformance;
mod debian;
mod fields;
mod headers;
mod manpages;
mod python;
mod records;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, from, out] = &args[..] else {
        eprintln!("usage: generate WHAT CRATE-ROOT|PACKAGE OUT");
        return ExitCode::FAILURE;
    };
    let (from, out) = (Path::new(from), Path::new(out));
    let result = match &**what {
        "bindings" => bindings::generate(from, out),
        "conformance" => conformance::generate(from, out),
        "debian-symbols" => debian::generate(from, out),
        "fields" => fields::generate(from, out),
        "headers" => headers::generate(from, out),
        "manpages" => manpages::generate(from, out),
        "python" => python::bpf(from, out),
        "python-linux" => python::linux(from, out),
        "records-check" => records::check(from, out),
        "records-table" => records::table(from, out),
        "release-abi" => debian::release(from, out),
        _ => Err(format!("cannot generate {what}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("generate: {message}");
            ExitCode::FAILURE
        }
    }
}
