"""Studies that leave whole: where their images go is kept here until it is decided of all, and nothing holds one.

An image of which it is decided that it leaves stays as not decided, with its decision beside it. With the last one the
study leaves in that same transaction, or all that could leave waits for what cannot (`model.completeness.Obstacles`).
It is decided anew when nothing is in the way any more. Call all of this within a transaction.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import apsw
import msgspec

from capacitord.model.completeness import Obstacles, why_together
from capacitord.model.states import StudyState
from capacitord.spool import evidence
from capacitord.spool.catalog import fetch, fetch_value
from capacitord.spool.filing import bounds
from capacitord.spool.routed import Routed, Standing

UNDECIDED: Final = """
i.conflict AND i.here AND i.routing = 0
  AND NOT EXISTS (SELECT 1 FROM delivery d JOIN waiting w ON w.delivery = d.id AND w.image = i.id
                  WHERE d.study = i.id >> 24)
  AND NOT EXISTS (SELECT 1 FROM delivery d JOIN ack a ON a.delivery = d.id AND a.image = i.id
                  WHERE d.study = i.id >> 24)
"""
"""Says of an image `i` that it is in conflict, and nobody has it sent or set aside: nobody gets it."""

_HOLD: Final = """
UPDATE image SET routing = ?1, held = ?2, decided_by = NULL
WHERE id BETWEEN ?3 AND ?4 AND routing = ?5 AND here AND NOT conflict
"""
_FREE: Final = """
UPDATE image SET routing = ?1, held = '', decided_by = NULL WHERE id BETWEEN ?2 AND ?3 AND routing = ?4
"""
_UNHELD: Final = """
UPDATE image SET routing = ?2, route = NULL, decided_by = NULL, held = ''
WHERE id = ?1 AND here AND NOT conflict AND routing > ?2 AND decided_by != ?3
"""
_STAGED: Final = """
SELECT s.image, i.received_at, s.routed FROM staged s CROSS JOIN image i ON i.id = s.image
WHERE s.image BETWEEN ? AND ? ORDER BY s.image
"""
_WAITING: Final = "SELECT count(*) FROM image WHERE routing > 0 AND routing = ? AND id BETWEEN ? AND ? AND here"
_TWICE: Final = f"SELECT count(*) FROM image i WHERE i.id BETWEEN ? AND ? AND {UNDECIDED}"  # noqa: S608 - of constants
_DAMAGED: Final = """
SELECT count(*) FROM image i WHERE i.id BETWEEN ? AND ? AND i.ruin AND NOT i.conflict AND NOT EXISTS (
  SELECT 1 FROM delivery d JOIN ack a ON a.delivery = d.id AND a.image = i.id
  WHERE d.study = i.id >> 24 AND a.state IN ('done', 'warning')
)
"""
WAIT_FOR_OTHERS: Final = (Standing.MISSING, Standing.TOGETHER)
"""How an image stands that nothing holds but others of its study."""


class Staged(NamedTuple):
    """An image that may leave with its study; `received_at` is in nanoseconds since the epoch."""

    image: int
    received_at: int
    routed: Routed


def stage(catalog: apsw.Connection, image: int, routed: Routed) -> bool:
    """Keep where an image goes once its study leaves, if that is still to be decided; return whether it was kept.

    One that another version of the profile held is to be decided again.
    """
    catalog.execute(_UNHELD, (image, Standing.OPEN, routed.version))
    is_open = "SELECT 1 FROM image WHERE id = ? AND routing = ? AND here AND NOT conflict"
    if fetch_value(catalog, is_open, (image, Standing.OPEN)) is None:
        return False
    text = msgspec.json.encode(routed).decode()
    catalog.execute("INSERT OR REPLACE INTO staged VALUES (?, ?, ?)", (image, routed.version, text))
    return True


def drop(catalog: apsw.Connection, version: int | None) -> None:
    """Forget decisions that were not made under this version of the profile; all of them without one."""
    catalog.execute("DELETE FROM staged WHERE ?1 IS NULL OR version != ?1", (version,))


def studies(catalog: apsw.Connection) -> list[int]:
    """Return the studies of which decisions are kept."""
    return [study for (study,) in fetch(catalog, "SELECT DISTINCT image >> 24 FROM staged ORDER BY 1")]


def leaving(catalog: apsw.Connection, study: int) -> list[Staged]:
    """Return the images of a study that leave now: none, or all of which it was to be decided.

    None do while its images arrive or one is not decided. If images are missing or one cannot leave, they are held.
    """
    low, high = bounds(study)
    uid, state, unrouted = fetch(catalog, "SELECT uid, state, unrouted FROM study WHERE id = ?", (study,))[0]
    count = fetch_value(catalog, "SELECT count(*) FROM staged WHERE image BETWEEN ? AND ?", (low, high))
    if StudyState(state) is StudyState.RECEIVING or not unrouted or count != unrouted:
        return []
    missing, why = evidence.missing(catalog, uid).images, why_together(_obstacles(catalog, study))
    if missing:
        hold_incomplete(catalog, study, missing)
    elif why:
        catalog.execute(_HOLD, (Standing.TOGETHER, why, low, high, Standing.OPEN))
    elif not free(catalog, study):
        rows = fetch(catalog, _STAGED, (low, high))
        return [Staged(image, at, msgspec.json.decode(text, type=Routed)) for image, at, text in rows]
    return []


def free(catalog: apsw.Connection, study: int) -> bool:
    """Have it decided again where images go that waited for others, if nothing is in the way; say if there are any."""
    low, high = bounds(study)
    if not fetch_value(catalog, _WAITING, (Standing.TOGETHER, low, high)):
        return False
    why = why_together(_obstacles(catalog, study))
    if why:
        catalog.execute(
            "UPDATE image SET held = ?1 WHERE id BETWEEN ?2 AND ?3 AND routing = ?4 AND held != ?1",
            (why, low, high, Standing.TOGETHER),
        )
        return False
    catalog.execute(_FREE, (Standing.OPEN, low, high, Standing.TOGETHER))
    return True


def hold_incomplete(catalog: apsw.Connection, study: int, missing: int) -> None:
    """Hold what is to be decided of a study of which so many images are missing."""
    one = missing == 1
    what = f"{'1 image' if one else f'{missing} images'} that the scanner named {'has' if one else 'have'}"
    words = f"{what} not arrived, and whole studies only are sent"
    catalog.execute(_HOLD, (Standing.MISSING, words, *bounds(study), Standing.OPEN))


def free_complete(catalog: apsw.Connection, study: int) -> None:
    """Have it decided where images of a study go that were held because others were missing."""
    catalog.execute(_FREE, (Standing.OPEN, *bounds(study), Standing.MISSING))


def free_all(catalog: apsw.Connection) -> set[int]:
    """Have it decided where images go that wait for nothing but others of their study; return the studies.

    For a profile that sends images as they arrive.
    """
    rows = [
        row
        for standing in WAIT_FOR_OTHERS
        for row in fetch(catalog, "SELECT DISTINCT id >> 24 FROM image WHERE routing > 0 AND routing = ?", (standing,))
    ]
    studies = {study for (study,) in rows}
    for study in studies:
        for standing in WAIT_FOR_OTHERS:
            catalog.execute(_FREE, (Standing.OPEN, *bounds(study), standing))
    return studies


def _obstacles(catalog: apsw.Connection, study: int) -> Obstacles:
    """Return what of a study cannot leave."""
    span = bounds(study)
    held, conflicts, corrupt = fetch(catalog, "SELECT held, conflicts, corrupt FROM study WHERE id = ?", (study,))[0]
    others = fetch_value(catalog, _WAITING, (Standing.TOGETHER, *span)) if held else 0
    return Obstacles(
        held - others,
        fetch_value(catalog, _TWICE, span) if conflicts else 0,
        fetch_value(catalog, _DAMAGED, span) if corrupt else 0,
    )
