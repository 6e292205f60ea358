"""The scanner has what pydicom ships, and the link breaks where it is told."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pydicom.data
import pytest

from capacitord.api.demo import Broken, Cut, Listening, Report, Restore, Slow
from capacitord.demo.scanner import load, read
from tests.wait import wait_for

PATIENCE = 10.0
REPORTS = msgspec.json.Decoder[Report](Report)


class Link:
    """A link to a port of ours, and both of its ends."""

    def __init__(self) -> None:
        self.target = socket.create_server(("127.0.0.1", 0))
        self.target.settimeout(PATIENCE)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "capacitord.demo.link", str(self.target.getsockname()[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        listening = self.report()
        assert isinstance(listening, Listening)
        self.port = listening.port

    def tell(self, order: msgspec.Struct) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(order) + b"\n")
        self.process.stdin.flush()

    def report(self) -> Report:
        assert self.process.stdout is not None
        report: Report = REPORTS.decode(self.process.stdout.readline())
        return report

    def connect(self) -> tuple[socket.socket, socket.socket]:
        near = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        far, _ = self.target.accept()
        far.settimeout(PATIENCE)
        return near, far

    def close(self) -> None:
        _, said = self.process.communicate(timeout=PATIENCE)
        self.target.close()
        assert (self.process.returncode, said) == (0, b"")


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link()
    yield made
    made.close()


def received(end: socket.socket) -> bytes:
    """Read until the end, orderly or not."""
    found = b""
    try:
        while piece := end.recv(65536):
            found += piece
    except ConnectionError:
        pass
    return found


def test_a_link_carries_both_ways(link: Link) -> None:
    link.tell(Slow(4_000_000))
    near, far = link.connect()
    with near, far:
        near.sendall(b"request" * 1000)
        near.shutdown(socket.SHUT_WR)
        assert received(far) == b"request" * 1000
        far.sendall(b"answer")
        far.shutdown(socket.SHUT_WR)
        assert received(near) == b"answer"


def test_a_link_breaks_inside_a_message_and_comes_back_at_its_port(link: Link) -> None:
    link.tell(Cut(50_000))
    near, far = link.connect()
    with near, far:
        for _ in range(3):
            near.sendall(b"x" * 20_000)
            got = 0
            while got < 20_000:
                got += len(far.recv(20_000 - got))
            far.sendall(b"y")
            assert near.recv(1) == b"y"
        threading.Thread(target=_pour, args=(near, 1 << 20), daemon=True).start()
        reached = received(far)
        assert 50_000 <= len(reached) < 80_000
        broken = link.report()
        assert isinstance(broken, Broken)
        assert broken.inside >= 50_000
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", link.port), PATIENCE)
    link.tell(Restore())
    near, far = _connected_again(link)
    with near, far:
        near.sendall(b"z")
        assert far.recv(1) == b"z"


def test_a_link_breaks_at_once(link: Link) -> None:
    near, far = link.connect()
    with near, far:
        link.tell(Cut())
        assert link.report() == Broken(0)
        assert received(far) == b""
        assert received(near) == b""


def _pour(end: socket.socket, size: int) -> None:
    try:
        end.sendall(b"x" * size)
    except OSError:
        return


def _connected_again(link: Link) -> tuple[socket.socket, socket.socket]:
    def attempt() -> tuple[socket.socket, socket.socket] | None:
        try:
            return link.connect()
        except ConnectionRefusedError:
            return None

    return wait_for(attempt, what="the link to be there again")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of pydicom, about its own odd files
def test_the_scanner_has_what_pydicom_ships() -> None:
    films = load(Path(pydicom.data.__file__).parent)
    images = [film.image for film in films]
    assert len(images) > 60
    assert len({image.sop_instance_uid for image in images}) == len(images)
    assert all(image.study_uid and image.sop_class and image.bytes > 0 for image in images)
    syntaxes = {image.transfer_syntax for image in images}
    assert {"Deflated Explicit VR Little Endian", "JPEG 2000 Image Compression (Lossless Only)"} <= syntaxes
    for film in films:
        assert hashlib.sha256(film.path.read_bytes()[-film.image.bytes :]).hexdigest() == film.image.digest


def test_a_file_that_is_no_image_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "notes.json"
    file.write_text(json.dumps({}))
    assert read(file) is None
    assert load(tmp_path) == ()
