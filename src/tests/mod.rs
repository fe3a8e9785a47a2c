//! Unit tests of what is pure, over a scripted kernel where a call is made: no privilege needed.

mod calls;
mod opts_offsets;
mod link_create;
mod prog_load;
mod sz_protocol;
pub mod warnings;
