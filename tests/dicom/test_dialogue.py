"""The table of what may follow what: every pair of state and input, written down once more and compared."""

from __future__ import annotations

import pytest

from capacitord.dicom.dialogue import TABLE, Action, Input, State, Step

S, N, A = State, Input, Action

COMMAND_SETS = {
    N.COMMAND_PIECE: (A.COLLECT, S.COMMAND),
    N.STORE: (A.BEGIN, S.STORING),
    N.REFUSED_STORE: (A.COLLECT, S.DRAINING),
    N.EMPTY_STORE: (A.ANSWER, S.IDLE),
    N.ECHO: (A.ECHO, S.IDLE),
    N.FOREIGN: (A.FORWARD, S.IDLE),
    N.FOREIGN_WITH_DATA: (A.FORWARD, S.FOREIGN),
}
ALLOWED = {
    S.IDLE: COMMAND_SETS,
    S.COMMAND: COMMAND_SETS,
    S.STORING: {
        N.DATA_PIECE: (A.WRITE, S.STORING),
        N.DATA_END: (A.COMMIT, S.IDLE),
        N.REFUSAL: (A.ABANDON, S.DRAINING),
    },
    S.DRAINING: {N.DATA_PIECE: (A.DISCARD, S.DRAINING), N.DATA_END: (A.ANSWER, S.IDLE)},
    S.FOREIGN: {N.DATA_PIECE: (A.FORWARD, S.FOREIGN), N.DATA_END: (A.FORWARD, S.IDLE)},
    S.OVER: {},
}
ALWAYS = {N.OTHER_PDU: (A.HAND_BACK, S.OVER), N.LOST: (A.CLOSE, S.OVER)}


@pytest.mark.parametrize("state", State, ids=lambda s: s.name)
@pytest.mark.parametrize("happened", Input, ids=lambda i: i.name)
def test_every_pair(state: State, happened: Input) -> None:
    expected = {**ALLOWED[state], **ALWAYS}.get(happened, (A.ABORT, S.OVER))
    assert TABLE[state, happened] == Step(*expected)


def test_success_can_only_follow_the_end_of_a_data_set_that_was_taken_in() -> None:
    assert [pair for pair, step in TABLE.items() if step.action is A.COMMIT] == [(S.STORING, N.DATA_END)]


def test_nothing_comes_back_from_the_end() -> None:
    assert {step.then for (state, _), step in TABLE.items() if state is S.OVER} == {S.OVER}
