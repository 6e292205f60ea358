"""What is sent: three kinds of studies, written once and sent by every sender to every receiver."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from tests.images import CT, DBT, TINY, Shape, write_study

MIB = 1 << 20
_DBT = replace(DBT, sop_class_uid=CT.sop_class_uid)
"""DCMTK's storescu does not propose tomosynthesis unasked; the bytes are what counts here."""


@dataclass(frozen=True)
class Workload:
    """A kind of image, and how many of them a round sends."""

    name: str
    shape: Shape
    images: int

    @property
    def mebibytes(self) -> float:
        """The size of all images of a round."""
        return self.images * self.shape.pixel_bytes / MIB

    def write(self, folder: Path, associations: int) -> list[Path]:
        """Write the images, shared out to one folder for each association; return the folders."""
        return [
            self._write(folder, f"{associations}-{number}", self.images // associations)
            for number in range(associations)
        ]

    def write_first(self, folder: Path, associations: int) -> list[Path]:
        """Write one more image for each association, to see what a sender takes before and after its images."""
        return [self._write(folder, f"first-{number}", 1) for number in range(associations)]

    def _write(self, folder: Path, part: str, images: int) -> Path:
        path = folder / f"{self.name.strip()}-{images}-{part}"
        if not path.exists():
            write_study(path, images=images, shape=self.shape, seed=zlib.crc32(path.name.encode()))
        return path


def workloads(scale: float) -> tuple[Workload, ...]:
    """Return the workloads; `scale` 1 is a few seconds each."""
    return (
        Workload("tiny", TINY, max(8, int(2000 * scale) // 4 * 4)),
        Workload("CT", CT, max(8, int(320 * scale) // 4 * 4)),
        Workload("DBT", _DBT, max(4, int(12 * scale) // 4 * 4)),
    )
