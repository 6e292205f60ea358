"""A box that follows where it is: what the evidence opens and ends, and a person's word against it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capacitord.api import messages as m
from capacitord.config import box as config
from capacitord.errors import Refused, StorageFailed
from capacitord.model.location import Decision, Network, SiteView
from capacitord.model.presence import Phase
from capacitord.model.states import GateState
from capacitord.supervisor.active_site import ActiveSite, Choice
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.following import against
from capacitord.supervisor.gate_history import GateHistory
from capacitord.supervisor.launcher import Launcher
from capacitord.supervisor.location_answers import of_conflict
from capacitord.supervisor.serving import Serving
from capacitord.supervisor.sites import Sites
from tests.peers.storescp import Storescp
from tests.supervisor.daemon import PROFILE, QUICK, running

TESTS = Path(__file__).parents[1]
RUNTIME = (sys.executable, "-m", "tests.supervisor.fake_runtime")


def where(site: str | None, reason: str = "a test says so") -> Decision:
    return Decision(site, reasons=(reason,))


def torn(*kept: str) -> Decision:
    """Return a conflict; the box has not left these sites."""
    return Decision(None, conflict=True, reasons=("GPS says lakeside, the network st-marys",), kept=kept)


class Full(ActiveSite):
    """A record whose disk takes one more write, and then none for once."""

    room = 1

    def write(self, choice: Choice) -> None:
        self.room -= 1
        if self.room == -1:
            raise StorageFailed("the disk is full")
        super().write(choice)


ALEX = m.Chosen(datetime(2026, 3, 2, tzinfo=UTC), "alex")
EVIDENCE = m.Chosen(datetime(2026, 3, 2, tzinfo=UTC), "evidence", "so it says", m.Chooser.EVIDENCE)


class Unsynced(ActiveSite):
    """A record whose disk fails once, when the name of the new one is to last."""

    failed = False

    def write(self, choice: Choice) -> None:
        super().write(choice)
        if not self.failed:
            self.failed = True
            raise StorageFailed("the disk refused: Input/output error")


class Evidence:
    """What tells where the box is, by a test's word."""

    def __init__(self) -> None:
        self.follows = True
        self.decision = where(None)
        self.changed: Callable[[Decision], None] = lambda _: None

    def look(self) -> Decision:
        return self.decision

    def begin(self, site: str) -> None:
        self.decision = where(site or None)

    def say(self, decision: Decision) -> None:
        self.decision = decision
        self.changed(decision)


class Coach:
    """A box in this process, with three sites, of which none is active."""

    def __init__(self, state: Path) -> None:
        text = f'[box]\nstate = "{state}"\n[storage]\naddress = "127.0.0.1"\nport = 0\n[preflight]\nrequired = false\n'
        bounds = Bounds(**QUICK)  # type: ignore[arg-type]  # times, all of them
        self.turned = asyncio.Event()
        self.audit = AuditLog(state / "audit")
        self.history = GateHistory(self.audit)
        box = config.parse(text, "capacitord.toml")
        self.serving = Serving(
            box,
            Launcher(RUNTIME, box.isolation, hidden=state, also=[TESTS]),
            bounds,
            self.gate_changed,
            probe=Launcher(["/bin/false"], box.isolation),
            journal=self.history.write,
        )
        self.sites = Sites(self.serving)
        self.evidence = Evidence()
        self.evidence.changed = lambda _: self.sites.heed()
        self.serving.whereabouts = self.evidence

    def gate_changed(self, gate: m.Gate) -> None:
        self.history.changed(gate, self.serving.site, self.serving.grounds)
        self.turned.set()

    async def start(self) -> None:
        """Begin to serve."""
        await self.serving.open(None)

    async def settle(self, site: str) -> m.Gate:
        """Wait until that site is open, or if it is empty until none is, and return the gate."""
        wanted = GateState.OPEN if site else GateState.PARKED
        async with asyncio.timeout(30):
            while (self.serving.site, self.serving.gatekeeper.gate.state) != (site, wanted):
                self.turned.clear()
                await self.turned.wait()
        return self.serving.gatekeeper.gate

    async def says(self, reason: str) -> None:
        """Wait until the gate gives this reason."""
        async with asyncio.timeout(30):
            while self.serving.gatekeeper.gate.reason != reason:
                self.turned.clear()
                await self.turned.wait()

    async def until(self, state: GateState) -> m.Gate:
        """Wait until the gate is in a state, and return it."""
        async with asyncio.timeout(30):
            while self.serving.gatekeeper.gate.state is not state:
                self.turned.clear()
                await self.turned.wait()
        return self.serving.gatekeeper.gate

    async def activate(self, site: str) -> m.Done:
        return await self.sites.activate(m.SiteActivate(site, "they know better"), "alex")


def play(tmp_path: Path, act: Callable[[Coach], Awaitable[None]], *, new: bool = True) -> None:
    async def run() -> None:
        coach = Coach(tmp_path)
        running = [asyncio.create_task(work) for work in (coach.serving.keeper.keep(), coach.history.keep())]
        try:
            await coach.start()
            if new:
                await coach.serving.keys.init(m.KeyInit())
                first, *others = (
                    m.ProfileSource(PROFILE.format(version=1, port=9).replace("st-marys", site), f"{site}.toml")
                    for site in ("lakeside", "st-marys", "valley")
                )
                await coach.sites.import_profiles(m.ProfileImport(first.text, others=tuple(others)), "alex")
            await act(coach)
            await coach.serving.stop()
        finally:
            for task in running:
                task.cancel()

    asyncio.run(run())


def test_it_opens_where_it_is_and_ends_where_it_is_not(tmp_path: Path) -> None:
    async def act(coach: Coach) -> None:
        coach.evidence.say(where("lakeside"))
        await coach.settle("lakeside")
        assert coach.serving.choice.chosen is not None
        assert coach.serving.choice.chosen.chooser is m.Chooser.EVIDENCE
        coach.evidence.say(where("st-marys"))
        await coach.settle("st-marys")
        coach.evidence.say(where(None, "it is 3 km from any site"))
        gate = await coach.settle("")
        assert "3 km" in gate.reason
        assert gate.parked is None
        await coach.history.settle()
        opened = coach.audit.show(m.AuditQuery(action="gate.open"))
        assert [entry.subjects for entry in opened] == [("lakeside",), ("st-marys",)]
        assert all("chosen by evidence: a test says so" in entry.detail for entry in opened)
        ended = [entry.detail for entry in coach.audit.show(m.AuditQuery(action="gate.closing"))]
        assert ended == [
            "open → closing; the box goes over to st-marys; a test says so",
            "open → closing; the box is being parked; it is 3 km from any site",
        ]

    play(tmp_path, act)


def test_a_persons_word_stands_until_it_is_ended(tmp_path: Path) -> None:
    async def act(coach: Coach) -> None:
        coach.evidence.say(where("lakeside"))
        await coach.settle("lakeside")
        await coach.activate("valley")
        await coach.settle("valley")
        coach.evidence.say(where("st-marys"))
        coach.evidence.say(where("lakeside"))
        against = "alex says so, though the evidence of where the box is means lakeside"
        await coach.says(f"images are taken in for valley; {against}: fluxctl site location")
        listed = await coach.sites.list("x")
        assert (listed.override, listed.follows) == (True, False)
        assert listed.chosen is not None
        assert (listed.chosen.by, listed.chosen.reason) == ("alex", "they know better")
        assert (await coach.sites.follow()).message.endswith("again; lakeside is active.")
        await coach.settle("lakeside")
        assert not coach.serving.override
        assert coach.serving.grounds == "chosen by evidence: a test says so"
        await coach.history.settle()
        over = next(iter(coach.audit.show(m.AuditQuery(action="gate.closing"))))
        assert over.detail == (
            "open → closing; the box goes over to valley, as alex says; chosen by alex: they know better"
        )
        listed = await coach.sites.list("x")
        assert (listed.override, listed.follows) == (False, True)
        imported = await coach.sites.import_profiles(m.ProfileImport(PROFILE.format(version=2, port=9)), "alex")
        assert imported.follows
        parked = await coach.sites.deactivate("on the road", "alex")
        assert parked.message.endswith("It follows the evidence again with: fluxctl site follow")
        coach.evidence.say(where("st-marys"))
        gate = await coach.settle("")
        assert gate.parked is not None
        await coach.sites.follow()
        await coach.settle("st-marys")

    play(tmp_path, act)


def test_the_site_that_is_open_already_can_be_held_on_to(tmp_path: Path) -> None:
    async def act(coach: Coach) -> None:
        coach.evidence.say(where("lakeside"))
        await coach.settle("lakeside")
        message = (await coach.activate("lakeside")).message
        assert message.endswith("It stays so, whatever the evidence says, until: fluxctl site follow")
        coach.evidence.say(where(None))
        coach.sites.heed()
        assert coach.serving.override
        await coach.settle("lakeside")

    play(tmp_path, act)


def test_a_conflict_opens_nothing_and_closes_nothing(tmp_path: Path) -> None:
    async def act(coach: Coach) -> None:
        coach.evidence.say(torn())
        coach.serving.consider()
        gate = await coach.settle("")
        assert "disagrees; GPS says lakeside, the network st-marys" in gate.reason
        coach.evidence.say(where("lakeside"))
        await coach.settle("lakeside")
        coach.evidence.say(torn("lakeside"))
        await coach.sites.follow()
        await coach.settle("lakeside")
        against = "the evidence of where the box is contradicts itself, and does not say that the box has left it"
        await coach.says(f"images are taken in for lakeside; {against}: fluxctl site location")

    play(tmp_path, act)


LAKESIDE_LEFT = SiteView("lakeside", Phase.LEAVING, 0.0, Network.SILENT, None, None, "")


@pytest.mark.parametrize(
    ("decision", "by", "words"),
    [
        (where("lakeside"), EVIDENCE, ""),
        (torn("lakeside"), EVIDENCE, "contradicts itself, and does not say that the box has left it"),
        (Decision("lakeside", sites=(LAKESIDE_LEFT,)), EVIDENCE, "is leaving it, and closes it if that goes on"),
        (where("lakeside"), ALEX, ""),
        (torn("lakeside"), ALEX, "alex says so, though the evidence of where the box is contradicts itself"),
        (where("valley"), ALEX, "alex says so, though the evidence of where the box is means valley"),
        (where(None), ALEX, "alex says so, though the evidence of where the box is means no site"),
    ],
)
def test_how_the_evidence_stands_against_an_open_site(decision: Decision, by: m.Chosen, words: str) -> None:
    evidence = Evidence()
    evidence.decision = decision
    found = against(evidence, Choice("lakeside", by))
    assert found.endswith(words)
    assert bool(found) is bool(words)
    evidence.follows = False
    assert not against(evidence, Choice("lakeside", by))


@pytest.mark.parametrize(
    ("choice", "is_open", "words", "step"),
    [
        (Choice(""), False, ", so no site is opened by it", "fluxctl site activate SITE"),
        (Choice("lakeside", EVIDENCE), False, ", so no site is opened by it", "fluxctl site activate SITE"),
        (Choice("lakeside", EVIDENCE), True, "and lakeside stays open, as it may still be there", "deactivate"),
        (Choice("lakeside", ALEX), True, "; lakeside is served all the same, as alex says", "fluxctl site follow"),
        (Choice("", ALEX), False, "; the box is parked all the same, as alex says", "fluxctl site follow"),
    ],
)
def test_what_is_said_of_a_conflict_is_true_of_what_is_served(
    choice: Choice, is_open: bool, words: str, step: str
) -> None:
    said = of_conflict(choice, is_open=is_open)
    assert said.message.endswith(words)
    assert said.hint.endswith(step)


def test_a_site_that_is_being_left_stays_open_and_is_not_opened_again(tmp_path: Path) -> None:
    leaving = Decision("lakeside", reasons=("lakeside is left in 200 s",), doubt="lakeside is left in 200 s")

    async def at_lakeside(coach: Coach) -> None:
        coach.evidence.say(where("lakeside"))
        await coach.settle("lakeside")
        coach.evidence.say(leaving)
        coach.serving.consider()
        await coach.settle("lakeside")

    async def elsewhere(coach: Coach) -> None:
        coach.evidence.say(leaving)
        async with asyncio.timeout(30):
            while "not opened now: lakeside is left in 200 s" not in coach.serving.gatekeeper.gate.reason:
                coach.turned.clear()
                await coach.turned.wait()
        assert not coach.serving.gatekeeper.storage.bound
        await coach.activate("lakeside")
        await coach.settle("lakeside")
        assert coach.serving.override

    play(tmp_path, at_lakeside)
    play(tmp_path, elsewhere, new=False)


def test_what_was_chosen_outlives_a_restart_and_so_does_an_override(tmp_path: Path) -> None:
    async def at_lakeside(coach: Coach) -> None:
        coach.evidence.say(where("lakeside"))
        await coach.settle("lakeside")

    async def again(coach: Coach) -> None:
        await coach.settle("lakeside")
        assert not coach.serving.override
        await coach.activate("valley")

    async def overridden(coach: Coach) -> None:
        await coach.settle("valley")
        assert coach.serving.override

    play(tmp_path, at_lakeside)
    play(tmp_path, again, new=False)
    play(tmp_path, overridden, new=False)


def test_a_choice_that_failed_is_not_that_of_the_next_life(tmp_path: Path) -> None:
    async def act(coach: Coach) -> None:
        await coach.activate("lakeside")
        coach.serving.chosen = Unsynced(tmp_path / "active-site")
        with pytest.raises(StorageFailed):
            await coach.activate("st-marys")
        chosen = ActiveSite(tmp_path / "active-site").read()
        assert coach.serving.site == "lakeside"
        assert chosen == coach.serving.choice

    play(tmp_path, act)


def test_a_box_that_could_not_go_over_after_an_override_goes_when_it_can(tmp_path: Path) -> None:
    async def act(coach: Coach) -> None:
        await coach.sites.activate(m.SiteActivate("lakeside", "they know better"), "alex")
        coach.evidence.say(where("st-marys"))
        await coach.settle("lakeside")
        coach.serving.chosen = Full(tmp_path / "active-site")
        with pytest.raises(StorageFailed):
            await coach.sites.follow()
        assert "already" in (await coach.sites.follow()).message
        await coach.settle("st-marys")

    play(tmp_path, act)


@pytest.mark.parametrize("how", [Path.unlink, lambda path: path.write_bytes(b"zzz{")], ids=["missing", "damaged"])
def test_a_box_that_may_have_been_parked_is_shut_until_somebody_chooses(
    tmp_path: Path, how: Callable[[Path], object]
) -> None:
    async def parked(coach: Coach) -> None:
        coach.evidence.say(where("lakeside"))
        await coach.settle("lakeside")
        await coach.sites.deactivate("in the garage", "alex")

    async def lost(coach: Coach) -> None:
        coach.evidence.say(where("lakeside"))
        await coach.sites.import_profiles(m.ProfileImport(PROFILE.format(version=2, port=9)), "alex")
        listed = await coach.sites.list("x")
        assert (listed.override, listed.follows, coach.serving.site) == (False, False, "")
        gate = coach.serving.gatekeeper.gate
        assert gate.state is GateState.BLOCKED
        assert "nobody knows whether this box was parked" in gate.reason
        assert "fluxctl site follow" in gate.hint
        (entry,) = coach.audit.show(m.AuditQuery(action="site.unknown"))
        assert entry.detail.endswith("; it stays shut until somebody chooses")

    async def followed(coach: Coach) -> None:
        coach.evidence.say(where("lakeside"))
        await lost(coach)
        await coach.sites.follow()
        await coach.settle("lakeside")

    async def again(coach: Coach) -> None:
        await coach.settle("lakeside")
        await coach.sites.deactivate("in the garage", "alex")

    async def parked_anew(coach: Coach) -> None:
        await coach.sites.deactivate("in the garage", "alex")
        await still_parked(coach)

    async def still_parked(coach: Coach) -> None:
        assert (await coach.settle("")).parked is not None

    play(tmp_path, parked)
    how(tmp_path / "active-site")
    play(tmp_path, followed, new=False)
    play(tmp_path, again, new=False)
    how(tmp_path / "active-site")
    play(tmp_path, parked_anew, new=False)
    play(tmp_path, still_parked, new=False)


def test_a_box_that_follows_nothing_has_nothing_to_follow(tmp_path: Path) -> None:
    async def act(coach: Coach) -> None:
        coach.evidence.follows = False
        coach.evidence.say(where("lakeside"))
        with pytest.raises(Refused, match="does not follow where it is"):
            await coach.sites.follow()
        assert not (await coach.sites.list("x")).follows
        await coach.activate("st-marys")
        await coach.settle("st-marys")
        assert not coach.serving.override

    play(tmp_path, act)


def test_a_daemon_follows_a_node_that_answers_an_echo(tmp_path: Path) -> None:
    with (
        Storescp(tmp_path / "lakeside", ae_title="LKS_PACS") as lakeside,
        running(config='[location]\npoll = "1s"\nleave_after = "1s"\n') as daemon,
    ):
        daemon.post("/v1/key/init")
        node = f'echo = {{ ae_title = "LKS_PACS", host = "127.0.0.1", port = {lakeside.port} }}\n'
        located = PROFILE.format(version=1, port=9).replace("st-marys", "lakeside")
        located += f'[location]\ndwell = "1s"\n[[location.evidence]]\n{node}'
        others = [{"text": PROFILE.format(version=1, port=9), "name": "st-marys.toml"}]
        assert daemon.ask("POST", "/v1/profiles", {"text": located, "others": others}).status == 200
        status = daemon.until("open", within=40)
        assert (status["site"]["id"], status["chosen"]["chooser"]) == ("lakeside", "evidence")
        assert daemon.post("/v1/sites/st-marys/activate", {"reason": "they know better"})["subjects"] == ["st-marys"]
        assert daemon.until("open")["override"] is True
        daemon.post("/v1/sites/follow", {})
        assert daemon.until("open")["site"]["id"] == "lakeside"
        daemon.stop()
        lakeside.stop()
        daemon.start()
        daemon.up()
        assert daemon.until("open")["site"]["id"] == "lakeside", "evidence that is lost closes nothing"


def test_a_site_that_was_left_is_shut_even_if_the_next_one_cannot_be_gone_over_to(tmp_path: Path) -> None:
    async def act(coach: Coach) -> None:
        coach.evidence.say(where("lakeside"))
        await coach.settle("lakeside")
        aside = tmp_path / ".active-site.new"
        aside.mkdir()
        coach.evidence.say(where("st-marys", "it is inside the geofence of st-marys"))
        gate = await coach.until(GateState.BLOCKED)
        assert "it is inside the geofence of st-marys" in gate.reason
        assert gate.hint
        assert coach.serving.site == "lakeside"
        coach.serving.consider()
        assert coach.serving.gatekeeper.gate.state is GateState.BLOCKED
        assert not coach.serving.gatekeeper.storage.bound
        aside.rmdir()
        await coach.settle("st-marys")
        aside.mkdir()
        coach.evidence.say(where("lakeside"))
        await coach.until(GateState.BLOCKED)
        coach.evidence.say(where("st-marys"))
        await coach.settle("st-marys")
        aside.rmdir()

    play(tmp_path, act)
