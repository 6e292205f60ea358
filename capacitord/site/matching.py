"""What an image says it is, and which entry of the site's worklist that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from capacitord.config.attributes import attribute
from capacitord.model.attribute import Attribute
from capacitord.model.conditions import Attributes
from capacitord.model.matching import (
    Ambiguous,
    Candidate,
    Conflict,
    Identity,
    Matched,
    MatchKey,
    Rule,
    Unmatched,
    Worklist,
    contradictions,
)
from capacitord.model.review import NOBODY, Look, Record, State, Terms, judge

ATTRIBUTES: Final[Mapping[MatchKey, Attribute]] = MappingProxyType(
    {
        MatchKey.ACCESSION_NUMBER: attribute("AccessionNumber"),
        MatchKey.STUDY_INSTANCE_UID: attribute("StudyInstanceUID"),
        MatchKey.PATIENT_ID: attribute("PatientID"),
        MatchKey.PATIENT_NAME: attribute("PatientName"),
        MatchKey.PATIENT_BIRTH_DATE: attribute("PatientBirthDate"),
        MatchKey.PATIENT_SEX: attribute("PatientSex"),
        MatchKey.MODALITY: attribute("Modality"),
        MatchKey.SCHEDULED_DATE: attribute("StudyDate"),
        MatchKey.SCHEDULED_STEP: attribute("RequestAttributesSequence.ScheduledProcedureStepID"),
        MatchKey.REQUESTED_PROCEDURE: attribute("RequestAttributesSequence.RequestedProcedureID"),
        MatchKey.STUDY_DESCRIPTION: attribute("StudyDescription"),
    }
)
"""Where an image says it. The station is who sent it."""


def identity_of(attributes: Attributes, calling_ae: str) -> Identity:
    """Return what an image says it is; one with several values in a key says all of them, and so agrees with none."""
    found = {key: attributes.values(place) or () for key, place in ATTRIBUTES.items()}
    found[MatchKey.SCHEDULED_STATION] = (calling_ae,)
    return Identity({key: "\\".join(dict.fromkeys(values)) for key, values in found.items() if any(values)})


def entry_for(worklist: Worklist, identities: Sequence[Identity]) -> str | None:
    """Return the entry that a study matches which says of itself all this; None if one of it says otherwise.

    Several entries count as one if they are steps of one order.
    """
    found = [worklist.judge(identity) for identity in identities]
    entries = {each.entry for each in found if isinstance(each, Matched)}
    if not entries or not all(isinstance(each, Matched) or each == Unmatched() for each in found):
        return None
    if not worklist.is_one_order(entries):
        return None
    entry = worklist.candidate(min(entries))
    agrees = entry is not None and not any(contradictions(identity, entry.identity) for identity in identities)
    return entry.reference if entry is not None and agrees else None


def questioned(worklist: Worklist, record: Record, identities: Sequence[Identity], listed_at: float) -> Record | None:
    """Return the record of a study that nothing matched and that the list now has under another patient, or twice.

    None if it does neither. `identities` are all that the study says of itself, `listed_at` when the list was fetched.
    """
    found = [(worklist.judge(identity), identity) for identity in identities]
    for kind in (Conflict, Ambiguous):
        for finding, identity in found:
            opinion = judge(record, identity, Look(finding, listed_at), Terms()) if isinstance(finding, kind) else None
            if opinion is not None:
                return msgspec.structs.replace(opinion.record, listed_at=listed_at)
    return None


class Listing(NamedTuple):
    """The entries of the list as scanners get them; `fetched` is in seconds since the epoch, 0 if there never was one.

    A new list is a new object. While it is `awaited`, for that reason, nobody knows what is on it: no study is matched.
    """

    candidates: tuple[Candidate, ...] = ()
    fetched: float = 0.0
    awaited: str = ""


NO_LIST: Final = Listing()
Source = Callable[[], Listing]
"""Gives the list as it is now, at once."""


class Matcher:
    """Matches images with the list of the moment. For the router's thread, and whoever shows a study."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._indexed: tuple[Listing, Worklist] = (NO_LIST, Worklist((), ()))

    def listing(self) -> Listing:
        """Return the list as it is now."""
        return self._source()

    def worklist(self, rules: tuple[Rule, ...]) -> Worklist:
        """Return the list as it is now, ready to be matched by these rules."""
        return self._indexed_by(self._source(), rules)

    def _indexed_by(self, listing: Listing, rules: tuple[Rule, ...]) -> Worklist:
        indexed, worklist = self._indexed
        if indexed is not listing or worklist.rules != rules:
            worklist = Worklist(listing.candidates, rules)
            self._indexed = (listing, worklist)
        return worklist

    def look(self, identity: Identity, record: Record | None, rules: tuple[Rule, ...]) -> Look:
        """Return what the list has for an image of a study with this record.

        Where the image by which the study was held matches now, the entry came later, or was changed since.
        """
        listing = self._source()
        worklist, fetched = self._indexed_by(listing, rules), listing.fetched
        finding = worklist.judge(identity)
        if not isinstance(finding, Matched | Unmatched):
            return Look(finding, fetched)
        entry = worklist.candidate(finding.entry if isinstance(finding, Matched) else finding.withheld)
        said = NOBODY if entry is None else entry.identity
        if isinstance(finding, Unmatched):
            return Look(finding, fetched, entry=said)
        is_held = record is not None and record.state is State.UNMATCHED
        if is_held and record is not None and isinstance(worklist.judge(record.identity), Matched):
            return Look(finding, fetched, math.inf, said)
        entries = map(worklist.candidate, finding.steps or (finding.entry,))
        since = max((math.inf if each is None else each.since) for each in entries)
        return Look(finding, fetched, since, said)
