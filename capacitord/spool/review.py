"""What matching has found for studies: kept with them, and changed in the transactions that file decisions.

A finding is filed only if the study's record is still the one that it was made by; so two who judge a study at once, or
a person who releases it meanwhile, never overwrite each other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import apsw
import msgspec

from capacitord.model.matching import Identity
from capacitord.model.patient import Patient
from capacitord.model.reasons import Reason
from capacitord.model.review import HOLDS, Record, State, released
from capacitord.spool import closing, outbox
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.filing import Filing, bounds
from capacitord.spool.outbox import Deed
from capacitord.spool.routed import Standing

STANDINGS: Final = {
    Reason.UNMATCHED: Standing.UNMATCHED,
    Reason.AMBIGUOUS: Standing.AMBIGUOUS,
    Reason.CONFLICT: Standing.CONFLICT,
}
"""How an image stands that matching holds."""

_UPSERT: Final = """
INSERT INTO review (study, state, record, entry, at, version) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (study) DO UPDATE SET state = excluded.state, record = excluded.record, entry = excluded.entry,
  at = excluded.at, version = excluded.version
"""
_WAITS: Final = "SELECT 1 FROM image WHERE id BETWEEN ? AND ? AND here AND routing IN (?, ?, ?) LIMIT 1"
_CLAIMS: Final = "SELECT said FROM claim WHERE study = ? ORDER BY identity"
_UNMATCHED: Final = """
SELECT r.study, r.record, c.said FROM review r LEFT JOIN claim c ON c.study = r.study
WHERE r.state = ? AND EXISTS (
  SELECT 1 FROM image i WHERE i.id BETWEEN r.study << 24 AND (r.study << 24 | 16777215) AND i.routing = ? AND i.here
) ORDER BY r.study
"""


class Reviewed(NamedTuple):
    """What is to be kept of a study with the decision for one of its images.

    `seen` is the record that the decision was made by, None if there was none; `reopened` as in `model.review.Opinion`.
    `deed` is what the audit log is told once this is kept, None for what needs no entry.
    """

    seen: Record | None
    record: Record
    identity: Identity
    reopened: bool = False
    deed: Deed | None = None


class Kept(NamedTuple):
    """A study's record, when it was made (nanoseconds since the epoch), and under which version of the profile."""

    record: Record
    at: int
    version: int


class Waiting(NamedTuple):
    """A study that nothing matched: its record, and all that its images say they are."""

    study: int
    record: Record
    identities: tuple[Identity, ...]


class Review:
    """The records of studies under review. Any thread may ask."""

    def __init__(self, catalog: Catalog, filing: Filing) -> None:
        self._catalog, self._filing = catalog, filing

    def record(self, study: int) -> Record | None:
        """Return what is kept of a study, None if nothing is: it was never matched."""
        kept = self.kept(study)
        return None if kept is None else kept.record

    def kept(self, study: int) -> Kept | None:
        """Return the same with when it was made and under which version of the profile."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, "SELECT record, at, version FROM review WHERE study = ?", (study,))
        return Kept(_record(rows[0][0]), rows[0][1], rows[0][2]) if rows else None

    def identities(self, study: int) -> tuple[Identity, ...]:
        """Return all that images of a study say they are, as written, one for each that differs in what counts."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _CLAIMS, (study,))
        return tuple(_identity(text) for (text,) in rows)

    def unmatched(self) -> list[Waiting]:
        """Return the studies that wait because nothing matched them."""
        found: dict[int, Waiting] = {}
        with self._catalog.read() as catalog:
            for study, record, identity in fetch(catalog, _UNMATCHED, (State.UNMATCHED, Standing.UNMATCHED)):
                known = found.setdefault(study, Waiting(study, _record(record), ()))
                if identity is not None:
                    found[study] = known._replace(identities=(*known.identities, _identity(identity)))
        return list(found.values())

    def refers(self, entry: str) -> bool:
        """Return whether a study of which something is here was matched or released with an entry of the worklist."""
        sql = "SELECT 1 FROM review r JOIN study s ON s.id = r.study WHERE r.entry = ? AND s.bytes > 0 LIMIT 1"
        with self._catalog.read() as catalog:
            return fetch_value(catalog, sql, (entry,)) is not None

    def suggest(self, waiting: Waiting, entry: str, now: int, version: int) -> bool:
        """Keep an entry that came later and matches; return whether the study was still as it was seen."""
        record = msgspec.structs.replace(waiting.record, suggestion=entry)
        with self._catalog.change() as catalog:
            if _stored(catalog, waiting.study) != waiting.record:
                return False
            _keep(catalog, waiting.study, record, now, version)
        return True

    def question(self, waiting: Waiting, record: Record, now: int, version: int) -> bool:
        """Keep what a later list has against a study, and have its images judged by that.

        Return whether the study was still as it was seen.
        """
        with self._catalog.change() as catalog:
            if _stored(catalog, waiting.study) != waiting.record:
                return False
            _keep(catalog, waiting.study, record, now, version)
            reopen(catalog, self._filing, waiting.study)
        return True

    def reopen(self, study: int) -> int:
        """Have the images of a study judged again that are held because nothing matched them; return how many."""
        with self._catalog.change() as catalog:
            return reopen(catalog, self._filing, study)


def take(catalog: apsw.Connection, filing: Filing, study: int, found: Reviewed, clock: tuple[int, int]) -> bool:
    """Keep what was found for a study, unless it is not any more as it was seen; return whether it was kept.

    `clock` is the time in nanoseconds since the epoch, and the version of the profile. Call it in a transaction.
    """
    if _stored(catalog, study) != found.seen:
        return False
    claim = (study, _text(found.identity.canonical()), _text(found.identity))
    catalog.execute("INSERT OR IGNORE INTO claim VALUES (?, ?, ?)", claim)
    if found.record != found.seen:
        _keep(catalog, study, found.record, *clock)
        filing.forget(study)
    if found.deed is not None:
        outbox.add(catalog, found.deed)
    if found.reopened:
        reopen(catalog, filing, study)
    return True


def reopen(catalog: apsw.Connection, filing: Filing, study: int) -> int:
    """Do as `Review.reopen` within a transaction."""
    catalog.execute(
        "UPDATE image SET routing = ? WHERE id BETWEEN ? AND ? AND here AND routing = ?",
        (Standing.OPEN, *bounds(study), Standing.UNMATCHED),
    )
    count = catalog.changes()
    if count:
        closing.judge_again(catalog, filing, study)
    return count


def keep_released(
    catalog: apsw.Connection,
    filing: Filing,
    study: int,
    now: int,
    *,
    goes: Collection[Patient],
    entry: str,
    release: int,
) -> None:
    """Keep that a person has released a study, if that is what decides for its late images. Call it in a transaction.

    `goes` are the patients whose images she sends, `release` is the release's number, and `entry` of the worklist that
    she chose, empty for none.
    """
    known = _stored(catalog, study)
    if known is None:
        return
    keys = {patient.key for patient in goes}
    claims = [_identity(text) for (text,) in fetch(catalog, _CLAIMS, (study,))]
    said = [claim for claim in claims if Patient.of(claim).key in keys]
    # Of an image that cannot be read, or that matching never looked at, no more is known than the patient.
    unknown = keys - {Patient.of(claim).key for claim in said}
    said += [patient.identity for patient in goes if patient.key in unknown]
    record = released(known, said, entry=entry, release=release)
    if record == known:
        return
    version = fetch_value(catalog, "SELECT version FROM review WHERE study = ?", (study,))
    _keep(catalog, study, record, now, version)
    filing.forget(study)


def release_that_holds(catalog: apsw.Connection, study: int) -> int:
    """Return the number of the release that late images of a study follow, 0 if there is none."""
    record = _stored(catalog, study)
    return record.release if record is not None and record.state is State.RELEASED else 0


def waits(catalog: apsw.Connection, study: int) -> bool:
    """Return whether something of a study is held because nothing says whose it is."""
    found = fetch_value(catalog, _WAITS, (*bounds(study), *STANDINGS.values()))
    return found is not None


def is_kept(catalog: apsw.Connection, study: int) -> bool:
    """Return whether matching ever found something for a study."""
    return fetch_value(catalog, "SELECT 1 FROM review WHERE study = ?", (study,)) is not None


def leaves(catalog: apsw.Connection, study: int) -> bool:
    """Return whether matching, or a person, has found that a study leaves."""
    record = _stored(catalog, study)
    return record is not None and not holds(record)


def holds(record: Record | None) -> bool:
    """Return whether nothing of a study with this record leaves."""
    return record is not None and record.state in HOLDS


def _keep(catalog: apsw.Connection, study: int, record: Record, now: int, version: int) -> None:
    entry = record.entry or record.suggestion
    catalog.execute(_UPSERT, (study, record.state, _text(record), entry, now, version))


def _stored(catalog: apsw.Connection, study: int) -> Record | None:
    text = fetch_value(catalog, "SELECT record FROM review WHERE study = ?", (study,))
    return None if text is None else _record(text)


def _text(what: msgspec.Struct) -> str:
    return msgspec.json.encode(what, order="deterministic").decode()


def _record(text: str) -> Record:
    return msgspec.json.decode(text, type=Record)


def _identity(text: str) -> Identity:
    return msgspec.json.decode(text, type=Identity)
