//! What C sees: the exported functions and the structs they take.
//!
//! Each function has the same beats: read the opts, fill the record, make the call. The
//! documentation here becomes the header, so it is written for the C reader. `make headers`
//! writes the public modules in this order.

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
