"""How fast images are changed on their way, beside the command-line tools that do the same to files.

The box takes a study in, queued; then its destination is resumed. What counts is the time from the first image the
PACS has to the last: reading, unsealing, changing, sending and writing down the answer. A tool reads and writes files.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.bench.deliver import arrived
from tests.bench.receive import Load, send
from tests.bench.receivers import Receiver, ours
from tests.peers.storescp import Storescp
from tests.system.box import Box, Target

_PATIENCE: Final = 900
_TAKES_ALL: Final = ("+xa",)
"""storescp accepts every transfer syntax it knows."""
_SET_AND_REMOVE: Final = {
    "set": {"InstitutionName": "St. Mary's Hospital", "StationName": "COACH1"},
    "remove": ["Manufacturer", "StudyID"],
}


class Change(NamedTuple):
    """One kind of change: what the profile says, and the tool that does it to files, one call for each or for all."""

    name: str
    settings: dict[str, Any]
    transforms: tuple[dict[str, Any], ...]
    tool: str
    by_tool: Callable[[Sequence[Path], Path], Iterator[list[str]]]


def _dcmodify(files: Sequence[Path], _folder: Path) -> Iterator[list[str]]:
    yield ["/usr/bin/dcmodify", "-nb", "-i", "(0008,0080)=St. Mary's Hospital", "-i", "(0008,1010)=COACH1",
           "-ea", "(0008,0070)", "-ea", "(0020,0010)", *map(str, files)]  # fmt: skip


def _each(*command: str) -> Callable[[Sequence[Path], Path], Iterator[list[str]]]:
    def calls(files: Sequence[Path], folder: Path) -> Iterator[list[str]]:
        for file in files:
            yield [*command, str(file), str(folder / f"{file.name}.out")]

    return calls


CHANGES: Final = (
    Change("set and remove", {}, (_SET_AND_REMOVE,), "dcmodify", _dcmodify),
    Change("JPEG Lossless", {"compress": "JPEGLosslessSV1"}, (), "dcmcjpeg", _each("/usr/bin/dcmcjpeg", "+e1")),
    Change("JPEG 2000 lossless", {"compress": "JPEG2000Lossless"}, (), "gdcmconv", _each("/usr/bin/gdcmconv", "--j2k")),
)


def by_tool(change: Change, study: Path, folder: Path) -> float:
    """Return the seconds an image takes when a tool changes files."""
    try:
        shutil.copytree(study, folder)
        files = sorted(folder.iterdir())
        began = time.perf_counter()
        for call in change.by_tool(files, folder):
            subprocess.run(call, check=True, capture_output=True, timeout=_PATIENCE)
        return (time.perf_counter() - began) / len(files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def changing(folder: Path, change: Change | None) -> Iterator[tuple[Storescp, Receiver, Box]]:
    """Run storescp, and the box whose profile changes what goes there; without a change it forwards."""
    settings = {} if change is None else change.settings
    try:
        (folder / "pacs").mkdir(parents=True)
        with (
            Storescp(folder / "pacs", options=_TAKES_ALL) as peer,
            ours(folder / "box", Target("pacs", peer.ae_title, peer.port, settings=settings)) as (receiver, box),
        ):
            if change is not None and change.transforms:
                box.transforms = [dict(each) for each in change.transforms]
                box.serve(*box.targets)
            yield peer, receiver, box
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def by_box(change: Change | None, study: Path, folder: Path) -> float:
    """Return the seconds an image takes from the queue to the PACS, changed on its way."""
    with changing(folder, change) as (peer, receiver, box):
        images = _queued(study, receiver, box)
        box.client.queue_resume("pacs")
        began = arrived(peer, 1)
        seconds = (arrived(peer, images) - began) / (images - 1)
        box.wait_until_delivered("pacs", within=_PATIENCE)
        return seconds


def while_busy(change: Change, study: Path, load: Load, folder: Path) -> float:
    """Return the seconds an image takes to be received while others are changed and sent."""
    with changing(folder, change) as (peer, receiver, box):
        send(load.first, receiver, nagle=False)
        around = send(load.again, receiver, nagle=False)
        box.wait_until_delivered("pacs", within=_PATIENCE)
        before = len(peer.received())
        images = _queued(study, receiver, box)
        box.client.queue_resume("pacs")
        arrived(peer, before + 1)
        seconds = (send(load.folders, receiver, nagle=False) - around) / (load.images - len(load.first))
        if len(peer.received()) >= before + images:
            msg = f"all {images} images were sent before the others were received: take more of them"
            raise AssertionError(msg)
        return seconds


def _queued(study: Path, receiver: Receiver, box: Box) -> int:
    box.client.queue_pause("pacs")
    send([study], receiver, nagle=False)
    return sum(1 for _ in study.iterdir())
