"""What is sent: three kinds of studies, written once and sent by every sender to every receiver."""

from __future__ import annotations

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
        folders = []
        share = self.images // associations
        for number in range(associations):
            part = folder / f"{self.name}-{associations}-{number}"
            if not part.exists():
                write_study(part, images=share, shape=self.shape, seed=1000 * associations + number)
            folders.append(part)
        return folders


def workloads(scale: float) -> tuple[Workload, ...]:
    """Return the workloads; `scale` 1 is a few seconds each."""
    return (
        Workload("tiny", TINY, max(8, int(1200 * scale) // 4 * 4)),
        Workload("CT", CT, max(8, int(320 * scale) // 4 * 4)),
        Workload("DBT", _DBT, max(4, int(12 * scale) // 4 * 4)),
    )
