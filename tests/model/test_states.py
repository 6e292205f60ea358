"""What an image's row in the ledger may become."""

from __future__ import annotations

import pytest

from capacitord.model.states import ACK, ACKNOWLEDGED, AckState, IllegalTransition, advance

OPEN = frozenset({AckState.WAITING, AckState.DOUBT})


@pytest.mark.parametrize("now", AckState)
@pytest.mark.parametrize("then", AckState)
def test_what_came_to_an_end_can_only_wait_again(now: AckState, then: AckState) -> None:
    may = then is now or now in OPEN or then is AckState.WAITING
    if may:
        assert advance(ACK, now, then) is then
    else:
        with pytest.raises(IllegalTransition):
            advance(ACK, now, then)


def test_what_is_held_is_neither_acknowledged_nor_open() -> None:
    assert set(ACK) == set(AckState)
    assert not {AckState.HELD, AckState.REFUSED} & (ACKNOWLEDGED | OPEN)
