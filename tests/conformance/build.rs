// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles `interpose.c` into the runner, and exports its functions: the dynamic linker binds the two libraries to
//! these, and not to those of libc.

const INTERPOSED: [&str; 9] =
    ["syscall", "fcntl", "fcntl64", "close", "setrlimit", "setrlimit64", "prlimit", "prlimit64", "uname"];

fn main() {
    println!("cargo::rerun-if-changed=src/interpose.c");
    cc::Build::new().file("src/interpose.c").std("gnu11").warnings_into_errors(true).compile("interpose");
    for symbol in INTERPOSED {
        println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol={symbol}");
    }
}
