"""Delivery to one destination: when associations are opened, and why what waits is waiting.

Each destination has a thread that decides (see `dispatch`) and one for each association (see `sender`). Nothing here
waits for another destination.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NamedTuple

from capacitord.dicom.arriving import describe
from capacitord.errors import CapacitordError, TryAgain
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome
from capacitord.model.routes import Priority
from capacitord.model.states import DeliveryState
from capacitord.site import backoff, dispatch
from capacitord.site import circuit as circuits
from capacitord.site.backoff import Backoff
from capacitord.site.circuit import Circuit, CircuitState
from capacitord.site.connections import Connections
from capacitord.site.dispatch import Facts, Task
from capacitord.site.feed import Feed, Others
from capacitord.site.preparation.preparation import Preparation
from capacitord.site.sender import Finish, Sender
from capacitord.spool.ledger import Ended
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)

PAUSED: Final = "Paused by an operator."
_AFTER_TROUBLE: Final = 1.0
_GATHER: Final = 0.02
_GATHER_BESIDE: Final = 0.25
_CROWDED: Final = 60.0
_REFUSING: Final = 10.0
"""Seconds at most until a destination that can be reached and refuses everything is offered an image again."""
_ENDS: Final[Mapping[DeliveryState, str]] = MappingProxyType(
    {
        DeliveryState.DELIVERED: "was delivered",
        DeliveryState.FAILED: "needs a person",
        DeliveryState.MOVED: "went elsewhere in part",
    }
)
_HINDERED: Final = Backoff(base=1.0, cap=30.0)

Note = Callable[[str, str, str, str], None]
"""Called with (reference, message, short study id, destination)."""


class State(NamedTuple):
    """How a destination is doing.

    `hindrance` is what keeps this box from delivering, empty if nothing does; `hindered_until` is when it is tried
    again, a time of the monotonic clock.
    """

    paused: bool
    circuit: Circuit
    hindrance: str
    senders: tuple[Sender, ...]
    hindered_until: float = float("-inf")


class Delivery:
    """Everything that goes to one destination, from the start of its thread until `stop`.

    `pace` says how soon it is tried again after it failed.
    """

    def __init__(
        self,
        spool: Spool,
        destination: Destination,
        connections: Connections,
        preparation: Preparation,
        note: Note,
        *,
        pace: Backoff = backoff.DEFAULT,
        stand_ins: Others,
    ) -> None:
        self.destination, self._pace = destination, pace
        self.dealt = False
        """Whether the peer has dealt with an image since the start."""
        self.refusing = False
        """Whether the peer, when it failed last, could be reached and took nothing."""
        self.feed = Feed(
            spool, destination.name, destination.ae_title, self._ended, self._ledger_changed, others=stand_ins
        )
        self._spool, self._connections, self._preparation, self._note = spool, connections, preparation, note
        self._random = random.SystemRandom()
        self._changed = threading.Condition()
        # What the ledger remembers and what is done change as one, in one order.
        self._pausing = threading.Lock()
        self._circuit = Circuit()
        self._senders: list[Sender] = []
        # Until the ledger has said whether an operator paused it, nothing is sent.
        self._paused = True
        self._begun = self._stopping = False
        self._news = self._owed = self._unexplained = True
        self._looked_at, self._explained_at = time.monotonic(), float("-inf")
        self._hindrance, self._hindrances, self._hindered_until = "", 0, float("-inf")
        self._crowd, self._more_at = destination.associations, float("-inf")
        self._thread = threading.Thread(target=self._run, name=f"delivery {destination.name}", daemon=True)

    # --- what others may do -----------------------------------------------------------------------

    def start(self) -> None:
        """Begin to deliver. Raises RuntimeError if there is no room for its thread."""
        with contextlib.suppress(CapacitordError):
            self._begin()
        try:
            self._thread.start()
        except RuntimeError:
            self.feed.close()
            raise

    def wake(self, priority: int = 0) -> None:
        """Say that something new waits, and how urgent it is. Costs next to nothing while that is known already."""
        self.feed.urge(priority)
        if not self._news:
            with self._changed:
                self._news = True
                self._changed.notify_all()

    def hasten(self) -> None:
        """Try again now, whatever the circuit says, on new associations: what a peer refused, it is asked anew."""
        self.feed.hasten()
        self.feed.urge(Priority.STAT.urgency)
        with self._changed:
            self._circuit = circuits.hastened(self._circuit, time.monotonic())
            self._hindered_until = self._more_at = float("-inf")
            self._owed = True
            senders = list(self._senders)
            self._changed.notify_all()
        for sender in senders:
            sender.stop()

    def pause(self, *, paused: bool) -> None:
        """Stop sending after the image under way, or go on. Raises what the ledger raises; then nothing changed."""
        with self._pausing:
            self._write_paused(paused=paused)
            with self._changed:
                self._paused, self._begun = paused, True
                self._owed = self._unexplained = True
                senders = list(self._senders) if paused else []
                self._changed.notify_all()
        for sender in senders:
            sender.stop()

    def _write_paused(self, *, paused: bool) -> None:
        """Have the ledger remember it. What says whether it is paused is written last, and alone."""
        ledger, name = self._spool.ledger, self.destination.name
        try:
            if not paused:
                ledger.requeue(name)
            ledger.pause(name, paused=paused)
        except BaseException:
            # It goes on as before, and what waits is to say so again.
            with self._changed:
                self._unexplained = True
                self._changed.notify_all()
            raise

    def stop(self, grace: float) -> None:
        """End: the images under way may finish within `grace` seconds, then they are cut off."""
        deadline = time.monotonic() + grace
        with self._changed:
            self._stopping = True
            senders = list(self._senders)
            self._changed.notify_all()
        for sender in senders:
            sender.stop()
        self._connections.give_up(self.destination.name)
        for sender in senders:
            sender.join(max(0.0, deadline - time.monotonic()))
        for sender in senders:
            sender.interrupt()
        # One may have begun to wait for a connection after the others were told that nobody needs it.
        self._connections.give_up(self.destination.name)
        for sender in senders:
            sender.join()
        self._thread.join()
        self.feed.close()

    @property
    def goes_on(self) -> bool:
        """Whether it was not told to end."""
        return not self._stopping

    def state(self) -> State:
        """Return how the destination is doing at this moment."""
        with self._changed:
            hindered = self._hindrance if self._hindered_until > time.monotonic() else ""
            paused = self._paused and self._begun
            trouble, until = self.feed.trouble, self._hindered_until
            if trouble:
                hindered, until = trouble, self.feed.trouble_until
            return State(paused, self._circuit, hindered, tuple(self._senders), until)

    # --- its thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            rest_ends = self.feed.rest_ends(self._looked_at)
            with self._changed:
                facts = self._facts(rest_ends)
                following = dispatch.decide(facts)
                if following.task is Task.WAIT:
                    self._changed.wait(following.until - facts.now)
                    continue
            if following.task is Task.END:
                return
            try:
                if not self._begun:
                    self._begin()
                elif following.task is Task.LOOK:
                    self._look(facts)
                else:
                    self._explain(facts)
            except CapacitordError as error:
                self._hinder(error.message)
            except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the delivery
                LOG.error("Delivery to %s failed in an unforeseen way: %s", self.destination.name, describe(error))  # noqa: TRY400
                self._hinder("An unforeseen error in this box; its log says more.")
            else:
                continue
            with self._changed:
                # Whatever is decided next, a ledger that fails is not asked again at once.
                self._changed.wait(_AFTER_TROUBLE)

    def _facts(self, rest_ends: float | None = None) -> Facts:
        now = time.monotonic()
        return Facts(
            now=now,
            circuit=self._circuit,
            news=self._news,
            owed=self._owed,
            unexplained=self._unexplained,
            stopping=self._stopping,
            paused=self._paused,
            senders=len(self._senders),
            established=sum(sender.is_established for sender in self._senders),
            lingering=sum(sender.lingers for sender in self._senders),
            most=self._most(now),
            looked_at=self._looked_at,
            explained_at=self._explained_at,
            hindered_until=float("inf") if self.feed.trouble else self._hindered_until,
            rest_ends=rest_ends,
            more_at=self._more_at if self._more_at > self._looked_at else None,
        )

    def _most(self, now: float) -> int:
        return self._crowd if now < self._more_at else self.destination.associations

    def _begin(self) -> None:
        """Learn whether an operator paused it. Raises what the ledger raises; then it is tried again."""
        with self._pausing:
            paused = self.destination.name in self._spool.ledger.paused()
            with self._changed:
                if not self._begun:
                    self._paused, self._begun = paused, True

    def _look(self, facts: Facts) -> None:
        """Look into the queue, and open as many associations as it is worth."""
        if not facts.owed:
            # Images that come quickly are looked at together.
            time.sleep(_GATHER if facts.lingering or not facts.senders else _GATHER_BESIDE)
        with self._changed:
            self._news = self._owed = False
            self._looked_at = time.monotonic()
        self._spool.settle()
        waiting = self.feed.waiting(dispatch.WORTH_ANOTHER * (self.destination.associations - 1) + 1)
        with self._changed:
            for sender in self._senders:
                sender.look()
        while self._open_another(waiting):
            pass
        if not waiting:
            self._hindrances = 0

    def _open_another(self, waiting: int) -> bool:
        with self._changed:
            facts = self._facts()
            if facts.stopping or facts.blocked:
                return False
            if not dispatch.worth_another(waiting, facts.senders, facts.established, facts.most):
                return False
            sender = Sender(
                self.destination, self._spool.ledger, self.feed, self._connections, self._preparation, watcher=self
            )
            try:
                # Whoever stops the delivery joins all senders that there are: so there is none that has not begun.
                sender.start()
            except RuntimeError as error:
                message = "This box has no room for another thread."
                raise TryAgain(message, hint="It is tried again by itself.") from error
            self._circuit = circuits.began(self._circuit, facts.now)
            self._senders.append(sender)
        return True

    def _explain(self, facts: Facts) -> None:
        """Say in the ledger of what waits why it does; nobody is sending now."""
        with self._changed:
            asked = self._unexplained
            self._owed |= self._news
            self._news = self._unexplained = False
            self._explained_at = facts.now
        self.feed.put_back()
        ledger, name = self._spool.ledger, self.destination.name
        if not facts.blocked:
            for delivery, rest in self.feed.resting().items():
                ledger.defer(name, rest.reason, _wall_clock(rest.until), only=[delivery])
        elif asked or ledger.unexplained(name):
            if facts.paused:
                ledger.defer(name, PAUSED, None)
            elif facts.hindered_until > facts.now:
                words, until = self.feed.trouble or self._hindrance, self.feed.trouble_until or self._hindered_until
                ledger.defer(name, words, _wall_clock(max(until, facts.now)))
            else:
                ledger.defer(name, facts.circuit.reason, _wall_clock(facts.circuit.next_try))

    def _hinder(self, words: str) -> None:
        """Take notice that this box itself cannot deliver for a while."""
        with self._changed:
            if not self._hindrances:
                LOG.error("Delivery to %s stops for now: %s", self.destination.name, words)
            self._hindrances += 1
            self._hindrance = words
            self._hindered_until = time.monotonic() + backoff.next_delay(self._hindrances, self._random, _HINDERED)
            self._owed = True

    # --- what its associations say ----------------------------------------------------------------

    def established(self, _sender: Sender) -> None:
        """Take notice that the peer accepted an association: others may be opened beside it."""
        self._owe()

    def lingering(self) -> None:
        """Take notice that an association has nothing to send: what arrives from now on is for it."""
        with self._changed:
            self._changed.notify_all()

    def answering(self) -> None:
        """Take notice that the peer deals with images."""
        self._hindrances = 0
        self.dealt = True
        if self._circuit.failures or self._circuit.state is not CircuitState.CLOSED:
            with self._changed:
                self._circuit = circuits.succeeded(self._circuit)
                self._owed = True
                self._changed.notify_all()
            LOG.info("%s answers again.", self.destination.name)
            self._note("destination-up", f"{self.destination.name} answers again.", "", self.destination.name)

    def finished(self, sender: Sender, finish: Finish) -> None:
        """Take notice that an association is over."""
        if finish.hindrance:
            self._hinder(finish.hindrance)
        with self._changed:
            now = time.monotonic()
            self._senders.remove(sender)
            self._owed = self._unexplained = True
            failed = finish.failure is not None and self._fails(sender, finish, finish.failure, now)
            if not failed:
                self._circuit = circuits.abandoned(self._circuit, now)
            circuit, told = self._circuit, failed and not self._paused and not self._stopping
            self._changed.notify_all()
        if told:
            self._say_failed(circuit, circuit.next_try - now)

    def _fails(self, sender: Sender, finish: Finish, outcome: Outcome, now: float) -> bool:
        """Hold a failure against the destination, if it is one of its own; return whether it is."""
        beside = sum(other.is_established for other in self._senders)
        if beside and not sender.is_established:
            # It takes images on the others: so it is not down, it takes no more associations.
            self._crowd, self._more_at = beside, now + _CROWDED
            return False
        if self._circuit.state is not CircuitState.HALF_OPEN and not self._circuit.may_begin(now):
            # Several associations ended of one cause, and one of them was counted.
            return False
        # Perhaps it refuses only what has waited until now: what comes next is not to wait for that.
        self.refusing = finish.refusing
        pace = _sooner(self._pace) if finish.refusing else self._pace
        delay = backoff.next_delay(self._circuit.failures + 1, self._random, pace)
        self._circuit = circuits.failed(self._circuit, now, outcome, delay)
        return True

    def _say_failed(self, circuit: Circuit, waits: float) -> None:
        name = self.destination.name
        LOG.warning("%s: %s Next try in %.0f s.", name, circuit.reason, waits)
        tripped = circuit.state is CircuitState.OPEN
        self._note("destination-down" if tripped else "destination-trouble", circuit.reason, "", name)

    def _ledger_changed(self) -> None:
        with self._changed:
            self._hindered_until = float("-inf")
        self._owe()

    def _owe(self) -> None:
        with self._changed:
            self._owed = True
            self._changed.notify_all()

    def _ended(self, ended: Ended) -> None:
        for study, destination, state in ended:
            LOG.info("Study %s to %s: %s", study, destination, state)
            self._note(f"delivery-{state}", f"Study {study} to {destination} {_ENDS[state]}.", study, destination)


def _wall_clock(monotonic: float) -> int:
    """Return a time of the monotonic clock in nanoseconds since the epoch."""
    return time.time_ns() + int((monotonic - time.monotonic()) * 1e9)


def _sooner(pace: Backoff) -> Backoff:
    return replace(pace, cap=max(pace.base, min(pace.cap, _REFUSING)))
