"""How quick `fluxctl held list` is with many studies waiting, beside a worklist as long as a busy region's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from capacitord.api.review import ListHeld
from tests.bench.command import FLUXCTL, milliseconds
from tests.bench.worklist import box_with, source_of
from tests.images import read_image
from tests.peers.senders import storescu
from tests.site.routes import write_image
from tests.system.box import AE_TITLE, PATIENCE
from tests.wait import wait_for

STUDIES: Final = 500


def listing(folder: Path, studies: int, entries: int, rounds: int) -> dict[str, float]:
    """Return the median times of a list of so many studies, each of a patient who is on the list for something else."""
    folder.mkdir()
    images = [
        write_image(folder / "images", f"1.2.{number + 3}", 1, PatientID=f"P{number:05}", AccessionNumber=f"X{number}")
        for number in range(studies)
    ]
    try:
        with (
            source_of(folder / "ris", entries) as ris,
            box_with(folder / "box", ris, entries, spool={"study_quiet": "1s"}) as box,
        ):
            assert storescu(list(map(read_image, images)), box.host, box.port, called=AE_TITLE).acknowledged == images
            wait_for(
                lambda: box.client.held_list(ListHeld(limit=1)).total == studies,
                within=PATIENCE,
                what=f"{studies} studies to be held",
            )
            environment = {**os.environ, "CAPACITORD_SOCKET": str(box.client.socket_path)}
            return {
                f"fluxctl held list, {studies} studies": milliseconds(
                    [FLUXCTL, "held", "list", "--all"], rounds, environment
                ),
                "the same as JSON": milliseconds([FLUXCTL, "held", "list", "--all", "--json"], rounds, environment),
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
