"""What a study has come to when it is closed: complete, matched or held, and why. Decided here over counts.

Where a profile sends whole studies only, an image stays undecided as long as its study is receiving. Closing and what
follows from it (that images wait to be decided, or are held because others are missing) are one transaction, so that
there is no moment in which part of a study could leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import apsw

from capacitord.model.completeness import Event
from capacitord.model.states import STUDY, StudyState, advance
from capacitord.spool import evidence, together
from capacitord.spool.catalog import fetch
from capacitord.spool.filing import Filing, bounds
from capacitord.spool.routed import BY_A_PERSON, UNMATCHED_ROUTE, Standing

ARRIVING: Final = "Images are arriving."
_GROUPS: Final = """
SELECT routing, route, coalesce(decided_by, profile_version), min(held), count(*) FROM image
WHERE id BETWEEN ? AND ? AND here AND NOT conflict AND routing >= 0 GROUP BY 1, 2, 3 ORDER BY 1, 3, 2
"""
_REJUDGED: Final = frozenset({StudyState.COMPLETE, StudyState.HELD, StudyState.MATCHED, StudyState.LET_THROUGH})
_TO_BE_DECIDED: Final = "It is complete, and it is being decided where its images go."


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
    if any(group.standing is Standing.OPEN for group in groups):
        return Verdict(StudyState.COMPLETE, _TO_BE_DECIDED)
    held = [group for group in groups if group.standing > Standing.OPEN]
    if held:
        return Verdict(StudyState.HELD, " ".join(_held(group, total) for group in held))
    if not groups:
        return Verdict(StudyState.MATCHED, "Nothing of what is here is to be sent.")
    state = StudyState.LET_THROUGH if any(group.route == UNMATCHED_ROUTE for group in groups) else StudyState.MATCHED
    return Verdict(state, f"Goes {_listed(_ways(groups))}.")


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


class Closing(NamedTuple):
    """How a study is closed: by what, whether its profile sends whole studies only, and when (ns since the epoch).

    With `matches` it is matched before it is held because images are missing: so that they hide nothing that is worse.
    """

    event: Event
    whole: bool
    now: int
    matches: bool = False


def close(catalog: apsw.Connection, filing: Filing, study: int, closing: Closing) -> Verdict:
    """Take a study as arrived; return what it has come to. Call it within a transaction."""
    uid, now = fetch(catalog, "SELECT uid, state FROM study WHERE id = ?", (study,))[0]
    state = advance(STUDY, StudyState(now), StudyState.COMPLETE)
    catalog.execute(
        "UPDATE study SET state = ?, closed_by = ?, closed_at = ? WHERE id = ?",
        (state, closing.event, closing.now, study),
    )
    missing = evidence.missing(catalog, uid).images if closing.whole else 0
    if missing and not closing.matches:
        together.hold_incomplete(catalog, study, missing)
    elif not missing:
        together.free_complete(catalog, study)
    together.free(catalog, study)
    return _become(catalog, filing, study, state)


def free_waiting(catalog: apsw.Connection, filing: Filing) -> bool:
    """Have it decided where images go that wait for nothing but others of their study; say if there are any.

    For a profile that sends images as they arrive. Call it within a transaction.
    """
    studies = together.free_all(catalog)
    for study in studies:
        filing.forget(study)
    return bool(studies)


def waits_for(kinds: Sequence[str]) -> str:
    """Return the reason of a study of which nothing arrives any more, and which only evidence of these kinds closes."""
    return f"Nothing arrives any more, and it is closed by {' or '.join(kinds)}: there was none that is over."


def say(catalog: apsw.Connection, filing: Filing, study: int, reason: str) -> None:
    """Say why a study is still receiving. Call it within a transaction."""
    catalog.execute("UPDATE study SET reason = ? WHERE id = ? AND state = ?", (reason, study, StudyState.RECEIVING))
    filing.forget(study)


def judge_again(catalog: apsw.Connection, filing: Filing, study: int) -> bool:
    """Have a study that was closed say what it has come to now. Call it within a transaction.

    One that was released stays so, unless something of it is held that was not then. Returns whether images of it are
    to be decided again that waited for others: nothing is in their way any more.
    """
    freed = False
    for state, held, unrouted in fetch(catalog, "SELECT state, held, unrouted FROM study WHERE id = ?", (study,)):
        held_since = StudyState(state) is StudyState.RELEASED and held and not unrouted
        if StudyState(state) in _REJUDGED or held_since:
            freed = together.free(catalog, study)
            _become(catalog, filing, study, StudyState(state))
    return freed


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
