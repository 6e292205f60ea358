"""A study as a tar stream of DICOM files (PS3.10), each with its dataset as it was received."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from capacitord.dicom.part10 import preamble
from capacitord.spool.studies import Sendable

_END: Final = bytes(2 * tarfile.BLOCKSIZE)


class Entry(NamedTuple):
    """One file: what stands before its dataset, in the archive and in the file."""

    head: bytes
    image: Sendable
    padding: int

    @property
    def size(self) -> int:
        """The bytes it takes in the archive."""
        return len(self.head) + self.image.length + self.padding


def entries(images: Iterable[Sendable]) -> Iterator[Entry]:
    """Yield a file for each image. Names follow from the order and from the box's own ids, never from a patient."""
    now = int(time.time())
    for number, image in enumerate(images, 1):
        before = preamble(image.sop_class_uid, image.sop_instance_uid, image.transfer_syntax_uid, image.calling_ae)
        info = tarfile.TarInfo(f"{number:06d}-{image.object_id.hex()[:12]}.dcm")
        info.size, info.mode, info.mtime = len(before) + image.length, 0o600, now
        yield Entry(info.tobuf() + before, image, -info.size % tarfile.BLOCKSIZE)


def length(files: Iterable[Entry]) -> int:
    """Return the length of the whole stream: whoever gets less knows that it broke off."""
    return sum(file.size for file in files) + len(_END)


def pieces(files: Iterable[Entry]) -> Iterator[bytes]:
    """Yield the stream. Raises what reading an image raises."""
    for file in files:
        yield file.head
        for chunk in file.image.stored.chunks():
            yield bytes(chunk)
        yield bytes(file.padding)
    yield _END
