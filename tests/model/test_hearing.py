"""A site that is decided before all evidence was heard is in doubt, for a bounded time."""

from __future__ import annotations

import pytest

from capacitord.model.hearing import heard_out
from capacitord.model.location import Decision, Network, SiteView
from capacitord.model.presence import Phase

LEFT = SiteView("lakeside", Phase.LEAVING, 0.0, Network.SILENT, None, None, "")


def test_it_says_who_is_waited_for_and_until_when() -> None:
    found = heard_out(Decision("lakeside", doubt="nothing said so; it opens 10 s after the start"), ["the GPS"])
    assert found.site == "lakeside"
    assert found.doubt == (
        "the GPS has said nothing yet since the start; lakeside opens by itself once what is said agrees, "
        "or 60 s after the start"
    )
    assert heard_out(Decision("lakeside"), ["the network", "the GPS"]).doubt.startswith(
        "the network and the GPS have said nothing yet"
    )


@pytest.mark.parametrize(
    "decision",
    [
        Decision(None),
        Decision(None, conflict=True, kept=("lakeside",)),
        Decision("lakeside", sites=(LEFT,), doubt="it is being left"),
    ],
)
def test_nothing_is_added_where_nothing_would_be_opened(decision: Decision) -> None:
    assert heard_out(decision, ["the GPS"]) is decision


def test_there_is_no_doubt_once_all_was_heard() -> None:
    assert heard_out(Decision("lakeside"), []) == Decision("lakeside")
