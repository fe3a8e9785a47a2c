//! The `sz` protocol of every `*_opts` struct.
//!
//! The first word of a struct says how much of it the caller knows. The caller may be older
//! (their struct ends early, and the next byte may be unmapped) or newer (their struct is
//! longer, and the bytes that we do not know must be zero). [`read`] turns the caller's
//! pointer into a full struct, with every field that they do not give at zero; [`InOut`] also
//! writes outputs back, where the caller has room for them.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;

use errno::Errno;

use crate::error::{EINVAL, Result, warn};

/// A struct that arrives by pointer, with as many of its fields as the caller knows.
///
/// # Safety
/// All-zero bytes are a value of the type, and `ENDS` holds the end of every field.
pub unsafe trait Fields: Copy {
    /// Where each field ends, in bytes from the start of the struct, in that order.
    const ENDS: &'static [usize];
}

/// A `*_opts` struct: its first field is `sz`.
///
/// # Safety
/// The struct starts with `sz: usize`, and no field ends after `KNOWN`.
pub unsafe trait Opts: Fields {
    /// The struct's name, for warnings.
    const NAME: &'static CStr;
    /// The end of the last field.
    const KNOWN: usize = last(Self::ENDS);
}

/// Names a field of a struct: its place and its type.
pub struct Field<T, F> {
    offset: usize,
    types: PhantomData<fn(&T) -> &F>,
}

impl<T, F> Field<T, F> {
    /// The second argument is what the type is inferred from; use `field!`.
    pub const fn new(offset: usize, _: fn(&T) -> &F) -> Self {
        Self { offset, types: PhantomData }
    }

    /// The end of the field, in bytes from the start of the struct.
    pub const fn end(&self) -> usize {
        self.offset + size_of::<F>()
    }
}

/// `field!(Struct.field)`: the [`Field`] of that name.
macro_rules! field {
    ($struct:ident.$field:ident) => {
        $crate::opts::Field::new(core::mem::offset_of!($struct, $field), |s: &$struct| &s.$field)
    };
}
pub(crate) use field;

/// `all_fields!(Struct { a, b })`: compiles only if these are all fields of the struct, in the
/// order in which they lie. Leaves nothing in the library.
macro_rules! all_fields {
    ($struct:ident { $($field:ident),* $(,)? }) => {
        // A struct is written with all of its fields or not at all.
        const _: fn($struct) -> $struct = |given| $struct { $($field: given.$field),* };
        const _: () = assert!(
            $crate::opts::ascend(&[$(core::mem::offset_of!($struct, $field)),*]),
            concat!(stringify!($struct), ": the fields are not listed in the order in which they lie")
        );
    };
}
pub(crate) use all_fields;

/// `fields!(Struct { a, b })`: the struct's fields, in order.
macro_rules! fields {
    ($struct:ident { $($field:ident),* $(,)? }) => {
        $crate::opts::all_fields!($struct { $($field),* });
        // SAFETY: integers and pointers may be zero, and all fields are listed, in order: just checked.
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
        // SAFETY: `sz` is first, and the last field listed is the last there is.
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

/// Whether each number is larger than the one before.
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

/// Checks a caller's opts and copies what they give. NULL gives nothing.
///
/// # Safety
/// `opts` is NULL, or its first word can be read and as many bytes as that says.
pub unsafe fn read<T: Opts>(opts: *const T) -> Result<T> {
    // SAFETY: as above; nothing is written.
    Ok(unsafe { InOut::new(opts.cast_mut()) }?.given)
}

/// A caller's opts, checked and copied, which outputs can be written back to.
/// Its fields are those of the copy.
pub struct InOut<T> {
    opts: *mut T,
    /// How much of `opts` there is; 0 for NULL.
    sz: usize,
    given: T,
}

impl<T: Opts> InOut<T> {
    /// Checks a caller's opts and copies what they give. NULL gives nothing and takes nothing.
    ///
    /// # Safety
    /// `opts` is NULL, or its first word can be read and as many bytes as that says, and
    /// stays so while this value is used; for [`set`](Self::set) they can be written too.
    pub unsafe fn new(opts: *mut T) -> Result<Self> {
        let mut this = Self { opts, sz: 0, given: zeroed() };
        if !opts.is_null() {
            // SAFETY: the caller's opts, and a struct with these ends.
            this.sz = unsafe { check_and_copy(opts.cast(), (&raw mut this.given).cast(), T::ENDS, T::KNOWN, T::NAME) }?;
        }
        Ok(this)
    }

    /// Writes an output field, if the caller has all of it.
    pub fn set<F: Copy>(&mut self, field: Field<T, F>, value: F) {
        if field.end() <= self.sz {
            // SAFETY: `new` was promised `sz` writable bytes, and the field ends within them.
            unsafe { self.opts.byte_add(field.offset).cast::<F>().write_unaligned(value) }
        }
    }

    /// Whether all that the caller gives from `offset` on is zero.
    pub fn is_zero_after(&self, offset: usize) -> bool {
        // SAFETY: `new` was promised `sz` readable bytes.
        unsafe { is_zero_after(self.opts.cast(), self.sz, offset) }
    }

    /// Copies what the caller gives of a struct that lies within the opts, at `offset`.
    ///
    /// # Safety
    /// A `M` at `offset` lies within `T`.
    pub unsafe fn member<M: Fields>(&self, offset: usize) -> M {
        let mut member = zeroed::<M>();
        let len = self.sz.saturating_sub(offset);
        // SAFETY: the bytes from `offset` to `sz` can be read, and `M` has these ends.
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
    // SAFETY: `Fields` promises that all-zero bytes are a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

// What follows is the same code for all structs, told apart by the ends of their fields.

/// Checks opts that are not NULL, and copies the fields that they cover to a zeroed struct.
/// Returns their size.
///
/// # Safety
/// The first word of `opts` can be read and as many bytes as that says; `to` is a struct
/// whose fields end at `ends`, in that order.
#[inline(never)]
unsafe fn check_and_copy(opts: *const u8, to: *mut u8, ends: &[usize], known: usize, name: &CStr) -> Result<usize> {
    // SAFETY: the first word can be read.
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

/// Copies the fields that end within `len` bytes; the others stay as they are.
///
/// # Safety
/// `len` bytes can be read at `from`; `to` is a struct whose fields end at `ends`, in that order.
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
    // A size that no object can have counts as none, as it does for libbpf.
    let len = usize::try_from(sz.wrapping_sub(offset) as isize).unwrap_or(0);
    // SAFETY: these are the last of the `sz` bytes.
    (0..len).all(|i| unsafe { opts.add(offset + i).read() } == 0)
}
