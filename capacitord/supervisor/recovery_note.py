"""Which keys have left the box in a recovery file: so that nobody relies on one that cannot open the spool."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from capacitord.errors import CapacitordError
from capacitord.supervisor import files

HINT: Final = "Write one, and keep it away from this box: fluxctl key export --recovery FILE"
_MOST: Final = 1 << 20


class Exported(msgspec.Struct, frozen=True):
    """What the last recovery file holds: the fingerprint of the box key, and whose site keys."""

    box: str = ""
    sites: tuple[str, ...] = ()


def lacking(exported: Exported, box: str, sites: Collection[str]) -> str:
    """Return what the last recovery file lacks of these keys, in words; empty if it has them all.

    Without a site there is nothing to lose yet: the first import of a profile makes the first site's key.
    """
    if not sites:
        return ""
    lost = [site for site in sorted(sites) if site not in exported.sites]
    if not exported.box:
        return "no recovery file has been written: if this box is lost, so are its images"
    if lost:
        return f"the recovery file does not hold the key of {', '.join(lost)}, and cannot open those images"
    if exported.box != box:
        return "the recovery file is from before the box key was made anew"
    return ""


class RecoveryNote:
    """The note on the disk. It holds no secret; without it a recovery file counts as not written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Exported:
        """Return what the last recovery file holds, as far as is known."""
        with contextlib.suppress(CapacitordError, msgspec.MsgspecError):
            return msgspec.json.decode(files.read(self._path, _MOST), type=Exported)
        return Exported()

    def write(self, exported: Exported) -> None:
        """Take note of a recovery file; one that cannot be noted is asked for again, and that is all."""
        with contextlib.suppress(CapacitordError):
            files.replace(self._path, msgspec.json.encode(exported))
