"""The stage: a scanner, a box, a link and two PACS on this machine, in a folder that is thrown away."""

from __future__ import annotations

import hashlib
import queue
import struct
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self, cast

import tomli_w

from capacitord.api.client import Client
from capacitord.api.demo import SCANNER, Cut, Delete, Kept, Report, Restore, Send, Slow
from capacitord.api.messages import Gate, KeyInit, ProfileImport, Status, Study, StudyQuery
from capacitord.errors import CapacitordError, TryAgain, Unreachable
from capacitord.model.states import GateState
from fluxctl.demo import rules
from fluxctl.demo.process import Player, Process, undisturbed
from fluxctl.demo.rules import ARCHIVE, PACS
from fluxctl.demo.seen import Seen
from fluxctl.watching import Feed, Lost

if TYPE_CHECKING:
    from typing import IO

PATIENCE: Final = 60.0
"""Seconds that anything may take; on a machine with nothing else to do it is one or two."""
TICK: Final = 0.05
NEWS: Final = 0.1
"""Seconds between two looks of the box at itself."""
_META_START: Final = 132
_META_LENGTH: Final = struct.Struct("<I")
_INSTANCE: Final = struct.pack("<HH2s", 0x0002, 0x0003, b"UI")


class Cast(NamedTuple):
    """Who plays: the command line of each role."""

    scanner: Sequence[str]
    link: Sequence[str]
    pacs: Sequence[str]
    archive: Sequence[str]
    box: Sequence[str]


class Pace(NamedTuple):
    """How fast it is played: images a second from the scanner, bytes a second over the link."""

    scanner: float = 40.0
    link: int = 350_000


def _role(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"capacitord.demo.{name}")


CAST: Final = Cast(
    scanner=_role("scanner"),
    link=_role("link"),
    pacs=(*_role("pacs"), "PACS"),
    archive=(*_role("pacs"), "ARCHIVE"),
    box=(sys.executable, "-m", "capacitord.supervisor"),
)


class Stage:
    """The running pieces. Use it as a context: whatever it started is ended at the end, in reverse order."""

    def __init__(self, folder: Path, cast: Cast = CAST, pace: Pace | None = None) -> None:
        self.folder = folder
        self.pace = pace or Pace()
        self.state = folder / "state"
        self.client = Client(folder / "control.sock")
        self.seen = Seen()
        self._cast = cast
        self._running: list[Process] = []
        self._heard: queue.SimpleQueue[tuple[str, Report]] = queue.SimpleQueue()
        self._feed: Feed | None = None
        self._box: Process | None = None
        self._end = ExitStack()

    # --- who is there -------------------------------------------------------------------------------------

    def start_others(self) -> None:
        """Start everything around the box."""
        self.scanner = self._play("scanner", self._cast.scanner)
        self._play(PACS, self._cast.pacs)
        self._play(ARCHIVE, self._cast.archive)
        self.until(lambda seen: {PACS, ARCHIVE} <= seen.ports.keys(), "the two PACS to be there")
        self._link = self._play("link", (*self._cast.link, str(self.seen.ports[PACS])))
        self.until(lambda seen: {"link", "scanner"} <= seen.ports.keys() and seen.images, "the scanner to be there")

    def start_box(self) -> None:
        """Start capacitord on the folder as it is, and wait until it answers."""
        settings = {
            "schema": 1,
            "box": {"state": str(self.state)},
            "control": {"socket": str(self.client.socket_path)},
            "storage": {"address": "127.0.0.1", "port": 0},
            "modality": [{"ae_title": SCANNER, "host": "127.0.0.1", "port": self.seen.ports["scanner"]}],
            "preflight": {"every": "1s"},
            "spool": {"reserve": "64 MiB", "warning": "128 MiB", "study_quiet": "1s"},
        }
        file = self.folder / "capacitord.toml"
        file.write_text(tomli_w.dumps(settings))
        with undisturbed():
            self._box = Process("box", (*self._cast.box, "run", "--config", str(file)), self.folder)
            self._keep(self._box)
        self.until(lambda _: self._answers(), "the box to answer")
        if self._feed is None:
            self._feed = Feed(self.client, NEWS)
            self._end.callback(self._feed.close)

    def kill_box(self) -> None:
        """End capacitord as a power failure would: at once, with all that it started."""
        if self._box is not None:
            self._running.remove(self._box)
            self._box.kill()
            self.seen.status = None

    # --- what they are told -------------------------------------------------------------------------------

    def give_key(self) -> None:
        """Do what `fluxctl key init` does."""
        self.client.key_init(KeyInit())

    def give_profile(self) -> None:
        """Do what `fluxctl profile import` does: a site with two destinations, the first behind the link."""
        ports = {PACS: self.seen.ports["link"], ARCHIVE: self.seen.ports[ARCHIVE]}
        text = tomli_w.dumps(rules.profile(ports))
        self.client.profile_import(ProfileImport(text=text, name="demo.toml"))

    def open_gate(self, site: str = rules.SITE) -> Status:
        """Wait until the scanner may send for a site, and return the status that says so."""
        self.until(lambda seen: _is_open(seen.status, site), "the storage port to open")
        return self.status()

    def give_next_profile(self) -> None:
        """Import the profile of another site."""
        text = tomli_w.dumps(rules.next_profile(self.seen.ports[PACS]))
        self.client.profile_import(ProfileImport(text=text, name="next.toml"))

    def go_to(self, site: str) -> None:
        """Do what `fluxctl site activate` does."""
        self.client.site_activate(site, "the coach is there")
        self.status()

    def blocked_gate(self) -> Status:
        """Wait until the gate is blocked by what is on the scanner, and return the status that says so."""
        self.until(lambda seen: seen.status is not None and _is_blocked(seen.status.gate), "the gate to be blocked")
        return self.status()

    def delete_patient(self) -> None:
        """Have nobody on the scanner any more."""
        self.scanner.tell(Delete())

    def scan(self, studies: Sequence[str], shown: Callable[[Seen], object] = lambda _: None) -> None:
        """Have the scanner send studies, and wait until all their images were answered."""
        listener = self.status().listener
        done = self.seen.orders_done + 1
        self.scanner.tell(Send(listener.ae_title, listener.port, tuple(studies), self.pace.scanner))
        self.until(lambda seen: seen.orders_done >= done, "the scanner to send everything", shown=shown)

    def slow_link(self) -> None:
        """Let no more through to the PACS than the pace says."""
        self._link.tell(Slow(self.pace.link))

    def cut_link(self, inside: int) -> None:
        """Break the link once `inside` bytes of one message have gone through; 0 means now."""
        self._link.tell(Cut(inside))

    def restore_link(self) -> None:
        """Mend the link."""
        self._link.tell(Restore())

    # --- what is seen -------------------------------------------------------------------------------------

    def until(
        self, done: Callable[[Seen], object], what: str, shown: Callable[[Seen], object] = lambda _: None
    ) -> None:
        """Take in what is told until `done`, showing it; `TryAgain` if that does not come to be."""
        if not self.soon(done, PATIENCE, shown):
            raise TryAgain(
                f"the demonstration waited {PATIENCE:g} s for {what}",
                hint="See why with fluxctl demo --keep DIR: everybody's log is in DIR.",
            )

    def soon(self, done: Callable[[Seen], object], within: float, shown: Callable[[Seen], object]) -> bool:
        """Take in what is told until `done`, showing it; return whether that came to be `within` so many seconds."""
        deadline = time.monotonic() + within
        while True:
            self._listen()
            shown(self.seen)
            if done(self.seen):
                return True
            if time.monotonic() > deadline:
                return False
            for process in self._running:
                process.check()

    def status(self) -> Status:
        """Return what the box says now."""
        self.seen.status = self.client.status()
        return self.seen.status

    def spool(self) -> dict[str, list[Kept]]:
        """Read every image back from the spool; return, by UID, each copy."""
        found: dict[str, list[Kept]] = {}
        for study in self.client.study_list(StudyQuery(limit=1000)).studies:
            with self.client.study_export(study.id) as stream:
                for file in _files_in(cast("IO[bytes]", stream)):
                    uid, dataset = _opened(file)
                    found.setdefault(uid, []).append(Kept(uid, hashlib.sha256(dataset).hexdigest()))
                # An archive ends before its padding does; who hangs up there has not heard it out.
                stream.read()
        return found

    def held(self) -> Study:
        """Return the study that is held, as soon as the box says so."""
        held: list[Study] = []

        def there(_: Seen) -> bool:
            held[:] = [study for study in self.client.study_list(StudyQuery(limit=1000)).studies if study.held]
            return bool(held)

        self.until(there, "a study to be held")
        return held[0]

    def files(self) -> list[Path]:
        """Return every file that the box keeps."""
        return [path for path in self.state.rglob("*") if path.is_file()]

    # --- the machinery ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with undisturbed():
            self._end.close()

    def _play(self, name: str, command: Sequence[str]) -> Player:
        with undisturbed():
            player = Player(name, command, self.folder, lambda who, report: self._heard.put((who, report)))
            self._keep(player)
        return player

    def _keep(self, process: Process) -> None:
        self._running.append(process)
        self._end.callback(process.stop)

    def _answers(self) -> bool:
        try:
            self.status()
        except (Unreachable, TryAgain):
            return False
        return True

    def _listen(self) -> None:
        if self._feed is None:
            time.sleep(TICK)
        else:
            for event in self._feed.waiting(TICK):
                if not isinstance(event, Lost):
                    self.seen.event(event)
        while not self._heard.empty():
            self.seen.report(*self._heard.get())


def _is_open(status: Status | None, site: str) -> bool:
    # What is heard of the box may be older than what it was asked: there may be another site in it.
    return status is not None and status.gate.may_scan and status.site is not None and status.site.id == site


def _is_blocked(gate: Gate) -> bool:
    return gate.state is GateState.BLOCKED and SCANNER in gate.reason


def _files_in(stream: IO[bytes]) -> Iterator[bytes]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            if file is not None:
                yield file.read()


def _opened(file: bytes) -> tuple[str, bytes]:
    """Return the SOP Instance UID and the dataset of a DICOM file (PS3.10 §7.1)."""
    start = _META_START + 8
    end = start + _META_LENGTH.size + _META_LENGTH.unpack_from(file, start)[0]
    place = file.find(_INSTANCE, start, end)
    if place < 0:
        raise CapacitordError("the box exported a file without a SOP Instance UID")
    at = place + len(_INSTANCE)
    (length,) = struct.unpack_from("<H", file, at)
    return file[at + 2 : at + 2 + length].rstrip(b"\0").decode("ascii"), file[end:]
