// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel sees: the attribute records and the system call. Also what differs between kernels.

pub mod attr;
pub mod call;
pub mod features;
pub mod memlock;
#[cfg(test)]
pub mod scripted;
// bindgen allows lints by names that Rust 1.85 does not know.
#[allow(unknown_lints, dead_code, missing_docs, non_camel_case_types, clippy::all, clippy::undocumented_unsafe_blocks)]
#[rustfmt::skip]
pub mod uapi;
mod uapi_check;

pub use call::{call, call_for_fd, call_for_fd_with_addrs, call_with_addrs};
