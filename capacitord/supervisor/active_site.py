"""Which site this box serves, and who chose it: one small file, replaced whole or not at all."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from capacitord.api.messages import Chosen, Parked
from capacitord.errors import DamagedObject, NotFound, Problem
from capacitord.supervisor import files

SITE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
"""What the id of a site looks like, and nothing else may become part of a path."""
_NONE: Final = "-"
_LOST: Final = "?"
CHOOSE: Final = (
    "Choose the site anew: fluxctl site activate SITE. Or, on a box that follows where it is: fluxctl site follow"
)
_MOST: Final = 1 << 14


class Choice(NamedTuple):
    """The site that is to be served, empty for none, and who chose that; None if nobody did.

    `lost` says why nobody knows what was chosen: perhaps that the box is to be shut.
    """

    site: str
    chosen: Chosen | None = None
    lost: Problem | None = None

    @property
    def parked(self) -> Parked | None:
        """Who parked the box, if a person did."""
        by = self.chosen
        return Parked(by.at, by.by, by.reason) if not self.site and by is not None and by.by_person else None


class ActiveSite:
    """The record in `path`. Its first line names a site, or none; the second one says who chose it, as JSON."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether there is a record, be it one that can't be read."""
        return self.path.exists()

    def read(self) -> Choice | None:
        """Return what was chosen, None if nothing ever was.

        Raises `DamagedObject` if the record says nothing of that, and `StorageFailed`. A box that was parked stays so,
        by a person, whatever became of her name.
        """
        try:
            text = files.read(self.path, _MOST).decode("utf-8", "replace")
        except NotFound:
            return None
        site, whole, rest = text.partition("\n")
        chosen = _chosen(rest)
        if site == _NONE and whole:
            return Choice("", chosen or (_somebody(self.path) if rest.strip() else None))
        if not whole or SITE.fullmatch(site) is None or (rest.strip() and chosen is None):
            msg = "the record of which site is active can't be read, so nobody knows whether this box was parked"
            raise DamagedObject(msg, where=str(self.path), hint=CHOOSE)
        return Choice(site, chosen)

    def write(self, choice: Choice) -> None:
        """Put down what is chosen, or that nobody knows; on stable storage on return."""
        if choice.lost is not None:
            files.replace(self.path, f"{_LOST}\n".encode())
            return
        by = b"" if choice.chosen is None else msgspec.json.encode(choice.chosen) + b"\n"
        files.replace(self.path, f"{choice.site or _NONE}\n".encode() + by)


def _chosen(text: str) -> Chosen | None:
    try:
        return msgspec.json.decode(text, type=Chosen)
    except msgspec.DecodeError:
        return None


def _somebody(path: Path) -> Chosen:
    """Return a person whose name is lost, and when that was."""
    with files.typed(path):
        return Chosen(datetime.fromtimestamp(path.stat().st_mtime, UTC), "somebody")
