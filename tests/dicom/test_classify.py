from __future__ import annotations

import errno
import itertools
import socket
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.status import code_to_category

from capacitord.dicom import classify
from capacitord.dicom.classify import ConnectFailure, End
from capacitord.dicom.contexts import Pair, Refusal
from capacitord.model.outcome import Outcome, Verdict

PEER = "STM_PACS"
CT_J2K = Pair("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.4.90")
ALL_STATUSES = range(0x10000)
STORED = {Verdict.DONE, Verdict.DONE_WITH_WARNING}
TELLS_WHAT_TO_DO = ("again", "Ask", "Check", "Compare", "Look", "Send", "Export", "stopped at this box")


def is_a_sentence(outcome: Outcome) -> bool:
    reason = outcome.reason
    return reason.endswith(".") and "{" not in reason and "  " not in reason and len(reason) < 250


def test_every_status_has_a_verdict_and_a_sentence() -> None:
    verdicts: Counter[Verdict] = Counter()
    for status in ALL_STATUSES:
        outcome = classify.store_answer(PEER, status)
        verdicts[outcome.verdict] += 1
        assert outcome.status == status
        assert PEER in outcome.reason
        assert is_a_sentence(outcome), outcome
        assert outcome.verdict in STORED or any(word in outcome.reason for word in TELLS_WHAT_TO_DO), outcome
    # 0000 is done; 0001, 0107, 0116 and Bxxx are warnings; later is 0110, 0210, 0213, A7xx, FE00, FF00 and FF01.
    assert verdicts[Verdict.DONE] == 1
    assert verdicts[Verdict.DONE_WITH_WARNING] == 3 + 0x1000
    assert verdicts[Verdict.LATER] == 6 + 0x100
    assert verdicts.total() == 0x10000


def test_stored_is_only_what_the_standard_calls_success_or_warning() -> None:
    """pynetdicom's table was written from PS3.7 annex C by others, so it stands in for the standard here."""
    for status in ALL_STATUSES:
        stored = classify.store_answer(PEER, status).verdict in STORED
        assert stored == (code_to_category(status) in {"Success", "Warning"}), f"{status:04X}"
        assert (classify.store_answer(PEER, status).verdict is Verdict.DONE) == (status == 0)


@pytest.mark.parametrize(
    ("status", "verdict", "words"),
    [
        (0x0000, Verdict.DONE, "has stored the image."),
        (0xB000, Verdict.DONE_WITH_WARNING, "changed some of its values"),
        (0xB006, Verdict.DONE_WITH_WARNING, "left out some"),
        (0xB007, Verdict.DONE_WITH_WARNING, "does not match its SOP class"),
        (0xB123, Verdict.DONE_WITH_WARNING, "B123"),
        (0x0107, Verdict.DONE_WITH_WARNING, "not all of its attributes"),
        (0x0116, Verdict.DONE_WITH_WARNING, "out of its range"),
        (0xA700, Verdict.LATER, "out of resources"),
        (0xA7FF, Verdict.LATER, "A7FF"),
        (0xA900, Verdict.NEEDS_PERSON, "does not match its SOP class"),
        (0xA800, Verdict.NEEDS_PERSON, "refused the image (status A800)"),
        (0xC000, Verdict.NEEDS_PERSON, "cannot understand"),
        (0xC211, Verdict.NEEDS_PERSON, "C211"),
        (0x0110, Verdict.LATER, "failed to process"),
        (0x0111, Verdict.NEEDS_PERSON, "already has an image"),
        (0x0112, Verdict.NEEDS_PERSON, "no such SOP instance"),
        (0x0117, Verdict.NEEDS_PERSON, "not valid"),
        (0x0122, Verdict.NEEDS_PERSON, "does not support the SOP class"),
        (0x0124, Verdict.NEEDS_PERSON, "does not allow this box"),
        (0x0210, Verdict.LATER, "already had"),
        (0x0211, Verdict.NEEDS_PERSON, "does not take images"),
        (0x0212, Verdict.NEEDS_PERSON, "could not read the request"),
        (0x0213, Verdict.LATER, "short of resources"),
        (0x0150, Verdict.NEEDS_PERSON, "failed to store"),
        (0xFE00, Verdict.LATER, "cancelled"),
        (0xFF00, Verdict.LATER, "no final answer"),
        (0x4711, Verdict.NEEDS_PERSON, "no standard defines (4711)"),
    ],
)
def test_statuses_people_meet(status: int, verdict: Verdict, words: str) -> None:
    outcome = classify.store_answer(PEER, status)
    assert outcome.verdict is verdict
    assert words in outcome.reason


def test_a_duplicate_counts_as_stored_only_if_an_earlier_attempt_may_have_brought_it() -> None:
    first = classify.store_answer(PEER, 0x0111, "exists")
    again = classify.as_repeated(first, PEER)
    assert first.verdict is Verdict.NEEDS_PERSON
    assert again.verdict is Verdict.DONE_WITH_WARNING
    assert again.comment == "exists"
    assert again.status == 0x0111


def test_nothing_but_a_duplicate_changes_when_repeated() -> None:
    for status in set(ALL_STATUSES) - {0x0111}:
        outcome = classify.store_answer(PEER, status)
        assert classify.as_repeated(outcome, PEER) is outcome


def test_an_answer_that_names_another_instance_never_makes_a_failure_a_success() -> None:
    for status in (0x0000, 0xB000, 0xA700, 0xC000, 0x0111):
        before = classify.store_answer(PEER, status)
        after = classify.other_instance(before, PEER)
        assert (after.verdict in STORED) == (before.verdict in STORED)
        assert after.verdict is not Verdict.DONE


def test_every_rejection_has_a_verdict_and_a_sentence() -> None:
    for result, source, reason in itertools.product((0, 1, 2, 3, 255), (*range(5), 255), range(256)):
        outcome = classify.rejection(PEER, "FLUXBOX", result, source, reason)
        assert is_a_sentence(outcome), outcome
        assert outcome.verdict in {Verdict.LATER, Verdict.NEEDS_PERSON}
        assert any(word in outcome.reason for word in TELLS_WHAT_TO_DO)
        if result == 2:
            assert outcome.verdict is Verdict.LATER


@pytest.mark.parametrize(
    ("rejected", "verdict", "words"),
    [
        ((1, 1, 1), Verdict.NEEDS_PERSON, "gives no reason"),
        ((1, 1, 2), Verdict.NEEDS_PERSON, "application context"),
        ((1, 1, 3), Verdict.NEEDS_PERSON, "does not know this box by its AE title (FLUXBOX)"),
        ((1, 1, 7), Verdict.NEEDS_PERSON, "does not call itself STM_PACS"),
        # It may be a scanner that is asked, too, and not only a destination.
        ((1, 1, 7), Verdict.NEEDS_PERSON, "Check the AE title, host and port that this box has for it."),
        ((2, 1, 3), Verdict.LATER, "(FLUXBOX)"),
        ((1, 2, 2), Verdict.NEEDS_PERSON, "version of the DICOM protocol"),
        ((2, 3, 1), Verdict.LATER, "congested"),
        ((2, 3, 2), Verdict.LATER, "as many associations as it allows"),
        ((1, 3, 2), Verdict.LATER, "as many associations as it allows"),
        ((1, 1, 9), Verdict.NEEDS_PERSON, "does not define (1/9)"),
    ],
)
def test_rejections_people_meet(rejected: tuple[int, int, int], verdict: Verdict, words: str) -> None:
    outcome = classify.rejection(PEER, "FLUXBOX", *rejected)
    assert outcome.verdict is verdict
    assert words in outcome.reason


def test_every_abort_and_every_other_end_is_for_later() -> None:
    outcomes = [classify.abort(PEER, source, reason) for source in range(256) for reason in range(256)]
    outcomes += [classify.ended(PEER, how) for how in End]
    outcomes += [classify.connect_failure(PEER, failure) for failure in ConnectFailure]
    for outcome in outcomes:
        assert outcome.verdict is Verdict.LATER
        assert is_a_sentence(outcome), outcome
        assert any(word in outcome.reason for word in TELLS_WHAT_TO_DO)


def test_an_abort_of_the_provider_says_why() -> None:
    assert "(unexpected PDU)" in classify.abort(PEER, 2, 2).reason
    assert "(unexpected PDU)" not in classify.abort(PEER, 0, 2).reason


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), ConnectFailure.REFUSED),
        (TimeoutError(), ConnectFailure.TIMED_OUT),
        (OSError(errno.EHOSTUNREACH, ""), ConnectFailure.UNREACHABLE),
        (OSError(errno.ENETUNREACH, ""), ConnectFailure.UNREACHABLE),
        (socket.gaierror(socket.EAI_NONAME, ""), ConnectFailure.UNKNOWN_HOST),
        (OSError(errno.EMFILE, ""), ConnectFailure.OTHER),
        (OSError("without a number"), ConnectFailure.OTHER),
    ],
)
def test_connect_errors(error: OSError, failure: ConnectFailure) -> None:
    assert ConnectFailure.of(error) is failure


@pytest.mark.parametrize("refusal", Refusal)
def test_a_refused_context_names_sop_class_and_syntax_in_words(refusal: Refusal) -> None:
    outcome = classify.context_refused(PEER, CT_J2K, refusal)
    assert "CT Image Storage" in outcome.reason
    assert "JPEG 2000 Lossless" in outcome.reason or refusal is Refusal.SOP_CLASS
    assert is_a_sentence(outcome)
    assert any(word in outcome.reason for word in TELLS_WHAT_TO_DO)


def test_what_a_peer_has_said_itself_is_its_refusal() -> None:
    ours = {refusal for refusal in Refusal if not classify.context_refused(PEER, CT_J2K, refusal).is_refusal}
    assert ours == {Refusal.NOT_ANSWERED, Refusal.NOT_PROPOSED, Refusal.UNFIT}
    assert not classify.damaged_image().is_refusal


def test_the_sentence_for_a_refused_syntax() -> None:
    assert classify.context_refused(PEER, CT_J2K, Refusal.TRANSFER_SYNTAX).reason == (
        "STM_PACS does not accept CT Image Storage as JPEG 2000 Lossless. "
        "Ask the administrator of STM_PACS to add it, or have the scanner send another transfer syntax."
    )


@given(st.text(max_size=6000))
def test_a_comment_is_one_bounded_printable_line(comment: str) -> None:
    clean = classify.clean_comment(comment)
    assert len(clean) <= classify.LONGEST_COMMENT
    assert clean == clean.strip()
    assert all(char == " " or unicodedata.category(char)[0] not in "CZ" for char in clean)


@pytest.mark.parametrize(
    ("comment", "clean"),
    [
        ("Disk full\r\n\x1b[31mred\x00", "Disk full [31mred"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b", "a b"),
        ("  Out  of\tspace  ", "Out of space"),
        ("x" * 129, "x" * 127 + "…"),
        ("x" * 128, "x" * 128),
    ],
)
def test_comments_are_cleaned_and_cut(comment: str, clean: str) -> None:
    assert classify.clean_comment(comment) == clean


@given(peer=st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=16))
def test_any_ae_title_can_stand_in_a_sentence(peer: str) -> None:
    assert peer in classify.store_answer(peer, 0xA700).reason
    assert peer in classify.rejection(peer, peer, 1, 1, 3).reason
    assert peer in classify.ended(peer, End.CLOSED).reason
    assert peer in classify.context_refused(peer, CT_J2K, Refusal.SOP_CLASS).reason
    assert peer in classify.connect_failure(peer, ConnectFailure.REFUSED).reason


def test_an_echo_that_is_answered_otherwise_than_with_success_is_shown() -> None:
    assert classify.echo_answer(PEER, 0).verdict is Verdict.DONE
    assert classify.echo_answer(PEER, 0x0122).verdict is Verdict.NEEDS_PERSON
    assert "0122" in classify.echo_answer(PEER, 0x0122).reason
