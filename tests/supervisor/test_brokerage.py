"""The broker's answers: whoever asks for a connection hears what came of it, also if it cannot be handed over."""

from __future__ import annotations

import asyncio
import socket

import msgspec

from capacitord.errors import TryAgain
from capacitord.link.messages import Connect, Connected, Peer, ToRuntime
from capacitord.model.destination import Destination
from capacitord.model.profile import Profile, Worklist
from capacitord.model.worklist import Source
from capacitord.supervisor.brokerage import MOST_UNANSWERED, Broker, peers_of


class Deaf:
    """A runtime that takes no descriptors, and no message at all for the first few times."""

    connected = True

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.broken: list[str] = []
        self.heard: asyncio.Future[Connected] = asyncio.get_running_loop().create_future()

    def break_off(self, reason: str) -> None:
        self.broken.append(reason)

    def send(self, message: ToRuntime, descriptor: int | None = None) -> None:
        assert isinstance(message, Connected)
        if descriptor is not None:
            raise OSError(109, "too many descriptors are on their way")
        if self.refusals:
            self.refusals -= 1
            raise TryAgain("the site's runtime does not read its messages")
        self.heard.set_result(message)


def answer(wanted: str, *, refusals: int = 0, peer: Peer = Peer.DESTINATION) -> Connected:
    """Return what the runtime hears when it asks for a peer."""

    async def ask() -> Connected:
        runtime = Deaf(refusals)
        broker = Broker(runtime)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            pacs = Destination("pacs", "PACS", "127.0.0.1", port, connect_timeout=5.0)
            broker.peers = {(Peer.DESTINATION, "pacs"): pacs}
            broker.ask(Connect(1, wanted, peer))
            return await asyncio.wait_for(runtime.heard, 5)

    return asyncio.run(ask())


def test_a_connection_that_cannot_be_handed_over_fails_at_once() -> None:
    told = answer("pacs")
    assert told.failure is not None
    assert told.failure.reason == "The connection was made, and could not be handed over."


def test_an_answer_that_is_not_taken_is_given_again() -> None:
    told = answer("pacs", refusals=2)
    assert told.failure is not None
    told = answer("elsewhere", refusals=1)
    assert told.failure is not None
    assert told.failure.reason == "The site's profile has no destination of that name."


def test_a_destination_is_not_the_worklist_whatever_it_is_called() -> None:
    for wanted, peer, has_no in (
        ("worklist", Peer.DESTINATION, "destination of that name"),
        ("", Peer.WORKLIST, "worklist"),
        ("pacs", Peer.WORKLIST, "worklist"),
    ):
        told = answer(wanted, peer=peer)
        assert told.failure is not None
        assert told.failure.reason == f"The site's profile has no {has_no}."


def test_the_peers_of_a_profile_are_its_destinations_and_the_source_of_its_worklist() -> None:
    pacs = Destination("worklist", "PACS", "10.0.0.1", 104)
    profile = Profile("st-marys", "", 1, "UTC", (pacs,))
    assert peers_of(profile) == {(Peer.DESTINATION, "worklist"): pacs}
    worklist = Worklist(Source("RIS", "10.0.0.2", 105, connect_timeout=3.0))
    found = peers_of(msgspec.structs.replace(profile, worklist=worklist))
    assert found[Peer.DESTINATION, "worklist"] == pacs
    source = found[Peer.WORKLIST, ""]
    assert (source.host, source.port, source.ae_title, source.connect_timeout) == ("10.0.0.2", 105, "RIS", 3.0)
    assert len(found) == 2


def test_a_runtime_that_asks_and_takes_no_answer_is_ended() -> None:
    async def ask() -> None:
        runtime = Deaf(refusals=1 << 30)
        broker = Broker(runtime)
        for request in range(MOST_UNANSWERED):
            broker.ask(Connect(request, "nowhere"))
        assert runtime.broken == []
        before = len(asyncio.all_tasks())
        broker.ask(Connect(MOST_UNANSWERED, "nowhere"))
        assert len(runtime.broken) == 1
        assert "takes no answer" in runtime.broken[0]
        assert len(asyncio.all_tasks()) == before, "nothing more waits for it"
        broker.drop()

    asyncio.run(ask())
