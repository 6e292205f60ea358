"""The seam between the worklist port and whatever keeps the list: the port asks, the site's cache answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from capacitord.dicom.worklist.entry import Entry
from capacitord.model.worklist import Sought

LONGEST_WARNING = 64
"""Characters of a warning that a scanner is told (PS3.7 §C: Error Comment has the VR LO)."""


class Snapshot(NamedTuple):
    """The list as it is served now, corrected. `age` is in seconds, None if it was never fetched.

    `warning` says in ASCII what is wrong with the list, empty if nothing is: the scanner is told with the last answer.
    """

    entries: Iterable[Entry] = ()
    age: float | None = None
    stale: bool = False
    warning: str = ""


class Entries(Protocol):
    """What the worklist port answers from. Any thread of the port may ask, several at once."""

    def snapshot(self) -> Snapshot:
        """Return the list at once, whatever state its source is in. It does not change afterwards."""

    def look_again(self, sought: Sought | None, /) -> Snapshot | None:
        """Ask the source now, because nobody on the list is who was asked for; return the list as it is then.

        It is asked for `sought` and nobody else, or for its whole list where that is None. If it did not answer, the
        warning says so. None if it was not asked: it was lately, or nobody can. How long this takes is bounded by
        whoever implements it, and short enough for a scanner to wait.
        """
