"""One site's folder in the profile store, read back whole or not at all.

::

    7.toml           the text, byte for byte
    7.json           who imported it, when, and the digests of the text and of the files beside it
    files/<sha256>   the files beside it: areas, tables, certificates, keys, tokens
    active           the version that is in force
    history.jsonl    when each version came into force, by whom and how
    intent.json      the line of the last change, written before `active`: it is told also if it is missing above
    last.json        what the spool held when the site was last served

A file is replaced whole or not at all, and `active` after everything it stands for, so that whatever stops an import
leaves the old version in force.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from capacitord.api.messages import How
from capacitord.config import profile as format_
from capacitord.config.enclosed import LARGEST
from capacitord.errors import CapacitordError, DamagedObject, NotFound
from capacitord.supervisor import files
from capacitord.supervisor.profile_history import History, Line

_log = logging.getLogger(__name__)


class Record(msgspec.Struct, frozen=True):
    """What is kept beside a profile's text. `files` is None where an earlier version of this program kept none."""

    imported_at: datetime
    imported_by: str
    sha256: str
    name: str = ""
    destinations: tuple[str, ...] = ()
    files: Mapping[str, str] | None = None
    sizes: Mapping[str, int] = {}

    @classmethod
    def now(cls, profile: format_.Profile, text: bytes, beside: Mapping[str, bytes], user: str) -> Record:
        """Return the record of an import that happens now."""
        return cls(
            imported_at=datetime.now(UTC),
            imported_by=user,
            sha256=digest(text),
            name=profile.name,
            destinations=tuple(destination.name for destination in profile.destination),
            files={name: digest(data) for name, data in sorted(beside.items())},
            sizes={name: len(data) for name, data in sorted(beside.items())},
        )


class Kept(msgspec.Struct, frozen=True):
    """A version that was read back and found to be what was imported."""

    version: int
    record: Record
    text: bytes
    files: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Kept({self.version})"


class Held(msgspec.Struct, frozen=True):
    """What a site's spool held when it was last served."""

    at: datetime
    undelivered_images: int
    held_images: int = 0
    unrouted_images: int = 0
    refused_images: int = 0
    held_back_images: int = 0
    missing_images: int = 0
    announced_studies: int = 0
    untold_results: int = 0


class Unsound(DamagedObject):
    """Something in the folder is not what was written; `paths` is what has to be set aside."""

    def __init__(self, message: str, where: Path, *paths: Path) -> None:
        super().__init__(message, where=str(where))
        self.paths = paths


class SiteFolder:
    """The folder of one site. One caller at a time; all methods block on the disk."""

    def __init__(self, folder: Path) -> None:
        self.site = folder.name
        self.history = History(folder / "history.jsonl")
        self._folder = folder

    @property
    def there(self) -> bool:
        """Whether a profile of this site ever counted: an import that was cut short before that did not."""
        return (self._folder / "active").exists() or (self._folder / "history.jsonl").exists()

    def in_force(self) -> int:
        """Return the version that is in force. Raises `Unsound` if nobody knows."""
        path = self._folder / "active"
        try:
            text = files.read(path, 64).decode("ascii", "replace").strip()
        except NotFound:
            raise Unsound("nothing says which version is in force", path) from None
        if not (text.isdecimal() and text.isascii()):
            raise Unsound("it does not name a version", path)
        return int(text)

    def in_force_or_none(self) -> int | None:
        """Return the version that is in force, None if nobody knows."""
        with contextlib.suppress(CapacitordError):
            return self.in_force()
        return None

    def versions(self) -> list[int]:
        """Return the versions of which anything is kept, oldest first."""
        with files.typed(self._folder):
            names = {path.stem for pattern in ("*.toml", "*.json") for path in self._folder.glob(pattern)}
        return sorted(int(name) for name in names if name.isdecimal() and name.isascii())

    def record(self, version: int) -> Record:
        """Return what is kept beside a version. Raises `Unsound`."""
        path, text = self._folder / f"{version}.json", self._folder / f"{version}.toml"
        try:
            return msgspec.json.decode(files.read(path, format_.MAX_FILE), type=Record)
        except NotFound:
            raise Unsound("it is missing", path, text) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unsound("it is not what was written", path, path, text) from None

    def load(self, version: int) -> Kept:
        """Return a version with the files beside it. Raises `Unsound` if any of it is not what was imported."""
        record, path = self.record(version), self._folder / f"{version}.toml"
        try:
            text = files.read(path, format_.MAX_FILE)
        except NotFound:
            raise Unsound("it is missing", path, self._folder / f"{version}.json") from None
        if not hmac.compare_digest(digest(text), record.sha256):
            raise Unsound("it is not what was imported", path, path, self._folder / f"{version}.json")
        beside = {name: self._beside(name, sha256) for name, sha256 in (record.files or {}).items()}
        return Kept(version, record, text, beside)

    def _beside(self, name: str, sha256: str) -> bytes:
        path = self._folder / "files" / sha256
        try:
            data = files.read(path, LARGEST)
        except NotFound:
            raise Unsound(f"the file {name} beside it is missing", path) from None
        if not hmac.compare_digest(digest(data), sha256):
            raise Unsound(f"the file {name} beside it is not what was imported", path, path)
        return data

    def known(self, version: int) -> tuple[str, Mapping[str, str] | None] | None:
        """Return the digests of a version that was ever kept: of its text, and of its files; None if none was."""
        with contextlib.suppress(CapacitordError):
            record = self.record(version)
            return record.sha256, record.files
        for line in reversed(self.history.read()[0]):
            if line.version == version:
                return line.sha256, line.files
        return None

    def newest(self) -> int:
        """Return the highest version that was ever kept, 0 if there is none."""
        kept = self.versions() if self._folder.exists() else []
        return max([0, *kept, *(line.version for line in self.history.read()[0])])

    def keep(self, kept: Kept) -> None:
        """Keep a version, without putting it in force; on stable storage on return."""
        files.make_folder(self._folder)
        if kept.files:
            files.make_folder(self._folder / "files")
        for name, data in kept.files.items():
            files.replace(self._folder / "files" / (kept.record.files or {})[name], data)
        files.replace(self._folder / f"{kept.version}.toml", kept.text)
        files.replace(self._folder / f"{kept.version}.json", msgspec.json.encode(kept.record))

    def enforce(self, version: int, by: str, how: How, reason: str = "") -> None:
        """Put a version that is kept in force; on stable storage on return.

        Its line is on stable storage before it is: once `active` names it, nothing that fails keeps back who did it.
        """
        self.history.add(*self._unwritten())
        record = self.record(version)
        line = Line(datetime.now(UTC), by, version, how, record.sha256, reason, record.files)
        files.replace(self._folder / "intent.json", msgspec.json.encode(line))
        files.replace(self._folder / "active", f"{version}\n".encode())
        try:
            self.history.add(line)
        except CapacitordError as error:
            _log.warning("the history takes no line, which is kept beside it: %s: %s", error.where, error.message)

    def activations(self) -> tuple[list[Line], int]:
        """Return when each version came into force, oldest first, and how many lines of that can't be read."""
        lines, unreadable = self.history.read()
        return [*lines, *self._unwritten()], unreadable

    def _unwritten(self) -> list[Line]:
        """Return what is missing at the end of the history.

        An earlier version of this program wrote none, and a crash or the disk may keep back the line after `active`.
        """
        lines, _ = self.history.read()
        now = self.in_force_or_none()
        intent = self._intent()
        if now is not None and intent is not None and intent.version == now and intent not in lines[-1:]:
            return [intent]
        if now is None or (lines and lines[-1].version == now):
            return []
        imports = [] if lines else sorted(self._derived(self.versions(), How.IMPORT), key=lambda line: line.at)
        if imports and imports[-1].version == now:
            return imports
        with files.typed(self._folder):
            since = datetime.fromtimestamp((self._folder / "active").stat().st_mtime, UTC)
        last = [msgspec.structs.replace(line, at=since) for line in self._derived([now], How.UNKNOWN)]
        return [*imports, *last]

    def _intent(self) -> Line | None:
        try:
            return msgspec.json.decode(files.read(self._folder / "intent.json", format_.MAX_FILE), type=Line)
        except (CapacitordError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _derived(self, versions: Iterable[int], how: How) -> Iterator[Line]:
        for version in versions:
            with contextlib.suppress(CapacitordError):
                record = self.record(version)
                yield Line(record.imported_at, record.imported_by, version, how, record.sha256, files=record.files)

    def last(self) -> Held | None:
        """Return what the spool held when the site was last served, None if nobody knows."""
        try:
            return msgspec.json.decode(files.read(self._folder / "last.json", 4096), type=Held)
        except (CapacitordError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def remember(self, held: Held | None) -> None:
        """Write down what the spool holds now that the site is not served any more; None: nobody knows."""
        path = self._folder / "last.json"
        if held is not None:
            files.replace(path, msgspec.json.encode(held))
        else:
            with files.typed(path):
                path.unlink(missing_ok=True)


def digest(data: bytes) -> str:
    """Return the digest of a profile's text, or of a file beside it."""
    return hashlib.sha256(data).hexdigest()
