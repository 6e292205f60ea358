"""What people ask of the worklist, and what review asks of it: entries, one of them, and a fresh list now."""

from __future__ import annotations

from collections.abc import Mapping

from capacitord.api import worklist as w
from capacitord.dicom.worklist.served import Shown
from capacitord.errors import NotFound
from capacitord.model import worklist_cache as cached
from capacitord.model.profile import Worklist
from capacitord.model.worklist import EntryKey
from capacitord.model.worklist_cache import News
from capacitord.seal.keys import SiteKey
from capacitord.site.worklist import ids, telling
from capacitord.site.worklist.keeper import WorklistKeeper
from capacitord.site.worklist.source import name_of


class WorklistAnswers:
    """Answers from what the keeper has. Any thread may ask. Without a worklist in the profile it raises `NotFound`."""

    def __init__(self, keeper: WorklistKeeper, site: SiteKey) -> None:
        self._keeper, self._ids = keeper, ids.EntryIds(site)

    def entries(self) -> tuple[tuple[str, Shown], ...]:
        """Return all entries with their short ids, those that vanished too (`Shown.held.vanished`)."""
        shown = self._keeper.shown()
        return tuple((short, shown[key]) for key, short in self._ids.of(shown).items())

    def list(self, request: w.ListEntries) -> w.EntryList:
        """Return the list, by when the patients are awaited; what vanished comes last."""
        self._demand()
        rows = [
            telling.row(short, each) for short, each in self.entries() if request.vanished or each.held.vanished is None
        ]
        cache, now, rhythm = self._keeper.cache, self._keeper.now(), self._keeper.rhythm
        return w.EntryList(
            schema="fluxctl.worklist.list/1",
            state=cached.state(cache, now, rhythm),
            remark=cached.sentence(cache, now, rhythm),
            fetched=telling.when_or_never(cache.fetched),
            source=cache.source,
            failures=cache.failures,
            entries=tuple(sorted(rows, key=lambda row: (row.vanished is not None, row.start_date, row.start_time))),
        )

    def show(self, reference: str) -> w.EntryDetail:
        """Return one entry, before and after its corrections. Raises `NotFound` or `Ambiguous`."""
        self._demand()
        short, shown = ids.find(reference, self.entries())
        return telling.detail(short, shown)

    def name(self, reference: str) -> str:
        """Return the short id of an entry. Raises `NotFound` or `Ambiguous`."""
        return ids.find(reference, self.entries())[0]

    def refresh(self) -> w.Refreshed:
        """Ask the source now and return what came of it. Raises `TryAgain` if it is still being asked."""
        source = self._demand().source
        came = self._keeper.refresh()
        cache, shown = self._keeper.cache, self._keeper.shown()
        news = came.news or News()
        return w.Refreshed(
            schema="fluxctl.worklist.refresh/1",
            ok=came.news is not None,
            reason=came.reason,
            source=name_of(source),
            seconds=came.seconds,
            entries=len(cache.present()),
            fetched=telling.when_or_never(cache.fetched),
            new=self._rows(news.new, shown),
            vanished=self._rows(news.vanished, shown),
            changed=self._rows(news.changed, shown),
        )

    def _demand(self) -> Worklist:
        worklist = self._keeper.worklist
        if worklist is None:
            raise NotFound(
                "The profile of this site has no worklist.",
                hint="Add [worklist] with its source to the profile, and import that.",
            )
        return worklist

    def _rows(self, keys: tuple[EntryKey, ...], shown: Mapping[EntryKey, Shown]) -> tuple[w.Entry, ...]:
        names = self._ids.of(shown) if keys else {}
        return tuple(telling.row(names[key], shown[key]) for key in keys if key in shown)
