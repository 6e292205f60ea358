"""The queue of one destination as its associations see it: who sends which image next, and what came of it.

Images are claimed in batches, which are marked in the ledger before any of them is handed out, so that a crash leaves
them in doubt. Whichever association is ready takes the next one: one that hangs holds up nothing but the images it has
in hand. A claim lasts until the answer is written or the image was given back.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from capacitord.dicom import classify
from capacitord.errors import CapacitordError, DamagedObject, TryAgain
from capacitord.model.codes import Code, Coded
from capacitord.model.outcome import Outcome, Verdict
from capacitord.site.overtaking import Urgency, overtakes, place
from capacitord.site.recorder import Recorder
from capacitord.site.rests import Rest, Resting, Rests, Turn
from capacitord.spool.ledger import Answer, Apart, Ended, Pending
from capacitord.spool.routed import NOWHERE, Reachable
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
AT_ONCE: Final = 32
"""Images that are claimed with one write to the ledger."""

_REASONS: Final = 16
_RATE_SPAN: Final = 30.0
_LONGEST_FLUSH: Final = 5.0


class Others(Protocol):
    """The destinations that may stand in for this one where it refuses an image for good."""

    def reachable(self) -> Reachable:
        """Return what is known of all destinations."""

    def wake(self) -> None:
        """Say that images went from one destination to another."""


class Feed:
    """Hands out the images of one destination's queue, and takes them back.

    `peer` is the destination's AE title. `ended` is told of deliveries that came to an end, `changed` when the queue
    may have become worth another look by itself.
    """

    def __init__(
        self,
        spool: Spool,
        destination: str,
        peer: str,
        ended: Callable[[Ended], None],
        changed: Callable[[], None],
        *,
        others: Others,
    ) -> None:
        self._spool, self._destination, self._peer, self._ended = spool, destination, peer, ended
        # Whoever takes images waits for others who do; nobody else waits for the ledger.
        self._taking, self._lock = threading.Lock(), threading.Lock()
        # With how urgent each of them is.
        self._claimed: dict[tuple[int, int], int] = {}
        self._ready: deque[Pending] = deque()
        self._urgency = Urgency(spool.settle)
        self._others = others
        self._rests = Rests()
        self._sent: deque[tuple[float, int]] = deque(maxlen=4096)
        # Why images were held, as far as the log says so already.
        self._said: deque[tuple[str, int | None]] = deque(maxlen=_REASONS)
        self._recorder = Recorder(destination, self._record, self._recorded, changed)

    # --- what waits -------------------------------------------------------------------------------

    @property
    def trouble(self) -> str:
        """Why the ledger takes no answers now, empty if it does. Nothing is handed out meanwhile."""
        return self._recorder.trouble

    @property
    def trouble_until(self) -> float:
        """When the ledger is offered the answers again, a time of the monotonic clock; 0 without trouble."""
        return self._recorder.next_try

    def claimed(self) -> int:
        """Return how many images are handed out, are about to be, or have an answer that is not written yet."""
        with self._lock:
            return len(self._claimed)

    def first(self) -> Pending | None:
        """Return the image that should leave next, None if there is none. Raises what the ledger raises."""
        with self._taking:
            self._let_overtake()
        with self._lock:
            ready = next(filter(self._may_go, self._ready), None)
        return ready or next(self._free(), None)

    def waiting(self, most: int) -> int:
        """Return how many images could be handed out now, counted up to `most`."""
        with self._lock:
            ready = sum(map(self._may_go, self._ready))
        return ready + sum(1 for _ in itertools.islice(self._free(), max(0, most - ready)))

    def _free(self) -> Iterator[Pending]:
        """Yield what is queued and neither claimed nor resting, in the order it should leave."""
        now = time.monotonic()
        with self._lock:
            later, not_now = self._rests.later(now), self._rests.not_now(now)
        yield from self._unclaimed(not_now)
        if later != not_now:
            yield from (pending for pending in self._unclaimed(later) if not_now.has(*_key(pending)))

    def _unclaimed(self, resting: Resting) -> Iterator[Pending]:
        """Yield what is queued and not claimed, but for what rests, in the order it should leave."""
        beyond = None
        while True:
            page = self._spool.ledger.due(self._destination, AT_ONCE, beyond=beyond, apart=self._apart(resting))
            with self._lock:
                # While the page was read some may have been claimed, or refused.
                free = [pending for pending in page if _key(pending) not in self._claimed and self._may_go(pending)]
            yield from free
            if len(page) < AT_ONCE:
                return
            beyond = page[-1]

    def _apart(self, resting: Resting) -> Apart:
        """Return what a look into the queue passes over: what is claimed, and what rests."""
        with self._lock:
            keys = resting.images.union(self._claimed)
        return Apart(resting.studies, [image for _, image in keys])

    def _may_go(self, pending: Pending) -> bool:
        return self._rests.turn(*_key(pending), time.monotonic()) is not Turn.LATER

    def overtaking(self, pending: Pending) -> Pending | None:
        """Return the image that an image in hand has to yield to, None if there is none.

        That is one that nobody has in hand, and that rests no more. Costs next to nothing while nothing more urgent can
        be waiting. Raises what the ledger raises.
        """
        if not self._urgency.may_overtake(pending):
            return None
        with self._taking:
            return self._overtaking(pending)

    def _overtaking(self, pending: Pending) -> Pending | None:
        first = self._urgency.look(pending.priority, self._more_urgent)
        if first is None or not overtakes(first, pending):
            return None
        # Where attributes count for more than urgency, something less urgent may leave before it.
        return first if first.turn is None else self._following()

    def _more_urgent(self, priority: int) -> Pending | None:
        """Return what leaves first of all that is more urgent than this, as in `overtaking`."""
        ready, resting = self._ready_now()
        ready = [pending for pending in ready if pending.priority > priority]
        queued = self._spool.ledger.more_urgent(self._destination, priority, apart=self._apart(resting))
        return min([*ready, *([] if queued is None else [queued])], key=place, default=None)

    def _following(self) -> Pending | None:
        """Return what leaves next, as in `overtaking`."""
        ready, resting = self._ready_now()
        queued = self._spool.ledger.due(self._destination, 1, apart=self._apart(resting))
        return min([*ready, *queued], key=place, default=None)

    def _ready_now(self) -> tuple[list[Pending], Resting]:
        """Return what is claimed, in nobody's hands and lets nobody go first; and what has to."""
        with self._lock:
            resting = self._rests.not_now(time.monotonic())
            return [pending for pending in self._ready if not resting.has(*_key(pending))], resting

    def take(self, fits: Callable[[Pending], bool]) -> Pending | None:
        """Return the image that should leave next, which is the caller's to give back.

        Returns None if there is none, or if it does not fit. Raises `TryAgain` while the ledger takes no answers, and
        what the ledger raises.
        """
        if self.trouble:
            raise TryAgain(self.trouble, hint="Delivery goes on by itself when the disk takes the ledger again.")
        with self._taking:
            self._let_overtake()
            self._put_back_resting()
            if not self._ready:
                self._fetch()
            if not self._ready or not fits(self._ready[0]):
                return None
            return self._ready.popleft()

    def _fetch(self) -> None:
        """Claim the images that should leave next, for whichever association comes first."""
        self._urgency.settle()
        chosen = list(itertools.islice(self._free(), AT_ONCE))
        with self._lock:
            self._claimed.update((_key(pending), pending.priority) for pending in chosen)
        taken: list[Pending] = []
        try:
            if chosen:
                taken = self._spool.ledger.sending(chosen, "Images are on their way.")
        finally:
            kept = set(map(_key, taken))
            self._let_go(_key(pending) for pending in chosen if _key(pending) not in kept)
        with self._lock:
            self._ready.extend(taken)

    def urge(self, priority: int) -> None:
        """Take notice that something of this priority waits from now on: it is not to wait for what was claimed."""
        self._urgency.filed(priority)

    def _let_overtake(self) -> None:
        """Give back what is claimed and in nobody's hands if something more urgent waits."""
        with self._lock:
            claimed = self._ready[0] if self._ready else None
        if claimed is None or not self._urgency.may_overtake(claimed):
            return
        if self._overtaking(claimed) is not None:
            self._give_back()

    def _put_back_resting(self) -> None:
        """Let others go before images that turned out to rest after they were claimed."""
        resting = []
        with self._lock:
            while self._ready and not self._may_go(self._ready[0]):
                resting.append(self._ready.popleft())
        self.not_sent(resting)

    def put_back(self) -> None:
        """Give back what is claimed and in nobody's hands: no association is there to take it."""
        with self._taking:
            self._give_back()

    def _give_back(self) -> None:
        with self._lock:
            ready = list(self._ready)
            self._ready.clear()
        self.not_sent(ready)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[set[tuple[int, int]]]:
        """Hand out nothing while the block runs; gives what is in somebody's hands, by delivery and image."""
        with self._taking:
            self._give_back()
            with self._lock:
                claimed = set(self._claimed)
            yield claimed

    # --- what comes back --------------------------------------------------------------------------

    def answered(
        self,
        pending: Pending,
        outcome: Outcome,
        codes: tuple[Code, ...] = (),
        profile_version: int | None = None,
    ) -> bool:
        """Take an answer; return whether the destination seems to take nothing at all.

        `codes` are those that were sent, if the image was de-identified; the copy was made under `profile_version`.
        Waits when the ledger is far behind.
        """
        if pending.repeated:
            outcome = classify.as_repeated(outcome, self._peer)
        refused_all = rest_ended = False
        with self._lock:
            if outcome.verdict is Verdict.LATER:
                refused_all = self._rests.refused(*_key(pending), outcome.reason, time.monotonic())
            else:
                rest_ended = self._rests.went_well(*_key(pending))
                if outcome.verdict not in {Verdict.NEEDS_PERSON, Verdict.HELD}:
                    self._sent.append((time.monotonic(), pending.length))
        if rest_ended:
            self._urgency.back(pending.priority)
        if outcome.verdict is Verdict.LATER and outcome.status is None:
            # Without a status it was not sent, so no answer of it is lost.
            self.not_sent([pending])
        else:
            self._put(pending, outcome, codes, profile_version)
        return refused_all

    def broke_off(
        self, pending: Pending, reason: str, codes: tuple[Code, ...] = (), *, suspect: bool, in_doubt: bool
    ) -> None:
        """Take back the image with which an association ended; `in_doubt` if only its answer was lost.

        `suspect` says that the image itself may be why the association ended. `codes` are as in `answered`.
        """
        with self._lock:
            self._rests.broke_off(*_key(pending), reason, time.monotonic(), suspect=suspect)
        if in_doubt:
            self._put(pending, Outcome(Verdict.LATER, "The association broke before the answer came."), codes)
        else:
            self.not_sent([pending])

    def unreadable(self, pending: Pending, error: CapacitordError) -> None:
        """Take back an image that this box could not read."""
        reason = error.message
        if isinstance(error, DamagedObject):
            try:
                # It may have been moved while it was read: the catalog is told only if it is damaged still.
                self._spool.housekeeping.examine(pending.image)
            except CapacitordError as failed:
                reason = failed.message
        with self._lock:
            self._rests.broke_off(*_key(pending), reason, time.monotonic(), suspect=False)
        self.not_sent([pending])

    def held(self, pending: Pending, why: Outcome, profile_version: int | None) -> None:
        """Take back an image that this box does not send as the profile is, in this version: a person has to look.

        When it is mended it does not rest any more.
        """
        said = (why.reason, profile_version)
        if said not in self._said:
            self._said.append(said)
            LOG.warning("Study %s: an image is held, not sent to %s: %s", pending.study, self._destination, why.reason)
        with self._lock:
            rest_ended = self._rests.forget(*_key(pending))
        if rest_ended:
            self._urgency.back(pending.priority)
        self._put(pending, why, profile_version=profile_version)

    def not_prepared(self, pending: Pending, reason: str) -> None:
        """Take back an image that this box could not prepare for now; others go first."""
        self.rest(pending, reason)
        self.not_sent([pending])

    def not_sent(self, images: list[Pending]) -> None:
        """Take back images that did not leave, or not whole: they are in no doubt."""
        if not images:
            return
        try:
            self._spool.ledger.not_sent(images)
        except CapacitordError as error:
            LOG.error("The ledger still says that images to %s may have left: %s", self._destination, error.message)  # noqa: TRY400
        finally:
            self._let_go(map(_key, images))

    def _put(
        self,
        pending: Pending,
        outcome: Outcome,
        codes: tuple[Code, ...] = (),
        profile_version: int | None = None,
    ) -> None:
        coded = Coded(self._destination, codes) if codes else None
        answer = Answer(pending.image, pending.delivery, outcome, time.time_ns(), coded, profile_version)
        self._recorder.put(answer)

    def _let_go(self, keys: Iterable[tuple[int, int]]) -> None:
        """End claims of images that may wait for whoever takes them next. Those that rest overtake nobody."""
        now = time.monotonic()
        with self._lock:
            ended = {key: self._claimed.pop(key) for key in keys if key in self._claimed}
            priorities = {priority for key, priority in ended.items() if self._rests.turn(*key, now) is Turn.NOW}
        if priorities:
            self._urgency.back(max(priorities))

    # --- rests ------------------------------------------------------------------------------------

    def rest(self, pending: Pending, reason: str) -> None:
        """Let others go before an image that cannot leave for now."""
        with self._lock:
            self._rests.refused(*_key(pending), reason, time.monotonic())

    def went_elsewhere(self, keys: Iterable[tuple[int, int]]) -> None:
        """Forget the rests of images, by delivery and image, that do not wait here any more."""
        with self._lock:
            for delivery, image in keys:
                self._rests.forget(delivery, image)

    def hasten(self) -> None:
        """Let refused images be tried again now."""
        with self._lock:
            self._rests.hasten(time.monotonic())

    def rest_ends(self, after: float) -> float | None:
        """Return the monotonic time at which the first rest ends that goes on beyond `after`, None if none does."""
        with self._lock:
            return self._rests.ends(after)

    def resting(self) -> dict[int, Rest]:
        """Return which deliveries have images that have to let others go first, and why."""
        with self._lock:
            return self._rests.by_study(time.monotonic())

    # --- the ledger -------------------------------------------------------------------------------

    def rate(self, span: float = _RATE_SPAN) -> float:
        """Return the bytes a second that were acknowledged over the last `span` seconds, or since they began."""
        now = time.monotonic()
        with self._lock:
            recent = [(at, size) for at, size in self._sent if now - at < span]
        if not recent:
            return 0.0
        return sum(size for _, size in recent) / max(1.0, now - recent[0][0])

    def flush(self) -> bool:
        """Return when all answers so far are in the ledger, or after a while; return whether they are."""
        return self._recorder.flush(_LONGEST_FLUSH)

    def close(self) -> None:
        """Give back and write what is left, and end."""
        self.put_back()
        self._recorder.close()

    def _record(self, answers: list[Answer]) -> None:
        refused = any(answer.outcome.verdict is Verdict.NEEDS_PERSON for answer in answers)
        reachable = self._others.reachable() if refused else NOWHERE
        recorded = self._spool.ledger.record(answers, self._spool.tick(), reachable)
        if recorded.ended:
            self._ended(recorded.ended)
        if recorded.stand_ins:
            self._others.wake()

    def _recorded(self, answers: list[Answer]) -> None:
        with self._lock:
            for answer in answers:
                if answer.outcome.verdict is not Verdict.LATER:
                    self._claimed.pop((answer.delivery, answer.image), None)
        self._let_go((answer.delivery, answer.image) for answer in answers)


def _key(pending: Pending) -> tuple[int, int]:
    return pending.delivery, pending.image
