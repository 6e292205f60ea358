"""What scanners say of images they have sent or are going to send."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Named(NamedTuple):
    """An image as it is referred to."""

    sop_class_uid: str
    sop_instance_uid: str


class Doing(enum.Enum):
    """What became of a change to a performed procedure step."""

    DONE = enum.auto()
    KNOWN = enum.auto()
    UNKNOWN = enum.auto()
    OVER = enum.auto()


class Result(NamedTuple):
    """What is reported of a storage commitment request: the images this box stands for, and the others with a reason.

    The reasons are those of Failure Reason (0008,1197) (PS3.3 §C.14).
    """

    committed: tuple[Named, ...]
    failed: tuple[tuple[Named, int], ...]
