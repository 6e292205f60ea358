"""Pictures as a box answers with them."""

from __future__ import annotations

import numpy as np

from capacitord.api.preview import Pictured, labelled
from capacitord.dicom.preview import png

PICTURED = Pictured(
    study="3f2a9c",
    image="0f02ab12" * 4,
    modality="CT",
    series_number=2,
    instance_number=57,
    frame=1,
    frames=1,
    rows=48,
    columns=64,
    window="window 40/400 (BRAIN)",
)
GREY = np.add.outer(np.arange(48), np.arange(64) * 2).astype(np.uint8)
COLOURS = np.stack([GREY, GREY[::-1], np.full_like(GREY, 90)], axis=-1)
GREY_PNG = labelled(png.encoded(GREY), PICTURED)
COLOURS_PNG = labelled(png.encoded(COLOURS), PICTURED)
