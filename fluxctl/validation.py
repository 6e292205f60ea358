"""Profiles checked on this machine: everything that the daemon would check, and the files beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from capacitord.api.messages import ProfileFinding
from capacitord.api.schemas import Validated, ValidatedProfile
from capacitord.config import credentials, diagnostics, document, idle
from capacitord.config.diagnostics import Diagnostic, Source
from capacitord.config.enclosed import LARGEST
from capacitord.config.profile import Checked, Profile, check
from capacitord.errors import Invalid, NotFound
from capacitord.location import geofence
from fluxctl import exits
from fluxctl.files import STANDARD, read_bytes, read_text


class Folder:
    """The files beside a profile. `found` are those that were asked for and are there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """Return what a file holds, and of a larger one `LARGEST` bytes and one more; None if it can't be read."""
        path = self._path / name
        try:
            if not path.is_file():
                return None
            with path.open("rb") as file:
                data = file.read(LARGEST + 1)
        except (OSError, ValueError):
            return None
        self.found[name] = data
        return data

    def chain(self, certificate: str, key: str) -> str:
        """Return what is wrong with a certificate and its key; empty if nothing is."""
        return credentials.pair(certificate, key, self._path / certificate, self._path / key)


class _Read(NamedTuple):
    file: str
    text: str
    checked: Checked
    missing: bool = False


def validate(files: Sequence[Path]) -> tuple[Validated, int]:
    """Return what is right and wrong with profiles, and where their areas overlap; and the exit code that says so.

    A file that is not there is a finding like any other, and counts in the exit code if nothing else is wrong.
    """
    read = [_checked(file) for file in files]
    answer = Validated(tuple(_reported(each, _others(each, read)) for each in read))
    if any(each.checked.profile is None and not each.missing for each in read):
        return answer, exits.INVALID
    return answer, exits.NOT_FOUND if any(each.missing for each in read) else exits.DONE


def profile_of(file: Path) -> Profile:
    """Return the profile in a file, with what is in files beside it. Raises `NotFound` or `Invalid`."""
    folder = Folder(Path() if file == STANDARD else file.parent)
    found = check(read_text(file), str(file), beside=folder, further=geofence.check)
    if found.profile is None:
        raise diagnostics.refusal(found.problems)
    return found.profile


def _checked(file: Path) -> _Read:
    try:
        data = read_bytes(file)
    except (Invalid, NotFound) as error:  # what is wrong with this file hides nothing of the others
        problem = Diagnostic(str(file), "", error.message, error.hint)
        return _Read(str(file), "", Checked(None, (problem,), (), {}), isinstance(error, NotFound))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return _Read(str(file), "", Checked(None, (document.not_utf8(data, error.start, str(file)),), (), {}))
    folder = Path() if file == STANDARD else file.parent
    return _Read(str(file), text, check(text, str(file), beside=Folder(folder), further=geofence.check))


def _others(one: _Read, read: Iterable[_Read]) -> Mapping[str, Mapping[str, Any]]:
    """Return the tables of the profiles of other sites."""
    site = one.checked.tables.get("id")
    return {other.file: other.checked.tables for other in read if other.checked.tables.get("id") != site}


def _reported(one: _Read, others: Mapping[str, Mapping[str, Any]]) -> ValidatedProfile:
    checked, profile = one.checked, one.checked.profile
    overlaps = geofence.overlaps(checked.tables, others)
    warnings = [*checked.warnings, *(Source(one.text, one.file).diagnostics(overlaps) if overlaps else ())]
    found = [ProfileFinding("error", **each.told()) for each in checked.problems]
    if profile is not None:
        warnings += Source(one.text, one.file).diagnostics(idle.standing_in(profile))
    found += [ProfileFinding("warning", **each.told()) for each in warnings]
    if profile is None:
        return ValidatedProfile(one.file, valid=False, findings=tuple(found))
    found += [
        ProfileFinding("note", note.key, note.message, line=note.line, column=note.column)
        for note in idle.notes(profile, one.text)
    ]
    names = tuple(destination.name for destination in profile.destination)
    return ValidatedProfile(one.file, True, tuple(found), profile.id, profile.name, profile.version, names)
