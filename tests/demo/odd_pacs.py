"""A PACS that always answers Success, and forgets its third image, keeps the fourth twice and spoils the fifth."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec

from capacitord.api.demo import Kept
from capacitord.demo.pacs import Pacs
from capacitord.demo.role import Role


class Odd:
    """What becomes of an image, by the number of its first arrival: a box that was killed sends the same one again."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def keep(self, image: Kept) -> Iterable[Kept]:
        number = self._numbers.setdefault(image.sop_instance_uid, len(self._numbers) + 1)
        if number == 3:
            return ()
        if number == 4:
            return (image, image)
        return (msgspec.structs.replace(image, digest="0" * 64, transfer_syntax="another") if number == 5 else image,)


if __name__ == "__main__":
    Pacs("ARCHIVE", Role(sys.stdin.buffer, sys.stdout.buffer), Odd().keep).run()
