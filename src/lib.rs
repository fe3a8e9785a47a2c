// SPDX-License-Identifier: MIT OR Apache-2.0
//! libbpf's `bpf.h` in Rust: C functions on top of the system call `bpf(2)`.
//!
//! From top to bottom:
//!
//! - [`api`]: the exported functions and their `*_opts` structs, one module for maps, one for programs, and so on;
//! - [`opts`] and [`returns`]: the `sz` protocol and the return protocol, each implemented once;
//! - [`kernel`]: one attribute record per command, the only call site of `bpf(2)`, the features of the kernel.
//!
//! [`error`] has the errors and warnings that all of them use, [`types`] the C types of the interface.

#![cfg_attr(not(test), no_std)]

mod api;
mod error;
mod kernel;
mod opts;
mod returns;
#[cfg(test)]
mod tests;
mod types;

/// Required by the compiler. The linked library contains no panic path, which `make check` verifies by its symbols.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: `abort` has no preconditions.
    unsafe { libc::abort() }
}

/// The unwind tables of 32-bit ARM refer to this symbol. No exception or panic is unwound through this library.
#[cfg(all(not(test), target_arch = "arm"))]
#[unsafe(no_mangle)]
extern "C" fn __aeabi_unwind_cpp_pr0() {}
