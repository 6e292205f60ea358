"""What the transfer syntaxes say of pixels (PS3.5 §A), as far as it can be told from the pixels."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from capacitord.dicom.validation.codestream import HIGH_THROUGHPUT, Codec, Look

NATIVE: Final = frozenset(
    {
        "1.2.840.10008.1.2",
        "1.2.840.10008.1.2.1",
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.2",
    }
)
"""Syntaxes whose pixels are not compressed."""


class Compressed(NamedTuple):
    """A syntax with compressed pixels; `processes` are those a decoder for it surely knows, empty for any.

    `name` is that of the process. A syntax of video has no `codec` here: its frames are not in fragments of their own.
    """

    name: str
    codec: Codec | None = None
    processes: frozenset[int] = frozenset()

    def reads(self, frame: Look) -> bool:
        """Whether decoders for it read a frame of another process as well.

        JPEG Extended of 8 bits differs from Baseline in its tables alone: writers of Baseline make it unawares, where
        a table of theirs is beyond what Baseline allows (ISO 10918-1 §F.1).
        """
        return _BASELINE in self.processes and frame.process == _EXTENDED and frame.bits == 8


_BASELINE: Final = 0xC0
_EXTENDED: Final = 0xC1
_JPEG: Final = "1.2.840.10008.1.2.4."
_HT: Final = Compressed("HTJ2K", Codec.JPEG_2000, frozenset({HIGH_THROUGHPUT}))
_PART_1: Final = Compressed("JPEG 2000 part 1", Codec.JPEG_2000, frozenset({0}))
_VIDEO: Final = Compressed("video")

COMPRESSED: Final[Mapping[str, Compressed]] = MappingProxyType(
    {
        "1.2.840.10008.1.2.5": Compressed("RLE", Codec.RLE),
        _JPEG + "50": Compressed("JPEG Baseline", Codec.JPEG, frozenset({_BASELINE})),
        # Baseline is a part of process 2 and 4 (ISO 10918-1 §4.11): each decoder of these knows it.
        _JPEG + "51": Compressed("JPEG Extended", Codec.JPEG, frozenset({_BASELINE, _EXTENDED})),
        _JPEG + "57": Compressed("JPEG Lossless", Codec.JPEG, frozenset({0xC3})),
        _JPEG + "70": Compressed("JPEG Lossless", Codec.JPEG, frozenset({0xC3})),
        _JPEG + "80": Compressed("JPEG-LS", Codec.JPEG_LS),
        _JPEG + "81": Compressed("JPEG-LS", Codec.JPEG_LS),
        _JPEG + "90": _PART_1,
        _JPEG + "91": _PART_1,
        **{_JPEG + number: _HT for number in ("201", "202", "203")},
        **{f"{_JPEG}{number}": _VIDEO for number in range(100, 109)},
        **{f"{_JPEG}{number}.1": _VIDEO for number in range(100, 107)},
    }
)
"""Syntaxes whose pixels are compressed. One that is in neither table says nothing here, and is not checked."""

PROCESSES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "JPEG 2000 part 1",
        HIGH_THROUGHPUT: "HTJ2K",
        _BASELINE: "JPEG Baseline",
        _EXTENDED: "JPEG Extended",
        0xC2: "progressive JPEG",
        0xC3: "JPEG Lossless",
    }
)
"""What a process is called."""
