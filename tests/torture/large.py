"""A multi-frame image of 4 GiB goes in and out unchanged, in less memory than the box may take."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tests.images import HUGE, MIB, Shape, write_study
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system.box import AE_TITLE, Box, Target
from tests.torture.report import Report

MEMORY = 300 * MIB
_WITHIN = 900.0


def torture(folder: Path, *, shape: Shape = HUGE) -> Report:
    """Send one image through the box, compare what storescp got, and look at the runtime's peak of memory."""
    report = Report("large", cycles=1)
    place = folder / "large"
    (image,) = write_study(place / "study", images=1, shape=shape, sparse=True)
    with Storescp(place / "pacs") as pacs, Box(place / "box", Target("pacs", pacs.ae_title, pacs.port)) as box:
        began = time.monotonic()
        sent = storescu([image], box.host, box.port, called=AE_TITLE, within=_WITHIN)
        received = time.monotonic()
        report.acknowledged = len(sent.acknowledged)
        if not sent.acknowledged:
            report.violations.append(f"the box did not take {image.size()} bytes: {sent.answers[0].detail}")
            return report
        box.wait_until_delivered(within=_WITHIN)
        delivered = time.monotonic()
        (arrived,) = pacs.wait_for_images(1, within=_WITHIN)
        report.received = 1
        peak = box.peak_memory()
        if arrived.sha256() != image.sha256():
            report.violations.append(f"damaged: the PACS got {image.sop_instance_uid} with other bytes")
        if peak > MEMORY:
            report.violations.append(f"the runtime took {peak / MIB:.0f} MiB of memory, more than {MEMORY / MIB:.0f}")
    size = image.size() / MIB
    report.notes.append(
        f"{size:.0f} MiB in {received - began:.1f} s in and {delivered - received:.1f} s out; "
        f"the runtime took {peak / MIB:.0f} MiB of memory at most"
    )
    if not report.violations:
        shutil.rmtree(place)
    return report
