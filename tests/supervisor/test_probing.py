"""The probe, asked by the supervisor: what becomes of a question that nobody wants answered any more."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading

from capacitord.config.box import IsolationTable
from capacitord.link.probe import Limits, Scanner
from capacitord.model.preflight import Root
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.probing import Prober
from tests.dicom import scanner as odd
from tests.dicom.acceptor import Acceptor

PROBE = (sys.executable, "-m", "capacitord.probe")


def at(port: int) -> Scanner:
    return Scanner("CT_1", "FLUXBOX", Root.STUDY, "127.0.0.1", port)


def test_no_connection_is_kept_for_a_question_that_was_given_up() -> None:
    ended = threading.Event()

    def script(peer: Acceptor) -> None:
        with contextlib.suppress(AssertionError):
            odd.is_silent(peer)
        ended.set()

    async def run(ct: odd.Scanner, deaf: int) -> None:
        prober = Prober(Launcher(PROBE, IsolationTable()))
        asking = asyncio.create_task(prober.remains([at(ct.port), at(deaf)], Limits(20, 2, 2)))
        async with asyncio.timeout(30):
            while not ct.calls:
                await asyncio.wait({asking}, timeout=0.01)
        asking.cancel()
        assert await asyncio.to_thread(ended.wait, 20), "the probe keeps a connection of a question without an answer"
        await prober.stop()

    with (
        odd.Scanner(script) as ct,
        socket.create_server(("127.0.0.1", 0), backlog=0) as deaf,
        contextlib.ExitStack() as waiting,
    ):
        # With its backlog full it takes no connection, and refuses none.
        for _ in range(3):
            each = waiting.enter_context(socket.socket())
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        asyncio.run(run(ct, deaf.getsockname()[1]))
