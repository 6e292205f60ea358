"""What answers the box's own routes, one method each, and the seam to the control plane."""

from __future__ import annotations

import asyncio
import dataclasses
import grp
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec

from capacitord.api import messages as m
from capacitord.api.preflight import RunPreflight
from capacitord.api.routes import Route
from capacitord.api.staying import staying, waiting
from capacitord.api.worklist import NameEntry
from capacitord.config.box import Box
from capacitord.config.in_force import in_force
from capacitord.errors import Ambiguous, CapacitordError, Locked, NotFound, TryAgain
from capacitord.model.destination import Destination
from capacitord.supervisor import doctor, left_behind, location_answers, naming, relay, scanner_checks, settings, status
from capacitord.supervisor.audit import AuditLog
from capacitord.supervisor.bounds import Bounds
from capacitord.supervisor.brokerage import worklist_source
from capacitord.supervisor.deeds import Deeds
from capacitord.supervisor.peers import Peer
from capacitord.supervisor.port import Port
from capacitord.supervisor.profile_answers import ProfileAnswers
from capacitord.supervisor.scanners import Scanners
from capacitord.supervisor.services import Entry, Outcome
from capacitord.supervisor.serving import Serving
from capacitord.supervisor.sites import Sites
from capacitord.supervisor.whereabouts import Whereabouts

_NO_PROFILE: Final = "no site profile is imported, so there is nothing to ask"
_DEPARTURE: Final = "site.departure"
_NO_SITE: Final = "no site is active, and studies, queues and destinations are those of the active site"


def schema(route: str) -> str:
    """Return the name of a route's answer."""
    return f"fluxctl.{route}/1"


class BoxAnswers:
    """The daemon as the control plane sees it."""

    def __init__(
        self, box: Box, bounds: Bounds, serving: Serving, audit: AuditLog, *, deeds: Deeds, whereabouts: Whereabouts
    ) -> None:
        self._box = box
        self._bounds = bounds
        self._serving = serving
        self._audit = audit
        self._deeds = deeds
        self._whereabouts = whereabouts
        self.sites = Sites(serving)
        self._started = datetime.now(UTC)
        self._key_warning = ("", "")
        self._scanners = Scanners(serving)
        self._profiles = ProfileAnswers(serving, self.sites, schema)
        self._handlers: Mapping[str, Callable[[Peer, Any], Awaitable[Outcome]]] = {
            "audit.show": self._audit_show,
            "audit.verify": self._audit_verify,
            "doctor.check": self._doctor_check,
            "key.export": self._key_export,
            "key.init": self._key_init,
            "key.restore": self._key_restore,
            "key.rotate": self._key_rotate,
            "key.status": self._key_status,
            "key.unlock": self._key_unlock,
            "site.location": self._location,
            "status": self._status,
            **self._profiles.handlers,
            "geofence.list": self._geofence_list,
        }

    # --- what the control plane asks for

    async def answer(self, route: Route, peer: Peer, request: Any) -> Outcome:
        """See `services.Services`."""
        return await self._handlers[route.name](peer, request)

    @asynccontextmanager
    async def events(self, query: m.EventQuery) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `services.Services`."""
        with self._serving.hub.watch() as watcher:

            async def lines() -> AsyncGenerator[bytes, None]:
                loop = asyncio.get_running_loop()
                due = loop.time()
                while not watcher.closed:
                    for note in watcher.take():
                        yield msgspec.json.encode(note) + b"\n"
                    if loop.time() >= due:
                        now = await self.status()
                        yield msgspec.json.encode(m.StatusEvent(now.now, now)) + b"\n"
                        due = loop.time() + query.interval
                    await watcher.wait(due - loop.time())

            async with aclosing(lines()) as stream:
                yield stream

    def ask_site(
        self, route: Route, peer: Peer, request: Any, gone: Callable[[], bool], deed: str = ""
    ) -> AbstractAsyncContextManager[relay.Answer]:
        """See `services.Services`."""
        if route.name == _DEPARTURE and self._is_idle:
            return self._left_behind(route)
        self._demand_site()
        return relay.ask(self._serving.keeper, route, request, peer, self._bounds, gone=gone, deed=deed)

    def ask_scanners(
        self, request: RunPreflight, gone: Callable[[], bool], note: Callable[[str], None]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See `services.Services`."""
        return self._scanners.ask(request, gone, note)

    async def name_study(self, peer: Peer, reference: str, gone: Callable[[], bool], said: str) -> str:
        """See `services.Services`."""
        self._demand_site()
        return await naming.short_id(self._serving.keeper, m.NameStudy(reference, said), peer, self._bounds, gone=gone)

    async def name_entry(self, peer: Peer, reference: str, gone: Callable[[], bool], said: str) -> str:
        """See `services.Services`."""
        self._demand_site()
        return await naming.short_id(self._serving.keeper, NameEntry(reference, said), peer, self._bounds, gone=gone)

    async def write_audit(self, peer: Peer, entry: Entry) -> None:
        """See `services.Services`."""
        action, subjects, detail, result, deed = entry
        write = partial(self._audit.write, peer.uid, peer.user, action)
        with self._deeds.apart(deed, result):
            await asyncio.to_thread(write, subjects=subjects, detail=detail, result=result, deed=deed)

    # --- the routes

    async def status(self) -> m.Status:
        """Return the status as of now."""
        serving, gatekeeper = self._serving, self._serving.gatekeeper
        traffic = await serving.reporter.traffic()
        draining = {each.site: each for each in serving.drains.shown()}
        box = status.Box(
            started=self._started,
            gate=gatekeeper.gate,
            listener=_listener(gatekeeper.storage, self._box.storage.ae_title),
            worklist=self._worklist(),
            worklist_problem=gatekeeper.worklist.problem,
            runtime=serving.keeper.status,
            profile=None if serving.stored is None else serving.stored.profile,
            audit_trouble=self._audit.trouble,
            audit_behind=self._deeds.problem,
            key_warning=self._key_warning,
            unsaved=serving.keys.unsaved,
            failing=serving.reporter.failing,
            damaged=self._damaged(),
            held_elsewhere=sum(held.held_images for held in serving.elsewhere.values()),
            elsewhere={
                site: waiting(held) if site in draining else staying(held) for site, held in serving.elsewhere.items()
            },
            draining=tuple(draining.values()),
            chosen=serving.choice.chosen,
            override=serving.override,
            location=location_answers.line(self._whereabouts) if self._whereabouts.follows else None,
            location_advice=tuple(location_answers.advice(self._whereabouts, serving.choice, is_open=serving.is_open)),
        )
        return status.compose(schema("status"), box, traffic)

    async def _status(self, _peer: Peer, _request: m.Empty) -> Outcome:
        return Outcome(await self.status())

    async def _geofence_list(self, peer: Peer, request: m.Empty) -> Outcome:
        outcome = await self._profiles.handlers["geofence.list"](peer, request)
        here = location_answers.position(self._whereabouts)
        leave_after = self._box.location.leave_after
        answer = msgspec.structs.replace(outcome.answer, position=here, leave_after=leave_after)
        return msgspec.structs.replace(outcome, answer=answer)

    async def _location(self, _peer: Peer, _request: m.Empty) -> Outcome:
        return Outcome(location_answers.report(schema("site.location"), self._whereabouts))

    async def _audit_show(self, peer: Peer, request: m.AuditQuery) -> Outcome:
        unnamed: CapacitordError | None = None
        if request.study:
            try:
                short = await self._short_id_soon(peer, request.study)
                request = msgspec.structs.replace(request, study=short)
            except CapacitordError as error:
                # It may be a study of another site, or one that is forgotten here: the log knows short ids by itself.
                unnamed = error
        entries, cut_short = await asyncio.to_thread(self._audit.told, request)
        if unnamed is not None and not entries:
            raise _not_in_log(unnamed)
        return Outcome(m.AuditList(schema("audit.show"), entries, cut_short))

    async def _short_id_soon(self, peer: Peer, reference: str) -> str:
        """Do as `name_study` for somebody who wants to read only: if it takes long, it is not needed."""
        self._demand_site()
        bounds = dataclasses.replace(self._bounds, call_head=self._bounds.status_answer)
        return await naming.short_id(self._serving.keeper, m.NameStudy(reference), peer, bounds, gone=lambda: False)

    async def _audit_verify(self, _peer: Peer, _request: m.Empty) -> Outcome:
        report = await asyncio.to_thread(self._audit.verify, schema("audit.verify"))
        problem = self._serving.keys.problem
        if report.reason == Locked.reference and problem is not None and problem.hint:
            # The key may be away because there is none yet, or because it is the wrong one.
            report = msgspec.structs.replace(report, hint=problem.hint)
        return Outcome(report)

    async def _key_init(self, _peer: Peer, request: m.KeyInit) -> Outcome:
        now = await self._serving.keys.init(request)
        self._serving.consider()
        return self._keys("key.init", now, f"box key {now.id} from a {now.source}")

    async def _key_unlock(self, _peer: Peer, request: m.KeyUnlock) -> Outcome:
        now = await self._serving.keys.unlock(request.passphrase.value)
        self._serving.consider()
        return self._keys("key.unlock", now, f"box key {now.id}")

    async def _key_rotate(self, _peer: Peer, request: m.KeyRotate) -> Outcome:
        now = await self._serving.keys.rotate(request)
        return self._keys("key.rotate", now, f"box key {now.id}, generation {now.generation}")

    async def _key_restore(self, _peer: Peer, request: m.KeyRestore) -> Outcome:
        # Before there are keys: with them, its scanners could send for a site without having been asked.
        await self._serving.clearing.take_over()
        now, restored = await self._serving.keys.restore(request)
        self._serving.consider()
        outcome = self._keys("key.restore", now, f"box key {now.id}, {len(restored)} site keys from a recovery file")
        return msgspec.structs.replace(outcome, subjects=restored)

    async def _key_status(self, _peer: Peer, _request: m.Empty) -> Outcome:
        return self._keys("key.status", await self._serving.keys.status(), "")

    async def _key_export(self, _peer: Peer, request: m.KeyExport) -> Outcome:
        exported = await self._serving.keys.export(request, schema("key.export"))
        return Outcome(exported, (), "all keys left the box in a recovery file")

    async def _doctor_check(self, _peer: Peer, _request: m.Empty) -> Outcome:
        checks = await self._checks()
        return Outcome(m.DoctorReport(schema("doctor.check"), tuple(checks)))

    # --- what they need

    def _worklist(self) -> m.Listener | None:
        """Return the worklist port of the site that is served; None if it has none."""
        stored = self._serving.stored
        if stored is None or stored.profile.worklist is None:
            return None
        return _listener(self._serving.gatekeeper.worklist, settings.worklist(self._box).ae_title)

    def _damaged(self) -> tuple[m.DamagedProfile, ...]:
        """Return the damaged profiles that the gate does not speak of already."""
        serving = self._serving
        told = serving.site if serving.profile_problem is not None else ""
        return tuple(each for site, each in sorted(dict(serving.profiles.damage).items()) if site != told)

    def _keys(self, route: str, now: m.KeyStatus, detail: str) -> Outcome:
        self._key_warning = ("", "") if now.locked or not now.reason else (now.reason, now.hint)
        return Outcome(msgspec.structs.replace(now, schema=schema(route)), now.sites, detail)

    def _demand_site(self) -> None:
        serving = self._serving
        if serving.profile_problem is not None:
            problem = serving.profile_problem
            raise TryAgain(problem.message, where=problem.where, hint=problem.hint)
        if serving.stored is None and serving.others:
            hint = "Activate the site that you want to see: fluxctl site list, then fluxctl site activate SITE"
            raise NotFound(_NO_SITE, hint=hint)
        if serving.stored is None:
            raise NotFound(_NO_PROFILE, hint="Import one: fluxctl profile import FILE")
        if serving.keys.problem is not None:
            raise Locked(serving.keys.problem.message, hint=serving.keys.problem.hint)

    @property
    def _is_idle(self) -> bool:
        """Whether the box has sites, and none of them is active."""
        serving = self._serving
        return serving.stored is None and serving.profile_problem is None and serving.others > 0

    @asynccontextmanager
    async def _left_behind(self, route: Route) -> AsyncIterator[relay.Answer]:
        """Give the answer that no runtime can, as none runs for a site that is active."""
        entries = (await self.sites.list(schema("site.list"))).sites
        empty = await left_behind.without_spool(self._serving.provision, entries)
        answer = left_behind.departure(schema(route.name), datetime.now(UTC), entries, empty)
        yield relay.whole(msgspec.json.encode(answer))

    async def _checks(self) -> list[m.Check]:
        serving, state = self._serving, self._box.state
        limits = settings.limits(self._box.spool, await asyncio.to_thread(doctor.total, state))
        await serving.look_around()
        known: tuple[Destination, ...] = ()
        parked = serving.choice.parked is not None
        source: tuple[Destination, ...] = ()
        try:
            profile = doctor.profile("", others=serving.others, parked=parked)
            if serving.site:
                stored = await asyncio.to_thread(serving.profiles.read, serving.site)
                profile = doctor.profile(f"{stored.profile.id} version {stored.profile.version}")
                acting = in_force(stored.profile)
                known = acting.destinations
                source = () if acting.worklist is None else (worklist_source(acting.worklist),)
        except CapacitordError as error:
            profile = doctor.profile("", error.problem())
        try:
            keys = doctor.keys(await serving.keys.status())
        except CapacitordError as error:
            keys = doctor.keys(error)
        last: m.AuditEntry | None = None
        try:
            last = next(iter(await asyncio.to_thread(self._audit.show, m.AuditQuery(limit=1))), None)
            audit = doctor.audit(await asyncio.to_thread(self._audit.verify, schema("audit.verify")))
        except CapacitordError as error:
            audit = doctor.audit(error)
        reached, sources, scanners = await asyncio.gather(
            doctor.destinations(known, settings.own_ports(self._box)),
            doctor.worklist(source),
            scanner_checks.look(
                self._box,
                serving.prober,
                changes_sites=bool(serving.others),
                awaited=bool(serving.clearing.awaited),
            ),
        )
        now = await self.status()
        served = serving.stored is not None
        return [
            doctor.groups(self._box, missing_groups(self._box)),
            doctor.control_socket(self._box.socket),
            doctor.folders(state),
            doctor.disk(state, limits),
            doctor.clock(last, datetime.now(UTC)),
            *keys,
            profile,
            audit,
            doctor.runtime(now.runtime, parked=parked),
            doctor.isolation(now.runtime, now.draining),
            doctor.gate(now.gate, now.listener),
            *doctor.draining(now.draining),
            *([doctor.images(now.traffic, await asyncio.to_thread(doctor.set_aside, state))] if served else []),
            *reached,
            *doctor.queues(now.traffic),
            *sources,
            *scanners,
            *doctor.advised(now),
        ]


def _not_in_log(unnamed: CapacitordError) -> NotFound:
    """Return what to say of a study that the log does not name, and that could not be found by its name for a reason.

    The study as it was given is not repeated: it may be an accession number.
    """
    if isinstance(unnamed, Ambiguous):
        return unnamed
    if isinstance(unnamed, NotFound):
        msg = "the active site has no such study, and the audit log names none"
    else:
        msg = f"the audit log names no such study, and the site's runtime can't be asked: {unnamed.message}"
    return NotFound(msg, hint="Give its short id: the log has studies by that only, those of other sites too.")


def _listener(port: Port, ae_title: str) -> m.Listener:
    return m.Listener(ae_title, port.address, port.port, port.bound)


def missing_groups(box: Box) -> tuple[str, ...]:
    """Return the groups of the configuration that do not exist."""
    return tuple(name for name in (*box.control.read_groups, *box.control.operate_groups) if not _exists(name))


def _exists(group: str) -> bool:
    try:
        grp.getgrnam(group)
    except KeyError:
        return False
    return True
