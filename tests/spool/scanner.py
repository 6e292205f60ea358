"""A program that takes images in and has them delivered until it is killed, and says what it was promised.

`python -m tests.spool.scanner FOLDER FIRST THREADS` prints a line for each receipt (`kept STUDY NUMBER WHEN`), each
image that the ledger knows to be on its way (`sending STUDY NUMBER WHEN`) and each delivery that was recorded
(`delivered STUDY NUMBER WHEN`), at once and unbuffered; WHEN is monotonic, in nanoseconds. Size and content of an image
follow from its UID. FIRST is the first study's number; each thread has its own studies. It ends when the disk refuses.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from capacitord.errors import CapacitordError
from capacitord.spool.store import Spool
from tests.spool.kit import LARGE, answer, close_studies, due, open_spool, sop_uid, take

IMAGES_A_STUDY = 40
_SIZES = (0, 700, 20_000, 20_000, 20_000, 60_000, 131_056, 500_000, LARGE - 1, LARGE, 3 * LARGE)


def size_of(study: int, number: int) -> int:
    """Return how long the dataset of an image is: most are small."""
    return _SIZES[hashlib.sha256(sop_uid(study, number).encode()).digest()[0] % len(_SIZES)]


def image_of(uid: str) -> tuple[int, int]:
    """Return the study and the number of an image."""
    study, _, number = uid.removeprefix("1.2.3.").split(".")
    return int(study), int(number)


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, (*words, time.monotonic_ns()))) + "\n").encode())


def scan(spool: Spool, first: int, step: int) -> None:
    study = first
    while True:
        for number in range(IMAGES_A_STUDY):
            take(spool, study, number, size=size_of(study, number))
            say("kept", study, number)
        study += step


def send(spool: Spool) -> None:
    while True:
        images = spool.ledger.sending(due(spool)[:16], "Images are on their way.")
        for image in images:
            say("sending", *image_of(image.sop_instance_uid))
        if images:
            spool.ledger.record(answer(images), spool.tick())
        for image in images:
            say("delivered", *image_of(image.sop_instance_uid))
        close_studies(spool)
        time.sleep(0.005)


def main() -> None:
    folder, first, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    spool = open_spool(folder)
    say("open", spool.report.recovered, spool.report.corrupt)
    ended = threading.Event()

    def until_refused(work: Callable[[], None]) -> None:
        try:
            work()
        except CapacitordError:
            ended.set()

    works = [partial(send, spool), *(partial(scan, spool, first + number, threads) for number in range(threads))]
    for work in works:
        threading.Thread(target=until_refused, args=(work,), daemon=True).start()
    ended.wait()
    os._exit(3)


if __name__ == "__main__":
    main()
