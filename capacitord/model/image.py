"""One image (a SOP instance) as the box knows it, without its pixels."""

from __future__ import annotations

import msgspec


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the catalog needs of an image: from its C-STORE request and from the start of its dataset.

    Text is decoded from the dataset's own character set, stripped of padding and cut to a bounded length.
    Numbers are None where the dataset has none or one that cannot be read. `findings` are lines of `model.findings`.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    study_uid: str
    series_uid: str
    patient_name: str = ""
    patient_id: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    study_id: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    referring_physician: str = ""
    institution: str = ""
    station: str = ""
    modality: str = ""
    body_part: str = ""
    series_number: int | None = None
    series_description: str = ""
    instance_number: int | None = None
    number_of_frames: int | None = None
    images_in_acquisition: int | None = None
    findings: tuple[str, ...] = ()


class Arrival(msgspec.Struct, frozen=True, omit_defaults=True):
    """How an image came in. `received_at` is in nanoseconds since the epoch, UTC."""

    calling_ae: str
    called_ae: str
    peer: str
    received_at: int
    profile_version: int = 0
