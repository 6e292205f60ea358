"""What the walks through compressed frames share: segments behind markers, and what is cut out between them.

The walks are `jpeg.py` and `jpeg2000.py`. They leave out what no decoder needs for the pixels, hold what they do not
know, and hold what is known in another form than the standard gives it: where there is no room for text, nobody has to
look for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from capacitord.dicom.splice import Cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
"""How a codestream begins: SOI of JPEG and JPEG-LS, SOC and SIZ of JPEG 2000."""
MOST_SEGMENTS: Final = 1 << 16
"""Segments of one frame. Those of real devices have a few dozen, and a tile takes a few."""

NO_END: Final = "is damaged, or has no end"
TOO_MANY: Final = "has more segments than any device writes"


class Unclear(Exception):
    """A frame cannot be walked to its end. The message is the end of a sentence that begins with "a frame"."""


class Walked(NamedTuple):
    """What is to be cut out of a frame, in order, and where its codestream ends before that."""

    cuts: list[Cut]
    end: int


def unknown(marker: int) -> str:
    """Return why a frame with a segment behind this marker is refused."""
    return f"has a segment (FF{marker:02X}) that this box does not know, or that is not in the form it should have"


def marker_at(data: bytes, position: int) -> int:
    """Return the second byte of the marker at `position`. Raises `Unclear` if there is none."""
    if len(data) < position + 2 or data[position] != 0xFF:
        raise Unclear(NO_END)
    return data[position + 1]


def segment_end(data: bytes, position: int) -> int:
    """Return where the segment ends whose marker is at `position`. Raises `Unclear` if that is not in the frame."""
    stop = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    if not position + 4 <= stop <= len(data):
        raise Unclear(NO_END)
    return stop


def segment(marker: int, body: bytes) -> bytes:
    """Return a segment as it is written."""
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def ended(data: bytes, end: int, cuts: Iterable[Cut]) -> Walked:
    """Return the cuts, with one for what stands behind the codestream unless that is padding. Raises `Unclear`."""
    found = joined(sorted(cuts))
    if data[end:].strip(b"\0"):
        if any(start in data[end:] for start in _STARTS):
            msg = "has another one behind it"
            raise Unclear(msg)
        found.append(Cut(end, len(data), b""))
    return Walked(found, end)


def joined(cuts: Sequence[Cut]) -> list[Cut]:
    """Return cuts, which are in order, with those made one that leave nothing and lie side by side."""
    found: list[Cut] = []
    for cut in cuts:
        last = found[-1] if found else None
        if last is not None and last.stop == cut.start and not (last.data or cut.data):
            found[-1] = Cut(last.start, cut.stop, b"")
        else:
            found.append(cut)
    return found
