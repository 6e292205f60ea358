"""What holds for every query and every entry."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from capacitord.dicom.worklist import moments
from capacitord.dicom.worklist.answers import answer
from capacitord.dicom.worklist.entry import SYNTAXES, Entry, read
from capacitord.dicom.worklist.wildcards import Pattern
from tests.dicom.samples import BIG_ENDIAN, EXPLICIT, IMPLICIT
from tests.dicom.worklist.kit import STEP, entry, matched, query, step

LETTERS = st.characters(blacklist_categories=("C", "Z"), blacklist_characters="\\^=*?")
TEXT = st.text(LETTERS, min_size=1, max_size=16)
NAMES = st.lists(TEXT, min_size=1, max_size=5).map("^".join)
DAYS = st.dates(dt.date(1, 1, 1)).map(lambda day: day.strftime("%Y%m%d").rjust(8, "0"))
TIMES = st.times().map(lambda time: time.strftime("%H%M%S.%f"))
UTF8 = "ISO_IR 192"
DATE, TIME = "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime"

VALUES = {
    "PatientName": NAMES,
    "PatientID": TEXT,
    "AccessionNumber": TEXT,
    "PatientBirthDate": DAYS,
    "PatientSex": st.sampled_from("MFO"),
    "PatientWeight": st.floats(0, 500).map(lambda weight: f"{weight:.3f}"),
    "StudyInstanceUID": st.integers(0, 1 << 100).map(lambda number: f"2.25.{number}"),
    "PregnancyStatus": st.integers(0, 65535).map(str),
    "00091002": TEXT,
}
IN_STEP = {
    "Modality": st.sampled_from(["CT", "MR"]),
    DATE: DAYS,
    TIME: TIMES,
    "ScheduledProcedureStepDescription": TEXT,
    "StudyComments": TEXT,
}


@st.composite
def said(draw: st.DrawFn, *, universal: bool = False) -> dict[str, Any]:
    """Return some attributes, empty ones if `universal`."""

    def some(strategies: dict[str, st.SearchStrategy[str]]) -> dict[str, Any]:
        keywords = draw(st.lists(st.sampled_from(sorted(strategies)), unique=True))
        return {keyword: None if universal else draw(st.none() | strategies[keyword]) for keyword in keywords}

    found = some(VALUES)
    if draw(st.booleans()):
        found[STEP] = [some(IN_STEP) for _ in range(draw(st.integers(0, 1 if universal else 3)))]
    return found


def tags(level: Entry) -> set[str]:
    """Return all tags of a dataset and of the items in it, with the way to them."""
    inside = {f"{tag:08X}.{below}" for tag in level.tags() for item in level.items(tag) for below in tags(item)}
    return {f"{tag:08X}" for tag in level.tags()} | inside


@given(said(universal=True), said())
def test_universal_keys_match_everything(asked: dict[str, Any], there: dict[str, Any]) -> None:
    assert matched(asked, there, UTF8)


@given(said())
def test_an_entry_matches_its_own_values(there: dict[str, Any]) -> None:
    asked = {keyword: value for keyword, value in there.items() if keyword != STEP or len(value) <= 1}
    assert matched(asked, there, UTF8)


@given(said(), said(), st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]))
def test_an_answer_has_only_what_was_asked_for(asked: dict[str, Any], there: dict[str, Any], syntax: str) -> None:
    asked.update({STEP: asked.get(STEP, [])[:1]})
    found = answer(query(asked, UTF8), entry(there, UTF8), SYNTAXES[syntax])
    there_now = tags(read(found.data, syntax))
    allowed = {"SpecificCharacterSet": UTF8, **asked}
    if not asked[STEP] or not asked[STEP][0]:
        # All of the sequence was asked for.
        allowed[STEP] = [dict.fromkeys(IN_STEP)]
    assert there_now <= tags(entry(allowed, UTF8))
    assert "00091002" not in there_now


@given(said(), said())
def test_an_answer_still_matches_its_query(asked: dict[str, Any], there: dict[str, Any]) -> None:
    asked.update({STEP: asked.get(STEP, [])[:1]})
    wanted = query(asked, UTF8)
    if wanted.matches(entry(there, UTF8)):
        found = answer(wanted, entry(there, UTF8), SYNTAXES[EXPLICIT])
        assert wanted.matches(read(found.data, EXPLICIT))


@given(st.sampled_from(["PatientID", "PatientName"]), TEXT, st.data())
def test_a_wildcard_made_from_a_value_matches_it(keyword: str, value: str, data: st.DataObject) -> None:
    there = entry({keyword: value}, UTF8)
    (known,) = there.values(0x00100010 if keyword == "PatientName" else 0x00100020)
    at = data.draw(st.integers(0, len(known) - 1))
    stop = data.draw(st.integers(at, len(known)))
    for key in (known[:at] + "?" + known[at + 1 :], known[:at] + "*" + known[stop:], known[:at] + "*" + known[at:]):
        assert query({keyword: key}, UTF8).matches(there)


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_wildcards_are_those_of_a_simple_reading(key: str, text: str) -> None:
    simple = re.compile("".join({"*": "[ab]*", "?": "[ab]"}.get(char, char) for char in re.sub(r"\*+", "*", key)))
    assert Pattern(key).matches(text) is (simple.fullmatch(text) is not None)


@given(DAYS, DAYS, DAYS)
def test_a_range_is_the_meeting_of_its_two_halves(first: str, last: str, day: str) -> None:
    def within(key: str) -> bool:
        return matched({"PatientBirthDate": key}, {"PatientBirthDate": day})

    assert within(f"{first}-{last}") is (within(f"{first}-") and within(f"-{last}"))
    assert within(f"{first}-{first}") is within(first)
    assert within(f"{first}-") or within(f"-{first}")


@given(st.tuples(DAYS, DAYS, DAYS), st.tuples(TIMES, TIMES, TIMES))
def test_dates_and_times_together_are_moments(days: tuple[str, str, str], times: tuple[str, str, str]) -> None:
    (d1, day, d2), (t1, time, t2) = days, times
    there = step(**{DATE: day, TIME: time})
    assert matched(step(**{DATE: f"{d1}-{d2}", TIME: f"{t1}-{t2}"}), there) is (d1 + t1 <= day + time <= d2 + t2)
    assert matched(step(**{DATE: f"{d1}-", TIME: f"{t1}-"}), there) is (d1 + t1 <= day + time)
    assert matched(step(**{DATE: f"-{d2}", TIME: f"-{t2}"}), there) is (day + time <= d2 + t2)
    # A day without a time counts whole.
    assert matched(step(**{DATE: f"{d1}-{d2}", TIME: f"{t1}-"}), there) is (d1 + t1 <= day + time and day <= d2)
    assert matched(step(**{DATE: f"{d1}-{d2}", TIME: f"-{t2}"}), there) is (d1 <= day and day + time <= d2 + t2)
    # A time without a day is one of every day.
    assert matched(step(**{DATE: f"-{d2}", TIME: f"{t1}-{t2}"}), there) is (day <= d2 and t1 <= time <= t2)


@given(st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1)), st.times(), st.integers(-12 * 60, 14 * 60))
def test_a_moment_is_the_same_at_every_offset(day: dt.date, time: dt.time, minutes: int) -> None:
    moment = dt.datetime.combine(day, time, dt.UTC)
    local = (moment + dt.timedelta(minutes=minutes)).strftime("%Y%m%d%H%M%S.%f")
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
    utc = moment.strftime("%Y%m%d%H%M%S.%f")
    assert moments.date_time(local + offset) == moments.date_time(local, offset) == moments.date_time(utc)
    assert moments.date_times(f"{utc}-").holds(moments.date_time(local + offset))
    assert moments.date_times(utc[:8] + "-" + utc[:8]).holds(moments.date_time(utc))
    assert moments.date_times(utc[:6] + "-" + utc[:6]).holds(moments.date_time(utc))
    assert moments.date_times(utc[:4] + "-" + utc[:4]).holds(moments.date_time(utc))


@given(st.text("0123456789-+.: ", max_size=30))
def test_any_text_is_a_range_or_is_refused(text: str) -> None:
    for parse in (moments.days, moments.clocks, moments.date_times):
        try:
            span = parse(text)
        except moments.NotAMoment:
            continue
        assert span.first is not None or span.last is not None


def test_the_standards_examples_of_date_times() -> None:
    # PS3.4 §C.2.2.2.1.3 note 1, §C.2.2.2.5.3.
    assert moments.date_times("19980128103000.0000").holds(moments.date_time("19980128103000"))
    assert moments.date_times("19980128103000").holds(moments.date_time("19980128073000-0300"))
    assert moments.date_times("20060705100000-0500-20060707180000-0500").holds(moments.date_time("20060706"))
