"""The list as it is served: swapped whole, corrected once, and looked for out of turn by one for all."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.elements import Malformed
from capacitord.dicom.worklist.correct import Mishap
from capacitord.dicom.worklist.entry import Entry
from capacitord.dicom.worklist.scu import listed
from capacitord.dicom.worklist.served import ServedList
from capacitord.model.conditions import Exactly, Has, Values
from capacitord.model.transform import Map, On, Operation, Prefix, Set, Suffix, Transform
from capacitord.model.worklist import EntryKey, Listed
from capacitord.model.worklist_cache import Cache, Rhythm, failed, merged
from tests.dicom.samples import EXPLICIT
from tests.dicom.serving import Requestor
from tests.dicom.transform.kit import at, value
from tests.dicom.worklist import kit
from tests.dicom.worklist.serving import serving
from tests.dicom.worklist.test_scp import WORKLIST, asking, statuses
from tests.wait import wait_for

COACH = Transform("coach", On.WORKLIST, (Set(at("ScheduledStationAETitle"), value("COACH")),))


class Site:
    """A clock, a source that may have a list, and the served list between them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cache = Cache()
        self.source: list[Listed] | None = None
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.served = ServedList(
            [COACH], key=b"k" * 32, zone=dt.UTC, rhythm=Rhythm(), clock=lambda: self.now, ask=self.ask
        )

    def ask(self) -> bool:
        self.asked += 1
        assert self.may_answer.wait(10)
        if self.source is None:
            self.cache = failed(self.cache, "no answer", self.now)
        else:
            self.cache = merged(self.cache, self.source, self.now)
        self.served.take(self.cache)
        return self.source is not None


def patients(*numbers: int, comment: str = "") -> list[Listed]:
    rng = random.Random(1)
    return [listed(kit.data({**kit.patient(number, rng), "PatientComments": comment}), EXPLICIT) for number in numbers]


def test_without_a_list_there_is_an_empty_one_with_a_warning() -> None:
    now = Site().served.snapshot()
    assert (now.entries, now.age, now.stale) == ((), None, True)
    assert now.warning == "No worklist has been fetched yet: this list is empty."


def test_a_list_is_served_corrected_and_shown_with_its_original() -> None:
    site = Site()
    site.source = patients(1, 2)
    site.ask()
    now = site.served.snapshot()
    assert [entry.items(0x00400100)[0].values(0x00400001) for entry in now.entries] == [("COACH",)] * 2
    shown = site.served.shown()[0]
    assert shown.original.items(0x00400100)[0].values(0x00400001) != ("COACH",)
    assert [(change.transform, change.after) for change in shown.corrected.changes] == [("coach", "COACH")]


ODD: object = b"\xff"
"""An argument that no operation of a profile has: whoever works with it fails in a way that nobody foresaw."""


def odd(name: str, *, of: str) -> Transform:
    """Return a correction that fails so, for one patient."""
    operation = Suffix(at(name), ODD)  # type: ignore[arg-type]
    return Transform("odd", On.WORKLIST, (operation,), Has(at("PatientID"), Values((Exactly(of),))))


def of(entries: Sequence[Entry]) -> list[str]:
    return [entry.values(0x00100020)[0] for entry in entries]


@pytest.mark.parametrize(
    ("name", "mishap"),
    [("Modality", Mishap.AS_IT_CAME), ("PatientID", Mishap.WITHHELD), ("PatientName", Mishap.WITHHELD)],
)
def test_an_error_that_nobody_foresaw_costs_one_entry_and_no_list(
    name: str, mishap: Mishap, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site()
    site.source = patients(1, 2, 3)
    site.ask()
    everybody = of(tuple(site.served.snapshot().entries))
    site.served.heed([COACH, odd(name, of=everybody[1])], zone=dt.UTC, rhythm=Rhythm())
    site.source = patients(1, 2, 3, 4)
    site.ask()
    assert site.served.mishaps() == {mishap: 1}
    now = of(tuple(site.served.snapshot().entries))
    assert now[:-1] == [each for each in everybody if mishap is Mishap.AS_IT_CAME or each != everybody[1]]
    failed_entry = site.served.shown()[1]
    assert failed_entry.corrected.mishap is mishap
    assert failed_entry.corrected.changes == ()
    assert [each.message.count("could not be corrected: ") for each in caplog.records] == [1], "it is said once"
    assert everybody[1] not in caplog.text
    site.served.heed([COACH], zone=dt.UTC, rhythm=Rhythm())
    assert site.served.mishaps() == {}
    assert len(tuple(site.served.snapshot().entries)) == 4


ODD_THINGS = st.one_of(st.none(), st.integers(), st.binary(max_size=3), st.text(max_size=3), st.lists(st.integers()))
ODD_TARGETS = st.sampled_from(["PatientID", "PatientName", "Modality", "ScheduledStationAETitle"])
ODD_OPERATIONS = st.builds(
    lambda make, name, what: make(at(name), what),
    st.sampled_from([Suffix, Prefix, Set, Map]),
    ODD_TARGETS,
    ODD_THINGS,
)


@given(st.lists(ODD_OPERATIONS, max_size=3))
def test_whatever_a_correction_does_a_fresh_list_takes_the_place_of_the_old_one(operations: list[Operation]) -> None:
    site = Site()
    site.source = patients(1)
    site.ask()
    site.served.heed([Transform("odd", On.WORKLIST, tuple(operations))], zone=dt.UTC, rhythm=Rhythm())
    site.source = patients(2, 3)
    site.now += 60
    assert site.ask()
    assert site.cache.fetched == site.now
    kept = {each.held.key for each in site.served.shown() if each.held.vanished is None}
    assert len(kept) == 2
    withheld = site.served.mishaps().get(Mishap.WITHHELD, 0)
    assert len(tuple(site.served.snapshot().entries)) == 2 - withheld


def test_what_did_not_change_is_not_corrected_again_and_what_vanished_is_not_served() -> None:
    site = Site()
    site.source = patients(1, 2)
    site.ask()
    before = site.served.snapshot()
    site.source = patients(1)
    site.ask()
    after = site.served.snapshot()
    assert tuple(after.entries) == tuple(before.entries)[:1]
    assert len(tuple(before.entries)) == 2
    assert [shown.held.vanished for shown in site.served.shown()] == [None, 1000.0]


def test_a_failure_leaves_the_list_and_an_old_one_is_said_to_be_old() -> None:
    site = Site()
    site.source = patients(1)
    site.ask()
    site.now, site.source = 51000.0, None
    site.ask()
    now = site.served.snapshot()
    assert (len(tuple(now.entries)), now.age, now.stale) == (1, 50000.0, True)
    assert now.warning == "This worklist is old: fetched 13 h 53 min ago."


def test_a_damaged_cache_does_not_take_the_place_of_a_good_list() -> None:
    site = Site()
    site.source = patients(1)
    site.ask()
    damaged = Listed(EntryKey("", "", "", "", ""), b"damaged", EXPLICIT)
    with pytest.raises(Malformed):
        site.served.take(merged(site.cache, [damaged], 2000.0))
    assert len(tuple(site.served.snapshot().entries)) == 1


def test_the_source_is_asked_once_in_a_while_and_by_one_for_all() -> None:
    site = Site()
    site.source = patients(7)
    site.may_answer.clear()
    with serving(site.served) as scp, ThreadPoolExecutor(6) as pool:

        def look(_: int) -> list[int]:
            with Requestor.associated(scp.port, WORKLIST) as requestor:
                requestor.send(asking({"PatientID": "P00007"}))
                return statuses(requestor)

        found = [pool.submit(look, number) for number in range(6)]
        wait_for(lambda: site.asked and len(scp.server.associations()) == 6, what="everybody to look")
        site.may_answer.set()
        assert [each.result(20) for each in found] == [[0xFF00, 0]] * 6
        assert site.asked == 1
        with Requestor.associated(scp.port, WORKLIST) as requestor:
            requestor.send(asking({"PatientID": "P00008"}))
            assert statuses(requestor) == [0]
            assert site.asked == 1
            site.now += 60
            requestor.send(asking({"PatientID": "P00008"}, 2))
            assert statuses(requestor) == [0]
            assert site.asked == 2


def test_another_version_of_the_profile_corrects_what_is_served_anew_and_only_then() -> None:
    site = Site()
    site.source = patients(1, 2)
    site.ask()
    before = site.served.snapshot().entries
    site.served.heed([COACH], zone=dt.UTC, rhythm=Rhythm(stale_after=1.0))
    assert site.served.snapshot().entries is before
    site.now += 2.0
    assert site.served.snapshot().stale
    other = Transform("other", On.WORKLIST, (Set(at("ScheduledStationAETitle"), value("OTHER")),))
    site.served.heed([other], zone=dt.UTC, rhythm=Rhythm())
    stations = {shown.attributes.values(at("ScheduledStationAETitle")) for shown in site.served.shown()}
    assert stations == {("OTHER",)}


def test_the_list_of_the_last_life_is_served_before_it_is_corrected() -> None:
    site = Site()
    site.cache = merged(Cache(), patients(*range(50)), 0.0)
    site.served.begin(site.cache)
    now = site.served.snapshot()
    assert len(tuple(now.entries)) == 50
    assert site.served.whole() == (Cache(), {}), "studies are matched with a list that is all corrected"
    with ThreadPoolExecutor(4) as pool:
        finished = pool.submit(site.served.finish)
        seen = [pool.submit(lambda: [entry.items(0x00400100)[0].values(0x00400001) for entry in now.entries])]
        assert [each.result(20) for each in seen] == [[("COACH",)] * 50]
        finished.result(20)
    after = site.served.snapshot()
    assert list(after.entries) == list(now.entries), "nothing is corrected twice"
    assert len(site.served.whole()[1]) == 50


def test_an_entry_that_needs_no_correction_is_served_as_it_is() -> None:
    served = ServedList([], key=b"k" * 32, zone=dt.UTC, rhythm=Rhythm(), clock=lambda: 0.0, ask=lambda: False)
    served.take(merged(Cache(), patients(1), 0.0))
    (shown,) = served.shown()
    assert shown.corrected.entry is shown.original


def test_correcting_many_entries_rests_now_and_then() -> None:
    rests: list[float] = []
    served = ServedList(
        [], key=b"k" * 32, zone=dt.UTC, rhythm=Rhythm(), clock=lambda: 0.0, ask=lambda: False, rest=rests.append
    )
    served.take(merged(Cache(), patients(*range(50)), 0.0))
    assert len(rests) == 2
    served.take(merged(Cache(), patients(1), 0.0))
    assert len(rests) == 2
