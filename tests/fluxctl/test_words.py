"""Numbers in words."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.api import messages as m
from capacitord.errors import Invalid
from fluxctl import times
from fluxctl.progress import line, waited
from fluxctl.render import box, profile, queue, status, study, words
from fluxctl.render.look import look_of
from fluxctl.render.page import draw
from tests.fluxctl import held_samples as h
from tests.fluxctl import samples as s
from tests.fluxctl.pages import LOOK, WIDE


@pytest.mark.parametrize(
    ("seconds", "text", "short"),
    [
        (-5, "0 s", "0 s"),
        (0, "0 s", "0 s"),
        (59.4, "59 s", "59 s"),
        (59.6, "1 min", "1 min"),
        (250, "4 min", "4 min"),
        (3599, "59 min", "59 min"),
        (3600, "1 h", "1 h"),
        (7800, "2 h 10 min", "2 h"),
        (11 * 3600 + 600, "11 h", "11 h"),
        (86399, "23 h", "23 h"),
        (100_000, "1 d 3 h", "1 d"),
        (40 * 86400, "40 d", "40 d"),
    ],
)
def test_durations(seconds: float, text: str, short: str) -> None:
    assert words.duration(seconds) == text
    assert words.span(seconds) == short


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 MiB"),
        (1, "0.1 MiB"),
        (2**20, "1.0 MiB"),
        (28.4 * 2**20, "28.4 MiB"),
        (410 * 2**20, "410 MiB"),
        (1946 * 2**20, "1,946 MiB"),
        (12.4 * 2**30, "12 GiB"),
        (12 * 2**40, "12.0 TiB"),
    ],
)
def test_sizes(number: float, text: str) -> None:
    assert words.size(number) == text


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], ""),
        (["it refused", "next try in 2 min"], "it refused; next try in 2 min"),
        (["It is tried again by itself.", "next try in 2 min"], "It is tried again by itself. Next try in 2 min"),
        (["It failed.", "next try now", "1 image in doubt"], "It failed. Next try now; 1 image in doubt"),
    ],
)
def test_remarks_are_joined_as_a_person_would(parts: list[str], text: str) -> None:
    assert words.joined(parts) == text


def test_counts() -> None:
    assert words.count(0, "image") == "no images"
    assert words.count(1, "study", "studies") == "1 study"
    assert words.count(1204, "study", "studies") == "1,204 studies"


def test_times_are_local_with_their_zone() -> None:
    assert words.clock(s.NOW, LOOK) == "14:02 CST"
    assert words.clock(s.ago(days=40), LOOK) == "2025-10-12 15:02 CDT"
    assert words.stamp(s.NOW, LOOK) == "2025-11-21 14:02:11 CST"
    assert words.clock(None, LOOK) == words.NOTHING
    assert words.until(s.NOW + timedelta(seconds=40), LOOK) == "in 40 s"
    assert words.until(s.ago(seconds=40), LOOK) == "now"
    assert words.ago(None, LOOK) == "never"


def test_dicom_values() -> None:
    assert words.dicom_name("DOE^JANE^A^DR") == "DOE, JANE A"
    assert words.dicom_name("YAMADA^HANAKO=山田^花子") == "YAMADA, HANAKO"
    assert words.dicom_name("=山田^花子") == "山田, 花子"
    assert words.dicom_name("^^=^=やまだ^はなこ") == "やまだ, はなこ"
    assert words.dicom_name("") == ""
    assert words.dicom_date("20251121") == "2025-11-21"
    assert words.dicom_date("2025") == "2025"
    assert words.dicom_time("134500.123") == "13:45"
    assert words.dicom_time("13") == "13"


def test_milliseconds() -> None:
    assert words.millis(None) == words.NOTHING
    assert words.millis(0.0012) == "1.2 ms"
    assert words.millis(1.5) == "1,500 ms"


@given(st.text())
def test_cleaned_texts_hold_nothing_that_steers(text: str) -> None:
    cleaned = words.clean(text)
    assert len(cleaned) == len(text)
    for character in cleaned:
        assert character == "\n" or ord(character) >= 32
        assert character not in "\x7f\x9b\u202e\u2066"


def test_ids_that_differ_look_different() -> None:
    assert words.clean("P1\u200b \u00ad\ufeff\u3164") == "P1� ���"
    assert words.clean("ک\u200cو MÜLLER 山田 홍길동") == "ک\u200cو MÜLLER 山田 홍길동"


def test_progress_lines() -> None:
    assert line("Reading", 5, 120, 0, 0.5) == "Reading 5 of 120 images"
    assert line("Reading", 60, 120, 20 * 2**20, 10) == "Reading 60 of 120 images, 2.0 MiB/s, 10 s left"
    assert waited("Asking RIS", 12.2, 40.0) == "Asking RIS, 12 s (given up after 40 s of silence)"
    assert waited("Asking RIS", 1.0, 0.0) == "Asking RIS, 1 s"


@pytest.mark.parametrize(
    ("text", "before"), [("90s", 90), ("10min", 600), ("10m", 600), ("2h", 7200), ("3d", 259200), ("1w", 604800)]
)
def test_ages_as_times(text: str, before: int) -> None:
    assert times.since(text, s.NOW) == s.NOW - timedelta(seconds=before)


def test_times_as_times() -> None:
    assert times.since("") is None
    assert times.since("2025-11-21T20:02:11Z") == s.NOW
    local = times.since("2025-11-21")
    assert local is not None
    assert local.tzinfo is not None


@pytest.mark.parametrize("text", ["yesterday", "2025-13-01", "5 parsecs", "9999999d"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(Invalid, match="is not a time"):
        times.since(text, s.NOW)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "color"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colours_only_where_they_are_wanted(environment: dict[str, str], color: bool) -> None:
    assert look_of(Terminal(), environment, s.NOW).color is color
    assert look_of(io.StringIO(), environment, s.NOW).color is False


def test_width_without_a_terminal() -> None:
    assert look_of(io.StringIO(), {}, s.NOW).width == 80
    assert look_of(io.StringIO(), {"COLUMNS": "100"}, s.NOW).width == 100
    assert look_of(io.StringIO(), {"COLUMNS": "5"}, s.NOW).width == 40
    assert look_of(io.StringIO(), {"COLUMNS": "many"}, s.NOW).width == 80
    assert look_of(io.StringIO(), {"COLUMNS": "500"}, s.NOW).width == 120


@pytest.mark.parametrize(
    ("room", "shown"), [(20, "/media/cd/IM0001.dcm"), (19, "/media/cd…M0001.dcm"), (9, "/med….dcm"), (1, "…")]
)
def test_a_long_file_name_is_shortened_in_its_middle(room: int, shown: str) -> None:
    assert words.shortened("/media/cd/IM0001.dcm", room) == shown
    assert len(shown) <= room


def test_what_a_person_typed_fakes_no_line_of_a_page() -> None:
    typed = "phantom\n1300  14:02 CST  root  key.export\r\x1b[2K"
    held = s.changed(s.BREAST, reason=typed)
    released = s.changed(h.RELEASED, reason=typed)
    gate = s.changed(s.NO_SITE.gate, parked=m.Parked(s.NOW, "kim", typed))
    entry = s.changed(s.AUDIT.entries[-1], detail=typed, user="kim\n", subjects=("a\n1300",))
    done = s.changed(s.AUDIT.entries[-1], number=44, result="done", detail="a\n1300", user="kim\n")
    activation = s.changed(s.HISTORY.activations[2], reason=typed)
    for drawn in (
        box.audit(m.AuditList("", (entry, done)), WIDE),
        study.head(held, WIDE, released),
        queue.listed(s.changed(s.QUEUE, held=(held,)), WIDE),
        profile.history(s.changed(s.HISTORY, activations=(activation,)), WIDE),
        status.page(s.changed(s.NO_SITE, gate=gate), WIDE),
    ):
        lines = [line.strip() for line in draw(drawn, WIDE).splitlines()]
        assert not [line for line in lines if line.startswith(("1300", "key.export"))], lines
        assert not set("".join(lines)) & {"\r", "\x1b"}
