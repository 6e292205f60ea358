"""The description in an object's header: everything the catalog knows of the image, so that it can be lost."""

from __future__ import annotations

from typing import Final

import msgspec

from capacitord.errors import DamagedObject
from capacitord.model.image import Arrival, Facts
from capacitord.seal.sealed import MAX_DESCRIPTION

_SHORTER: Final = (256, 64, 24, 8)
"""Characters to which texts are cut, one after the other, until the description fits."""

_TEXTS: Final = (
    "institution", "station", "body_part", "referring_physician", "study_description", "series_description",
    "study_id", "modality", "study_time", "study_date", "sex", "birth_date", "patient_name", "patient_id",
    "accession_number",
)  # fmt: skip
"""What may be cut, identifiers last. UIDs never are."""


class Description(msgspec.Struct, frozen=True):
    """What is in the header."""

    facts: Facts
    arrival: Arrival


def encode(facts: Facts, arrival: Arrival) -> bytes:
    """Return a description that fits into a header, whatever a scanner puts into its texts."""
    encoded = msgspec.msgpack.encode(Description(facts, arrival))
    for most in _SHORTER:
        for name in _TEXTS:
            if len(encoded) <= MAX_DESCRIPTION:
                return encoded
            facts = msgspec.structs.replace(facts, **{name: getattr(facts, name)[:most]})
            encoded = msgspec.msgpack.encode(Description(facts, arrival))
    return encoded


def decode(description: bytes) -> Description:
    """Return what is in a header that was authenticated before. Raises `DamagedObject` if it is of no known form."""
    try:
        return msgspec.msgpack.decode(description, type=Description)
    except msgspec.MsgspecError as error:
        raise DamagedObject(
            "The header of an object is of a form this version does not know.",
            hint="A newer capacitord wrote it: install that version again.",
        ) from error
