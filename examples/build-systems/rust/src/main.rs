// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts its arguments in a BPF map, through the bindings of libbpf-sys.

use std::io::{Error, Result};
use std::mem::size_of;
use std::ptr;

use libbpf_sys::{
    bpf_map_create, bpf_map_create_opts, bpf_map_get_next_key, bpf_map_lookup_elem, bpf_map_update_elem, BPF_ANY,
    BPF_F_NO_PREALLOC, BPF_MAP_TYPE_HASH,
};

type Word = [u8; 16];

fn checked(result: i32) -> Result<i32> {
    if result < 0 {
        Err(Error::from_raw_os_error(-result))
    } else {
        Ok(result)
    }
}

fn main() -> Result<()> {
    let opts = bpf_map_create_opts {
        sz: size_of::<bpf_map_create_opts>() as _,
        map_flags: BPF_F_NO_PREALLOC,
        ..Default::default()
    };
    // SAFETY: the name is a C string, and sz is the size of opts.
    let map = checked(unsafe {
        bpf_map_create(BPF_MAP_TYPE_HASH, c"words".as_ptr(), size_of::<Word>() as _, size_of::<u32>() as _, 1024, &opts)
    })?;
    let lookup = |word: &Word| {
        let mut count = 0_u32;
        // SAFETY: the key and the value have the sizes that the map was created with.
        let found = unsafe { bpf_map_lookup_elem(map, ptr::from_ref(word).cast(), ptr::from_mut(&mut count).cast()) };
        checked(found).map(|_| count)
    };
    for argument in std::env::args().skip(1) {
        let mut word = Word::default();
        let length = argument.len().min(word.len() - 1);
        word[..length].copy_from_slice(&argument.as_bytes()[..length]);
        let count: u32 = lookup(&word).unwrap_or(0) + 1;
        // SAFETY: as above.
        checked(unsafe {
            bpf_map_update_elem(map, ptr::from_ref(&word).cast(), ptr::from_ref(&count).cast(), BPF_ANY.into())
        })?;
    }
    let (mut previous, mut next): (Option<Word>, Word) = (None, Word::default());
    loop {
        let from = previous.as_ref().map_or(ptr::null(), |word| ptr::from_ref(word).cast());
        // SAFETY: the first key is NULL or has the size of a key, as does the second.
        if unsafe { bpf_map_get_next_key(map, from, ptr::from_mut(&mut next).cast()) } < 0 {
            return Ok(());
        }
        println!("{} {}", String::from_utf8_lossy(&next).trim_end_matches('\0'), lookup(&next)?);
        previous = Some(next);
    }
}
