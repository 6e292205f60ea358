"""Entries of the audit log that no seal vouches for: where they are, and which of them cannot be genuine.

Whoever may write the log's files can add entries while the daemon is down or the box key away. The next seal keeps them
as they are and says nothing of who wrote them, so they are named. Most of what the box does takes the key: that it was
done without one is a forgery.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from capacitord.api import actions
from capacitord.api.messages import AuditEntry, AuditRange
from capacitord.errors import Unanswered
from capacitord.model.states import GateState

DONE: Final = "done"
BROKEN_OFF: Final = "broken off"
_DID_SOMETHING: Final = frozenset({DONE, BROKEN_OFF, Unanswered.reference})
"""Results that say that something was done, or begun by a runtime. While the box key is away all else is refused."""

DONE_WITHOUT: Final = frozenset(
    {
        actions.DAMAGE,
        actions.REPAIRED,
        actions.STARTED,
        actions.STOPPED,
        actions.ABANDONED,
        actions.LOCATED,
        actions.UNCHOSEN,
        *(f"gate.{state}" for state in GateState if state is not GateState.OPEN),
        "key.init",
        "key.restore",
        "key.unlock",
        "preflight.run",
        "profile.export",
        "profile.import",
        "profile.remove",
        "profile.rollback",
        "site.activate",
        "site.deactivate",
        "site.erase",
        "site.follow",
    }
)
"""What can be done while the box key is away: the daemon's own comings and goings, keys, their destruction, profiles,
and the choice of the site with what scanners and the place say to it. What follows `init`, `restore` or `unlock` is
sealed, and so is their own end unless a disk fails."""

REFUSED_WITHOUT: Final = frozenset(
    {
        "destination.echo",
        "doctor.verify",
        "held.discard",
        "held.release",
        "held.restore",
        "key.export",
        "key.rotate",
        "queue.flush",
        "queue.pause",
        "queue.resume",
        "study.discard",
        "study.explain",
        "study.export",
        "study.preview",
        "study.resend",
        "study.resolve",
        "worklist.refresh",
    }
)
"""What can be asked then and is refused: it takes a site's runtime, which takes the site's key, or it takes keys."""

NEVER_WITHOUT: Final = frozenset(
    {
        *(actions.SEALED, actions.LOST, *actions.BY_A_SITE),
        *(actions.CLEARED, actions.WAIVED, f"gate.{GateState.OPEN}"),
    }
)
"""What is not even begun then: it is written with a seal, or takes a site's runtime that is ready."""


_BEFORE_THE_START: Final = frozenset({actions.DAMAGE, actions.REPAIRED})
"""What a daemon finds of the log before it says that it started."""


_ITSELF: Final = "capacitord"
"""Who does what the box does by itself."""


class Run(NamedTuple):
    """Entries from `first` to `last` that are sealed with one `key`, or not at all if that is empty."""

    key: str
    first: int
    last: int
    actions: tuple[str, ...]
    impossible: str = ""


class Runs:
    """Takes the entries of a log in order, and tells which of them nobody vouches for."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._begun = self._started = False

    def take(self, entry: AuditEntry) -> None:
        """Take the next entry."""
        key = entry.seal.partition(":")[0]
        self._begun = self._begun or bool(key)
        # A daemon that has the key keeps it: what comes without a seal is of the next one, which says that it started.
        self._started = not key and (self._started or entry.action == actions.STARTED)
        if not self._runs or self._runs[-1].key != key:
            self._runs.append(Run(key, entry.number, entry.number, ()))
        run = self._runs[-1]
        # Before there were seals everything was done without one.
        wrong = "" if key or not self._begun else judge_unsealed(entry, started=self._started)
        # What is sealed has no need to be told apart.
        new = not key and entry.action not in run.actions
        self._runs[-1] = run._replace(
            last=entry.number,
            actions=(*run.actions, entry.action) if new else run.actions,
            impossible=run.impossible or wrong,
        )

    @property
    def impossible(self) -> str:
        """What is wrong with the first entry that cannot be genuine, or nothing."""
        return next((run.impossible for run in self._runs if run.impossible), "")

    @property
    def unvouched(self) -> tuple[AuditRange, ...]:
        """The entries that nobody vouches for.

        Among them are those with seals of another key between two of the same: that key was not the box's then.
        """
        first: dict[str, int] = {}
        last: dict[str, int] = {}
        for place, run in enumerate(self._runs):
            first.setdefault(run.key, place)
            last[run.key] = place
        within = [(first[key], last[key]) for key in first if key and first[key] < last[key]]
        sealed_from = next((place for place, run in enumerate(self._runs) if run.key), len(self._runs))
        found = []
        for place, run in enumerate(self._runs):
            between = any(start < place < end for start, end in within if self._runs[start].key != run.key)
            if not run.key or between:
                found.append(AuditRange(run.first, run.last, run.actions, _words(run, early=place < sealed_from)))
        return tuple(found)


def judge_unsealed(entry: AuditEntry, *, started: bool) -> str:
    """Return why an entry without a seal cannot be genuine once the log is sealed, or nothing.

    `started` says that a daemon had started since the last seal. An action that this version does not know may be
    genuine.
    """
    done = entry.action in REFUSED_WITHOUT and entry.result in _DID_SOMETHING
    if done or entry.action in NEVER_WITHOUT:
        return f"entry {entry.number} says {entry.action}: {entry.result}, and has no seal; that takes the box key"
    if entry.action in actions.OWN and entry.user != _ITSELF:
        return f"entry {entry.number} says {entry.action} by {entry.user}, and no person does that"
    if not started and entry.action not in _BEFORE_THE_START:
        return f"entry {entry.number} says {entry.action}: {entry.result}, and no daemon without the key had started"
    return ""


def _words(run: Run, *, early: bool) -> str:
    single = run.first == run.last
    which = f"entry {run.first}" if single else f"entries {run.first} to {run.last}"
    when = "before the first seal" if early else "while the box key was not at hand"
    how = f"{'was' if single else 'were'} written {when}"
    if run.key:
        how = f"{'has a seal' if single else 'have seals'} of box key {run.key}, which can't be checked"
    return f"{which} {how}; nobody vouches that {'it is' if single else 'they are'} genuine"
