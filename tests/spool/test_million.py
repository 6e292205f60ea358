"""A spool of very many images opens at once, and what a person asks of it is answered at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from capacitord.api.messages import StudyQuery
from capacitord.model.states import StudyState
from capacitord.spool.store import Spool
from tests.spool.kit import answer, open_spool, take
from tests.spool.million import NOW, fill


def questions(spool: Spool) -> dict[str, Callable[[], object]]:
    """Return what is asked of a spool every second, every minute, or by a person who waits."""
    ledger, studies, housekeeping = spool.ledger, spool.studies, spool.housekeeping
    first = ledger.due("pacs", 128)
    return {
        "counts": spool.counts,
        "backlog": lambda: ledger.backlog("pacs"),
        "due": lambda: ledger.due("pacs", 128),
        "due behind others": lambda: ledger.due("pacs", 128, beyond=first[-1]),
        "kinds": lambda: ledger.kinds("pacs", 4096),
        "progress": lambda: ledger.progress(first[0].delivery),
        "unexplained": lambda: ledger.unexplained("pacs"),
        "destinations": ledger.destinations,
        "last success": lambda: ledger.last_success("pacs"),
        "studies": lambda: studies.page(StudyQuery()),
        "studies undelivered": lambda: studies.page(StudyQuery(undelivered=True)),
        "studies held": lambda: studies.page(StudyQuery(state=StudyState.HELD)),
        "studies of long ago": lambda: studies.page(StudyQuery(after="50")),
        "queued": studies.queued,
        "ages": lambda: studies.ages("pacs", NOW),
        "find": lambda: studies.find("A77"),
        "detail": lambda: studies.detail(7, "x"),
        "candidates": housekeeping.candidates,
        "images": lambda: housekeeping.images(0, 256),
        "sending and recording": lambda: ledger.record(answer(ledger.sending(first[:32], "Now.")), spool.tick()),
        "defer": lambda: ledger.defer("backup", "It does not answer.", 5),
        "requeue": lambda: ledger.requeue("backup"),
        "take": lambda: take(spool, 10**6, 1),
        "purge": lambda: housekeeping.purge(1, 5),
        "release": housekeeping.release_segments,
        "resend": lambda: ledger.resend(20, ["pacs"], None, 5),
        "close quiet": lambda: spool.close_arrived(0.0),
    }


def ask_a_spool_of(root: Path, images: int, *, opens_within: float, answers_within: float) -> dict[str, float]:
    """Make a spool of that many images, open it and ask it everything; return the seconds that each answer took."""
    fill(root, images)
    began = time.monotonic()
    spool = open_spool(root, destinations=("pacs", "backup"))
    took = {"open": time.monotonic() - began}
    assert spool.report.images == images
    assert spool.report.recovered == 0
    for name, ask in questions(spool).items():
        began = time.monotonic()
        ask()
        took[name] = time.monotonic() - began
    spool.close()
    assert took.pop("open") < opens_within
    assert {name: seconds for name, seconds in took.items() if seconds > answers_within} == {}
    return took


def test_a_spool_of_a_hundred_thousand_images_answers_at_once(tmp_path: Path) -> None:
    """`make torture` asks one of a million, which has to open in five seconds and to answer in one."""
    ask_a_spool_of(tmp_path, 100_000, opens_within=1.0, answers_within=0.3)
