"""What the audit log says, in answer to questions: which entries a query selects, what never ended, what is done.

Everything here is pure; lines come newest first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from capacitord.api.actions import STARTED
from capacitord.api.messages import AuditEntry, AuditQuery
from capacitord.errors import CapacitordError, OutOfSpace, StorageFailed, Unanswered
from capacitord.supervisor import unsealed
from capacitord.supervisor.chain import entry_in
from capacitord.supervisor.relay import GivenUp

BEGUN: Final = "begun"
DONE: Final = unsealed.DONE
OPERATOR: Final = "operator (as claimed): "
"""How a detail begins that has the name somebody gave for a shared login."""
OPEN_ENDED: Final = frozenset(
    {
        *(BEGUN, unsealed.BROKEN_OFF),
        *(each.reference for each in (CapacitordError, GivenUp, Unanswered, StorageFailed, OutOfSpace)),
    }
)
"""Results of which nobody knows whether it was done: what a disk failed to confirm may be there after a crash."""
_SHORT_ID: Final = re.compile(r"[0-9a-f]{10}", re.ASCII)
_BEGINNING: Final = re.compile(r"[0-9a-fA-F]{4,10}", re.ASCII)
"""Enough of a short id."""
_OF_A_DEED: Final = re.compile(rb'"deed":"([0-9a-f]{32})"')


class Traces(NamedTuple):
    """What the log has of some deeds: the ids of those that ended, and how the others were begun, by id."""

    ended: frozenset[str]
    begun: Mapping[str, AuditEntry]


def traces(lines: Iterable[bytes], wanted: Collection[str]) -> Traces:
    """Look for deeds, by their ids, in lines that come newest first; an entry that is damaged does not count."""
    ended, begun = set[str](), dict[str, AuditEntry]()
    for line in lines if wanted else ():
        # A line is taken apart only if it may be one of them.
        entry = entry_in(line) if any(each.decode() in wanted for each in _OF_A_DEED.findall(line)) else None
        if entry is None or entry.deed not in wanted:
            continue
        if entry.result not in OPEN_ENDED:
            ended.add(entry.deed)
        elif entry.result == BEGUN and entry.deed not in ended:
            begun[entry.deed] = entry
        if len(ended) + len(begun) == len(wanted):
            break
    return Traces(frozenset(ended), begun)


class Ends:
    """Finds what was begun and never ended, in entries that come newest first."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, str], list[frozenset[str]]] = {}
        self._ended: set[str] = set()
        self._before_start = False

    def lacks(self, entry: AuditEntry) -> bool:
        """Take an entry; return whether it is the beginning of something without an end, of a daemon that ended."""
        self._before_start = self._before_start or entry.action == STARTED
        if entry.deed:
            if entry.result == BEGUN:
                return self._before_start and entry.deed not in self._ended
            self._ended.add(entry.deed)
            return False
        ends = self._ends.setdefault((entry.uid, entry.action), [])
        subjects = frozenset(entry.subjects)
        if entry.result != BEGUN:
            ends.append(subjects)
            return False
        # Of entries without an id, an end names all that its beginning does, and what was found on the way.
        for place in reversed(range(len(ends))):
            if subjects <= ends[place]:
                del ends[place]
                return False
        return self._before_start


def told(lines: Iterable[bytes], query: AuditQuery) -> tuple[tuple[AuditEntry, ...], tuple[int, ...]]:
    """Return the entries that a query selects, newest last, and the numbers of those that were begun and never ended.

    Lines that are damaged are left out. What the daemon that runs now has begun may still end, so it is not among them.
    """
    found: list[AuditEntry] = []
    cut_short: list[int] = []
    ends = Ends()
    for line in lines:
        entry = entry_in(line)
        if entry is None:
            continue
        lacks_end = ends.lacks(entry)
        if not _selected(entry, query):
            continue
        found.append(entry)
        if lacks_end:
            cut_short.append(entry.number)
        if len(found) >= query.limit:
            break
    return tuple(reversed(found)), tuple(reversed(cut_short))


def _selected(entry: AuditEntry, query: AuditQuery) -> bool:
    """Return whether a query asks for an entry."""
    return (
        (not query.action or entry.action == query.action)
        and (query.since is None or entry.at >= query.since)
        and (query.until is None or entry.at <= query.until)
        and (not query.subject or query.subject in entry.subjects)
        and (not query.study or any(_is_study(subject, query.study) for subject in entry.subjects))
        and (not query.operator or _is_by(entry, query.operator))
    )


def _is_study(subject: str, study: str) -> bool:
    """Return whether a subject is a study that is called so: by the beginning of its short id, or by its UID."""
    if _BEGINNING.fullmatch(study):
        return _SHORT_ID.fullmatch(subject) is not None and subject.startswith(study.lower())
    return "." in study and subject == study


def _is_by(entry: AuditEntry, operator: str) -> bool:
    claimed = f"{OPERATOR}{operator}"
    said = entry.detail.partition("; ")[0]
    return entry.user == operator or said == claimed
