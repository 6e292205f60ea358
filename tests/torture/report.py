"""What a torture did, in numbers and words."""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture.verdict import Verdict


@dataclass
class Report:
    """Counts of what was done and seen, and the promises that were broken."""

    name: str
    cycles: int = 0
    acknowledged: int = 0
    received: int = 0
    in_doubt: int = 0
    most_in_doubt: int = 0
    damaged_by_link: int = 0
    deeds: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def add(self, verdict: Verdict, acknowledged: int, deeds: Counter[str]) -> None:
        """Count one arena's end in."""
        self.acknowledged += acknowledged
        self.received += verdict.received
        self.in_doubt += verdict.in_doubt
        self.most_in_doubt = max(self.most_in_doubt, verdict.most_in_doubt)
        self.damaged_by_link += verdict.damaged_by_link
        self.deeds += deeds
        self.violations += verdict.violations

    def rounds(
        self,
        folder: Path,
        play: Callable[[Path, int, int], None],
        *,
        most: int,
        cycles: int,
        seed: int,
        deadline: float,
    ) -> None:
        """Play rounds of at most `most` cycles until there were `cycles`, the monotonic `deadline`, or a violation.

        `play` gets the folder of its round, how many cycles, and the seed. The proof of a broken promise stays.
        """
        number = 0
        while self.cycles < cycles and time.monotonic() < deadline and not self.violations:
            place = folder / f"{self.name}-{number}"
            play(place, min(most, cycles - self.cycles), seed + number)
            if not self.violations:
                shutil.rmtree(place)
            number += 1
            self.tell(cycles)

    def tell(self, cycles: int) -> None:
        """Say on standard error how far it is; this takes long."""
        print(f"{self.name}: {self.cycles} of {cycles}, {self.acknowledged} images acknowledged …", file=sys.stderr)

    def lines(self) -> list[str]:
        """Return it for a person to read."""
        lines = [f"{self.name}: {self.cycles} cycles"]
        lines += [f"  {_count(self.deeds)}"] if self.deeds else []
        if self.acknowledged:
            lines.append(f"  {self.acknowledged} images acknowledged to scanners, {self.received} came to the PACS")
        if self.received:
            lines.append(
                f"  {self.in_doubt} in doubt and sent twice (at most {self.most_in_doubt} by one kill), "
                f"{self.damaged_by_link} damaged by the link itself"
            )
        lines += [f"  {note}" for note in self.notes]
        return [*lines, *(f"  BROKEN: {violation}" for violation in self.violations[:20]), *self._rest()]

    def _rest(self) -> Sequence[str]:
        more = len(self.violations) - 20
        return [f"  and {more} more"] if more > 0 else []


def _count(deeds: Counter[str]) -> str:
    return ", ".join(f"{count} times {deed}" for deed, count in sorted(deeds.items()))
