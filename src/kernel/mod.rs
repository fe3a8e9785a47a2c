//! What the kernel sees: the records, the one call, and what is known of the kernel.

pub mod attr;
pub mod call;
pub mod features;
pub mod memlock;
#[cfg(test)]
pub mod scripted;
// bindgen allows lints by name that Rust 1.85 does not know yet.
#[allow(unknown_lints, dead_code, missing_docs, non_camel_case_types, clippy::all, clippy::undocumented_unsafe_blocks)]
#[rustfmt::skip]
pub mod uapi;
mod uapi_check;

pub use call::{call, call_for_fd, call_for_fd_with_addrs, call_with_addrs};
