// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory of a case. Each buffer ends at an inaccessible page, and has a pattern before it. Both libraries get the
//! same addresses.

use std::ptr;

const SLOTS: usize = 24;
const ROOM: usize = 8192;
const PAGE: usize = 4096;
/// The pattern before a buffer.
const BEFORE: u8 = 0xa5;
/// How much of the pattern is compared.
pub const MARGIN: usize = 64;
/// The pattern between the end of a buffer and the guard page, if alignment requires a gap.
const AFTER: u8 = 0x5a;

pub struct Memory {
    base: *mut u8,
    /// The initial content of each slot in use: margin, buffer, gap.
    slots: Vec<Vec<u8>>,
}

impl Memory {
    pub fn new() -> std::io::Result<Memory> {
        let len = SLOTS * (ROOM + PAGE);
        // SAFETY: the kernel chooses the address of a new mapping.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        let base = base.cast::<u8>();
        for slot in 0..SLOTS {
            // SAFETY: within the mapping.
            if unsafe { libc::mprotect(base.add(slot * (ROOM + PAGE) + ROOM).cast(), PAGE, libc::PROT_NONE) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(Memory { base, slots: Vec::new() })
    }

    fn end_of(&self, slot: usize) -> *mut u8 {
        assert!(slot < SLOTS, "a case has more buffers than the memory has slots");
        // SAFETY: within the mapping.
        unsafe { self.base.add(slot * (ROOM + PAGE) + ROOM) }
    }

    pub fn clear(&mut self) {
        self.slots.clear();
    }

    /// Places a buffer in the next slot, and returns its address.
    pub fn place(&mut self, bytes: &[u8], align: usize) -> u64 {
        let len = bytes.len().next_multiple_of(align);
        assert!(len + MARGIN <= ROOM, "a buffer of {len} bytes does not fit");
        let mut image = vec![BEFORE; MARGIN];
        image.extend_from_slice(bytes);
        image.resize(MARGIN + len, AFTER);
        self.slots.push(image);
        self.end_of(self.slots.len() - 1) as u64 - len as u64
    }

    /// The slot of the last buffer.
    pub fn last(&self) -> usize {
        self.slots.len() - 1
    }

    /// Writes the initial content of every slot.
    pub fn fill(&self) {
        for (slot, image) in self.slots.iter().enumerate() {
            // SAFETY: `place` has checked that the content fits before the guard page.
            unsafe { ptr::copy_nonoverlapping(image.as_ptr(), self.end_of(slot).sub(image.len()), image.len()) };
        }
    }

    /// The current content of every slot.
    pub fn read(&self) -> Vec<Vec<u8>> {
        let read = |(slot, image): (usize, &Vec<u8>)| {
            // SAFETY: as in `fill`.
            unsafe { std::slice::from_raw_parts(self.end_of(slot).sub(image.len()), image.len()) }.to_vec()
        };
        self.slots.iter().enumerate().map(read).collect()
    }

    /// The initial content of every slot.
    pub fn before(&self) -> &[Vec<u8>] {
        &self.slots
    }

    /// Zeroes the initial content of a buffer from an offset on.
    pub fn zero_from(&mut self, slot: usize, from: usize) {
        if let Some(bytes) = self.slots[slot].get_mut(MARGIN + from..) {
            bytes.fill(0);
        }
    }

    /// Restores the initial content of a slot.
    pub fn put_back(&mut self, slot: usize, image: &[u8]) {
        self.slots[slot].copy_from_slice(image);
    }

    /// Zeroes a range of a buffer in the result of `read`.
    pub fn mask(read: &mut [Vec<u8>], slot: usize, at: usize, len: usize) {
        if let Some(bytes) = read[slot].get_mut(MARGIN + at..MARGIN + at + len) {
            bytes.fill(0);
        }
    }
}
