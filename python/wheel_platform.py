# SPDX-License-Identifier: MIT OR Apache-2.0
"""Adds the shared library to the wheel, and gives the wheel the platform tag of that library.

The library is the one that `make stage` builds, or the one that SYSBPF_SO names. The machine and the oldest
glibc are read from the library, so a library for another machine makes a wheel for that machine, and pip
rejects the wheel on systems where the library would not load.
"""

from __future__ import annotations

import os
import re
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

SONAME = "libsysbpf.so.1"

# pip's name for a machine, by the ELF machine, bits and whether it is little-endian.
MACHINES = {
    ("EM_X86_64", 64, True): "x86_64",
    ("EM_386", 32, True): "i686",
    ("EM_AARCH64", 64, True): "aarch64",
    ("EM_ARM", 32, True): "armv7l",
    ("EM_PPC64", 64, True): "ppc64le",
    ("EM_RISCV", 64, True): "riscv64",
    ("EM_S390", 64, False): "s390x",
}

# pip accepts no tag for an older glibc, even if the library needs none newer.
OLDEST_GLIBC = (2, 17)


def platform(library: str) -> str:
    """The platform tag of a wheel with this library."""
    try:
        with open(library, "rb") as file:
            elf = ELFFile(file)
            machine = MACHINES.get((elf["e_machine"], elf.elfclass, elf.little_endian))
            dynamic: dict[str, list[str]] = {"DT_SONAME": [], "DT_NEEDED": []}
            for part in elf.iter_sections():
                if isinstance(part, DynamicSection):
                    dynamic["DT_SONAME"] += [tag.soname for tag in part.iter_tags("DT_SONAME")]  # type: ignore[attr-defined]
                    dynamic["DT_NEEDED"] += [tag.needed for tag in part.iter_tags("DT_NEEDED")]  # type: ignore[attr-defined]
            versions = [
                version.name
                for part in elf.iter_sections()
                if isinstance(part, GNUVerNeedSection)
                for _, needed in part.iter_versions()
                for version in needed
            ]
            kind = (elf["e_machine"], elf.elfclass)
    except (OSError, ELFError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        where = "run make stage in the project's directory, or set SYSBPF_SO"
        raise SystemExit(f"sysbpf: no library for the wheel: {library}: {why}: {where}") from None
    if dynamic["DT_SONAME"] != [SONAME]:
        name = " ".join(dynamic["DT_SONAME"]) or "a file without a soname"
        raise SystemExit(f"sysbpf: {library} is not {SONAME}, but {name}")
    if machine is None:
        raise SystemExit(f"sysbpf: {library}: no wheel platform is known for {kind[0]}, {kind[1]} bits")
    if "libc.so.6" not in dynamic["DT_NEEDED"]:
        raise SystemExit(f"sysbpf: {library} does not use glibc, and the platform tag of a wheel names a glibc")
    glibc = [name.removeprefix("GLIBC_").split(".") for name in versions if name.startswith("GLIBC_")]
    major, minor = max([OLDEST_GLIBC, *((int(version[0]), int(version[1])) for version in glibc)])
    return f"manylinux_{major}_{minor}_{machine}"


class WheelPlatform(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        for name in ("LICENSE-APACHE", "LICENSE-MIT"):
            # hatchling would ignore a link whose target does not exist.
            if not os.path.exists(os.path.join(self.root, name)):
                where = "build the package in the project's tree, or copy python/ with cp -rL"
                raise SystemExit(f"sysbpf: no licence for the wheel: {self.root}/../{name} not found: {where}")
        staged = os.path.join(os.path.dirname(self.root), "target/stage/lib", SONAME)
        library = os.environ.get("SYSBPF_SO") or staged
        build_data["tag"] = f"py3-none-{platform(library)}"
        build_data["pure_python"] = False
        build_data["force_include"][os.path.realpath(library)] = f"sysbpf/{SONAME}"


class ProjectUrls(MetadataHookInterface):
    """Takes the project's URLs from packaging/owner, which names no others. A copy of python/ alone has none."""

    def update(self, metadata: dict[str, Any]) -> None:
        path = os.path.join(os.path.dirname(self.root), "packaging/owner")
        owner: dict[str, str] = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                owner = dict(re.findall(r"^([A-Z]+)='(.*)'$", file.read(), re.MULTILINE))
        urls = {"Homepage": "HOMEPAGE", "Repository": "REPOSITORY", "Issues": "BUGS"}
        # A mail address is not a URL.
        metadata["urls"] = {label: owner[key] for label, key in urls.items() if "://" in owner.get(key, "")}
