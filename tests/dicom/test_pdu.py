"""P-DATA-TF and A-ABORT: what pynetdicom reads is what was meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, P_DATA_TF

from capacitord.dicom import pdu


def values(stream: bytes) -> list[tuple[int, int, bytes]]:
    """Context id, control and fragment of every PDV, as pynetdicom decodes them."""
    found: list[tuple[int, int, bytes]] = []
    while stream:
        kind, length = pdu.PDU_HEADER.unpack_from(stream)
        assert kind == pdu.PduType.DATA_TF
        decoded = P_DATA_TF()
        decoded.decode(stream[: 6 + length])
        for item in decoded.presentation_data_value_items:
            value = item.presentation_data_value
            assert value is not None
            assert item.presentation_context_id is not None
            found.append((item.presentation_context_id, value[0], bytes(value[1:])))
        stream = stream[6 + length :]
    return found


@given(
    st.binary(max_size=300),
    st.booleans(),
    st.integers(8, 200),
    st.integers(0, 127).map(lambda n: 2 * n + 1),
)
def test_a_message_is_split_to_fit_and_comes_back_whole(
    message: bytes, command: bool, max_pdu: int, context_id: int
) -> None:
    got = values(pdu.data_pdus(context_id, message, command=command, max_pdu=max_pdu))
    assert b"".join(fragment for _, _, fragment in got) == message
    assert {cx for cx, _, _ in got} == {context_id}
    assert [bool(control & pdu.LAST) for _, control, _ in got] == [False] * (len(got) - 1) + [True]
    assert {bool(control & pdu.COMMAND) for _, control, _ in got} == {command}
    assert all(len(fragment) + 6 <= max_pdu for _, _, fragment in got)
    assert all(len(fragment) % 2 == 0 for _, _, fragment in got[:-1])


@pytest.mark.parametrize(
    ("announced", "limit"),
    [(0, 1 << 20), (16384, 16378), (16385, 16378), (1 << 30, 1 << 20), (7, 2), (1, 2)],
)
def test_fragment_limit(announced: int, limit: int) -> None:
    assert pdu.fragment_limit(announced) == limit


def test_pynetdicom_reads_an_abort() -> None:
    decoded = A_ABORT_RQ()
    decoded.decode(pdu.abort_pdu(pdu.AbortSource.SERVICE_PROVIDER, pdu.AbortReason.UNEXPECTED_PDU))
    assert (decoded.source, decoded.reason_diagnostic) == (2, 2)
