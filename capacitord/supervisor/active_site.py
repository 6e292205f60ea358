"""Which site this box serves: one small file, replaced whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from capacitord.api.messages import Parked
from capacitord.errors import DamagedObject, NotFound
from capacitord.supervisor import files

SITE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
"""What the id of a site looks like, and nothing else may become part of a path."""
_NONE: Final = "-"
_MOST: Final = 1 << 14


class Choice(NamedTuple):
    """The site that is to be served, empty for none, and then who parked the box, if somebody did."""

    site: str
    parked: Parked | None = None


class ActiveSite:
    """The record in `path`. Its first line names a site, or none; then the second one says who parked the box."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Choice | None:
        """Return what was chosen, None if nothing ever was.

        Raises `DamagedObject` if the record says nothing of that, and `StorageFailed`.
        """
        try:
            text = files.read(self._path, _MOST).decode("utf-8", "replace")
        except NotFound:
            return None
        site, _, rest = text.partition("\n")
        if site == _NONE:
            return Choice("", _parked(rest))
        if SITE.fullmatch(site) is None or rest.strip():
            msg = "the record of which site is active can't be read"
            raise DamagedObject(msg, where=str(self._path), hint="Choose the site anew: fluxctl site activate SITE")
        return Choice(site)

    def write(self, choice: Choice) -> None:
        """Put down what is chosen; on stable storage on return."""
        parked = b"" if choice.parked is None else msgspec.json.encode(choice.parked) + b"\n"
        files.replace(self._path, f"{choice.site or _NONE}\n".encode() + parked)


def _parked(text: str) -> Parked | None:
    """Return who parked the box. What cannot be read is as good as nobody: the box is as shut without it."""
    try:
        return msgspec.json.decode(text, type=Parked)
    except msgspec.DecodeError:
        return None
