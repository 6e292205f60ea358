"""A picture of one frame of an image: what may be asked, and the PNG file that answers, which says what it shows.

The file is a picture of a patient. What it says of itself holds no name but a window's: the box's own ids, and how it
was made.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from capacitord.api.messages import Answer, Message

LARGEST: Final = 4096
"""The most pixels of a side that may be asked for."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEYWORD: Final = b"capacitord"
_TEXT: Final = b"iTXt"
_HEADER_LENGTH: Final = 33
"""Bytes of the signature and the first chunk, behind which a text may stand."""


class Preview(Message, frozen=True):
    """Make a picture of one image of a study, of at most `size` by `size` pixels and never larger than the image.

    Without an `image` it is one from the middle of the first series that has pixels. `frame` counts from 1; 0 is the
    one in the middle. `window` is the number or the name of one of the image's own, CENTER/WIDTH, or "full" for all
    values there are; without it, it is the image's first.
    """

    study: str
    image: str = ""
    frame: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)] = 0
    size: Annotated[int, msgspec.Meta(ge=16, le=LARGEST)] = 1024
    window: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Pictured(Answer, frozen=True):
    """What a picture shows: which image by its object id, which frame, and which values are black and white.

    `rows` and `columns` are those of the image, whatever the size of the picture; `window` is empty for colours.
    A frame of which the image has not all pixels is not whole.
    """

    study: str
    image: str
    modality: str
    series_number: int | None
    instance_number: int | None
    frame: int
    frames: int
    rows: int
    columns: int
    window: str
    is_whole: bool = True

    @property
    def line(self) -> str:
        """All of it in one line, for a person."""
        series = f"series {self.series_number}" if self.series_number is not None else "series"
        number = f"image {self.instance_number}" if self.instance_number is not None else "image"
        parts = [f"{self.modality} {series}, {number} ({self.image[:12]})".strip(), f"{self.columns} by {self.rows}"]
        if self.frames > 1:
            parts.append(f"frame {self.frame:,} of {self.frames:,}")
        if self.window:
            parts.append(self.window)
        if not self.is_whole:
            parts.append("NOT WHOLE: the pixel data ends early")
        return " · ".join(parts)


def labelled(png: bytes, label: Pictured) -> bytes:
    """Return a PNG file that says what it shows, to a program and to a person (two iTXt chunks)."""
    texts = _text(_KEYWORD, msgspec.json.encode(label)) + _text(b"Description", label.line.encode())
    return png[:_HEADER_LENGTH] + texts + png[_HEADER_LENGTH:]


def _text(keyword: bytes, text: bytes) -> bytes:
    content = keyword + bytes(5) + text
    chunk = _TEXT + content
    return struct.pack(">L", len(content)) + chunk + struct.pack(">L", zlib.crc32(chunk))


def label_of(png: bytes) -> Pictured:
    """Return what a PNG file says it shows. Raises `ValueError` if it is none of ours."""
    for kind, content in _chunks(png):
        if kind == _TEXT and content.startswith(_KEYWORD + bytes(5)):
            return msgspec.json.decode(content[len(_KEYWORD) + 5 :], type=Pictured)
    msg = "it does not say what it shows"
    raise ValueError(msg)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(_SIGNATURE) if png.startswith(_SIGNATURE) else len(png)
    while position + 12 <= len(png):
        length, kind = struct.unpack_from(">L4s", png, position)
        yield kind, png[position + 8 : position + 8 + length]
        position += 12 + length
