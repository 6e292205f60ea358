"""What `fluxctl doctor` says of the scanners: whether each can be reached, and says what is on it or answers at all.

The probe asks, so that no patient comes to be known here: a scanner's answer is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from capacitord.api.messages import Check, Level
from capacitord.config.box import Box, ModalityTable
from capacitord.link.probe import Heading, Limits, Scanner
from capacitord.model.destination import Destination
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.preflight import NAME_ONE, NO_SCANNER, Checked, Preflight
from capacitord.supervisor import settings

PATIENCE: Final = 5.0
"""Seconds for each wait, and for a scanner's whole answer."""
BOUND: Final = 20.0
"""Seconds for everything that is asked of one scanner; whoever asked the doctor waits for it."""
_OFF: Final = "Switch it on and check its network and [[modality]] in capacitord.toml; then: fluxctl preflight"
_MUTE: Final = (
    "See that it answers queries of this box (its AE title, host and [[modality]] query); then: fluxctl preflight"
)
_NO_ECHO: Final = "Switch it on, and check its network and [[modality]] in capacitord.toml"


class Asker(Protocol):
    """What asks scanners and nodes."""

    async def remains(
        self, scanners: Sequence[Scanner], limits: Limits, heading: Heading = ..., stream: int | None = None
    ) -> Preflight:
        """Ask scanners what is on them."""
        ...

    async def echo(self, node: Destination, calling: str) -> Outcome:
        """Send a C-ECHO."""
        ...


async def look(
    box: Box, asker: Asker, *, changes_sites: bool, awaited: bool = False, bound: float = BOUND
) -> list[Check]:
    """Ask every scanner of the box, all at once: what is on it where the preflight asks, else a C-ECHO.

    `changes_sites` says that the box has another site to go over to, for which the preflight may be needed; `awaited`
    that the box waits for one now.
    """
    limits = Limits(box.preflight.answers, wait=PATIENCE, seconds=PATIENCE)
    asked = {scanner.ae_title: scanner for scanner in settings.scanners(box)}

    async def one(table: ModalityTable) -> Check:
        try:
            async with asyncio.timeout(bound):
                return await looked_at(table)
        except TimeoutError:
            return Check(_name(table), Level.FAILURE, f"{_place(table)}: no answer within {bound:g} s", _OFF)

    async def looked_at(table: ModalityTable) -> Check:
        scanner = asked.get(table.ae_title)
        if scanner is None:
            return echoed(table, await asker.echo(_node(table), _calling(box, table)))
        (found,) = (await asker.remains([scanner], limits)).scanners
        if found.outcome.verdict is Verdict.DONE or found.patients or found.studies:
            return answered(table, found, awaited=awaited)
        return unanswered(table, found, await asker.echo(_node(table), _calling(box, table)))

    checks = await asyncio.gather(*(one(table) for table in box.modality))
    if changes_sites and box.preflight.required and not asked:
        return [*checks, Check("scanners", Level.WARNING, f"{NO_SCANNER} So no other site is opened.", NAME_ONE)]
    return list(checks)


def answered(table: ModalityTable, found: Checked, *, awaited: bool) -> Check:
    """Return what to say of a scanner that named what is on it, if not all.

    That patients are on it is as it should be, unless the box waits for it to be clean.
    """
    well = found.outcome.verdict is Verdict.DONE and (found.clean or not awaited)
    level = Level.OK if well else Level.WARNING
    hint = "" if level is Level.OK else "See what: fluxctl preflight"
    return Check(_name(table), level, f"{_place(table)} answers queries: {found.sentence}", hint)


def unanswered(table: ModalityTable, found: Checked, echo: Outcome) -> Check:
    """Return what to say of a scanner that did not; `echo` is what a C-ECHO came to."""
    why = f"{_place(table)} does not say what is on it: {found.outcome.reason}"
    if echo.verdict is Verdict.DONE:
        return Check(_name(table), Level.FAILURE, f"{why} It answers C-ECHO.", _MUTE)
    return Check(_name(table), Level.FAILURE, why, _OFF)


def echoed(table: ModalityTable, echo: Outcome) -> Check:
    """Return what to say of a scanner that is not asked what is on it."""
    if echo.verdict is Verdict.DONE:
        words = f"{_place(table)} answers C-ECHO; the preflight does not ask it"
        return Check(_name(table), Level.OK, words)
    return Check(_name(table), Level.WARNING, f"{_place(table)}: {echo.reason}", _NO_ECHO)


def _name(table: ModalityTable) -> str:
    return f"scanner {table.ae_title}"


def _place(table: ModalityTable) -> str:
    return f"{table.host} port {table.port}"


def _calling(box: Box, table: ModalityTable) -> str:
    return table.calling_ae_title or box.storage.ae_title


def _node(table: ModalityTable) -> Destination:
    return Destination(
        table.ae_title, table.ae_title, table.host, table.port, connect_timeout=PATIENCE, response_timeout=PATIENCE
    )
