"""Which site is wanted: every combination of what was said and what the evidence says."""

from __future__ import annotations

import itertools

from capacitord.model.following import Wanted, Word, wanted
from capacitord.model.location import Decision


def here(site: str | None, *, conflict: bool = False, reasons: tuple[str, ...] = ("inside the fence",)) -> Decision:
    return Decision(site, conflict, reasons)


SITES = ("", "lakeside", "st-marys")


def test_without_evidence_it_is_as_it_was_said() -> None:
    for site, override, opened in itertools.product(SITES, (False, True), (False, True)):
        assert wanted(Word(site, override), None, opened=opened) == Wanted(site)


def test_an_override_stands_against_all_evidence() -> None:
    for site, there, conflict, opened in itertools.product(SITES, (None, *SITES[1:]), (False, True), (False, True)):
        assert wanted(Word(site, override=True), here(there, conflict=conflict), opened=opened) == Wanted(site)


def test_the_site_of_the_evidence_is_wanted() -> None:
    for site, there, opened in itertools.product(SITES, SITES[1:], (False, True)):
        found = wanted(Word(site, override=False), here(there), opened=opened)
        assert found == Wanted(there, "" if site == there else "inside the fence")


def test_evidence_of_being_nowhere_ends_a_site() -> None:
    for site, opened in itertools.product(SITES, (False, True)):
        assert wanted(Word(site, override=False), here(None), opened=opened).site == ""
    assert wanted(Word("lakeside", override=False), here(None, reasons=()), opened=True).reason


def test_in_a_conflict_nothing_opens_and_what_is_open_and_not_left_stays() -> None:
    for site, kept in itertools.product(SITES, ((), ("lakeside",), ("lakeside", "st-marys"))):
        reasons = ("GPS says lakeside", "the network says st-marys")
        decision = Decision(None, conflict=True, reasons=reasons, kept=kept)
        shut = wanted(Word(site, override=False), decision, opened=False)
        assert shut.site == ""
        assert "GPS says lakeside; the network says st-marys" in shut.reason
        assert wanted(Word(site, override=False), decision, opened=True).site == (site if site in kept else "")
