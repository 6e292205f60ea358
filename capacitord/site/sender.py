"""One association of a delivery, from the connection to its end. Each has a thread of its own.

It sends what fits it until nothing is left, and then lingers a moment, so that a study that is still arriving goes
out on one association. Whatever goes wrong ends it; the next one begins with what has no acknowledgement.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from capacitord.api import messages as m
from capacitord.dicom import classify
from capacitord.dicom.arriving import describe
from capacitord.dicom.classify import End
from capacitord.dicom.contexts import Pair, Plan, Proposal, Refusal, Wanted, plan
from capacitord.dicom.forms import forms
from capacitord.dicom.storage_scu import NotOpened, Sendable, Stop, StoreAssociation
from capacitord.errors import CapacitordError, Invalid
from capacitord.model.outcome import Outcome, Verdict
from capacitord.site.consignment import Consignment
from capacitord.site.preparation.preparer import Preparer

if TYPE_CHECKING:
    from capacitord.dicom.outgoing import Recipe
    from capacitord.model.destination import Destination
    from capacitord.site.connections import Connection, Connections
    from capacitord.site.feed import Feed
    from capacitord.site.preparation.preparation import Preparation
    from capacitord.spool.ledger import Ledger, Pending

LOG = logging.getLogger(__name__)

PASS_CALLING_AE: Final = "$calling"  # noqa: S105 - it passes an AE title on, and opens nothing
LINGER: Final = 2.0
"""Seconds without an image after which an association is released."""

_KINDS_OF: Final = 4096


@dataclass(frozen=True, slots=True)
class Finish:
    """What an association says about its destination in the end.

    `failure` is what went wrong at the destination or on the way, None if nothing speaks against it. It is `refusing`
    if it can be reached, and only refuses images. `hindrance` is what in this box kept it from going on.
    """

    failure: Outcome | None = None
    refusing: bool = False
    hindrance: str = ""


_NOTHING: Final = Finish()


class Watcher(Protocol):
    """Who is told how an association is getting on. Called by the association's thread."""

    def established(self, sender: Sender) -> None:
        """Take notice that the peer accepted the association."""

    def answering(self) -> None:
        """Take notice that the peer has dealt with an image."""

    def lingering(self) -> None:
        """Take notice that an association has nothing to send for the moment."""

    def finished(self, sender: Sender, finish: Finish) -> None:
        """Take notice that an association is over and has given back all images."""


class Sender:
    """Sends what is queued over one association. `start` once; `stop` and `interrupt` from any thread."""

    def __init__(
        self,
        destination: Destination,
        ledger: Ledger,
        feed: Feed,
        connections: Connections,
        preparation: Preparation,
        *,
        watcher: Watcher,
    ) -> None:
        self._destination, self._ledger, self._feed = destination, ledger, feed
        self._connections, self._preparation, self._watcher = connections, preparation, watcher
        self._lock = threading.Lock()
        self._association: StoreAssociation | None = None
        self._consignment: Consignment | None = None
        self._stopping = False
        self._look = threading.Event()
        self.lingers = False
        self.is_established = False
        self._thread = threading.Thread(target=self._run, name=f"to {destination.name}", daemon=True)

    # --- for any thread ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def look(self) -> None:
        """Look into the queue again if it lingers."""
        self._look.set()

    def stop(self) -> None:
        """End after the answer to the image under way."""
        with self._lock:
            self._stopping = True
            if self._association is not None:
                self._association.stop()
        self._look.set()

    def interrupt(self) -> None:
        """End now, in the middle of an image if need be."""
        self.stop()
        with self._lock:
            if self._association is not None:
                self._association.interrupt()

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""
        self._thread.join(seconds)

    def transfer(self) -> m.Transfer | None:
        """Return the image on its way now, None if there is none."""
        with self._lock:
            association, consignment = self._association, self._consignment
        if association is None or consignment is None:
            return None
        progress = association.progress()
        pending = consignment.in_hand(progress.sop_instance_uid)
        if pending is None:
            return None
        done, images = self._ledger.progress(pending.delivery)
        return m.Transfer(pending.study, done + 1, images, progress.sent, progress.length)

    # --- its thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        finish = _NOTHING
        try:
            finish = self._serve()
        except CapacitordError as error:
            finish = Finish(hindrance=error.message)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the delivery
            LOG.error("Delivery to %s failed in an unforeseen way: %s", self._destination.name, describe(error))  # noqa: TRY400
            finish = Finish(Outcome(Verdict.LATER, "An unforeseen error in this box; its log says more."))
        finally:
            self._watcher.finished(self, finish)

    def _serve(self) -> Finish:
        first = self._feed.first()
        if first is None:
            return _NOTHING
        recipe = self._preparation.recipe(self._destination.name)
        if recipe is None:
            return Finish(hindrance="The profile in force does not say what becomes of images for it.")
        calling = first.calling_ae if self._destination.calling_ae_title == PASS_CALLING_AE else None
        planned = self._plan(first, recipe)
        self._hold(planned.unfit, recipe)
        if not planned.proposals:
            return _NOTHING
        connection = self._connections.open(self._destination.name, self._destination.connect_timeout)
        if isinstance(connection, Outcome):
            return _NOTHING if self._stopping else Finish(connection)
        proposal = planned.proposals[0]
        association = self._take_up(connection, calling or self._destination.calling_ae_title, proposal)
        if association is None:
            return _NOTHING
        try:
            ended = self._open(association, first)
            if ended is not None:
                return ended
            accepted = association.agreement.accepted
            preparer = Preparer(recipe, accepted, self._preparation.pool, self._preparation.keys)
            consignment = Consignment(
                self._feed, proposal.serves, calling, preparer, lambda: self._preparation.version_of(recipe)
            )
            return self._deliver(association, consignment)
        finally:
            association.abort()

    def _plan(self, first: Pending, recipe: Recipe) -> Plan:
        """Return what to propose: the image that is to leave first in any case, and what comes behind it."""
        kinds = self._ledger.kinds(self._destination.name, _KINDS_OF)
        pairs = [Pair(first.sop_class_uid, first.transfer_syntax_uid), *(Pair(*kind) for kind in kinds)]
        return plan(
            Wanted(
                pair,
                1,
                urgency=-place,
                syntaxes=tuple(
                    form.transfer_syntax_uid for form in forms(pair, recipe.compress, recipe.transfer_syntaxes)
                ),
            )
            for place, pair in enumerate(pairs)
        )

    def _hold(self, unfit: tuple[Pair, ...], recipe: Recipe) -> None:
        """Hold images whose UIDs no association can propose: a person has to look."""

        def is_unfit(pending: Pending) -> bool:
            return _pair(pending) in unfit

        while unfit and (pending := self._feed.take(is_unfit)) is not None:
            outcome = classify.context_refused(self._destination.ae_title, _pair(pending), Refusal.UNFIT)
            self._feed.held(pending, outcome, self._preparation.version_of(recipe))

    def _take_up(self, connection: Connection, title: str, proposal: Proposal) -> StoreAssociation | None:
        """Return the association that is to be opened on a connection; None if it is to end before it began."""
        with self._lock:
            if self._stopping:
                connection.socket.close()
                return None
            self._association = StoreAssociation(connection.socket, self._destination, title, proposal)
            return self._association

    def _open(self, association: StoreAssociation, first: Pending) -> Finish | None:
        """Negotiate; return None if the association is established, and otherwise what that says."""
        try:
            opened = association.open()
        except Invalid as error:
            # The scanner's own title, which is to be passed on, is none.
            self._feed.rest(first, error.message)
            return _NOTHING
        if isinstance(opened, NotOpened):
            return _NOTHING if opened.how is End.STOPPED else Finish(opened.outcome)
        return None

    def _deliver(self, association: StoreAssociation, consignment: Consignment) -> Finish:
        unforeseen = True
        try:
            self._consignment = consignment
            finish = self._over(association, consignment)
            unforeseen = False
        except CapacitordError:
            unforeseen = False
            raise
        finally:
            association.abort()
            consignment.close(unforeseen=unforeseen)
        return finish

    def _over(self, association: StoreAssociation, consignment: Consignment) -> Finish:
        def answered(image: Sendable, outcome: Outcome) -> None:
            if consignment.answered(image, outcome):
                self._watcher.answering()

        self.is_established = True
        self._watcher.established(self)
        quiet_since = time.monotonic()
        while True:
            before = association.progress().images
            report = association.store(consignment.images(), answered, consignment.stands)
            if report.stop is Stop.DAMAGED:
                return _NOTHING
            if report.stop is Stop.BROKEN:
                consignment.broken(report)
                return _NOTHING if report.how is End.STOPPED else Finish(report.outcome)
            if association.progress().images > before:
                quiet_since = time.monotonic()
            if not self._goes_on(consignment, quiet_since):
                association.release()
                return Finish(consignment.refused_all, refusing=True)

    def _goes_on(self, consignment: Consignment, quiet_since: float) -> bool:
        """Say whether there is, or soon was, more to send on this association."""
        if self._stopping or not consignment.goes_on:
            return False
        following = self._feed.first()
        if following is not None:
            # What does not fit gets another association at once.
            return consignment.fits(following)
        left = quiet_since + LINGER - time.monotonic()
        return left > 0 and self._linger(left)

    def _linger(self, seconds: float) -> bool:
        """Wait for new images; return whether there may be some."""
        self.lingers = True
        self._watcher.lingering()
        found = self._look.wait(seconds)
        self.lingers = False
        self._look.clear()
        return found and not self._stopping


def _pair(pending: Pending) -> Pair:
    return Pair(pending.sop_class_uid, pending.transfer_syntax_uid)
