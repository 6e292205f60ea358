"""The queue of one destination as its associations see it: who sends which image next, and what came of it.

Images are fetched from the ledger in batches and marked there as in doubt before any of them is sent. An image is
handed to one association at a time. Answers are written to the ledger by a thread of their own, so that the
next image is on the wire while the last answer is synced. What a crash leaves in doubt is bounded: `_BEHIND` answers
at most are unwritten, half of them in the queue and half being written, and one more for each association.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from capacitord.dicom import classify
from capacitord.dicom.contexts import Pair
from capacitord.errors import CapacitordError
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import DeliveryState
from capacitord.spool.ledger import Answer, Pending
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
_BATCH = 32
_BEHIND = 64
_FIRST_REST = 5.0
_LONGEST_REST = 900.0

Ended = Callable[[list[tuple[str, str, DeliveryState]]], None]


class Image:
    """A queued image as the storage SCU wants it."""

    __slots__ = ("length", "pending", "sop_class_uid", "sop_instance_uid", "transfer_syntax_uid")

    def __init__(self, pending: Pending) -> None:
        self.pending = pending
        self.sop_class_uid = pending.sop_class_uid
        self.sop_instance_uid = pending.sop_instance_uid
        self.transfer_syntax_uid = pending.transfer_syntax_uid
        self.length = pending.length

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset as it was received, unsealed chunk by chunk."""
        return self.pending.stored.chunks()


class Feed:
    """Hands out the images of one destination's queue."""

    def __init__(self, spool: Spool, destination: str, peer: str, ended: Ended) -> None:
        """Begin with nothing handed out; `ended` is told of deliveries that came to an end."""
        self._spool, self._destination, self._peer, self._ended = spool, destination, peer, ended
        self._lock = threading.Lock()
        self._ready: deque[Pending] = deque()
        self._claimed: set[tuple[int, int]] = set()
        self._in_hand: dict[str, Pending] = {}
        self._resting: dict[tuple[int, int], tuple[float, int]] = {}
        self._answers: queue.Queue[Answer | None] = queue.Queue(_BEHIND // 2)
        self._sent: deque[tuple[float, int]] = deque(maxlen=4096)
        self._writer = threading.Thread(target=self._write_answers, name=f"ledger {destination}", daemon=True)
        self._writer.start()

    def images(self, pairs: set[Pair], calling_ae: str | None, wanted: Callable[[], bool]) -> Iterator[Image]:
        """Yield the images an association can take, in the order they should leave, while `wanted()` says so.

        `calling_ae` restricts them to one scanner's, None takes all. Ends when there are none.
        """
        while wanted():
            pending = self._take(pairs, calling_ae)
            if pending is None:
                return
            yield Image(pending)

    def _take(self, pairs: set[Pair], calling_ae: str | None) -> Pending | None:
        def fits(pending: Pending) -> bool:
            pair = Pair(pending.sop_class_uid, pending.transfer_syntax_uid)
            return pair in pairs and calling_ae in {None, pending.calling_ae}

        with self._lock:
            for index, pending in enumerate(self._ready):
                if fits(pending):
                    del self._ready[index]
                    return pending
            chosen = list(itertools.islice(filter(fits, self._due()), _BATCH))
            batch = self._spool.ledger.sending(chosen, "Images are on their way.") if chosen else []
            if not batch:
                return None
            self._claimed.update((pending.delivery, pending.image) for pending in batch)
            self._ready.extend(batch[1:])
            return batch[0]

    def _due(self) -> Iterator[Pending]:
        """Yield what is queued and neither handed out nor resting after a refusal."""
        now = time.monotonic()
        beyond = None
        while page := self._spool.ledger.due(self._destination, 4 * _BATCH, beyond=beyond):
            for pending in page:
                key = (pending.delivery, pending.image)
                if key not in self._claimed and self._resting.get(key, (0.0, 0))[0] <= now:
                    yield pending
            beyond = page[-1]

    def first(self) -> Pending | None:
        """Return the image that should leave next, None if there is none."""
        with self._lock:
            return self._ready[0] if self._ready else next(self._due(), None)

    def holds_more_than(self, images: int) -> bool:
        """Return whether more than so many images wait to be handed out."""
        with self._lock:
            return len(self._ready) > images or any(count > images for count, _ in enumerate(self._due(), 1))

    def answered(self, image: Image, outcome: Outcome) -> None:
        """Take an answer; waits when the ledger is far behind."""
        pending = image.pending
        if pending.repeated:
            outcome = classify.as_repeated(outcome, self._peer)
        if outcome.verdict is Verdict.LATER:
            self._rest(pending, first=_FIRST_REST)
        elif outcome.verdict is not Verdict.NEEDS_PERSON:
            self._sent.append((time.monotonic(), pending.length))
        self._answers.put(Answer(pending.image, pending.delivery, outcome, time.time_ns()))

    def _rest(self, pending: Pending, first: float) -> None:
        """Let others go before an image: `first` seconds the first time, and longer each time after."""
        key = (pending.delivery, pending.image)
        with self._lock:
            _, times = self._resting.get(key, (0.0, 0))
            rest = first if times == 0 else min(_LONGEST_REST, _FIRST_REST * 2 ** min(times, 20))
            self._resting[key] = (time.monotonic() + rest, times + 1)

    def broke_off(self, image: Image) -> None:
        """Take notice that an association broke with this image.

        Once is the link's fault. A peer that breaks off at the same image again and again must not keep the
        others from it, so the image goes behind them.
        """
        self._rest(image.pending, first=0.0)

    def unanswered(self, image: Image) -> None:
        """Take back an image that was sent whole and never answered; it stays in doubt and is sent again."""
        self._answers.put(
            Answer(
                image.pending.image,
                image.pending.delivery,
                Outcome(Verdict.LATER, "The association broke before the answer came."),
                time.time_ns(),
            )
        )

    def put_back(self) -> None:
        """Take back what was handed to nobody: those images did not leave."""
        with self._lock:
            rest = list(self._ready)
            self._ready.clear()
        self._not_sent(rest)

    def not_sent(self, images: Iterable[Image]) -> None:
        """Take back images that were handed out and did not leave, or not whole: they are in no doubt."""
        self._not_sent([image.pending for image in images])

    def _not_sent(self, rest: list[Pending]) -> None:
        if not rest:
            return
        try:
            self._spool.ledger.not_sent(rest)
        finally:
            with self._lock:
                self._claimed.difference_update((pending.delivery, pending.image) for pending in rest)

    def handed_out(self, sop_instance_uid: str) -> Pending | None:
        """Return the image with this UID that an association has in hand."""
        return self._in_hand.get(sop_instance_uid)

    def in_hand(self, image: Image, *, given: bool) -> None:
        """Take notice that an association has an image in hand, or has it no more."""
        if given:
            self._in_hand[image.sop_instance_uid] = image.pending
        else:
            self._in_hand.pop(image.sop_instance_uid, None)

    def hasten(self) -> None:
        """Let refused images be tried again now."""
        with self._lock:
            self._resting.clear()

    def next_rest_ends(self) -> float | None:
        """Return the monotonic time at which the first resting image may be tried again, None if none rests."""
        with self._lock:
            now = time.monotonic()
            return min((until for until, _ in self._resting.values() if until > now), default=None)

    def rate(self) -> float:
        """Return the bytes a second that were acknowledged over the last half minute."""
        now = time.monotonic()
        recent = [(at, size) for at, size in list(self._sent) if now - at < 30.0]
        if not recent:
            return 0.0
        return sum(size for _, size in recent) / max(1.0, now - recent[0][0])

    def flush(self) -> None:
        """Return when all answers so far are in the ledger."""
        self._answers.join()

    def close(self) -> None:
        """Write what is left and end the thread."""
        self.put_back()
        self._answers.put(None)
        self._writer.join()

    def _write_answers(self) -> None:
        while True:
            first = self._answers.get()
            batch, last = ([] if first is None else [first]), first is None
            while not last and len(batch) < _BEHIND // 2:
                try:
                    more = self._answers.get_nowait()
                except queue.Empty:
                    break
                last = more is None
                if more is not None:
                    batch.append(more)
            if batch:
                self._write(batch)
            for _ in range(len(batch) + last):
                self._answers.task_done()
            if last:
                return

    def _write(self, batch: list[Answer]) -> None:
        try:
            ended = self._spool.ledger.record(batch, self._spool.tick())
        except CapacitordError as error:
            # They stay in doubt and are sent again: better twice than to forget what a destination lacks.
            LOG.error("The ledger could not take %d answers of %s: %s", len(batch), self._destination, error)  # noqa: TRY400
            ended = []
        with self._lock:
            for answer in batch:
                self._claimed.discard((answer.delivery, answer.image))
                if answer.outcome.verdict is not Verdict.LATER:
                    self._resting.pop((answer.delivery, answer.image), None)
        if ended:
            self._ended(ended)


class Handed:
    """The images that one association has in hand: every one comes back, answered or not."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._images: dict[int, Image] = {}

    def out(self, images: Iterator[Image]) -> Iterator[Image]:
        """Pass images on and remember them."""
        for image in images:
            self._images[id(image)] = image
            self._feed.in_hand(image, given=True)
            yield image

    def back(self, sent: object) -> Image:
        """Return the image that was handed out as `sent`, which is in hand no more."""
        image = self._images.pop(id(sent))
        self._feed.in_hand(image, given=False)
        return image

    def broke_off(self, sent: object, *, in_doubt: bool) -> None:
        """Take notice that the association broke with `sent`; `in_doubt` if only its answer was lost."""
        image = self._images[id(sent)]
        self._feed.broke_off(image)
        if in_doubt:
            self._feed.unanswered(self.back(sent))

    def take_back(self) -> None:
        """Take back all others: they did not leave, or not whole."""
        rest = [self.back(image) for image in list(self._images.values())]
        self._feed.not_sent(rest)
