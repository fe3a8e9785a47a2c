// SPDX-License-Identifier: MIT OR Apache-2.0
//! Unit tests. System calls are answered by a scripted kernel, so they require no privileges.

mod calls;
mod opts_offsets;
mod link_create;
mod prog_load;
mod sz_protocol;
pub mod warnings;
