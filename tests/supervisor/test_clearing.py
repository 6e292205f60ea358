"""The clearance of a site: which answer counts, for how long, and what is on record when it does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from capacitord.api.actions import CLEARED, WAIVED
from capacitord.errors import Refused, StorageFailed
from capacitord.link.probe import Limits, Scanner
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.preflight import Checked, Clearance, Last, Preflight, Root
from capacitord.supervisor.clearing import Clearing
from capacitord.supervisor.last_open import UNKNOWN, LastOpen
from capacitord.supervisor.openings import FRESH

CT = Scanner("CT_1", "FLUXBOX", Root.STUDY, "127.0.0.1", 104)
CLEAN = Preflight((Checked("CT_1", Outcome(Verdict.DONE, "CT_1 said all that is on it.", 0)),))
TAKEN = Preflight((Checked("CT_1", Outcome(Verdict.DONE, "CT_1 said all that is on it.", 0), 1, 1),))


class Asked:
    """Scanners that answer when a test says so, in any order."""

    def __init__(self, turned: asyncio.Event) -> None:
        self.questions: list[asyncio.Future[Preflight]] = []
        self._turned = turned

    async def remains(self, *_: object, **_settings: object) -> Preflight:
        self.questions.append(asyncio.get_running_loop().create_future())
        self._turned.set()
        return await self.questions[-1]


class Record(LastOpen):
    """A record during the writing of which something happens."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.meanwhile: Callable[[], object] = lambda: None
        self.written: list[str] = []
        self.syncs = True
        """Whether the folder is synced after a new record got its name there."""

    def write(self, site: str) -> Last:
        self.meanwhile()
        self.written.append(site)
        return self._synced(super().write(site))

    def forget(self) -> Last:
        return self._synced(super().forget())

    def _synced(self, written: Last) -> Last:
        if not self.syncs:
            raise StorageFailed("the disk refused: Input/output error")
        return written


class Desk:
    """A clearance with its record, its journal and its scanners, all in a test's hand."""

    def __init__(self, folder: Path) -> None:
        self.record = Record(folder / "last-open")
        self.record.write("lakeside")
        self.turned = asyncio.Event()
        self.asked = Asked(self.turned)
        self.writes = asyncio.Event()
        self.write = asyncio.Event()
        self.entries: list[str] = []
        self.refuses = ""
        """The action that the audit log takes no entry of."""
        self.possible = self.ready = True
        self.now = 0.0
        self.clearing = Clearing(
            self.record,
            self.asked,
            [CT],
            Limits(20, 1, 1),
            every=0.01,
            journal=self.journal,
            changed=self.look,
            clock=lambda: self.now,
        )

    async def journal(self, action: str, *_: object, **_settings: object) -> None:
        if action == self.refuses:
            raise StorageFailed("the disk refused: Input/output error")
        self.entries.append(action)
        self.writes.set()
        await self.write.wait()

    def look(self) -> None:
        self.clearing.look(possible=self.possible, ready=self.ready)
        self.turned.set()

    async def until(self, told: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not told():
                self.turned.clear()
                await self.turned.wait()

    async def question(self, number: int) -> asyncio.Future[Preflight]:
        """Wait until the scanners are asked for the nth time."""
        await self.until(lambda: len(self.asked.questions) >= number)
        return self.asked.questions[number - 1]


def play(folder: Path, act: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        desk = Desk(folder)
        await desk.clearing.open(used=True)
        desk.clearing.begin("st-marys", "a test")
        desk.look()
        await act(desk)
        desk.possible = desk.ready = False
        desk.write.set()
        await desk.clearing.settle()

    asyncio.run(run())


def test_a_clean_answer_is_on_record_before_it_counts_as_such(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        (await desk.question(1)).set_result(CLEAN)
        await desk.writes.wait()
        assert desk.clearing.clearance is Clearance.CLEAN
        assert desk.record.read() == Last("lakeside")
        desk.write.set()
        await desk.until(lambda: desk.clearing.clearance is Clearance.SAME)
        assert desk.record.read() == Last("st-marys")

    play(tmp_path, act)


def test_what_was_asked_before_this_activation_clears_nothing(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        clearing = desk.clearing
        by_hand = clearing.question()
        clearing.begin("valley", "another test")
        desk.look()
        clearing.take(CLEAN, by_hand)
        assert clearing.clearance is None
        clearing.take(CLEAN, clearing.question())
        assert clearing.clearance is Clearance.CLEAN

    play(tmp_path, act)


def test_an_older_answer_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        first, second = desk.clearing.question(), desk.clearing.question()
        desk.clearing.take(TAKEN, second)
        desk.clearing.take(CLEAN, first)
        assert desk.clearing.found == TAKEN
        assert desk.clearing.clearance is None

    play(tmp_path, act)


@pytest.mark.parametrize("pause", ["locked", "not-required"])
def test_an_answer_from_before_a_pause_is_asked_for_again(tmp_path: Path, pause: str) -> None:
    async def act(desk: Desk) -> None:
        desk.ready = False
        (await desk.question(1)).set_result(CLEAN)
        await desk.until(lambda: desk.clearing.clearance is Clearance.CLEAN)
        desk.possible = pause != "locked"
        desk.clearing.demand(required=pause == "locked")
        desk.look()
        desk.possible = desk.ready = True
        desk.clearing.demand(required=True)
        desk.look()
        assert desk.clearing.clearance is None

    play(tmp_path, act)


def test_somebody_who_comes_while_it_is_written_down_keeps_the_port_shut(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        loop = asyncio.get_running_loop()

        def come() -> None:
            desk.record.meanwhile = lambda: None
            loop.call_soon_threadsafe(desk.clearing.take, TAKEN, desk.clearing.question())

        desk.record.meanwhile = come
        (await desk.question(1)).set_result(CLEAN)
        desk.write.set()
        await desk.until(lambda: desk.record.written[-2:] == ["st-marys", "lakeside"])
        assert desk.clearing.last == Last("lakeside")
        assert desk.clearing.clearance is None

    play(tmp_path, act)


def test_a_record_that_may_have_been_written_is_written_anew_before_the_port_opens(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.write.set()
        desk.record.syncs = False
        (await desk.question(1)).set_result(CLEAN)
        await desk.until(lambda: desk.clearing.problem is not None)
        assert desk.record.read() == Last("st-marys"), "it failed, and it is there"
        desk.clearing.begin("lakeside", "back again")
        assert desk.clearing.clearance is Clearance.AGAIN, "that is where it was open last, and the record differs"
        desk.record.syncs = True
        await desk.until(lambda: desk.clearing.clearance is Clearance.SAME)
        assert desk.record.read() == Last("lakeside")

    play(tmp_path, act)


@pytest.mark.parametrize("ends", ["it takes too long", "another activation"])
def test_a_site_that_was_not_opened_in_the_end_is_not_on_record(tmp_path: Path, ends: str) -> None:
    async def act(desk: Desk) -> None:
        desk.write.set()
        (await desk.question(1)).set_result(CLEAN)
        await desk.until(lambda: desk.clearing.clearance is Clearance.SAME)
        assert desk.record.read() == Last("st-marys")
        desk.ready = False
        if ends == "another activation":
            desk.clearing.begin("st-marys", "again")
        else:
            desk.now += FRESH + 1
        assert desk.clearing.clearance is None
        desk.look()
        await desk.until(lambda: desk.record.read() == Last("lakeside"))

    play(tmp_path, act)


def test_a_site_that_was_opened_stays_on_record(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.write.set()
        (await desk.question(1)).set_result(CLEAN)
        await desk.until(lambda: desk.clearing.clearance is Clearance.SAME)
        desk.clearing.opened()
        desk.now += 100 * FRESH
        for site in ("valley", "st-marys"):
            desk.clearing.begin(site, "later")
            desk.look()
        assert desk.clearing.clearance is Clearance.SAME
        assert desk.record.read() == Last("st-marys")

    play(tmp_path, act)


def test_a_record_that_may_have_been_written_is_put_right_while_no_site_is_active(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.write.set()
        desk.record.syncs = False
        (await desk.question(1)).set_result(CLEAN)
        await desk.until(lambda: desk.clearing.problem is not None)
        desk.possible = desk.ready = False
        desk.clearing.begin("", "parked")
        desk.record.syncs = True
        await desk.until(lambda: desk.record.read() == Last("lakeside"))

    play(tmp_path, act)


@pytest.mark.parametrize("syncs", [True, False])
def test_a_box_in_the_place_of_another_has_doubt_also_when_that_cannot_be_written(tmp_path: Path, syncs: bool) -> None:
    async def act(desk: Desk) -> None:
        desk.record.write("")
        await desk.clearing.open(used=False)
        assert desk.clearing.clearance is Clearance.FIRST
        desk.record.syncs = syncs
        with contextlib.nullcontext() if syncs else pytest.raises(StorageFailed):
            await desk.clearing.take_over()
        assert desk.clearing.last == UNKNOWN
        assert desk.clearing.clearance is None

    play(tmp_path, act)


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), StorageFailed("the disk is gone"), KeyError(1)])
def test_whatever_keeps_them_from_being_asked_they_are_asked_again(tmp_path: Path, error: Exception) -> None:
    async def act(desk: Desk) -> None:
        (await desk.question(1)).set_exception(error)
        (await desk.question(2)).set_result(TAKEN)
        await desk.until(lambda: desk.clearing.found == TAKEN)
        assert desk.clearing.clearance is None

    play(tmp_path, act)


def test_a_record_that_is_tried_again_is_in_the_audit_log_once(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        aside = tmp_path / ".last-open.new"
        aside.mkdir()
        desk.write.set()
        (await desk.question(1)).set_result(CLEAN)
        await desk.until(lambda: desk.clearing.problem is not None)
        assert desk.clearing.clearance is Clearance.CLEAN
        aside.rmdir()
        await desk.until(lambda: desk.clearing.clearance is Clearance.SAME)
        assert desk.entries == [CLEARED]

    play(tmp_path, act)


@pytest.mark.parametrize(("before", "after"), [("", UNKNOWN), ("lakeside", Last("lakeside"))])
def test_a_box_in_the_place_of_another_does_not_know_its_last_site(tmp_path: Path, before: str, after: Last) -> None:
    async def act(desk: Desk) -> None:
        desk.record.write(before)
        await desk.clearing.open(used=False)
        await desk.clearing.take_over()
        assert desk.clearing.last == desk.record.read() == after
        assert desk.clearing.clearance is None

    play(tmp_path, act)


def test_a_waiver_is_in_the_audit_log_once_though_what_follows_it_is_tried_again(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.write.set()
        desk.refuses = CLEARED
        desk.clearing.waive("alex", "she is on her way out")
        desk.look()
        await desk.until(lambda: desk.clearing.problem is not None)
        desk.refuses = ""
        await desk.until(lambda: desk.clearing.clearance is Clearance.SAME)
        assert desk.entries == [WAIVED, CLEARED]

    play(tmp_path, act)


def test_who_waives_what_is_waived_is_told_by_whom(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.clearing.waive("alex", "she is on her way out")
        with pytest.raises(Refused, match="waived already, by alex"):
            desk.clearing.waive("blake", "I did not know")
        assert desk.clearing.waived == "alex"

    play(tmp_path, act)


def test_a_waiver_is_gone_with_its_activation(tmp_path: Path) -> None:
    async def act(desk: Desk) -> None:
        desk.ready = False
        desk.clearing.waive("alex", "she is on her way out")
        assert desk.clearing.clearance is Clearance.WAIVED
        for site in ("st-marys", "valley"):
            desk.clearing.begin(site, "again")
            assert desk.clearing.clearance is None

    play(tmp_path, act)
