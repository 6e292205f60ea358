"""How fast images leave: the box against dcmsend, and the box taking in and delivering at once."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.receive import Load, send
from tests.bench.receivers import Receiver, ours
from tests.peers.program import dcmtk_environment
from tests.peers.storescp import Storescp
from tests.system.box import Box, Target

DCMSEND = "/usr/bin/dcmsend"
_PATIENCE = 600
_GLANCE = 0.002
"""Seconds between two looks at what the PACS has."""


def by_dcmsend(folder: Path, load: Load) -> float:
    """Return the seconds an image takes from dcmsend to storescp."""

    def sending(folders: list[Path]) -> float:
        began = time.perf_counter()
        subprocess.run(
            [DCMSEND, "-aec", peer.ae_title, "127.0.0.1", str(peer.port), "+sd", *map(str, folders)],
            env=dcmtk_environment(nagle=False),
            check=True,
            capture_output=True,
            timeout=_PATIENCE,
        )
        return time.perf_counter() - began

    folder.mkdir(parents=True)
    try:
        with Storescp(folder) as peer:
            sending(load.first)
            around = sending(load.again)
            return (sending(load.folders) - around) / (load.images - len(load.first))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def delivering(folder: Path) -> Iterator[tuple[Storescp, Receiver, Box]]:
    """Run storescp, and the box with it as its destination."""
    try:
        (folder / "pacs").mkdir(parents=True)
        with (
            Storescp(folder / "pacs") as peer,
            ours(folder / "box", Target("pacs", peer.ae_title, peer.port)) as (receiver, box),
        ):
            yield peer, receiver, box
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def arrived(peer: Storescp, images: int) -> float:
    """Wait until the PACS has begun to write this many images; return when."""
    deadline = time.perf_counter() + _PATIENCE
    while sum(1 for _ in peer.received_path.iterdir()) < images:
        if time.perf_counter() > deadline:
            msg = f"the PACS holds {len(peer.received())} of {images} images"
            raise AssertionError(msg)
        time.sleep(_GLANCE)
    return time.perf_counter()


def by_box(folder: Path, load: Load) -> float:
    """Return the seconds an image takes from the box to storescp, from the first to the last of a queue."""
    with delivering(folder) as (peer, receiver, box):
        box.client.queue_pause("pacs")
        send(load.folders, receiver, nagle=False)
        box.client.queue_resume("pacs")
        began = arrived(peer, 1)
        return (arrived(peer, load.images) - began) / (load.images - 1)


def at_once(folder: Path, load: Load) -> tuple[float, float]:
    """Take in while delivering; return the seconds an image takes until the scanner, and until the PACS has it."""
    with delivering(folder) as (peer, receiver, box):
        send(load.first, receiver, nagle=False)
        around = send(load.again, receiver, nagle=False)
        box.wait_until_delivered("pacs", within=_PATIENCE)
        began = time.perf_counter()
        taken = send(load.folders, receiver, nagle=False)
        box.wait_until_delivered("pacs", within=_PATIENCE)
        through = time.perf_counter() - began
        if len(peer.received()) != load.images + 2 * len(load.first):
            msg = f"the PACS holds {len(peer.received())} images"
            raise AssertionError(msg)
        images = load.images - len(load.first)
        return (taken - around) / images, (through - around) / images
