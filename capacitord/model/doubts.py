"""What may be missing of a study, going by the numbers in its images. None of it is proof: nothing is held for it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_SHOWN: Final = 3
_WIDEST: Final = 2
"""Numbers that are spread over more than so many times as many images are no count: each device numbers as it likes."""


class Numbered(NamedTuple):
    """An image by its numbers; `acquisition` is how many images its acquisition has (0020,1002)."""

    series_uid: str
    series: int | None
    instance: int | None
    acquisition: int | None


def doubts(images: Iterable[Numbered]) -> Iterator[str]:
    """Yield a sentence for each series in whose numbers there are gaps, or that has fewer images than it says."""
    groups: dict[str, list[Numbered]] = {}
    for image in images:
        groups.setdefault(image.series_uid, []).append(image)
    for group in sorted(groups.values(), key=lambda group: (group[0].series is None, group[0].series or 0)):
        name = "A series without a number" if group[0].series is None else f"Series {group[0].series}"
        yield from (f"{name} {words}" for words in (_gaps(group), _short(group)) if words)


def _gaps(group: list[Numbered]) -> str:
    known = sorted({image.instance for image in group if image.instance is not None})
    if len(known) < 2 or known[-1] - known[0] >= _WIDEST * len(known):
        return ""
    runs = [(low + 1, high - 1) for low, high in itertools.pairwise(known) if high - low > 1]
    if not runs:
        return ""
    shown = ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in runs[:_SHOWN])
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return f"has gaps in its instance numbers: {shown}{more}."


def _short(group: list[Numbered]) -> str:
    said = max((image.acquisition or 0 for image in group), default=0)
    if said <= len(group):
        return ""
    return f"says that an acquisition of it has {said} images, and {len(group)} are here."
