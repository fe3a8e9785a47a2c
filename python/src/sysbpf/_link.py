# SPDX-License-Identifier: MIT OR Apache-2.0
"""Links: attached programs. A link exists as long as a descriptor or a pin refers to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from . import bpf
from ._library import error
from ._object import Handle, Object, ids, info_of, known, one_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from ._program import Program

    L = TypeVar("L", bound="Link")


@dataclass(frozen=True)
class LinkInfo:
    """A link as links() lists it."""

    id: int
    type: bpf.bpf_link_type | int
    prog_id: int
    raw: bpf.bpf_link_info = field(repr=False)
    """Everything that the kernel reports; the type says which member of the union is valid."""


def _describe(fd: int) -> LinkInfo:
    raw = info_of(fd, bpf.bpf_link_info())
    return LinkInfo(raw.id, known(bpf.bpf_link_type, raw.type), raw.prog_id, raw)


def links() -> Iterator[LinkInfo]:
    """All links of the kernel; needs CAP_SYS_ADMIN. A link that disappears during listing is skipped."""
    for id in ids(bpf.bpf_link_get_next_id):
        try:
            handle = Handle(bpf.bpf_link_get_fd_by_id(id))
        except FileNotFoundError:
            continue
        info = _describe(handle.fd)
        handle.close()
        yield info


class Link(Object):
    """A link of the kernel."""

    _kind = "link"
    _inode = "bpf-link"
    _get_fd_by_id = bpf.bpf_link_get_fd_by_id

    @classmethod
    def create(
        cls: type[L], program: Program, target_fd: int, attach_type: int, opts: bpf.bpf_link_create_opts | None = None
    ) -> L:
        """Attach a program to a cgroup, a network namespace, a network device (its index), or another target."""

        def bpf_link_create(fd: int) -> Handle:
            try:
                return Handle(bpf.bpf_link_create(fd, target_fd, attach_type, opts))
            except OSError as failed:
                raise error(failed.errno or 0, "bpf_link_create", f"{program} to {target_fd}") from None

        return cls(program._using(bpf_link_create))

    @classmethod
    def open(cls: type[L], *, id: int | None = None, pin: str | os.PathLike[str] | None = None) -> L:
        """Open an existing link, by its id or by the path where it is pinned."""
        one_of("link", id=id, pin=pin)
        if pin is not None:
            return cls(cls._by_pin(pin))
        assert id is not None
        return cls(cls._by_id(id))

    def _read_info(self, fd: int) -> None:
        self.info = _describe(fd)

    @property
    def id(self) -> int:
        return self.info.id

    def __str__(self) -> str:
        return f"link {self.id} of program {self.info.prog_id}"

    def detach(self) -> None:
        """Detach the program; the link object remains, attached to nothing."""
        self._call(bpf.bpf_link_detach)
