"""Delivery to one destination: everything queued arrives exactly once, whatever happens on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.site.pacs import Pacs
from tests.site.rig import destination, rig
from tests.site.stock import content, put_images, states


@pytest.mark.parametrize("associations", [1, 4])
def test_everything_arrives_once_and_as_it_was_received(tmp_path: Path, associations: int) -> None:
    with Pacs() as pacs, rig(tmp_path, destination("pacs", pacs.port, associations=associations)) as box:
        uids = [uid for study in range(5) for uid in put_images(box.spool, 60, study=f"1.2.{study}", first=study)]
        box.wake()
        status = box.wait_until_delivered()
        assert pacs.counts == dict.fromkeys(uids, 1)
        assert all(pacs.stored[uid] == [content(int(uid.rpartition(".")[2]))] for uid in uids)
        assert status.delivered_images == len(uids)
        assert states(box.spool, "1.2.0") == ["done"]
        assert 1 < len(pacs.associations) <= associations or associations == len(pacs.associations) == 1
