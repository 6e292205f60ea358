"""What is still on a scanner: a C-FIND for everything, at the level of patients or of studies (PS3.4 §C.4.1).

Only an answer that ends with Success and names nobody says that nobody is there. All else is told as what it is: what
was named until then, and why it is not all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from capacitord.api.preflight import Remaining
from capacitord.dicom.classify import End, clean_comment
from capacitord.dicom.elements import Malformed
from capacitord.dicom.find import FindAssociation
from capacitord.dicom.send import AssociationEnded, Line
from capacitord.dicom.transform.characters import character_set
from capacitord.dicom.transform.level import public_vr
from capacitord.dicom.worklist.encoding import Content, Leaf, encode
from capacitord.dicom.worklist.entry import SYNTAXES, Entry, read
from capacitord.dicom.worklist.keys import tag
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.preflight import Checked, Obstacle, Root

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from capacitord.link.probe import Limits, Scanner

FIND: Final = {Root.PATIENT: "1.2.840.10008.5.1.4.1.2.1.1", Root.STUDY: "1.2.840.10008.5.1.4.1.2.2.1"}
"""Patient Root and Study Root Query/Retrieve Information Model - FIND (PS3.4 §C.6)."""
LONGEST_ANSWER: Final = 1 << 16
"""Bytes of one answer; a scanner's has some hundreds."""
_MAX_PDU: Final = 1 << 17
_LEVEL: Final = tag("QueryRetrieveLevel")
_PATIENT_KEYS: Final = ("PatientID", "PatientName")
_STUDY_KEYS: Final = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyInstanceUID",
    "StudyDescription",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedInstances",
)
_WILD: Final = frozenset("*?\\")
"""Characters of a patient id that would ask for other patients, too (PS3.4 §C.2.2.2.4)."""


class Remains(msgspec.Struct, frozen=True):
    """What a scanner said: counted, and the studies and patients themselves."""

    checked: Checked
    remaining: tuple[Remaining, ...] = ()


def remaining(connection: socket.socket, scanner: Scanner, limits: Limits) -> Remains:
    """Ask a scanner for everything that is on it, and close the connection.

    Whatever goes wrong is told in what is returned. Raises `Invalid` for an AE title that is none.
    """
    line = Line(connection, scanner.ae_title, limits.wait, _MAX_PDU)
    asking = _Asking(line, scanner, limits)
    try:
        outcome = asking.run()
    except AssociationEnded as end:
        outcome = Outcome(end.outcome.verdict, _without_again(end.outcome.reason))
        if end.how is End.REJECTED:
            asking.obstacle = Obstacle.TITLE
    finally:
        line.close()
    return asking.result(outcome)


def identifier(root: Root, transfer_syntax_uid: str, patient_id: str | None = None) -> bytes:
    """Return a query for everything: studies, or without `patient_id` and by Patient Root patients.

    With a `patient_id` it asks for the studies of that patient (PS3.4 §C.4.1.2.1).
    """
    patients = root is Root.PATIENT and patient_id is None
    keys = _PATIENT_KEYS if patients else _STUDY_KEYS if root is Root.PATIENT else (*_PATIENT_KEYS, *_STUDY_KEYS)
    asked: Content = {tag(keyword): Leaf(public_vr(tag(keyword))) for keyword in keys}
    asked[_LEVEL] = Leaf("CS", ("PATIENT" if patients else "STUDY",))
    if patient_id is not None:
        asked[tag("PatientID")] = Leaf("LO", (patient_id,))
    return encode(asked, character_set(""), SYNTAXES[transfer_syntax_uid])


class _Stopped(Exception):
    """It is not asked any further; why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class _Asking:
    """One scanner, asked over one association."""

    def __init__(self, line: Line, scanner: Scanner, limits: Limits) -> None:
        self.obstacle = Obstacle.ANSWER
        self._line = line
        self._scanner = scanner
        self._limits = limits
        self._answers = 0
        self._studies_named = 0
        self._patients: list[tuple[str, str]] = []
        self._rows: list[Remaining] = []

    def run(self) -> Outcome:
        scanner = self._scanner
        association = FindAssociation(self._line, FIND[scanner.root], self._limits.seconds, longest=LONGEST_ANSWER)
        if not association.open(scanner.ae_title, scanner.calling_ae_title, _MAX_PDU):
            self._line.release()
            self.obstacle = Obstacle.QUERY
            return self._told(f"{scanner.ae_title} does not answer queries by {_MODEL[scanner.root]}.")
        try:
            if scanner.root is Root.STUDY:
                self._studies(association, None)
            else:
                self._by_patient(association)
        except _Stopped as stopped:
            return stopped.outcome
        self._line.release()
        if self._line.overheard:
            return self._told(f"{scanner.ae_title} said more behind its last answer.")
        return Outcome(Verdict.DONE, f"{scanner.ae_title} said all that is on it.", 0)

    def result(self, outcome: Outcome) -> Remains:
        """Return what was found, with what asking came to."""
        # Whoever could not be read is somebody all the same.
        unread = 1 if self._answers and not self._patients else 0
        checked = Checked(
            self._scanner.ae_title,
            outcome,
            patients=len(self._patients) + unread,
            studies=self._answers if self._scanner.root is Root.STUDY else self._studies_named,
            at_least=outcome.verdict is not Verdict.DONE and bool(self._answers),
            obstacle=self.obstacle,
        )
        return Remains(checked, tuple(self._rows))

    def _by_patient(self, association: FindAssociation) -> None:
        for patient in self._ask(association, None):
            self._patients.append((_text(patient, "PatientName"), _text(patient, "PatientID")))
        for number, (name, id_) in enumerate(self._patients):
            before = len(self._rows)
            try:
                # Without an id, or with one that would match others, nobody can be asked for.
                if id_ and id_.isascii() and not _WILD & set(id_):
                    self._studies(association, (name, id_))
            except (_Stopped, AssociationEnded):
                untold = number if len(self._rows) == before else number + 1
                self._rows += [Remaining(*each) for each in self._patients[untold:]]
                raise
            if len(self._rows) == before:
                self._rows.append(Remaining(name, id_))

    def _studies(self, association: FindAssociation, patient: tuple[str, str] | None) -> None:
        for entry in self._ask(association, None if patient is None else patient[1]):
            name, id_ = patient or (_text(entry, "PatientName"), _text(entry, "PatientID"))
            if (name, id_) not in self._patients:
                self._patients.append((name, id_))
            self._studies_named += 1
            self._rows.append(
                Remaining(
                    patient_name=name,
                    patient_id=id_,
                    study_date=_text(entry, "StudyDate"),
                    study_time=_text(entry, "StudyTime"),
                    description=_text(entry, "StudyDescription"),
                    accession_number=_text(entry, "AccessionNumber"),
                    modalities=entry.values(tag("ModalitiesInStudy")),
                    study_uid=_text(entry, "StudyInstanceUID"),
                    images=_number(_text(entry, "NumberOfStudyRelatedInstances")),
                )
            )

    def _ask(self, association: FindAssociation, patient_id: str | None) -> Iterator[Entry]:
        """Yield what one query finds. Raises `_Stopped` if it does not end with Success within all bounds."""
        peer, syntax = self._scanner.ae_title, association.transfer_syntax_uid
        for data in association.ask(identifier(self._scanner.root, syntax, patient_id)):
            self._answers += 1
            if self._answers > self._limits.answers:
                self._answers -= 1
                association.cancel()
                raise _Stopped(self._told(f"{peer} names more than {self._answers}, so the query was cancelled."))
            try:
                yield read(data, syntax)
            except Malformed:
                association.cancel()
                raise _Stopped(self._told(f"An answer of {peer} cannot be read.")) from None
        if association.status != 0:
            self._line.release()
            raise _Stopped(
                Outcome(
                    Verdict.LATER,
                    f"{peer} did not answer the whole query (status {association.status:04X}).",
                    association.status,
                    clean_comment(association.comment),
                )
            )

    def _told(self, reason: str) -> Outcome:
        return Outcome(Verdict.LATER, reason)


_MODEL: Final = {Root.PATIENT: "Patient Root", Root.STUDY: "Study Root"}


def _text(entry: Entry, keyword: str) -> str:
    return next(iter(entry.values(tag(keyword))), "")


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _without_again(reason: str) -> str:
    """Return a sentence about an association without the promise to send something again."""
    return reason.removesuffix("It is tried again.").rstrip()
