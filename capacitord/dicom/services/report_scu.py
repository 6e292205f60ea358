"""The result of a storage commitment request over an association of its own (PS3.4 §J.3.3).

This box asks for the association and is the provider of the service: it proposes the role of an SCP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from capacitord.dicom import classify, commands
from capacitord.dicom.classify import End
from capacitord.dicom.contexts import Pair, Proposal, propose
from capacitord.dicom.pdu import AbortReason, data_pdus
from capacitord.dicom.send import AssociationEnded, Line
from capacitord.dicom.services.channel import is_taken
from capacitord.dicom.services.reading import report
from capacitord.dicom.services.uids import COMMITMENT, COMMITMENT_INSTANCE

if TYPE_CHECKING:
    import socket

    from pydicom.dataset import Dataset

    from capacitord.model.destination import Destination
    from capacitord.model.evidence import Result

_MESSAGE_ID: Final = 1
_PAIR: Final = Pair(COMMITMENT, "1.2.840.10008.1.2")
"""Each implementation knows Implicit VR Little Endian (PS3.5 §10.1)."""


def send_report(
    connection: socket.socket, destination: Destination, calling_ae_title: str, transaction_uid: str, result: Result
) -> str:
    """Report a result over a connected socket, release the association and close the socket.

    Returns why the other side did not take it, in words; empty if it did. `destination.response_timeout` bounds each
    wait, in seconds. Raises `Invalid` for an AE title that is none.
    """
    peer = destination.ae_title
    line = Line(connection, peer, destination.response_timeout, destination.max_pdu)
    proposal = Proposal(propose([_PAIR]).contexts, as_scp=(COMMITMENT,))
    try:
        agreement, max_pdu = line.associate(peer, calling_ae_title, proposal, destination.max_pdu)
        context_id = agreement.accepted.get(_PAIR)
        if context_id is None:
            line.release()
            return classify.context_refused(peer, _PAIR, agreement.refusal(_PAIR)).reason
        event_type, dataset = report(transaction_uid, result)
        command = commands.event_report(_MESSAGE_ID, COMMITMENT, COMMITMENT_INSTANCE, event_type)
        for message, is_command in ((command, True), (_encoded(dataset), False)):
            pdus = data_pdus(context_id, message, command=is_command, max_pdu=max_pdu)
            line.write([pdus], len(pdus))
        answer = line.read_command(context_id)
        if (
            answer.field != commands.CommandField.N_EVENT_REPORT_RSP
            or answer.responded_to != _MESSAGE_ID
            or answer.has_data_set
            or answer.status is None
        ):
            raise line.give_up(End.PROTOCOL, AbortReason.UNEXPECTED_PARAMETER)
        line.release()
        return "" if is_taken(answer.status) else f"{peer} answered with 0x{answer.status:04X}."
    except AssociationEnded as end:
        return end.outcome.reason
    finally:
        line.close()


def _encoded(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    write_dataset(buffer, dataset)
    return bytes(buffer.getvalue())
