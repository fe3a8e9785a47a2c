// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `sz` protocol of every `*_opts` struct.
//!
//! The first member of a struct, `sz`, is its size as the caller was compiled. The caller may be
//! older (their struct is shorter, and the byte after it may be unmapped) or newer (their struct
//! is longer, and the bytes unknown to this library must be zero). [`read`] copies the caller's
//! struct to a full one, in which the members missing from theirs are zero; [`InOut`] also writes
//! outputs back, if the caller's struct has them.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;

use errno::Errno;

use crate::error::{EINVAL, Result, warn};

/// A struct that the caller passes by pointer, possibly without its last members.
///
/// # Safety
/// All-zero bytes are a value of the type, and `ENDS` contains the end of every member.
pub unsafe trait Fields: Copy {
    /// The offset of the end of each member, in bytes, in ascending order.
    const ENDS: &'static [usize];
}

/// A `*_opts` struct: its first member is `sz`.
///
/// # Safety
/// The struct starts with `sz: usize`, and no member ends after `KNOWN`.
pub unsafe trait Opts: Fields {
    /// The name of the struct, for warnings.
    const NAME: &'static CStr;
    /// The offset of the end of the last member.
    const KNOWN: usize = last(Self::ENDS);
}

/// A member of a struct: its offset and its type.
pub struct Field<T, F> {
    offset: usize,
    types: PhantomData<fn(&T) -> &F>,
}

impl<T, F> Field<T, F> {
    /// The type is inferred from the second argument. Use `field!`.
    pub const fn new(offset: usize, _: fn(&T) -> &F) -> Self {
        Self { offset, types: PhantomData }
    }

    /// The offset of the end of the member, in bytes.
    pub const fn end(&self) -> usize {
        self.offset + size_of::<F>()
    }
}

/// `field!(Struct.field)`: the [`Field`] with that name.
macro_rules! field {
    ($struct:ident.$field:ident) => {
        $crate::opts::Field::new(core::mem::offset_of!($struct, $field), |s: &$struct| &s.$field)
    };
}
pub(crate) use field;

/// `all_fields!(Struct { a, b })`: compiles only if these are all members of the struct, in the
/// order of their offsets. Generates no code.
macro_rules! all_fields {
    ($struct:ident { $($field:ident),* $(,)? }) => {
        // A struct expression must name every member.
        const _: fn($struct) -> $struct = |given| $struct { $($field: given.$field),* };
        const _: () = assert!(
            $crate::opts::ascend(&[$(core::mem::offset_of!($struct, $field)),*]),
            concat!(stringify!($struct), ": the fields are not listed in the order in which they lie")
        );
    };
}
pub(crate) use all_fields;

/// `fields!(Struct { a, b })`: the struct's members, in order.
macro_rules! fields {
    ($struct:ident { $($field:ident),* $(,)? }) => {
        $crate::opts::all_fields!($struct { $($field),* });
        // SAFETY: integers and pointers may be zero, and all members are listed, in order: just checked.
        unsafe impl $crate::opts::Fields for $struct {
            const ENDS: &'static [usize] = &[$($crate::opts::field!($struct.$field).end()),*];
        }
    };
}
pub(crate) use fields;

/// `opts!(Struct { sz, a, b })`: the same for a `*_opts` struct.
macro_rules! opts {
    ($struct:ident { sz $(, $field:ident)* $(,)? }) => {
        $crate::opts::fields!($struct { sz $(, $field)* });
        // SAFETY: `sz` is the first member, and the last one listed is the last of the struct.
        unsafe impl $crate::opts::Opts for $struct {
            const NAME: &'static core::ffi::CStr = $crate::opts::c_name!($struct);
        }
        const _: () = assert!(core::mem::offset_of!($struct, sz) == 0);
    };
}
pub(crate) use opts;

/// An identifier as a C string.
macro_rules! c_name {
    ($name:ident) => {
        match core::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
            Ok(name) => name,
            Err(_) => unreachable!(),
        }
    };
}
pub(crate) use c_name;

const fn last(ends: &[usize]) -> usize {
    ends[ends.len() - 1]
}

/// Whether each number is greater than the one before.
#[allow(dead_code)] // rustc 1.85 does not count a use in `const _`.
pub const fn ascend(numbers: &[usize]) -> bool {
    let mut i = 1;
    while i < numbers.len() {
        if numbers[i - 1] >= numbers[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Checks the caller's opts and copies them. NULL stands for opts that are all zero.
///
/// # Safety
/// `opts` is NULL, or `sz` can be read there, and `sz` bytes.
pub unsafe fn read<T: Opts>(opts: *const T) -> Result<T> {
    // SAFETY: as above; nothing is written.
    Ok(unsafe { InOut::new(opts.cast_mut()) }?.given)
}

/// The caller's opts, checked and copied, to which outputs can be written back.
/// Its members are those of the copy.
pub struct InOut<T> {
    opts: *mut T,
    /// The size of the struct at `opts`; 0 for NULL.
    sz: usize,
    given: T,
}

impl<T: Opts> InOut<T> {
    /// Checks the caller's opts and copies them. NULL stands for opts that are all zero and have no outputs.
    ///
    /// # Safety
    /// `opts` is NULL, or `sz` can be read there, and `sz` bytes, as long as this value is
    /// used; if [`set`](Self::set) is, they can be written too.
    pub unsafe fn new(opts: *mut T) -> Result<Self> {
        let mut this = Self { opts, sz: 0, given: zeroed() };
        if !opts.is_null() {
            // SAFETY: `sz` bytes can be read at `opts`; the members of `given` have these ends.
            this.sz = unsafe { check_and_copy(opts.cast(), (&raw mut this.given).cast(), T::ENDS, T::KNOWN, T::NAME) }?;
        }
        Ok(this)
    }

    /// Writes an output member, if the caller's struct has all of it.
    pub fn set<F: Copy>(&mut self, field: Field<T, F>, value: F) {
        if field.end() <= self.sz {
            // SAFETY: the caller of `new` guarantees `sz` writable bytes, and the member ends within them.
            unsafe { self.opts.byte_add(field.offset).cast::<F>().write_unaligned(value) }
        }
    }

    /// Whether the caller's struct is zero from `offset` on.
    pub fn is_zero_after(&self, offset: usize) -> bool {
        // SAFETY: the caller of `new` guarantees `sz` readable bytes.
        unsafe { is_zero_after(self.opts.cast(), self.sz, offset) }
    }

    /// Copies a struct that lies within the caller's opts, at `offset`. Members that end after `sz` are zero.
    ///
    /// # Safety
    /// An `M` at `offset` lies within `T`.
    pub unsafe fn member<M: Fields>(&self, offset: usize) -> M {
        let mut member = zeroed::<M>();
        let len = self.sz.saturating_sub(offset);
        // SAFETY: the bytes from `offset` to `sz` can be read, and the members of `M` have these ends.
        unsafe { copy(self.opts.cast::<u8>().wrapping_add(offset), len, (&raw mut member).cast(), M::ENDS) };
        member
    }
}

impl<T> Deref for InOut<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.given
    }
}

fn zeroed<T: Fields>() -> T {
    // SAFETY: `Fields` guarantees that all-zero bytes are a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

// The functions below are not generic, so that their code is in the library once. They get the ends of the members.

/// Checks opts that are not NULL, and copies the members within them to a zeroed struct.
/// Returns `sz`.
///
/// # Safety
/// `sz` can be read at `opts`, and `sz` bytes; `to` is a struct whose members end at `ends`, in
/// that order.
#[inline(never)]
unsafe fn check_and_copy(opts: *const u8, to: *mut u8, ends: &[usize], known: usize, name: &CStr) -> Result<usize> {
    // SAFETY: `sz` can be read.
    let sz = unsafe { opts.cast::<usize>().read_unaligned() };
    if sz < size_of::<usize>() {
        return Err(bad_opts(name, c"sz is less than a size_t"));
    }
    // SAFETY: `sz` bytes can be read.
    unsafe {
        copy(opts, sz, to, ends);
        if !is_zero_after(opts, sz, known) {
            return Err(bad_opts(name, c"a byte after the last known field is not zero"));
        }
    }
    Ok(sz)
}

#[cold]
fn bad_opts(name: &CStr, what: &CStr) -> Errno {
    warn(name, what);
    EINVAL
}

/// Copies the members that end within `len` bytes, and leaves the others unchanged.
///
/// # Safety
/// `len` bytes can be read at `from`; `to` is a struct whose members end at `ends`, in that order.
unsafe fn copy(from: *const u8, len: usize, to: *mut u8, ends: &[usize]) {
    let covered = ends.iter().copied().take_while(|&end| end <= len).last().unwrap_or(0);
    // SAFETY: `covered` is within `len` and within the struct.
    unsafe { from.copy_to_nonoverlapping(to, covered) };
}

/// Whether the bytes from `offset` on are zero.
///
/// # Safety
/// `sz` bytes can be read at `opts`.
unsafe fn is_zero_after(opts: *const u8, sz: usize, offset: usize) -> bool {
    // A difference above isize::MAX counts as no bytes, as in libbpf.
    let len = usize::try_from(sz.wrapping_sub(offset) as isize).unwrap_or(0);
    // SAFETY: `offset + i` is less than `sz`.
    (0..len).all(|i| unsafe { opts.add(offset + i).read() } == 0)
}
