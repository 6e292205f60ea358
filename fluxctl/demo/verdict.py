"""Whether anything was lost, arrived twice, is not as it should be, or is where it does not belong: image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from capacitord.api.demo import DemoImage, DemoPlace, DemoRow, Kept

Found = Mapping[str, Sequence[Kept]]
"""What was found in a place: by SOP Instance UID, each copy."""
NAMED: Final = 3


def unchanged(image: DemoImage, copy: Kept) -> bool:
    """Whether a copy has the scanner's bytes."""
    return copy.digest == image.digest


class Place(NamedTuple):
    """What was found in a place, which images belong there, and how a copy of one should be."""

    found: Found
    belongs: Callable[[DemoImage], bool] = lambda _: True
    right: Callable[[DemoImage, Kept], bool] = unchanged

    def copies(self, image: DemoImage) -> Sequence[Kept]:
        """Return what was found of an image."""
        return self.found.get(image.sop_instance_uid, ())

    def is_right(self, image: DemoImage) -> bool:
        """Whether an image is there once and as it should be, or rightly not there."""
        copies = self.copies(image)
        if not self.belongs(image):
            return not copies
        return len(copies) == 1 and self.right(image, copies[0])


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
                DemoPlace(name, sum(len(place.copies(image)) for image in found), all(map(place.is_right, found)))
                for name, place in places.items()
            ),
        )
        for sop_class, found in sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0]))
    )


def differences(images: Iterable[DemoImage], places: Mapping[str, Place]) -> tuple[str, ...]:
    """Say what is not as it should be: each image once in each place where it belongs, as the profile wants it."""
    known = tuple(images)
    uids = {image.sop_instance_uid for image in known}
    said = []
    for name, place in places.items():
        here = [image for image in known if place.belongs(image)]
        elsewhere = [image for image in known if not place.belongs(image)]
        for what, wrong in (
            ("never arrived", [image for image in here if not place.copies(image)]),
            ("arrived more than once", [image for image in here if len(place.copies(image)) > 1]),
            ("did not arrive as they should", [i for i in here if not all(place.right(i, c) for c in place.copies(i))]),
            ("arrived where they do not belong", [image for image in elsewhere if place.copies(image)]),
        ):
            if wrong:
                said.append(f"{name}: {_counted([image.sop_instance_uid for image in wrong])} {what}")
        if unknown := [uid for uid in place.found if uid not in uids]:
            said.append(f"{name}: {_counted(unknown)} arrived though the scanner never had them")
    return tuple(said)


def _counted(uids: Sequence[str]) -> str:
    named = ", ".join(uids[:NAMED]) + (" …" if len(uids) > NAMED else "")
    return f"{len(uids)} {'image' if len(uids) == 1 else 'images'} ({named})"
