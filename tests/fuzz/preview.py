"""Fuzz the making of pictures: `python -m tests.fuzz.preview [libFuzzer's options] [corpus]`."""

from __future__ import annotations

from tests.fuzz.run import fuzz

if __name__ == "__main__":
    fuzz("preview")
