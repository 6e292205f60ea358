"""The supervisor's end of the link: nothing lost, nothing blocked, and no word of a stranger believed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from capacitord.config.in_force import in_force
from capacitord.errors import TryAgain
from capacitord.link import messages as link
from capacitord.link.channel import Channel, LinkClosed, pair
from capacitord.supervisor.runtime_link import MAX_WAITING, RuntimeLink


@dataclass
class Ends:
    """Both ends of a link, and what the supervisor's heard."""

    ours: RuntimeLink
    theirs: Channel[link.FromRuntime, link.ToRuntime]
    raw: socket.socket
    heard: list[link.FromRuntime] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - what is waited for is in another process's socket
                await asyncio.sleep(0.001)


def scenario(act: Callable[[Ends], Awaitable[None]]) -> None:
    async def run() -> None:
        mine, yours = pair()
        heard: list[link.FromRuntime] = []
        ended: list[str] = []
        ours = RuntimeLink(mine, heard.append, ended.append)
        ends = Ends(ours, Channel(yours, link.ToRuntime), yours, heard, ended)
        try:
            await act(ends)
        finally:
            ours.close()
            yours.close()

    asyncio.run(run())


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_messages_wait_in_order_with_their_descriptors_for_a_slow_reader() -> None:
    async def act(ends: Ends) -> None:
        before = open_descriptors()
        sent = 0
        reader, writer = os.pipe()

        def fill() -> None:
            nonlocal sent
            while True:
                ends.ours.send(link.AskStatus(sent), writer if sent % 7 == 0 else None)
                sent += 1

        with pytest.raises(TryAgain, match="does not read"):
            fill()
        assert sent > MAX_WAITING
        arrived: list[int] = []
        ends.raw.setblocking(False)

        def drain() -> bool:
            with contextlib.suppress(BlockingIOError):
                while True:
                    message, descriptor = ends.theirs.receive()
                    assert isinstance(message, link.AskStatus)
                    assert (descriptor is not None) is (message.request % 7 == 0)
                    if descriptor is not None:
                        os.close(descriptor)
                    arrived.append(message.request)
            return len(arrived) == sent

        await ends.until(drain)
        assert arrived == list(range(sent))
        os.close(reader)
        os.close(writer)
        assert open_descriptors() == before

    scenario(act)


def test_what_waits_is_dropped_when_nobody_is_there() -> None:
    async def act(ends: Ends) -> None:
        reader, writer = os.pipe()
        before = open_descriptors()
        with contextlib.suppress(TryAgain):
            while True:
                ends.ours.send(link.AskStatus(1), writer)
        ends.raw.close()
        await ends.until(lambda: ends.ended)
        assert ends.ended == [""]
        with pytest.raises(LinkClosed):
            ends.ours.send(link.AskStatus(1))
        assert open_descriptors() <= before
        os.close(reader)
        os.close(writer)

    scenario(act)


def test_what_a_runtime_said_before_it_went_is_heard() -> None:
    async def act(ends: Ends) -> None:
        assert ends.ours.connected
        for request in range(200):
            ends.theirs.send(link.Connect(request, "pacs"))
        ends.raw.close()
        await ends.until(lambda: ends.ended)
        assert [m.request for m in ends.heard if isinstance(m, link.Connect)] == list(range(200))
        assert not ends.ours.connected

    scenario(act)


@pytest.mark.parametrize(
    "packet",
    [
        b"nonsense",
        b"{}",
        b'{"kind":"start"}',
        b'{"kind":"connect","request":1}',
        b'{"kind":"heartbeat","busy":true,"x":1}',
    ],
)
def test_a_packet_that_is_no_message_ends_the_link(packet: bytes) -> None:
    async def act(ends: Ends) -> None:
        ends.raw.send(packet)
        await ends.until(lambda: ends.ended)
        assert ends.ended != [""]
        assert ends.heard == []

    scenario(act)


def test_a_descriptor_from_a_runtime_ends_the_link_and_is_closed() -> None:
    async def act(ends: Ends) -> None:
        before = open_descriptors()
        with socket.socket() as gift:
            ends.theirs.send(link.Heartbeat(busy=False), gift.fileno())
        await ends.until(lambda: ends.ended)
        assert "descriptor" in ends.ended[0]
        assert open_descriptors() < before + 1

    scenario(act)


def test_the_largest_start_fits_in_a_packet() -> None:
    """The bounds of configuration and profile together stay below what one packet holds."""
    from capacitord.config import box, profile
    from capacitord.config.tables.destination import DestinationTable
    from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
    from capacitord.supervisor import settings

    title, uid = "X" * 16, "1." + "2" * 62
    titles = [f"{number:03}{'X' * 13}" for number in range(200)]
    storage = box.StorageTable(
        ae_title=title,
        called_ae_titles=titles,
        calling_ae_titles=titles,
        peers=["2001:db8:1111:2222:3333:4444:5555:0/112"] * 200,
        private_sop_classes=[uid] * 200,
        private_transfer_syntaxes=[uid] * 200,
    )
    name = ".".join(["h" * 61] * 4)
    destinations = [
        DestinationTable(
            name=f"{'d' * 61}{number:02}",
            ae_title=title,
            host=name,
            port=65535,
            calling_ae_title=title,
            transfer_syntaxes=sorted(TRANSFER_SYNTAXES),
        )
        for number in range(32)
    ]
    zone = "America/Argentina/ComodRivadavia"
    site = profile.Profile.model_validate(
        {"schema": 1, "id": "s" * 64, "name": "ü" * 200, "version": 1, "timezone": zone, "destination": destinations}
    )
    start = link.Start(
        in_force(site),
        "/" * 4096,
        bytes(32),
        settings.storage(storage),
        settings.limits(box.SpoolTable(), 1 << 60),
    )

    async def act(ends: Ends) -> None:
        ends.ours.send(start)
        message, _ = ends.theirs.receive()
        assert msgspec.json.encode(message) == msgspec.json.encode(start)

    scenario(act)


class Choking(socket.socket):
    """A socket that the kernel takes nothing from for a while, though it is writable."""

    choking = False
    tries = 0

    def send(self, data: object, flags: int = 0, /) -> int:
        self.tries += 1
        if self.choking:
            raise OSError(errno.ETOOMANYREFS, "Too many references")
        return super().send(data, flags)  # type: ignore[arg-type]


def test_a_kernel_that_takes_nothing_for_a_while_costs_neither_messages_nor_time() -> None:
    async def story() -> None:
        mine, yours = pair()
        choking = Choking(fileno=mine.detach())
        theirs: Channel[link.FromRuntime, link.ToRuntime] = Channel(yours, link.ToRuntime)
        ours = RuntimeLink(choking, lambda _: None, lambda _: None)
        sent = 0
        with contextlib.suppress(TryAgain):
            while True:
                ours.send(link.AskStatus(sent))
                sent += 1
        choking.choking = True
        theirs.receive()
        arrived, before = 1, choking.tries
        yours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while theirs.receive():
                arrived += 1
        async with asyncio.timeout(5):
            while choking.tries < before + 3:  # noqa: ASYNC110 - the link tries by itself
                await asyncio.sleep(0.001)
            began, tries = time.monotonic(), choking.tries
            while time.monotonic() < began + 0.3:  # noqa: ASYNC110 - it must not try too often
                await asyncio.sleep(0.001)
            assert choking.tries < tries + 5
            choking.choking = False
            while arrived < sent:
                await asyncio.sleep(0.001)
                with contextlib.suppress(BlockingIOError):
                    while theirs.receive():
                        arrived += 1
        choking.choking = True
        with pytest.raises(TryAgain, match="cannot be told anything: Too many references"):
            ours.send(link.AskStatus(1))
        ours.close()
        yours.close()

    asyncio.run(story())
