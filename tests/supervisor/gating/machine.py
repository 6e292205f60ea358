"""Anything that can happen to a box, in any order: evidence, people, patients, images, damage, kills and restarts."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from capacitord.api import messages as m
from capacitord.api.preflight import RunPreflight
from capacitord.model.states import GateState
from capacitord.supervisor.peers import Peer
from tests.supervisor.gating.box import Life, Settings, profile
from tests.supervisor.gating.truth import Truth
from tests.supervisor.gating.world import (
    HOST,
    SCANNERS,
    SITES,
    STORAGE_PORT,
    Association,
    Manner,
    Start,
    World,
    listening,
)

_NOW: Final = 1000.0
RECORDS: Final = ("last-open", "active-site")
ENOUGH: Final = 90.0
"""Seconds within which a site opens if nothing is in its way: its runtime's starts, a preflight and another."""
_PEER: Final = Peer(0, "alex", frozenset())
_site = st.sampled_from(SITES)
_settings = st.builds(
    Settings,
    required=st.sampled_from((True, True, False)),
    waiver=st.sampled_from((True, True, False)),
    follow=st.booleans(),
    port=st.sampled_from((0, STORAGE_PORT)),
)
_manner = st.sampled_from((*(6 * (Manner.HONEST,)), *Manner))
_runtime = st.sampled_from((*(4 * (Start.READY,)), *(2 * (Start.SLOW,)), Start.FAILS, Start.MUTE))
_damage = st.sampled_from(("delete", "cut", "change", "forge"))
_pause = st.one_of(st.integers(0, 50), st.sampled_from((0.5, 3.0, 15.0)))
_start = st.sampled_from((0, 5, 20, 1.0, 3.0, 3.0, 15.0, 15.0))
_seconds = st.sampled_from((7.0, 25.0, 45.0, 100.0))


def template(folder: Path) -> None:
    """Make the state of a box that has keys and knows the sites, and serves none."""
    world = World()
    life = Life(folder, world, Settings(follow=False), _NOW, lambda: None)
    try:
        life.loop.run_for(1.0)
        life.finish(life.serving.keys.init(m.KeyInit()))
        first, *others = (m.ProfileSource(profile(site, 1), f"{site}.toml") for site in SITES)
        life.finish(life.sites.import_profiles(m.ProfileImport(first.text, others=tuple(others)), "alex"))
        life.stop()
        assert not life.wrong, life.wrong
    finally:
        world.close()


def run(state: Path, examples: int, steps: int, *, seed: int | None = None) -> type[Coach]:
    """Try so many histories of so many steps, without a seed always the same ones; return what counted them."""

    class Counted(Coach):
        pass

    Counted.state, Counted.deeds = state, Counter()
    run_state_machine_as_test(
        Counted if seed is None else hypothesis.seed(seed)(Counted),
        settings=hypothesis.settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=seed is None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain],
        ),
    )
    return Counted


class Coach(RuleBasedStateMachine):
    """A coach with two scanners between three sites. `state` is a box's as `template` makes it."""

    state: Path
    deeds: Counter[str]
    """What all of them came to."""

    def __init__(self) -> None:
        super().__init__()
        # What is synced there costs nothing, and no kill of these takes the power away.
        memory = Path("/dev/shm")  # noqa: S108 - the folder in it is private
        self._folder = tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)
        folder = Path(self._folder.name, "state")
        shutil.copytree(self.state, folder)
        self.world = World()
        self.truth = Truth(folder, self.world)
        self.life: Life | None = None
        self.now = _NOW
        self.images = 0
        self.versions = dict.fromkeys(SITES, 1)
        self.other: socket.socket | None = None
        """Somebody else who listens on the port of the box."""

    def teardown(self) -> None:
        self.deeds += Counter(
            {
                "history": 1,
                "opened": self.truth.opened,
                "asked": self.world.surveys,
                "image arrived": len(self.truth.arrived),
                "image delivered": sum(bool(image) for _, _, image in self.world.delivered()),
                **{f"cleared as {reason}": 1 for reason in self.truth.reasons},
            }
        )
        try:
            if self.life is not None:
                self.life.kill()
        finally:
            self.port(taken=False)
            self.world.close()
            self._folder.cleanup()

    # --- the box

    @initialize(settings=_settings)
    def first_start(self, settings: Settings) -> None:
        self.start(settings)
        self.wait(1.0)

    def start(self, settings: Settings) -> None:
        self.truth.starts(settings)
        self.life = Life(self.truth.state, self.world, settings, self.now, self.each)

    def each(self) -> None:
        assert self.life is not None
        self.truth.look(self.life, self.life.loop.now)

    @property
    def box(self) -> Life:
        assert self.life is not None
        return self.life

    @property
    def runs(self) -> bool:
        return self.life is not None

    @property
    def is_open(self) -> bool:
        return self.life is not None and self.life.serving.gatekeeper.gate.state is GateState.OPEN

    @precondition(lambda self: self.runs)
    @rule(kill=st.booleans(), rounds=st.integers(0, 40))
    def end(self, kill: bool, rounds: int) -> None:
        """Kill it in the middle of whatever it does, or stop it."""
        self.box.loop.rounds(rounds)
        if kill:
            # What was done last was looked at by nobody yet.
            self.each()
            self.box.kill()
        else:
            self.box.stop()
        self.now = self.box.loop.now
        self.life = None
        for association in self.world.associations:
            association.socket.close()
        self.world.associations.clear()

    @precondition(lambda self: not self.runs)
    @rule(settings=_settings, pause=_start)
    def start_again(self, settings: Settings, pause: float) -> None:
        self.start(settings)
        self.wait(pause)

    @precondition(lambda self: self.runs)
    @rule(kill=st.booleans(), rounds=st.integers(0, 40), pause=_start)
    def restart(self, kill: bool, rounds: int, pause: float) -> None:
        """End it and start it again as it was."""
        self.end(kill, rounds)
        self.start_again(self.truth.settings, pause)

    def wait(self, pause: float) -> None:
        """Let something happen: so much that is ready, or what happens in so many seconds."""
        if isinstance(pause, int):
            self.box.loop.rounds(pause)
        else:
            self.box.loop.run_for(pause)

    @precondition(lambda self: self.runs)
    @rule(pause=st.one_of(_pause, _seconds))
    def time_passes(self, pause: float) -> None:
        self.wait(pause)

    @precondition(lambda self: not self.runs)
    @rule(seconds=_seconds)
    def time_passes_without_it(self, seconds: float) -> None:
        self.now += seconds

    # --- where it is

    @precondition(lambda self: self.runs)
    @rule(place=st.sampled_from((*SITES[:2], "elsewhere", "")), network=st.sampled_from(("st-marys", "guests", "")))
    def evidence(self, place: str, network: str) -> None:
        """Have the GPS and the Wi-Fi say something, which may be a contradiction."""
        self.world.place, self.world.network = place, network

    @precondition(lambda self: self.runs)
    @rule(site=st.sampled_from(SITES[:2]), follow=st.booleans())
    def arrives(self, site: str, follow: bool) -> None:
        """Have all evidence say the same, for long enough."""
        if follow:
            self.truth.chooses()
            self.ask(self.box.sites.follow(), 0)
        self.world.place = "lakeside" if site == "lakeside" else "elsewhere"
        self.world.network = "st-marys" if site == "st-marys" else ""
        self.box.loop.run_for(100.0)

    # --- people

    def ask(self, work: Any, pause: float) -> None:
        self.box.begin(work)
        self.wait(pause)

    @precondition(lambda self: self.runs)
    @rule(site=_site, waive=st.booleans(), pause=_pause)
    def activate(self, site: str, waive: bool, pause: float) -> None:
        box, truth = self.box, self.truth
        truth.chooses()
        work = box.sites.activate(m.SiteActivate(site, "a test", waive_preflight=waive), "alex")
        if not waive:
            self.ask(work, pause)
            return
        waiver = truth.waives(site)

        async def waiving() -> None:
            await work
            waiver.given = True

        box.begin(waiving(), lambda: truth.refused(waiver))
        self.wait(pause)

    @precondition(lambda self: self.runs)
    @rule(site=_site, images=st.integers(0, 2), patients=st.integers(0, 1))
    def serve(self, site: str, images: int = 0, patients: int = 0) -> None:
        """Have nothing in the way of a site, and see that it opens; then work there, and leave patients behind."""
        for name in SCANNERS:
            self.found(name, 0, Manner.HONEST)
        self.trouble(Start.READY, "", pacs=True)
        for record in RECORDS:
            self.hindrance(record, on=False)
        self.port(taken=False)
        self.activate(site, waive=False, pause=0)
        self.box.loop.run_for(ENOUGH)
        gate, here = self.box.serving.gatekeeper.gate, self.box.serving
        if (self.truth.state / "profiles" / site).exists():
            assert (here.site, gate.state) == (site, GateState.OPEN), f"it is {gate.state}: {gate.reason}"
            if images:
                self.association(images)
            self.found(SCANNERS[0], patients, Manner.HONEST)

    @precondition(lambda self: self.runs)
    @rule(
        site=_site,
        name=st.sampled_from(SCANNERS),
        patients=st.sampled_from((0, 1)),
        manner=_manner,
        start=_runtime,
        waive=st.booleans(),
        later=st.sampled_from((0, 0, 1)),
        pause=_pause,
    )
    def go_over(
        self,
        *,
        site: str,
        name: str,
        patients: int,
        manner: Manner,
        start: Start,
        waive: bool,
        later: int,
        pause: float,
    ) -> None:
        """Go over to a site with something in the way of that, and perhaps more a little later."""
        self.found(name, patients, manner)
        self.world.start = start
        self.activate(site, waive, pause)
        if later:
            self.found(name, later, Manner.HONEST)
            self.wait(25.0)

    @precondition(lambda self: self.runs)
    @rule(back=st.booleans(), pause=_pause)
    def end_it(self, back: bool, pause: float) -> None:
        """Park the box, or have it follow the evidence again."""
        sites = self.box.sites
        self.truth.chooses()
        self.ask(sites.follow() if back else sites.deactivate("a test", "alex"), pause)

    @precondition(lambda self: self.runs)
    @rule(what=st.sampled_from(("import", "import", "roll back", "remove", "erase")), site=_site, pause=_pause)
    def change(self, what: str, site: str, pause: float) -> None:
        """Do something to a site's profile, or to the site."""
        sites = self.box.sites
        match what:
            case "import":
                self.versions[site] += 1
                text = profile(site, self.versions[site])
                self.ask(sites.import_profiles(m.ProfileImport(text), "alex"), pause)
            case "roll back":
                self.ask(sites.rollback(m.ProfileRollback(site, "a test"), "alex"), pause)
            case "remove":
                self.ask(sites.remove(m.ProfileRemove(site, site), _PEER), pause)
            case _:
                self.ask(sites.erase(m.SiteErase(site, "a test", site), _PEER), pause)

    @precondition(lambda self: self.runs)
    @rule(site=st.sampled_from(("", *SITES)))
    def preflight(self, site: str) -> None:
        """Ask scanners by hand."""
        box = self.box
        self.truth.asks()

        async def ask() -> None:
            async with box.answers.ask_scanners(RunPreflight(site=site), lambda: False, lambda _: None) as lines:
                async for _ in lines:
                    pass

        self.ask(ask(), 0)

    # --- scanners

    @rule(name=st.sampled_from(SCANNERS), patients=st.sampled_from((0, 1, 2)), manner=_manner)
    def found(self, name: str, patients: int, manner: Manner) -> None:
        """Put patients on a scanner or take them off, and have it answer so."""
        self.world.scanners[name].patients = patients
        self.world.behave(name, manner)

    @precondition(lambda self: self.is_open)
    @rule(images=st.integers(0, 2))
    def association(self, images: int) -> None:
        """Connect to the storage port, and send."""
        serving = self.box.serving
        made = socket.create_connection((HOST, serving.gatekeeper.storage.port), 5.0)
        made.settimeout(0)
        association = Association(serving.site, made)
        self.world.associations.append(association)
        self.send(images)

    @precondition(lambda self: self.world.associations)
    @rule(images=st.integers(0, 2))
    def send(self, images: int) -> None:
        """Send on every association that is still there."""
        for association in self.world.associations:
            for _ in range(images):
                self.images += 1
                self.truth.arrived[self.images] = association.site
                association.send(self.images)

    @precondition(lambda self: self.world.associations)
    @rule()
    def release(self) -> None:
        self.world.associations.pop(0).socket.close()

    # --- what goes wrong

    @precondition(lambda self: self.runs)
    @rule(start=_runtime, manner=st.sampled_from(("", "stubborn", "curious", "no probe")), pacs=st.booleans())
    def trouble(self, start: Start, manner: str, pacs: bool) -> None:
        """Have processes be as they should not, and systems switched off."""
        world = self.world
        world.start = start
        world.stubborn, world.curious, world.dies = (manner == each for each in ("stubborn", "curious", "no probe"))
        for each in world.pacs.values():
            each.switch(on=pacs)

    @precondition(lambda self: self.world.runtimes)
    @rule()
    def runtime_dies(self) -> None:
        self.world.runtimes[0].end(-11)

    @precondition(lambda self: self.runs)
    @rule(name=st.sampled_from(RECORDS), how=_damage, kill=st.booleans(), site=_site, pause=_start)
    def find_it_damaged(self, name: str, how: str, kill: bool, site: str, pause: float) -> None:
        """End it, damage one of its records, and start it again."""
        self.end(kill, 0)
        self.damage(name, how, site)
        self.start_again(self.truth.settings, pause)

    @rule(name=st.sampled_from((*(4 * RECORDS[:1]), RECORDS[1])), how=_damage, site=_site)
    def damage(self, name: str, how: str, site: str) -> None:
        """Delete a record, cut it, change it, or have it name a site that it did not name."""
        path = self.truth.state / name
        if not path.is_file():
            return
        content = path.read_bytes()
        match how:
            case "delete":
                path.unlink()
            case "cut":
                path.write_bytes(content[: len(content) - 2])
            case "change":
                path.write_bytes(b"#" + content[1:])
            case _ if not content.startswith(site.encode()):
                path.write_bytes(site.encode() + b"\n" + content.partition(b"\n")[2])
        if name == RECORDS[0]:
            self.truth.damaged()

    @precondition(lambda self: self.runs)
    @rule(name=st.sampled_from(RECORDS), on=st.booleans())
    def hindrance(self, name: str, on: bool) -> None:
        """Have the disk refuse a record, or take it again."""
        aside = self.truth.state / f".{name}.new"
        if on:
            aside.unlink(missing_ok=True) if aside.is_file() else None
            aside.mkdir(exist_ok=True)
        elif aside.is_dir():
            aside.rmdir()

    @precondition(lambda self: not self.is_open)
    @rule(taken=st.booleans())
    def port(self, *, taken: bool) -> None:
        """Have another program listen on the port that is the box's, or no more."""
        if taken and self.other is None:
            self.other = listening(STORAGE_PORT)
        elif not taken and self.other is not None:
            self.other.close()
            self.other = None

    # --- what must be so

    @invariant()
    def nothing_is_where_it_does_not_belong(self) -> None:
        for pacs in self.world.pacs.values():
            pacs.look()
        self.truth.look_at_deliveries()

    @invariant()
    def the_port_is_open_if_the_gate_is(self) -> None:
        port = self.life.serving.gatekeeper.storage.port if self.life is not None else 0
        if self.other is not None:
            assert not self.is_open or port != STORAGE_PORT
        elif port:
            with socket.socket() as made:
                reached = made.connect_ex((HOST, port)) == 0
            assert reached == self.is_open, f"a scanner {'gets' if reached else 'does not get'} through"

    @invariant()
    def the_status_tells_what_is_so(self) -> None:
        box = self.life
        if box is None:
            return

        async def ask() -> None:
            self.truth.agrees(await box.answers.status())

        box.begin(ask())
