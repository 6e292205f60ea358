"""Which site a box is to serve: by the evidence of where it is, or by a person's word against that. One rule, pure."""

from __future__ import annotations

from typing import NamedTuple

from capacitord.model.location import Decision


class Word(NamedTuple):
    """Which site was said last to be served, empty for none.

    `override`: by a person, on a box that follows, or perhaps so, as nobody knows any more what was said.
    """

    site: str
    override: bool


class Wanted(NamedTuple):
    """The site to serve, empty for none, and why in words; empty if it is as it was said last."""

    site: str
    reason: str = ""


def wanted(said: Word, decision: Decision | None, *, opened: bool) -> Wanted:
    """Return which site is to be served.

    `decision` is None on a box that does not follow the evidence, or as long as there is none; then it is what was said
    last. An override stands against all evidence until it is ended. In a conflict nothing opens: a site that is open
    already (`opened`) stays so if the box has not left it as far as is known.
    """
    if decision is None or said.override:
        return Wanted(said.site)
    reason = "; ".join(decision.reasons)
    if decision.conflict:
        if opened and said.site in decision.kept:
            return Wanted(said.site)
        return Wanted("", f"the evidence of where this box is disagrees: {reason}")
    if decision.site == said.site:
        return Wanted(said.site)
    if decision.site is None:
        return Wanted("", reason or "this box is at no site it knows") if said.site else Wanted("")
    return Wanted(decision.site, reason)
