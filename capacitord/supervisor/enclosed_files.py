"""The files that came with a profile, as `config.enclosed` reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from capacitord.config import credentials
from capacitord.config.enclosed import LARGEST
from capacitord.config.file_names import is_plain
from capacitord.errors import Invalid


class Enclosed:
    """Files by the names that a profile gives them."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._asked: set[str] = set()

    @property
    def named(self) -> dict[str, bytes]:
        """The files that the profile asked for: whatever else came with it is not kept."""
        return {name: self._files[name] for name in sorted(self._asked)}

    def read(self, name: str) -> bytes | None:
        """Return what a file holds; None if it did not come with the profile."""
        data = self._files.get(name)
        if data is not None:
            self._asked.add(name)
        return data

    def chain(self, certificate: str, key: str) -> str:
        """Return what is wrong with a certificate and its key, which both are there; empty if nothing is."""
        with ExitStack() as stack:
            places = [stack.enter_context(_InMemory(self._files[name])).path for name in (certificate, key)]
            return credentials.pair(certificate, key, *places)


class _InMemory:
    """A file without a disk, for a library that takes paths only."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> Self:
        self._handle = os.memfd_create("enclosed", os.MFD_CLOEXEC)
        os.write(self._handle, self._data)
        self.path = Path(f"/proc/self/fd/{self._handle}")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


def by_name(files: Mapping[str, bytes]) -> None:
    """Return if files may come with a profile. Raises `Invalid`."""
    for name, data in files.items():
        if not is_plain(name):
            msg = "this is not the name of a file beside a profile"
            raise Invalid(msg, where=name[:100], hint="Write it like values.csv.")
        if len(data) > LARGEST:
            msg = "this file is larger than 1 MiB"
            raise Invalid(msg, where=name[:100], hint="Name the file that is meant.")
