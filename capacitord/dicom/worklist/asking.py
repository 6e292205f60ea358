"""One worklist query on its association: what is asked, how it ends, and whether the scanner is still there."""

from __future__ import annotations

import enum
import logging
import time
from typing import TYPE_CHECKING, cast

import msgspec
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from capacitord.dicom import commands
from capacitord.dicom.commands import Command, CommandField
from capacitord.dicom.elements import Malformed
from capacitord.dicom.pdu import data_pdus
from capacitord.dicom.worklist.entries import LONGEST_WARNING
from capacitord.dicom.worklist.entry import SYNTAXES, read
from capacitord.dicom.worklist.keys import MODALITY_WORKLIST
from capacitord.dicom.worklist.matching import Query, understood

if TYPE_CHECKING:
    from pynetdicom import evt
    from pynetdicom.dimse_primitives import C_FIND

    from capacitord.dicom.upper_layer import AcceptedAssociation

LOG = logging.getLogger(__name__)

Response = tuple[Dataset, None]
"""A last response, as pynetdicom takes it: its status, and no identifier."""


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
        self._context_id = int(event.context.context_id or 0)
        self._max_pdu = self._association.requestor.maximum_length or 0
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

    def send(self, status: Status, identifier: bytes) -> bool:
        """Send a response with a match; return whether the scanner took it.

        Through pynetdicom's queue it would take eight times as long, and a scanner that does not read would fill the
        queue. Here it is waited for, and cut off when it takes nothing for too long.
        """
        if self._association.is_gone:
            return False
        command = commands.encode(
            Command(
                CommandField.C_FIND_RSP,
                responded_to=self._request.MessageID,
                sop_class_uid=MODALITY_WORKLIST,
                has_data_set=True,
                status=status,
            )
        )
        pdus = data_pdus(self._context_id, command, command=True, max_pdu=self._max_pdu)
        try:
            self._association.wire_socket.send_now(
                pdus + data_pdus(self._context_id, identifier, command=False, max_pdu=self._max_pdu)
            )
        except OSError:
            LOG.warning("worklist: %s took no more answers after %d", self.peer, self.answers)
            self._association.cut()
            return False
        self.answers += 1
        return True

    def ends(self, status: Status, comment: str = "", offending: int | None = None) -> Response:
        """Return the last response."""
        self._status = int(status)
        response = Dataset()
        response.Status = int(status)
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
