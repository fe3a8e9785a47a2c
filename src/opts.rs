//! The `sz` protocol of every `*_opts` struct.
//!
//! A caller's first word says how much of the struct he knows. He may be older (his struct
//! ends early: the next byte may be unmapped) or newer (his struct goes on: what we do not
//! know must be zero). [`read`] turns his pointer into a full struct of ours, with every
//! field that he does not give at zero; [`InOut`] also writes outputs back, where he has
//! room for them.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Deref;

use crate::result::{EINVAL, Result, warn};

/// A struct that arrives by pointer, with as many of its fields as the caller knows.
///
/// # Safety
/// All-zero bytes are a value of the type, and `ENDS` holds the end of every field.
pub unsafe trait Fields: Copy {
    /// Where each field ends, in bytes from the start of the struct.
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

/// `fields!(Struct { a, b })`: the struct's fields, in order.
macro_rules! fields {
    ($struct:ident { $($field:ident),* $(,)? }) => {
        // SAFETY: integers and pointers may be zero, and the fields are all listed: a
        // missing one would show in the unit test that walks `sz` through every struct.
        unsafe impl $crate::opts::Fields for $struct {
            const ENDS: &'static [usize] = &[$($crate::opts::field!($struct.$field).end()),*];
        }
    };
}
pub(crate) use fields;

/// `opts!("name", Struct { sz, a, b })`: the same for a `*_opts` struct.
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

/// Checks a caller's opts and copies what he gives. NULL gives nothing.
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
    /// Checks a caller's opts and copies what he gives. NULL gives nothing and takes nothing.
    ///
    /// # Safety
    /// `opts` is NULL, or its first word can be read and as many bytes as that says, and
    /// stays so while this value is used; for [`set`](Self::set) they can be written too.
    pub unsafe fn new(opts: *mut T) -> Result<Self> {
        let sz = if opts.is_null() {
            0
        } else {
            // SAFETY: the first word can be read.
            unsafe { opts.cast::<usize>().read_unaligned() }
        };
        if !opts.is_null() && sz < size_of::<usize>() {
            warn(T::NAME, c"sz is less than a size_t");
            return Err(EINVAL);
        }
        // SAFETY: `sz` bytes can be read.
        let this = Self { opts, sz, given: unsafe { copy_given(opts, sz) } };
        if !this.is_zero_after(T::KNOWN) {
            warn(T::NAME, c"a byte after the last known field is not zero");
            return Err(EINVAL);
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
        // A size that no object can have counts as none, as it does for libbpf.
        let len = usize::try_from(self.sz.wrapping_sub(offset) as isize).unwrap_or(0);
        // SAFETY: `new` was promised `sz` readable bytes, of which these are the last.
        (0..len).all(|i| unsafe { self.opts.cast::<u8>().add(offset + i).read() } == 0)
    }

    /// Copies what the caller gives of a struct that lies within the opts, at `offset`.
    ///
    /// # Safety
    /// A `M` at `offset` lies within `T`.
    pub unsafe fn member<M: Fields>(&self, offset: usize) -> M {
        // SAFETY: the bytes from `offset` to `sz` can be read; `copy_given` uses no more.
        unsafe { copy_given(self.opts.wrapping_byte_add(offset).cast(), self.sz.saturating_sub(offset)) }
    }
}

impl<T> Deref for InOut<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.given
    }
}

/// The fields that end within `len` bytes; the others are zero.
///
/// # Safety
/// `len` bytes can be read at `from`.
unsafe fn copy_given<T: Fields>(from: *const T, len: usize) -> T {
    let covered = T::ENDS.iter().copied().filter(|&end| end <= len).max().unwrap_or(0);
    let mut fields = MaybeUninit::<T>::zeroed();
    // SAFETY: `covered` is within `len` and within `T`, and zero is a value for the rest.
    unsafe {
        from.cast::<u8>().copy_to_nonoverlapping(fields.as_mut_ptr().cast(), covered);
        fields.assume_init()
    }
}
