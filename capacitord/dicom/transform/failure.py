"""Why a transform could not be carried out."""

from __future__ import annotations

from capacitord.model.representation import Unfit

__all__ = ["NotTransformed", "TransformFailed", "Unfit", "Unreadable"]


class NotTransformed(Exception):
    """A dataset cannot be changed as its profile wants: it waits for a person. No part of the message is from it."""


class Unreadable(NotTransformed):
    """The dataset cannot be read as far as its changes need it, or is larger than it may be for that."""


class TransformFailed(NotTransformed):
    """An operation failed for this dataset: `transform` and `operation` name it, `attribute` is what it was to change.

    `why` is in the words of the standard.
    """

    def __init__(self, transform: str, operation: str, attribute: str, why: str) -> None:
        super().__init__(f"{transform}: {operation} {attribute}: {why}")
        self.transform = transform
        self.operation = operation
        self.attribute = attribute
        self.why = why
