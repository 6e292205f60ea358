"""Coverage-guided fuzzing by atheris, of one target until told to stop.

The words of the command line are libFuzzer's: `-max_total_time=60`, and a folder for the corpus, which gets
the target's seeds if it is empty. A failure is written to a file and ends the program with an exit code.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def fuzz(name: str) -> None:
    """Run the target of that name; does not return."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["capacitord.dicom", "capacitord.seal", "capacitord.spool"]):
        targets = importlib.import_module("tests.fuzz.targets")
    for word in sys.argv[1:]:
        if not word.startswith("-"):
            _sow(Path(word), targets.SEEDS[name])
    atheris.Setup(sys.argv, targets.TARGETS[name])
    atheris.Fuzz()


def _sow(folder: Path, seeds: tuple[bytes, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        for number, seed in enumerate(seeds):
            (folder / f"seed-{number}").write_bytes(seed)
