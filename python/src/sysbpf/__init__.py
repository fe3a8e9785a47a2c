# SPDX-License-Identifier: MIT OR Apache-2.0
"""The bpf(2) system call for Python.

Map, Program and Link are the kernel's objects, and maps(), programs() and links() list them. A map is a
dictionary. All of libbpf's bpf.h is in sysbpf.bpf, function by function, with the constants of
<linux/bpf.h>; what is here is made of it.

A call that fails is an OSError with the errno.
"""

from . import bpf
from ._library import Members, library
from ._link import Link, LinkInfo, links
from ._map import Map, MapInfo, maps, possible_cpus
from ._program import Program, ProgramInfo, TestRun, VerifierError, programs

__all__ = [
    "Link",
    "LinkInfo",
    "Map",
    "MapInfo",
    "Members",
    "Program",
    "ProgramInfo",
    "TestRun",
    "VerifierError",
    "bpf",
    "library",
    "links",
    "maps",
    "possible_cpus",
    "programs",
]
