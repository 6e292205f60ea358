"""What a study has come to when nothing of it arrives any more: matched or held, and why. Decided here over counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import apsw

from capacitord.model.states import STUDY, StudyState, advance
from capacitord.spool.catalog import fetch
from capacitord.spool.filing import Filing, bounds
from capacitord.spool.routed import BY_A_PERSON, UNMATCHED_ROUTE, Standing

_GROUPS: Final = """
SELECT routing, route, coalesce(decided_by, profile_version), min(held), count(*) FROM image
WHERE id BETWEEN ? AND ? AND here AND NOT conflict AND routing >= 0 GROUP BY 1, 2, 3 ORDER BY 1, 3, 2
"""
_REJUDGED: Final = frozenset({StudyState.HELD, StudyState.MATCHED})


class Group(NamedTuple):
    """Images of a study with the same decision; `version` is that of the profile, `why` one of the reasons to hold."""

    standing: Standing
    route: int | None
    version: int
    why: str
    images: int


class Verdict(NamedTuple):
    """What a study has come to."""

    state: StudyState
    reason: str


def verdict(groups: Sequence[Group]) -> Verdict:
    """Return what a study has come to whose images, those that are to be sent, stand like this."""
    total = sum(group.images for group in groups)
    held = [group for group in groups if group.standing > Standing.OPEN]
    if held:
        return Verdict(StudyState.HELD, " ".join(_held(group, total) for group in held))
    if not groups:
        return Verdict(StudyState.MATCHED, "Nothing of what is here is to be sent.")
    return Verdict(StudyState.MATCHED, f"Goes {_listed(_ways(groups))}.")


def _held(group: Group, total: int) -> str:
    one = group.images == 1
    of = f"{group.images} of {total} image{'' if total == 1 else 's'}"
    if group.standing is Standing.NO_ROUTE:
        return f"{of}: no route of version {group.version} of the profile matches {'it' if one else 'them'}."
    return f"{of}: {group.why}."


def _ways(groups: Iterable[Group]) -> list[str]:
    routes: dict[int, list[int]] = {}
    ways: list[str] = []
    for group in groups:
        if group.route is None:
            ways.append(f"to every destination of version {group.version} of the profile")
        elif group.route == BY_A_PERSON:
            ways.append("where an operator sent it")
        elif group.route == UNMATCHED_ROUTE:
            ways.append(f"where version {group.version} of the profile sends what nothing on the worklist matches")
        else:
            routes.setdefault(group.version, []).append(group.route)
    for version, numbers in routes.items():
        what = "route" if len(numbers) == 1 else "routes"
        ways.append(f"by {what} {_listed(map(str, numbers))} of version {version} of the profile")
    return list(dict.fromkeys(ways))


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def close(catalog: apsw.Connection, filing: Filing, study: int) -> Verdict:
    """Take a study as arrived; return what it has come to. Call it within a transaction."""
    state = StudyState(fetch(catalog, "SELECT state FROM study WHERE id = ?", (study,))[0][0])
    return _become(catalog, filing, study, advance(STUDY, state, StudyState.COMPLETE))


def judge_again(catalog: apsw.Connection, filing: Filing, study: int) -> None:
    """Have a study that was closed say what it has come to now. Call it within a transaction."""
    for (state,) in fetch(catalog, "SELECT state FROM study WHERE id = ?", (study,)):
        if StudyState(state) in _REJUDGED:
            _become(catalog, filing, study, StudyState(state))


def release(catalog: apsw.Connection, filing: Filing, study: int, to: Sequence[str]) -> None:
    """Take notice that a person has sent images of a study on purpose. Call it within a transaction."""
    for state, held in fetch(catalog, "SELECT state, held FROM study WHERE id = ?", (study,)):
        if StudyState(state) is not StudyState.HELD:
            return
        if held:
            judge_again(catalog, filing, study)
            return
        reason = f"Released by an operator to {_listed(to)}."
        _say(catalog, filing, study, Verdict(advance(STUDY, StudyState.HELD, StudyState.RELEASED), reason))


def _become(catalog: apsw.Connection, filing: Filing, study: int, now: StudyState) -> Verdict:
    rows = fetch(catalog, _GROUPS, bounds(study))
    found = verdict([Group(Standing(row[0]), *row[1:]) for row in rows])
    advance(STUDY, now, found.state)
    _say(catalog, filing, study, found)
    return found


def _say(catalog: apsw.Connection, filing: Filing, study: int, found: Verdict) -> None:
    catalog.execute("UPDATE study SET state = ?, reason = ? WHERE id = ?", (found.state, found.reason, study))
    filing.forget(study)
