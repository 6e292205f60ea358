"""The verification SCU: whether a destination answers, and how fast (PS3.4 annex A)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from capacitord.dicom import classify, commands
from capacitord.dicom.classify import End
from capacitord.dicom.contexts import VERIFICATION, propose
from capacitord.dicom.pdu import AbortReason, data_pdus
from capacitord.dicom.send import AssociationEnded, Line
from capacitord.model.outcome import Outcome

if TYPE_CHECKING:
    import socket

    from capacitord.model.destination import Destination

_MESSAGE_ID: Final = 1


@dataclass(frozen=True, slots=True)
class Echoed:
    """The peer answered a C-ECHO; `outcome` says with what. Times in seconds: to negotiate, and for the round trip."""

    outcome: Outcome
    negotiation: float
    round_trip: float


@dataclass(frozen=True, slots=True)
class NotEchoed:
    """No C-ECHO was answered: how the association ended, or None if the peer does not take C-ECHO, in words."""

    outcome: Outcome
    how: End | None = None


def echo(connection: socket.socket, destination: Destination, calling_ae_title: str) -> Echoed | NotEchoed:
    """Send one C-ECHO over a connected socket, release the association and close the socket.

    `destination.response_timeout` bounds each wait, in seconds. Raises `Invalid` for an AE title that is none.
    """
    peer = destination.ae_title
    line = Line(connection, peer, destination.response_timeout, destination.max_pdu)
    try:
        started = time.perf_counter()
        agreement, max_pdu = line.associate(peer, calling_ae_title, propose([VERIFICATION]), destination.max_pdu)
        established = time.perf_counter()
        context_id = agreement.accepted.get(VERIFICATION)
        if context_id is None:
            line.release()
            return NotEchoed(classify.context_refused(peer, VERIFICATION, agreement.refusal(VERIFICATION)))
        request = data_pdus(context_id, commands.echo_request(_MESSAGE_ID), command=True, max_pdu=max_pdu)
        line.write([request], len(request))
        answer = line.read_command(context_id)
        answered = time.perf_counter()
        if (
            answer.field != commands.CommandField.C_ECHO_RSP
            or answer.responded_to != _MESSAGE_ID
            or answer.has_data_set
            or answer.status is None
        ):
            raise line.give_up(End.PROTOCOL, AbortReason.UNEXPECTED_PARAMETER)
        outcome = classify.echo_answer(peer, answer.status, answer.error_comment)
        line.release()
        return Echoed(outcome, established - started, answered - established)
    except AssociationEnded as end:
        return NotEchoed(end.outcome, end.how)
    finally:
        line.close()
