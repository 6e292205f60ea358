"""A scanner with real images, those that pydicom brings along: `python -m capacitord.demo.scanner`."""

from __future__ import annotations

import hashlib
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pydicom
import pydicom.data
import pynetdicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset

from capacitord.api.demo import SCANNER, Answered, Delete, DemoImage, Listening, Loaded, ScannerOrder, Send, Sent
from capacitord.demo.patients import Patients, study
from capacitord.demo.role import Role
from capacitord.dicom.header import parse_facts
from capacitord.dicom.intake import Announced
from capacitord.model.findings import why_invalid
from capacitord.model.image import Arrival

WANTED: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
_TOLD: Final = ("Modality", "BitsAllocated", "PixelData")
_STORAGE: Final = frozenset(context.abstract_syntax for context in pynetdicom.AllStoragePresentationContexts)


class Film(NamedTuple):
    """An image in a file: what is told about it, and what is needed to send it."""

    image: DemoImage
    path: Path
    sop_class_uid: UID
    transfer_syntax_uid: UID


def read(path: Path) -> Film | None:
    """Return the image in a file, None if there is none or it does not fully say what it is.

    The file's meta information (PS3.10 §7.1) and its dataset have to agree, and nothing may be wrong with it for which
    the box holds an image: a real scanner's are like that.
    """
    try:
        dataset = pydicom.dcmread(path, specific_tags=[*WANTED, *_TOLD])
    except InvalidDicomError:
        return None
    study, series, sop_class, instance = (str(dataset.get(name) or "") for name in WANTED)
    meta, offset = split_dataset(path)
    told = (str(meta.get("MediaStorageSOPClassUID", "")), str(meta.get("MediaStorageSOPInstanceUID", "")))
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if not (study and series and instance and syntax) or sop_class not in _STORAGE or told != (sop_class, instance):
        return None
    content = path.read_bytes()[offset:]
    announced = Announced(sop_class, instance, syntax, Arrival(SCANNER, "", "", 0))
    if why_invalid(parse_facts(content, announced).findings):
        return None
    image = DemoImage(
        instance,
        UID(sop_class).name,
        UID(syntax).name,
        study,
        hashlib.sha256(content).hexdigest(),
        len(content),
        str(dataset.get("Modality") or ""),
        int(dataset.get("BitsAllocated") or 0) if "PixelData" in dataset else 0,
    )
    return Film(image, path, UID(sop_class), UID(syntax))


def load(folder: Path) -> tuple[Film, ...]:
    """Return the images in a folder, one per SOP Instance UID, in the order of their names."""
    films: dict[str, Film] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        film = read(path)
        if film is not None:
            films.setdefault(film.image.sop_instance_uid, film)
    return tuple(films.values())


class Scanner:
    """A storage SCU (PS3.4 §B) that opens one association a study and sends every image as its file has it.

    What it sent last is still on it.
    """

    def __init__(self, role: Role, films: Iterable[Film], patients: Patients) -> None:
        self._role = role
        self._patients = patients
        self._films = tuple(films)

    def obey(self, order: ScannerOrder) -> None:
        """Do what is ordered."""
        match order:
            case Send():
                self._send(order)
            case Delete():
                self._patients.held = ()

    def _send(self, order: Send) -> None:
        """Send studies and report every answer."""
        began, sent = time.monotonic(), 0
        for uid in order.studies:
            films = [film for film in self._films if film.image.study_uid == uid]
            self._patients.held = (study(uid, _patient(films), len(films)),)
            association = _associate(order, films)
            for film in films:
                time.sleep(max(0.0, began + sent / order.rate - time.monotonic()))
                self._role.report(Answered(film.image.sop_instance_uid, _store(association, film)))
                sent += 1
            association.release()
        self._role.report(Sent())


def _patient(films: Iterable[Film]) -> str:
    """Return the id of the patient in the first of some images; empty if it has none."""
    return next(
        (str(pydicom.dcmread(film.path, specific_tags=["PatientID"]).get("PatientID") or "") for film in films), ""
    )


def _associate(order: Send, films: Iterable[Film]) -> Association:
    entity = pynetdicom.AE(SCANNER)
    for sop_class, syntax in dict.fromkeys((film.sop_class_uid, film.transfer_syntax_uid) for film in films):
        entity.add_requested_context(sop_class, syntax)
    return entity.associate("127.0.0.1", order.port, ae_title=order.ae_title)


def _store(association: Association, film: Film) -> int | None:
    if not association.is_established:
        return None
    try:
        answer = association.send_c_store(film.path)
    except ValueError:  # the box accepted no presentation context for it
        return None
    return int(answer.Status) if "Status" in answer else None


def main() -> None:
    """Be a scanner until there are no more orders."""
    # Files that test a reader's patience are pydicom's business; here they are only bytes to be sent.
    warnings.simplefilter("ignore")
    # The bytes of the file, not a dataset decoded and encoded again.
    _config.STORE_SEND_CHUNKED_DATASET = True
    role = Role(sys.stdin.buffer, sys.stdout.buffer)
    films = load(Path(pydicom.data.__file__).parent)
    patients = Patients(SCANNER)
    role.report(Listening(patients.port))
    role.report(Loaded(tuple(film.image for film in films)))
    scanner = Scanner(role, films, patients)
    for order in role.orders(msgspec.json.Decoder[ScannerOrder](ScannerOrder)):
        scanner.obey(order)
    patients.close()


if __name__ == "__main__":
    main()
