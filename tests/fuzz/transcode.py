"""Fuzz the transcoding of images: `python -m tests.fuzz.transcode [libFuzzer's options] [corpus]`."""

from __future__ import annotations

from tests.fuzz.run import fuzz

if __name__ == "__main__":
    fuzz("transcode")
