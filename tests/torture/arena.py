"""Where the torture happens: the real daemon between scanners that send and a PACS behind a bad link."""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from capacitord.api import messages as m
from capacitord.errors import CapacitordError
from capacitord.model.states import ACKNOWLEDGED, AckState
from tests.chaos.proxy import Proxy
from tests.system.box import Box, Target
from tests.system.contents import digests
from tests.torture.pacs import AE_TITLE, RecordingPacs
from tests.torture.scanner import Scanner, Send, Sources, senders
from tests.torture.verdict import Evidence, Kill, Verdict, judge
from tests.torture.weather import Weather
from tests.wait import wait_for

NAME = "pacs"
SETTLES = 180.0
"""Seconds in which the box has to deliver what is left once everything works again."""


class Operator(threading.Thread):
    """A person who looks at the box now and then, remembers what it said, and has a destination in trouble tried."""

    def __init__(self, client_of: Box, *, seed: int) -> None:
        super().__init__(name="operator", daemon=True)
        self.known: dict[str, float] = {}
        self._client = client_of.client
        self._random = random.Random(seed)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until `finish`."""
        while not self._stopping.wait(self._random.uniform(0.2, 1.0)):
            with contextlib.suppress(CapacitordError):
                self._look()

    def finish(self) -> None:
        """End after the look under way."""
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), "the operator hangs"

    def _look(self) -> None:
        for destination in self._client.destination_list().destinations:
            if destination.next_try is not None:
                self._client.queue_flush(destination.name)
        studies = self._client.study_list(m.StudyQuery(limit=20)).studies
        for study in self._random.sample(studies, min(3, len(studies))):
            images = self._client.study_show(study.id).images
            now = time.monotonic()
            for image in images:
                if any(ack.state in ACKNOWLEDGED for ack in image.acks):
                    self.known.setdefault(image.sop_instance_uid, now)


class Arena:
    """Everything at work, as a context manager. Kill the box as often as you like; then `settle` and `judge`."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        associations: int = 2,
        keep_delivered: str = "24h",
        corrupt: bool = True,
        calm: float = 1.0,
        pause: float = 0.5,
        state: Path | None = None,
        sending: Callable[[str, int], Mapping[str, Send]] = senders,
    ) -> None:
        """`calm` and `pause` bound the seconds between two faults of the link, and between two studies of a scanner."""
        self.random = random.Random(seed)
        self.sources = Sources()
        self.kills: list[Kill] = []
        self.cuts: list[Kill] = []
        self.resent: set[str] = set()
        self._associations = associations
        self._stack = contextlib.ExitStack()
        self._folder = folder
        self._odd = folder / "arrived-damaged"
        self.pacs = RecordingPacs(self._look)
        self.link = Proxy(self.pacs.host, self.pacs.port)
        self.box = Box(folder / "box", keep_delivered=keep_delivered, state=state)
        self.weather = Weather(self.link, seed=seed, calm=calm, corrupt=corrupt)
        self.operator = Operator(self.box, seed=seed)
        self.scanners: list[Scanner] = []
        self._seed, self._pause, self._sending = seed, pause, sending

    def _look(self, uid: str, dataset: bytes, digest: str) -> None:
        """Keep what did not arrive as it was sent, for whoever has to find out why."""
        if self.sources.digests.get(uid) != digest:
            self._odd.mkdir(exist_ok=True)
            (self._odd / f"{digest[:16]}.{len(list(self._odd.iterdir()))}").write_bytes(dataset)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._stack as stack:
            stack.enter_context(self.pacs)
            stack.enter_context(self.link)
            self.box.targets = (Target(NAME, AE_TITLE, self.link.port, settings={"associations": self._associations}),)
            stack.enter_context(self.box)
            for number, (name, send) in enumerate(sorted(self._sending(self.box.host, self.box.port).items())):
                scanner = Scanner(
                    self._folder / name, self.sources, send, seed=10 * self._seed + number, pause=self._pause
                )
                self.scanners.append(scanner)
                scanner.start()
            self.weather.start()
            self.operator.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is not None:
                self.keep_evidence()
            self.weather.clear_up()
            self.operator.finish()
            for scanner in self.scanners:
                scanner.abandon()

    # --- cruelty

    def kill_runtime(self) -> bool:
        """Kill the runtime, and return whether there was one."""
        after = time.monotonic()
        if not self.box.kill_runtime():
            return False
        self.kills.append(Kill(after, time.monotonic()))
        return True

    def kill_supervisor(self) -> None:
        """Kill the supervisor alone, with which its runtime ends, and start another."""
        after = time.monotonic()
        self.box.kill_supervisor()
        self.kills.append(Kill(after, time.monotonic()))
        self.box.launch()

    def kill_both(self) -> None:
        """Kill supervisor and runtime as one, and start the supervisor again."""
        after = time.monotonic()
        self.box.kill()
        self.kills.append(Kill(after, time.monotonic()))
        self.box.launch()

    def hasten(self) -> None:
        """Have a runtime that waits to be started again started now, as an operator can."""
        with contextlib.suppress(CapacitordError):
            self.box.import_profile()

    # --- the end

    def settle(self) -> None:
        """Let everything work again, stop the scanners, and wait until the box has delivered what it took in."""
        self.weather.clear_up()
        self.operator.finish()
        self.box.wait_until_open()
        for scanner in self.scanners:
            scanner.finish()
        deadline = time.monotonic() + SETTLES
        while True:
            self.box.client.queue_flush(m.ALL)
            self.box.wait_until_delivered(within=max(1.0, deadline - time.monotonic()))
            refused = self._refused()
            if not refused:
                return
            assert self.weather.flips, f"{len(refused)} images were refused, and the link flipped no bit"
            for study, uid in refused:
                self.resent.add(uid)
                self.box.client.study_resend(m.Resend(study, image=uid))

    def keep_evidence(self) -> None:
        """Put beside the box's log what is needed to find out what went wrong: its state and everybody's records."""
        place = self._folder / "evidence"
        if not place.exists():
            shutil.copytree(self.box.state, place / "state")
        records = {
            "acknowledged to scanners": self.sources.acknowledged,
            "seen in the ledger": self.operator.known,
            "kills": self.kills,
            "flips": self.weather.flips,
            "associations": self.pacs.records.associations,
            "receptions": self.pacs.records.receptions,
        }
        (place / "records.json").write_bytes(msgspec.json.format(msgspec.json.encode(records)))

    def _refused(self) -> list[tuple[str, str]]:
        return [
            (study.id, image.sop_instance_uid)
            for study in self.box.studies()
            if any(delivery.refused or delivery.held for delivery in study.deliveries)
            for image in self.box.client.study_show(study.id).images
            if any(ack.state in {AckState.REFUSED, AckState.HELD} for ack in image.acks)
        ]

    def judge(self) -> Verdict:
        """Read the whole spool back and hold everything against the promises."""
        wait_for(lambda: self.box.status().traffic, what="the runtime's status")
        spool = self.box.traffic().spool
        # The spool first: what is purged in between counts as purged.
        kept = digests(self.box)
        images = self.box.images()
        evidence = Evidence(
            sent=self.sources.digests,
            acknowledged=self.sources.promised(self.cuts),
            spool=kept,
            purged={image.sop_instance_uid for image in images if image.purged},
            delivered={i.sop_instance_uid for i in images if any(ack.state in ACKNOWLEDGED for ack in i.acks)},
            pacs=self.pacs.records,
            corrupt=spool.corrupt,
            conflicts=spool.conflicts,
            kills=self.kills,
            flips=self.weather.flips,
            known=self.operator.known,
            resent=self.resent,
            associations=self._associations,
        )
        verdict = judge(evidence)
        if verdict.violations:
            self.keep_evidence()
        return verdict
