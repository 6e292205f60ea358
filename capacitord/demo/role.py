"""How a role is played: orders come in by line, reports go out by line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import BinaryIO, TypeVar

import msgspec

from capacitord.api.demo import Report

_Order = TypeVar("_Order")


class Role:
    """One end of the conversation with whoever started this process."""

    def __init__(self, orders: BinaryIO, reports: BinaryIO) -> None:
        self._orders, self._reports = orders, reports
        self._lock = threading.Lock()

    def orders(self, decoder: msgspec.json.Decoder[_Order]) -> Iterator[_Order]:
        """Yield orders as they come, until there can be no more."""
        for line in self._orders:
            yield decoder.decode(line)

    def report(self, report: Report) -> None:
        """Say something, from any thread."""
        with self._lock:
            self._reports.write(msgspec.json.encode(report) + b"\n")
            self._reports.flush()
