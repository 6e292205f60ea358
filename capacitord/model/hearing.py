"""Whether each source of evidence had its say since the start: until then a site is decided, and not opened yet. Pure.

A network is seen at once, and a position some time later. What the first source says alone may be one half of a
contradiction, in which nothing opens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from capacitord.model.locating import FIRST_WORD, joined
from capacitord.model.location import Decision
from capacitord.model.presence import Phase

LONGEST_WAIT: Final = FIRST_WORD
"""Seconds after a start for which sources are waited for: one may be dead."""


def heard_out(decision: Decision, silent: Sequence[str]) -> Decision:
    """Return a decision with the doubt that there is as long as sources are `silent`, which are named in words.

    It stands for a doubt that would be over earlier; a site that is being left is in a worse one.
    """
    left = any(view.phase is Phase.LEAVING for view in decision.sites if view.site == decision.site)
    if not silent or decision.site is None or left:
        return decision
    has = "has" if len(silent) == 1 else "have"
    opens = f"{decision.site} opens by itself once what is said agrees, or {LONGEST_WAIT:.0f} s after the start"
    return msgspec.structs.replace(decision, doubt=f"{joined(silent)} {has} said nothing yet since the start; {opens}")
