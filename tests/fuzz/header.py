"""Fuzz the start of data sets: `python -m tests.fuzz.header [libFuzzer's options] [corpus]`."""

from __future__ import annotations

from tests.fuzz.run import fuzz

if __name__ == "__main__":
    fuzz("header")
