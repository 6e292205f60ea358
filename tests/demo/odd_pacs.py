"""A PACS that always answers Success, and forgets its third image, keeps the fourth twice and spoils the fifth."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable

import msgspec

from capacitord.api.demo import Kept
from capacitord.demo.pacs import Pacs
from capacitord.demo.role import Role


class Odd:
    """What becomes of an image, by the number of its arrival."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def keep(self, image: Kept) -> Iterable[Kept]:
        number = next(self._numbers)
        if number == 3:
            return ()
        if number == 4:
            return (image, image)
        return (msgspec.structs.replace(image, digest="0" * 64, transfer_syntax="another") if number == 5 else image,)


if __name__ == "__main__":
    Pacs("ARCHIVE", Role(sys.stdin.buffer, sys.stdout.buffer), Odd().keep).run()
