# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ctypes layer compared with the C compiler: every struct, every member, every constant, every parameter.

SYSBPF_INCLUDE is the directory of the project's headers; SYSBPF_LINUX_INCLUDE that of the kernel headers
that linux_bpf.py was made from.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from sysbpf import bpf, linux_bpf
from sysbpf._library import Opts

INCLUDE = os.environ.get("SYSBPF_INCLUDE", "")
LINUX_INCLUDE = os.environ.get("SYSBPF_LINUX_INCLUDE", "")
CC = os.environ.get("CC") or shutil.which("cc")

OPTS = sorted(
    (name for name, item in vars(bpf).items() if isinstance(item, type) and issubclass(item, Opts) and item is not Opts)
)
STRUCTS = sorted(
    name
    for name in linux_bpf.__all__
    if isinstance(getattr(linux_bpf, name), type)
    and issubclass(getattr(linux_bpf, name), (ctypes.Structure, ctypes.Union))
)
CONSTANTS = sorted(name for name in linux_bpf.__all__ if isinstance(getattr(linux_bpf, name), int))
# Names that begin with underscores in C.
PRIVATE = re.compile(r"MAX_BPF_\w+|BPF_FUNC_MAX_ID|sk_buff")


def compiled(tmp_path: Path, body: str, linux: bool = True) -> dict[str, str]:
    """The `key value` lines that a C program prints; linux: it needs the kernel headers of linux_bpf.py."""
    if not CC:
        pytest.skip("no C compiler")
    if not INCLUDE:
        pytest.skip("SYSBPF_INCLUDE does not name the headers")
    if linux and not LINUX_INCLUDE:
        pytest.skip("SYSBPF_LINUX_INCLUDE does not name the kernel headers that linux_bpf.py was made from")
    source = tmp_path / "layout.c"
    source.write_text(f"#include <stdio.h>\n#include <bpf/bpf.h>\nint main(void)\n{{\n{body}\n}}\n")
    program = tmp_path / "layout"
    directories = [f"-I{INCLUDE}", *([f"-I{LINUX_INCLUDE}"] if linux else [])]
    subprocess.run([CC, "-w", *directories, str(source), "-o", str(program)], check=True)
    lines = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines)


def c_name(name: str) -> str:
    return f"__{name}" if PRIVATE.fullmatch(name) else name.removeprefix("struct_")


def members(ctype: Any, path: str = "") -> list[tuple[str, int, int, int]]:
    """Path, offset, size, and bits of a bit-field (else 0), of each member and of the members in it."""
    found = []
    for field in ctype._fields_:
        name, kind = field[0], field[1]
        if name.startswith("_"):
            continue
        offset = getattr(ctype, name).offset
        anonymous = name in getattr(ctype, "_anonymous_", ())
        if not anonymous:
            found.append((path + name, offset, ctypes.sizeof(kind), field[2] if len(field) == 3 else 0))
        if issubclass(kind, (ctypes.Structure, ctypes.Union)):
            inner = members(kind, path if anonymous else f"{path}{name}.")
            found += [(member, offset + at, size, bits) for member, at, size, bits in inner]
    return found


@pytest.mark.parametrize("module", [bpf, linux_bpf], ids=["bpf", "linux_bpf"])
def test_structs_have_the_layout_of_c(module: Any, tmp_path: Path) -> None:
    names = OPTS if module is bpf else STRUCTS
    expected, body = {}, []
    for name in names:
        ctype = getattr(module, name)
        c_type = f"{'union' if issubclass(ctype, ctypes.Union) else 'struct'} {c_name(name)}"
        expected[name] = str(ctypes.sizeof(ctype))
        body.append(f'printf("{name} %zu\\n", sizeof({c_type}));')
        for path, offset, size, bits in members(ctype):
            if bits:
                continue
            expected[f"{name}.{path}"] = f"{offset}:{size}"
            member = f"(({c_type} *)0)->{path}"
            body.append(f'printf("{name}.{path} %zu:%zu\\n", (size_t)&{member}, sizeof({member}));')
    assert len(expected) > (150 if module is bpf else 250)
    assert compiled(tmp_path, "\n".join(body), linux=module is linux_bpf) == expected


def test_bit_fields_lie_where_c_has_them(tmp_path: Path) -> None:
    expected, body = {}, []
    for name in STRUCTS:
        ctype = getattr(linux_bpf, name)
        for path, _, _, bits in members(ctype):
            if bits:
                value = ctype()
                setattr(value, path, (1 << bits) - 1)
                expected[f"{name}.{path}"] = bytes(value).hex()
                body.append(
                    f"{{ struct {c_name(name)} s; memset(&s, 0, sizeof(s)); s.{path} = -1; "
                    f'printf("{name}.{path} "); '
                    'for (size_t i = 0; i < sizeof(s); i++) printf("%02x", ((unsigned char *)&s)[i]); puts(""); }'
                )
    assert {"bpf_insn.dst_reg", "bpf_insn.src_reg", "bpf_prog_info.gpl_compatible"} <= set(expected)
    assert compiled(tmp_path, "\n".join(body)) == expected


def test_constants_have_the_values_of_c(tmp_path: Path) -> None:
    assert len(CONSTANTS) > 700
    body = [f'printf("{name} %lld\\n", (long long)({c_name(name)}));' for name in CONSTANTS]
    expected = {name: str(int(getattr(linux_bpf, name))) for name in CONSTANTS}
    assert compiled(tmp_path, "\n".join(body)) == expected


def test_settings_of_libbpf_have_the_values_of_c(tmp_path: Path) -> None:
    names = [*bpf.libbpf_strict_mode.__members__, "BPF_LOG_BUF_SIZE"]
    body = [f'printf("{name} %llu\\n", (unsigned long long)({name}));' for name in names]
    assert compiled(tmp_path, "\n".join(body), linux=False) == {name: str(int(getattr(bpf, name))) for name in names}


def header() -> str:
    """bpf.h as a C compiler sees it: without comments, and without the declarations for C++."""
    if not INCLUDE:
        pytest.skip("SYSBPF_INCLUDE does not name the headers")
    text = re.sub(r"/\*.*?\*/", "", (Path(INCLUDE) / "bpf/bpf.h").read_text(), flags=re.DOTALL)
    return re.sub(r"^#ifdef __cplusplus$.*?^#e(?:lse|ndif)", "", text, flags=re.DOTALL | re.MULTILINE)


def declared() -> dict[str, list[str]]:
    """The parameters of each function, by their names in bpf.h."""
    found = {}
    for name, parameters in re.findall(r"LIBBPF_API\s+int (\w+)\(([^)]*)\);", header()):
        found[name] = (
            [] if parameters == "void" else [re.split(r"[ *]", part.strip())[-1] for part in parameters.split(",")]
        )
    return found


def test_every_function_of_the_header_is_there_with_its_parameters() -> None:
    functions = declared()
    assert len(functions) == header().count("LIBBPF_API") > 0
    python = {name: list(getattr(bpf, name).__code__.co_varnames) for name in functions}
    assert python == functions
    for name in ("libbpf_set_strict_mode", "libbpf_get_error"):
        assert callable(getattr(bpf, name))


def test_every_struct_of_options_of_the_header_is_there() -> None:
    assert sorted(re.findall(r"^struct (\w+_opts) \{", header(), re.MULTILINE)) == sorted(map(c_name, OPTS))


def test_enums() -> None:
    assert repr(bpf.bpf_map_type(1)) == "<bpf_map_type.BPF_MAP_TYPE_HASH: 1>"
    assert bpf.BPF_MAP_TYPE_HASH is bpf.bpf_map_type.BPF_MAP_TYPE_HASH
    assert bpf.bpf_map_type(19).name == "BPF_MAP_TYPE_CGROUP_STORAGE", "its name, not the deprecated one"
    assert issubclass(bpf.bpf_attach_type, IntEnum)
