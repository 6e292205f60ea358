"""What the demonstration's scanner says when it is asked whom it still has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

import pynetdicom
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined] # made while it is imported
from pynetdicom.transport import ThreadedAssociationServer

PENDING: Final = 0xFF00


class Patients:
    """A query SCP for Study Root (PS3.4 §C.4.1) on 127.0.0.1, which names every study that `held` has, asked or not."""

    def __init__(self, ae_title: str) -> None:
        self.held: tuple[Dataset, ...] = ()
        self._entity = pynetdicom.AE(ae_title)
        self._entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self._server = cast(
            ThreadedAssociationServer,
            self._entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, self._find)]),
        )
        self.port: int = self._server.server_address[1]

    def close(self) -> None:
        """Take no more connections."""
        self._server.shutdown()

    def _find(self, _event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        for study in self.held:
            yield PENDING, study


def study(uid: str, patient_id: str, images: int) -> Dataset:
    """Return how a scanner names a study."""
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.PatientID = patient_id
    found.StudyInstanceUID = uid
    found.NumberOfStudyRelatedInstances = images
    return found
