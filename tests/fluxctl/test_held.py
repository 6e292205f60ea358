"""A study that no route matches, from the scanner to the person who sends it, with the real daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fluxctl.test_real_box import Operator, the_study
from tests.images import TINY, write_study
from tests.peers.senders import storescu
from tests.peers.storescp import Storescp
from tests.system.box import Box, Target
from tests.wait import wait_for

pytestmark = pytest.mark.peers


def becomes(operator: Operator, state: str) -> Any:
    def found() -> Any:
        study = the_study(operator)
        return study if study["state"] == state else None

    return wait_for(found, what=f"the study to be {state}")


def test_a_study_that_no_route_matches_waits_for_a_person_who_can_see_it_everywhere(tmp_path: Path) -> None:
    with (
        Storescp(tmp_path / "pacs") as pacs,
        Box(tmp_path / "box", Target("pacs", "PACS", pacs.port), settings={"spool": {"study_quiet": "1s"}}) as box,
    ):
        operator = Operator(box)
        box.routes = [{"match": {"Modality": "US"}, "to": ["pacs"], "priority": "stat"}]
        box.serve(*box.targets)
        storescu(write_study(tmp_path / "study", images=3, shape=TINY), box.host, box.port)
        study = becomes(operator, "held")
        reason = f"3 of 3 images: no route of version {box.profile_version} of the profile matches them."
        assert (study["reason"], study["held"]) == (reason, 3)
        for words in (["study", "show", study["id"]], ["queue", "list"], ["status"]):
            page = " ".join(operator.run(*words).out.split())
            assert reason in page
            assert f"fluxctl release {study['id']}" in page
        assert "held" in operator.run("study", "list").out
        assert [each["id"] for each in operator.json("study", "list", "--undelivered")["studies"]] == [study["id"]]
        assert not [note for note in operator.run("status").out.splitlines() if "route does not act" in note]
        # Nobody says where it goes, so it goes nowhere.
        refused = operator.run("resend", study["id"], "--yes")
        assert refused.code == 6
        assert f"fluxctl resend {study['id']} --to DEST" in " ".join(refused.err.split())
        assert operator.run("resend", study["id"], "--to", "pacs", "--yes").code == 0
        study = becomes(operator, "released")
        assert study["reason"] == "Released by an operator to pacs."
        wait_for(lambda: len(pacs.received()) == 3, what="it to be at the PACS")
        assert "operator" in operator.run("study", "show", study["id"], "--images").out
        (entry,) = operator.json("audit", "show", "--action", "study.resend")["entries"][-1:]
        assert {study["id"], "pacs"} <= set(entry["subjects"])
        assert "held" not in operator.run("status").out


def test_the_next_version_of_the_profile_sends_what_was_held(tmp_path: Path) -> None:
    with (
        Storescp(tmp_path / "pacs") as pacs,
        Box(tmp_path / "box", Target("pacs", "PACS", pacs.port), settings={"spool": {"study_quiet": "1s"}}) as box,
    ):
        operator = Operator(box)
        box.routes = [{"match": {"Modality": "US"}, "to": ["pacs"]}]
        box.serve(*box.targets)
        storescu(write_study(tmp_path / "study", images=2, shape=TINY), box.host, box.port)
        becomes(operator, "held")
        box.routes = [{"match": {"Modality": "US"}, "to": ["pacs"]}, {"to": ["pacs"], "priority": "high"}]
        box.serve(*box.targets)
        study = becomes(operator, "matched")
        assert study["reason"] == f"Goes by route 2 of version {box.profile_version} of the profile."
        assert study["deliveries"][0]["priority"] == "high"
        wait_for(lambda: len(pacs.received()) == 2, what="it to be at the PACS")
