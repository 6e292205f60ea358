"""The result of a storage commitment request over the association by which a scanner came (PS3.4 §J.3.3)."""

from __future__ import annotations

import logging
from typing import Final

from pynetdicom.association import Association

from capacitord.dicom.arriving import describe
from capacitord.dicom.services.reading import report
from capacitord.dicom.services.uids import COMMITMENT, COMMITMENT_INSTANCE
from capacitord.model.evidence import Result

LOG = logging.getLogger(__name__)
_WARNING: Final = frozenset({0x0107, 0x0116})
"""Warnings of N-EVENT-REPORT (PS3.7 annex C): the event was received all the same."""


class AssociationChannel:
    """An association of pynetdicom over which a scanner accepts reports."""

    def __init__(self, association: Association, calling_ae: str) -> None:
        self._association = association
        self.calling_ae = calling_ae

    @property
    def is_open(self) -> bool:
        """Whether it is still open."""
        return bool(self._association.is_established)

    def report(self, transaction_uid: str, result: Result) -> bool:
        """Report a result and wait for the answer; return whether the scanner took it. Never raises."""
        event_type, dataset = report(transaction_uid, result)
        try:
            status, _ = self._association.send_n_event_report(dataset, event_type, COMMITMENT, COMMITMENT_INSTANCE)
        except Exception as error:  # noqa: BLE001 - the association may end at any moment; another way is tried
            LOG.info("A result could not be reported over the association it was asked for: %s", describe(error))
            return False
        answered = status.get("Status")
        return answered is not None and is_taken(int(answered))


def is_taken(status: int) -> bool:
    """Return whether an answer to a report means that it was received."""
    return status == 0 or status in _WARNING


def has_commitment(association: Association) -> bool:
    """Return whether storage commitment was negotiated."""
    return any(cx.abstract_syntax == COMMITMENT for cx in association.accepted_contexts)
