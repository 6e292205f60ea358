"""Counting by hand what the catalog's triggers count."""

from __future__ import annotations

from capacitord.spool.catalog import fetch
from capacitord.spool.store import Spool

_COUNTED_AND_BY_HAND = {
    "SELECT id, images, bytes, filled >= bytes FROM segment WHERE filled > 0 ORDER BY id": """
        SELECT s.id, total(i.here), total(i.here * i.length), 1 FROM segment s LEFT JOIN image i ON i.segment = s.id
        WHERE s.filled > 0 GROUP BY s.id ORDER BY s.id""",
    "SELECT id, images, bytes, conflict_bytes, conflicts, corrupt, purged, last_received FROM study ORDER BY id": """
        SELECT id >> 24, total(NOT replaced), total(here * length), total(here * conflict * length),
          total(conflict AND purged_at IS NULL), total(ruin), total(purged_at IS NOT NULL AND NOT replaced),
          max(received_at)
        FROM image GROUP BY id >> 24 ORDER BY 1""",
    "SELECT id, waiting, waiting_bytes, doubtful FROM delivery ORDER BY id": """
        SELECT d.id, count(w.image), total(w.bytes), total(w.doubt = 2) FROM delivery d
        LEFT JOIN waiting w ON w.delivery = d.id GROUP BY d.id ORDER BY d.id""",
    "SELECT id, unrouted, held, held_bytes FROM study ORDER BY id": """
        SELECT id >> 24, total(here AND routing = 1), total(here AND routing > 1), total(here * (routing > 1) * length)
        FROM image GROUP BY id >> 24 ORDER BY 1""",
    "SELECT id, done, warned, refused, held, moved FROM delivery ORDER BY id": """
        SELECT d.id, total(a.state = 'done'), total(a.state = 'warning'), total(a.state = 'refused'),
          total(a.state = 'held'), total(a.state = 'moved') FROM delivery d
        LEFT JOIN ack a ON a.delivery = d.id GROUP BY d.id ORDER BY d.id""",
}


def recount(spool: Spool) -> None:
    """Fail if any counter is not what counting by hand gives."""
    spool.settle()
    with spool._catalog.read() as reader:
        for counted, by_hand in _COUNTED_AND_BY_HAND.items():
            assert fetch(reader, counted) == fetch(reader, by_hand)
