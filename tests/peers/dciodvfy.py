"""dciodvfy of dicom3tools: what a validator that others wrote finds wrong with a DICOM file."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

DCIODVFY = "/usr/bin/dciodvfy"

_VALUE = re.compile(r"<[^>]*>|\(0x[0-9a-f]{4},0x[0-9a-f]{4}\)|0x[0-9a-f]+")
_NAMES = re.compile(r"attribute <|Attribute=<|Module=<|[Mm]odule <|[Ss]equence <|Element=<|Macro <")


class DiedOfIt(AssertionError):
    """The validator itself did not survive the file."""


def errors(path: Path) -> Counter[str]:
    """Return the errors in a file and how often each occurs, without the values and offsets that are in its words.

    Raises `DiedOfIt` if the validator ended before it was done.
    """
    done = subprocess.run([DCIODVFY, path], capture_output=True, check=False, timeout=60)
    if done.returncode < 0:
        raise DiedOfIt(path.name)
    lines = done.stderr.decode("latin-1").splitlines()
    return Counter(_normalised(line) for line in lines if line.startswith("Error"))


def _normalised(line: str) -> str:
    return " ".join(_VALUE.sub(_kept, line).split())


def _kept(found: re.Match[str]) -> str:
    """Return names of attributes and modules and tags as they are, and a sign for any value."""
    before = found.string[max(0, found.start() - 12) : found.start() + 1]
    if found[0].startswith("(0x") or _NAMES.search(before):
        return found[0]
    return "<>"
