"""The demonstration's own words: what its roles report and are ordered, and the document at its end.

A role is a process (`python -m capacitord.demo.<role>`). It reads orders from standard input and writes reports to
standard output, one JSON object a line, and ends when its input does.
"""

from __future__ import annotations

from typing import Final

import msgspec

from capacitord.api.messages import Answer

SCANNER: Final = "CT_COACH"
"""The scanner's AE title."""

# --- orders ---------------------------------------------------------------------------------------------


class Send(msgspec.Struct, frozen=True, tag="send", tag_field="kind"):
    """To the scanner: send these studies (by Study Instance UID) to a storage SCP, `rate` images a second at most.

    The last of them stays on it, until its patient is deleted.
    """

    ae_title: str
    port: int
    studies: tuple[str, ...]
    rate: float


class Delete(msgspec.Struct, frozen=True, tag="delete", tag_field="kind"):
    """To the scanner: have no patient any more."""


class Slow(msgspec.Struct, frozen=True, tag="slow", tag_field="kind"):
    """To the link: let `rate` bytes a second through on the way to the PACS; 0 lets everything through."""

    rate: int


class Cut(msgspec.Struct, frozen=True, tag="cut", tag_field="kind"):
    """To the link: break off once `inside` bytes of one message have gone to the PACS; 0 means now."""

    inside: int = 0


class Restore(msgspec.Struct, frozen=True, tag="restore", tag_field="kind"):
    """To the link: be there again."""


ScannerOrder = Send | Delete
LinkOrder = Slow | Cut | Restore

# --- reports --------------------------------------------------------------------------------------------


class DemoImage(msgspec.Struct, frozen=True):
    """An image that the scanner has. `digest` is the SHA-256 of its dataset's bytes, `bytes` their number.

    `bits` are those a sample takes, 0 if it has no pixels.
    """

    sop_instance_uid: str
    sop_class: str
    transfer_syntax: str
    study_uid: str
    digest: str
    bytes: int
    modality: str = ""
    bits: int = 0


class Listening(msgspec.Struct, frozen=True, tag="listening", tag_field="kind"):
    """From the scanner, the link and the PACS: connections are taken at 127.0.0.1 on this port."""

    port: int


class Loaded(msgspec.Struct, frozen=True, tag="loaded", tag_field="kind"):
    """From the scanner: these images can be sent."""

    images: tuple[DemoImage, ...]


class Answered(msgspec.Struct, frozen=True, tag="answered", tag_field="kind"):
    """From the scanner: the box answered an image with this DIMSE status (PS3.7 §C); None if it did not answer."""

    sop_instance_uid: str
    status: int | None


class Sent(msgspec.Struct, frozen=True, tag="sent", tag_field="kind"):
    """From the scanner: all that was ordered was tried."""


class Kept(msgspec.Struct, frozen=True, tag="kept", tag_field="kind"):
    """From a PACS: an image arrived and was answered Success. `digest` is the SHA-256 of its dataset's bytes.

    `institution` is Institution Name (0008,0080).
    """

    sop_instance_uid: str
    digest: str
    transfer_syntax: str = ""
    institution: str = ""


class Broken(msgspec.Struct, frozen=True, tag="broken", tag_field="kind"):
    """From the link: it broke off, `inside` bytes after the start of a message; 0 if not in the middle of one."""

    inside: int


Report = Listening | Loaded | Answered | Sent | Kept | Broken

# --- the document ---------------------------------------------------------------------------------------


class DemoAct(Answer, frozen=True):
    """One act: what it showed, in words."""

    title: str
    facts: tuple[str, ...]


class DemoPlace(Answer, frozen=True):
    """How many images of one kind were found in a place.

    `right` if each that belongs there is there once, byte for byte or as the profile wants it, and no other is.
    """

    place: str
    images: int
    right: bool


class DemoRow(Answer, frozen=True):
    """The images of one SOP class: how many the scanner has, and what was found of them in each place."""

    sop_class: str
    images: int
    places: tuple[DemoPlace, ...]


class Demo(Answer, frozen=True):
    """What the demonstration came to. `ok` if nothing was lost and nothing arrived twice or changed.

    `differences` says in words what was not as it should be.
    """

    ok: bool
    message: str
    seconds: float
    studies: int
    images: int
    bytes: int
    acts: tuple[DemoAct, ...]
    rows: tuple[DemoRow, ...]
    differences: tuple[str, ...] = ()
