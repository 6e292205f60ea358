"""Which site this box serves: one small file, replaced whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from capacitord.errors import DamagedObject, NotFound
from capacitord.supervisor import files

SITE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
"""What the id of a site looks like, and nothing else may become part of a path."""
_NONE: Final = "-"


class ActiveSite:
    """The record in `path`. It names a site, or none after somebody parked the box."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str | None:
        """Return the site's id, "" if the box is parked, None if nobody has ever chosen.

        Raises `DamagedObject` if the record says nothing of that, and `StorageFailed`.
        """
        try:
            text = files.read(self._path, 128).decode("ascii", "replace").strip()
        except NotFound:
            return None
        if text == _NONE:
            return ""
        if SITE.fullmatch(text) is None:
            msg = "the record of which site is active can't be read"
            raise DamagedObject(msg, where=str(self._path), hint="Choose the site anew: fluxctl site activate SITE")
        return text

    def write(self, site: str) -> None:
        """Have it name a site, or none if that is empty; on stable storage on return."""
        files.replace(self._path, f"{site or _NONE}\n".encode())
