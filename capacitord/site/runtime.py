"""A site's runtime: one process that has this site's spool and key, and no other's.

It opens nothing by itself. Everything comes over the link from the supervisor: what to serve, the listening
socket, connections to destinations, requests. When the link ends it finishes what is open and exits.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from capacitord.api import messages as m
from capacitord.dicom.accept import StorageSettings
from capacitord.dicom.storage_scp import StorageServer
from capacitord.errors import CapacitordError, TryAgain
from capacitord.link.channel import Channel, LinkBroken, LinkClosed
from capacitord.link.messages import (
    AskStatus,
    Call,
    CloseListener,
    Connected,
    Failed,
    FromRuntime,
    Heartbeat,
    Listener,
    Note,
    Profile,
    Ready,
    Shutdown,
    Start,
    StatusReport,
    Storage,
    ToRuntime,
    Update,
)
from capacitord.model.image import Facts
from capacitord.seal.keys import SiteKey
from capacitord.site.answers import Answers, uid_name
from capacitord.site.calls import Calls
from capacitord.site.connections import Connections
from capacitord.site.deliveries import Deliveries
from capacitord.site.reception import Reception
from capacitord.site.upkeep import Upkeep
from capacitord.spool.admission import Receipt
from capacitord.spool.sealing import LEAST_ROOM
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)
_GRACE_WITHOUT_SUPERVISOR = 20.0
_WAIT_FOR_SPOOL = 60.0
_RETRY_SPOOL = 0.25


class Runtime:
    """Serves one site until the link says otherwise. `run` returns the process's exit code."""

    def __init__(self, link: socket.socket) -> None:
        self._channel: Channel[FromRuntime, ToRuntime] = Channel(link, ToRuntime)
        self._connections = Connections(self._channel.send)
        self._server: StorageServer | None = None
        self._grace = _GRACE_WITHOUT_SUPERVISOR
        self._ending = threading.Thread()

    def run(self) -> int:
        """Serve. Returns 0 after an orderly end, 1 if the site cannot be served."""
        try:
            start, _ = self._channel.receive()
        except LinkClosed:
            return 0
        if not isinstance(start, Start):
            LOG.error("The supervisor did not begin with what to serve.")
            return 1
        try:
            spool = self._open_spool(start)
        except CapacitordError as error:
            LOG.error("The site cannot be served: %s %s", error.message, error.hint)  # noqa: TRY400
            self._send(Failed(error.problem()))
            return 1
        except LinkClosed:
            return 0
        self._serve(start, spool)
        return 0

    def _open_spool(self, start: Start) -> Spool:
        self._profile = start.profile
        deadline = time.monotonic() + _WAIT_FOR_SPOOL
        while True:
            try:
                spool = Spool(
                    Path(start.spool),
                    SiteKey(start.profile.id, start.key),
                    reserve=start.limits.reserve,
                    warning=start.limits.warning,
                    destinations=self._destinations,
                    names=uid_name,
                )
            except TryAgain:
                if time.monotonic() > deadline:
                    raise
                self._send(Heartbeat(busy=True))
                time.sleep(_RETRY_SPOOL)
            else:
                return spool

    def _destinations(self, _facts: Facts) -> tuple[str, ...]:
        """Return where an image goes: until there are routes, to every destination of the profile."""
        return tuple(destination.name for destination in self._profile.destinations)

    def _serve(self, start: Start, spool: Spool) -> None:
        self._spool, self._storage = spool, start.storage
        self._deliveries = Deliveries(spool, self._connections, self._note)
        self._reception = Reception(spool, self._arrived)
        calls = Calls(Answers(spool, self._deliveries))
        upkeep = Upkeep(
            spool,
            keep=lambda: self._profile.keep_delivered,
            quiet=start.limits.study_quiet,
            reason=lambda: f"Sent to every destination of version {self._profile.version} of the profile.",
            alive=lambda: self._send(Heartbeat(busy=False)),
        )
        # The supervisor answers no runtime that is not ready: a delivery that asked before would wait in vain.
        self._report_ready(spool)
        self._deliveries.become(start.profile.destinations, start.profile.version)
        try:
            self._listen_to_link(calls)
        finally:
            self._end(calls, upkeep)

    def _report_ready(self, spool: Spool) -> None:
        report = spool.report
        for note in report.notes:
            LOG.warning("%s", note)
        LOG.info(
            "The spool is open after %.2f s: %d images, %d re-adopted, %d unfinished removed, %d damaged set aside.",
            report.seconds,
            report.images,
            report.recovered,
            report.removed,
            report.corrupt,
        )
        self._send(
            Ready(report.images, report.recovered, report.removed, report.corrupt, report.seconds, tuple(report.notes))
        )

    def _listen_to_link(self, calls: Calls) -> None:
        while True:
            try:
                message, descriptor = self._channel.receive()
            except LinkClosed:
                LOG.warning("The supervisor is gone; finishing what is open.")
                return
            except LinkBroken:
                LOG.exception("The supervisor sent what is no message; finishing what is open.")
                return
            if isinstance(message, Shutdown):
                self._grace = message.grace
                return
            self._heed(message, descriptor, calls)

    def _heed(self, message: ToRuntime, descriptor: int | None, calls: Calls) -> None:
        if isinstance(message, Connected):
            self._connections.answer(message, descriptor)
        elif isinstance(message, Call) and descriptor is not None:
            calls.serve(message, descriptor)
        elif isinstance(message, Listener) and descriptor is not None:
            self._open_port(socket.socket(fileno=descriptor))
        elif isinstance(message, CloseListener):
            self._close_port(message.grace)
        elif isinstance(message, AskStatus):
            self._answer_status(message.request)
        elif isinstance(message, Update):
            self._update(message.profile)
        else:
            LOG.error("The supervisor sent a message out of turn: %s", type(message).__name__)
            if descriptor is not None:
                os.close(descriptor)

    # --- the storage port -------------------------------------------------------------------------

    def _open_port(self, listener: socket.socket) -> None:
        self._close_port(0.0)
        settings = storage_settings(self._storage, self._profile.version)
        self._server = StorageServer(listener, self._reception, settings)
        self._server.start()

    def _close_port(self, grace: float) -> None:
        server, self._server = self._server, None
        if server is not None:
            aborted = server.stop(grace)
            if aborted:
                LOG.warning("%d associations were aborted after %g s.", aborted, grace)

    def _arrived(self, _receipt: Receipt) -> None:
        self._deliveries.wake()

    def _update(self, profile: Profile) -> None:
        """Take a new version of the profile; images in flight are filed under whichever version holds then."""
        self._profile = profile
        threading.Thread(
            target=self._deliveries.become, args=(profile.destinations, profile.version), name="update", daemon=True
        ).start()

    # --- telling ----------------------------------------------------------------------------------

    def _send(self, message: FromRuntime) -> None:
        try:
            self._channel.send(message)
        except LinkClosed:
            LOG.debug("Nobody is there to be told.")

    def _note(self, reference: str, message: str, study: str, destination: str) -> None:
        self._send(Note(datetime.now(UTC), reference, message, study, destination))

    def _answer_status(self, request: int) -> None:
        def answer() -> None:
            try:
                status = self._status()
            except CapacitordError as error:
                LOG.error("No status: %s", error.message)  # noqa: TRY400
                return
            self._send(StatusReport(request, msgspec.Raw(msgspec.json.encode(status))))

        threading.Thread(target=answer, name="status", daemon=True).start()

    def _status(self) -> m.SiteStatus:
        counts = self._spool.counts()
        space = self._spool.space.now()
        reserve, warning = self._spool.space.reserve, self._spool.space.warning
        level = (
            m.Level.FAILURE
            if space.free < reserve + LEAST_ROOM
            else m.Level.WARNING
            if space.free < warning
            else m.Level.OK
        )
        server = self._server
        last = self._reception.last
        return m.SiteStatus(
            incoming=tuple(
                m.Incoming(
                    view.calling_ae, view.peer, datetime.fromtimestamp(view.since / 1e9, UTC), view.images, view.bytes
                )
                for view in (server.associations() if server else ())
            ),
            images_received=self._reception.images,
            bytes_received=self._reception.bytes,
            last_image=None if last is None else datetime.fromtimestamp(last, UTC),
            spool=m.SpoolStatus(
                studies=counts.studies,
                images=counts.images,
                bytes=counts.bytes,
                undelivered_images=counts.undelivered,
                conflicts=counts.conflicts,
                corrupt=counts.corrupt,
                recovered=self._spool.report.recovered,
            ),
            disk=m.Disk(space.total, space.free, reserve, warning, level),
            destinations=self._deliveries.status(),
            advice=(*advice_on(counts.conflicts, counts.corrupt, level), *advice_on_refusals(server)),
        )

    # --- the end ----------------------------------------------------------------------------------

    def _end(self, calls: Calls, upkeep: Upkeep) -> None:
        """Finish what is open within the bound: scanners first, for they wait; then deliveries; then the spool."""
        deadline = time.monotonic() + self._grace
        self._connections.close()
        stopper = threading.Thread(target=self._deliveries.stop, args=(self._grace,), name="stop")
        stopper.start()
        self._close_port(self._grace)
        stopper.join(max(0.0, deadline - time.monotonic()) + 5.0)
        calls.close()
        upkeep.stop()
        self._spool.close()
        LOG.info("The runtime of %s has finished.", self._profile.id)


def storage_settings(storage: Storage, profile_version: int) -> StorageSettings:
    """Return the box's settings as the storage SCP takes them."""
    return StorageSettings(
        ae_title=storage.ae_title,
        called_ae_titles=frozenset(storage.called_ae_titles),
        calling_ae_titles=frozenset(storage.calling_ae_titles),
        peers=storage.peers,
        maximum_associations=storage.associations,
        max_pdu=storage.max_pdu,
        private_sop_classes=frozenset(storage.private_sop_classes),
        private_transfer_syntaxes=frozenset(storage.private_transfer_syntaxes),
        idle_timeout=storage.idle_timeout,
        profile_version=profile_version,
    )


def advice_on(conflicts: int, corrupt: int, disk: m.Level) -> list[m.Advice]:
    """Return what a person should do about the spool's condition."""
    advice = []
    if disk is m.Level.FAILURE:
        advice.append(
            m.Advice(
                "disk-reserve",
                m.Level.FAILURE,
                "The disk is down to its reserve: images are refused.",
                "Restore the links so that studies leave, or add space.",
            )
        )
    elif disk is m.Level.WARNING:
        advice.append(
            m.Advice(
                "disk-warning",
                m.Level.WARNING,
                "The disk is getting full; delivered images are purged before their time.",
                "See what waits: `fluxctl queue list`.",
            )
        )
    if conflicts:
        what = "1 image came" if conflicts == 1 else f"{conflicts} images came"
        advice.append(
            m.Advice(
                "conflict",
                m.Level.WARNING,
                f"{what} again with other content under a known SOP Instance UID; the later one waits.",
                "Look at `fluxctl study show STUDY`; send one with `fluxctl resend STUDY --image OBJECT`.",
            )
        )
    if corrupt:
        what = "1 stored image is" if corrupt == 1 else f"{corrupt} stored images are"
        advice.append(
            m.Advice(
                "corrupt",
                m.Level.FAILURE,
                f"{what} damaged and set aside.",
                "Send them from the scanner again; check the disk; `fluxctl doctor --verify` reads everything.",
            )
        )
    return advice


def advice_on_refusals(server: StorageServer | None) -> list[m.Advice]:
    """Return advice on connections that were turned away in the last ten minutes."""
    recent = time.time_ns() - 600 * 10**9
    refusals = [refusal for refusal in (server.refusals() if server else ()) if refusal.at > recent]
    if not refusals:
        return []
    last = refusals[-1]
    who = f"{last.calling_ae} at {last.peer}" if last.calling_ae else last.peer
    return [
        m.Advice(
            "turned-away",
            m.Level.WARNING,
            f"{who} was turned away: {last.reason}",
            "Check the scanner's settings, or the [storage] allow-lists in capacitord.toml.",
        )
    ]
