"""What pynetdicom calls for N-CREATE, N-SET and N-ACTION on the storage port.

MPPS (PS3.4 §F.7) is kept and not passed on. A storage commitment request is answered at once, and its result reported
later (PS3.4 §J.3): what can be promised is known by the time of the report.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context

from capacitord.dicom.arriving import describe
from capacitord.dicom.services import reading
from capacitord.dicom.services.channel import AssociationChannel, has_commitment
from capacitord.dicom.services.seam import Notices
from capacitord.dicom.services.uids import COMMITMENT, COMMITMENT_INSTANCE, MPPS, SYNTAXES
from capacitord.dicom.storage_scp import Handler
from capacitord.dicom.validation.rules import is_like_a_uid
from capacitord.errors import CapacitordError
from capacitord.model.evidence import Doing

LOG = logging.getLogger(__name__)

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE: Final = 0x0111
NO_SUCH_INSTANCE: Final = 0x0112
INVALID_INSTANCE: Final = 0x0117
NO_SUCH_CLASS: Final = 0x0118
NO_SUCH_ACTION: Final = 0x0123
MAY_NOT_BE_UPDATED: Final = 0xA710
"""Error ID (0000,0903) of a step that is over (PS3.4 table F.7.2-2)."""

_REQUEST_COMMITMENT: Final = 1

Answer = tuple[Dataset, Dataset | None]


def contexts() -> list[PresentationContext]:
    """Return the presentation contexts of these services."""
    return [build_context(uid, list(SYNTAXES)) for uid in (MPPS, COMMITMENT)]


def handlers(notices: Notices) -> list[Handler]:
    """Return what is to be bound to an association that may ask for these services."""
    return [
        (evt.EVT_N_CREATE, _answering(_create), [notices]),
        (evt.EVT_N_SET, _answering(_set), [notices]),
        (evt.EVT_N_ACTION, _answering(_act), [notices]),
        (evt.EVT_ESTABLISHED, _established, [notices]),
    ]


def _answering(serve: Callable[[evt.Event, Notices], Answer]) -> Callable[[evt.Event, Notices], Answer]:
    """Return a handler that has an answer whatever happens."""

    def answer(event: evt.Event, notices: Notices) -> Answer:
        try:
            return serve(event, notices)
        except reading.Refused as refused:
            status, comment = refused.status, refused.comment
        except CapacitordError as error:
            status, comment = PROCESSING_FAILURE, "it could not be kept; try again"
            LOG.error("What a scanner said could not be kept: %s", error.message)  # noqa: TRY400
        except Exception as error:  # noqa: BLE001 - the scanner is answered, and the association goes on
            status, comment = PROCESSING_FAILURE, "it could not be processed"
            LOG.error("What a scanner said could not be processed: %s", describe(error))  # noqa: TRY400
        LOG.warning("%r is refused its %s: %s", _calling(event), event.event.name, comment)
        return _status(status, comment), None

    return answer


def _create(event: evt.Event, notices: Notices) -> Answer:
    request: Any = event.request
    if request.AffectedSOPClassUID != MPPS:
        raise reading.Refused(NO_SUCH_CLASS, "only performed procedure steps are created here")
    uid = str(request.AffectedSOPInstanceUID or "")
    if uid and not is_like_a_uid(uid):
        raise reading.Refused(INVALID_INSTANCE, "the SOP Instance UID is not a UID")
    uid = uid or str(generate_uid())
    doing = notices.step_began(uid, reading.begun(event.attribute_list), _calling(event))
    if doing is Doing.KNOWN:
        raise reading.Refused(DUPLICATE, "there is a step of this UID")
    answer = Dataset()
    if not request.AffectedSOPInstanceUID:
        # The peer left it to us: pynetdicom moves it into the command set of the response (PS3.7 §10.1.5.1.4).
        answer.AffectedSOPInstanceUID = uid
    return _status(SUCCESS), answer


def _set(event: evt.Event, notices: Notices) -> Answer:
    request: Any = event.request
    if request.RequestedSOPClassUID != MPPS:
        raise reading.Refused(NO_SUCH_CLASS, "only performed procedure steps are changed here")
    change = reading.changed(event.modification_list)
    doing = notices.step_changed(str(request.RequestedSOPInstanceUID), change.images, over=change.over)
    if doing is Doing.UNKNOWN:
        raise reading.Refused(NO_SUCH_INSTANCE, "there is no step of this UID")
    if doing is Doing.OVER:
        status = _status(PROCESSING_FAILURE, "Performed Procedure Step Object may no longer be updated")
        status.ErrorID = MAY_NOT_BE_UPDATED
        return status, None
    return _status(SUCCESS), Dataset()


def _act(event: evt.Event, notices: Notices) -> Answer:
    request: Any = event.request
    if request.RequestedSOPClassUID != COMMITMENT:
        raise reading.Refused(NO_SUCH_CLASS, "only storage commitment is asked for here")
    if request.RequestedSOPInstanceUID != COMMITMENT_INSTANCE:
        raise reading.Refused(NO_SUCH_INSTANCE, "storage commitment has one well-known instance")
    if event.action_type != _REQUEST_COMMITMENT:
        raise reading.Refused(NO_SUCH_ACTION, "storage commitment has one action")
    asked = reading.asked(event.action_information)
    request_primitive = event.assoc.requestor.primitive
    called = "" if request_primitive is None else (request_primitive.called_ae_title or "").strip()
    channel = AssociationChannel(event.assoc, _calling(event))
    notices.commitment_asked(asked.transaction_uid, asked.images, _calling(event), called, channel)
    return _status(SUCCESS), None


def _established(event: evt.Event, notices: Notices) -> None:
    if has_commitment(event.assoc):
        notices.channel_opened(AssociationChannel(event.assoc, _calling(event)))


def _calling(event: evt.Event) -> str:
    request = event.assoc.requestor.primitive
    return "" if request is None else (request.calling_ae_title or "").strip()


def _status(status: int, comment: str = "") -> Dataset:
    dataset = Dataset()
    dataset.Status = status
    if comment:
        dataset.ErrorComment = comment[:64]
    return dataset
