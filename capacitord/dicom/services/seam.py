"""The seam between these services and whatever keeps what scanners say: handlers call, the site's spool answers.

Everything that is told is durable when the call returns. Calls may raise a `CapacitordError`: then the scanner is told
that its request could not be processed, and it tries again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from capacitord.model.evidence import Doing, Named, Result


class ReportChannel(Protocol):
    """An open association over which the result of a storage commitment request may be reported."""

    @property
    def calling_ae(self) -> str:
        """The AE title of whoever opened it."""

    @property
    def is_open(self) -> bool:
        """Whether it is still open."""

    def report(self, transaction_uid: str, result: Result) -> bool:
        """Report a result; return whether the other side took it."""


class Notices(Protocol):
    """What takes notice of what scanners say."""

    def step_began(self, uid: str, studies: Sequence[str], calling_ae: str) -> Doing:
        """Keep a new performed procedure step for these studies."""

    def step_changed(self, uid: str, images: Sequence[Named] | None, *, over: bool) -> Doing:
        """Keep what a step says now; see `spool.evidence.Evidence.step_changed`."""

    def commitment_asked(
        self, transaction_uid: str, images: Sequence[Named], calling_ae: str, called_ae: str, channel: ReportChannel
    ) -> None:
        """Keep a storage commitment request, whose result is to be reported soon, over `channel` or otherwise."""

    def channel_opened(self, channel: ReportChannel) -> None:
        """Take notice of an association over which results may be reported that were not before."""
