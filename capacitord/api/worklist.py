"""The worklist as the control socket tells it. All of it but `ListEntries` holds patient data."""

from __future__ import annotations

from datetime import datetime

from capacitord.api.messages import Answer, Message
from capacitord.api.trial import Skipped
from capacitord.model.worklist_cache import ListState


class ListEntries(Message, frozen=True):
    """The entries that are served, and if it says so those that vanished at the source."""

    vanished: bool = False


class EntryRef(Message, frozen=True):
    """An entry by its short id, by the accession number or by the Study Instance UID."""

    entry: str

    def __repr__(self) -> str:
        return "EntryRef()"


class NameEntry(Message, frozen=True):
    """Say by which short id an entry is known. `said` is what would be kept of why something is done with it."""

    entry: str
    said: str = ""

    def __repr__(self) -> str:
        return "NameEntry()"


class Entry(Answer, frozen=True):
    """An entry as scanners get it: who, what, when and where.

    Dates and times are as in DICOM (DA, TM), in the site's zone. It was on the list first at `since`, last at `seen`,
    and vanished from it at `vanished` if it has; it `left` if only its day is not asked for any more. `changed` says
    that it is not served as it came; `lacking` are attributes that a scanner needs and that nobody knows. `mishap` is
    empty as a rule: an unforeseen error kept the entry from being corrected, and it is served "as-it-came" or
    "withheld". The source gave it at `sought` because a scanner looked for that patient or order; it is not `listed` if
    no list ever had it, and then `since` is when it was given first.
    """

    id: str
    patient_name: str
    patient_id: str
    birth_date: str
    sex: str
    accession_number: str
    study_uid: str
    description: str
    modality: str
    station: str
    start_date: str
    start_time: str
    since: datetime
    seen: datetime
    vanished: datetime | None = None
    left: bool = False
    changed: bool = False
    lacking: tuple[str, ...] = ()
    mishap: str = ""
    sought: datetime | None = None
    listed: bool = True


class EntryList(Answer, frozen=True):
    """The worklist: how far it can be relied on, in words too, when it was fetched and from where.

    `failures` counts the last tries that failed.
    """

    schema: str
    state: ListState
    remark: str
    fetched: datetime | None
    source: str
    entries: tuple[Entry, ...]
    failures: int = 0


class Attribute(Answer, frozen=True):
    """An attribute as it came and as it is served, None where it is not there, and what in the profile changed it.

    Its `name` has the way to it: "ScheduledProcedureStepSequence[1].Modality"; items count from 1.
    """

    name: str
    before: str | None
    after: str | None
    by: tuple[str, ...] = ()


class EntryDetail(Answer, frozen=True):
    """An entry with all its attributes, before and after its corrections; `skipped` could not be carried out."""

    schema: str
    entry: Entry
    attributes: tuple[Attribute, ...]
    skipped: tuple[Skipped, ...] = ()


class Refreshed(Answer, frozen=True):
    """What came of asking the source.

    If it sent its list (`ok`), this is what is different on it; if not, `reason` says why, and the list is as it was.
    `entries` counts what is served now, `fetched` is when that came, `seconds` how long it took.
    """

    schema: str
    ok: bool
    reason: str
    source: str
    seconds: float
    entries: int
    fetched: datetime | None
    new: tuple[Entry, ...] = ()
    vanished: tuple[Entry, ...] = ()
    changed: tuple[Entry, ...] = ()
