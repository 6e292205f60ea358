"""What the real daemon keeps, for how long, and in how little memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images import MIB, TINY, TOMOSYNTHESIS_STORAGE, Shape, write_study
from tests.peers.program import free_port
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system.box import AE_TITLE, Box, Target
from tests.system.contents import digests
from tests.wait import wait_for

pytestmark = pytest.mark.peers

LARGE = Shape(2048, 2048, 75, "MG", TOMOSYNTHESIS_STORAGE)
"""600 MiB."""
MEMORY = 300 * MIB


def test_only_what_every_destination_has_is_purged_after_its_time(tmp_path: Path) -> None:
    first = write_study(tmp_path / "first", images=3, shape=TINY, seed=1)
    second = write_study(tmp_path / "second", images=3, shape=TINY, seed=2)
    with Storescp(tmp_path / "pacs") as pacs:
        target = Target("pacs", pacs.ae_title, pacs.port)
        with Box(tmp_path / "box", target, keep_delivered="1s") as box:
            assert len(storescu(first, box.host, box.port).acknowledged) == 3
            box.wait_until_delivered()
            box.serve(target, Target("dead", "NOBODY", free_port()))
            assert len(storescu(second, box.host, box.port).acknowledged) == 3
            box.wait_until_delivered("pacs")
            assert digests(box).keys() >= {image.sop_instance_uid for image in second}
            wait_for(
                lambda: {study.purged for study in box.studies()} == {0, 3}, within=60, what="the first study to leave"
            )
            assert digests(box) == {image.sop_instance_uid: {image.sha256()} for image in second}
            box.wait_for_spool(images=3)
            # The PACS keeps what it acknowledged, and an image that comes again is a new one.
            assert len(storescu(first[:1], box.host, box.port).acknowledged) == 1
            box.wait_until_delivered("pacs")
            assert digests(box).keys() == {image.sop_instance_uid for image in [first[0], *second]}


def test_a_large_image_passes_in_little_memory(tmp_path: Path) -> None:
    (image,) = write_study(tmp_path / "study", images=1, shape=LARGE, sparse=True)
    with Storescp(tmp_path / "pacs") as pacs, Box(tmp_path / "box", Target("pacs", pacs.ae_title, pacs.port)) as box:
        # Without an option storescu proposes no SOP class as young as tomosynthesis.
        sent = storescu([image], box.host, box.port, called=AE_TITLE)
        assert sent.acknowledged, sent.output
        box.wait_until_delivered()
        (received,) = pacs.wait_for_images(1)
        assert received.sha256() == image.sha256()
        assert box.peak_memory() < MEMORY
