"""Links break as asked and count what passed; disks lose what was not synced, and nothing else."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.disk import Disk
from tests.chaos.faults import SYNCS, broken, crashes, dawdles, fails, lies, struck
from tests.chaos.proxy import Ending, Proxy, Way
from tests.images import CT, MIB, write_study
from tests.peers.echo import echoscu
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.wait import wait_for


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        yield server


@contextlib.contextmanager
def joined(link: Proxy, server: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_connection((link.host, link.port), timeout=10) as near:
        far, _ = server.accept()
        far.settimeout(10)
        with far:
            yield near, far


def receive(end: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count and (piece := end.recv(count - len(received))):
        received += piece
    return received


def is_cut(end: socket.socket) -> bool:
    try:
        return end.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_link_carries_both_ways_and_counts() -> None:
    with listening() as server, Proxy(*server.getsockname()) as link, joined(link, server) as (near, far):
        near.sendall(b"question" * 1000)
        assert receive(far, 8000) == b"question" * 1000
        far.sendall(b"answer")
        assert receive(near, 6) == b"answer"
        near.shutdown(socket.SHUT_WR)
        assert far.recv(1) == b""
        far.sendall(b"late")
        assert receive(near, 4) == b"late"
        far.close()
        assert near.recv(1) == b""
        counters = wait_for(lambda: c if not (c := link.counters).open else None, what="the link to be closed")
    assert (counters.connections, counters.up, counters.down, counters.cuts) == (1, 8000, 10, 0)


@pytest.mark.parametrize("ending", Ending)
def test_a_cut_is_felt_at_both_ends_at_once(ending: Ending) -> None:
    with listening() as server, Proxy(*server.getsockname()) as link, joined(link, server) as (near, far):
        assert link.cut(ending) == 1
        if ending is Ending.RESET:
            with pytest.raises(ConnectionResetError):
                near.recv(1)
        assert is_cut(near)
        assert is_cut(far)
        with joined(link, server) as (next_near, next_far):
            next_near.sendall(b"again")
            assert receive(next_far, 5) == b"again"
        assert (link.counters.connections, link.counters.cuts) == (2, 1)


def test_a_cut_comes_right_behind_the_byte() -> None:
    with listening() as server, Proxy(*server.getsockname()) as link:
        link.cut_after(1000, Way.UP, Ending.CLOSE)
        with joined(link, server) as (near, far):
            near.sendall(bytes(600))
            assert receive(far, 600) == bytes(600)
            near.sendall(bytes(600))
            assert receive(far, 600) == bytes(400)
            assert is_cut(near)
        link.cut_after(3, Way.DOWN, Ending.CLOSE)
        with joined(link, server) as (near, far):
            far.sendall(b"answer")
            assert receive(near, 6) == b"ans"
        assert (link.counters.up, link.counters.down, link.counters.cuts) == (1000, 3, 2)


def test_a_stalled_link_is_silent_and_then_goes_on() -> None:
    with listening() as server, Proxy(*server.getsockname()) as link, joined(link, server) as (near, far):
        link.stall()
        near.sendall(b"held")
        near.shutdown(socket.SHUT_WR)
        far.settimeout(0.1)
        with pytest.raises(TimeoutError):
            far.recv(1)
        far.settimeout(10)
        link.clear()
        assert receive(far, 5) == b"held"


def test_a_refusing_link_keeps_its_port_and_its_connections() -> None:
    with listening() as server, Proxy(*server.getsockname()) as link, joined(link, server) as (near, far):
        link.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((link.host, link.port))
        near.sendall(b"still here")
        assert receive(far, 10) == b"still here"
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind((link.host, link.port))
        link.clear()
        with joined(link, server):
            assert link.counters.connections == 2


def test_a_link_to_nobody_is_reset() -> None:
    with listening() as server:
        address = server.getsockname()
    with Proxy(*address) as link:
        # The reset may be there before connecting has returned.
        with (
            contextlib.suppress(ConnectionResetError),
            socket.create_connection((link.host, link.port), timeout=10) as near,
        ):
            assert is_cut(near)
        wait_for(lambda: link.counters.unreachable == 1, what="the proxy to have tried")
    with listening() as server, Proxy(*address) as link:
        link.redirect(*server.getsockname())
        with joined(link, server) as (near, far):
            near.sendall(b"found")
            assert receive(far, 5) == b"found"


def test_a_throttled_link_takes_its_time() -> None:
    with listening() as server, Proxy(*server.getsockname()) as link, joined(link, server) as (near, far):
        link.throttle(100_000)
        started = time.monotonic()
        near.sendall(bytes(20_000))
        receive(far, 20_000)
        assert time.monotonic() - started > 0.1
        near.sendall(bytes(1_000_000))
        link.clear()
        started = time.monotonic()
        receive(far, 1_000_000)
        assert time.monotonic() - started < 8, "as long as it takes a throttled link"


def test_one_bit_is_flipped_where_asked() -> None:
    with listening() as server, Proxy(*server.getsockname()) as link, joined(link, server) as (near, far):
        link.corrupt(1001, Way.UP, bit=7)
        near.sendall(bytes(1000))
        assert receive(far, 1000) == bytes(1000)
        near.sendall(bytes(1000))
        assert receive(far, 1000) == b"\0\x80" + bytes(998)
        assert link.counters.corrupted == 1


def test_a_busy_link_can_be_cut_again_and_again() -> None:
    with listening() as server, Proxy(*server.getsockname()) as link:
        for _ in range(20):
            with joined(link, server) as (near, far):
                far.settimeout(10)
                near.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    near.send(bytes(8 * MIB))
                receive(far, 1000)
                assert link.cut() == 1
        assert (link.counters.cuts, link.counters.open) == (20, 0)


@pytest.mark.peers
def test_what_a_cut_leaves_is_what_was_acknowledged(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", images=6, shape=CT)
    with Storescp(tmp_path / "pacs") as pacs, Proxy(pacs.host, pacs.port) as link:
        link.cut_after(round(2.5 * MIB / 2), Way.UP)
        sent = storescu(study, link.host, link.port)
        assert sent.acknowledged == [image.path for image in study[:2]]
        assert {i.sha256() for i in pacs.wait_for_images(2)} == {i.sha256() for i in study[:2]}
        assert link.counters.cuts == 1
        link.refuse()
        assert "refused" in echoscu(link.host, link.port)
        link.clear()
        assert echoscu(link.host, link.port) == ""


def test_a_link_obeys_lines_on_its_input() -> None:
    with listening() as server:
        host, port = server.getsockname()
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.proxy", host, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=Path(__file__).parent.parent,
        )
        with program:
            assert program.stdin is not None
            assert program.stdout is not None
            where = json.loads(program.stdout.readline())

            def say(line: str) -> dict[str, object]:
                assert program.stdin is not None
                assert program.stdout is not None
                program.stdin.write(line + "\n")
                answer: dict[str, object] = json.loads(program.stdout.readline())
                return answer

            assert say("cut-after 3 up close")["connections"] == 0
            with socket.create_connection((where["host"], where["port"]), timeout=10) as near:
                far, _ = server.accept()
                with far:
                    near.sendall(b"question")
                    assert receive(far, 8) == b"que"
            assert (say("counters")["cuts"], say("counters")["up"]) == (1, 3)
            assert say("explode") == {"error": "no such command: explode"}
            assert "error" in say("throttle quickly")
            assert "error" in say("cut-after 3")
            assert say("refuse")["open"] == 0
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((where["host"], where["port"]))
            program.stdin.close()
            assert program.wait(10) == 0


def write(path: Path, content: bytes, *, sync: bool) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    if sync:
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def test_a_power_cut_takes_what_was_not_synced_and_nothing_else(tmp_path: Path) -> None:
    with Disk(tmp_path) as disk:
        for cycle in range(3):
            write(disk.path / f"synced{cycle}", b"s" * 100_000, sync=True)
            write(disk.path / f"lost{cycle}", b"l" * 100_000, sync=False)
            disk.power_cut()
            with pytest.raises(OSError, match="Input/output error"):
                write(disk.path / "after", b"", sync=True)
            disk.power_on()
        left = {path.name: path.read_bytes() for path in disk.path.iterdir() if path.is_file()}
        assert left == {f"synced{cycle}": b"s" * 100_000 for cycle in range(3)}
        mounted = disk.path
    assert not os.path.ismount(mounted)
    assert (
        str(tmp_path)
        not in subprocess.run(["/usr/sbin/losetup", "--list"], capture_output=True, text=True, check=True).stdout
    )


def test_a_full_disk_says_so_until_there_is_room(tmp_path: Path) -> None:
    with Disk(tmp_path, size=64 * MIB) as disk:
        disk.fill(leave=MIB)
        assert abs(disk.free() - MIB) < 16384
        write(disk.path / "fits", bytes(MIB // 2), sync=True)
        disk.fill()
        assert disk.free() == 0
        with pytest.raises(OSError, match="No space left") as caught:
            write(disk.path / "too-much", bytes(100_000), sync=True)
        assert caught.value.errno == errno.ENOSPC
        disk.make_room()
        write(disk.path / "too-much", bytes(100_000), sync=True)


WRITER = """
import os, sys
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
for number in range(4):
    try:
        os.write(file, b"x")
        os.fsync(file)
        print(number, flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


def run_writer(prefix: list[str], path: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", WRITER, str(path)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.splitlines()


def test_one_call_fails_and_the_program_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run = run_writer(broken(log, SYNCS, fails("EIO"), first=3), tmp_path / "file")
    assert run == (0, ["0", "1", "Input/output error", "3"])
    assert struck(log) == 1


def test_only_the_named_file_is_at_fault(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "file"
    run = run_writer(broken(log, ["write"], fails("ENOSPC"), first=2, last=3, paths=[path]), path)
    assert run == (0, ["0", "No space left on device", "No space left on device", "3"])
    assert struck(log) == 2
    assert path.read_bytes() == b"xx"


def test_a_program_is_killed_at_the_call(tmp_path: Path) -> None:
    assert run_writer(broken(tmp_path / "log", ["fsync"], crashes(), first=3), tmp_path / "file") == (-9, ["0", "1"])


def test_a_call_takes_longer(tmp_path: Path) -> None:
    started = time.monotonic()
    run = run_writer(broken(tmp_path / "log", ["fsync"], dawdles(0.3), first=2), tmp_path / "file")
    assert run == (0, ["0", "1", "2", "3"])
    assert time.monotonic() - started >= 0.3
    assert struck(tmp_path / "log") == 1


def test_a_disk_that_lies_about_syncs_loses_what_it_promised(tmp_path: Path) -> None:
    """The power cut would notice a missing fsync: here is one."""
    script = (
        "import os, sys; f = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY); os.write(f, b'promised');"
        "os.fsync(f); os.fsync(os.open(os.path.dirname(sys.argv[1]), os.O_RDONLY))"
    )
    with Disk(tmp_path) as disk:
        for name, prefix in (
            ("honest", []),
            ("lying", broken(tmp_path / "log", SYNCS, lies(), last=9)),
        ):
            subprocess.run([*prefix, sys.executable, "-c", script, str(disk.path / name)], check=True)
        disk.power_cut()
        disk.power_on()
        assert struck(tmp_path / "log") == 2
        assert (disk.path / "honest").read_bytes() == b"promised"
        assert not (disk.path / "lying").exists()
