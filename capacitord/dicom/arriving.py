"""One C-STORE request while its data set comes in: taken in, or let go by with a reason.

Whatever goes wrong, here it becomes a `Refusal`: the image is forgotten at once, what is still to come of it is
discarded within bounds, and the response says why.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Final

from capacitord.dicom.header import HeaderReader
from capacitord.dicom.pdu import AbortReason
from capacitord.dicom.reader import ProtocolViolation
from capacitord.dicom.statuses import Refusal, refusal_for
from capacitord.dicom.walker import HeaderError
from capacitord.errors import CapacitordError

if TYPE_CHECKING:
    from capacitord.dicom.commands import Command
    from capacitord.dicom.intake import Announced, Incoming, Intake

LOG = logging.getLogger(__name__)

_DRAIN_SIZE: Final = 131072


class Arriving:
    """An image on its way from the wire to the intake. `refusal` is None as long as it can be kept."""

    __slots__ = (
        "_drain_limit",
        "_drained",
        "_header",
        "_incoming",
        "_scratch",
        "_space",
        "length",
        "refusal",
        "request",
    )

    def __init__(self, request: Command, drain_limit: int, refusal: Refusal | None = None) -> None:
        self.request = request
        self.refusal = refusal
        self.length = 0
        self._drain_limit = drain_limit
        self._drained = 0
        self._incoming: Incoming | None = None
        self._header: HeaderReader | None = None
        self._space = memoryview(b"")
        self._scratch: memoryview | None = None

    def begin(self, intake: Intake, announced: Announced) -> None:
        """Ask the intake to make room."""
        self._header = HeaderReader(announced)
        try:
            self._incoming = intake.begin(announced)
        except Exception as error:  # noqa: BLE001 - it becomes the answer
            self._refuse(error)

    def write(self, data: memoryview) -> None:
        """Take in the next bytes of the data set. Raises `ProtocolViolation` if too many had to be let go by."""
        incoming, header = self._incoming, self._header
        if incoming is None or header is None:
            self._let_go(len(data))
            return
        try:
            if not header.done:
                header.feed(data)
            incoming.write(data)
        except Exception as error:  # noqa: BLE001 - it becomes the answer
            self._refuse(error)
        self.length += len(data)

    def space(self, most: int) -> memoryview:
        """Return where up to `most` of the next bytes belong; never empty."""
        if self._incoming is not None:
            try:
                self._space = self._incoming.space()[:most]
            except Exception as error:  # noqa: BLE001 - it becomes the answer
                self._refuse(error)
            else:
                return self._space
        if self._scratch is None:
            self._scratch = memoryview(bytearray(_DRAIN_SIZE))
        return self._scratch[:most]

    def advance(self, count: int) -> None:
        """Take note that `count` bytes were put where `space` said. Raises as `write` does."""
        incoming, header = self._incoming, self._header
        if incoming is None or header is None:
            self._let_go(count)
            return
        try:
            if not header.done:
                header.feed(self._space[:count])
            incoming.advance(count)
        except Exception as error:  # noqa: BLE001 - it becomes the answer
            self._refuse(error)
        self.length += count

    def finish(self) -> Refusal | None:
        """Make the image durable, now that all of it is here; return None only if it is."""
        incoming, header = self._incoming, self._header
        if self.refusal is None and incoming is not None and header is not None:
            try:
                incoming.commit(header.facts(self.length))
            except Exception as error:  # noqa: BLE001 - it becomes the answer
                self._refuse(error)
            self._incoming = None
        return self.refusal

    def abandon(self) -> None:
        """Forget the image, if it is not durable yet, and leave nothing of it."""
        incoming, self._incoming = self._incoming, None
        self._space = memoryview(b"")
        if incoming is not None:
            try:
                incoming.abandon()
            except Exception as error:  # noqa: BLE001 - the answer is decided; the association goes on
                LOG.warning("an image could not be abandoned: %s", describe(error))

    def _refuse(self, error: Exception) -> None:
        self.refusal = refusal_for(error)
        if not isinstance(error, (CapacitordError, HeaderError)):
            LOG.error("an image failed for a reason that was not foreseen: %s", describe(error))
        self.abandon()

    def _let_go(self, count: int) -> None:
        self._drained += count
        if self._drained > self._drain_limit:
            msg = "a refused data set does not end"
            raise ProtocolViolation(msg, AbortReason.NOT_SPECIFIED)


def describe(error: BaseException) -> str:
    """Return the class of an error and where it arose, without its text, which could hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
