"""What was done here and the audit log may not have yet. A deed's row is written in the deed's transaction.

The audit log is another process's, which a power cut ends as well. So a row stays until that process says that the
entry is on stable storage, over restarts and for as long as the site is not active; until then it is told of again.
It has nothing of a patient that the entry will not have: short ids, names of the profile, and why.

Most of what people do has its entry before its row is told of. The row is for what was done just before a crash.

Nothing of it can be read again from sealed objects. A catalog that is lost takes rows and decisions along; what is
decided anew is told of anew.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Collection
from typing import Final, NamedTuple

import apsw

from capacitord.spool.catalog import Catalog, fetch

_ID_BYTES: Final = 16
_OLDEST: Final = "SELECT id, at, action, subjects, detail FROM untold ORDER BY number LIMIT ?"


class Deed(NamedTuple):
    """What is done, to what, and why; free of patient data.

    `id` is the one by which the audit log knows that a person asked for it; empty for what the box does by itself.
    """

    action: str
    subjects: tuple[str, ...]
    detail: str
    id: str = ""


class Untold(NamedTuple):
    """A deed that was done `at` a time, in nanoseconds since the epoch. No other has its `id`, of any catalog."""

    id: str
    at: int
    deed: Deed


class Outbox:
    """What is still to be told. Any thread may ask."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def oldest(self, limit: int) -> list[Untold]:
        """Return the deeds that were done first, in that order."""
        with self._catalog.read() as catalog:
            rows = fetch(catalog, _OLDEST, (limit,))
        return [Untold(id_, at, Deed(action, tuple(json.loads(to)), words)) for id_, at, action, to, words in rows]

    def put(self, deed: Deed) -> None:
        """Have something told of that changes nothing else here. Raises what the catalog raises."""
        with self._catalog.change() as catalog:
            add(catalog, deed)

    def told(self, ids: Collection[str]) -> None:
        """Forget deeds of which there are entries; what is not here any more is passed over."""
        with self._catalog.change() as catalog:
            catalog.executemany("DELETE FROM untold WHERE id = ?", [(each,) for each in ids])


def add(catalog: apsw.Connection, deed: Deed) -> None:
    """Have a deed told of. Call it in the transaction that does it."""
    id_ = deed.id or secrets.token_hex(_ID_BYTES)
    row = (id_, time.time_ns(), deed.action, json.dumps(deed.subjects), deed.detail)
    catalog.execute("INSERT INTO untold (id, at, action, subjects, detail) VALUES (?, ?, ?, ?, ?)", row)
