# SPDX-License-Identifier: MIT OR Apache-2.0
"""The bpf(2) system call for Python.

Map, Program and Link refer to objects in the kernel; maps(), programs() and links() list all of them. A map
behaves like a dictionary. The module sysbpf.bpf has every function of libbpf's bpf.h and the constants of
<linux/bpf.h>; the classes here are built on it.

A call that fails raises OSError with the errno.
"""

from . import bpf
from ._library import Members, library
from ._link import Link, LinkInfo, links
from ._map import Map, MapInfo, maps, possible_cpus
from ._program import Program, ProgramInfo, TestRun, VerifierError, programs
from .bpf import __version__

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
    "__version__",
    "bpf",
    "library",
    "links",
    "maps",
    "possible_cpus",
    "programs",
]
