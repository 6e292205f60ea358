"""Looks at everything the box depends on, and says what to do about what is wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from capacitord.api.draining import told
from capacitord.api.messages import (
    AuditEntry,
    AuditReport,
    Check,
    DestinationStatus,
    Draining,
    DrainState,
    Gate,
    KeyStatus,
    Level,
    Listener,
    Runtime,
    RuntimeState,
    SiteStatus,
    Status,
)
from capacitord.config.box import Box
from capacitord.config.units import format_size
from capacitord.errors import CapacitordError, Locked, Problem
from capacitord.link.messages import SpoolSettings
from capacitord.model.destination import Destination
from capacitord.supervisor.broker import connect
from capacitord.supervisor.recovery_note import HINT
from capacitord.supervisor.status import exposed, exposed_drains

_WRITTEN: Final = datetime(2025, 1, 1, tzinfo=UTC)
_PATIENCE: Final = 5.0
_LOOKED_AT: Final = frozenset(
    {"audit-damaged", "corrupt", "disk-reserve", "drain-stuck", "disk-warning", "keys", "not-isolated", "recovery-file"}
)
"""Advice of the status that has a check of its own here."""


def folders(state: Path) -> Check:
    """Look at who may enter the state folder."""
    found = state.stat()
    if found.st_uid == os.geteuid() and not found.st_mode & 0o077:
        return Check("state folder", Level.OK, f"{state} is private")
    words = f"{state} belongs to uid {found.st_uid} and has mode {stat.S_IMODE(found.st_mode):04o}"
    return Check("state folder", Level.FAILURE, words, f"chown {os.geteuid()} {state}; chmod 700 {state}")


def control_socket(path: Path) -> Check:
    """Look at whether the control socket is where people look for it."""
    try:
        there = stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        there = False
    if there:
        return Check("control socket", Level.OK, f"{path} takes requests")
    words = f"{path} is gone: new requests do not find this daemon"
    return Check("control socket", Level.FAILURE, words, "Start it again: systemctl restart capacitord")


def total(state: Path) -> int:
    """Return the size of the state folder's disk, in bytes."""
    return shutil.disk_usage(state).total


def disk(state: Path, limits: SpoolSettings) -> Check:
    """Look at the room on the disk."""
    free = shutil.disk_usage(state).free
    words = f"{_readable(free)} are free; images are refused below {_readable(limits.reserve)}"
    if free < limits.reserve:
        return Check("disk", Level.FAILURE, words, "Deliver or discard studies, or make room.")
    if free < limits.warning:
        return Check("disk", Level.WARNING, words, "See what waits: fluxctl queue list")
    return Check("disk", Level.OK, words)


def clock(last: AuditEntry | None, now: datetime) -> Check:
    """Look at whether the clock can be right: never before this program, nor before what it has written."""
    bound = max(_WRITTEN, last.at) if last is not None else _WRITTEN
    if now < bound:
        words = f"the clock says {now:%Y-%m-%d %H:%M:%S} UTC, and that is before {bound:%Y-%m-%d %H:%M:%S}"
        return Check("clock", Level.FAILURE, words, "Set it: timedatectl set-ntp true")
    return Check("clock", Level.OK, f"{now:%Y-%m-%d %H:%M:%S} UTC is later than all this box has written")


def keys(status: KeyStatus | CapacitordError) -> list[Check]:
    """Look at the keys; an error is what came of asking for their state. What is well takes one line."""
    if isinstance(status, CapacitordError):
        return [Check("keys", Level.FAILURE, status.message, status.hint)]
    return [_box_key(status), *_trouble_with_keys(status)]


def _box_key(status: KeyStatus) -> Check:
    if status.locked:
        return Check("keys", Level.FAILURE, status.reason or "the box key is locked", status.hint)
    count = len(status.sites)
    words = f"box key {status.id} is unlocked, for {count} {'site' if count == 1 else 'sites'}"
    return Check("keys", Level.OK, words)


def _trouble_with_keys(status: KeyStatus) -> Iterator[Check]:
    if status.damaged:
        words = f"the keys of {', '.join(status.damaged)} do not open, so nor do their images"
        hint = "Put them back from the recovery file: fluxctl key restore FILE"
        yield Check("site keys", Level.FAILURE, words, hint)
    if status.leftovers:
        words = f"an interrupted change of the keys left {', '.join(status.leftovers)}"
        hint = "It is cleared away when the keys are unlocked next: sudo systemctl restart capacitord"
        yield Check("key leftovers", Level.WARNING, words, hint)
    if status.credential_pending:
        words = "the service still has the credential from before the rotation"
        hint = "Install the new credential; then: sudo systemctl restart capacitord"
        yield Check("credential", Level.WARNING, words, hint)
    if status.unsaved:
        yield Check("recovery file", Level.WARNING, status.unsaved, HINT)


def profile(active: str, problem: Problem | None = None, *, others: int = 0, parked: bool = False) -> Check:
    """Look at the profile that is served; `active` names it if it was read back whole.

    `others` counts the sites that could be served instead. `parked` says that somebody wants none to be served.
    """
    if problem is not None:
        return Check("profile", Level.FAILURE, problem.message, problem.hint)
    if parked:
        return Check("profile", Level.OK, "no site is active, as the box is parked")
    if not active and others:
        hint = "Choose one: fluxctl site list, then fluxctl site activate SITE"
        return Check("profile", Level.WARNING, "no site is active", hint)
    if not active:
        return Check("profile", Level.WARNING, "no site profile is imported", "fluxctl profile import FILE")
    return Check("profile", Level.OK, f"{active} is as it was imported")


def audit(report: AuditReport | CapacitordError) -> Check:
    """Look at the audit log."""
    if isinstance(report, CapacitordError):
        return Check("audit log", Level.FAILURE, report.message, report.hint)
    if report.reason == Locked.reference:
        return Check("audit log", Level.WARNING, report.message, report.hint)
    return Check("audit log", Level.OK if report.ok else Level.FAILURE, report.message, report.hint)


def runtime(now: Runtime, *, parked: bool = False) -> Check:
    """Look at the process that serves the site; `parked` says that somebody wants none to be served."""
    if now.state is RuntimeState.RUNNING:
        return Check("runtime", Level.OK, f"process {now.pid} runs; {now.restarts} restarts")
    if parked and now.state is RuntimeState.ABSENT:
        return Check("runtime", Level.OK, "none runs, as the box is parked")
    words = f"it is {now.state}" + (f": {now.reason}" if now.reason else "")
    level = Level.FAILURE if now.reason else Level.WARNING
    return Check("runtime", level, words, "See what the gate waits for: fluxctl status")


def gate(now: Gate, listener: Listener) -> Check:
    """Look at whether the scanner can send. That somebody has parked the box is worth a word, and nothing is broken."""
    if now.may_scan:
        return Check("gate", Level.OK, f"{listener.ae_title} takes images on {listener.address} port {listener.port}")
    if now.parked is not None:
        why = f": {now.parked.reason}" if now.parked.reason else ""
        return Check("gate", Level.WARNING, f"{now.reason}{why}", now.hint)
    return Check("gate", Level.FAILURE, f"{now.state}: {now.reason}", now.hint)


def draining(found: Iterable[Draining]) -> list[Check]:
    """Look at the sites that the box has left and whose images go on leaving."""
    return [
        Check(
            f"draining {each.site}",
            Level.OK if each.state is DrainState.DRAINING else Level.WARNING,
            told(each) + (f": {each.reason}" if each.reason else ""),
            each.hint,
        )
        for each in found
    ]


def isolation(now: Runtime, draining: Sequence[Draining] = ()) -> Check:
    """Look at whether the processes that serve sites are kept apart from the rest of the machine."""
    if now.exposed:
        return Check("isolation", Level.WARNING, exposed(now), now.hint)
    for words in exposed_drains(draining):
        return Check("isolation", Level.WARNING, words, "It is tried again with its next start.")
    drains = any(each.isolated for each in draining)
    if now.isolated:
        more = ", and so is what delivers the rest of other sites" if drains else ""
        return Check("isolation", Level.OK, f"the site's runtime is in a container{more}")
    if drains:
        return Check("isolation", Level.OK, "what delivers the rest of sites that were left is in containers")
    return Check("isolation", Level.OK, "a container can be made; no runtime is in one, as none runs")


def set_aside(state: Path) -> int:
    """Return how many files with what could not be read lie in the sites' `corrupt/`."""
    return sum(1 for _ in state.glob("sites/*/corrupt/*"))


def images(traffic: SiteStatus | None, aside: int) -> Check:
    """Look at what is stored; `aside` files lie in `corrupt/`."""
    if traffic is None:
        return Check("images", Level.WARNING, "nobody tells how the stored images are", "See why: fluxctl status")
    spool = traffic.spool
    if spool.corrupt:
        words = f"{_count(spool.corrupt, 'stored image')} damaged: what there is of them is in corrupt/"
        hint = "Send these studies from the scanner again, and have the disk looked at (dmesg, SMART)."
        return Check("images", Level.FAILURE, words, hint)
    if aside:
        words = f"none that is stored is known to be damaged; {_count(aside, 'file')} in corrupt/ from before"
        return Check("images", Level.WARNING, words, "Have the disk looked at; move the files away when nobody asks.")
    return Check("images", Level.OK, f"{_count(spool.images, 'image')} stored, none of them known to be damaged")


def queues(traffic: SiteStatus | None) -> list[Check]:
    """Look at whether each destination gets what waits for it."""
    return [] if traffic is None else [_queue(each) for each in traffic.destinations]


def _queue(now: DestinationStatus) -> Check:
    words, hints = [f"{_count(now.waiting_images, 'image')} waiting" if now.waiting_images else "nothing waits"], []
    if now.paused:
        words.append("it is paused")
        hints.append(f"Go on: fluxctl queue resume {now.name}.")
    elif now.reason:
        words.append(now.reason)
        hints.append(f"It is tried again by itself; at once with: fluxctl queue flush {now.name}.")
    if now.refused_images:
        words.append(f"{_count(now.refused_images, 'image')} refused")
    if now.held_images:
        words.append(f"{_count(now.held_images, 'image')} held back by this box")
    if now.refused_images or now.held_images:
        hints.append("Which images and why: fluxctl queue list, then fluxctl queue show STUDY.")
    return Check(f"queue {now.name}", Level.WARNING if hints else Level.OK, "; ".join(words), " ".join(hints))


def advised(status: Status) -> list[Check]:
    """Return what the status advises and no other check has looked at."""
    found = (*status.advice, *(status.traffic.advice if status.traffic else ()))
    return [
        Check(each.reference.replace("-", " "), each.level, each.message, each.hint)
        for each in found
        if each.reference not in _LOOKED_AT
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} is" if number == 1 else f"{number} {noun}s are"


def groups(box: Box, missing: Iterable[str]) -> Check:
    """Look at the groups that the configuration gives permissions to."""
    absent = sorted(missing)
    if absent:
        words = f"there is no group {', '.join(absent)}"
        return Check("groups", Level.WARNING, words, f"sudo groupadd --system {absent[0]}")
    words = f"read: {', '.join(box.control.read_groups)}; operate: {', '.join(box.control.operate_groups)}"
    return Check("groups", Level.OK, words)


async def destinations(known: Iterable[Destination], own_ports: Collection[int]) -> list[Check]:
    """Try a TCP connection to each destination, all at once; no DICOM is spoken. `own_ports` as in `broker.connect`."""
    return list(await asyncio.gather(*(_destination(each, own_ports) for each in known)))


async def worklist(sources: Iterable[Destination]) -> list[Check]:
    """Try a TCP connection to the source of the worklist, if there is one."""
    hint = "Check the network of the coach and the profile; then: fluxctl worklist refresh"
    return [await _reached("worklist source", each, hint) for each in sources]


async def _destination(known: Destination, own_ports: Collection[int]) -> Check:
    return await _reached(f"destination {known.name}", known, _network(known), own_ports)


async def _reached(name: str, known: Destination, hint: str, own_ports: Collection[int] = ()) -> Check:
    where = f"{known.host} port {known.port}"
    try:
        async with asyncio.timeout(_PATIENCE):
            made = await connect(known, own_ports=own_ports)
    except TimeoutError:
        return Check(name, Level.FAILURE, f"{where}: no answer within {_PATIENCE:g} s", hint)
    if made.socket is not None:
        made.socket.close()
        return Check(name, Level.OK, f"{where} takes connections ({made.seconds * 1000:.0f} ms)")
    reason = made.failure.reason if made.failure is not None else where
    return Check(name, Level.FAILURE, reason, hint)


def _network(known: Destination) -> str:
    return f"Check the network of the coach and the profile; then: fluxctl destination echo {known.name}"


def _readable(size: int) -> str:
    return format_size(size) if size < 1 << 20 else f"{size / (1 << 20):,.0f} MiB"
