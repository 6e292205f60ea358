"""The runtime's part of the status: put together on request, in a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from capacitord.api import messages as m
from capacitord.dicom.arriving import describe
from capacitord.dicom.worklist.correct import Mishap
from capacitord.dicom.worklist.identity import names_nobody
from capacitord.errors import CapacitordError, Problem
from capacitord.link.messages import StatusReport
from capacitord.site.advice import (
    advice_on,
    advice_on_announced,
    advice_on_awaited,
    advice_on_elsewhere,
    advice_on_failed,
    advice_on_held,
    advice_on_nobody,
    advice_on_refusals,
    advice_on_stranded,
    advice_on_turned_away,
    advice_on_unreadable,
    advice_on_upkeep,
    level_of,
)
from capacitord.site.deliveries import Deliveries
from capacitord.site.port import StoragePort
from capacitord.site.reception import Reception
from capacitord.site.refusals import Lately, turned_away
from capacitord.site.soundness import OF_THE_DISK
from capacitord.site.worklist.keeper import WorklistKeeper
from capacitord.site.worklist.port import WorklistPort
from capacitord.spool.store import Spool

LOG = logging.getLogger(__name__)


class Condition(NamedTuple):
    """What is known without asking the disk: what is wrong now, who was refused lately, and `since` when that is.

    That moment is in nanoseconds since the epoch: what scanners named before it nobody waits for any more.
    """

    trouble: m.Trouble | None
    failing: Problem | None
    profile: Problem | None
    refused: Lately
    since: int


def site_status(
    spool: Spool, deliveries: Deliveries, reception: Reception, port: StoragePort, condition: Condition
) -> m.SiteStatus:
    """Return how the site is doing. Raises what the ledger and the disk raise."""
    away = turned_away(port.refusals(), time.monotonic())
    counts = spool.counts()
    undecided = spool.studies.undecided() if counts.conflicts else []
    space = spool.space.now()
    reserve, warning = spool.space.reserve, spool.space.warning
    level = level_of(space.free, reserve, warning)
    destinations = deliveries.status()
    named = [each.name for each in destinations]
    said = spool.evidence.outstanding(condition.since)
    return m.SiteStatus(
        incoming=tuple(
            m.Incoming(
                view.calling_ae,
                view.peer,
                datetime.fromtimestamp(view.since / 1e9, UTC),
                view.images,
                view.bytes,
                view.refused,
            )
            for view in port.associations()
        ),
        images_received=reception.images,
        bytes_received=reception.bytes,
        last_image=None if reception.last is None else datetime.fromtimestamp(reception.last, UTC),
        spool=m.SpoolStatus(
            studies=counts.studies,
            images=counts.images,
            bytes=counts.bytes,
            undelivered_images=counts.undelivered,
            conflicts=sum(number for _, number in undecided),
            corrupt=counts.corrupt,
            recovered=spool.report.recovered,
            held_images=counts.held,
            unrouted_images=counts.unrouted,
            held_back_images=counts.held_back,
            refused_images=counts.refused,
            missing_images=said.missing,
            announced_studies=said.announced,
            untold_results=len(spool.evidence.unreported()),
        ),
        disk=m.Disk(space.total, space.free, reserve, warning, level),
        destinations=destinations,
        advice=(
            *advice_on(undecided, counts.corrupt, level),
            *advice_on_held(*spool.studies.held_back()),
            *advice_on_failed(spool.studies.failed(), named),
            *advice_on_elsewhere(destinations),
            *advice_on_stranded(spool.studies.stranded(named), deliveries.version),
            *advice_on_refusals(condition.refused),
            *advice_on_turned_away(away),
            # While the disk fails most of this fails with it, and the trouble says so.
            *(() if condition.trouble else advice_on_upkeep(condition.failing, condition.profile)),
        ),
        trouble=condition.trouble,
        refused=condition.refused.for_now,
        unfit=condition.refused.unfit,
        turned_away=away,
    )


def with_worklist(status: m.SiteStatus, keeper: WorklistKeeper, port: WorklistPort, *, matches: bool) -> m.SiteStatus:
    """Return a status with what there is to say of the worklist; `matches` says that studies are matched with it."""
    found = keeper.status()
    if found is None:
        return status
    away = turned_away(port.refusals(), time.monotonic())
    found = msgspec.structs.replace(found, queries=port.queries, last_query=port.last_query, turned_away=away)
    awaited = keeper.awaited if matches else ""
    waiting = status.spool.unrouted_images if awaited else 0
    advice = (
        *status.advice,
        *advice_on_awaited(awaited, waiting),
        *keeper.advice(),
        *advice_on_nobody(entries_of_nobody(keeper)),
        *advice_on_turned_away(away, "worklist"),
    )
    return msgspec.structs.replace(status, worklist=found, advice=advice)


def entries_of_nobody(keeper: WorklistKeeper) -> int:
    """Return how many entries scanners get that name no patient."""
    _, shown = keeper.whole()
    served = (each.corrected for each in shown.values() if each.held.vanished is None)
    return sum(each.mishap is not Mishap.WITHHELD and names_nobody(each.entry) for each in served)


def with_announced(status: m.SiteStatus, spool: Spool, quiet: float) -> m.SiteStatus:
    """Return a status with what there is to say of studies that were announced `quiet` seconds ago and did not come."""
    found = advice_on_announced(spool.evidence.announced(), time.time_ns(), quiet)
    return msgspec.structs.replace(status, advice=(*status.advice, *found))


class Reporter:
    """Answers requests for the status, those that came meanwhile with one look.

    `doubt` is called when the disk kept the status from being read; `condition` is known all the same.
    """

    def __init__(
        self,
        look: Callable[[], m.SiteStatus],
        send: Callable[[StatusReport], object],
        *,
        doubt: Callable[[], None],
        condition: Callable[[], Condition],
    ) -> None:
        self._look, self._send, self._doubt, self._condition = look, send, doubt, condition
        self._requests: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._last: m.SiteStatus | None = None
        self._read_at = 0.0
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)
        self._thread.start()

    def ask(self, request: int) -> None:
        """Have a request answered."""
        self._requests.put(request)

    def stop(self) -> None:
        """Answer no more."""
        self._requests.put(None)

    def _run(self) -> None:
        while True:
            requests = [self._requests.get()]
            while not self._requests.empty():
                requests.append(self._requests.get())
            if None in requests:
                return
            try:
                self._answer([request for request in requests if request is not None])
            except Exception as error:  # noqa: BLE001 - whoever asks next is to get an answer
                LOG.error("The status was not told: an unforeseen error (%s)", describe(error))  # noqa: TRY400

    def _answer(self, requests: list[int]) -> None:
        status = self._status()
        if status is not None:
            report = msgspec.Raw(msgspec.json.encode(status))
            for request in requests:
                self._send(StatusReport(request, report))

    def _status(self) -> m.SiteStatus | None:
        """Return the status; if it cannot be read now, the last one with a word about that."""
        try:
            self._last, self._read_at = self._look(), time.time()
        except CapacitordError as error:
            words, hint = error.message, error.hint
            if isinstance(error, OF_THE_DISK):
                self._doubt()
        except Exception as error:  # noqa: BLE001 - whoever asks next is to get an answer
            words, hint = f"an unforeseen error ({describe(error)})", ""
        else:
            return self._last
        LOG.error("The status cannot be read: %s", words)
        if self._last is None:
            return None
        condition, age = self._condition(), max(0.0, time.time() - self._read_at)
        return msgspec.structs.replace(
            self._last,
            as_of=datetime.fromtimestamp(self._read_at, UTC),
            trouble=condition.trouble,
            refused=condition.refused.for_now,
            unfit=condition.refused.unfit,
            advice=(*self._last.advice, advice_on_unreadable(words, hint, age)),
        )
