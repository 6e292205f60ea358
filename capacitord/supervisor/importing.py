"""Profiles on their way into the store: all of a request are checked before the first of them is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from capacitord.api import messages as m
from capacitord.config import diagnostics, idle
from capacitord.config import profile as format_
from capacitord.config.diagnostics import Diagnostic, Source
from capacitord.config.profile import Profile
from capacitord.errors import CapacitordError, Invalid, Refused
from capacitord.supervisor.enclosed_files import Enclosed, by_name
from capacitord.supervisor.profile_folder import Record
from capacitord.supervisor.profiles import ProfileStore, summary


class Candidate(NamedTuple):
    """A profile that is valid by itself: its text, the files it names, and what to say of it."""

    profile: Profile
    text: bytes
    files: Mapping[str, bytes]
    file: str
    tables: Mapping[str, Any]
    findings: tuple[m.ProfileFinding, ...]

    def __repr__(self) -> str:
        return f"Candidate({self.profile.id!r}, {self.profile.version})"


class Checked(NamedTuple):
    """Profiles that may be imported, each with the version that is in force now, and what to answer."""

    candidates: tuple[Candidate, ...]
    answer: m.ProfileImported


def check(store: ProfileStore, request: m.ProfileImport, user: str, active: str) -> Checked:
    """Return what may be imported. Raises `Invalid` with all that is wrong in any of it, or `Refused`.

    `active` is the site that the box serves.
    """
    candidates = _read([m.ProfileSource(request.text, request.name, request.files), *request.others])
    sites = [candidate.profile.id for candidate in candidates]
    if twice := sorted({site for site in sites if sites.count(site) > 1}):
        files = [candidate.file for candidate in candidates if candidate.profile.id == twice[0]]
        msg = f"{' and '.join(files)} are both profiles of {twice[0]}"
        raise Refused(msg, hint="Import one version of a site at a time.")
    before = [store.check(each.profile, each.text, each.files, allow_older=request.allow_older) for each in candidates]
    others = _areas(store, candidates)
    taken = []
    for candidate, version in zip(candidates, before, strict=True):
        findings = (*candidate.findings, *_overlaps(candidate, others))
        again = version == candidate.profile.version and _is_whole(store, candidate.profile.id)
        taken.append(_taken(candidate, version, findings, user, active, unchanged=again))
    first = {field: getattr(taken[0], field) for field in m.ProfileTaken.__struct_fields__}
    return Checked(tuple(candidates), m.ProfileImported(**first, others=tuple(taken[1:])))


def with_stranded(checked: Checked, site: str, now: m.SiteStatus | None) -> Checked:
    """Return the same with a warning for each destination for which images wait and that `site` will not name.

    `now` is the status of `site`, which the box serves; None if nobody knows.
    """
    if now is None:
        return checked

    def warned(taken: m.ProfileTaken) -> tuple[m.ProfileFinding, ...]:
        gone = [each for each in now.destinations if each.waiting_images and each.name not in taken.destinations]
        return (*taken.findings, *(_stranded(each) for each in gone if taken.id == site))

    answer = checked.answer
    others = tuple(msgspec.structs.replace(each, findings=warned(each)) for each in answer.others)
    return checked._replace(answer=msgspec.structs.replace(answer, findings=warned(answer), others=others))


def _stranded(destination: m.DestinationStatus) -> m.ProfileFinding:
    waits = "1 image waits" if destination.waiting_images == 1 else f"{destination.waiting_images} images wait"
    hint = f"They stay until a version names {destination.name}; or send the studies elsewhere with fluxctl resend."
    return m.ProfileFinding(
        "warning", "destination", f"{waits} for {destination.name}, which this version does not name", hint
    )


def _is_whole(store: ProfileStore, site: str) -> bool:
    try:
        store.kept(site)
    except CapacitordError:
        return False
    return True


def put(store: ProfileStore, checked: Checked, user: str) -> None:
    """Keep what `check` passed, and put it in force unless it is; on stable storage on return.

    What takes room on the disk is done for all of them first. Whatever stops it, each site has its old or its new
    version in force, and the same import again finishes the rest.
    """
    again = {each.id for each in (checked.answer, *checked.answer.others) if each.unchanged}
    candidates = [each for each in checked.candidates if each.profile.id not in again]
    for each in candidates:
        store.keep(each.profile, each.text, each.files, user)
    done: list[str] = []
    for each in candidates:
        try:
            store.enforce(each.profile.id, each.profile.version, user, m.How.IMPORT)
        except CapacitordError as error:
            if done:
                error.done = f"in force: {', '.join(done)}"
                error.hint = f"{error.hint} In force already: {', '.join(done)}. Then the same import again."
            raise
        done.append(each.profile.id)


def _read(sources: Sequence[m.ProfileSource]) -> list[Candidate]:
    found: list[Candidate] = []
    wrong: list[tuple[Diagnostic, ...]] = []
    from capacitord.location import geofence  # noqa: PLC0415 - shapely takes 0.2 s, and an import is rare

    for source in sources:
        beside = {file.name: file.data for file in source.files}
        by_name(beside)
        enclosed = Enclosed(beside)
        checked = format_.check(source.text, source.name, beside=enclosed, further=geofence.check)
        if checked.profile is None:
            wrong.append(checked.problems)
            continue
        findings = (
            *(m.ProfileFinding("warning", **each.told()) for each in checked.warnings),
            *(
                m.ProfileFinding("note", note.key, note.message, line=note.line, column=note.column)
                for note in idle.notes(checked.profile, source.text)
            ),
        )
        candidate = Candidate(
            checked.profile, source.text.encode(), enclosed.named, source.name, checked.tables, findings
        )
        found.append(candidate)
    if len(wrong) == 1:
        raise diagnostics.refusal(wrong[0])
    if wrong:
        problems = [problem for each in wrong for problem in each]
        msg = f"{len(wrong)} of {len(sources)} profiles have {len(problems)} problems"
        hint = "Nothing was imported. Correct all of them and try again."
        raise Invalid(msg, hint=hint, candidates=tuple(str(problem) for problem in problems))
    return found


def _areas(store: ProfileStore, candidates: Sequence[Candidate]) -> dict[str, Mapping[str, Any]]:
    """Return the tables of all sites as they will be, by site; none if no candidate has an area."""
    if not any("location" in each.tables for each in candidates):
        return {}
    stored = store.tables(frozenset(each.profile.id for each in candidates))
    return stored | {each.profile.id: each.tables for each in candidates}


def _overlaps(candidate: Candidate, areas: Mapping[str, Mapping[str, Any]]) -> list[m.ProfileFinding]:
    from capacitord.location import geofence  # noqa: PLC0415 - as above

    others = {site: tables for site, tables in areas.items() if site != candidate.profile.id}
    found = geofence.overlaps(candidate.tables, others) if others else []
    source = Source(candidate.text.decode(), candidate.file)
    return [m.ProfileFinding("warning", **each.told()) for each in source.diagnostics(found)] if found else []


def _taken(
    candidate: Candidate,
    before: int | None,
    findings: tuple[m.ProfileFinding, ...],
    user: str,
    active: str,
    *,
    unchanged: bool,
) -> m.ProfileTaken:
    profile = candidate.profile
    record = Record.now(profile, candidate.text, candidate.files, user)
    shown = summary(profile.id, profile.version, record, active=profile.id == active)
    fields = {field: getattr(shown, field) for field in m.ProfileSummary.__struct_fields__}
    return m.ProfileTaken(**fields, file=candidate.file, before=before, findings=findings, unchanged=unchanged)
