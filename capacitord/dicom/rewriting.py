"""An image as encoded, rewritten with its attributes changed: bytes in, bytes out, in bounded memory.

Only what an operation changes is written anew. The pixel data passes through untouched, and when nothing changes
the very same bytes come out. The new length is known before the first byte leaves.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final, Protocol

from capacitord.dicom import deflated
from capacitord.dicom.elements import Malformed
from capacitord.dicom.head import LAST_PIXELS, HeadReader
from capacitord.dicom.splice import Cut, cuts, joined, spliced
from capacitord.dicom.transform.attributes import DatasetAttributes
from capacitord.dicom.transform.characters import SPECIFIC_CHARACTER_SET
from capacitord.dicom.transform.engine import apply
from capacitord.dicom.transform.failure import NotTransformed, Unfit, Unreadable
from capacitord.dicom.transform.level import dataset_of
from capacitord.model.transform import attributes_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Sequence

    from capacitord.dicom.elements import Element
    from capacitord.dicom.transform.draft import Edit
    from capacitord.dicom.transform.engine import Change
    from capacitord.dicom.transform.failure import TransformFailed
    from capacitord.model.attribute import Attribute
    from capacitord.model.transform import Transform

HELD: Final = 4 << 20
"""Bytes read in looking for the attributes that are held, so that they need not be read again."""

Piece = bytes | memoryview


class Encoded(Protocol):
    """An image as it was received."""

    @property
    def transfer_syntax_uid(self) -> str:
        """The syntax its dataset is in."""

    @property
    def length(self) -> int:
        """The dataset's length in bytes."""

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset's bytes in order, each piece valid until the next is taken; from the start each time."""


class Rewritten:
    """An image with its changes, to be sent. `length` is that of the dataset as it leaves."""

    def __init__(
        self, opened: Opened, wanted: Sequence[Cut], changes: tuple[Change, ...], skipped: tuple[TransformFailed, ...]
    ) -> None:
        self._opened = opened
        self._cuts = wanted
        self.changes = changes
        self.skipped = skipped
        self.length = opened.image.length
        if wanted and opened.is_deflated:
            # How long it becomes is known only when it has been done once.
            self.length = sum(map(len, self.chunks()))
        elif wanted:
            self.length += sum(cut.growth for cut in wanted)

    @property
    def is_as_received(self) -> bool:
        """Whether the very bytes leave that came."""
        return not self._cuts

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset's bytes in order, each piece valid until the next is taken; from the start each time.

        Raises what reading the image raises.
        """
        if not self._cuts:
            return self._opened.as_received()
        changed = spliced(self._opened.plain(), self._cuts)
        return joined(deflated.deflated(changed) if self._opened.is_deflated else changed)


class Opened:
    """An image whose attributes have been read, but not its pixels.

    Raises `Unreadable` if they cannot be, and what reading the image raises. With `whole` the attributes behind the
    pixel data are read too, for which all of the image has to pass; `rewritten` sees to that itself. `attributes` is
    what conditions look at. `dataset` has no values for pixels and whatever else was too large to be kept.
    """

    def __init__(self, image: Encoded, *, whole: bool = False) -> None:
        self.image = image
        self.is_deflated = image.transfer_syntax_uid in deflated.SYNTAXES
        self._whole = whole
        self._head = HeadReader(image.transfer_syntax_uid, whole=whole)
        self._held: list[bytes] = []
        self._rest: Iterator[Piece] | None = None
        try:
            self._read(self._from_start())
            self.dataset = dataset_of(self._head.elements, self._head.encoding)
        except Malformed as error:
            raise Unreadable(str(error)) from None
        self.attributes = DatasetAttributes(self.dataset)

    def rewritten(self, transforms: Sequence[Transform], *, key: bytes, now: dt.datetime) -> Rewritten:
        """Return the image as all of these transforms make it; which ones fit it was decided before.

        `key` and `now` are those of `apply`. Raises `NotTransformed`.
        """
        if not self._whole and any(map(may_be_behind_pixels, attributes_of(transforms))):
            return Opened(self.image, whole=True).rewritten(transforms, key=key, now=now)
        transformed = apply(transforms, self.dataset, key=key, now=now)
        if self.is_too_short_for(transformed.edits):
            return Opened(self.image, whole=True).rewritten(transforms, key=key, now=now)
        return self.edited(transformed.edits, transformed.changes, transformed.skipped)

    def is_too_short_for(self, edits: Sequence[Edit]) -> bool:
        """Whether there may be text behind the pixel data, which was not read, that has to be encoded anew."""
        return not self._whole and any(edit.path == (SPECIFIC_CHARACTER_SET,) for edit in edits)

    @property
    def elements(self) -> Sequence[Element]:
        """The elements of the top level as they lie in the bytes, as far as it is open."""
        return self._head.elements

    def between(self, start: int, stop: int) -> bytearray:
        """Return the bytes of the dataset from `start` up to `stop`. Raises what reading the image raises."""
        return bytearray().join(self.pieces(start, stop))

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield the bytes of the dataset from `start` up to `stop`, each piece valid until the next is taken.

        Raises what reading the image raises.
        """
        return within(self.plain(), 0, start, stop)

    def forward(self) -> Forward:
        """Return what reads several parts of the dataset, in one pass if they are asked for in their order."""
        return Forward(self)

    def edited(
        self,
        edits: Sequence[Edit],
        changes: tuple[Change, ...] = (),
        skipped: tuple[TransformFailed, ...] = (),
        *,
        also: Sequence[Cut] = (),
    ) -> Rewritten:
        """Return the image with these differences to `dataset`; it has to be open as far as they go.

        `also` is cut out of elements that no edit is about. Raises `NotTransformed`.
        """
        try:
            wanted = cuts(self._head.elements, edits, self._head.encoding, self._head.end)
        except (Malformed, Unfit) as error:
            raise NotTransformed(str(error)) from None
        if also:
            wanted = sorted((*wanted, *also), key=lambda cut: (cut.start, cut.stop))
        try:
            return Rewritten(self, wanted, changes, skipped)
        except Malformed as error:
            raise Unreadable(str(error)) from None

    def as_received(self) -> Iterator[memoryview]:
        """Yield the bytes of the image as they came."""
        return self.image.chunks() if self.is_deflated else map(memoryview, self.plain())

    def plain(self) -> Iterator[Piece]:
        """Yield the bytes of the dataset, inflated if need be; what was read already is not read again, once."""
        if self._rest is None:
            return self._from_start()
        rest, self._rest = self._rest, None
        return itertools.chain(self._held, rest)

    def _from_start(self) -> Iterator[Piece]:
        chunks = self.image.chunks()
        return deflated.inflated(chunks) if self.is_deflated else iter(chunks)

    def _read(self, pieces: Iterator[Piece]) -> None:
        size = 0
        for piece in pieces:
            size += len(piece)
            if size <= HELD:
                self._held.append(bytes(piece))
            if self._head.feed(piece):
                break
        self._head.finish()
        if size <= HELD:
            self._rest = pieces
        else:
            self._held.clear()


class Forward:
    """Parts of a dataset read one after the other: only for one that lies before the last one, from the start again."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._pieces: Iterator[Piece] = iter(())
        self._piece: Piece = b""
        self._start = 0
        self._is_open = False

    def between(self, start: int, stop: int) -> bytearray:
        """Return the bytes of the dataset from `start` up to `stop`. Raises what reading the image raises."""
        if not self._is_open or start < self._start:
            self._pieces, self._piece, self._start, self._is_open = self._opened.plain(), b"", 0, True
        gathered = bytearray()
        while self._start < stop:
            gathered += self._piece[max(0, start - self._start) : max(0, stop - self._start)]
            if self._start + len(self._piece) >= stop:
                break
            self._start += len(self._piece)
            piece = next(self._pieces, None)
            if piece is None:
                self._is_open = False
                break
            self._piece = piece
        return gathered


def within(pieces: Iterable[Piece], position: int, start: int, stop: int) -> Iterator[Piece]:
    """Yield the bytes from `start` up to `stop` of `pieces`, which begin at `position`."""
    for piece in pieces if start < stop else ():
        part = piece[max(0, start - position) : max(0, stop - position)]
        if len(part):
            yield part
        position += len(piece)
        if position >= stop:
            break


def may_be_behind_pixels(attribute: Attribute) -> bool:
    """Whether some of what the attribute names may stand where only `whole` finds it."""
    step = attribute.steps[0]
    return attribute.anywhere or step.tag | ~step.mask & 0xFFFFFFFF > LAST_PIXELS
