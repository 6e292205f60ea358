"""The C-FIND requestor: queries over one association, each answer as it comes (PS3.7 §9.1.2).

What a peer sends that is no answer, or too long, too late, or behind its last word, ends the association as an
`AssociationEnded`. What the answers mean is for whoever asks to say.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from capacitord.dicom import commands
from capacitord.dicom.classify import End
from capacitord.dicom.commands import Command, CommandField
from capacitord.dicom.contexts import Pair, propose
from capacitord.dicom.fragments import MalformedMessage
from capacitord.dicom.messages import LONGEST_IDENTIFIER, Message, MessageReader
from capacitord.dicom.pdu import AbortReason, data_pdus
from capacitord.dicom.send import AssociationEnded, Line

if TYPE_CHECKING:
    from collections.abc import Iterator

SYNTAXES: Final = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
"""Proposed in a context each, preferred first."""
PENDING_MATCH: Final = 0xFF00
PENDING: Final = frozenset({PENDING_MATCH, 0xFF01})
"""Statuses of an answer behind which others follow; with FF01 some optional keys were not looked at."""
FAREWELL: Final = 2.0
"""Seconds a peer gets to end a query that was cancelled."""


class FindAssociation:
    """An association for the queries of one SOP class, over a line that the caller owns.

    `seconds` bounds, from now on, all that is asked here. `longest` bounds an answer's data set, in bytes.
    """

    def __init__(self, line: Line, sop_class_uid: str, seconds: float, *, longest: int = LONGEST_IDENTIFIER) -> None:
        self.transfer_syntax_uid = ""
        """What was agreed for data sets; empty as long as nothing is."""
        self.status = PENDING_MATCH
        """The status that ended the last query; pending as long as none has."""
        self.comment = ""
        """The peer's own words with that."""
        self._line = line
        self._sop_class_uid = sop_class_uid
        self._deadline = time.monotonic() + seconds
        self._longest = longest
        self._context_id = 0
        self._max_pdu = 0
        self._message_id = 0
        self._reader = MessageReader(0)

    def open(self, called: str, calling: str, max_pdu: int) -> bool:
        """Negotiate; return whether the peer takes such queries.

        Raises `Invalid` for an AE title that is none, and `AssociationEnded`.
        """
        proposal = propose([Pair(self._sop_class_uid, syntax) for syntax in SYNTAXES])
        agreement, self._max_pdu = self._line.associate(called, calling, proposal, max_pdu)
        accepted = next((pair for pair in proposal.contexts.values() if pair in agreement.accepted), None)
        if accepted is None:
            return False
        self._context_id = agreement.accepted[accepted]
        self.transfer_syntax_uid = accepted.transfer_syntax_uid
        return True

    def ask(self, identifier: bytes) -> Iterator[bytes]:
        """Send a query and yield the data set of each match; then `status` says how it ended.

        Raises `AssociationEnded`.
        """
        self._message_id += 1
        self.status, self.comment = PENDING_MATCH, ""
        self._reader = MessageReader(self._context_id, self._longest)
        self._send(commands.find_request(self._message_id, self._sop_class_uid), identifier)
        for message in self._messages(self._deadline):
            status = self._status_of(message.command)
            if status not in PENDING:
                self.status, self.comment = status, message.command.error_comment
                return
            yield message.data or b""

    def cancel(self) -> None:
        """End the query that is under way, and the association: in good order if the peer takes part, else abruptly.

        All its answers until its final response are thrown away (PS3.7 §9.1.2.1.6).
        """
        with contextlib.suppress(AssociationEnded):
            self._send(commands.cancel_request(self._message_id))
            for message in self._messages(time.monotonic() + FAREWELL):
                if self._status_of(message.command) not in PENDING:
                    self._line.release()
                    return

    def _send(self, command: bytes, identifier: bytes | None = None) -> None:
        request = data_pdus(self._context_id, command, command=True, max_pdu=self._max_pdu)
        if identifier is not None:
            request += data_pdus(self._context_id, identifier, command=False, max_pdu=self._max_pdu)
        self._line.write([request], len(request))

    def _messages(self, deadline: float) -> Iterator[Message]:
        """Yield what the peer says, until it says what does not belong there or the time is over."""
        while True:
            body = self._line.read_data()
            try:
                messages = list(self._reader.feed(body))
            except MalformedMessage:
                raise self._line.give_up(End.PROTOCOL, AbortReason.INVALID_PARAMETER) from None
            if any(self._status_of(message.command) not in PENDING for message in messages[:-1]):
                raise self._line.give_up(End.PROTOCOL, AbortReason.UNEXPECTED_PARAMETER)
            yield from messages
            if time.monotonic() > deadline:
                raise self._line.give_up(End.NO_ANSWER)

    def _status_of(self, answer: Command) -> int:
        status = answer.status
        if (
            answer.field != CommandField.C_FIND_RSP
            or answer.responded_to != self._message_id
            or status is None
            or answer.has_data_set != (status in PENDING)
        ):
            raise self._line.give_up(End.PROTOCOL, AbortReason.UNEXPECTED_PARAMETER)
        return status
