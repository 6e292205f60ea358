"""The profiles of this box, each as it was imported. `profile_folder` says what lies in a site's folder.

Nothing is ever deleted. What is damaged is moved to `<state>/profiles-damaged`, the folder of a site that was removed
to `<state>/profiles-removed`; no id of a site can be one of these names.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from capacitord.api import messages as m
from capacitord.api.earlier import earlier
from capacitord.config import diagnostics, document, enclosed
from capacitord.config import profile as format_
from capacitord.config.profile import Profile
from capacitord.errors import CapacitordError, DamagedObject, Invalid, NotFound, Refused
from capacitord.supervisor import files
from capacitord.supervisor.active_site import SITE
from capacitord.supervisor.enclosed_files import Enclosed
from capacitord.supervisor.profile_folder import Held, Kept, Record, SiteFolder, Unsound, digest

_log = logging.getLogger(__name__)
_IMPORT: Final = "Import it again: fluxctl profile import FILE"


class Stored(msgspec.Struct, frozen=True):
    """A profile that was read back and found whole, with the files beside it."""

    profile: Profile
    text: str
    record: Record
    files: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Stored({self.profile.id!r}, {self.profile.version})"

    def summary(self, *, active: bool) -> m.ProfileSummary:
        """Return the profile as a list shows it; `active` says that the box serves its site."""
        names = tuple(destination.name for destination in self.profile.destination)
        record = msgspec.structs.replace(self.record, name=self.profile.name, destinations=names)
        return summary(self.profile.id, self.profile.version, record, active=active)


def summary(site: str, version: int, record: Record, *, active: bool) -> m.ProfileSummary:
    """Return a profile as a list shows it."""
    found = (record.files or {}).items()
    return m.ProfileSummary(
        id=site,
        name=record.name,
        version=version,
        imported_at=record.imported_at,
        imported_by=record.imported_by,
        active=active,
        destinations=record.destinations,
        sha256=record.sha256,
        files=tuple(m.FileSummary(name, record.sizes.get(name, 0), sha256) for name, sha256 in found),
    )


class ProfileStore:
    """The store in one folder. Any thread may call; all methods block on the disk."""

    def __init__(self, folder: Path) -> None:
        self.damage: dict[str, m.DamagedProfile] = {}
        """The sites that were last found damaged, whoever asked for them."""
        self._folder = folder
        self._one_at_a_time = threading.RLock()

    # --- reading

    def sites(self) -> list[str]:
        """Return the ids of all sites that have a profile, damaged ones included."""
        with files.typed(self._folder):
            if not self._folder.exists():
                return []
            names = sorted(path.name for path in self._folder.iterdir())
        return [name for name in names if SITE.fullmatch(name) and self._of(name).there]

    def read(self, site: str, version: int | None = None) -> Stored:
        """Return a profile: the version in force, or another.

        Raises `NotFound`; `DamagedObject` if it is not what was imported, which is set aside then; `Invalid` if it is
        and this version of the program does not accept it.
        """
        kept = self.kept(site, version)
        profile = _checked(site, kept)
        if (profile.id, profile.version) != (site, kept.version):
            paths = [self._folder / site / f"{kept.version}{suffix}" for suffix in (".toml", ".json")]
            raise self._set_aside(site, kept.version, Unsound("it is another profile's", paths[0], *paths))
        return Stored(profile, kept.text.decode(), kept.record, kept.files)

    def removed(self, site: str) -> Stored:
        """Return the profile that was in force when a site was removed last.

        Raises `NotFound` if it was not removed, and what `read` does for what is not whole.
        """
        found: list[Path] = []
        if SITE.fullmatch(site) is not None:
            with files.typed(self._folder):
                found = sorted(self._beside("removed").glob(f"{site}.*"))
        if not found:
            msg = f"there is no profile of {site!r}, and none was removed"
            raise NotFound(msg, hint="See which there are: fluxctl profile list")
        folder = SiteFolder(found[-1])
        kept = folder.load(folder.in_force())
        profile = _checked(site, kept)
        if profile.id != site:
            msg = "it is another profile's"
            raise Unsound(msg, found[-1])
        return Stored(profile, kept.text.decode(), kept.record, kept.files)

    def kept(self, site: str, version: int | None = None) -> Kept:
        """Return a profile's text and files as they were imported, without asking what they say."""
        with self._one_at_a_time:
            folder = self._demand(site)
            wanted = version
            try:
                wanted = folder.in_force() if version is None else version
                if version is not None and folder.known(version) is None:
                    msg = f"there is no version {version} of {site}"
                    raise NotFound(msg, hint=f"See which there are: fluxctl profile history {site}")
                kept = folder.load(wanted)
            except Unsound as unsound:
                raise self._set_aside(site, wanted, unsound) from None
            if version is None or version == folder.in_force_or_none():
                self.damage.pop(site, None)
            return kept

    def listed(self, active: str) -> tuple[list[m.ProfileSummary], list[m.DamagedProfile]]:
        """Return the profiles in force and the sites whose profile is damaged. `active` is the site that is served."""
        whole, damaged = [], []
        for site in self.sites():
            try:
                whole.append(self.shown(site, None, active)[0])
            except NotFound:
                continue
            except CapacitordError as error:
                version = self._of(site).in_force_or_none()
                damaged.append(m.DamagedProfile(site, version, error.message, error.where, error.hint))
        return whole, damaged

    def shown(self, site: str, version: int | None, active: str) -> tuple[m.ProfileSummary, Kept]:
        """Return a profile as it was imported, also if this version of the program does not accept it any more."""
        kept = self.kept(site, version)
        found = summary(site, kept.version, kept.record, active=site == active)
        if not kept.record.name:
            # An earlier version of this program did not write the name down.
            with contextlib.suppress(Invalid):
                found = self.read(site, version).summary(active=site == active)
        return found, kept

    def history(self, site: str, schema: str) -> m.ProfileHistory:
        """Return all versions of a site's profile, each read back, and when each came into force."""
        with self._one_at_a_time:
            folder = self._demand(site)
            now = folder.in_force_or_none()
            found, unreadable = folder.activations()
            activations = tuple(m.Activation(a.at, a.by, a.version, a.how, a.sha256, a.reason) for a in found)
            numbers = sorted({*folder.versions(), *(line.version for line in found)})
            versions = tuple(self._version(site, number, in_force=number == now) for number in numbers)
            return m.ProfileHistory(schema, site, versions, activations, unreadable)

    def _version(self, site: str, version: int, *, in_force: bool) -> m.KeptVersion:
        try:
            record = self.kept(site, version).record
        except CapacitordError as error:
            known = self._of(site).known(version)
            return m.KeptVersion(version, None, "", known[0] if known else "", in_force, error.message)
        return m.KeptVersion(version, record.imported_at, record.imported_by, record.sha256, in_force)

    def in_force(self, site: str) -> int | None:
        """Return which version of a site's profile is in force, None if nobody knows."""
        with self._one_at_a_time:
            return self._demand(site).in_force_or_none()

    def before(self, site: str) -> int:
        """Return the version that `api.earlier` says to go back to. Raises `NotFound` if there is none."""
        with self._one_at_a_time:
            folder = self._demand(site)
            now = folder.in_force_or_none()
            found = earlier(folder.activations()[0], now)
        if found is None:
            msg = f"no version of {site} was in force before this one"
            raise NotFound(msg, hint=f"See which there are: fluxctl profile history {site}")
        return found

    def tables(self, but: frozenset[str]) -> dict[str, Mapping[str, Any]]:
        """Return the tables of the profiles in force, by site; those that are damaged and those of `but` left out."""
        found: dict[str, Mapping[str, Any]] = {}
        for site in self.sites():
            if site in but:
                continue
            try:
                kept = self.kept(site)
            except CapacitordError:
                continue
            read, _ = document.read_toml(kept.text.decode(errors="replace"), site)
            found[site] = enclosed.inlined(read, Enclosed(kept.files))[0]
        return found

    # --- changing

    def check(self, profile: Profile, text: bytes, beside: Mapping[str, bytes], *, allow_older: bool) -> int | None:
        """Return the version now in force, None for a new site; `Refused` if an import would break a rule."""
        with self._one_at_a_time:
            folder = self._of(profile.id)
            known = folder.known(profile.version)
            if known is not None and not _same(known, text, beside):
                msg = f"version {profile.version} of {profile.id} was imported before with other contents"
                raise Refused(msg, hint=f"Give the changed profile a new version, {folder.newest() + 1}.")
            now = folder.in_force_or_none()
            if now is not None and profile.version < now and not allow_older:
                msg = f"version {now} of {profile.id} is in force, and this is version {profile.version}"
                raise Refused(msg, hint="If you mean to go back, import it with --allow-older.")
            return now

    def keep(self, profile: Profile, text: bytes, beside: Mapping[str, bytes], user: str) -> Stored:
        """Keep a profile that `check` passed, without putting it in force; on stable storage on return."""
        record = Record.now(profile, text, beside, user)
        with self._one_at_a_time:
            files.make_folder(self._folder)
            self._of(profile.id).keep(Kept(profile.version, record, text, beside))
        return Stored(profile, text.decode(), record, beside)

    def enforce(self, site: str, version: int, user: str, how: m.How, reason: str = "") -> None:
        """Put a version that is kept in force; on stable storage on return."""
        with self._one_at_a_time:
            self._of(site).enforce(version, user, how, reason)
            self.damage.pop(site, None)

    def remove(self, site: str) -> Path:
        """Move the folder of a site out of the store, and return where it is now."""
        with self._one_at_a_time:
            self._demand(site)
            place = self._place("removed", site)
            _move(self._folder / site, place)
            self.damage.pop(site, None)
        return place

    def last(self, site: str) -> Held | None:
        """Return what a site's spool held when it was last served, None if nobody knows."""
        return self._of(site).last()

    def remember(self, site: str, held: Held | None) -> None:
        """Write down what a site's spool holds, now that it is not served any more; None: nobody knows."""
        with self._one_at_a_time:
            if self._of(site).there:
                self._of(site).remember(held)

    # --- within

    def _of(self, site: str) -> SiteFolder:
        return SiteFolder(self._folder / site)

    def _demand(self, site: str) -> SiteFolder:
        if SITE.fullmatch(site) is None or not self._of(site).there:
            msg = f"there is no profile of {site!r}"
            raise NotFound(msg, hint="See which there are: fluxctl profile list")
        return self._of(site)

    def _set_aside(self, site: str, version: int | None, unsound: Unsound) -> DamagedObject:
        """Move what is damaged out of the store, and return what to tell a person."""
        there = [path for path in unsound.paths if path.exists()]
        if there:
            place = self._place("damaged", site)
            files.make_folder(place)
            for path in there:
                _move(path, place / path.name)
            words = f"{unsound.message}; what there is of it is in {place}"
        else:
            earlier = sorted(self._beside("damaged").glob(f"{site}.*/{Path(unsound.where).name}"))
            words = f"it was damaged, and set aside in {earlier[-1].parent}" if earlier else unsound.message
        what = f"the profile of {site}" if version is None else f"version {version} of the profile of {site}"
        folder = self._of(site)
        hint = _IMPORT
        if [each for each in folder.versions() if each != version]:
            hint += f"; or go back: fluxctl profile rollback {site}"
        error = DamagedObject(f"{what} can't be used: {words}", where=unsound.where, hint=hint)
        if there or site not in self.damage:
            _log.error("%s: %s", error.where, error.message)
        if version is None or version == folder.in_force_or_none():
            self.damage[site] = m.DamagedProfile(site, version, error.message, error.where, error.hint)
        return error

    def _beside(self, what: str) -> Path:
        return self._folder.with_name(f"{self._folder.name}-{what}")

    def _place(self, what: str, site: str) -> Path:
        """Return the name of a new folder to put something aside in, which has no other file of the same time."""
        parent = self._beside(what)
        files.make_folder(parent)
        return parent / f"{site}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"


def _checked(site: str, kept: Kept) -> Profile:
    """Return what a text says. Raises `Invalid` if this version of the program does not accept it."""
    name = f"{site} version {kept.version}"
    checked = format_.check(kept.text.decode(errors="replace"), name, beside=Enclosed(kept.files))
    if checked.profile is None:
        problem = diagnostics.refusal(checked.problems)
        msg = f"this version of capacitord does not accept {name}: {problem.message}"
        hint = f"Say all that is wrong: fluxctl profile show {site} | fluxctl profile validate -"
        raise Invalid(msg, where=problem.where, hint=hint, candidates=problem.candidates)
    return checked.profile


def _same(known: tuple[str, Mapping[str, str] | None], text: bytes, beside: Mapping[str, bytes]) -> bool:
    sha256, kept = known
    named = {name: digest(data) for name, data in beside.items()}
    return hmac.compare_digest(sha256, digest(text)) and (kept is None or dict(kept) == named)


def _move(source: Path, target: Path) -> None:
    with files.typed(source):
        source.rename(target)
    files.sync_folder(target.parent)
    files.sync_folder(source.parent)
