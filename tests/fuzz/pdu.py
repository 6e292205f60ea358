"""Fuzz the PDU reader and the receiver behind it: `python -m tests.fuzz.pdu [libFuzzer's options] [corpus]`."""

from __future__ import annotations

from tests.fuzz.run import fuzz

if __name__ == "__main__":
    fuzz("pdu")
