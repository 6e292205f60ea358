"""Fuzz the walk through compressed frames: `python -m tests.fuzz.markers [libFuzzer's options] [corpus]`."""

from __future__ import annotations

from tests.fuzz.run import fuzz

if __name__ == "__main__":
    fuzz("markers")
