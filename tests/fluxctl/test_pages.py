"""What people read: exact pages, and the rules that hold for all of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from rich.cells import cell_len
from rich.text import Text

from capacitord.api import messages as m
from capacitord.api.messages import ProfileFinding
from capacitord.model.states import AckState, DeliveryState
from fluxctl.render import queue, status, study, watch
from fluxctl.render.look import Look
from fluxctl.render.page import Column, bar, columns, draw, fitted
from fluxctl.render.profile import narrowed
from tests.fluxctl import samples as s
from tests.fluxctl.pages import FOLDER, LOOK, PAGES, drawn


@pytest.mark.parametrize("name", PAGES)
def test_page(name: str) -> None:
    assert drawn(name) == (FOLDER / f"{name}.txt").read_text()


def test_there_is_no_page_that_nobody_draws() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_no_line_is_wider_than_the_page_or_ends_in_blanks(name: str) -> None:
    look, _ = PAGES[name]
    for line in drawn(name).splitlines():
        assert cell_len(line) <= look.width, line
        assert line == line.rstrip()


@pytest.mark.parametrize("name", PAGES)
def test_colours_carry_no_meaning_of_their_own(name: str) -> None:
    look, page = PAGES[name]
    coloured = draw(page(look), replace(look, color=True))
    while "\x1b" in coloured:
        before, _, after = coloured.partition("\x1b")
        coloured = before + after.partition("m")[2]
    assert [line.rstrip() for line in coloured.splitlines()] == drawn(name).splitlines()


def test_ascii_pages_are_ascii() -> None:
    assert drawn("status-ascii").isascii()


HOSTILE = "DOE\x1b[2J\x1b]0;owned\x07\r\nEVIL^[bold]JANE[/bold]\u202e"


@pytest.mark.parametrize("color", [False, True])
def test_texts_from_outside_steer_no_terminal(color: bool) -> None:
    look = replace(LOOK, color=color)
    hostile = s.changed(s.HEAD, patient_name=HOSTILE, description=HOSTILE, reason=HOSTILE)
    pages = (
        study.listed(s.changed(s.STUDIES, studies=(hostile,)), look),
        study.shown(m.StudyDetail("", hostile, (s.image(1, s.changed(s.REFUSED, comment=HOSTILE)),)), look),
    )
    for page in pages:
        text = draw(page, look)
        assert "\x1b[2J" not in text
        assert "\x1b]" not in text
        for character in "\x07\r\u202e":
            assert character not in text
        assert "[bold]" in text or "…" in text


def test_the_first_line_says_whether_she_may_scan() -> None:
    assert drawn("status").startswith("✔ READY TO SCAN — St. Mary's Hospital\n")
    assert drawn("status-troubled").startswith("✘ DO NOT SCAN — the disk is below its reserve of 20 GiB\n  next: ")


def test_columns_give_way_in_the_right_order() -> None:
    heads = [Column("a"), Column("b", keep=False, least=4), Column("c", keep=False, least=10)]
    assert fitted(heads, [5, 30, 12], 100) == [5, 30, 12]
    assert fitted(heads, [5, 30, 12], 30) == [5, 13, 12]
    assert fitted(heads, [5, 30, 12], 20) == [5, 5, 10]
    assert fitted(heads, [5, 30, 12], 1) == [5, 4, 10]
    assert fitted([Column("a", most=3)], [30], 100) == [3]


def test_what_differs_at_its_end_is_cut_at_its_beginning_and_a_list_goes_on_below() -> None:
    heads = [Column("a", keep=False, tail=True, least=6), Column("b", keep=False, wrap=True, least=12)]
    table = columns(heads, [("1.2.3.4.5.678", "one, two three, four"), ("1.2", Text("five"))], replace(LOOK, width=20))
    lines = ["a       b", "…5.678  one,", "        two three,", "        four", "1.2     five"]
    assert draw(table, LOOK).splitlines() == lines


def test_short_ids_are_as_long_as_it_takes() -> None:
    images = [s.image(n, object_id=each) for n, each in enumerate(("ab" * 16, "ab" * 15 + "cd", "12" * 16))]
    assert study.short_ids(images) == {
        "ab" * 16: "ab" * 15 + "a",
        "ab" * 15 + "cd": "ab" * 15 + "c",
        "12" * 16: "12" * 15 + "1",
    }
    assert set(study.short_ids(images[1:]).values()) == {"ababab", "121212"}
    assert study.short_ids(images[:1] * 2) == {"ab" * 16: "ababab"}


def test_what_this_box_holds_is_said_beside_what_a_destination_refused() -> None:
    item = s.changed(s.BACKUP, paused=True, refused_images=8, held_images=1)
    assert status.state(item, LOOK).plain == "⚠ paused, ✘ refused 8 images, ⚠ 1 image held back"
    assert "this box holds back 1 image and does not send it" in status.why(item)
    row = s.changed(s.QUEUE.destinations[1], refused=0, held=3)
    assert queue.state(row, LOOK).plain == "⚠ paused, ⚠ 3 held back"
    assert "this box holds back 3 images and does not send them" in queue.why(row)
    assert "fluxctl queue show STUDY" in queue.why(row)


@pytest.mark.parametrize(
    ("state", "version", "words"),
    [
        (AckState.DONE, 6, "sent under version 6 of the profile"),
        (AckState.REFUSED, 7, "sent under version 7 of the profile"),
        (AckState.HELD, 7, "held under version 7 of the profile"),
        (AckState.WAITING, None, ""),
    ],
)
def test_an_answer_says_under_which_version_of_the_profile_it_was_sent(
    state: AckState, version: int | None, words: str
) -> None:
    assert study.under(s.ack("pacs", state, profile_version=version)) == words


def test_what_images_were_sent_without_is_told_once_with_how_many() -> None:
    warned = s.ack("pacs", AckState.WARNING, reason="Stored. Sent without it: a change.")
    detail = m.StudyDetail("", s.HEAD, tuple(s.image(number, warned) for number in (1, 2, 3)))
    told = "⚠ pacs: 3 images: Stored. Sent without it: a change."
    assert draw(study.shown(detail, LOOK, images=True), LOOK).count(told) == 1
    assert told not in draw(study.shown(detail, LOOK), LOOK)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"paused": True}, "⚠ paused, ✘ refused 8 images"),
        ({"circuit": m.CircuitState.OPEN}, "✘ down, next try in 41 s, ✘ refused 8 images"),
        ({"circuit": m.CircuitState.CLOSED}, "⚠ deferred, next try in 41 s, ✘ refused 8 images"),
        (
            {"circuit": m.CircuitState.CLOSED, "waiting_images": 0, "reason": "", "next_try": None},
            "✘ refused 8 images",
        ),
    ],
)
def test_what_halts_a_destination_comes_before_what_it_refused_once(fields: dict[str, object], words: str) -> None:
    item = s.changed(s.BACKUP, refused_images=8, **fields)
    assert status.state(item, LOOK).plain == words
    row = s.changed(s.QUEUE.destinations[1], paused=False, refused=8)
    known = {name: value for name, value in fields.items() if name != "waiting_images"}
    row = s.changed(row, **known, images=item.waiting_images)
    assert queue.state(row, LOOK).plain == words.replace("refused 8 images", "8 refused")


@pytest.mark.parametrize(("share", "full"), [(0.0, 0), (0.001, 1), (0.5, 5), (0.999, 9), (1.0, 10), (2.0, 10), (-1, 0)])
def test_a_bar_never_lies_about_nothing_and_all(share: float, full: int) -> None:
    assert bar(share, 10) == "█" * full + "░" * (10 - full)


def test_watching_adds_up() -> None:
    picture = watch.Picture()
    for second in range(10):
        traffic = s.changed(s.TRAFFIC, bytes_received=second * 10 * s.MIB)
        now = s.ago(seconds=10 - second)
        event = m.StatusEvent(at=now, status=s.changed(s.STATUS, now=now, traffic=traffic))
        picture = watch.after(picture, event)
    assert watch.receive_rate(picture) == pytest.approx(10 * s.MIB)
    assert len(picture.received) == 6
    restarted = s.changed(s.STATUS, traffic=s.changed(s.TRAFFIC, bytes_received=0))
    picture = watch.after(picture, m.StatusEvent(at=s.NOW, status=restarted))
    assert watch.receive_rate(picture) == 0


def test_watching_keeps_the_last_notes_and_counts_what_it_missed() -> None:
    picture = watch.Picture()
    for number in range(20):
        note = m.NoteEvent(at=s.NOW, reference="x", message=str(number))
        picture = watch.after(picture, note)
    picture = watch.after(watch.after(picture, m.LaggedEvent(s.NOW, 3)), m.LaggedEvent(s.NOW, 4))
    assert [note.message for note in picture.notes] == ["14", "15", "16", "17", "18", "19"]
    assert picture.missed == 7


def test_news_ends_being_lost() -> None:
    picture = watch.Picture(lost="gone")
    assert watch.after(picture, m.StatusEvent(s.NOW, s.STATUS)).lost == ""


def test_a_log_tells_only_what_is_new() -> None:
    event = m.StatusEvent(s.NOW, s.STATUS)
    line, sentence = watch.told(event, "", LOOK)
    assert line == "2025-11-21 14:02:11 CST  status  ✔ READY TO SCAN — St. Mary's Hospital"
    assert watch.told(event, sentence, LOOK) == ("", sentence)
    changed = m.StatusEvent(s.NOW, s.changed(s.STATUS, gate=s.BLOCKED))
    assert "DO NOT SCAN" in watch.told(changed, sentence, LOOK)[0]


@pytest.mark.parametrize("level", list(m.Level))
def test_every_level_of_the_disk_has_words(level: m.Level) -> None:
    assert str(status.disk(s.changed(s.DISK, level=level)))


def test_a_box_without_a_disk_size_divides_by_nothing() -> None:
    assert "0 MiB free of 0 MiB" in str(status.disk(s.changed(s.DISK, total=0, free=0)))


def test_a_look_is_never_too_narrow_to_read() -> None:
    tight = Look(width=40, color=False, unicode=True, now=s.NOW)
    for line in draw(status.page(s.STATUS, tight), tight).splitlines():
        assert cell_len(line) <= 80


@pytest.mark.parametrize("before", ["", "x" * 15, "x" * 300, "病" * 300, "e\u0301" * 200, "🏥" * 9])
@pytest.mark.parametrize("behind", ["", "y" * 300, "院" * 100])
@pytest.mark.parametrize("room", [30, 72])
def test_a_place_is_marked_to_the_column_however_wide_its_line_is(before: str, behind: str, room: int) -> None:
    finding = ProfileFinding("error", "key", "words", excerpt=f"{before}PLACE{behind}", mark=len(before), length=5)
    line, mark, length = narrowed(finding, room)
    assert line[mark : mark + length] == "PLACE"
    assert cell_len(line) <= room
    assert (line[0] == "…") == (not finding.excerpt.startswith(line[0]))
    assert line.endswith("…") != finding.excerpt.endswith(line[-5:])


def test_columns_with_nothing_in_them_give_way_before_what_tells_something_is_cut() -> None:
    found = s.delivery("a-destination-of-a-site", DeliveryState.DELIVERED, 5, 5)
    shown = study.deliveries((s.changed(found, delivered_at=s.ago(seconds=35)),), LOOK)
    assert "✔ delivered 35 s ago" in draw(shown, LOOK)
    assert "In doubt" not in draw(shown, LOOK)
    assert "In doubt" in draw(study.deliveries((s.delivery("pacs", DeliveryState.QUEUED, 5, 0),), LOOK), LOOK)


def test_what_was_discarded_is_not_called_held_nor_delivered() -> None:
    done = s.changed(s.DETAIL.study, discarded=2, held=0, held_for=())
    assert "⚠ 2 discarded" in study.where(done).plain
    gone = s.image(1, routing="set aside", held="it is of nobody")
    found = s.changed(s.DETAIL, study=done, images=(gone,), restorable_until=s.NOW + timedelta(seconds=71_000))
    page = " ".join(draw(study.shown(found, LOOK), LOOK).split())
    assert "2 images were discarded, and can be had back for 19 h of the box's time" in page
    assert "⚠ discarded" in page
    assert "held: it is of nobody" not in page
