"""One worklist query on its association: what is asked, how it ends, and whether the scanner is still there."""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING, Final, cast

import msgspec
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from capacitord.dicom.commands import CommandField
from capacitord.dicom.elements import Malformed
from capacitord.dicom.worklist.entries import LONGEST_WARNING
from capacitord.dicom.worklist.entry import SYNTAXES, read
from capacitord.dicom.worklist.matching import Query, understood

if TYPE_CHECKING:
    from pynetdicom import evt
    from pynetdicom.dimse_primitives import C_FIND

    from capacitord.dicom.upper_layer import AcceptedAssociation

Response = tuple[Dataset, Dataset | None]
"""A status and an identifier, as pynetdicom takes them."""

_MOST_UNSENT: Final = 64
"""Messages that may wait to be sent: a scanner that does not read is not answered faster than it does."""
_GLANCE: Final = 0.002


class Status(enum.IntEnum):
    """Values of (0000,0900) in answers to C-FIND (PS3.4 table K.4.1.1.4-1)."""

    SUCCESS = 0x0000
    OUT_OF_RESOURCES = 0xA700
    DOES_NOT_MATCH_SOP_CLASS = 0xA900
    UNABLE_TO_PROCESS = 0xC000
    BAD_KEY = 0xC001
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_UNSUPPORTED = 0xFF01


class QueryView(msgspec.Struct, frozen=True):
    """A query that was answered; nothing in it is about a patient. `at` is in ns since the epoch, `seconds` it took.

    `warning` is what the scanner was told about the list, `status` that of the last response.
    """

    at: int
    seconds: float
    calling_ae: str
    peer: str
    answers: int
    status: int
    stale: bool
    warning: str = ""


class Asking:
    """One query on its association, and what became of it."""

    def __init__(self, event: evt.Event) -> None:
        self._association = cast("AcceptedAssociation", event.assoc)
        self._request: C_FIND = event.request  # type: ignore[assignment]  # it is the event of C-FIND
        self._syntax = str(event.context.transfer_syntax)
        self._at, self._started = time.time_ns(), time.monotonic()
        self.encoding = SYNTAXES[self._syntax]
        self.answers = 0
        self.stale = False
        self.warning = ""
        self._status = int(Status.UNABLE_TO_PROCESS)

    @property
    def peer(self) -> str:
        """The address of the scanner."""
        return self._association.peer

    @property
    def cancelled(self) -> bool:
        """Whether the scanner has sent a C-CANCEL for it."""
        return self._request.MessageID in self._association.cancelled

    def query(self, longest: int) -> Query:
        """Return what is asked. Raises `BadKey`, and `Malformed` if it is no query of the worklist."""
        identifier = self._request.Identifier
        data = identifier.getvalue() if identifier is not None else b""
        if len(data) > longest:
            msg = "an identifier is too long"
            raise Malformed(msg)
        query = understood(read(data, self._syntax).dataset)
        if query.level.is_empty:
            # Every answer would be empty, which no response may be.
            msg = "an identifier has no key of the worklist"
            raise Malformed(msg)
        return query

    def waits_in_vain(self) -> bool:
        """Wait until the scanner has read most of what it was sent; return whether it is gone.

        A scanner that reads nothing for too long is cut off by the socket's own time-out.
        """
        while not self._association.is_gone:
            if self._association.unsent <= _MOST_UNSENT:
                return False
            time.sleep(_GLANCE)
        return True

    def pending(self, status: Status, identifier: Dataset) -> Response:
        """Return a response with a match."""
        self.answers += 1
        return _status(status), identifier

    def ends(self, status: Status, comment: str = "", offending: int | None = None) -> Response:
        """Return the last response."""
        self._status = int(status)
        response = _status(status)
        if comment:
            response.ErrorComment = comment.encode("ascii", "replace").decode("ascii")[:LONGEST_WARNING]
        if offending is not None:
            response.OffendingElement = [Tag(offending)]
        return response, None

    def view(self) -> QueryView:
        """Return what became of it."""
        calling = str(self._association.requestor.ae_title).strip()
        seconds = time.monotonic() - self._started
        return QueryView(self._at, seconds, calling, self.peer, self.answers, self._status, self.stale, self.warning)


def note_cancel(event: evt.Event) -> None:
    """Remember which queries were cancelled, also one whose answer has not begun."""
    association = cast("AcceptedAssociation", event.assoc)
    command = event.message.command_set
    field = command.get("CommandField")
    if field == CommandField.C_FIND_RQ:
        association.cancelled.discard(command.get("MessageID"))
    elif field == CommandField.C_CANCEL_RQ:
        association.cancelled.add(command.get("MessageIDBeingRespondedTo"))


def _status(status: Status) -> Dataset:
    response = Dataset()
    response.Status = int(status)
    return response
