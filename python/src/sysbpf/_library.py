# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which shared library is loaded, how its functions are called, and which arguments they accept.

The environment variable SYSBPF_LIBRARY names the library; it may be the real libbpf.so.1. Otherwise it is
the library in this package or, if the package has none, libsysbpf.so.1 as the dynamic linker finds it.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import operator
import os
import sys
from ctypes import CDLL, Array, Structure, Union, c_char_p, c_size_t, c_void_p, c_wchar_p, cast, pointer
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

_Simple = ctypes._SimpleCData
_Pointer = ctypes._Pointer
_Data: Any = Structure.__mro__[-2]
_Byref: Any = type(ctypes.byref(ctypes.c_int()))

if TYPE_CHECKING:
    from collections.abc import Callable
    from ctypes import _CArgObject, _CData

    from typing_extensions import Buffer, Self

    T = TypeVar("T", bound=_CData)
    # The types of pointer arguments: memory that the kernel reads, memory that it writes, and objects of one type.
    Memory: TypeAlias = Buffer | _CData | _CArgObject | int | None
    Writable: TypeAlias = bytearray | memoryview | _CData | _CArgObject | int | None
    Target: TypeAlias = T | Array[T] | ctypes._Pointer[T] | None
    Ref: TypeAlias = T | Array[T] | ctypes._Pointer[T] | _CArgObject | None

    class InputMember:
        """A member that points to memory the kernel reads."""

        def __get__(self, instance: object, owner: object) -> int | None: ...
        def __set__(self, instance: object, value: Memory) -> None: ...

    class OutputMember:
        """A member that points to memory the kernel writes."""

        def __get__(self, instance: object, owner: object) -> int | None: ...
        def __set__(self, instance: object, value: Writable) -> None: ...

    class PointerMember(Generic[T]):
        """A member that points to objects of one type."""

        def __get__(self, instance: object, owner: object) -> ctypes._Pointer[T]: ...
        def __set__(self, instance: object, value: Target[T]) -> None: ...


# An error code that the kernel returns, although user space's errno.h does not define it.
ENOTSUPP = 524


def _find() -> str:
    bundled = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libsysbpf.so.1")
    return os.environ.get("SYSBPF_LIBRARY") or (bundled if os.path.exists(bundled) else "libsysbpf.so.1")


def _open(name: str) -> CDLL:
    try:
        return CDLL(name, use_errno=True)
    except OSError as error:
        why = " (from SYSBPF_LIBRARY)" if os.environ.get("SYSBPF_LIBRARY") else ""
        raise ImportError(f"sysbpf: cannot load {name}{why}: {error}") from None


library = _find()
"""The shared library that is loaded."""

_lib = _open(library)


_CAPABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}


def _privileges() -> str:
    """The likely reason for an EPERM, as far as this process can determine it."""
    try:
        with open("/proc/self/status") as status:
            effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
        with open("/proc/self/uid_map") as uid_map:
            initial = uid_map.read().split() == ["0", "0", "4294967295"]
        with open("/proc/sys/kernel/unprivileged_bpf_disabled") as sysctl:
            disabled = sysctl.read().strip()
    except OSError:
        return ""
    lacks = [name for bit, name in _CAPABILITIES.items() if not effective >> bit & 1]
    if not initial:
        return " (this process is in a user namespace, whose capabilities do not count for bpf)"
    if "CAP_SYS_ADMIN" in lacks:
        return f" (this process lacks {', '.join(lacks)}; kernel.unprivileged_bpf_disabled is {disabled})"
    return ""


def error(number: int, function: str, about: str = "", why: str = "") -> OSError:
    """The exception for a failed call, of the subclass of OSError for this errno.

    about names the object of the call; why replaces the general text for the errno.
    """
    text = why or ("Not supported" if number == ENOTSUPP else os.strerror(number))
    hint = _privileges() if number == errno.EPERM else ""
    return OSError(number, f"{function}: {about + ': ' if about else ''}{text}{hint}")


# ---- Numbers: ctypes truncates those that do not fit, which would drop a flag or name another object ----

_INTEGERS = "bBhHiIlLqQ"


def is_integer(ctype: Any) -> bool:
    return issubclass(ctype, _Simple) and ctype._type_ in _INTEGERS


def name_of(ctype: Any) -> str:
    """The name of a type as scripts write it: c_uint32 for ctypes' c_uint, c_char * 16 for c_char_Array_16."""
    if issubclass(ctype, Array):
        return f"{name_of(ctype._type_)} * {ctype._length_}"
    if issubclass(ctype, _Pointer):
        return f"POINTER({name_of(ctype._type_)})"
    if is_integer(ctype) and ctype.__module__ == "ctypes":
        return f"c_{'' if ctype._type_.islower() else 'u'}int{8 * ctypes.sizeof(ctype)}"
    return str(ctype.__name__)


@functools.cache
def _limits(ctype: Any, bits: int) -> tuple[int, int]:
    return (-1 << bits - 1, (1 << bits - 1) - 1) if ctype._type_.islower() else (0, (1 << bits) - 1)


def fitting(ctype: Any, value: Any, width: int | None = None) -> int:
    """The value as an int; raises OverflowError if the type, or a bit-field of this width, cannot hold it."""
    if isinstance(value, _Simple) and is_integer(type(value)):
        value = value.value
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"must be an int, not {type(value).__name__}") from None
    low, high = _limits(ctype, width or 8 * ctypes.sizeof(ctype))
    if not low <= number <= high:
        into = f"{width} bits" if width else name_of(ctype)
        raise OverflowError(f"{number} does not fit into {into}, which holds {low} to {high}")
    return number


def argument(name: str, ctype: Any, value: Any) -> int:
    """The value of a numeric argument. Errors name the parameter, not the member that the value is stored in."""
    try:
        return fitting(ctype, value)
    except (TypeError, OverflowError) as wrong:
        raise type(wrong)(f"{name}: {wrong}") from None


# ---- Memory: it must live as long as a pointer to it, and the kernel must not write to constants ----


def _not_memory(value: Any, writable: bool) -> TypeError:
    kind = type(value).__name__
    takes = "a bytearray, a ctypes object or array, an address, or None"
    if not writable:
        return TypeError(f"must be bytes, {takes}, not {kind}")
    if isinstance(value, (bytes, c_char_p, c_wchar_p)):
        kind += ": the kernel writes there, and bytes are constant"
    elif isinstance(value, memoryview):
        kind = "a memoryview that is read-only or not contiguous: the kernel writes there"
    return TypeError(f"must be {takes}, not {kind}")


def _address(value: Any, writable: bool) -> c_void_p | None:
    """The value as a pointer that keeps its target alive, as does a struct that the pointer is stored in.

    ctypes keeps the references in _objects, which the copies that it makes share.
    """
    if value is None or isinstance(value, c_void_p):
        return value
    if isinstance(value, (Array, _Pointer)):
        return cast(value, c_void_p)
    if isinstance(value, bytes) and not writable:
        return cast(c_char_p(value), c_void_p)
    if isinstance(value, (c_char_p, c_wchar_p)) and not writable:
        return cast(value, c_void_p)
    if isinstance(value, (Structure, Union, _Simple)) and not isinstance(
        value, (c_char_p, c_wchar_p, ctypes.py_object)
    ):
        return cast(pointer(value), c_void_p)
    if isinstance(value, int):
        return c_void_p(fitting(c_size_t, value))
    if hasattr(value, "_as_parameter_"):
        return _address(value._as_parameter_, writable)
    if isinstance(value, (bytes, _Data)):
        raise _not_memory(value, writable)
    try:
        view = memoryview(value)
    except TypeError:
        if hasattr(value, "__index__"):
            return c_void_p(fitting(c_size_t, value))
        raise _not_memory(value, writable) from None
    if not view.readonly and view.c_contiguous:
        array = ctypes.c_char * view.nbytes
        return cast(array.from_buffer(view.cast("B")) if view.nbytes else array(), c_void_p)
    if writable:
        raise _not_memory(value, writable)
    return cast(c_char_p(view.tobytes()), c_void_p)


def bytes_of(name: str, value: Any) -> bytes:
    """The bytes of an argument: bytes, or another object with a buffer, such as a ctypes array or struct."""
    # The buffer of a ctypes pointer has the address, not the target.
    if not isinstance(value, _Data) or isinstance(value, (Array, Structure, Union)) or is_integer(type(value)):
        try:
            return memoryview(value).tobytes()
        except TypeError:
            pass
    raise TypeError(
        f"{name}: must be bytes, a bytearray, a memoryview or a ctypes array or struct, not {type(value).__name__}"
    )


def _string(value: Any) -> Any:
    if value is None or isinstance(value, c_char_p):
        return value
    if isinstance(value, (Array, _Pointer)) and value._type_ is ctypes.c_char:
        return cast(value, c_char_p)
    if not isinstance(value, bytes):
        raise TypeError(f"must be bytes or None, not {type(value).__name__}")
    if b"\0" in value.rstrip(b"\0"):
        raise ValueError(f"{value!r} has a null byte, where C would cut it off")
    return value


# ---- Parameters of functions: how arguments are converted to types that ctypes accepts ----

# None of these is a from_param() method: ctypes replaces every exception that is raised in one by an ArgumentError,
# even the KeyboardInterrupt of a signal handler.


class Input(c_void_p):
    """A `const void *` parameter: accepts bytes, any ctypes object or array, byref(), an address, or None."""


class Output(c_void_p):
    """A `void *` parameter, where the kernel writes: accepts the same as Input, except bytes, which are immutable."""


def _number(ctype: Any) -> Callable[[Any], Any]:
    low, high = _limits(ctype, 8 * ctypes.sizeof(ctype))

    def convert(value: Any) -> Any:
        return value if type(value) is int and low <= value <= high else fitting(ctype, value)

    return convert


def _input(value: Any) -> Any:
    if value is None or isinstance(value, (bytes, Array, _Byref)):
        return value
    return _address(value, writable=False)


def _output(value: Any) -> Any:
    if value is None or isinstance(value, (Array, _Byref)):
        return value
    return _address(value, writable=True)


def _typed(kind: Any) -> Callable[[Any], Any]:
    """A pointer to objects of one type. The kernel may write there, so it never points to bytes."""
    of = kind._type_

    def convert(value: Any) -> Any:
        if value is None or isinstance(value, (kind, of)):
            return value
        if isinstance(value, (Array, _Pointer)) and issubclass(value._type_, of):
            return value
        if isinstance(value, _Byref) and isinstance(value._obj, of):
            return value
        raise TypeError(f"must be {name_of(of)}, an array of it, byref(), pointer() or None, not {_shown(value)}")

    return convert


def _shown(value: Any) -> str:
    return name_of(type(value)) if isinstance(value, (Array, _Pointer, _Simple)) else type(value).__name__


def _parameter(ctype: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The ctypes type of a parameter, and the function that converts an argument to it."""
    if issubclass(ctype, Input):
        return c_void_p, _input
    if issubclass(ctype, Output):
        return c_void_p, _output
    if issubclass(ctype, _Pointer):
        return ctype, _typed(ctype)
    return (c_char_p, _string) if issubclass(ctype, c_char_p) else (ctype, _number(ctype))


def function(name: str, returns: Any, /, **parameters: Any) -> Callable[..., int]:
    """A function of the library; if the library does not have it, one that raises OSError with ENOSYS."""
    kinds = {parameter: _parameter(ctype) for parameter, ctype in parameters.items()}

    def check(arguments: tuple[Any, ...]) -> None:
        for (parameter, (_, convert)), value in zip(kinds.items(), arguments, strict=True):
            try:
                convert(value)
            except (TypeError, ValueError, OverflowError) as wrong:
                raise type(wrong)(f"{name}: {parameter}: {wrong}") from None

    try:
        found = getattr(_lib, name)
    except AttributeError:

        def missing(*arguments: Any) -> int:
            check(arguments)
            raise OSError(errno.ENOSYS, f"{name}: {library} has no such function")

        return missing
    found.restype = returns
    found.argtypes = tuple(ctype for ctype, _ in kinds.values())
    fails = returns is ctypes.c_int
    # Generated code, because a loop over the arguments would take longer than the conversions.
    converted = ", ".join(f"convert_{parameter}({parameter})" for parameter in kinds)
    names: dict[str, Any] = {f"convert_{parameter}": convert for parameter, (_, convert) in kinds.items()}
    convert_and_call = eval(f"lambda {', '.join(kinds)}: found({converted})", {"found": found, **names})

    def call(*arguments: Any) -> int:
        try:
            result: int = convert_and_call(*arguments)
        except (TypeError, ValueError, OverflowError):
            # Raise the error again, with the name of the parameter.
            check(arguments)
            raise
        if fails and result < 0:
            raise error(-result, name)
        return result

    return call


# ---- Structs ----


@functools.cache
def _members(ctype: Any) -> dict[str, Callable[[Any], Any]]:
    """The function that converts a value, for each member; members of anonymous members are included."""
    found: dict[str, Callable[[Any], Any]] = {}
    outputs = getattr(ctype, "_outputs_", ())
    for base in reversed(ctype.__mro__):
        for field in base.__dict__.get("_fields_", ()):
            found[field[0]] = _member(field[1], field[2] if len(field) > 2 else None, field[0] in outputs)
            if field[0] in base.__dict__.get("_anonymous_", ()):
                found.update(_members(field[1]))
    return found


class _Holder(Structure):
    """A struct with a copy of another struct, and a reference that ctypes holds for as long as the copy is used."""


@functools.cache
def _holder(ctype: Any) -> Any:
    return type("Holder", (_Holder,), {"_fields_": (("copy", ctype), ("held", ctypes.py_object))})


class _Key:
    """A key of _objects that ctypes does not use: its own keys are strings."""


# In _objects: the targets that were replaced in a struct while copies shared its _objects.
_REPLACED: Any = _Key()
# In what a copy holds: everything that the enclosing object of the original held.
_WHOLE: Any = _Key()


def _root(source: Any) -> Any:
    """The outermost object: it keeps alive what the pointers in any part of it point to."""
    while (base := getattr(source, "_b_base_", None)) is not None:
        source = base
    return source


def _references(root: Any) -> int:
    return sys.getrefcount(root._objects)


# The number of references to the _objects of an object that shares them with no other.
_UNSHARED = _references(pointer(ctypes.c_int()))


def _keep_replaced(root: Any) -> None:
    """Before a pointer is set: keep its present target alive for the copies that ctypes has made.

    Such a copy shares the _objects of the original, where ctypes replaces the reference to the target.
    """
    if not isinstance(root._objects, dict):
        return
    if _references(root) > _UNSHARED:
        replaced = root._objects.setdefault(_REPLACED, [])
        replaced.append({key: value for key, value in root._objects.items() if key is not _REPLACED})
    else:
        root._objects.pop(_REPLACED, None)


def _held(ctype: Any, source: Any, offset: int) -> Any:
    """What ctypes keeps alive at present for an object that is being copied.

    The keys are those that ctypes uses for the members of ctype, so that a copy of a copy does not
    accumulate references.
    """
    if isinstance(source, memoryview):
        # A view of the same length starts at the beginning.
        whole = isinstance(source.obj, _Data) and source.nbytes == ctypes.sizeof(source.obj)
        exact, source = whole and isinstance(source.obj, ctype), source.obj
    else:
        exact = isinstance(source, ctype)
    exact = exact and offset == 0
    root = _root(source)
    objects = getattr(root, "_objects", None)
    if not isinstance(objects, dict):
        return {_WHOLE: objects} if objects is not None else None
    now = {key: value for key, value in objects.items() if key is not _REPLACED}
    if exact and root is source:
        return now
    if exact and isinstance(root, _Holder) and source._b_base_ is root:
        # ctypes has appended the index of the member in the holder.
        return root.held | {key[:-2]: value for key, value in now.items() if key.endswith(":0")}
    return {_WHOLE: now} if now else None


def number(ctype: Any, width: int | None = None) -> Callable[[Any], Any]:
    """A function that checks numbers for a type, or for a bit-field of it."""
    low, high = _limits(ctype, width or 8 * ctypes.sizeof(ctype))

    def check(value: Any) -> Any:
        if (type(value) is int and low <= value <= high) or isinstance(value, ctype):
            return value
        return fitting(ctype, value, width)

    return check


def _typed_pointer(kind: Any) -> Callable[[Any], Any]:
    of = kind._type_

    def check(value: Any) -> Any:
        if value is None or isinstance(value, kind):
            return value
        if isinstance(value, of):
            return pointer(value)
        if isinstance(value, Array) and issubclass(value._type_, of):
            return value if value._type_ is of else cast(value, kind)
        raise TypeError(f"must be {name_of(of)}, an array of it, pointer() or None, not {_shown(value)}")

    return check


def _number_array(kind: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        # An array of the same type may have another class: numbers() makes classes of its own.
        same = isinstance(value, Array) and value._type_ is kind._type_
        return tuple(fitting(kind._type_, one) for one in value) if same or isinstance(value, (tuple, list)) else value

    return check


def _member(kind: Any, width: int | None, writable: bool) -> Callable[[Any], Any]:
    """The function that converts a value for a member of this type."""
    if is_integer(kind):
        return number(kind, width)
    if kind is c_void_p:
        return lambda value: _address(value, writable)
    if kind is c_char_p:
        return _string
    if issubclass(kind, _Pointer):
        return _typed_pointer(kind)
    if issubclass(kind, Array) and is_integer(kind._type_):
        return _number_array(kind)
    return _nested(kind) if issubclass(kind, _Checked) else lambda value: value


def _nested(kind: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, tuple):
            return kind(*value)
        # Not copied by ctypes, whose copy would share _objects with the original.
        return kind.from_buffer_copy(value) if isinstance(value, kind) else value

    return check


class _Checked:
    """The base of structs and unions: rejects unknown members, and numbers that do not fit.

    A pointer member accepts the same as a pointer parameter and keeps its target alive, also in copies: in
    another struct, in an array, from copy.copy(), from from_buffer_copy(). ctypes itself makes the copies in
    arrays and in a plain Structure; these share their references with the original. As long as such a copy
    exists, the original keeps every target that its pointers have had since.

    The target is not kept alive where ctypes does not call this class:
    - in copies of the bare bytes: memmove(), bytes(), from_buffer_copy() of an array or of a plain Structure;
    - if it is set through a pointer to the struct (pointer(opts)[0] = other, pointer(opts).contents.data_in =
      packet), once the pointer is gone;
    - if an element of an array, or a member of a plain Structure, is copied to another one (two[0] = one[0])
      and then replaced as a whole (one[0] = other).
    """

    _outputs_: ClassVar[tuple[str, ...]] = ()
    """The members that point to memory that the kernel writes."""

    def __setattr__(self, name: str, value: Any) -> None:
        ctype: Any = type(self)
        check = _members(ctype).get(name)
        if check is not None:
            try:
                value = check(value)
            except (TypeError, ValueError, OverflowError) as wrong:
                raise type(wrong)(f"{ctype.__name__}.{name}: {wrong}") from None
            if type(value) is not int and value is not None:
                root = _root(self)
                if root._objects:
                    _keep_replaced(root)
        elif not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no member {name!r}")
        super().__setattr__(name, value)

    @classmethod
    def from_buffer_copy(cls, source: Buffer, offset: int = 0) -> Self:
        """A copy of the contents of a buffer. If the buffer is a ctypes object, the targets of pointers stay alive."""
        ctype: Any = cls
        copied = type(ctype).from_buffer_copy(ctype, source, offset)
        held = None if isinstance(source, bytes) else _held(ctype, source, offset)
        if held:
            holder = _holder(ctype)()
            holder.copy, holder.held = copied, held
            copied = holder.copy
        return copied  # type: ignore[no-any-return]

    def __copy__(self) -> Self:
        source: Any = self
        copied = type(self).from_buffer_copy(source)
        copied.__dict__.update(self.__dict__)
        return copied


class Numbers:
    """The methods with which an array of integers rejects those that do not fit."""

    _type_: ClassVar[Any]

    def __init__(self, *values: Any) -> None:
        super().__init__(*(fitting(self._type_, value) for value in values))

    def __setitem__(self, at: Any, value: Any) -> None:
        if isinstance(at, slice):
            value = [fitting(self._type_, number) for number in value]
        else:
            value = fitting(self._type_, value)
        super().__setitem__(at, value)  # type: ignore[misc]


@functools.cache
def numbers(ctype: Any, length: int) -> Any:
    """The type of a member that is an array of integers."""
    return type(f"{ctype.__name__}_Array_{length}", (Numbers, Array), {"_type_": ctype, "_length_": length})


class MembersUnion(_Checked, Union):
    """A union that rejects what its members cannot hold."""


class Members(_Checked, Structure):
    """A struct that prints its members, and is equal to another one of its class with the same bytes.

    Setting a member to a number that does not fit raises OverflowError. Setting a member that does not
    exist raises AttributeError.
    """

    def __repr__(self) -> str:
        shown = (field[0] for field in self._fields_ if not field[0].startswith("_"))
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bytes(self) == bytes(other)

    def __hash__(self) -> int:
        return hash((type(self), bytes(self)))


class Opts(_Checked, Structure):
    """An opts struct: sz is its size, and members that are not given are 0.

    A pointer member accepts bytes (if the kernel only reads there), a bytearray, any ctypes object or array,
    an address, or None. The struct and its copies keep that memory alive; see _Checked.
    """

    def __init__(self, **members: Any) -> None:
        super().__init__(sz=ctypes.sizeof(self))
        for name, value in members.items():
            setattr(self, name, value)
