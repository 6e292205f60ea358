"""Who overtakes whom in a destination's queue, and whether it is worth a look.

What is urgent leaves first, and what is in somebody's hands already yields to it: so it is asked of every image, right
before it leaves, whether something more urgent waits. The queue is in the catalog, and most of the time the answer is
no. So `Urgency` remembers how urgent what waits can be at most.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from capacitord.spool.ledger import Pending


def place(image: Pending) -> tuple[bool, bytes, int, bytes, int, int]:
    """Return the place of an image in its queue, to sort by; `Ledger.due` gives them in this order."""
    before, after = image.turn or (b"", b"")
    return image.turn is None, before, -image.priority, after, image.delivery, image.image


def overtakes(other: Pending, image: Pending) -> bool:
    """Say whether an image yields to another one of its queue, even if it is in somebody's hands.

    Only to what is more urgent, and comes before it: a profile's `order` may name attributes that count for more.
    """
    return other.priority > image.priority and place(other) < place(image)


class Urgency:
    """How urgent what waits in nobody's hands can be at most. Whatever comes raises it, and only a look lowers it.

    For all threads; looks come one after the other.
    """

    def __init__(self, settle: Callable[[], None]) -> None:
        """`settle` makes visible what was filed; it may raise."""
        self._settle = settle
        self._lock = threading.Lock()
        # Of all that waits, and of what came since the last look began.
        self._most: int | None = None
        self._latest: int | None = None
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
        self._most, self._latest = _higher(self._most, priority), _higher(self._latest, priority)

    def exceeds(self, priority: int) -> bool:
        """Say whether something more urgent than this may wait."""
        most = self._most
        return most is not None and most > priority

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

    def look(self, first: Callable[[], Pending | None]) -> Pending | None:
        """Return what `first` finds to be the next to leave, and remember how urgent that is.

        What comes meanwhile counts as well. Raises what making it visible and `first` raise; then nothing is forgotten.
        """
        with self._lock:
            self._latest = None
        self.settle()
        found = first()
        with self._lock:
            self._most = self._latest if found is None else _higher(self._latest, found.priority)
        return found


def _higher(one: int | None, other: int) -> int:
    return other if one is None else max(one, other)
