"""DICOM files (PS3.10 §7.1): what stands before a dataset, written and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from capacitord.dicom.elements import UNDEFINED, Malformed, header, recognised
from capacitord.dicom.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PREFIX: Final = b"DICM"
_PREAMBLE: Final = 128
_LONGEST_META: Final = 1 << 16
"""Bytes of file meta information that are looked at; no file comes near."""
_PIECE: Final = 1 << 18

_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX, _SOURCE = 0x00020002, 0x00020003, 0x00020010, 0x00020016
_IMPLICIT, _EXPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_DIRECTORY: Final = "1.2.840.10008.1.3.10"


def preamble(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str) -> bytes:
    """Return the preamble, the prefix and the file meta information of a file whose dataset follows as it is."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    if source_ae_title:
        meta.SourceApplicationEntityTitle = source_ae_title
    out = DicomBytesIO()
    out.write(bytes(_PREAMBLE) + _PREFIX)
    write_file_meta_info(out, meta, enforce_standard=True)
    return out.getvalue()


class NotDicom(ValueError):
    """A file is no image in DICOM's form; the message says what it is instead, without anything from it."""


class File:
    """An image in a file, as `capacitord.dicom.rewriting.Encoded` wants it.

    One without preamble or file meta information is read too: then its first element tells the transfer syntax, and
    `remark` says so. The UIDs and the title are empty where the file does not say them before its dataset. Raises
    `NotDicom`, and OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            msg = "it is not a file with contents"
            raise NotDicom(msg)
        with path.open("rb") as file:
            start = file.read(_PREAMBLE + len(_PREFIX) + _LONGEST_META)
            whole = file.seek(0, 2)
        has_preamble = start[_PREAMBLE : _PREAMBLE + len(_PREFIX)] == _PREFIX
        meta, self._offset = _meta(start, _PREAMBLE + len(_PREFIX) if has_preamble else 0)
        first = start[self._offset : self._offset + 8]
        if not has_preamble and not meta and not _begins_dataset(first):
            msg = "it is empty" if not start else "it does not begin like one"
            raise NotDicom(msg)
        self.sop_class_uid = meta.get(_SOP_CLASS, "")
        self.sop_instance_uid = meta.get(_SOP_INSTANCE, "")
        self.source_ae_title = meta.get(_SOURCE, "")
        self.length = whole - self._offset
        if self.sop_class_uid == _DIRECTORY:
            msg = "it is the directory of a medium (DICOMDIR), which is never sent"
            raise NotDicom(msg)
        if not self.length:
            msg = "nothing follows its file meta information"
            raise NotDicom(msg)
        self.transfer_syntax_uid = meta.get(_TRANSFER_SYNTAX) or _guessed(first)
        self.remark = "" if _TRANSFER_SYNTAX in meta else "it does not say its transfer syntax; taken by its beginning"

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset's bytes in order, each piece valid until the next is taken. Raises OSError."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            left = self.length
            while left and (piece := file.read(min(_PIECE, left))):
                left -= len(piece)
                yield memoryview(piece)


def _meta(data: bytes, offset: int) -> tuple[dict[int, str], int]:
    """Return the texts of the file meta information, by tag, and where it ends. Raises `NotDicom`."""
    found: dict[int, str] = {}
    encoding = recognised(data[offset : offset + 8])
    while data[offset : offset + 2] == b"\x02\x00":
        try:
            element = header(data, offset, encoding)
        except Malformed:
            element = None
        if element is None or element.length == UNDEFINED or offset + element.size + element.length > len(data):
            msg = "its file meta information cannot be read"
            raise NotDicom(msg)
        value = data[offset + element.size : offset + element.size + element.length]
        found[element.tag] = value.decode("ascii", "replace").strip("\0 ")
        offset += element.size + element.length
    return found, offset


def _begins_dataset(first: bytes) -> bool:
    """Whether something begins as the dataset of an image does: with group 0008, which has the SOP Class UID."""
    return len(first) == 8 and (first[:2] == b"\x08\x00" or first[:2] == b"\x00\x08")


def _guessed(first: bytes) -> str:
    if first[:2] == b"\x00\x08":
        return _BIG_ENDIAN
    return _IMPLICIT if recognised(first).implicit else _EXPLICIT
