"""Who overtakes whom in a destination's queue, and whether it is worth a look.

What is urgent leaves first, and what is in somebody's hands already yields to it: so it is asked of every image, right
before it leaves, whether something more urgent waits that comes before it. The queue is in the catalog, and most of the
time the answer is no. So `Urgency` remembers what was found there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from capacitord.spool.ledger import Pending

Place = tuple[bool, bytes, int, bytes, int, int]


def place(image: Pending) -> Place:
    """Return the place of an image in its queue, to sort by; `Ledger.due` gives them in this order."""
    before, after = image.turn or (b"", b"")
    return image.turn is None, before, -image.priority, after, image.delivery, image.image


def overtakes(other: Pending, image: Pending) -> bool:
    """Say whether an image yields to another one of its queue, even if it is in somebody's hands.

    Only to what is more urgent, and comes before it: a profile's `order` may name attributes that count for more.
    """
    return other.priority > image.priority and place(other) < place(image)


class _Known(NamedTuple):
    """What came since the last look, how urgent it is at most; and what the look found.

    That is where the first of all stands that is more urgent than `above`, None if nothing is.
    """

    raised: float = float("-inf")
    above: float = float("-inf")
    first: Place | None = None


class Urgency:
    """What may wait in nobody's hands that overtakes others. Whatever comes makes a look worth while; looks tell.

    For all threads; looks come one after the other.
    """

    def __init__(self, settle: Callable[[], None]) -> None:
        """`settle` makes visible what was filed; it may raise."""
        self._settle = settle
        self._lock = threading.Lock()
        # Replaced and never changed, so that whoever asks needs no lock.
        self._known = _Known()
        self._meanwhile = float("-inf")
        self._is_new = False

    def filed(self, priority: int) -> None:
        """Take notice that something of this priority was filed, which is to be made visible before a look."""
        with self._lock:
            self._is_new = True
            self._rise(priority)

    def back(self, priority: int) -> None:
        """Take notice that something of this priority waits that did not, or was in somebody's hands."""
        with self._lock:
            self._rise(priority)

    def _rise(self, priority: int) -> None:
        self._meanwhile = max(self._meanwhile, priority)
        if priority > self._known.raised:
            self._known = self._known._replace(raised=priority)

    def may_overtake(self, image: Pending) -> bool:
        """Say whether an image may have to yield, so that a look is worth while."""
        raised, above, first = self._known
        return max(raised, above) > image.priority or (first is not None and first < place(image))

    def settle(self) -> None:
        """Make visible what was filed since this was called last, if anything was. Raises what that raises."""
        with self._lock:
            is_new, self._is_new = self._is_new, False
        if is_new:
            try:
                self._settle()
            except BaseException:
                with self._lock:
                    self._is_new = True
                raise

    def look(self, priority: int, first: Callable[[int], Pending | None]) -> Pending | None:
        """Return what `first` finds to leave first of all that is more urgent than `priority`, and remember it.

        What comes meanwhile counts as well. Raises what making it visible and `first` raise; then nothing is forgotten.
        """
        with self._lock:
            self._meanwhile = float("-inf")
        self.settle()
        found = first(priority)
        with self._lock:
            self._known = _Known(self._meanwhile, priority, None if found is None else place(found))
        return found
