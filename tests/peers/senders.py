"""Scanners: DCMTK's `storescu` and `dcmsend`, and a sender that changes no byte; and `movescu`.

What each file came to is read from what the program says about it: `dcmsend` exits with 0 after refusals.
"""

from __future__ import annotations

import enum
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.images import Image
from tests.peers.program import Program, dcmtk_environment
from tests.peers.wire import Ended, Wire

STORESCU = "/usr/bin/storescu"
DCMSEND = "/usr/bin/dcmsend"
MOVESCU = "/usr/bin/movescu"

File = Path | Image


class Outcome(enum.Enum):
    """What a sender was told about one file."""

    SUCCESS = "success"
    WARNING = "warning"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


@dataclass(frozen=True)
class Answer:
    """One file, what became of it, and the words of the program that sent it.

    `at` is the monotonic time at which the answer came, where the sender can tell.
    """

    path: Path
    outcome: Outcome
    detail: str
    at: float | None = None


@dataclass(frozen=True)
class Sent:
    """A whole transfer. `seconds` runs from the start of the program to its end."""

    returncode: int
    answers: tuple[Answer, ...]
    seconds: float
    output: str

    @property
    def acknowledged(self) -> list[Path]:
        """The files answered with Success or a warning."""
        return [a.path for a in self.answers if a.outcome in {Outcome.SUCCESS, Outcome.WARNING}]

    @property
    def refused(self) -> list[Path]:
        """The files answered with a failure."""
        return self.having(Outcome.REFUSED)

    @property
    def unanswered(self) -> list[Path]:
        """The files that were not sent, or whose answer did not come."""
        return self.having(Outcome.UNANSWERED)

    def having(self, outcome: Outcome) -> list[Path]:
        """Return the files with one outcome."""
        return [a.path for a in self.answers if a.outcome is outcome]


class Sending:
    """A transfer that has begun. It ends with `finish` or `kill`, and at the latest with its `with` block."""

    def __init__(
        self,
        argv: Sequence[str],
        files: Sequence[Path],
        folder: tempfile.TemporaryDirectory[str],
        *,
        nagle: bool,
        read: Callable[[str], Iterable[Answer]],
    ) -> None:
        self._files = files
        self._folder = folder
        self._read = read
        self._started = time.monotonic()
        self._output = ""
        environment = dcmtk_environment(nagle=nagle)
        self.program = Program([*argv, *map(str, files)], log=Path(folder.name) / "output.log", env=environment)

    def so_far(self) -> list[Answer]:
        """Return the answers there are already. `dcmsend` tells them only at its end."""
        return list(self._told(self.program.log).values())

    def finish(self, within: float = 120.0) -> Sent:
        """Wait for its end and return what came of it; fails if it takes longer than that many seconds."""
        return self._result(self.program.wait(within))

    def kill(self) -> Sent:
        """End it as a crash would, and return what came of it until then."""
        self.program.kill()
        return self._result(self.program.wait(0))

    def _told(self, output: str) -> dict[Path, Answer]:
        return {answer.path: answer for answer in self._read(output)}

    def _result(self, returncode: int) -> Sent:
        seconds = time.monotonic() - self._started
        output = self.program.log
        told = self._told(output)
        answers = (told.get(path, _unanswered(path, "not sent")) for path in self._files)
        sent = Sent(returncode, tuple(answers), seconds, output)
        self._folder.cleanup()
        return sent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.program.kill()
        self._folder.cleanup()


def start_storescu(
    files: Sequence[File],
    host: str,
    port: int,
    *,
    called: str = "ANY-SCP",
    calling: str = "STORESCU",
    nagle: bool = False,
    options: Sequence[str] = ("--required",),
) -> Sending:
    """Begin to send files, or all files in folders, with `storescu`, which goes on after a failure.

    It proposes the SOP classes of the files (without `--required`: 64 common ones, tomosynthesis not among them) in the
    uncompressed transfer syntaxes, unless `options` says otherwise, and converts to what is accepted.
    """
    folder = tempfile.TemporaryDirectory(prefix="storescu-")
    argv = [STORESCU, "--verbose", "--no-halt", "-aec", called, "-aet", calling, *options, host, str(port)]
    return Sending(argv, _paths(files), folder, nagle=nagle, read=_read_storescu)


def storescu(
    files: Sequence[File],
    host: str,
    port: int,
    *,
    called: str = "ANY-SCP",
    calling: str = "STORESCU",
    nagle: bool = False,
    options: Sequence[str] = ("--required",),
    within: float = 120.0,
) -> Sent:
    """Send files with `storescu`; see `start_storescu`."""
    with start_storescu(files, host, port, called=called, calling=calling, nagle=nagle, options=options) as sending:
        return sending.finish(within)


def start_dcmsend(
    files: Sequence[File],
    host: str,
    port: int,
    *,
    called: str = "ANY-SCP",
    calling: str = "DCMSEND",
    nagle: bool = False,
    options: Sequence[str] = ("--decompress-never",),
) -> Sending:
    """Begin to send files, or all files in folders, with `dcmsend`, which goes on after a failure.

    It proposes each file's own transfer syntax, and opens more associations for more than 128 contexts.
    """
    folder = tempfile.TemporaryDirectory(prefix="dcmsend-")
    report = Path(folder.name) / "report.txt"
    argv = [DCMSEND, "--verbose", "--no-halt", "--create-report-file", str(report)]
    argv += ["-aec", called, "-aet", calling, *options, host, str(port)]
    return Sending(argv, _paths(files), folder, nagle=nagle, read=lambda _: _read_report(report))


def dcmsend(
    files: Sequence[File],
    host: str,
    port: int,
    *,
    called: str = "ANY-SCP",
    calling: str = "DCMSEND",
    nagle: bool = False,
    options: Sequence[str] = ("--decompress-never",),
    within: float = 120.0,
) -> Sent:
    """Send files with `dcmsend`; see `start_dcmsend`."""
    with start_dcmsend(files, host, port, called=called, calling=calling, nagle=nagle, options=options) as sending:
        return sending.finish(within)


def send_exactly(
    images: Sequence[Image],
    host: str,
    port: int,
    *,
    called: str = "ANY-SCP",
    calling: str = "EXACTLY",
    within: float = 30.0,
) -> Sent:
    """Send images over one association with the very bytes of their files, which DCMTK's tools may re-encode.

    At most 128 combinations of SOP class and transfer syntax fit. `within` bounds each answer, in seconds.
    A file whose context was not accepted is unanswered; so are all after a lost connection.
    """
    started = time.monotonic()
    answers: list[Answer] = []
    proposed = sorted({(image.sop_class_uid, image.transfer_syntax_uid) for image in images})
    why = "not sent"
    try:
        with Wire(host, port, proposed, called=called, calling=calling, within=within) as wire:
            for number, image in enumerate(images):
                if (image.sop_class_uid, image.transfer_syntax_uid) in wire.contexts:
                    answers.append(_unanswered(image.path, "no answer"))
                    answer = _classified(image.path, wire.store(image, number % 65535 + 1))
                    answers[-1] = replace(answer, at=time.monotonic())
                else:
                    answers.append(_unanswered(image.path, "not accepted"))
            wire.release()
    except Ended as end:
        why = str(end)
    answers += (_unanswered(image.path, why) for image in images[len(answers) :])
    complete = all(answer.outcome is not Outcome.UNANSWERED for answer in answers)
    return Sent(0 if complete else 1, tuple(answers), time.monotonic() - started, "")


@dataclass(frozen=True)
class Moved:
    """What a C-MOVE came to: sub-operations by outcome, as its final response counts them."""

    returncode: int
    completed: int
    failed: int
    output: str


def movescu(
    host: str,
    port: int,
    *,
    called: str,
    destination: str,
    study_uid: str,
    calling: str = "MOVESCU",
    within: float = 60.0,
) -> Moved:
    """Ask a PACS to send one study to the node it knows as `destination` (PS3.4 §C.4.2, Study Root)."""
    query = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study_uid}"]
    argv = [MOVESCU, "--debug", "-aec", called, "-aet", calling, "-aem", destination, *query, host, str(port)]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=within,
        check=False,
        env=dcmtk_environment(nagle=False),
    )
    return Moved(done.returncode, _last(done.stderr, "Completed"), _last(done.stderr, "Failed"), done.stderr)


def _last(output: str, kind: str) -> int:
    counts: list[str] = re.findall(rf"{kind} Suboperations\s*: (\d+)", output)
    return int(counts[-1]) if counts else 0


def _paths(files: Sequence[File]) -> list[Path]:
    named = [file.path if isinstance(file, Image) else file for file in files]
    return [p for name in named for p in (sorted(name.rglob("*")) if name.is_dir() else [name]) if p.is_file()]


def _unanswered(path: Path, why: str) -> Answer:
    return Answer(path, Outcome.UNANSWERED, why)


def _classified(path: Path, status: int) -> Answer:
    """Sort a C-STORE status (PS3.4 §B.2.3) into an outcome."""
    if status == 0:
        outcome = Outcome.SUCCESS
    else:
        outcome = Outcome.WARNING if status >> 12 == 0xB or status == 1 else Outcome.REFUSED
    return Answer(path, outcome, f"0x{status:04x}")


def _worded(path: Path, words: str) -> Answer:
    if words.startswith("Success"):
        return Answer(path, Outcome.SUCCESS, words)
    return Answer(path, Outcome.WARNING if words.startswith("Warning") else Outcome.REFUSED, words)


_STORESCU_LINE = re.compile(
    r"^I: Sending file: (?P<path>.*)$|^I: Received Store Response \((?P<words>.*)\)$|^E: (?P<error>.*)$", re.MULTILINE
)


def _read_storescu(log: str) -> Iterable[Answer]:
    path: Path | None = None
    for line in _STORESCU_LINE.finditer(log):
        if line["path"]:
            path = Path(line["path"])
            yield _unanswered(path, "no answer")
        elif path and line["words"]:
            yield _worded(path, line["words"])
            path = None
        elif path and line["error"]:
            yield _unanswered(path, line["error"])


_REPORT_ENTRY = re.compile(r"^Filename +: (?P<path>.*)\n(?:.+\n)*?DIMSE Status +: (?P<status>.*)$", re.MULTILINE)


def _read_report(report: Path) -> Iterable[Answer]:
    text = report.read_text(errors="replace") if report.exists() else ""
    for entry in _REPORT_ENTRY.finditer(text):
        path, status = Path(entry["path"]), entry["status"]
        if status.startswith("0x"):
            yield _classified(path, int(status[2:6], 16))
        else:
            yield _unanswered(path, status.strip("<>"))
