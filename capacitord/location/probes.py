"""Asking others: an endpoint that listens and may have to show a certificate, and a node that answers a C-ECHO.

Whoever does not answer says nothing; whoever shows another certificate than the pinned one speaks against the site.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

import msgspec

from capacitord.location.connecting import Resolve, connect
from capacitord.location.evidence import Observation, Polled, Unseen
from capacitord.model.location import Kind, Says, Wanted
from capacitord.model.outcome import Outcome, Verdict

WITHIN: Final = 5.0
"""Seconds an answer may take."""
_AT_ONCE: Final = 16
_EVERY: Final = 10.0

Echo = Callable[[Wanted], Awaitable[Outcome]]
"""Sends a C-ECHO to a node (`host`, `port`, `ae_title`) and says what came of it."""


class Probed(msgspec.Struct, frozen=True):
    """What somebody's answer says of a site."""

    says: Says


async def endpoint(resolve: Resolve, wanted: Wanted) -> tuple[Probed, str]:
    """Connect to an endpoint, and compare its certificate if there is one to compare with.

    Raises `OSError` or `Unseen` if that does not work out. The certificate's owner has proven in the handshake that it
    has the key; who signed it, until when it is valid and for which name does not matter: it is that one or it is not.
    """
    pinned = wanted.certificate_sha256
    context = _context() if pinned else None
    try:
        _, writer = await connect(resolve, wanted.host, wanted.port, context)
    except ssl.SSLError as error:
        raise Unseen(f"it shows no certificate ({error.reason or 'no TLS'})") from None
    try:
        if not pinned:
            return Probed(Says.FOR), "it listens"
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        digest = hashlib.sha256(found).hexdigest()
        if hmac.compare_digest(digest, pinned):
            return Probed(Says.FOR), f"it shows the certificate {_short(digest)}"
        words = f"it shows another certificate: {_short(digest)}, and not {_short(pinned)}"
        return Probed(Says.AGAINST), words
    finally:
        writer.transport.abort()


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _short(digest: str) -> str:
    return f"{digest[:16]}…"


async def echoed(echo: Echo, wanted: Wanted) -> tuple[Probed, str]:
    """Have a node asked by a C-ECHO. Raises `Unseen` unless it answers with success."""
    outcome = await echo(wanted)
    if outcome.verdict not in {Verdict.DONE, Verdict.DONE_WITH_WARNING}:
        raise Unseen(outcome.reason)
    return Probed(Says.FOR), "it answers a C-ECHO"


async def cannot_echo(_wanted: Wanted) -> Outcome:
    """Say that nobody here sends a C-ECHO: the answer of a box without a process for it."""
    return Outcome(Verdict.LATER, "nothing on this box sends a C-ECHO to find out where it is")


class Probes:
    """One source of evidence for each node and endpoint that a profile names, asked in turn, in the background."""

    def __init__(
        self, resolve: Resolve, echo: Echo = cannot_echo, *, every: float = _EVERY, within: float = WITHIN
    ) -> None:
        self._resolve = resolve
        self._echo = echo
        self._every = every
        self._within = within
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._plugs: dict[Wanted, Polled[Probed]] = {}
        self._tasks: dict[Wanted, asyncio.Task[None]] = {}

    def take(self, wanted: Iterable[Wanted]) -> None:
        """Ask these from now on, and no others. Needs a running event loop."""
        asked = {each for each in wanted if each.kind in {Kind.ECHO, Kind.ENDPOINT}}
        for each in self._plugs.keys() - asked:
            self._tasks.pop(each).cancel()
            del self._plugs[each]
        for each in asked - self._plugs.keys():
            asks = partial(endpoint, self._resolve) if each.kind is Kind.ENDPOINT else partial(echoed, self._echo)
            look = partial(asks, each)
            plug: Polled[Probed] = Polled(look, every=self._every, within=self._within, turns=self._turns)
            self._plugs[each] = plug
            self._tasks[each] = asyncio.create_task(plug.watch())

    def latest(self, wanted: Wanted) -> Observation[Probed]:
        """Return what is known of one of them."""
        plug = self._plugs.get(wanted)
        return Observation(problem="nobody asks it") if plug is None else plug.latest

    @property
    def are_asked(self) -> bool:
        """Whether each of them was asked once, whatever came of it."""
        return all(plug.is_asked for plug in self._plugs.values())

    async def stop(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._tasks.values())
        self.take(())
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
