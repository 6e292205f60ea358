"""Delivery to one destination: when associations are opened, and why what waits is waiting.

Each destination has a thread that decides (see `dispatch`) by what it knows (see `situation`), and one for each
association (see `sender`). Nothing here waits for another destination.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Final

from capacitord.dicom.arriving import describe
from capacitord.errors import CapacitordError, TryAgain
from capacitord.model.destination import Destination
from capacitord.model.routes import Priority
from capacitord.site import backoff, dispatch
from capacitord.site.backoff import Backoff
from capacitord.site.connections import Connections
from capacitord.site.dispatch import Facts, Task
from capacitord.site.feed import Feed, Others
from capacitord.site.preparation.preparation import Preparation
from capacitord.site.reporting import Note, Reporting
from capacitord.site.sender import Finish, Sender
from capacitord.site.situation import Situation, State
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)

_AFTER_TROUBLE: Final = 1.0
_GATHER: Final = 0.02
_GATHER_BESIDE: Final = 0.25


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
        self.destination = destination
        self._reporting = Reporting(destination.name, spool.ledger, note)
        self.feed = Feed(
            spool, destination.name, destination.ae_title, self._reporting.ended, self._ledger_changed, others=stand_ins
        )
        self._spool, self._connections, self._preparation = spool, connections, preparation
        self._changed = threading.Condition()
        # What the ledger remembers and what is done change as one, in one order.
        self._pausing = threading.Lock()
        self._situation = Situation(destination.associations, pace, time.monotonic())
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
        if not self._situation.news:
            with self._changed:
                self._situation.news = True
                self._changed.notify_all()

    def hasten(self) -> None:
        """Try again now, whatever the circuit says, on new associations: what a peer refused, it is asked anew."""
        self.feed.hasten()
        self.feed.urge(Priority.STAT.urgency)
        with self._changed:
            self._situation.hastened(time.monotonic())
            senders = list(self._situation.senders)
            self._changed.notify_all()
        for sender in senders:
            sender.stop()

    def pause(self, *, paused: bool) -> None:
        """Stop sending after the image under way, or go on. Raises what the ledger raises; then nothing changed."""
        with self._pausing:
            self._write_paused(paused=paused)
            with self._changed:
                self._situation.pauses(paused=paused)
                senders = list(self._situation.senders) if paused else []
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
                self._situation.unexplained = True
                self._changed.notify_all()
            raise

    def stop(self, grace: float) -> None:
        """End: the images under way may finish within `grace` seconds, then they are cut off."""
        deadline = time.monotonic() + grace
        with self._changed:
            self._situation.stopping = True
            senders = list(self._situation.senders)
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
        return not self._situation.stopping

    @property
    def dealt(self) -> bool:
        """Whether the peer has dealt with an image since the start."""
        return self._situation.dealt

    @property
    def refusing(self) -> bool:
        """Whether the peer, when it failed last, could be reached and took nothing."""
        return self._situation.refusing

    def state(self) -> State:
        """Return how the destination is doing at this moment."""
        with self._changed:
            return self._situation.state(time.monotonic(), self.feed.trouble, self.feed.trouble_until)

    # --- its thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            rest_ends = self.feed.rest_ends(self._situation.looked_at)
            with self._changed:
                facts = self._facts(rest_ends)
                following = dispatch.decide(facts)
                if following.task is Task.WAIT:
                    self._changed.wait(following.until - facts.now)
                    continue
            if following.task is Task.END:
                return
            try:
                if not self._situation.begun:
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
        return self._situation.facts(time.monotonic(), rest_ends, trouble=bool(self.feed.trouble))

    def _begin(self) -> None:
        """Learn whether an operator paused it. Raises what the ledger raises; then it is tried again."""
        with self._pausing:
            paused = self.destination.name in self._spool.ledger.paused()
            with self._changed:
                self._situation.begins(paused=paused)

    def _look(self, facts: Facts) -> None:
        """Look into the queue, and open as many associations as it is worth."""
        if not facts.owed:
            # Images that come quickly are looked at together.
            time.sleep(_GATHER if facts.lingering or not facts.senders else _GATHER_BESIDE)
        with self._changed:
            self._situation.looks(time.monotonic())
        self._spool.settle()
        waiting = self.feed.waiting(dispatch.WORTH_ANOTHER * (self.destination.associations - 1) + 1)
        with self._changed:
            for sender in self._situation.senders:
                sender.look()
        while self._open_another(waiting):
            pass
        if not waiting:
            self._situation.unhindered()

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
            self._situation.began(sender, facts.now)
        return True

    def _explain(self, facts: Facts) -> None:
        """Say in the ledger of what waits why it does; nobody is sending now."""
        with self._changed:
            asked = self._situation.explains(facts.now)
        self.feed.put_back()
        if not facts.blocked:
            self._reporting.rests(self.feed.resting())
            return
        words = self.feed.trouble or self._situation.hindrance
        until = self.feed.trouble_until or self._situation.hindered_until
        self._reporting.blocked(facts, words, until, asked=asked)

    def _hinder(self, words: str) -> None:
        """Take notice that this box itself cannot deliver for a while."""
        with self._changed:
            if self._situation.hindered(words, time.monotonic()):
                LOG.error("Delivery to %s stops for now: %s", self.destination.name, words)

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
        if self._situation.answers():
            with self._changed:
                self._situation.succeeded()
                self._changed.notify_all()
            self._reporting.answers_again()

    def finished(self, sender: Sender, finish: Finish) -> None:
        """Take notice that an association is over."""
        if finish.hindrance:
            self._hinder(finish.hindrance)
        with self._changed:
            now = time.monotonic()
            situation = self._situation
            failed = situation.finished(sender, finish, now)
            circuit, told = situation.circuit, failed and not situation.paused and not situation.stopping
            self._changed.notify_all()
        if told:
            self._reporting.failed(circuit, circuit.next_try - now)

    def _ledger_changed(self) -> None:
        with self._changed:
            self._situation.hindered_until = float("-inf")
        self._owe()

    def _owe(self) -> None:
        with self._changed:
            self._situation.owed = True
            self._changed.notify_all()
