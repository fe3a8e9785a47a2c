//! Compiles `interpose.c` into the runner and puts its functions into the dynamic
//! symbol table, where the two libraries look for theirs before they look in libc.

const INTERPOSED: [&str; 9] =
    ["syscall", "fcntl", "fcntl64", "close", "setrlimit", "setrlimit64", "prlimit", "prlimit64", "uname"];

fn main() {
    println!("cargo::rerun-if-changed=src/interpose.c");
    cc::Build::new().file("src/interpose.c").std("gnu11").warnings_into_errors(true).compile("interpose");
    for symbol in INTERPOSED {
        println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol={symbol}");
    }
}
