"""What the container around a site's runtime costs: when it starts, and while images arrive."""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from tests.bench.receivers import BARE, ours
from tests.system.box import PATIENCE, SITE, Box
from tests.wait import wait_for

KINDS: Final[Mapping[str, Sequence[str]]] = MappingProxyType({"contained": (), "plain": BARE})
"""What is in front of the box's command for a runtime in a container, and for an ordinary process."""


def starts(folder: Path, rounds: int) -> dict[str, float]:
    """Return the median seconds from `site activate` to an open port, for each kind, in turn within a round."""
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with (
        ours(folder / "contained", before=KINDS["contained"]) as (_, contained),
        ours(folder / "plain", before=KINDS["plain"]) as (_, plain),
    ):
        for _ in range(rounds + 1):
            for kind, box in (("contained", contained), ("plain", plain)):
                took[kind].append(_start(box))
                assert box.wait_until_open().runtime.isolated is (kind == "contained")
    return {kind: statistics.median(seconds[1:]) for kind, seconds in took.items()}


def _start(box: Box) -> float:
    box.client.site_deactivate("the bench")
    wait_for(lambda: not box.status().runtime.pid and not _connects(box), within=PATIENCE, what="the box to be parked")
    began = time.perf_counter()
    box.client.site_activate(SITE, "the bench")
    wait_for(lambda: _connects(box), within=PATIENCE, what="the port to be open")
    return time.perf_counter() - began


def _connects(box: Box) -> bool:
    with socket.socket() as scanner:
        return scanner.connect_ex((box.host, box.port)) == 0
