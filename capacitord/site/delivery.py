"""Delivery to one destination: its associations, its circuit, its pauses. Each destination has its own threads.

A thread opens an association when something waits, the destination is not paused and its circuit allows it, and
sends until nothing is left. Whatever goes wrong ends the association; the next one begins with what has no
acknowledgement. Nothing here waits for another destination.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from capacitord.api import messages as m
from capacitord.dicom import classify
from capacitord.dicom.classify import End
from capacitord.dicom.contexts import Pair, Refusal, Wanted, plan
from capacitord.dicom.storage_scu import NotOpened, Sendable, Stop, StoreAssociation
from capacitord.errors import CapacitordError
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import DeliveryState
from capacitord.site import circuit as circuits
from capacitord.site.backoff import next_delay
from capacitord.site.circuit import Circuit, CircuitState
from capacitord.site.connections import Connections
from capacitord.site.feed import Feed, Handed
from capacitord.spool.ledger import Backlog
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
PASS_CALLING_AE = "$calling"  # noqa: S105 - it passes an AE title on, and opens nothing
_LINGER = 2.0
_GATHER = 0.02
_LOOK_AGAIN = 30.0
_REFUSALS_IN_A_ROW = 3
_WORTH_ANOTHER = 32
_KINDS_OF = 4096
_DAMAGED = classify.damaged_image()

_SHOWN = {
    CircuitState.CLOSED: m.CircuitState.CLOSED,
    CircuitState.OPEN: m.CircuitState.OPEN,
    CircuitState.HALF_OPEN: m.CircuitState.PROBING,
}

Note = Callable[[str, str, str, str], None]
"""Called with (reference, message, short study id, destination)."""


class Delivery:
    """Everything that goes to one destination."""

    def __init__(self, spool: Spool, destination: Destination, connections: Connections, note: Note) -> None:
        """Begin to deliver; threads run until `stop`."""
        self.destination = destination
        self._spool, self._connections, self._note = spool, connections, note
        self._feed = Feed(spool, destination.name, destination.ae_title, self._deliveries_ended)
        self._circuit = Circuit()
        self._random = random.SystemRandom()
        self._changed = threading.Condition()
        self._paused = destination.name in spool.ledger.paused()
        self._stopping = False
        self._work = True
        self._senders: dict[threading.Thread, StoreAssociation | None] = {}
        self._refusals = 0
        self._last_refusal = Outcome(Verdict.LATER, "")
        for number in range(destination.associations):
            name = f"{destination.name} {number + 1}"
            self._senders[threading.Thread(target=self._run, args=(number,), name=name, daemon=True)] = None
        if self._paused:
            self._say_paused()
        for thread in list(self._senders):
            thread.start()

    # --- what others may do -----------------------------------------------------------------------

    def wake(self) -> None:
        """Say that something new waits."""
        if not self._work:
            with self._changed:
                self._work = True
                self._changed.notify_all()

    def hasten(self) -> None:
        """Try again now, whatever the circuit says, on new associations: what a peer refused, it is asked anew."""
        self._feed.hasten()
        with self._changed:
            self._circuit = circuits.hastened(self._circuit, time.monotonic())
            self._work = True
            senders = [sender for sender in self._senders.values() if sender is not None]
            self._changed.notify_all()
        for sender in senders:
            sender.stop()

    def pause(self, *, paused: bool) -> None:
        """Stop sending after the image under way, or go on."""
        self._spool.ledger.pause(self.destination.name, paused=paused)
        with self._changed:
            self._paused = paused
            self._work = True
            senders = [sender for sender in self._senders.values() if sender is not None]
            self._changed.notify_all()
        if paused:
            for sender in senders:
                sender.stop()
            self._say_paused()
        else:
            self._spool.ledger.requeue(self.destination.name)

    def stop(self, grace: float) -> None:
        """End: the images under way may finish within `grace` seconds, then they are cut off."""
        with self._changed:
            self._stopping = True
            senders = [sender for sender in self._senders.values() if sender is not None]
            self._changed.notify_all()
        for sender in senders:
            sender.stop()
        deadline = time.monotonic() + grace
        for thread in list(self._senders):
            thread.join(max(0.0, deadline - time.monotonic()))
        for sender in [sender for sender in self._senders.values() if sender is not None]:
            sender.interrupt()
        for thread in list(self._senders):
            thread.join()
        self._feed.close()

    def status(self) -> m.DestinationStatus:
        """Return what waits, what happens, and why."""
        backlog = self._spool.ledger.backlog(self.destination.name)
        last = self._spool.ledger.last_success(self.destination.name)
        now = time.monotonic()
        with self._changed:
            circuit, paused = self._circuit, self._paused
            senders = [sender for sender in self._senders.values() if sender is not None]
        rate = self._feed.rate()
        waits = circuit.next_try - now
        return m.DestinationStatus(
            name=self.destination.name,
            ae_title=self.destination.ae_title,
            host=self.destination.host,
            port=self.destination.port,
            circuit=_SHOWN[circuit.state],
            paused=paused,
            reason="Paused by an operator." if paused else circuit.reason,
            next_try=datetime.fromtimestamp(time.time() + waits, UTC) if waits > 0 and not paused else None,
            last_success=None if last is None else datetime.fromtimestamp(last / 1e9, UTC),
            waiting_images=backlog.images,
            waiting_bytes=backlog.bytes,
            waiting_studies=backlog.studies,
            oldest=None if backlog.oldest is None else datetime.fromtimestamp(backlog.oldest / 1e9, UTC),
            doubtful_images=backlog.doubtful,
            refused_images=backlog.refused,
            delivered_images=backlog.delivered,
            rate=rate,
            eta=_eta(backlog, rate),
            transfers=tuple(transfer for sender in senders if (transfer := self._transfer(sender)) is not None),
        )

    def queue_row(self, ages: m.AgeBuckets) -> m.QueueRow:
        """Return the same, as a row of the queue."""
        status = self.status()
        return m.QueueRow(
            destination=status.name,
            paused=status.paused,
            circuit=status.circuit,
            reason=status.reason,
            next_try=status.next_try,
            studies=status.waiting_studies,
            images=status.waiting_images,
            bytes=status.waiting_bytes,
            doubtful=status.doubtful_images,
            refused=status.refused_images,
            ages=ages,
        )

    # --- the threads ------------------------------------------------------------------------------

    def _run(self, number: int) -> None:
        """Serve as association `number` of this destination: the first always, the others when much waits."""
        while self._wait(number * _WORTH_ANOTHER):
            try:
                self._one_association()
            except CapacitordError as error:
                LOG.warning("Delivery to %s stops for now: %s", self.destination.name, error)
                self._failed(Outcome(Verdict.LATER, error.message))
            except Exception:
                # A mistake of ours at one destination must not end its delivery, nor touch the others'.
                LOG.exception("Delivery to %s failed in an unforeseen way", self.destination.name)
                self._failed(Outcome(Verdict.LATER, "An unforeseen error in this box; its log says more."))

    def _wait(self, least: int) -> bool:
        """Wait until more than `least` images wait and an association may begin; the circuit is told then.

        Returns False at the end.
        """
        while True:
            with self._changed:
                if self._stopping:
                    return False
                rest = self._rest(time.monotonic())
                if rest > 0.0:
                    if not self._changed.wait(rest):
                        self._work = True
                    continue
                self._work = False
                self._changed.wait(_GATHER)
            # The ledger is asked without the lock: whoever has a new image to announce never waits for it.
            if self._feed.holds_more_than(least):
                with self._changed:
                    self._work = True
                    if self._may_send(time.monotonic()):
                        self._circuit = circuits.began(self._circuit, time.monotonic())
                        return True

    def _rest(self, now: float) -> float:
        """Return the seconds until it is worth to look into the queue, 0 for now."""
        if self._paused:
            return _LOOK_AGAIN
        if not self._circuit.may_begin(now):
            return max(0.25, min(_LOOK_AGAIN, self._circuit.next_try - now))
        if self._work:
            return 0.0
        ends = self._feed.next_rest_ends()
        return _LOOK_AGAIN if ends is None else max(0.01, min(_LOOK_AGAIN, ends - now))

    def _may_send(self, now: float) -> bool:
        return not self._stopping and not self._paused and self._circuit.may_begin(now)

    def _one_association(self) -> None:
        first = self._feed.first()
        waiting = self._spool.ledger.kinds(self.destination.name, _KINDS_OF)
        proposals = plan(Wanted(Pair(sop_class, syntax), count) for sop_class, syntax, count in waiting)
        self._refuse_unfit(set(proposals.unfit))
        if first is None or not proposals.proposals:
            self._abandoned()
            return
        calling = first.calling_ae if self.destination.calling_ae_title == PASS_CALLING_AE else None
        proposal = proposals.proposals[0]
        connection = self._connections.open(self.destination.name, self.destination.connect_timeout)
        if isinstance(connection, Outcome):
            self._failed(connection)
            return
        title = calling or self.destination.calling_ae_title
        association = StoreAssociation(connection.socket, self.destination, title, proposal)
        with self._changed:
            self._senders[threading.current_thread()] = association
            if self._stopping or self._paused:
                association.stop()
        handed = Handed(self._feed)
        try:
            opened = association.open()
            if isinstance(opened, NotOpened):
                self._gone(opened.how, opened.outcome)
                return
            self._succeeded()
            self._send(association, handed, set(proposal.contexts.values()), calling)
        finally:
            association.abort()
            with self._changed:
                self._senders[threading.current_thread()] = None
                self._work = True
            handed.take_back()
            self._feed.put_back()

    def _send(self, association: StoreAssociation, handed: Handed, pairs: set[Pair], calling: str | None) -> None:
        self._refusals = 0
        quiet_since = time.monotonic()
        while True:
            sent = association.progress().images
            images = self._feed.images(pairs, calling, lambda: self._refusals < _REFUSALS_IN_A_ROW)
            report = association.store(
                handed.out(images), lambda image, outcome: self._answered(handed, image, outcome)
            )
            if report.stop is Stop.DAMAGED:
                self._abandoned()
                return
            if report.stop is Stop.BROKEN:
                if report.image is not None:
                    handed.broke_off(report.image, in_doubt=report.in_doubt)
                self._gone(report.how, report.outcome or Outcome(Verdict.LATER, "The association broke."))
                return
            if self._refusals >= _REFUSALS_IN_A_ROW:
                association.release()
                self._failed(self._last_refusal)
                return
            now = time.monotonic()
            if association.progress().images > sent:
                quiet_since = now
            # What waits still and was not taken does not fit this association: another one will.
            done = report.stop is Stop.STOPPED or self._feed.holds_more_than(0) or now - quiet_since >= _LINGER
            if done or not self._more(_LINGER):
                association.release()
                return

    def _transfer(self, sender: StoreAssociation) -> m.Transfer | None:
        progress = sender.progress()
        pending = self._feed.handed_out(progress.sop_instance_uid)
        if pending is None:
            return None
        done, images = self._spool.ledger.progress(pending.delivery)
        return m.Transfer(pending.study, done + 1, images, progress.sent, progress.length)

    def _more(self, patience: float) -> bool:
        """Wait a moment for new images, so that a study that is still arriving goes out on one association."""
        with self._changed:
            if not self._work:
                self._changed.wait(patience)
            if self._stopping or self._paused or not self._work:
                return False
            self._changed.wait(_GATHER)
            self._work = False
            return True

    def _answered(self, handed: Handed, sent: Sendable, outcome: Outcome) -> None:
        image = handed.back(sent)
        if outcome == _DAMAGED:
            # The catalog is told only if the copy is damaged still: it may have been moved while it was read.
            self._spool.housekeeping.examine(image.pending.image)
            self._feed.not_sent([image])
            return
        if outcome.verdict is Verdict.LATER:
            self._refusals += 1
            self._last_refusal = outcome
        else:
            self._refusals = 0
        self._feed.answered(image, outcome)

    def _refuse_unfit(self, unfit: set[Pair]) -> None:
        for image in self._feed.images(unfit, None, lambda: bool(unfit)):
            pair = Pair(image.sop_class_uid, image.transfer_syntax_uid)
            self._feed.answered(image, classify.context_refused(self.destination.ae_title, pair, Refusal.UNFIT))

    # --- the circuit ------------------------------------------------------------------------------

    def _succeeded(self) -> None:
        with self._changed:
            was = self._circuit
            self._circuit = circuits.succeeded(was)
        if was.failures:
            self._note("destination-up", f"{self.destination.name} answers again.", "", self.destination.name)

    def _failed(self, outcome: Outcome) -> None:
        self._feed.flush()
        now = time.monotonic()
        with self._changed:
            delay = next_delay(self._circuit.failures + 1, self._random)
            self._circuit = circuits.failed(self._circuit, now, outcome, delay)
            tripped = self._circuit.state is CircuitState.OPEN
            waits = self._circuit.next_try - now
            self._work = True
            paused = self._paused
        if paused:
            return
        next_try = time.time_ns() + int(waits * 1e9)
        try:
            self._spool.ledger.defer(self.destination.name, outcome.reason, next_try)
        except CapacitordError as error:
            LOG.error("The ledger could not say why %s waits: %s", self.destination.name, error)  # noqa: TRY400
        LOG.warning("%s: %s Next try in %.0f s.", self.destination.name, outcome.reason, waits)
        reference = "destination-down" if tripped else "destination-trouble"
        self._note(reference, outcome.reason, "", self.destination.name)

    def _gone(self, how: End | None, outcome: Outcome) -> None:
        """Take notice that an association is gone; one that we ended ourselves says nothing about the peer."""
        if how is End.STOPPED:
            self._abandoned()
        else:
            self._failed(outcome)

    def _abandoned(self) -> None:
        with self._changed:
            self._circuit = circuits.abandoned(self._circuit, time.monotonic())
            self._work = True

    def _say_paused(self) -> None:
        self._feed.flush()
        self._spool.ledger.defer(self.destination.name, "Paused by an operator.", None)

    def _deliveries_ended(self, ended: list[tuple[str, str, DeliveryState]]) -> None:
        for study, destination, state in ended:
            LOG.info("Study %s to %s: %s", study, destination, state)
            words = "was delivered" if state is DeliveryState.DELIVERED else "needs a person"
            self._note(f"delivery-{state}", f"Study {study} to {destination} {words}.", study, destination)


def _eta(backlog: Backlog, rate: float) -> float | None:
    if not backlog.images:
        return 0.0
    return backlog.bytes / rate if rate > 0 else None
