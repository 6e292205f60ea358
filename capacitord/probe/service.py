"""Answers what the supervisor asks: C-ECHO of a node, and what is still on the scanners.

Each association has a thread of its own, so that a silent peer keeps nobody else waiting.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from capacitord.api.preflight import Preflight as Document
from capacitord.api.preflight import Scanner as Told
from capacitord.dicom.arriving import describe
from capacitord.dicom.echo import echo
from capacitord.dicom.remaining import Remains, remaining
from capacitord.errors import CapacitordError
from capacitord.link.channel import Channel, LinkBroken, LinkClosed
from capacitord.link.probe import Echo, Echoed, FromProbe, Reached, Survey, Surveyed, ToProbe
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.preflight import Checked, Obstacle, Preflight

LOG = logging.getLogger(__name__)
SCHEMA: Final = "fluxctl.preflight/1"
_PATIENCE: Final = 30.0
"""Seconds whoever reads a list may take nothing of it."""


class Service:
    """One probe. `run` returns the process's exit code once the supervisor has closed the link."""

    def __init__(self, link: socket.socket) -> None:
        self._channel: Channel[FromProbe, ToProbe] = Channel(link, ToProbe)
        self._surveys: dict[int, _Surveying] = {}

    def run(self) -> int:
        """Answer until the link ends. Returns 1 if what came over it is no message."""
        while True:
            try:
                message, descriptor = self._channel.receive()
            except LinkClosed:
                return 0
            except LinkBroken:
                LOG.error("The supervisor sent what is no message.")  # noqa: TRY400 - it says nothing more
                return 1
            connection = None if descriptor is None else socket.socket(fileno=descriptor)
            match message:
                case Echo():
                    _in_thread("echo", partial(self._echo, message, connection))
                case Survey():
                    self._surveys[message.request] = _Surveying(message, connection)
                    self._go_on(message.request)
                case Reached():
                    self._reached(message, connection)

    def _echo(self, wanted: Echo, connection: socket.socket | None) -> None:
        self._send(Echoed(wanted.request, _without_comment(_echoed(wanted, connection))))

    def _reached(self, message: Reached, connection: socket.socket | None) -> None:
        survey = self._surveys.get(message.request)
        if survey is not None:
            survey.reached[message.scanner] = (connection, message.failure)
            self._go_on(message.request)
        elif connection is not None:
            connection.close()

    def _go_on(self, request: int) -> None:
        survey = self._surveys[request]
        if len(survey.reached) >= len(survey.wanted.scanners):
            del self._surveys[request]
            _in_thread("survey", lambda: self._send(Surveyed(request, survey.run())))

    def _send(self, message: FromProbe) -> None:
        with contextlib.suppress(LinkClosed, OSError):
            self._channel.send(message)


class _Surveying:
    """Scanners that are asked at the same time. `stream` is where what remains is written, if anywhere."""

    def __init__(self, wanted: Survey, stream: socket.socket | None) -> None:
        self.wanted = wanted
        self.reached: dict[int, tuple[socket.socket | None, Outcome | None]] = {}
        self._stream = stream

    def run(self) -> tuple[Checked, ...]:
        """Ask all of them, write what remains, and return it counted."""
        found: dict[int, Remains] = {}
        threads = [
            _in_thread("scanner", partial(self._ask_into, found, number)) for number in range(len(self.wanted.scanners))
        ]
        for thread in threads:
            thread.join()
        whole = [
            found.get(number)
            or _unknown(scanner.ae_title, "It could not be asked because of an error in this program.", Obstacle.BOX)
            for number, scanner in enumerate(self.wanted.scanners)
        ]
        self._write(whole)
        checked = (remains.checked for remains in whole)
        return tuple(msgspec.structs.replace(each, outcome=_without_comment(each.outcome)) for each in checked)

    def _ask_into(self, found: dict[int, Remains], number: int) -> None:
        found[number] = self._ask(number)

    def _ask(self, number: int) -> Remains:
        scanner = self.wanted.scanners[number]
        connection, failure = self.reached[number]
        if failure is not None:
            return _unknown(scanner.ae_title, failure.reason, Obstacle.NETWORK)
        if connection is None:
            why = "Its connection was lost in this box: too many are open."
            return _unknown(scanner.ae_title, why, Obstacle.BOX)
        try:
            return remaining(connection, scanner, self.wanted.limits)
        except CapacitordError as error:
            return _unknown(scanner.ae_title, error.message, Obstacle.TITLE)
        except Exception as error:  # noqa: BLE001 - a scanner that could not be asked is not clean, whatever it was
            LOG.error("A scanner could not be asked: %s", describe(error))  # noqa: TRY400
            return _unknown(scanner.ae_title, "What it answered could not be read.", Obstacle.ANSWER)
        finally:
            connection.close()

    def _write(self, whole: list[Remains]) -> None:
        if self._stream is None:
            return
        with self._stream as stream:
            stream.settimeout(_PATIENCE)
            try:
                stream.sendall(msgspec.json.encode(self._document(whole)) + b"\n")
            except OSError as error:
                LOG.info("Whoever asked what remains has gone: %s", os.strerror(error.errno or 0))

    def _document(self, whole: list[Remains]) -> Document:
        heading, found = self.wanted.heading, Preflight(tuple(remains.checked for remains in whole))
        return Document(
            schema=SCHEMA,
            at=datetime.now(UTC),
            site=heading.site,
            clean=found.clean,
            needed=heading.needed,
            why=heading.reason,
            hint=found.hint,
            scanners=tuple(
                Told(
                    ae_title=scanner.ae_title,
                    host=scanner.host,
                    port=scanner.port,
                    clean=remains.checked.clean,
                    patients=remains.checked.patients,
                    studies=remains.checked.studies,
                    at_least=remains.checked.at_least,
                    reason=remains.checked.sentence,
                    remaining=remains.remaining,
                )
                for scanner, remains in zip(self.wanted.scanners, whole, strict=True)
            ),
        )


def _echoed(wanted: Echo, connection: socket.socket | None) -> Outcome:
    if connection is None:
        return Outcome(Verdict.LATER, f"The connection to {wanted.called} was lost in this box: too many are open.")
    node = Destination("", wanted.called, "", 0, response_timeout=wanted.wait)
    try:
        return echo(connection, node, wanted.calling).outcome
    except CapacitordError as error:
        return Outcome(Verdict.NEEDS_PERSON, error.message)
    except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
        LOG.error("A node could not be asked: %s", describe(error))  # noqa: TRY400
        return Outcome(Verdict.LATER, f"What {wanted.called} answered could not be read.")


def _unknown(ae_title: str, reason: str, obstacle: Obstacle) -> Remains:
    return Remains(Checked(ae_title, Outcome(Verdict.LATER, reason), obstacle=obstacle))


def _without_comment(outcome: Outcome) -> Outcome:
    """Return an outcome without the peer's own words, which may name a patient."""
    return msgspec.structs.replace(outcome, comment="")


def _in_thread(name: str, work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread
