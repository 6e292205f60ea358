"""Fuzz entries of a worklist: `python -m tests.fuzz.worklist_entry [libFuzzer's options] [corpus]`."""

from __future__ import annotations

from tests.fuzz.run import fuzz

if __name__ == "__main__":
    fuzz("worklist_entry")
