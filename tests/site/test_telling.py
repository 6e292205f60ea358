"""What a site did by itself is told of until it is written down: in order, a few at a time, in the next life too."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from capacitord.api import messages as m
from capacitord.api import review as r
from capacitord.link import messages as link
from capacitord.model.image import Arrival, Facts
from capacitord.model.profile import Matching
from capacitord.model.review import Terms
from capacitord.site.telling import Teller, Telling
from capacitord.spool import outbox
from capacitord.spool.outbox import Deed
from capacitord.spool.routed import Routed, Standing
from capacitord.spool.store import Spool
from tests.site.driver import PATIENCE, Supervisor
from tests.site.reviewing import RULES
from tests.site.rig import destination
from tests.site.routes import put_image
from tests.site.stock import open_spool
from tests.wait import wait_for


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = open_spool(tmp_path / "spool")
    yield spool
    spool.close()


def nowhere(_facts: Facts, arrival: Arrival) -> Routed:
    return Routed(arrival.profile_version, standing=Standing.NO_ROUTE, held="no route matches it")


def act(spool: Spool, *names: str) -> None:
    for name in names:
        with spool._catalog.change() as catalog:
            outbox.add(catalog, Deed("study.rematch", (name,), "held -> matched"))


class Peer:
    """Hears what it is told, or is away."""

    def __init__(self) -> None:
        self.heard: list[link.Deed] = []
        self.away = False

    def tell(self, deed: link.Deed) -> bool:
        if not self.away:
            self.heard.append(deed)
        return not self.away

    @property
    def names(self) -> str:
        return "".join(each.subjects[0] for each in self.heard)


def test_a_few_are_under_way_at_a_time_and_the_oldest_first(spool: Spool) -> None:
    peer = Peer()
    telling = Telling(spool.outbox, peer.tell, at_once=2)
    assert telling.go_on()
    act(spool, *"abcd")
    for _ in range(2):
        assert not telling.go_on()
        assert peer.names == "ab"
    telling.written([peer.heard[0].id])
    assert telling.go_on()
    assert peer.names == "abc"
    telling.go_on(again=True)
    assert peer.names == "abcbc"
    telling.written([each.id for each in peer.heard])
    telling.go_on()
    assert peer.names == "abcbcd"
    telling.written([peer.heard[-1].id])
    assert telling.go_on()
    assert spool.outbox.oldest(1) == []


def test_what_does_not_go_out_is_not_overtaken(spool: Spool) -> None:
    peer = Peer()
    telling = Telling(spool.outbox, peer.tell)
    act(spool, "a")
    telling.go_on()
    peer.away = True
    act(spool, "b")
    telling.go_on()
    peer.away = False
    act(spool, "c")
    telling.go_on()
    assert peer.names == "abc"


def test_a_deed_says_when_it_was_done(spool: Spool) -> None:
    peer, before = Peer(), int(time.time())
    act(spool, "a")
    Telling(spool.outbox, peer.tell).go_on()
    assert before <= peer.heard[0].at.timestamp() <= time.time()


def test_an_answer_that_does_not_come_has_it_told_again(spool: Spool) -> None:
    peer = Peer()
    act(spool, "a")
    teller = Teller(spool.outbox, peer.tell, doubt=lambda: None, again=0.01)
    wait_for(lambda: len(peer.heard) > 2, what="it to be told again")
    assert len({each.id for each in peer.heard}) == 1
    teller.written([peer.heard[0].id])
    wait_for(lambda: spool.outbox.oldest(1) == [], what="it to be forgotten")
    # Who is stopped has told of what was done last.
    peer.heard.clear()
    act(spool, "b")
    teller.stop()
    assert peer.heard[-1].subjects == ("b",)


def test_what_people_decide_is_told_of_by_the_id_it_was_begun_with(tmp_path: Path) -> None:
    """The answers may never have reached anybody: then only the spool knows that it was done."""
    folder = tmp_path / "box"
    spool = open_spool(folder / "spool", decide=nowhere)
    for number in (3, 4):
        put_image(spool, f"1.2.{number}", 1, PatientName="Doe^Jane")
    spool.settle()
    shorts = [spool.studies.find(f"1.2.{number}")[1] for number in (3, 4)]
    spool.close_arrived(0.0)
    spool.close()
    one, other = shorts
    asked: list[tuple[str, msgspec.Struct, str]] = [
        ("held.discard", r.DiscardHeld(one, "slip", m.Secret("Doe^Jane")), "held (no-route) -> discarded, 1 image"),
        ("held.restore", r.RestoreHeld(one), "discarded -> 1 image held again"),
        ("held.release", r.Release(one, ("pacs",), "x"), "held (no-route) -> released, 1 image"),
        ("study.resend", m.Resend(other, ("pacs",)), "held -> 1 image waits to be sent again"),
        ("study.discard", m.Discard(other, "phantom", other), "released -> discarded, 1 image is gone"),
    ]
    with Supervisor(folder) as box:
        box.start(destination("pacs"))
        for number, (name, request, detail) in enumerate(asked):
            answer = box.call(name, request, deed=f"{number:032x}")
            assert (answer.head.status, answer.head.detail) == (200, detail)
        refused = box.call("held.restore", r.RestoreHeld(one), deed=f"{9:032x}")
        assert refused.head.refusal == "refused"
        box.process.kill()
        assert box.wait() == -signal.SIGKILL
    with Supervisor(folder) as box:
        box.tell_start(destination("pacs"))
        box.wait_for(link.Deed, len(asked))
        told = box.of(link.Deed)
    assert [(each.action, each.detail) for each in told] == [(name, detail) for name, _, detail in asked]
    assert [int(each.id, 16) for each in told] == list(range(len(asked)))
    assert [each.subjects for each in told[2:]] == [(one, "pacs"), (other, "pacs"), (other,)]


def test_a_runtime_that_is_killed_has_the_next_one_tell(tmp_path: Path) -> None:
    folder = tmp_path / "box"
    spool = open_spool(folder / "spool", decide=lambda *_: None)
    for number in (3, 4, 5):
        put_image(spool, f"1.2.{number}", 1, PatientID="P1", PatientName="Doe^Jane", AccessionNumber="A-1")
    spool.close()
    matching = Matching(RULES, Terms(release_to=("pacs",)))
    lives: list[list[link.Deed]] = []
    for _ in range(2):
        # Its supervisor dies as well, before it has written anything down.
        with Supervisor(folder) as one:
            one.tell_start(destination("pacs"), matching=matching)
            one.wait_for(link.Deed, 3)
            lives.append(one.of(link.Deed))
    assert lives[0] == lives[1]
    assert {each.action for each in lives[0]} == {"study.let-through"}
    assert {each.subjects[1] for each in lives[0]} == {"pacs"}
    first, *others = lives[0]
    with Supervisor(folder) as one:
        one.tell_start(destination("pacs"), matching=matching)
        one.wait_for(link.Deed, 3)
        one.channel.send(link.Written((first.id,)))
        one.close_link()
        assert one.wait(PATIENCE) == 0
    spool = open_spool(folder / "spool", decide=lambda *_: None)
    assert [each.id for each in spool.outbox.oldest(9)] == [each.id for each in others]
    spool.close()
