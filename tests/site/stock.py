"""A real spool with images in it, taken in past the network."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from capacitord.dicom.contexts import Pair
from capacitord.dicom.header import parse_facts
from capacitord.dicom.intake import Announced
from capacitord.model.image import Arrival, Facts
from capacitord.seal.keys import SiteKey
from capacitord.spool.admission import Receipt
from capacitord.spool.disk import Disk
from capacitord.spool.routed import Decide, Routed
from capacitord.spool.store import Spool
from tests.images import CT_STORAGE, EXPLICIT_LITTLE, Image

KEY = SiteKey("st-marys", bytes(range(32)))
CT = Pair(CT_STORAGE, EXPLICIT_LITTLE)
ROOM = 16 << 20


def open_spool(
    root: Path,
    *destinations: str,
    disk: Disk | None = None,
    reserve: int = 0,
    warning: int = 0,
    decide: Decide | None = None,
) -> Spool:
    """Return the spool at `root`, whose images all go to these destinations, or as `decide` says."""
    return Spool(
        root,
        KEY,
        reserve=reserve,
        warning=warning,
        decide=decide or (lambda _, arrival: Routed(arrival.profile_version, tuple(destinations))),
        names=str,
        disk=disk,
    )


def arrival(calling_ae: str = "SCANNER") -> Arrival:
    return Arrival(calling_ae, "FLUXBOX", "127.0.0.1", time.time_ns(), 1)


def put(spool: Spool, facts: Facts, data: bytes, calling_ae: str = "SCANNER") -> Receipt:
    """Take in any bytes as the image that `facts` tell of."""
    incoming = spool.begin(arrival(calling_ae))
    incoming.write(memoryview(data))
    return incoming.commit(facts)


def put_images(
    spool: Spool,
    count: int = 1,
    *,
    study: str = "1.2.3",
    first: int = 1,
    pair: Pair = CT,
    size: int = 1000,
    calling_ae: str = "SCANNER",
) -> list[str]:
    """Take in made-up images of one study and return their SOP Instance UIDs; the bytes are no dataset."""
    uids = []
    for number in range(first, first + count):
        uids.append(f"{study}.{number}")
        put(spool, facts_of(uids[-1], study, pair), content(number, size), calling_ae)
    spool.settle()
    return uids


def content(number: int, size: int = 1000) -> bytes:
    """Return the bytes that `put_images` gives to an image."""
    return (number.to_bytes(4, "big") + bytes(range(256)) * (size // 256 + 1))[:size]


def facts_of(uid: str, study: str, pair: Pair = CT) -> Facts:
    return Facts(pair.sop_class_uid, uid, pair.transfer_syntax_uid, study, f"{study}.0", modality="CT")


def put_files(spool: Spool, images: Iterable[Image], calling_ae: str = "SCANNER") -> list[str]:
    """Take in real images and return their SOP Instance UIDs. A dataset of odd length is padded (PS3.5 §A.5)."""
    uids = []
    for image in images:
        announced = Announced(
            image.sop_class_uid, image.sop_instance_uid, image.transfer_syntax_uid, arrival(calling_ae)
        )
        data = image.dataset()
        data += b"\0" * (len(data) % 2)
        put(spool, parse_facts(data, announced), data, calling_ae)
        uids.append(image.sop_instance_uid)
    spool.settle()
    return uids


def waiting(spool: Spool, destination: str = "pacs") -> list[str]:
    """Return the SOP Instance UIDs that wait for a destination, in the order in which they are due."""
    found: list[str] = []
    beyond = None
    while page := spool.ledger.due(destination, 3, beyond=beyond):
        found += [pending.sop_instance_uid for pending in page]
        beyond = page[-1]
    return found


def set_priority(spool: Spool, study_uid: str, priority: int) -> None:
    """Give a study's deliveries a priority, as routes will."""
    with spool._catalog.change() as catalog:
        catalog.execute(
            "UPDATE delivery SET priority = ? WHERE study = (SELECT id FROM study WHERE uid = ?)", (priority, study_uid)
        )


def acks(spool: Spool, study_uid: str, destination: str = "pacs") -> dict[str, tuple[str, str]]:
    """Return state and reason of each image of a study at one destination, by SOP Instance UID."""
    study, _ = spool.studies.find(study_uid)
    return {
        image.sop_instance_uid: (str(ack.state), ack.reason)
        for image in spool.studies.detail(study, "").images
        for ack in image.acks
        if ack.destination == destination
    }


def states(spool: Spool, study_uid: str, destination: str = "pacs") -> Sequence[str]:
    """Return the distinct states of a study's images at a destination."""
    return sorted({state for state, _ in acks(spool, study_uid, destination).values()})
