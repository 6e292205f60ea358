"""The real daemon on a disk that fails and works again: whoever looks at the screen knows it, and it ends by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from capacitord.model.states import GateState
from tests.chaos.faults import STRACE, SYNCS, fails
from tests.images import TINY, write_study
from tests.peers.senders import storescu
from tests.system.box import Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers

FLUXCTL = Path(sys.executable).with_name("fluxctl")
WRITES = ("pwrite64", "pwritev", "pwritev2", "ftruncate", "fallocate", *SYNCS)
"""What puts bytes into files, and into nothing else: the log and the sockets go on."""


@contextmanager
def failing(pid: int, log: Path, errno: str = "EIO") -> Iterator[None]:
    """Have all writes and syncs of a running process fail while the block runs."""
    calls = ",".join(WRITES)
    words = [STRACE, "-f", "-qq", "-o", str(log), f"--trace={calls}", "-e", f"inject={calls}:{fails(errno)}"]
    tracer = subprocess.Popen([*words, "-p", str(pid)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: f"TracerPid:\t{tracer.pid}" in Path(f"/proc/{pid}/status").read_text(), what="the tracer")
        yield
    finally:
        # It lets go of the process, which never knows.
        os.kill(tracer.pid, signal.SIGTERM)
        tracer.wait(10)


def status_page(box: Box) -> str:
    """Return what `fluxctl status` prints; it was answered, so its exit code is 0 whatever the answer is."""
    environment = {**os.environ, "COLUMNS": "100", "CAPACITORD_SOCKET": str(box.client.socket_path)}
    done = subprocess.run(
        [FLUXCTL, "--socket", str(box.client.socket_path), "status"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        timeout=30,
    )
    return done.stdout


def test_ready_is_never_shown_while_the_disk_refuses_images(tmp_path: Path) -> None:
    images = write_study(tmp_path / "study", images=3, shape=TINY)
    with Box(tmp_path / "box", Target("pacs", "STM_PACS", port=1)) as box:
        assert box.wait_until_open().gate.may_scan
        with failing(box.runtime_pid(), tmp_path / "strace"):
            assert not storescu(images[:1], box.host, box.port).acknowledged
            status = box.wait(
                lambda now: None if now.gate.may_scan else now,
                within=3.0,
                what="the box to say that images are refused",
            )
            assert status.gate.state is GateState.OPEN, "the scanner is to hear why"
            assert "images cannot be kept" in status.gate.reason
            assert status.gate.hint.startswith("Leave the studies on the scanner")
            refused = box.traffic().refused
            assert refused is not None
            assert (refused.count, refused.calling_ae, refused.peer) == (1, "STORESCU", "127.0.0.1")
            assert refused.reason
            page = status_page(box)
            assert page.startswith("✘ DO NOT SCAN — images cannot be kept")
            assert "next: Leave the studies on the scanner" in page
            assert "1 image, the last" in page
        assert "(INJECTED)" in (tmp_path / "strace").read_text()
        box.wait(lambda now: now.gate.may_scan, within=30.0, what="the box to take images again by itself")
        assert storescu(images, box.host, box.port).acknowledged == [image.path for image in images]
        assert status_page(box).startswith("✔ READY TO SCAN")
        assert "Images can be kept again." in box.log
        assert box.traffic().trouble is None


def test_a_disk_that_fails_is_noticed_before_anything_arrives(tmp_path: Path) -> None:
    with Box(tmp_path / "box", Target("pacs", "STM_PACS", port=1)) as box:
        assert box.wait_until_open().gate.may_scan
        with failing(box.runtime_pid(), tmp_path / "strace", "EROFS"):
            box.wait(lambda now: not now.gate.may_scan, within=15.0, what="the box to notice it")
        box.wait(lambda now: now.gate.may_scan, within=30.0, what="the box to be well again by itself")
