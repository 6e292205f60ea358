"""Which codes stood for patients and studies in de-identified images that were sent, and what they may stand for.

What a code was made of may be known to nobody later: a transform may have changed it before, and the image leaves the
spool. So the codes that were sent are kept, once for each study and destination, as long as the study is known here.
UIDs are not, for they are made of what the catalog has; only that of a derived instance is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

import apsw

from capacitord.model.codes import Coded, Kind
from capacitord.spool.catalog import Catalog, fetch, fetch_value
from capacitord.spool.filing import STUDY_SHIFT

_PAGE: Final = 2000
_RECORDED: Final = """
SELECT destination, kind, study FROM code WHERE destination IN (SELECT value FROM json_each(?))
  AND code IN (SELECT value FROM json_each(?)) ORDER BY study DESC, destination, kind
"""
_STUDIES: Final = """
SELECT id, uid, patient_id, patient_name, birth_date, accession_number FROM study WHERE id < ? ORDER BY id DESC LIMIT ?
"""
_IMAGES: Final = "SELECT id, series_uid, sop_uid FROM image WHERE id < ? ORDER BY id DESC LIMIT ?"
_WAS_SENT: Final = """
SELECT 1 FROM delivery d JOIN ack a ON a.delivery = d.id AND a.image = ?1 WHERE d.destination = ?2 AND d.study = ?3
  AND a.state IN ('done', 'warning') AND EXISTS (SELECT 1 FROM code WHERE destination = ?2 AND study = ?3)
"""
_BEYOND_ALL: Final = (1 << 63) - 1


class Recorded(NamedTuple):
    """A code was sent to a destination with a study, in place of something of this kind."""

    destination: str
    kind: Kind
    study: int


class KnownStudy(NamedTuple):
    """What the catalog knows of a study that codes may be made of."""

    study: int
    uid: str
    patient_id: str
    patient_name: str
    birth_date: str
    accession_number: str


class KnownImage(NamedTuple):
    """What the catalog knows of an image that codes may be made of."""

    image: int
    series_uid: str
    sop_uid: str

    @property
    def study(self) -> int:
        """The study it belongs to."""
        return self.image >> STUDY_SHIFT


def keep(catalog: apsw.Connection, sent: Iterable[tuple[int, Coded | None]]) -> None:
    """Keep the codes that were sent with images; what is kept stays as it is. Call it within a transaction."""
    # The study stays, when it is discarded as well; its deliveries may not.
    rows = {
        (coded.destination, code, kind, image >> STUDY_SHIFT)
        for image, coded in sent
        if coded is not None
        for kind, code in coded.codes
    }
    if rows:
        catalog.executemany("INSERT OR IGNORE INTO code VALUES (?, ?, ?, ?)", sorted(rows))


class Codebook:
    """Questions about codes, and pages of what they may stand for: the newest first, never much in memory."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def destinations(self) -> set[str]:
        """Return the destinations that were sent codes."""
        with self._catalog.read() as catalog:
            return {name for (name,) in fetch(catalog, "SELECT DISTINCT destination FROM code")}

    def recorded(self, codes: Collection[str], destinations: Collection[str]) -> list[Recorded]:
        """Return where one of these codes was sent, of these destinations; the newest study first."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _RECORDED, (json.dumps(list(destinations)), json.dumps(list(codes))))
        return [Recorded(destination, Kind(kind), study) for destination, kind, study in rows]

    def was_sent(self, destination: str, image: int) -> bool:
        """Return whether a destination acknowledged an image of a study of which codes were sent there."""
        with self._catalog.read() as catalog:
            return fetch_value(catalog, _WAS_SENT, (image, destination, image >> STUDY_SHIFT)) is not None

    def studies(self) -> Iterator[list[KnownStudy]]:
        """Yield all studies, in pages. Nothing is held while a page is looked at."""
        before = _BEYOND_ALL
        while True:
            with self._catalog.read() as catalog:
                page = [KnownStudy._make(row) for row in fetch(catalog, _STUDIES, (before, _PAGE))]
            if not page:
                return
            yield page
            before = page[-1].study

    def images(self) -> Iterator[list[KnownImage]]:
        """Yield all images, in pages, those that left the spool too. Nothing is held while a page is looked at."""
        before = _BEYOND_ALL
        while True:
            with self._catalog.read() as catalog:
                page = [KnownImage._make(row) for row in fetch(catalog, _IMAGES, (before, _PAGE))]
            if not page:
                return
            yield page
            before = page[-1].image
