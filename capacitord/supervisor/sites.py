"""What people do to the sites of a box: import and roll back their profiles, choose which is served, remove one.

One of these at a time. None of it stops half way because whoever asked has hung up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from capacitord.api import messages as m
from capacitord.api.staying import after_leaving
from capacitord.errors import CapacitordError, DamagedObject, NotFound, Problem, Refused
from capacitord.model.following import Wanted, wanted
from capacitord.supervisor import importing, looking
from capacitord.supervisor.active_site import Choice
from capacitord.supervisor.holdings import held_of
from capacitord.supervisor.peers import Peer
from capacitord.supervisor.profile_folder import Held
from capacitord.supervisor.profiles import Stored
from capacitord.supervisor.provision import is_empty
from capacitord.supervisor.serving import Serving

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_AGAIN: Final = 5.0
"""Seconds until what the evidence wants is tried again."""


class Sites:
    """The sites of one box, one of which may be served."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._store = serving.profiles
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def import_profiles(self, request: m.ProfileImport, user: str) -> m.ProfileImported:
        """Check and keep profiles, and have the runtime act on its own. Raises `Invalid` or `Refused`.

        The first site that a box gets is served at once; of several that come together none is, nor is one that is
        known by evidence.
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
        follows = serving.would_follow([candidate.profile for candidate in checked.candidates])
        chosen_at_once = first and not follows
        if first and (len(checked.candidates) > 1 or not chosen_at_once):
            # Nobody has said which one: written down first, as a lone profile without a record is served.
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
        if chosen_at_once and len(taken) == 1:
            await serving.go_over(Choice(taken[0]), await asyncio.to_thread(store.read, taken[0]))
            answer = msgspec.structs.replace(answer, active=True)
        elif serving.site in taken:
            serving.take(await asyncio.to_thread(store.read, serving.site))
        await serving.look_around()
        serving.consider()
        return msgspec.structs.replace(answer, active_site=serving.site, follows=follows and not serving.word.override)

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
            known = self._serving.choice.lost is None
            return known and self._serving.chosen.read() is None and not self._store.sites()
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
        serving.consider()
        return stored.summary(active=site == serving.site)

    async def _tell_half_way(self, error: CapacitordError, site: str) -> None:
        """Have an error say which version of a site is in force after all."""
        now = await asyncio.to_thread(self._store.in_force, site)
        version = "nobody knows which version" if now is None else f"version {now}"
        error.done = f"{version} of {site} is in force"
        error.message = f"{error.message}; {error.done}"
        error.hint = f"{error.hint} Then look: fluxctl profile history {site}".strip()

    async def activate(self, request: m.SiteActivate, user: str) -> m.Done:
        """Serve a site; return when the runtime of the one before has gone.

        Raises what reading its profile does, and `Refused` for a waiver that this box does not allow or that is of
        nothing.
        """
        return await self._alone(self._activate(request, user))

    async def _activate(self, request: m.SiteActivate, user: str) -> m.Done:
        serving, site = self._serving, request.site
        stored = await asyncio.to_thread(self._store.read, site)
        if request.waive_preflight:
            self._demand_waivable(site, stored)
        chosen = m.Chosen(datetime.now(UTC), user, request.reason)
        if site == serving.site and serving.stored is not None:
            return await self._again(request, chosen)
        before = serving.site
        await serving.go_over(Choice(site, chosen), stored)
        opens = "its storage port opens when its spool is open."
        steps = []
        problem = serving.keys.problem
        if problem is not None:
            opens = f"its storage port stays shut: {problem.message.rstrip('.')}."
            steps += [problem.hint.rstrip(".")] if problem.hint else []
        words = f"{site} is active now; {opens}"
        awaited = serving.clearing.awaited
        if request.waive_preflight:
            serving.clearing.waive(user, request.reason)
            serving.consider()
            words += " The preflight is waived, this once."
        elif awaited:
            steps.append(f"Scanners must be clean before that, as {awaited}: fluxctl preflight --watch")
        return m.Done(f"{words}{self._left(before)} {'. '.join(steps)}".rstrip(), (site,))

    async def _again(self, request: m.SiteActivate, chosen: m.Chosen) -> m.Done:
        """Take a person's word for the site that is served already: as an override, or for a waiver."""
        serving, site = self._serving, request.site
        words, stays = f"{site} is active already.", ""
        if request.waive_preflight:
            serving.clearing.demand_waivable()
        if serving.follows and not serving.override:
            await serving.note(chosen)
            stays = " It stays so, whatever the evidence says, until: fluxctl site follow"
        if request.waive_preflight and not serving.clearing.is_awaited:
            words = f"{words} It needs no preflight any more."
        elif request.waive_preflight:
            serving.clearing.waive(chosen.by, chosen.reason)
            serving.consider()
            words = f"{words} The preflight is waived, this once."
        return m.Done(f"{words}{stays}", (site,))

    def _demand_waivable(self, site: str, stored: Stored) -> None:
        """Raise `Refused` unless this box lets a person do without the preflight that this site needs."""
        serving = self._serving
        if not serving.may_waive:
            msg = "this box lets nobody waive the preflight"
            hint = "Take the patients off the scanner; see which: fluxctl preflight"
            raise Refused(msg, where="[preflight] waiver", hint=hint)
        without = serving.clearing.without(site, required=serving.requires(stored.profile))
        if without:
            msg = f"{site} needs no preflight ({without}), so there is nothing to waive"
            raise Refused(msg, hint="Activate it without --waive-preflight.")

    async def deactivate(self, reason: str, user: str) -> m.Done:
        """Serve no site; return when the runtime has gone."""
        return await self._alone(self._deactivate(m.Chosen(datetime.now(UTC), user, reason)))

    async def _deactivate(self, chosen: m.Chosen) -> m.Done:
        serving, before = self._serving, self._serving.site
        idle = not before and serving.profile_problem is None
        if idle and (serving.choice.parked is not None or (not serving.others and not serving.follows)):
            return m.Done("No site was active.")
        await serving.go_over(Choice("", chosen), None)
        follow = " It follows the evidence again with: fluxctl site follow" if serving.override else ""
        words = f"The box is parked: no scanner can send.{self._left(before)}{follow}"
        return m.Done(words, (before,) if before else ())

    async def follow(self) -> m.Done:
        """Follow the evidence of where the box is again. Raises `Refused` on a box that has none to follow."""
        return await self._alone(self._follow())

    async def _follow(self) -> m.Done:
        serving = self._serving
        if serving.whereabouts is None or not serving.follows:
            msg = "this box does not follow where it is: it serves the site that a person activates"
            hint = "It does with [location] in capacitord.toml and in at least one profile."
            raise Refused(msg, hint=hint)
        if not serving.word.override:
            # What kept it from going over may be over.
            await self._heed()
            return m.Done("The box follows the evidence of where it is already.")
        await serving.note(_evidence("; ".join(serving.whereabouts.look().reasons)))
        try:
            await self._heed()
        except CapacitordError:
            asyncio.get_running_loop().call_later(_AGAIN, self.heed)
            raise
        now = f"{serving.site} is active" if serving.site else "no site is active"
        return m.Done(f"The box follows the evidence of where it is again; {now}.")

    def heed(self) -> None:
        """Go by what the evidence says now; for whoever is told that the decision changed."""
        task = asyncio.create_task(self._alone(self._heed_all()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _heed_all(self) -> None:
        try:
            await self._heed()
        except CapacitordError as error:
            _log.error("the box cannot go by where it is: %s: %s", error.where, error.message)
            asyncio.get_running_loop().call_later(_AGAIN, self.heed)
        self._serving.consider()

    async def _heed(self) -> None:
        serving = self._serving
        decision = serving.whereabouts.look() if serving.whereabouts is not None and serving.follows else None
        goal = wanted(serving.word, decision, opened=serving.is_open)
        if goal.site == serving.site:
            serving.astray = None
            return
        try:
            stored = await asyncio.to_thread(self._store.read, goal.site) if goal.site else None
            # Wherever the box is, it is not at the site that it serves: whatever fails from here on, that stays shut.
            serving.astray = _astray(serving.site, goal, CapacitordError("it was cut short"))
            await serving.go_over(Choice(goal.site, _evidence(goal.reason)), stored)
        except CapacitordError as error:
            serving.astray = _astray(serving.site, goal, error)
            raise

    def _left(self, before: str) -> str:
        """Return what to say of the site that was left."""
        held = self._serving.elsewhere.get(before)
        if not before or held is None:
            return ""
        return after_leaving(before, held, self._serving.drains.manner(before))

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
        folder = serving.provision.folder_of(site)
        empty = await asyncio.to_thread(is_empty, folder)
        try:
            async with serving.drains.without(site):
                if not empty:
                    await self._demand_nothing_waits(site, peer)
                place = await asyncio.to_thread(self._store.remove, site)
        finally:
            await serving.look_around()
            serving.consider()
        rest = f" What its spool still has stays sealed in {folder}, and its key on this box.{_DESTROY}{site}"
        rest = "" if empty else rest
        return m.Done(f"{site} is removed. Its profiles and their history are in {place}.{rest}", (site,))

    async def erase(self, request: m.SiteErase, peer: Peer) -> m.Done:
        """Destroy a site's key and its data. Raises `Refused` while it is active or has studies that wait."""
        return await self._alone(self._erase(request, peer))

    async def _erase(self, request: m.SiteErase, peer: Peer) -> m.Done:
        serving, site = self._serving, request.site
        if request.confirm != site:
            raise Refused("the site's id was not repeated, so nothing was done", hint="Give it again in `confirm`.")
        read = await self._reader(site)
        if site == serving.site:
            await self._refuse_the_active(site, peer)
        had = not await self._has_nothing(site)
        try:
            async with serving.drains.without(site):
                if not await asyncio.to_thread(is_empty, serving.provision.folder_of(site)):
                    await self._demand_nothing_waits(site, peer, read)
                await serving.erasures.erase(site, peer.user)
                await asyncio.to_thread(self._store.remember, site, Held(datetime.now(UTC), 0, 0, 0, 0, 0))
        finally:
            await serving.look_around()
            serving.consider()
        if not had:
            return m.Done(f"{site} had neither a key nor data on this box, so there was nothing to destroy.", (site,))
        serving.hub.say("site-erased", f"the key and the data of {site} are destroyed")
        return m.Done(f"The key of {site} is destroyed, and all data of {site} with it. {_OUTSIDE}", (site,))

    async def _reader(self, site: str) -> Callable[[str], Stored]:
        """Return what reads the profile of a site, which may have been removed. Raises `NotFound`.

        Without one nobody can look into the spool, and so nobody knows whether something waits there.
        """
        try:
            await asyncio.to_thread(self._store.history, site, "")
        except NotFound:
            await asyncio.to_thread(self._store.removed, site)
        else:
            return self._store.read
        if await self._has_nothing(site):
            msg = f"{site} was removed, and neither data nor a key of it is on this box"
            raise NotFound(msg)
        return self._store.removed

    async def _has_nothing(self, site: str) -> bool:
        """Tell whether a site has neither a key nor data here."""
        status = await self._serving.keys.status()
        with_key = {*status.sites, *status.damaged}
        return site not in with_key and await asyncio.to_thread(is_empty, self._serving.provision.folder_of(site))

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

    async def _demand_nothing_waits(self, site: str, peer: Peer, read: Callable[[str], Stored] | None = None) -> None:
        serving = self._serving
        try:
            stored = await asyncio.to_thread(read or self._store.read, site)
        except CapacitordError as error:
            msg = f"whether {site} has studies that wait can't be found out: {error.message}"
            raise Refused(msg, where=error.where, hint=error.hint) from None
        start = await serving.provision.start_of(stored)
        found = await looking.waiting_in(serving.launcher, start, serving.bounds, peer)
        if found.total:
            hint = f"Serve it: fluxctl site activate {site}. {_GIVE_UP}"
            raise _refusal(f"{_counted_studies(found.total, site)} here", found, hint)

    async def list(self, schema: str) -> m.SiteList:
        """Return the sites of the box, and of the one that is active what waits there at this moment."""
        serving = self._serving
        await serving.reporter.traffic()
        whole, damaged = await asyncio.to_thread(self._store.listed, serving.site)
        draining = {each.site: each for each in serving.drains.shown()}
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
        found = [msgspec.structs.replace(each, draining=draining.get(each.id)) for each in found]
        entries = tuple(sorted(found, key=lambda entry: entry.id))
        follows = serving.follows and not serving.word.override
        return m.SiteList(schema, entries, serving.choice.chosen, override=serving.override, follows=follows)

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


_DESTROY: Final = " Destroy both with: fluxctl site erase "
_OUTSIDE: Final = (
    "Recovery files that were exported before still have that key: destroy them where copies of the disk are kept. "
    "The profile stays, until: fluxctl profile remove SITE"
)


def _astray(site: str, goal: Wanted, error: CapacitordError) -> Problem:
    """Return why a site is shut that the box has left, and that it cannot go over from."""
    left = f"the box is not at {site} any more" if site else "the box is at a site"
    words = f"{left} ({goal.reason}), and cannot go over to {goal.site or 'none'}: {error.message}"
    return Problem(error.reference, words, where=error.where, hint=error.hint or "See why: fluxctl doctor")


def _evidence(reason: str) -> m.Chosen:
    return m.Chosen(datetime.now(UTC), "evidence", reason, m.Chooser.EVIDENCE)


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
        missing_images=held.missing_images,
        announced_studies=held.announced_studies,
        untold_results=held.untold_results,
        as_of=as_of,
    )
