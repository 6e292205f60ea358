"""One site being served: everything in this process that has the spool."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from capacitord.api import messages as m
from capacitord.api.actions import CUT_OFF
from capacitord.dicom.arriving import describe
from capacitord.errors import CapacitordError, Problem
from capacitord.link.channel import LinkClosed
from capacitord.link.messages import Call, Connect, Connected, FromRuntime, Heartbeat, Note, Port, Start
from capacitord.model.departure import LATELY
from capacitord.model.profile import Profile
from capacitord.model.states import StudyState
from capacitord.site.answers import Answers, Desks
from capacitord.site.calls import Calls
from capacitord.site.commitments import Commitments
from capacitord.site.connections import Connections
from capacitord.site.deciding import Deciding
from capacitord.site.deliveries import Deliveries
from capacitord.site.departing import Departing
from capacitord.site.explaining import Explaining
from capacitord.site.lately import Lately
from capacitord.site.listings import Listings
from capacitord.site.matching import NO_LIST, Matcher
from capacitord.site.port import SitePort, StoragePort
from capacitord.site.preparation.preparation import Preparation, keys_of
from capacitord.site.previewing import Previewing
from capacitord.site.pulse import Pulse
from capacitord.site.reception import Reception
from capacitord.site.refusals import Refused
from capacitord.site.resolving import Resolving
from capacitord.site.reviewing import Reviewing
from capacitord.site.router import Router
from capacitord.site.routing import Routing
from capacitord.site.site_status import Condition, Reporter, site_status, with_announced, with_worklist
from capacitord.site.soundness import Soundness
from capacitord.site.telling import Teller
from capacitord.site.upkeep import Upkeep
from capacitord.site.worklist.answering import WorklistAnswers
from capacitord.site.worklist.keeper import WorklistKeeper
from capacitord.site.worklist.port import WorklistPort
from capacitord.spool.admission import Receipt
from capacitord.spool.closer import Closed
from capacitord.spool.outbox import Deed
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
_MARGIN: Final = 3.0
_REMEMBERED: Final = 30 * 86400 * 10**9
"""Nanoseconds for which it is remembered what a scanner said of a study of which nothing is here."""

Send = Callable[[FromRuntime], bool]
"""Tells the supervisor; returns whether the message went out, and never raises."""


class Service:
    """Serves one site from its construction until `end`."""

    def __init__(self, start: Start, spool: Spool, routing: Routing, send: Send) -> None:
        self._spool, self._routing, self._send = spool, routing, send
        self._quiet = start.limits.study_quiet
        self._profile_problem: Problem | None = None
        self._connections = Connections(self._ask)
        self._preparation = Preparation(keys_of(spool.key), start.profile)
        self._deliveries = Deliveries(spool, self._connections, self._preparation, self._note, queued=self._queued)
        self._lately = Lately()
        self._soundness = Soundness(spool, self._trouble_changed)
        self._refused = Refused()
        self._reception = Reception(spool, routing, self._arrived, self._not_kept, self._soundness.kept)
        self._listings = Listings(spool.key)
        self._matcher = Matcher(self._listings.now)
        self._listed = NO_LIST
        self._teller = Teller(spool.outbox, self._send, doubt=self._soundness.doubt)
        self._router = Router(
            spool,
            routing,
            self._deliveries.wake_for,
            receiving=lambda: self._reception.receiving,
            doubt=self._soundness.doubt,
            matcher=self._matcher,
            did=self._teller.wake,
        )
        self._commitments = Commitments(spool, self._connections, start.storage.modalities, start.storage.ae_title)
        self._port = StoragePort(
            self._reception, start.storage, self._refused.add, self._commitments, cut_off=self._was_cut_off
        )
        self._worklist = WorklistKeeper(
            spool,
            self._connections,
            start.profile,
            hashes=self._preparation.keys.hashes,
            note=lambda reference, message: self._note(reference, message, "", ""),
            doubt=self._soundness.doubt,
            receiving=lambda: self._reception.receiving,
            asks=not start.delivers_only,
        )
        self._delivers_only = start.delivers_only
        self._listings.source = self._worklist
        self._worklist_port = WorklistPort(self._worklist, start.worklist)
        self._ports: Mapping[Port, SitePort] = {Port.STORAGE: self._port, Port.WORKLIST: self._worklist_port}
        self._calls = Calls(self._answers())
        self._reporter = Reporter(self._look, send, doubt=self._soundness.doubt, condition=self._condition)
        self._pulse = Pulse(self._beat)
        self._upkeep = Upkeep(
            spool,
            keep=lambda: routing.profile.keep_delivered,
            quiet=start.limits.study_quiet,
            rules=lambda: routing.profile.completeness,
            matches=lambda: routing.profile.matching is not None,
            closed=self._closed,
            got_on=self._pulse.got_on,
            doubt=self._soundness.doubt,
            also={
                "try the disk": self._soundness.look,
                "put the profile in force": self._catch_up,
                "let others stand in": self._deliveries.stand_in,
                "match with another list": self._look_for_list,
                "forget what was discarded": self._forget_discarded,
            },
            rarely={
                "say why images wait": self._deliveries.explain_unnamed,
                "look again at what is held": self._deliveries.look_again,
                "decide where images go": self._router.wake,
                "forget what scanners said": self._forget,
            },
        )
        self._deliveries.want(start.profile.destinations, start.profile.version)
        self._become()

    def _look_for_list(self) -> None:
        """Have studies that nothing matched looked at again, if another list has come."""
        listed = self._matcher.listing()
        if listed is not self._listed:
            self._listed = listed
            self._router.wake()

    def _forget_discarded(self) -> None:
        """Give up what was discarded and cannot be had back any more."""
        tick = self._spool.tick()
        for study in self._spool.releasing.over(tick):
            self._spool.housekeeping.discard_set_aside(study, time.time_ns(), tick)

    def _answers(self) -> Answers:
        previewing = Previewing(self._spool, self._preparation.pool)
        worklist = WorklistAnswers(self._worklist, self._spool.key)
        entries = worklist.entries

        def names() -> list[str]:
            return [each.name for each in self._routing.profile.destinations]

        desks = Desks(
            self._explaining(),
            self._resolving(),
            previewing,
            worklist,
            Reviewing(self._spool, lambda: self._routing.profile, self._matcher, entries, names),
            Deciding(self._spool, entries, names),
            self._departing(),
        )
        return Answers(self._spool, self._deliveries, desks, self._teller.wake)

    def _explaining(self) -> Explaining:
        return Explaining(
            self._spool,
            lambda: self._routing.profile,
            self._preparation,
            receiving=lambda: self._reception.receiving,
            awaited=lambda: self._worklist.awaited,
        )

    def _departing(self) -> Departing:
        return Departing(
            self._spool,
            self._deliveries,
            lambda: self._routing.profile,
            associations=lambda: len(self._port.associations()),
            trouble=lambda: "" if self._soundness.trouble is None else self._soundness.trouble.message,
            lately=self._lately,
        )

    def _resolving(self) -> Resolving:
        return Resolving(
            self._spool,
            lambda: self._routing.profile,
            self._preparation,
            receiving=lambda: self._reception.receiving,
        )

    def update(self, profile: Profile) -> None:
        """Take a version of the profile; images in flight are filed under whichever version holds then."""
        self._preparation.take(profile)
        self._routing.profile = profile
        self._deliveries.want(profile.destinations, profile.version)
        self._worklist.update(profile)
        self._catch_up()
        self._router.wake()

    def _catch_up(self) -> None:
        """Put in force what is wanted and is not, in a thread of its own, unless one is at it."""
        if self._deliveries.behind and not self._deliveries.changing:
            threading.Thread(target=self._become, name="update", daemon=True).start()

    def _become(self) -> None:
        """Put the profile in force as far as it goes. What is left is done by the upkeep."""
        version = self._routing.profile.version
        try:
            self._deliveries.become()
        except CapacitordError as error:
            words = f"{error.message} {error.hint}".rstrip()
        except Exception as error:  # noqa: BLE001 - it is said, and tried again
            words = f"An unforeseen error: {describe(error)}."
        else:
            if self._profile_problem is not None:
                LOG.warning("Version %d of the profile is in force.", version)
            self._profile_problem = None
            return
        message = f"Version {version} of the profile is not all in force: {words}"
        if self._profile_problem is None or self._profile_problem.message != message:
            LOG.error("%s", message)
        self._profile_problem = Problem("profile-behind", message, hint="It is tried again every second.")

    def listen(self, port: Port, listener: socket.socket) -> None:
        """Serve a port on this listening socket, unless this runtime is there to deliver only."""
        if self._delivers_only:
            LOG.error("This runtime takes nothing in, and was given the %s port: it is closed.", port)
            listener.close()
            return
        self._ports[port].open(listener)

    def stop_listening(self, port: Port, grace: float) -> None:
        """Take no more associations there; those that are open finish within `grace` seconds."""
        self._ports[port].close(grace)

    def _was_cut_off(self, words: str) -> None:
        """Have it in the audit log: what was being sent then is on the scanner, and not whole here."""
        try:
            detail = f"{words}, as the storage port was shut: what was not taken in by then is on the scanner"
            self._spool.outbox.put(Deed(CUT_OFF, (self._routing.profile.id,), detail))
        except CapacitordError as error:
            LOG.error("The audit log is not told that %s: %s", words, error.message)  # noqa: TRY400
        self._teller.wake()

    def connected(self, message: Connected, descriptor: int | None) -> None:
        """Hand a connection to the delivery that asked for it."""
        self._connections.answer(message, descriptor)

    def call(self, call: Call, descriptor: int) -> None:
        """Answer a request of the control socket."""
        self._calls.serve(call, descriptor)

    def written(self, deeds: Sequence[str]) -> None:
        """Take note that these deeds of the site have their entries in the audit log."""
        self._teller.written(deeds)

    def ask_status(self, request: int) -> None:
        """Send the site's status."""
        self._reporter.ask(request)

    def end(self, grace: float) -> None:
        """Finish what is open within `grace` seconds, all at once: scanners, deliveries, requests; then the spool."""
        deadline = time.monotonic() + grace
        self._worklist.stop()
        self._connections.close()
        for port in self._ports.values():
            port.close(grace)
        others = [
            threading.Thread(target=self._deliveries.stop, args=(grace,), name="end deliveries", daemon=True),
            threading.Thread(target=self._calls.close, args=(grace,), name="end calls", daemon=True),
            threading.Thread(target=self._upkeep.stop, name="end upkeep", daemon=True),
            threading.Thread(target=self._router.stop, name="end router", daemon=True),
            threading.Thread(target=self._commitments.stop, name="end commitments", daemon=True),
            threading.Thread(target=self._worklist.wait, name="end worklist", daemon=True),
        ]
        for other in others:
            other.start()
        for port in self._ports.values():
            port.wait(max(0.0, deadline - time.monotonic()))
        for other in others:
            other.join(max(0.0, deadline + _MARGIN - time.monotonic()))
        self._teller.stop()
        self._preparation.close()
        self._reporter.stop()
        self._pulse.stop()
        self._spool.close()

    def _forget(self) -> None:
        self._spool.evidence.forget(time.time_ns() - _REMEMBERED)

    # --- how it is doing

    def _look(self) -> m.SiteStatus:
        if not self._soundness.tried:
            # The first status opens the gate: it is to say whether images can be kept.
            self._soundness.look()
        status = site_status(self._spool, self._deliveries, self._reception, self._port, self._condition())
        rules = self._routing.profile.completeness
        status = with_announced(status, self._spool, self._quiet if rules.quiet is None else rules.quiet)
        matches = self._routing.profile.matching is not None
        return with_worklist(status, self._worklist, self._worklist_port, matches=matches)

    def _condition(self) -> Condition:
        return Condition(
            self._soundness.trouble,
            self._upkeep.failing,
            self._profile_problem or self._router.failing,
            self._refused.lately(time.monotonic()),
            self._lately.since(LATELY),
        )

    def _beat(self) -> None:
        trouble = self._soundness.trouble
        self._send(
            Heartbeat(
                busy=bool(self._port.associations()),
                trouble=None if trouble is None else Problem("storage-failed", trouble.message, hint=trouble.hint),
                failing=self._upkeep.failing or self._profile_problem or self._router.failing,
            )
        )

    def _not_kept(self, error: Exception, came: int) -> None:
        """Take notice of an image that the spool did not take."""
        self._soundness.refused(error, came=came)

    def _arrived(self, receipt: Receipt) -> None:
        """Take notice of an image that is new."""
        if receipt.later:
            # Where whole studies only leave, it is decided when the study is closed.
            if not self._routing.profile.completeness.whole:
                self._router.wake()
        else:
            self._deliveries.wake_for(receipt.urgencies)

    def _queued(self) -> None:
        """Take notice of images that wait where they did not: they get their turns."""
        self._router.wake()

    def _closed(self, closed: Closed) -> None:
        """Take notice of a study that is complete."""
        self._router.wake()
        if closed.state is StudyState.HELD:
            self._note("study-held", f"Study {closed.study} is held: {closed.reason}", closed.study, "")

    def _trouble_changed(self) -> None:
        """Tell at once that images cannot be kept, or can be again."""
        trouble = self._soundness.trouble
        self._beat()
        if trouble is None:
            self._note("storage-works", "Images can be kept again.", "", "")
        else:
            self._note("storage-failed", f"Images cannot be kept: {trouble.message}", "", "")

    # --- what it says

    def _ask(self, wanted: Connect) -> None:
        """Ask for a connection. Raises `LinkClosed` if nobody is there who could make one."""
        if not self._send(wanted):
            raise LinkClosed

    def _note(self, reference: str, message: str, study: str, destination: str) -> None:
        self._send(Note(datetime.now(UTC), reference, message, study, destination))
