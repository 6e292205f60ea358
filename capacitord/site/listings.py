"""The worklist as matching sees it: every entry as scanners get it, and those that vanished at the source too.

One that names nobody is not among them: a study would leave as one of whom nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping

from capacitord.dicom.worklist.correct import Mishap
from capacitord.dicom.worklist.identity import identity_of, names_nobody, order_of
from capacitord.dicom.worklist.served import Shown
from capacitord.model.matching import Candidate
from capacitord.model.worklist import EntryKey
from capacitord.model.worklist_cache import Held
from capacitord.seal.keys import SiteKey
from capacitord.site.matching import NO_LIST, Listing
from capacitord.site.worklist.ids import EntryIds
from capacitord.site.worklist.keeper import WorklistKeeper


class Listings:
    """Makes a listing of what the keeper has, once for each list. Any thread may ask."""

    def __init__(self, site: SiteKey) -> None:
        self._ids = EntryIds(site)
        self.source: WorklistKeeper | None = None
        """Who keeps the list; None while nobody does yet."""
        self._awaited = Listing(awaited="The site's runtime is starting.")
        # Replaced and never changed, so that whoever looks needs no lock.
        self._made: tuple[tuple[Held, ...], Mapping[EntryKey, Shown], Listing] = ((), {}, NO_LIST)

    def now(self) -> Listing:
        """Return the list as it is; the same object as long as it is the same."""
        if self.source is None:
            return self._awaited
        awaited = self.source.awaited
        if awaited:
            if awaited != self._awaited.awaited:
                self._awaited = Listing(awaited=awaited)
            return self._awaited
        cache, shown = self.source.whole()
        if cache.fetched is None:
            return NO_LIST
        entries, corrected, listing = self._made
        # Corrections come after the version of the profile that has them.
        if entries is cache.entries and corrected is shown:
            return listing
        names = self._ids.of(shown)
        candidates = tuple(
            Candidate(
                names[key],
                each.held.since,
                identity_of(each.corrected.entry),
                gone=each.held.vanished is not None,
                order=None if each.corrected.mishap else order_of(each.original, each.corrected.entry),
                withheld=each.corrected.mishap is Mishap.WITHHELD,
            )
            for key, each in shown.items()
            if each.corrected.mishap is Mishap.WITHHELD or not names_nobody(each.corrected.entry)
        )
        listing = Listing(candidates, cache.fetched)
        self._made = (cache.entries, shown, listing)
        return listing
