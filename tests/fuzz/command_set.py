"""Fuzz command sets: `python -m tests.fuzz.command_set [libFuzzer's options] [corpus]`."""

from __future__ import annotations

from tests.fuzz.run import fuzz

if __name__ == "__main__":
    fuzz("command_set")
