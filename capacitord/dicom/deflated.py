"""Deflated datasets (PS3.5 §A.5) as streams."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from capacitord.dicom.elements import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SYNTAXES: Final = frozenset(
    {
        "1.2.840.10008.1.2.1.99",
        "1.2.840.10008.1.2.4.95",  # JPIP Referenced Deflate
        "1.2.840.10008.1.2.4.205",  # JPIP HTJ2K Referenced Deflate
    }
)

LONGEST_INFLATED: Final = 8 << 30
"""Bytes that a dataset may inflate to; a few MiB could be made to inflate for hours."""

_PIECE: Final = 1 << 18


def inflated(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield what the bytes inflate to, in pieces of bounded size. Raises `Malformed`."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    for chunk in chunks:
        data: bytes | memoryview = chunk
        while len(data) and not inflater.eof:
            try:
                piece = inflater.decompress(data, _PIECE)
            except zlib.error:
                msg = "the dataset does not inflate"
                raise Malformed(msg) from None
            total += len(piece)
            if total > LONGEST_INFLATED:
                msg = f"the dataset inflates to more than {LONGEST_INFLATED >> 30} GiB"
                raise Malformed(msg)
            yield piece
            data = inflater.unconsumed_tail
    if not inflater.eof:
        yield inflater.flush()
        msg = "the dataset ends before it has inflated"
        raise Malformed(msg)


def deflated(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the bytes deflated, the same for the same; an odd length is padded with a zero byte."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    total = 0
    for chunk in chunks:
        piece = deflater.compress(chunk)
        total += len(piece)
        if piece:
            yield piece
    piece = deflater.flush()
    yield piece + b"\0" * ((total + len(piece)) % 2)
