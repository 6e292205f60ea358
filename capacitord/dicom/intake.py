"""The seam between the wire and whatever keeps images: the receiver calls, the site's spool answers.

For each C-STORE request the receiver calls `Intake.begin` once, and then on what it returned `space`, `advance`
and `write` as bytes come in, and exactly one of `commit` and `abandon` at the end, all from one thread.
Each of them may raise: `errors.OutOfSpace` and other errors become the status of the response, see
`capacitord.dicom.statuses`. After `begin` or anything else but `commit` raised, `abandon` is still called once.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from capacitord.model.image import Arrival, Facts


class Announced(msgspec.Struct, frozen=True):
    """What a C-STORE request says of the image that follows. UIDs are without padding."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    arrival: Arrival


class Incoming(Protocol):
    """One image on its way to stable storage."""

    def space(self) -> memoryview:
        """Return where the next bytes of the dataset belong: writable, never empty, valid until `advance`.

        It may be as small as the rest of a chunk.
        """

    def advance(self, count: int) -> None:
        """Take note that the first `count` bytes of `space()` are filled."""

    def write(self, data: memoryview) -> None:
        """Copy `data` in: for fragments that are in a buffer already."""

    def commit(self, facts: Facts) -> None:
        """Make the image durable: sealed, synced and catalogued when this returns.

        Raises a `CapacitordError` if that cannot be; then nothing of the image is left.
        """

    def abandon(self) -> None:
        """Forget the image and leave nothing of it. Never raises."""


class Intake(Protocol):
    """What takes images in."""

    def begin(self, announced: Announced) -> Incoming:
        """Make room for an image; raises a `CapacitordError` if none can be taken in now."""
