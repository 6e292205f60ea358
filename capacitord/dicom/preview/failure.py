"""Why there is no picture of an image."""

from __future__ import annotations


class NotShown(Exception):
    """There is no picture of an image. The message is a sentence, and no part of it is from the dataset."""
