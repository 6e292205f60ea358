"""Everything that an entry of the audit log can be about: what is asked of the box, and what it does by itself."""

from __future__ import annotations

from typing import Final

from capacitord.api.routes import ROUTES
from capacitord.model.states import GateState

STARTED: Final = "daemon.start"
STOPPED: Final = "daemon.stop"
SEALED: Final = "audit.seal"
REPAIRED: Final = "audit.repair"
LOST: Final = "audit.lost"
"""So many entries are missing: more came at once than could be written. Only earlier versions wrote that."""

DAMAGE: Final = "audit.damage"
"""The log is not what was written. From then on it never is again."""

REMATCH: Final = "study.rematch"
"""A study that was held goes, since an entry came that it matches: `rematch = "release"` of a profile."""

LET_THROUGH: Final = "study.let-through"
"""A study that nothing matches goes: `unmatched = { release-to = … }` of a profile."""

CUT_OFF: Final = "storage.cut-off"
"""Associations of scanners were aborted, as they took longer than they may when the storage port is shut."""

CLEARED: Final = "gate.clear"
"""Nothing is left on the scanners, or it is known that nothing need be asked: the gate may open for a site."""

WAIVED: Final = "gate.waive"
"""The gate may open for a site once, though somebody may be left on a scanner."""

LOCATED: Final = "location.decide"
"""The evidence means another site than before, or none."""

UNCHOSEN: Final = "site.unknown"
"""Nobody knows any more which site was chosen, or whether the box was parked: it is shut until somebody chooses."""

ABANDONED: Final = "drain.abandon"
"""What a site has left does not leave any more, though images are there: its time is over, or it is not to drain."""

GATE: Final = tuple(f"gate.{state}" for state in GateState)
"""What the gate has become."""

BY_PEOPLE: Final = ("held.discard", "held.release", "held.restore", "study.discard", "study.resend")
"""What people decide of studies: a site remembers it until this log has it."""

BY_A_SITE: Final = (REMATCH, LET_THROUGH, CUT_OFF)
"""What a site decides where a person would decide otherwise, or has to do, and remembers until this log has it."""

OWN: Final = (
    *(STARTED, STOPPED, SEALED, REPAIRED, LOST, DAMAGE),
    *BY_A_SITE,
    *(CLEARED, WAIVED, LOCATED, UNCHOSEN, ABANDONED, *GATE),
)
"""What the box does by itself."""

ACTIONS: Final = tuple(sorted((*(route.name for route in ROUTES if route.is_audited), *OWN)))
