//! libbpf's `bpf.h` in Rust: what C programs call, over the one system call `bpf(2)`.
//!
//! A call goes down once and comes back once:
//!
//! - [`api`]: the exported functions and their `*_opts` structs, grouped by what a user calls a thing;
//! - [`opts`] and [`result`]: the `sz` protocol and the return protocol, each in one place;
//! - [`kernel`]: one record per command, the one call site, what is known of the kernel.

#![cfg_attr(not(test), no_std)]

mod api;
mod error;
mod kernel;
mod opts;
mod returns;
#[cfg(test)]
mod tests;
mod types;

/// The linked library holds no path to a panic; `make check` looks for one in its symbols.
/// The compiler wants a handler all the same.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

/// What the unwind tables of 32-bit ARM name. Nothing unwinds through this library.
#[cfg(all(not(test), target_arch = "arm"))]
#[unsafe(no_mangle)]
extern "C" fn __aeabi_unwind_cpp_pr0() {}
