"""Why a transform could not be carried out."""

from __future__ import annotations


class Unfit(ValueError):
    """A value cannot be read, or must not be written. Says why, without the value."""


class TransformFailed(Exception):
    """An operation failed for this dataset: `transform` and `operation` name it, `attribute` is what it was to change.

    No part of the message is from the dataset.
    """

    def __init__(self, transform: str, operation: str, attribute: str, why: str) -> None:
        super().__init__(f"{transform}: {operation} {attribute}: {why}")
        self.transform = transform
        self.operation = operation
        self.attribute = attribute
        self.why = why
