"""What must be so whatever happens, found out beside the box: from the kernel, the disk and the scanners themselves.

A site is cleared when the record of the site that was open last comes to name it, and that must have a reason of those
that the manual names. From then on, and for that site alone, the port may be open.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from capacitord.api import messages as m
from capacitord.errors import DamagedObject
from capacitord.model.states import GateState
from capacitord.supervisor.active_site import ActiveSite
from capacitord.supervisor.last_open import LastOpen
from capacitord.supervisor.openings import FRESH
from tests.supervisor.gating.box import Life, Settings
from tests.supervisor.gating.world import World

ALWAYS: Final = frozenset({"valley"})
"""Sites whose profiles demand a preflight."""


@dataclass
class Waiver:
    """A person's leave to do without a preflight. `given` once the box said yes."""

    site: str
    given: bool = False


@dataclass
class Truth:
    """What is so. `broken` says what must never be, and was."""

    state: Path
    world: World
    cleared: str | None = ""
    """The site whose patients may be on the scanners: "" for nobody yet, None if nobody can know."""
    spoilt: bool = False
    """Whether somebody has damaged the record since it was written."""
    waivers: list[Waiver] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)
    unchosen: bool = False
    """Whether nobody knows which site was chosen, or that none was to be."""
    arrived: dict[int, str] = field(default_factory=dict)
    """Of each image the site that was open when its association began."""
    opened: int = 0
    """How often the port was opened."""
    reasons: set[str] = field(default_factory=set)
    """Why it ever was."""

    _stamp: tuple[int, int] | None = None
    _written: bytes | None = None
    _known: str | None = ""
    """The site that was cleared last, whatever became of the record."""
    _opened_last: str | None = ""
    """The site that the port was open for last, likewise; after a start that which the record named."""
    _served: str = ""
    _unasked: tuple[str, int] | None = None
    _was_open: bool = False

    def __post_init__(self) -> None:
        self._written = self._content()

    @property
    def record(self) -> Path:
        """The record of the site that was open last."""
        return self.state / "last-open"

    # --- what happens

    def starts(self, settings: Settings) -> None:
        """Take note that the box starts: what its record does not say now, nobody knows."""
        self.settings = settings
        self.waivers.clear()
        self.cleared = self._opened_last = None if self.spoilt and self._known else self._known
        self.world.clean_at = float("-inf")
        self._served = ""
        self._was_open = False
        # A restart for the same site asks nobody.
        self._unasked = (self.cleared, self.world.surveys) if self.cleared else None
        self._stamp = self._look_at_record()
        self.unchosen = self._is_choice_lost()

    def chooses(self) -> None:
        """Take note that a person says which site it is to be, or none, or that the box is to find out."""
        self.unchosen = False

    def damaged(self) -> None:
        """Take note that somebody was at the record, and may have put it right again."""
        self.spoilt = self._content() != self._written
        self._stamp = self._look_at_record()

    def waives(self, site: str) -> Waiver:
        """Take note that a person waives the preflight."""
        waiver = Waiver(site)
        if self.settings.waiver:
            self.waivers.append(waiver)
        return waiver

    def asks(self) -> None:
        """Take note that a person has scanners asked."""
        self._unasked = None

    def refused(self, waiver: Waiver) -> None:
        """Take note that she may not."""
        if waiver in self.waivers:
            self.waivers.remove(waiver)

    # --- what must be so

    def look(self, life: Life, now: float) -> None:
        """See that nothing is wrong, between any two things that the box does."""
        world, serving = self.world, life.serving
        if serving.site != self._served:
            self.waivers = [each for each in self.waivers if not (each.given and each.site == self._served)]
            self._served = serving.site
            # An answer counts for one activation.
            world.clean_at = float("-inf")
            if self._unasked is not None and serving.site != self._unasked[0]:
                self._unasked = None
        stamp = self._look_at_record()
        if stamp != self._stamp:
            self._stamp = stamp
            self._recorded(now)
        self._look_at_port(life)
        for gate in life.gates:
            assert gate.reason, f"the gate is {gate.state} for no reason"
        life.gates.clear()
        assert not life.wrong, life.wrong

    def _recorded(self, now: float) -> None:
        """See that a site that was put on record was cleared for a reason."""
        last = LastOpen(self.record).read()
        site = None if last.doubt else last.site
        if site != self._opened_last:
            assert site, last
            reason = self._reason(site, now)
            assert reason, f"{site} was cleared, and the scanners were not: {self.world.scanners}"
            self.reasons.add(reason)
        self.cleared = self._known = site
        self.spoilt, self._written = False, self._content()

    def _reason(self, site: str, now: float) -> str:
        """Return why a site may be opened for, empty if it must not."""
        if self._opened_last == "":
            return "first"
        if not self.settings.required and site not in ALWAYS:
            return "not required"
        if any(each.site == site for each in self.waivers):
            return "waived"
        return "clean" if now - self.world.clean_at <= FRESH else ""

    def _look_at_port(self, life: Life) -> None:
        gate, bound = life.serving.gatekeeper.gate, life.serving.gatekeeper.storage.bound
        listening = [runtime.site for runtime in self.world.runtimes if runtime.listens]
        is_open = gate.state is GateState.OPEN
        assert is_open == bound, f"the gate is {gate.state} and the port {'is' if bound else 'is not'} bound"
        assert is_open or not listening, f"the gate is {gate.state} and {listening} can be reached"
        assert all(site == life.serving.site for site in listening), f"{listening} listen for {life.serving.site}"
        if is_open and not self._was_open:
            self.opened += 1
            site = self._opened_last = life.serving.site
            assert site
            assert not self.unchosen, f"{site} is open, and the box may have been parked"
            assert site == self.cleared, f"{site} is open, and cleared was {self.cleared}"
            if self._unasked is not None and site == self._unasked[0]:
                assert self.world.surveys == self._unasked[1], "somebody was asked after a restart of the same site"
        self._was_open = is_open

    def _is_choice_lost(self) -> bool:
        try:
            return ActiveSite(self.state / "active-site").read() is None and self.record.exists() and bool(self._known)
        except DamagedObject:
            return True

    def _look_at_record(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.record)  # noqa: PTH116 - this is done between any two things
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _content(self) -> bytes | None:
        try:
            return self.record.read_bytes()
        except FileNotFoundError:
            return None

    def agrees(self, status: m.Status) -> None:
        """See that the status tells what is so."""
        listening = {runtime.site for runtime in self.world.runtimes if runtime.listens}
        named = "" if status.site is None else status.site.id
        assert listening <= {named}, f"the status names {named}, and {listening} can be reached"
        assert status.gate.reason
        if status.gate.state is not GateState.OPEN:
            assert not listening
            assert not status.gate.may_scan

    def look_at_deliveries(self) -> None:
        """See that every image at a PACS is that of its site, and came from its site's runtime."""
        for site, sender, image in self.world.delivered():
            assert sender == site, f"the runtime of {sender} reached the PACS of {site}"
            assert not image or self.arrived[image] == site, f"image {image} of {self.arrived[image]} came to {site}"
