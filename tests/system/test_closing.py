"""A box that goes over to another site while scanners are connected: what they sent before stays where it belongs."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.images import TINY, Image, write_study
from tests.peers.wire import Ended, Wire
from tests.supervisor.daemon import PROFILE, REAL, Daemon, can_connect, running
from tests.wait import wait_for

pytestmark = pytest.mark.peers

GRACE = 1.5
SUCCESS = 0


def connect(port: int, image: Image) -> Wire:
    return Wire("127.0.0.1", port, [(image.sop_class_uid, image.transfer_syntax_uid)])


def images_of(daemon: Daemon, site: str) -> int:
    """Return how many images are in the spool of a site, once that is open."""

    def told() -> Any:
        status = daemon.get("/v1/status")
        return status["traffic"] if status["gate"]["may_scan"] and status["site"]["id"] == site else None

    return int(wait_for(told, what=f"{site} to be open; {daemon.log.read_text()[-2000:]}")["spool"]["images"])


def test_open_associations_finish_for_their_own_site_and_are_aborted_after_the_bound(tmp_path: Path) -> None:
    first, second, third, fourth = write_study(tmp_path, images=4, shape=TINY)
    with running(REAL, grace=GRACE) as daemon:
        port = daemon.serve()["listener"]["port"]
        other = PROFILE.format(version=1, port=9).replace("st-marys", "lakeside")
        assert daemon.ask("POST", "/v1/profiles", {"text": other}).status == 200
        with connect(port, first) as sends, connect(port, first) as stalls:
            assert sends.store(first) == SUCCESS
            assert stalls.store(second) == SUCCESS
            began = time.monotonic()
            request = ("POST", "/v1/sites/lakeside/activate", {"reason": "a test"})
            going = threading.Thread(target=daemon.ask, args=request)
            going.start()
            closing = daemon.until("closing")["gate"]
            assert "goes over to lakeside" in closing["reason"]
            assert not can_connect(port)
            assert sends.store(third) == SUCCESS
            sends.release()
            with pytest.raises(Ended):
                stalls.read_status()
            assert GRACE - 0.5 < time.monotonic() - began < 15
            with pytest.raises(Ended):
                stalls.store(fourth)
            going.join()
        assert images_of(daemon, "lakeside") == 0
        with connect(port, fourth) as late:
            assert late.store(fourth) == SUCCESS
            late.release()
        assert images_of(daemon, "lakeside") == 1
        daemon.post("/v1/sites/st-marys/activate", {"reason": "a test"})
        assert images_of(daemon, "st-marys") == 3
