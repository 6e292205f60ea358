"""Fuzz a worklist source's answers: `python -m tests.fuzz.worklist_answers [libFuzzer's options] [corpus]`."""

from __future__ import annotations

from tests.fuzz.run import fuzz

if __name__ == "__main__":
    fuzz("worklist_answers")
