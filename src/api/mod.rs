// SPDX-License-Identifier: MIT OR Apache-2.0
//! What C sees: the exported functions and the structs they take.
//!
//! All functions follow the same steps: read the opts, fill the record, make the call. The
//! documentation here becomes the C header, the manual pages and the Python layer, so it is
//! written for the C reader. The header has the public modules in this order.
//!
//! The functions are unsafe because of the pointers that they take. Each must be valid as the
//! documentation of the function requires. `SAFETY: the caller's` refers to this contract.

#![allow(non_camel_case_types)]

#[rustfmt::skip]
mod fields;
#[cfg(test)]
pub(crate) use fields::every_opts;
pub mod maps;
pub mod programs;
pub mod btf;
pub mod links;
pub mod attach;
pub mod objects;
pub mod tracing;
pub mod tokens;
pub mod settings;
