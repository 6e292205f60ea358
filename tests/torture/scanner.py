"""Scanners that keep sending, and write down which images they were told Success for."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.images import CT, TINY, Image, Shape, write_study
from tests.peers.senders import Sent, dcmsend, send_exactly, storescu
from tests.torture.verdict import Kill

LONG = Shape(512, 512, 5)
"""2.5 MiB: more than the spool keeps in a shared segment."""
_SHAPES = (TINY,) * 16 + (CT,) * 3 + (LONG,)
_WITHIN = 60.0

Send = Callable[[Sequence[Image]], Sent]


@dataclass
class Sources:
    """All images that were made, and the moment each was first acknowledged to a scanner; for any thread."""

    images: dict[str, Image] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    acknowledged: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    unanswered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def promised(self, cuts: Sequence[Kill]) -> set[str]:
        """Return the images whose acknowledgement is a promise, when the power went at these times.

        A file system is not shut down in an instant: a sync that is under way may return as if it had succeeded. Had
        the power really gone, nobody would have heard what was said from that moment on.
        """
        return {uid for uid, at in self.acknowledged.items() if not any(cut.after <= at <= cut.before for cut in cuts)}

    def made(self, images: Sequence[Image]) -> None:
        """Take note of new images."""
        digests = {image.sop_instance_uid: image.sha256() for image in images}
        with self._lock:
            self.images.update((image.sop_instance_uid, image) for image in images)
            self.digests.update(digests)

    def told(self, images: Sequence[Image], sent: Sent) -> list[Image]:
        """Take note of what a scanner was told, and return the images that it has to send again."""
        now = time.monotonic()
        acknowledged = set(sent.acknowledged)
        told_at = {answer.path: answer.at for answer in sent.answers if answer.at is not None}
        with self._lock:
            self.refused += len(sent.refused)
            self.unanswered += len(sent.unanswered)
            for image in images:
                if image.path in acknowledged:
                    self.acknowledged.setdefault(image.sop_instance_uid, told_at.get(image.path, now))
        return [image for image in images if image.path not in acknowledged]


def senders(host: str, port: int) -> Mapping[str, Send]:
    """Return the ways to send: DCMTK's two programs, and one that notes each answer as it comes."""
    return {
        "storescu": lambda images: storescu(images, host, port, within=_WITHIN),
        "dcmsend": lambda images: dcmsend(images, host, port, within=_WITHIN),
        "exact": lambda images: send_exactly(images, host, port, within=_WITHIN / 2),
    }


def exact_senders(host: str, port: int) -> Mapping[str, Send]:
    """Return as many ways to send that note each answer as it comes."""

    def send(images: Sequence[Image]) -> Sent:
        return send_exactly(images, host, port, within=_WITHIN / 2)

    return dict.fromkeys(("exact-1", "exact-2", "exact-3"), send)


class Scanner(threading.Thread):
    """One scanner: makes studies, sends each, and sends again what was not acknowledged, until told to stop.

    `pause` bounds the seconds between two studies: it is what keeps the machine from being busy with images only.
    """

    def __init__(self, folder: Path, sources: Sources, send: Send, *, seed: int, pause: float) -> None:
        super().__init__(name=f"scanner {seed}", daemon=True)
        self.studies = 0
        self.error: BaseException | None = None
        self._folder, self._sources, self._send, self._seed, self._pause = folder, sources, send, seed, pause
        self._random = random.Random(seed)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Send until `finish`."""
        try:
            while not self._stopping.is_set():
                self._one_study()
                self._stopping.wait(self._random.uniform(0, self._pause))
        except BaseException as error:  # noqa: BLE001 raised again in the thread that asks
            self.error = error

    def finish(self) -> None:
        """End after the transfer under way. Raises what went wrong in the scanner itself."""
        self.abandon()
        if self.error is not None:
            raise self.error
        assert not self.is_alive(), f"{self.name} hangs"

    def abandon(self) -> None:
        """End it, whatever became of it."""
        self._stopping.set()
        self.join(2 * _WITHIN)

    def _one_study(self) -> None:
        self.studies += 1
        left = self._make()
        while left and not self._stopping.is_set():
            left = self._sources.told(left, self._send(left))
            if left:
                self._stopping.wait(self._random.uniform(0.1, 0.5))

    def _make(self) -> list[Image]:
        seed = self._seed * 100_000 + self.studies
        images = write_study(
            self._folder / f"{seed}",
            images=self._random.randint(1, 24),
            shape=self._random.choice(_SHAPES),
            seed=seed,
        )
        self._sources.made(images)
        return images
