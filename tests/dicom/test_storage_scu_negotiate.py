from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ, A_RELEASE_RP, A_RELEASE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from capacitord.dicom import negotiate
from capacitord.dicom.contexts import Answer, Pair, propose
from capacitord.dicom.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from capacitord.dicom.negotiate import Abort, Acceptance, MalformedPdu, Rejection
from capacitord.errors import Invalid
from tests.dicom.acceptor import CT, EXPLICIT, J2K, MR, associate_ac, item

PAIRS = [Pair(CT, EXPLICIT), Pair(CT, J2K), Pair(MR, EXPLICIT)]


def test_the_request_says_what_is_proposed() -> None:
    """This is where we touch pynetdicom: a release that moves its public classes fails here first."""
    encoded = negotiate.associate_request("STM_PACS", "FLUXBOX", propose(PAIRS), 131072)
    request = A_ASSOCIATE_RQ()
    request.decode(encoded)
    assert request.called_ae_title.strip() == "STM_PACS"
    assert request.calling_ae_title.strip() == "FLUXBOX"
    assert request.application_context_name == "1.2.840.10008.3.1.1.1"
    assert [
        (context.context_id, context.abstract_syntax, context.transfer_syntax)
        for context in request.presentation_context
    ] == [(1, CT, [EXPLICIT]), (3, CT, [J2K]), (5, MR, [EXPLICIT])]
    user = request.user_information
    assert user is not None
    assert user.maximum_length == 131072
    assert user.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assert user.implementation_version_name == IMPLEMENTATION_VERSION_NAME


def test_a_request_with_128_contexts_is_whole() -> None:
    pairs = [Pair(f"1.2.3.{n}", EXPLICIT) for n in range(128)]
    encoded = negotiate.associate_request("A", "B", propose(pairs), 0)
    request = A_ASSOCIATE_RQ()
    request.decode(encoded)
    assert [context.context_id for context in request.presentation_context] == list(range(1, 256, 2))
    assert struct.unpack_from(">L", encoded, 2)[0] == len(encoded) - 6


@pytest.mark.parametrize("title", ["", "   ", "A" * 17, "A\\B", "A\nB", "P\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_bad_ae_title_is_refused_before_anything_is_sent(title: str) -> None:
    for called, calling in ((title, "FLUXBOX"), ("STM_PACS", title)):
        with pytest.raises(Invalid, match="1 to 16 characters"):
            negotiate.associate_request(called, calling, propose(PAIRS), 0)


def test_an_acceptance_is_read_as_pynetdicom_writes_it() -> None:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.called_ae_title, primitive.calling_ae_title = "STM_PACS", "FLUXBOX"
    contexts = []
    for context_id, result, syntax in ((1, 0, EXPLICIT), (3, 4, J2K), (5, 3, EXPLICIT)):
        context = build_context(CT, syntax)
        context.context_id, context.result = context_id, result
        contexts.append(context)
    primitive.presentation_context_definition_results_list = contexts
    longest = MaximumLengthNotification()
    longest.maximum_length_received = 28672
    class_uid = ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = "1.2.3"
    primitive.user_information = [longest, class_uid]
    primitive.result = 0
    encoded = A_ASSOCIATE_AC(primitive).encode()
    assert negotiate.read_acceptance(encoded[6:]) == Acceptance(
        {1: Answer(0, EXPLICIT), 3: Answer(4, ""), 5: Answer(3, "")}, 28672
    )


def test_unknown_items_and_rubbish_in_refused_contexts_are_skipped() -> None:
    extra = item(0x5F, b"what is this") + item(0x57, b"")
    body = associate_ac({1: (0, EXPLICIT), 3: (4, "\0not a UID")}, 4096, extra)[6:] + item(0x77, b"neither this")
    assert negotiate.read_acceptance(body) == Acceptance({1: Answer(0, EXPLICIT), 3: Answer(4, "")}, 4096)


def test_a_peer_without_a_maximum_length_has_none() -> None:
    assert negotiate.read_acceptance(associate_ac({1: (0, EXPLICIT)}, None)[6:]).max_pdu == 0


@pytest.mark.parametrize("padding", ["\0", " ", "\0\0"])
def test_a_padded_syntax_is_the_syntax(padding: str) -> None:
    acceptance = negotiate.read_acceptance(associate_ac({1: (0, EXPLICIT + padding)})[6:])
    assert acceptance.answers == {1: Answer(0, EXPLICIT)}


AC_BODY = associate_ac({1: (0, EXPLICIT)})[6:]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        AC_BODY[:67],
        b"\0\2" + AC_BODY[2:],
        AC_BODY[:-1],
        AC_BODY + b"\x21",
        AC_BODY + item(0x21, b"\3\0"),
        AC_BODY + item(0x21, b"\1\0\0\0"),
        AC_BODY + item(0x50, item(0x51, b"\0\0")),
        AC_BODY + b"\x21\0\xff\xff",
    ],
)
def test_a_malformed_acceptance_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedPdu):
        negotiate.read_acceptance(body)


@given(st.binary(max_size=300))
def test_garbage_as_an_acceptance_is_read_or_refused(garbage: bytes) -> None:
    for body in (garbage, AC_BODY[:68] + garbage):
        try:
            acceptance = negotiate.read_acceptance(body)
        except MalformedPdu:
            continue
        assert 0 <= acceptance.max_pdu < 1 << 32
        assert len(acceptance.answers) <= len(garbage)


@given(st.integers(0, len(AC_BODY) - 1), st.integers(0, 255))
def test_an_acceptance_with_any_byte_changed_is_read_or_refused(position: int, value: int) -> None:
    changed = bytearray(AC_BODY)
    changed[position] = value
    with contextlib.suppress(MalformedPdu):
        negotiate.read_acceptance(bytes(changed))


@given(st.sampled_from([1, 2]), st.sampled_from([(1, 1), (1, 3), (1, 7), (2, 2), (3, 1), (3, 2)]))
def test_a_rejection_is_read_as_pynetdicom_writes_it(result: int, source_and_reason: tuple[int, int]) -> None:
    rejection = A_ASSOCIATE_RJ()
    rejection.result = result
    rejection.source, rejection.reason_diagnostic = source_and_reason
    assert negotiate.read_rejection(rejection.encode()[6:]) == Rejection(result, *source_and_reason)


def test_an_abort_is_read_as_pynetdicom_writes_it() -> None:
    abort = A_ABORT_RQ()
    abort.source, abort.reason_diagnostic = 2, 6
    assert negotiate.read_abort(abort.encode()[6:]) == Abort(2, 6)


@pytest.mark.parametrize("body", [b"", b"\0\1\2", b"\0\1\2\3\4"])
def test_a_rejection_or_an_abort_of_another_length_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedPdu):
        negotiate.read_rejection(body)
    with pytest.raises(MalformedPdu):
        negotiate.read_abort(body)


def test_a_release_is_what_pynetdicom_writes() -> None:
    assert A_RELEASE_RQ().encode() == negotiate.RELEASE_RQ
    assert A_RELEASE_RP().encode() == negotiate.RELEASE_RP
