"""Coverage-guided fuzzing of every reader of foreign bytes, and garbage for the real storage port."""

from __future__ import annotations

import random
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.fuzz import targets
from tests.images import MIB, TINY, Image, write_study
from tests.peers.echo import echoscu
from tests.peers.senders import send_exactly
from tests.system.box import AE_TITLE, Box, Target
from tests.torture.report import Report

MEMORY = 300 * MIB
_HANG = 10
_RSS = 512
_PATIENCE = 5.0


def torture(folder: Path, *, seconds: float, seed: int, conversations: int = 2000) -> Report:
    """Fuzz each target for `seconds`; then hold garbled `conversations` with a running box."""
    report = garble(folder, seed=seed, conversations=conversations)
    for name in targets.TARGETS:
        _fuzz(folder / "fuzz" / name, name, report, seconds=seconds, seed=seed)
    return report


def _fuzz(folder: Path, name: str, report: Report, *, seconds: float, seed: int) -> None:
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    argv = [sys.executable, "-m", f"tests.fuzz.{name}", f"-max_total_time={max(1, round(seconds))}", f"-seed={seed}"]
    argv += [f"-timeout={_HANG}", f"-rss_limit_mb={_RSS}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    done = subprocess.run(
        [*argv, str(corpus)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds + 20 * _HANG,
        cwd=Path(__file__).parent.parent.parent,
    )
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    report.deeds[f"{name} fuzzed"] += int(executed[1]) if executed else 0
    report.cycles += 1
    if done.returncode or not executed:
        (folder / "log").write_text(done.stderr)
        report.violations.append(f"fuzz: {name} ended with exit code {done.returncode}; see {folder}")
    else:
        shutil.rmtree(folder)


def garble(folder: Path, *, seed: int, conversations: int) -> Report:
    """Send a good conversation with something wrong in it, again and again; the box has to go on as if nothing was."""
    report = Report("fuzz", cycles=1)
    place = folder / "garbled"
    rng = random.Random(seed)
    study = write_study(place / "study", images=2, shape=TINY, seed=seed)
    with Box(place / "box", Target("pacs", "STM_PACS", port=1), settings={"log": {"level": "error"}}) as box:
        good = _recorded(box, study)
        runtime = box.runtime_pid()
        for number in range(conversations):
            _say(box, _garbled(good, rng), patience=_PATIENCE if number % 50 == 0 else 0.0)
        report.deeds["garbled conversation"] = conversations
        sent = send_exactly(study, box.host, box.port, called=AE_TITLE)
        report.acknowledged = len(sent.acknowledged)
        if len(sent.acknowledged) < len(study) or echoscu(box.host, box.port, called=AE_TITLE):
            report.violations.append("the box takes no images any more after garbled conversations")
        if box.runtime_pid() != runtime:
            report.violations.append("a garbled conversation ended the runtime")
        elif (peak := box.peak_memory()) > MEMORY:
            report.violations.append(f"garbled conversations took {peak / MIB:.0f} MiB of memory")
    if not report.violations:
        shutil.rmtree(place)
    return report


def _recorded(box: Box, study: list[Image]) -> bytes:
    """Return all that a scanner says while it sends a study that the box takes."""
    heard = bytearray()
    with socket.create_server((box.host, 0)) as server:

        def listen() -> None:
            near, _ = server.accept()
            with near, socket.create_connection((box.host, box.port)) as far:
                answers = threading.Thread(target=_copy, args=(far, near, None))
                answers.start()
                _copy(near, far, heard)
                answers.join()

        listener = threading.Thread(target=listen)
        listener.start()
        assert send_exactly(study, *server.getsockname(), called=AE_TITLE).returncode == 0
        listener.join()
    return bytes(heard)


def _copy(source: socket.socket, sink: socket.socket, heard: bytearray | None) -> None:
    while piece := source.recv(1 << 16):
        if heard is not None:
            heard += piece
        sink.sendall(piece)
    sink.shutdown(socket.SHUT_WR)


def _garbled(good: bytes, rng: random.Random) -> bytes:
    """Return the conversation with some bytes changed, left out, doubled or put in; mostly where headers are."""
    data = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(len(data), rng.choice((64, 600, 2000, len(data)))))
        match rng.randrange(5):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1"))
            case 2:
                del data[at : at + rng.randint(1, 300)]
            case 3:
                data[at:at] = data[at : at + rng.randint(1, 3000)]
            case _:
                data[at:at] = rng.randbytes(rng.randint(1, 300))
        if not data:
            return good
    return bytes(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.3 else data)


def _say(box: Box, words: bytes, *, patience: float) -> None:
    """Say it all at once, listen for up to `patience` seconds for the end of the association, and hang up."""
    with socket.create_connection((box.host, box.port), timeout=10) as connection:
        try:
            connection.sendall(words)
            if patience:
                connection.settimeout(patience)
                while connection.recv(1 << 16):
                    pass
        except OSError:
            return
