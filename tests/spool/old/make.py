"""Make a spool to keep: `python -m tests.spool.old.make FOLDER`, with a version that is about to be released.

The folder is checked in as it is. A later version opens it in `test_old.py`; one that changes the format makes
another beside it and leaves this one alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from capacitord.model.outcome import Verdict
from tests.spool.kit import answer, close_studies, deliver, due, find, open_spool, take

DESTINATIONS = ("pacs", "backup")
LONG = 150_000
"""More than one chunk."""


def make(root: Path) -> None:
    """Write a spool in which there is something of everything."""
    spool = open_spool(root, destinations=DESTINATIONS)
    # Study 1 is delivered and purged, study 2 delivered, study 3 on its way, study 4 discarded, study 5 refused.
    for study in range(1, 6):
        take(spool, study, 1, size=LONG if study == 2 else 700)
        take(spool, study, 2, size=500)
    take(spool, 3, 2, size=500, variant=1)
    close_studies(spool)
    for image in due(spool):
        if image.sop_instance_uid.startswith(("1.2.3.1.", "1.2.3.2.")):
            spool.ledger.record(answer(spool.ledger.sending([image], "Images are on their way.")), 1.0)
    for image in due(spool):
        if image.sop_instance_uid.startswith("1.2.3.5."):
            sent = spool.ledger.sending([image], "Images are on their way.")
            spool.ledger.record(answer(sent, Verdict.NEEDS_PERSON, 0xA900), 2.0)
    third = [image for image in due(spool) if image.sop_instance_uid.startswith("1.2.3.3.")]
    spool.ledger.sending(third[:1], "Images are on their way.")
    deliver(spool, "backup")
    spool.housekeeping.purge(find(spool, 1), 3)
    spool.housekeeping.discard(find(spool, 4), 4, "Discarded by an operator.")
    spool.ledger.pause("backup", paused=True)
    take(spool, 6, 1, size=0)
    spool.close()
    for name in ("ballast", "lock"):
        (root / name).unlink(missing_ok=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
