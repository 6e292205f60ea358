"""What answers the routes of profiles and sites, one method each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from capacitord.api import messages as m
from capacitord.api.geofence import SiteArea, SiteAreas
from capacitord.config.tables.location import LocationTable
from capacitord.errors import CapacitordError
from capacitord.supervisor.peers import Peer
from capacitord.supervisor.profile_folder import Kept
from capacitord.supervisor.profiles import ProfileStore
from capacitord.supervisor.services import Outcome
from capacitord.supervisor.serving import Serving
from capacitord.supervisor.sites import Sites

Handler = Callable[[Peer, Any], Awaitable[Outcome]]


class ProfileAnswers:
    """The handlers by the names of their routes. `schema` returns the name of a route's answer."""

    def __init__(self, serving: Serving, sites: Sites, schema: Callable[[str], str]) -> None:
        self._serving = serving
        self._sites = sites
        self._schema = schema
        self.handlers: Mapping[str, Handler] = {
            "geofence.list": self._areas,
            "profile.export": self._export,
            "profile.history": self._history,
            "profile.import": self._import,
            "profile.list": self._list,
            "profile.remove": self._remove,
            "profile.rollback": self._rollback,
            "profile.show": self._show,
            "site.activate": self._activate,
            "site.deactivate": self._deactivate,
            "site.erase": self._erase,
            "site.follow": self._follow,
            "site.list": self._site_list,
        }

    async def _import(self, peer: Peer, request: m.ProfileImport) -> Outcome:
        imported = await self._sites.import_profiles(request, peer.user)
        all_of_them: tuple[m.ProfileTaken, ...] = (imported, *imported.others)
        # The digest is in the entry, so that it can be proven later what was imported.
        detail = "; ".join(
            f"{each.id} version {each.version}, {_came_to(each, request)}, sha256 {each.sha256}" for each in all_of_them
        )
        return Outcome(imported, tuple(each.id for each in all_of_them), detail)

    async def _list(self, _peer: Peer, _request: m.Empty) -> Outcome:
        whole, damaged = await asyncio.to_thread(self._serving.profiles.listed, self._serving.site)
        return Outcome(m.ProfileList(self._schema("profile.list"), tuple(whole), tuple(damaged)))

    async def _show(self, _peer: Peer, request: m.ProfileRef) -> Outcome:
        found, kept = await self._shown(request)
        return Outcome(m.ProfileText(self._schema("profile.show"), found, kept.text.decode(errors="replace")))

    async def _export(self, _peer: Peer, request: m.ProfileRef) -> Outcome:
        found, kept = await self._shown(request)
        files = tuple(m.EnclosedFile(name, data) for name, data in kept.files.items())
        text = kept.text.decode(errors="replace")
        beside = f", with {len(files)} files beside it" if files else ""
        answer = m.ProfileFolder(self._schema("profile.export"), found, text, files)
        return Outcome(answer, (found.id,), f"version {found.version} left the box{beside}")

    async def _shown(self, request: m.ProfileRef) -> tuple[m.ProfileSummary, Kept]:
        shown = self._serving.profiles.shown
        return await asyncio.to_thread(shown, request.profile, request.version, self._serving.site)

    async def _history(self, _peer: Peer, request: m.ProfileSite) -> Outcome:
        history = self._serving.profiles.history
        return Outcome(await asyncio.to_thread(history, request.profile, self._schema("profile.history")))

    async def _rollback(self, peer: Peer, request: m.ProfileRollback) -> Outcome:
        found = await self._sites.rollback(request, _who(peer, request.operator))
        return Outcome(found, (found.id,), f"version {found.version} in force")

    async def _remove(self, peer: Peer, request: m.ProfileRemove) -> Outcome:
        return _done(await self._sites.remove(request, peer), "")

    async def _activate(self, peer: Peer, request: m.SiteActivate) -> Outcome:
        before = self._serving.site
        waived = ", preflight waived" if request.waive_preflight else ""
        return _done(
            await self._sites.activate(request, _who(peer, request.operator)), f"after {before or 'none'}{waived}"
        )

    async def _follow(self, _peer: Peer, _request: m.SiteFollow) -> Outcome:
        return _done(await self._sites.follow(), "")

    async def _deactivate(self, peer: Peer, request: m.SiteDeactivate) -> Outcome:
        before = self._serving.site
        done = await self._sites.deactivate(request.reason, _who(peer, request.operator))
        return _done(done, f"after {before or 'none'}")

    async def _areas(self, _peer: Peer, _request: m.Empty) -> Outcome:
        profiles, active = self._serving.profiles, self._serving.site
        found = await asyncio.to_thread(lambda: tuple(_area(profiles, site, active) for site in profiles.sites()))
        return Outcome(SiteAreas(self._schema("geofence.list"), found))

    async def _erase(self, peer: Peer, request: m.SiteErase) -> Outcome:
        return _done(await self._sites.erase(request, peer), "")

    async def _site_list(self, _peer: Peer, _request: m.Empty) -> Outcome:
        return Outcome(await self._sites.list(self._schema("site.list")))


def _area(profiles: ProfileStore, site: str, active: str) -> SiteArea:
    try:
        profile = profiles.read(site).profile
    except CapacitordError as error:
        return SiteArea(site, "", "", None, active=site == active, problem=error.message)
    location = profile.location or LocationTable()
    return SiteArea(
        site, profile.name, profile.timezone, location.geofence, dwell=location.dwell, active=site == active
    )


def _came_to(taken: m.ProfileTaken, request: m.ProfileImport) -> str:
    if request.dry_run:
        return "checked only"
    return "in force already" if taken.unchanged else "in force"


def _who(peer: Peer, operator: str) -> str:
    """Return who did something: the user, with the name that was given for a shared login."""
    name = operator.strip()
    return f"{name} (as {peer.user})" if name else peer.user


def _done(answer: m.Done, detail: str) -> Outcome:
    return Outcome(answer, answer.subjects, detail)
