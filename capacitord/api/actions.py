"""Everything that an entry of the audit log can be about: what is asked of the box, and what it does by itself."""

from __future__ import annotations

from typing import Final

from capacitord.api.routes import ROUTES

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

OWN: Final = (STARTED, STOPPED, SEALED, REPAIRED, LOST, DAMAGE, REMATCH, LET_THROUGH)
"""What the box does by itself."""

ACTIONS: Final = tuple(sorted((*(route.name for route in ROUTES if route.is_audited), *OWN)))
