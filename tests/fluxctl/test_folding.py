"""What does not fit beside something goes on below, and nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from fluxctl.render import held, worklist
from fluxctl.render.look import Look
from fluxctl.render.page import draw, folded
from tests.fluxctl import held_samples as h
from tests.fluxctl import samples as s
from tests.fluxctl import worklist_samples as w
from tests.fluxctl.pages import LOOK, NARROW, WIDE


@pytest.mark.parametrize("look", [NARROW, LOOK, WIDE], ids=["60", "80", "120"])
def test_entries_beside_a_study_are_whole(look: Look) -> None:
    page = draw(held.shown(h.MANY, look), look)
    assert "…" not in page
    assert max(cell_len(line) for line in page.splitlines()) <= look.width
    for number, each in enumerate(h.MANY_ROW.candidates, 1):
        assert f"{number}: entry {each.entry.id}" in page
    assert "Miller^Anna^M" in page


@pytest.mark.parametrize("look", [NARROW, LOOK, WIDE], ids=["60", "80", "120"])
def test_an_entry_of_the_worklist_is_whole_and_what_has_no_value_is_counted(look: Look) -> None:
    page = draw(worklist.shown(w.DETAIL, look), look)
    assert "…" not in page
    assert page.index("ConfidentialityCode") < page.index("SpecificCharacterSet")
    assert "RequestedProcedurePriority" not in page
    assert "1 attribute without a value: --all shows them" in page
    assert "Procedure" in draw(worklist.shown(w.DETAIL, look, everything=True), look)
    assert "--all" not in draw(worklist.shown(w.DETAIL, look, everything=True), look)


def test_what_is_not_said_is_nothing_to_fold() -> None:
    nothing = s.changed(w.DETAIL, attributes=())
    assert "--all" not in draw(worklist.shown(nothing, LOOK), LOOK)


TEXTS = st.text(st.sampled_from("aB.^ 医é1-"), max_size=60).map(str.strip)


@given(TEXTS, st.integers(6, 30), st.integers(0, 2))
def test_nothing_is_lost_or_too_wide(text: str, width: int, hang: int) -> None:
    lines = folded(text, width, hang).split("\n")
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.startswith(" " * hang) for line in lines[1:])
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
