"""Profiles as commands name them: a file, a site's profile in force, or another version of it as SITE@VERSION."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from capacitord.api import messages as m
from capacitord.api.schemas import ProfileChange, ProfileDiff
from capacitord.errors import CapacitordError, Invalid, NotFound
from fluxctl.files import STANDARD, read_text

if TYPE_CHECKING:
    from capacitord.api.client import Client

_REFERENCE: Final = re.compile(r"([a-z0-9-]+)(?:@(\d{1,20}))?", re.ASCII)

_LATEST: Final = 2**31 - 1

Ask = Callable[[], "Client"]
"""Returns the daemon, if it is needed."""


class Side(NamedTuple):
    """One of two profiles to compare: what to call it, its text, and the digests of the files beside it."""

    label: str
    text: str
    files: Mapping[str, str]


def source(file: Path) -> m.ProfileSource:
    """Return a profile with the files that it names, which lie beside it. Raises `NotFound` or `Invalid`."""
    from capacitord.config.profile import check  # noqa: PLC0415 - the models take as long as all the rest
    from fluxctl.validation import Folder  # noqa: PLC0415

    text = read_text(file)
    beside = Folder(Path() if file == STANDARD else file.parent)
    # What the check asks for is what the profile names; what it finds is said by the daemon.
    check(text, str(file), beside=beside)
    files = tuple(m.EnclosedFile(name, data) for name, data in sorted(beside.found.items()))
    return m.ProfileSource(text, file.name, files)


def named(reference: str) -> tuple[str, int | None]:
    """Return the site and the version that SITE or SITE@VERSION names. Raises `Invalid`."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise Invalid("this names no profile", where=reference, hint="Write it like st-marys, or st-marys@6.")
    version = int(found[2]) if found[2] else None
    if version is not None and not 1 <= version <= _LATEST:
        hint = f"See which there are: fluxctl profile history {found[1]}"
        raise NotFound(f"there is no version {version} of {found[1]}", hint=hint)
    return found[1], version


def side(reference: str, ask: Ask) -> Side:
    """Return the profile that SITE, SITE@VERSION or the name of a file stands for."""
    if _REFERENCE.fullmatch(reference) is None:
        try:
            read = source(Path(reference))
        except NotFound:
            msg = "there is neither a file nor a site that is called so"
            hint = "Sites are named in lower-case letters: fluxctl profile list. Files: look at the name."
            raise NotFound(msg, where=reference, hint=hint) from None
        return Side(reference, read.text, {file.name: _digest(file.data) for file in read.files})
    return stored(*named(reference), ask())


def stored(site: str, version: int | None, client: Client) -> Side:
    """Return a profile of the box."""
    found = client.profile_show(site, version)
    return Side(f"{site}@{found.summary.version}", found.text, {f.name: f.sha256 for f in found.summary.files})


def before(side_: Side, reference: str, ask: Ask) -> Side:
    """Return what a profile is compared with if nothing else is named. Raises `NotFound` if there is none.

    That is the version before it, and for a file the version in force.
    """
    if _REFERENCE.fullmatch(reference) is None:
        site = _tables(side_).get("id")
        return stored(str(site), None, ask())
    site, _, version = side_.label.partition("@")
    earlier = [each.version for each in ask().profile_history(site).activations]
    # The last that was in force before this version was, and is another one.
    while earlier and earlier[-1] != int(version):
        earlier.pop()
    for other in reversed(earlier):
        if other != int(version):
            return stored(site, other, ask())
    hint = f"See which there are: fluxctl profile history {site}"
    raise NotFound(f"no version of {site} was in force before version {version}", hint=hint)


def compared(old: Side, new: Side) -> ProfileDiff:
    """Return what differs between two profiles. Raises `Invalid` if one is not TOML."""
    from capacitord.config.changes import changes  # noqa: PLC0415 - as above

    found = [ProfileChange(*change) for change in changes(_tables(old), _tables(new))]
    found += [
        ProfileChange(f"file {name}", "", f"file {name}", _short(old.files.get(name)), _short(new.files.get(name)))
        for name in sorted({*old.files, *new.files})
        if old.files.get(name) != new.files.get(name)
    ]
    return ProfileDiff(old.label, new.label, tuple(found))


def against_the_box(
    sources: tuple[m.ProfileSource, ...], answer: m.ProfileImported, client: Client
) -> list[ProfileDiff]:
    """Return what an import would change, profile by profile; of a new site everything is new."""
    found = []
    for read, taken in zip(sources, (answer, *answer.others), strict=True):
        new = Side(f"{taken.id}@{taken.version}", read.text, {file.name: file.sha256 for file in taken.files})
        old = Side("", "", {})
        if taken.before is not None:
            try:
                old = stored(taken.id, None, client)
            except CapacitordError:
                # It is damaged: there is nothing to compare with.
                old = Side(f"{taken.id}@{taken.before}, which is damaged", "", {})
        found.append(compared(old, new))
    return found


def _tables(of: Side) -> dict[str, Any]:
    from capacitord.config import diagnostics, document  # noqa: PLC0415 - as above

    tables, problems = document.read_toml(of.text, of.label)
    if problems:
        raise diagnostics.refusal(problems)
    return tables


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _short(digest: str | None) -> str | None:
    return None if digest is None else f"contents {digest[:8]}"
