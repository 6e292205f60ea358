"""What the tests of the spool share: images that follow from their UIDs, and a spool to put them into."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from capacitord.errors import NotFound
from capacitord.model.image import Arrival, Facts
from capacitord.model.outcome import Outcome, Verdict
from capacitord.seal.keys import SiteKey
from capacitord.seal.sealed import PAYLOAD_SIZE
from capacitord.spool.admission import Receipt
from capacitord.spool.disk import Disk
from capacitord.spool.ledger import Answer, Pending
from capacitord.spool.routed import Decide, Routed
from capacitord.spool.store import Spool

KEY = SiteKey("st-marys", bytes(range(32)))
SMALL = 20_000
LARGEST_SMALL = 8 * PAYLOAD_SIZE - 1
"""The most that shares a segment: one byte more, and the image has a file of its own."""
LARGE = LARGEST_SMALL + 1

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DESTINATIONS = ("pacs",)


def study_uid(study: int) -> str:
    return f"1.2.3.{study}"


def sop_uid(study: int, number: int) -> str:
    return f"1.2.3.{study}.1.{number}"


def facts(study: int = 1, number: int = 1, *, modality: str = "CT", syntax: str = EXPLICIT) -> Facts:
    return Facts(
        CT,
        sop_uid(study, number),
        syntax,
        study_uid(study),
        f"1.2.3.{study}.1",
        patient_name=f"Synthetic^Patient{study}",
        patient_id=f"COACH-{study:06}",
        accession_number=f"ACC{study:06}",
        study_date="20240229",
        study_description=f"Synthetic study {study}",
        modality=modality,
        series_number=1,
        instance_number=number,
    )


def content(uid: str, size: int, variant: int = 0) -> bytes:
    """Return the dataset of an image: `size` bytes that follow from its UID, others for another `variant`."""
    return hashlib.shake_128(f"{uid} {variant}".encode()).digest(size)


def arrival(now: int | None = None) -> Arrival:
    return Arrival("SCANNER", "FLUXBOX", "10.0.0.7", time.time_ns() if now is None else now)


def open_spool(
    root: Path,
    *,
    key: SiteKey = KEY,
    destinations: Callable[[Facts], tuple[str, ...]] | tuple[str, ...] = DESTINATIONS,
    disk: Disk | None = None,
    reserve: int = 0,
) -> Spool:
    route = destinations if callable(destinations) else lambda _: destinations
    return Spool(root, key, reserve=reserve, warning=0, decide=to(route), disk=disk)


def to(route: Callable[[Facts], tuple[str, ...]]) -> Decide:
    """Return what decides at once, as a profile without routes does."""
    return lambda facts, arrival: Routed(arrival.profile_version, route(facts))


@contextlib.contextmanager
def opened(
    root: Path,
    *,
    destinations: Callable[[Facts], tuple[str, ...]] | tuple[str, ...] = DESTINATIONS,
    disk: Disk | None = None,
) -> Iterator[Spool]:
    """Open a spool for the block."""
    spool = open_spool(root, destinations=destinations, disk=disk)
    try:
        yield spool
    finally:
        spool.close()


def take(spool: Spool, study: int = 1, number: int = 1, *, size: int = SMALL, variant: int = 0) -> Receipt:
    """Have the spool take one image in."""
    incoming = spool.begin(arrival())
    try:
        incoming.write(memoryview(content(sop_uid(study, number), size, variant)))
        return incoming.commit(facts(study, number))
    finally:
        incoming.abandon()


def find(spool: Spool, study: int = 1) -> int:
    """Return a study's id."""
    return spool.studies.find(study_uid(study))[0]


def datasets(spool: Spool, study: int = 1) -> dict[str, bytes]:
    """Return the images of a study that can be sent: their datasets by UID; none if there is no such study."""
    spool.settle()
    found: dict[str, bytes] = {}
    with contextlib.suppress(NotFound):
        for image in spool.studies.sendable(find(spool, study)):
            found[image.sop_instance_uid] = b"".join(bytes(chunk) for chunk in image.stored.chunks())
    return found


def due(spool: Spool, destination: str = "pacs") -> list[Pending]:
    spool.settle()
    return spool.ledger.due(destination, 10_000)


def answer(
    images: Iterable[Pending],
    verdict: Verdict = Verdict.DONE,
    status: int | None = 0,
    profile_version: int | None = None,
) -> list[Answer]:
    outcome, now = Outcome(verdict, f"It was {verdict}.", status), time.time_ns()
    return [Answer(image.image, image.delivery, outcome, now, profile_version=profile_version) for image in images]


def deliver(spool: Spool, destination: str = "pacs") -> None:
    """Have a destination acknowledge all that waits for it."""
    images = spool.ledger.sending(due(spool, destination), "Images are on their way.")
    spool.ledger.record(answer(images), spool.tick())


def close_studies(spool: Spool) -> None:
    """Take all studies as arrived."""
    spool.close_arrived(0.0)


def as_after_a_kill(root: Path, copy: Path) -> Path:
    """Copy a spool's folder as it is now, open or not; return the copy."""
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("ballast", "*-shm"))
    return copy


def parts_left(root: Path) -> list[Path]:
    """Return the files that were never finished."""
    return sorted(root.rglob("*.part"))
