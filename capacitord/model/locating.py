"""Which site the evidence means: it follows from the evidence, the profiles and the time, and from nothing else.

A site with a geofence is decided by the position, and its network evidence must agree as its profile says. A site
without one is decided by its network evidence. Where the evidence contradicts itself nothing is decided.

Where the network of several sites agrees, the position tells which it is: addresses such as 10.0.0.0/8 are those of
many places, and a routed network reaches the nodes of other sites. But what answers from afar does not weigh as much as
what the box sees of its own link, so the network speaks for one site and against another if

* all evidence of the one agrees, in at least two pieces, and its link is among them;
* nothing of the link of the other agrees;
* the other names its link, which is not there, or the one shows what no place has by chance: a pinned certificate or
  the MAC address of a gateway.

A box that is on the link of both sites, and one that is at a site which names no link, where another one's private
subnet happens to fit, are in no conflict by that.

Where the network of one site alone agrees, it speaks against all others. But evidence that is lost is none of another
place: a network that fitted already while the box was surely at its site does not speak against that site when the rest
falls silent, nor does one from afar as long as the box is on that site's link. After a start nobody knows what fits
there; then it needs a link that is not there, or what no place has by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from capacitord.model.fence import Standing, Where
from capacitord.model.location import (
    LINK,
    Agreement,
    Clue,
    Decision,
    Evidence,
    Memory,
    Network,
    Says,
    SiteRules,
    SiteView,
)
from capacitord.model.presence import Phase, Presence, step

FIRST_WORD: Final = 60.0
"""Seconds after a start for which the site of before is not opened unless something says that the box is there still:
as long as a receiver takes to find its satellites."""
_FAR: Final = 10_000.0
"""Metres from which a distance is written in kilometres without a fraction."""


def decide(
    rules: Sequence[SiteRules], evidence: Evidence, before: Memory, now: float, leave_after: float
) -> tuple[Decision, Memory]:
    """Return which site the evidence means, and what to remember until the next time.

    `leave_after` is for how many seconds the evidence must say that the box is elsewhere before a site is left.
    """
    known = {rule.site: rule for rule in sorted(rules, key=lambda rule: rule.site)}
    look = _Look(known, evidence, before)
    presences = {site: _presence(look, rule, before, now, leave_after) for site, rule in known.items()}
    found = _choose(look, presences, before.site, leave_after)
    settled = found.site or next((site for site in found.kept if site == before.site), "")
    unsaid = before.unsaid if settled and settled == before.site else None
    if unsaid is not None and (
        look.place(known[settled]) is Where.INSIDE or now - unsaid >= min(leave_after, FIRST_WORD)
    ):
        unsaid = None
    doubt = found.doubt or ("" if unsaid is None else _unsaid(settled, leave_after))
    views = tuple(look.view(site, presences[site]) for site in known)
    gone = "" if settled == before.site else _left(look, before, presences, leave_after)
    left = gone or ("" if settled else before.left)
    nowhere = found.site is None and not found.conflict
    told = (left,) if nowhere and left else (gone,) if gone else ()
    arriving = any(presence.phase is Phase.ARRIVING for presence in presences.values())
    reasons = (*told, *found.reasons) if nowhere and not arriving else (*found.reasons, *told)
    decision = msgspec.structs.replace(found, sites=views, doubt=doubt, reasons=reasons)
    fitting = _fitting(look, settled, presences, before)
    return decision, Memory(MappingProxyType(presences), settled, unsaid, left, fitting)


def _fitting(look: _Look, site: str, presences: Mapping[str, Presence], before: Memory) -> frozenset[str] | None:
    """Return which other networks agree at the site where the box is, by all that was seen there."""
    known = before.fitting if site == before.site else None
    if not site or presences[site].phase is not Phase.HERE or not look.is_at(site):
        return known
    return (known or frozenset()).union(look.agreeing) - {site}


def _presence(look: _Look, rule: SiteRules, before: Memory, now: float, leave_after: float) -> Presence:
    """Return what is known of the box and one site now.

    Evidence that is lost ends no presence at the site that was decided. At another one it does: else that could be
    decided much later by what was so before.
    """
    place, nowhere = look.place(rule), Presence(phase=Phase.AWAY, since=now)
    if place is None and rule.site != before.site:
        return nowhere
    was = before.presences.get(rule.site, nowhere)
    return step(was, place, now, dwell=rule.dwell, leave_after=leave_after)


def _unsaid(site: str, leave_after: float) -> str:
    words = f"nothing has said since the start that this box is at {site}"
    return f"{words}; it opens by itself {min(leave_after, FIRST_WORD):.0f} s after the start, or as soon as it is said"


def network_of(rule: SiteRules, clues: Sequence[Clue]) -> Network:
    """Return what the network evidence of a site says together. One piece that speaks against it is enough."""
    if not rule.by_network:
        return Network.NOT_ASKED
    if any(clue.says is Says.AGAINST for clue in clues):
        return Network.DENIES
    agreeing = [clue.says is Says.FOR for clue in clues]
    enough = all(agreeing) if rule.agreement is Agreement.ALL else any(agreeing)
    return Network.AGREES if agreeing and enough else Network.SILENT


class _Look:
    """The evidence of one moment, as each site sees it."""

    def __init__(self, rules: Mapping[str, SiteRules], evidence: Evidence, before: Memory) -> None:
        self.rules = rules
        self.before = before
        self.evidence = evidence
        self.network = {site: network_of(rule, self.clues(site)) for site, rule in rules.items()}
        self.agreeing = [site for site, network in self.network.items() if network is Network.AGREES]
        self.only = self.agreeing[0] if len(self.agreeing) == 1 else ""
        """The one site that the network speaks for; empty if there is none, or several."""
        self.inside = {site for site in rules if self.where(site) is Where.INSIDE}
        self.on_link = {site for site in rules if any(clue.says is Says.FOR for clue in self.of_link(site))}
        self.heard = {site for site in rules if any(clue.says is Says.FOR for clue in self.clues(site))}
        self.whole = [site for site in self.agreeing if site in self.on_link and self.is_whole(site)]

    def clues(self, site: str) -> tuple[Clue, ...]:
        return self.evidence.clues.get(site, ())

    def of_link(self, site: str) -> list[Clue]:
        return [clue for clue in self.clues(site) if clue.wanted.kind in LINK]

    def is_whole(self, site: str) -> bool:
        clues = self.clues(site)
        return len(clues) > 1 and all(clue.says is Says.FOR for clue in clues)

    def rival(self, site: str) -> str:
        """Return the site for which the network speaks, and so against this one; empty if there is none."""
        if self.only and self.only != site and self.is_new(site, self.only):
            return self.only
        if site in self.on_link:
            return ""
        return next((each for each in self.whole if self.outweighs(each, site)), "")

    def outweighs(self, other: str, site: str) -> bool:
        """Tell whether a site names its link, which is not there, or another one shows what no place has by chance."""
        return bool(self.of_link(site)) or any(
            clue.wanted.is_singular and clue.says is Says.FOR for clue in self.clues(other)
        )

    def is_new(self, site: str, other: str) -> bool:
        """Tell whether the only network that agrees is more than what was there before that of a site fell silent."""
        if site != self.before.site:
            return True
        if site in self.on_link and other not in self.on_link:
            return False
        if self.before.fitting is None:
            return site not in self.on_link and self.outweighs(other, site)
        return other not in self.before.fitting

    def is_at(self, site: str) -> bool:
        """Tell whether the box is at a site by its position or its network, and neither contradicts."""
        where = self.where(site)
        at = where is Where.INSIDE or (where is not Where.OUTSIDE and self.network[site] is Network.AGREES)
        return at and not self.rival(site)

    def standing(self, site: str) -> Standing | None:
        if not self.rules[site].fence or self.evidence.standings is None:
            return None
        return self.evidence.standings.get(site)

    def where(self, site: str) -> Where | None:
        standing = self.standing(site)
        return None if standing is None else standing.where

    def place(self, rule: SiteRules) -> Where | None:
        """Return where the box is as far as one site goes; None if nothing says so."""
        site, where = rule.site, self.where(rule.site)
        rival = self.rival(site)
        if rule.fence and where is Where.INSIDE:
            # Where areas overlap the network tells which it is.
            return Where.OUTSIDE if rival in self.inside else where
        here = site == self.before.site and site in self.on_link and self.network[site] is Network.AGREES
        if rule.fence and where is None and here and not rival:
            # Its network speaks for it: a leave that began before this look comes to nothing.
            return Where.MAYBE
        if rule.fence:
            return Where.OUTSIDE if rival else where
        if self.network[site] is Network.AGREES:
            if rival:
                # What answers is reached from afar, over the network of another site.
                return Where.OUTSIDE
            # Of several that the network speaks for, the position tells which it is.
            others = self.inside.intersection(self.agreeing)
            return Where.OUTSIDE if any(self.rival(each) != site for each in others) else Where.INSIDE
        if self.network[site] is Network.DENIES or rival or self.inside:
            return Where.OUTSIDE
        return None

    def reasons(self, site: str, *says: Says) -> tuple[str, ...]:
        return tuple(clue.reason for clue in self.clues(site) if clue.says in says)

    def placed(self, site: str) -> str:
        """Return what the position says of one site, in words."""
        standing = self.standing(site)
        if standing is None:
            return "without a position" if self.rules[site].fence else "known by its network"
        far = metres(abs(standing.distance))
        if standing.where is Where.MAYBE:
            return f"perhaps inside: the position is not exact enough {far} from the edge"
        return f"{far} inside" if standing.where is Where.INSIDE else f"{far} outside"

    def waits(self, site: str, presence: Presence) -> str:
        """Return for how long the box is at a site where it was not long enough yet."""
        if presence.phase is not Phase.ARRIVING:
            return ""
        return f"for {presence.counted:.0f} s of {self.rules[site].dwell:.0f} s"

    def view(self, site: str, presence: Presence) -> SiteView:
        """Return all there is to say of one site."""
        standing, network = self.standing(site), self.network[site]
        silent = "not all of its network is there" if site in self.heard else "nothing is seen of its network"
        words = {
            Network.AGREES: "its network agrees",
            Network.SILENT: silent,
            Network.DENIES: "its network contradicts",
            Network.NOT_ASKED: "",
        }[network]
        return SiteView(
            site,
            presence.phase,
            presence.since,
            network,
            None if standing is None else standing.where,
            None if standing is None else standing.distance,
            "; ".join(part for part in (f"{self.placed(site)} {self.waits(site, presence)}".strip(), words) if part),
        )


def _choose(look: _Look, presences: Mapping[str, Presence], settled: str, leave_after: float) -> Decision:
    phases = {site: presence.phase for site, presence in presences.items()}
    here = [site for site, phase in phases.items() if phase is Phase.HERE]
    if phases.get(settled) is Phase.LEAVING:
        left = max(0.0, leave_after - presences[settled].counted)
        words = f"{settled} is left in {left:.0f} s"
        if look.place(look.rules[settled]) is not Where.OUTSIDE:
            words = f"{settled} is left when the evidence says for another {left:.0f} s that the box is elsewhere"
        reasons = (words, *_elsewhere(look, settled))
        return Decision(settled, reasons=reasons, doubt="; ".join(reasons))
    if not here:
        return Decision(None, reasons=_nowhere(look, presences))
    kept = (settled,) if settled in here else ()
    told = next((rival for each in here if (rival := look.rival(each)) in here), "")
    if len(here) > 1 and not told:
        words = f"the evidence means {joined(here)}, and nothing tells them apart"
        return Decision(None, conflict=True, reasons=(words, *_all(look, here)), kept=kept)
    site = next(each for each in here if each != told)
    if look.inside and not look.rules[site].fence and site in look.agreeing:
        there = sorted(look.inside)
        words = f"the position says {_with_places(look, there)}, and the network says {site}"
        return Decision(
            None,
            conflict=True,
            reasons=(words, *look.reasons(site, Says.FOR), *look.reasons(there[0], Says.FOR)),
            kept=kept,
        )
    if rival := look.rival(site):
        says = "the position says" if look.where(site) is not None else "the box was at"
        words = f"{says} {_with_places(look, (site,))}, and the network says {_by_network(look, rival)}"
        return Decision(None, conflict=True, reasons=(words, *look.reasons(rival, Says.FOR)), kept=kept)
    if look.network[site] is Network.DENIES:
        words = f"{site}: {look.placed(site)}, and its network contradicts"
        return Decision(None, conflict=True, reasons=(words, *look.reasons(site, Says.AGAINST)), kept=kept)
    if site != settled and look.place(look.rules[site]) is not Where.INSIDE:
        return Decision(None, reasons=(f"{site}: {look.placed(site)}",))
    if site == settled or look.network[site] in {Network.AGREES, Network.NOT_ASKED}:
        return Decision(site, reasons=_why(look, site))
    missing = "not all" if look.rules[site].agreement is Agreement.ALL else "none"
    words = f"{site}: {look.placed(site)}, and {missing} of its network evidence agrees"
    return Decision(None, reasons=(words, *look.reasons(site, Says.NOTHING)))


def _why(look: _Look, site: str) -> tuple[str, ...]:
    """Return why a site is the one: what speaks for it now, or that nothing speaks against it."""
    for_it = look.reasons(site, Says.FOR) if look.rules[site].by_network else ()
    standing = look.standing(site)
    if standing is not None and standing.where is Where.INSIDE:
        return (f"{site}: {look.placed(site)}", *for_it)
    if not look.rules[site].fence and look.network[site] is Network.AGREES:
        return (f"the network is that of {site}", *for_it)
    lost = look.evidence.no_position if look.rules[site].fence and standing is None else look.placed(site)
    return (f"nothing says that the box has left {site}", lost, *for_it)


def _elsewhere(look: _Look, site: str) -> tuple[str, ...]:
    """Return what says that the box is not at a site any more."""
    found = []
    if look.where(site) is Where.OUTSIDE:
        found.append(f"{site}: {look.placed(site)}")
    if rival := look.rival(site):
        found += [f"the network is that of {rival}", *look.reasons(rival, Says.FOR)]
    if not look.rules[site].fence:
        found += [f"{each}: {look.placed(each)}" for each in sorted(look.inside)]
    if not found and look.rules[site].fence and look.evidence.standings is None:
        found.append(look.evidence.no_position)
    return (*found, *look.reasons(site, Says.AGAINST)) or ("the evidence that said so is gone",)


def _left(look: _Look, before: Memory, presences: Mapping[str, Presence], leave_after: float) -> str:
    """Return that and why the site decided before is left now; empty if it is not."""
    site = before.site
    if not site or (site in presences and presences[site].here):
        return ""
    if site not in presences:
        return f"{site} is left: no profile says any more how it is known"
    why = "; ".join(_elsewhere(look, site)).removeprefix(f"{site}: ")
    return f"{site} is left: {why}, for {leave_after:.0f} s"


def _nowhere(look: _Look, presences: Mapping[str, Presence]) -> tuple[str, ...]:
    """Return why no site is decided, and none was to be left."""
    found = []
    for site, presence in presences.items():
        if presence.phase is Phase.ARRIVING:
            words = f"{site}: {look.placed(site)} {look.waits(site, presence)}"
            if look.network[site] is Network.SILENT:
                words += ", then it opens if its network agrees, too"
            elif look.network[site] is not Network.DENIES and not look.rival(site):
                words += ", then it opens by itself"
            found.append(words)
    if look.evidence.standings is None and any(rule.fence for rule in look.rules.values()):
        found.append(look.evidence.no_position)
    away = [site for site in look.agreeing if presences[site].phase is Phase.AWAY]
    for site in away:
        found += [f"the network is that of {_by_network(look, site)}", *look.reasons(site, Says.FOR)]
    return tuple(found) or (_nearest(look) or "nothing is seen of the network of any site",)


def _nearest(look: _Look) -> str:
    """Return which area is the nearest to the position, in words; empty without a position or an area."""
    known = [(-standing.distance, site) for site in look.rules if (standing := look.standing(site)) is not None]
    site = min(known)[1] if known else ""
    return f"the nearest of its sites is {_with_places(look, (site,))}" if site else ""


def _with_places(look: _Look, sites: Sequence[str]) -> str:
    """Return sites as a person lists them, each with what the position says of it if it has an area."""
    return joined([f"{site} ({look.placed(site)})" if look.rules[site].fence else site for site in sites])


def _by_network(look: _Look, site: str) -> str:
    """Return a site that the network names, and what the position says of it: the network knows no distance."""
    placed = look.standing(site) is not None
    return f"{site} (by the position {look.placed(site)})" if placed else site


def _all(look: _Look, sites: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{site}: {look.placed(site)}" for site in sites)


def joined(sites: Sequence[str]) -> str:
    """Return names as a person lists them."""
    return " and ".join([", ".join(sites[:-1]), sites[-1]]) if len(sites) > 1 else "".join(sites)


def metres(length: float) -> str:
    """Return a length as a person says it."""
    if length < 1000:
        return f"{length:.0f} m"
    return f"{length / 1000:.1f} km" if length < _FAR else f"{length / 1000:,.0f} km"
