"""For which site scanners could send last: one small file, on stable storage before the port is bound for a site.

It says whose patients may still be on a scanner. So a file that is not certainly right is doubt, and doubt is told as
such: a preflight is needed then.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from capacitord.errors import CapacitordError, NotFound
from capacitord.model.preflight import Last
from capacitord.supervisor import files
from capacitord.supervisor.active_site import SITE

_NONE: Final = "-"
_ANY: Final = "?"
_MOST: Final = 1 << 10
MISSING: Final = Last(doubt="the record of the site that was open last is missing")
UNKNOWN: Final = Last(doubt="nobody knows which site was open last")
DAMAGED: Final = Last(doubt="the record of the site that was open last is damaged")


class LastOpen:
    """The record in `path`: a site, none or any, and below it a digest, so that one letter that turned is noticed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Last:
        """Return what it says. Whatever keeps it from being read is doubt, and nothing is raised.

        It is on stable storage on return: whoever wrote it may have been killed before its name was synced.
        """
        try:
            text = files.read(self._path, _MOST).decode("ascii", "replace")
        except NotFound:
            return MISSING
        except CapacitordError:
            return DAMAGED
        site, _, _ = text.partition("\n")
        if text != _text(site) or (site not in {_NONE, _ANY} and SITE.fullmatch(site) is None):
            return DAMAGED
        try:
            files.sync_folder(self._path.parent)
        except CapacitordError:
            return DAMAGED
        if site == _ANY:
            return UNKNOWN
        return Last("" if site == _NONE else site)

    def write(self, site: str) -> Last:
        """Put down that scanners can send for a site, "" for none ever; on stable storage on return.

        Raises `StorageFailed` or `OutOfSpace`.
        """
        files.replace(self._path, _text(site or _NONE).encode("ascii"))
        return Last(site)

    def forget(self) -> Last:
        """Put down that nobody knows; on stable storage on return. Raises `StorageFailed` or `OutOfSpace`."""
        files.replace(self._path, _text(_ANY).encode("ascii"))
        return UNKNOWN


def _text(site: str) -> str:
    digest = hashlib.sha256(f"capacitord last-open {site}".encode()).hexdigest()
    return f"{site}\n{digest}\n"
