"""Why an image could not be written in another transfer syntax."""

from __future__ import annotations


class NotTranscoded(Exception):
    """An image cannot be written in that syntax. The message is a sentence, and no part of it is from the dataset."""
