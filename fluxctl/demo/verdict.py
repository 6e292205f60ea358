"""Whether anything was lost, arrived twice, or changed: image by image, digest by digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from capacitord.api.demo import DemoImage, DemoPlace, DemoRow

Place = Mapping[str, Sequence[str]]
"""What was found in a place: by SOP Instance UID, the digest of each copy."""
NAMED: Final = 3


def table(images: Iterable[DemoImage], places: Mapping[str, Place]) -> tuple[DemoRow, ...]:
    """Return for each SOP class how many images the scanner has and how many were found where."""
    kinds: dict[str, list[DemoImage]] = {}
    for image in images:
        kinds.setdefault(image.sop_class, []).append(image)
    return tuple(
        DemoRow(
            sop_class,
            len(found),
            tuple(
                DemoPlace(
                    name,
                    sum(len(place.get(image.sop_instance_uid, ())) for image in found),
                    all(list(place.get(image.sop_instance_uid, ())) == [image.digest] for image in found),
                )
                for name, place in places.items()
            ),
        )
        for sop_class, found in sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0]))
    )


def differences(images: Iterable[DemoImage], places: Mapping[str, Place]) -> tuple[str, ...]:
    """Say what is not as it should be: each image in each place once, with the scanner's bytes, and no others."""
    wanted = {image.sop_instance_uid: image.digest for image in images}
    said = []
    for name, place in places.items():
        lost = [uid for uid in wanted if not place.get(uid)]
        twice = [uid for uid in wanted if len(place.get(uid, ())) > 1]
        changed = [uid for uid, digest in wanted.items() if set(place.get(uid, ())) - {digest}]
        unknown = [uid for uid in place if uid not in wanted]
        for what, uids in (
            ("never arrived", lost),
            ("arrived more than once", twice),
            ("arrived with other bytes", changed),
            ("arrived though the scanner never had them", unknown),
        ):
            if uids:
                said.append(f"{name}: {_counted(uids)} {what}")
    return tuple(said)


def _counted(uids: Sequence[str]) -> str:
    named = ", ".join(uids[:NAMED]) + (" …" if len(uids) > NAMED else "")
    return f"{len(uids)} {'image' if len(uids) == 1 else 'images'} ({named})"
