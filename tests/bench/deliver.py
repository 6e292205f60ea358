"""How fast images leave: the box against dcmsend, and the box taking in and delivering at once."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from tests.bench.receive import send
from tests.bench.receivers import ours
from tests.bench.workloads import Workload
from tests.peers.program import dcmtk_environment
from tests.peers.storescp import Storescp
from tests.system.box import Target
from tests.wait import wait_for

DCMSEND = "/usr/bin/dcmsend"
_PATIENCE = 600


def by_dcmsend(folder: Path, folders: list[Path]) -> float:
    """Return the seconds dcmsend takes to send a study to storescp, reading and start-up included."""
    folder.mkdir(parents=True)
    try:
        with Storescp(folder) as peer:
            began = time.perf_counter()
            subprocess.run(
                [DCMSEND, "-aec", peer.ae_title, "127.0.0.1", str(peer.port), "+sd", *map(str, folders)],
                env=dcmtk_environment(nagle=False),
                check=True,
                capture_output=True,
                timeout=_PATIENCE,
            )
            return time.perf_counter() - began
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def by_box(folder: Path, folders: list[Path], images: int) -> float:
    """Return the seconds the box takes from the end of a pause until its ledger has every acknowledgement."""
    try:
        (folder / "pacs").mkdir(parents=True)
        with (
            Storescp(folder / "pacs") as peer,
            ours(folder / "box", Target("pacs", peer.ae_title, peer.port)) as (receiver, box),
        ):
            box.client.queue_pause("pacs")
            send(folders, receiver, nagle=False)
            began = time.perf_counter()
            box.client.queue_resume("pacs")
            wait_for(lambda: box.destination("pacs").waiting_images == 0, within=_PATIENCE, what="the queue to empty")
            seconds = time.perf_counter() - began
            if len(peer.received()) != images:
                msg = f"the PACS holds {len(peer.received())} of {images} images"
                raise AssertionError(msg)
            return seconds
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def at_once(folder: Path, workload: Workload, folders: list[Path]) -> tuple[float, float]:
    """Take in while delivering; return the seconds until the scanner was content and until the PACS had all."""
    try:
        (folder / "pacs").mkdir(parents=True)
        with (
            Storescp(folder / "pacs") as peer,
            ours(folder / "box", Target("pacs", peer.ae_title, peer.port)) as (receiver, box),
        ):
            began = time.perf_counter()
            taken = send(folders, receiver, nagle=False)
            wait_for(
                lambda: box.destination("pacs").delivered_images == workload.images,
                within=_PATIENCE,
                what="all images to be delivered",
            )
            return taken, time.perf_counter() - began
    finally:
        shutil.rmtree(folder, ignore_errors=True)
