"""What people do to the sites of a box: import and roll back their profiles, choose which is served, remove one.

One of these at a time. None of it stops half way because whoever asked has hung up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from capacitord.api import messages as m
from capacitord.api.staying import staying
from capacitord.errors import CapacitordError, DamagedObject, Refused
from capacitord.supervisor import importing, looking
from capacitord.supervisor.active_site import Choice
from capacitord.supervisor.peers import Peer
from capacitord.supervisor.profile_folder import Held
from capacitord.supervisor.serving import Serving, held_of, is_empty

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class Sites:
    """The sites of one box, one of which may be served."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._store = serving.profiles
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def import_profiles(self, request: m.ProfileImport, user: str) -> m.ProfileImported:
        """Check and keep profiles, and have the runtime act on its own. Raises `Invalid` or `Refused`.

        The first site that a box gets is served at once; of several that come together, none is.
        """
        return await self._alone(self._import(request, user))

    async def _import(self, request: m.ProfileImport, user: str) -> m.ProfileImported:
        serving, store = self._serving, self._store
        active = "" if request.dry_run else serving.site
        checked = await asyncio.to_thread(importing.check, store, request, user, active)
        if serving.site in {candidate.profile.id for candidate in checked.candidates}:
            checked = importing.with_stranded(checked, serving.site, await serving.reporter.traffic())
        if request.dry_run:
            return checked.answer
        first = await asyncio.to_thread(self._is_first)
        if first and len(checked.candidates) > 1:
            # Of several nobody has said which one: written down first, as a lone profile without a record is served.
            await asyncio.to_thread(serving.chosen.write, Choice(""))
        try:
            await asyncio.to_thread(importing.put, store, checked, user)
        except CapacitordError:
            await self._catch_up()
            raise
        taken = [candidate.profile.id for candidate in checked.candidates]
        for each in (checked.answer, *checked.answer.others):
            if not each.unchanged:
                said = f"version {each.version} of {each.id} is in force"
                serving.hub.say("profile-imported", said)
                _log.info("Version %d of the profile of %s is in force.", each.version, each.id)
        answer = checked.answer
        if first and len(taken) == 1:
            await serving.go_over(taken[0], await asyncio.to_thread(store.read, taken[0]))
            answer = msgspec.structs.replace(answer, active=True)
        elif serving.site in taken:
            serving.take(await asyncio.to_thread(store.read, serving.site))
        await serving.look_around()
        serving.consider()
        return msgspec.structs.replace(answer, active_site=serving.site)

    async def _catch_up(self) -> None:
        """Have the runtime act on the version that is in force, after a change that was cut short."""
        serving = self._serving
        if not serving.site:
            return
        with contextlib.suppress(CapacitordError):
            stored = await asyncio.to_thread(self._store.read, serving.site)
            if stored != serving.stored:
                serving.take(stored)

    def _is_first(self) -> bool:
        try:
            return self._serving.chosen.read() is None and not self._store.sites()
        except DamagedObject:
            return False

    async def rollback(self, request: m.ProfileRollback, user: str) -> m.ProfileSummary:
        """Put an earlier version in force. Raises `NotFound`, `DamagedObject`, or `Refused` if it is in force."""
        return await self._alone(self._rollback(request, user))

    async def _rollback(self, request: m.ProfileRollback, user: str) -> m.ProfileSummary:
        serving, store, site = self._serving, self._store, request.profile
        version = request.version
        if version is None:
            version = await asyncio.to_thread(store.before, site)
        stored = await asyncio.to_thread(store.read, site, version)
        if await asyncio.to_thread(store.in_force, site) == version:
            msg = f"version {version} of {site} is in force already"
            raise Refused(msg, hint=f"See which there are: fluxctl profile history {site}")
        try:
            await asyncio.to_thread(store.enforce, site, version, user, m.How.ROLLBACK, request.reason)
        except CapacitordError as error:
            await self._catch_up()
            await self._tell_half_way(error, site)
            raise
        serving.hub.say("profile-rollback", f"version {version} of {site} is in force again")
        _log.info("Version %d of the profile of %s is in force again.", version, site)
        if site == serving.site:
            serving.take(stored)
        await serving.look_around()
        return stored.summary(active=site == serving.site)

    async def _tell_half_way(self, error: CapacitordError, site: str) -> None:
        """Have an error say which version of a site is in force after all."""
        now = await asyncio.to_thread(self._store.in_force, site)
        version = "nobody knows which version" if now is None else f"version {now}"
        error.done = f"{version} of {site} is in force"
        error.message = f"{error.message}; {error.done}"
        error.hint = f"{error.hint} Then look: fluxctl profile history {site}".strip()

    async def activate(self, site: str) -> m.Done:
        """Serve a site; return when the runtime of the one before has gone. Raises what reading its profile does."""
        return await self._alone(self._activate(site))

    async def _activate(self, site: str) -> m.Done:
        serving = self._serving
        stored = await asyncio.to_thread(self._store.read, site)
        if site == serving.site and serving.stored is not None:
            return m.Done(f"{site} is active already.", (site,))
        before = serving.site
        await serving.go_over(site, stored)
        opens = "its storage port opens when its spool is open."
        problem = self._serving.keys.problem
        if problem is not None:
            opens = f"its storage port stays shut: {problem.message.rstrip('.')}. {problem.hint}".rstrip()
        words = f"{site} is active now; {opens}{self._left(before)}"
        return m.Done(words, (site,))

    async def deactivate(self, reason: str, user: str) -> m.Done:
        """Serve no site; return when the runtime has gone."""
        return await self._alone(self._deactivate(m.Parked(datetime.now(UTC), user, reason)))

    async def _deactivate(self, parked: m.Parked) -> m.Done:
        serving, before = self._serving, self._serving.site
        if not before and serving.profile_problem is None and (serving.parked is not None or not serving.others):
            return m.Done("No site was active.")
        await serving.go_over("", None, parked)
        return m.Done(f"The box is parked: no scanner can send.{self._left(before)}", (before,) if before else ())

    def _left(self, before: str) -> str:
        """Return what to say of the site that was left."""
        held = self._serving.elsewhere.get(before)
        words = "" if held is None else staying(held)
        if not before or not words:
            return ""
        return f" Images that stay at {before}: {words}. Nothing becomes of them until {before} is active again."

    async def remove(self, request: m.ProfileRemove, peer: Peer) -> m.Done:
        """Take a site from the box. Raises `Refused` while it is active or has studies that wait, and names them."""
        return await self._alone(self._remove(request, peer))

    async def _remove(self, request: m.ProfileRemove, peer: Peer) -> m.Done:
        serving, site = self._serving, request.profile
        if request.confirm != site:
            raise Refused("the site's id was not repeated, so nothing was done", hint="Give it again in `confirm`.")
        await asyncio.to_thread(self._store.history, site, "")
        if site == serving.site:
            await self._refuse_the_active(site, peer)
        folder = serving.folder_of(site)
        empty = await asyncio.to_thread(is_empty, folder)
        if not empty:
            await self._demand_nothing_waits(site, peer)
        place = await asyncio.to_thread(self._store.remove, site)
        await serving.look_around()
        serving.consider()
        rest = "" if empty else f" What its spool still has stays sealed in {folder}, and its key on this box."
        return m.Done(f"{site} is removed. Its profiles and their history are in {place}.{rest}", (site,))

    async def _refuse_the_active(self, site: str, peer: Peer) -> NoReturn:
        serving = self._serving
        found = looking.Waiting(0)
        if serving.keeper.state is m.RuntimeState.RUNNING:
            with contextlib.suppress(CapacitordError):
                found = await looking.waiting(serving.keeper, serving.bounds, peer)
        msg = f"{site} is the active site"
        if not found.total:
            raise Refused(msg, hint="Activate another site first, or none: fluxctl site deactivate")
        raise _refusal(f"{msg}, and {_counted_studies(found.total)} here", found, _GIVE_UP)

    async def _demand_nothing_waits(self, site: str, peer: Peer) -> None:
        serving = self._serving
        try:
            stored = await asyncio.to_thread(self._store.read, site)
        except CapacitordError as error:
            msg = f"whether {site} has studies that wait can't be found out: {error.message}"
            raise Refused(msg, where=error.where, hint=error.hint) from None
        start = await serving.start_of(stored)
        found = await looking.waiting_in(serving.command, start, serving.bounds, peer)
        if found.total:
            hint = f"Serve it: fluxctl site activate {site}. {_GIVE_UP}"
            raise _refusal(f"{_counted_studies(found.total, site)} here", found, hint)

    async def list(self, schema: str) -> m.SiteList:
        """Return the sites of the box."""
        serving = self._serving
        whole, damaged = await asyncio.to_thread(self._store.listed, serving.site)
        found = [self._entry(each) for each in whole]
        found += [
            m.SiteEntry(
                id=each.id,
                name="",
                active=each.id == serving.site,
                version=each.version,
                gate=serving.gatekeeper.gate.state if each.id == serving.site else None,
                problem=each.message,
                hint=each.hint,
            )
            for each in damaged
        ]
        return m.SiteList(schema, tuple(sorted(found, key=lambda entry: entry.id)))

    def _entry(self, found: m.ProfileSummary) -> m.SiteEntry:
        serving = self._serving
        entry = m.SiteEntry(found.id, found.name, found.active, found.version)
        if found.active:
            now = serving.reporter.current
            entry = msgspec.structs.replace(entry, gate=serving.gatekeeper.gate.state)
            if now is None:
                return entry
            return _counted(entry, held_of(now), as_of=None)
        held = serving.elsewhere.get(found.id)
        return entry if held is None else _counted(entry, held, as_of=held.at)

    async def _alone(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do it when nothing else of this is being done, to its end."""

        async def do() -> _Result:
            async with self._one_at_a_time:
                return await work

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)


_GIVE_UP: Final = "Wait until they have left, or decide on each: fluxctl study list --undelivered"


def _counted_studies(total: int, site: str = "") -> str:
    of = f" of {site}" if site else " of it"
    return f"1 study{of} waits" if total == 1 else f"{total} studies{of} wait"


def _refusal(message: str, found: looking.Waiting, hint: str) -> Refused:
    more = found.total - len(found.named)
    return Refused(message, hint=hint, candidates=(*found.named, *([f"and {more} more"] if more > 0 else ())))


def _counted(entry: m.SiteEntry, held: Held, as_of: datetime | None) -> m.SiteEntry:
    return msgspec.structs.replace(
        entry,
        undelivered_images=held.undelivered_images,
        held_images=held.held_images,
        unrouted_images=held.unrouted_images,
        refused_images=held.refused_images,
        held_back_images=held.held_back_images,
        as_of=as_of,
    )
