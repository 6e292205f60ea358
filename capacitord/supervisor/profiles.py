"""The profiles of this box, each as it was imported, and which one counts.

::

    <state>/profiles/<id>/
        7.toml     the text, byte for byte
        7.json     who imported it, when, and its digest
        active     the version that counts

A file is replaced whole or not at all, and `active` last, so that whatever stops an import leaves the old one in force.
This version serves one site.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from capacitord.api.messages import ProfileSummary
from capacitord.config import profile as format_
from capacitord.config.profile import Profile
from capacitord.errors import CapacitordError, DamagedObject, NotFound, Refused
from capacitord.supervisor import files

_SITE: Final = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)
_DAMAGED: Final = "Import it again: fluxctl profile import FILE"


class Record(msgspec.Struct, frozen=True):
    """What is kept beside a profile's text."""

    imported_at: datetime
    imported_by: str
    sha256: str

    @classmethod
    def now(cls, user: str, sha256: str) -> Record:
        """Return the record of an import that happens now."""
        return cls(datetime.now(UTC), user, sha256)


class Stored(msgspec.Struct, frozen=True):
    """A profile that was read back and found whole."""

    profile: Profile
    text: str
    record: Record

    @property
    def summary(self) -> ProfileSummary:
        """The profile as a list shows it."""
        return summary(self.profile, self.record, active=True)


def summary(profile: Profile, record: Record, *, active: bool) -> ProfileSummary:
    """Return a profile as a list shows it."""
    return ProfileSummary(
        id=profile.id,
        name=profile.name,
        version=profile.version,
        imported_at=record.imported_at,
        imported_by=record.imported_by,
        active=active,
        destinations=tuple(destination.name for destination in profile.destination),
        sha256=record.sha256,
    )


class ProfileStore:
    """The store in one folder. One caller at a time; all methods block on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def site(self) -> str:
        """Return the id of the site whose profile is imported, empty if there is none.

        Raises `DamagedObject` if there are several, which this version never makes.
        """
        sites = self._sites()
        if len(sites) > 1:
            msg = f"the store has profiles of several sites: {', '.join(sites)}"
            raise DamagedObject(msg, where=str(self._folder), hint="This version serves one; move the others away.")
        return sites[0] if sites else ""

    def active(self) -> Stored | None:
        """Return the profile that counts, None if there is none. Raises `DamagedObject` if it is not whole."""
        site = self.site()
        return self.read(site) if site else None

    def read(self, site: str) -> Stored:
        """Return the profile of a site. Raises `NotFound`, or `DamagedObject` if it is not what was imported."""
        if _SITE.fullmatch(site) is None or site not in self._sites():
            msg = f"there is no profile of {site!r}"
            raise NotFound(msg, hint="See which there are: fluxctl profile list")
        folder = self._folder / site
        version = self._active_version(folder)
        record, text = self._record(folder, version), self._text(folder, version)
        if not hmac.compare_digest(digest(text), record.sha256):
            raise _damaged(folder / f"{version}.toml", "it is not what was imported")
        try:
            profile = format_.parse(text.decode(), f"{site} version {version}")
        except (CapacitordError, UnicodeDecodeError):
            raise _damaged(folder / f"{version}.toml", "this version of capacitord does not accept it") from None
        if (profile.id, profile.version) != (site, version):
            raise _damaged(folder / f"{version}.toml", "it is another profile's")
        return Stored(profile, text.decode(), record)

    def check(self, profile: Profile, text: str, *, allow_older: bool) -> None:
        """Raise `Refused` if importing this profile would break a rule of the store."""
        try:
            site = self.site()
        except DamagedObject as error:
            raise Refused(error.message, where=error.where, hint=error.hint) from None
        if site and site != profile.id:
            msg = f"this box serves {site}, and this version of capacitord serves one site"
            raise Refused(msg, where=profile.id, hint="Import a profile of that site, or use another box.")
        if not site:
            return
        known = self._digest_of(profile)
        if known is not None and not hmac.compare_digest(known, digest(text.encode())):
            msg = f"version {profile.version} of {site} was imported before with other contents"
            raise Refused(msg, hint=f"Give the changed profile a new version, {self._newest(site) + 1}.")
        now = self._active_or_none(site)
        if now is not None and profile.version < now and not allow_older:
            msg = f"version {now} of {site} is in force, and this is version {profile.version}"
            raise Refused(msg, hint="If you mean to go back, import it with --allow-older.")

    def put(self, profile: Profile, text: str, user: str) -> Stored:
        """Keep a profile that `check` passed, and let it count; on stable storage on return."""
        record = Record.now(user, digest(text.encode()))
        files.make_folder(self._folder)
        folder = self._folder / profile.id
        files.make_folder(folder)
        files.replace(folder / f"{profile.version}.toml", text.encode())
        files.replace(folder / f"{profile.version}.json", msgspec.json.encode(record))
        files.replace(folder / "active", f"{profile.version}\n".encode())
        return Stored(profile, text, record)

    def _sites(self) -> list[str]:
        """Return the ids that have a folder in which something counts: an import that was cut short does not."""
        with files.typed(self._folder):
            if not self._folder.exists():
                return []
            names = sorted(path.parent.name for path in self._folder.glob("*/active"))
        return [name for name in names if _SITE.fullmatch(name)]

    def _active_version(self, folder: Path) -> int:
        version = self._active_or_none(folder.name)
        if version is None:
            raise _damaged(folder / "active", "it does not name a version")
        return version

    def _active_or_none(self, site: str) -> int | None:
        try:
            text = files.read(self._folder / site / "active", 64).decode("ascii", "replace").strip()
        except CapacitordError:
            return None
        return int(text) if text.isdecimal() and text.isascii() else None

    def _newest(self, site: str) -> int:
        return max((int(p.stem) for p in (self._folder / site).glob("*.toml") if p.stem.isdecimal()), default=0)

    def _digest_of(self, profile: Profile) -> str | None:
        try:
            return self._record(self._folder / profile.id, profile.version).sha256
        except CapacitordError:
            return None

    def _record(self, folder: Path, version: int) -> Record:
        path = folder / f"{version}.json"
        try:
            return msgspec.json.decode(files.read(path, format_.MAX_FILE), type=Record)
        except NotFound:
            raise _damaged(path, "it is missing") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise _damaged(path, "it is not what was written") from None

    def _text(self, folder: Path, version: int) -> bytes:
        path = folder / f"{version}.toml"
        try:
            return files.read(path, format_.MAX_FILE)
        except NotFound:
            raise _damaged(path, "it is missing") from None


def _damaged(path: Path, words: str) -> DamagedObject:
    return DamagedObject(f"the imported profile can't be used: {words}", where=str(path), hint=_DAMAGED)


def digest(text: bytes) -> str:
    """Return the digest of a profile's text."""
    return hashlib.sha256(text).hexdigest()
