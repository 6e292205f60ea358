"""Fuzz the reader of sealed objects: `python -m tests.fuzz.sealed [libFuzzer's options] [corpus]`."""

from __future__ import annotations

from tests.fuzz.run import fuzz

if __name__ == "__main__":
    fuzz("sealed")
