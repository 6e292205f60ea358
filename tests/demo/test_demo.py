"""The whole story is told, the truth of its last sentence can be doubted, and nothing of it stays."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.wait import wait_for

ROOT = Path(__file__).parent.parent.parent
DEMO = (sys.executable, "-m", "fluxctl.main", "demo")
PLAY = (sys.executable, "-m", "tests.demo.play")
LONG = 120.0


class Performance:
    """One run of the demonstration, in a place where everything that is left can be found."""

    def __init__(self, *command: str) -> None:
        # Not pytest's own folder: the path of a Unix socket has to be short.
        self._folder = tempfile.TemporaryDirectory(prefix="flux-")
        self.folder = Path(self._folder.name)
        self._mark = uuid.uuid4().hex
        command = tuple(word.replace("DIR", str(self.folder / "box")) for word in command)
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"DEMO_TEST": self._mark, "TMPDIR": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self.out = self.err = ""

    def end(self) -> int:
        """Return the exit code, once it has ended."""
        self.out, self.err = self.process.communicate(timeout=LONG)
        return self.process.returncode

    def processes(self) -> list[str]:
        """Name every process that belongs to it, whoever its parent is now."""
        return [str(found) for found in Path("/proc").glob("[0-9]*") if self._is_ours(found)]

    def _is_ours(self, process: Path) -> bool:
        # One in a container has the folder mounted and no environment of ours; of one with keys that cannot be read.
        if f"DEMO_TEST={self._mark}".encode() in _said(process / "environ").split(b"\0"):
            return True
        folder = self.folder.name.encode()
        return folder in _said(process / "cmdline") or folder in _said(process / "mountinfo")

    def left(self) -> list[str]:
        """Name everything that is left of it."""
        return [*self.processes(), *(str(path) for path in self.folder.iterdir())]

    def close(self) -> None:
        """End it, if a test did not."""
        if self.process.poll() is None:
            self.process.terminate()
            self.end()
        self._folder.cleanup()


Performances = dict[str, Performance]


@pytest.fixture(scope="module")
def performances() -> Iterator[Performances]:
    """Several at once: most of the time each of them waits for a slow link."""
    found = {
        "whole": Performance(*DEMO),
        "document": Performance(*PLAY, "faithful", "--json", "DIR"),
        "odd": Performance(*PLAY, "odd"),
    }
    yield found
    for each in found.values():
        each.close()


def test_the_whole_story(performances: Performances) -> None:
    whole = performances["whole"]
    assert whole.end() == 0, whole.out + whole.err
    assert whole.err == ""
    lines = whole.out.splitlines()
    assert lines[0] == "fluxctl demo"
    assert [line.split()[0] for line in lines if re.match(r"\d+  \S", line)] == [str(number) for number in range(1, 11)]
    assert "\x1b" not in whole.out
    said = " ".join(whole.out.split())
    assert "✘ the link to pacs is cut" in said
    assert re.search(r"⚠ \d+ images wait for pacs\b.*: .+; next try in \d", said)
    (total,) = [line.split() for line in lines if line.startswith("   All")]
    # No route is for one image; a person sends it to the archive.
    assert total[1:] == [total[1], total[1], str(int(total[1]) - 1), total[1], "✔"]
    assert "held, no route of version 1 of the profile matches it" in said
    assert re.search("DO NOT SCAN — .*: CT_COACH still has 1 study of 1 patient .* READY TO SCAN — Next Clinic", said)
    assert re.search(r"pacs: \d+ images of modality MR with our name", said)
    assert re.search(r"archive: \d\d+ images in JPEG 2000 Lossless", said)
    assert int(total[1]) > 60
    assert "   ✔ nothing lost, nothing twice, nothing in the wrong place" in lines
    assert whole.left() == []


def test_a_document_for_scripts_and_a_folder_to_look_at(performances: Performances) -> None:
    document = performances["document"]
    assert document.end() == 0, document.out + document.err
    assert document.err == ""
    told = json.loads(document.out)
    assert told["schema"] == "fluxctl.demo/1"
    assert told["ok"] is True
    assert told["differences"] == []
    assert sum(row["images"] for row in told["rows"]) == told["images"] > 60
    for row in told["rows"]:
        assert [place["place"] for place in row["places"]] == ["spool", "pacs", "archive"]
        assert all(place["right"] for place in row["places"])
        missing = 1 if row["sop_class"].startswith("12-lead ECG") else 0
        assert [row["images"] - place["images"] for place in row["places"]] == [0, missing, 0]
    box = document.folder / "box"
    assert document.left() == [str(box)]
    assert stat.S_IMODE(box.stat().st_mode) == 0o700
    assert list(box.glob("state/sites/demo/*"))
    assert "stopped" in (box / "box.log").read_text()


def test_a_pacs_that_is_not_faithful_is_found_out(performances: Performances) -> None:
    odd = performances["odd"]
    assert odd.end() == 1, odd.out + odd.err
    said = " ".join(odd.out.split())
    assert "nothing lost" not in said
    for what in ("never arrived", "arrived more than once", "did not arrive as they should"):
        assert re.search(rf"· archive: 1 image \([\d.]+\) {what}", said)
    assert odd.left() == []


def test_a_folder_that_is_there_is_not_used(tmp_path: Path) -> None:
    done = subprocess.run([*DEMO, "--keep", str(tmp_path)], capture_output=True, text=True, check=False, timeout=LONG)
    assert done.returncode == 6
    assert "this exists already" in done.stderr
    assert not list(tmp_path.iterdir())


def _said(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _end_in_the_middle(number: signal.Signals, each: Performance) -> None:
    assert each.process.stdout is not None
    for line in each.process.stdout:
        if "the link to pacs is cut" in line:
            break
    else:
        each.end()
        pytest.fail(f"it ended by itself: {each.err}")
    assert len(each.processes()) >= 7
    each.process.send_signal(number)


def test_it_can_be_ended_in_the_middle() -> None:
    signals = (signal.SIGINT, signal.SIGTERM)
    ended = [(number, Performance(*DEMO)) for number in signals]
    try:
        # At the same time: one that nobody reads goes on to its end.
        with ThreadPoolExecutor() as readers:
            list(readers.map(_end_in_the_middle, *zip(*ended, strict=True)))
        for number, each in ended:
            assert each.end() == 128 + number, each.out + each.err
            assert "Traceback" not in each.err
            wait_for(lambda each=each: not each.left(), what="nothing to be left")  # type: ignore[misc]
    finally:
        for _, each in ended:
            each.close()
