"""What may follow what between two messages of an association (PS3.7 §6.3, PS3.8 Annex E), as a table.

A message is a command set, whole or in fragments, and after it the data set that it announced. The next message
begins when the last is complete: fragments of two messages never mix. What the table does not list is
an error of the peer and ends the association.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(enum.Enum):
    """Where in a message the association is."""

    IDLE = "between two messages"
    COMMAND = "inside a command set"
    STORING = "inside the data set of a C-STORE request that is being taken in"
    DRAINING = "inside the data set of a C-STORE request that is refused"
    FOREIGN = "inside the data set of a message that pynetdicom decodes"
    OVER = "there are no more messages"


class Input(enum.Enum):
    """What happened."""

    COMMAND_PIECE = "a part of a command set, not its end"
    STORE = "the end of a command set: a C-STORE request whose image can be taken in"
    REFUSED_STORE = "the end of a command set: a C-STORE request that cannot be met, with a data set to come"
    EMPTY_STORE = "the end of a command set: a C-STORE request without data set"
    ECHO = "the end of a command set: a C-ECHO request"
    FOREIGN = "the end of a command set: any other message, without data set"
    FOREIGN_WITH_DATA = "the end of a command set: any other message, with a data set to come"
    DATA_PIECE = "a part of a data set, not its end"
    DATA_END = "the end of a data set"
    REFUSAL = "the image that is being taken in cannot be kept"
    OTHER_PDU = "a PDU that is no P-DATA-TF"
    LOST = "the connection is gone, or silent for too long"
    VIOLATION = "bytes that PS3.7 or PS3.8 do not allow"


class Action(enum.Enum):
    """What is to be done about it."""

    COLLECT = "keep the part of the command set"
    BEGIN = "begin taking the image in"
    ANSWER = "answer with the status of the refusal"
    ECHO = "answer a C-ECHO"
    FORWARD = "hand the message, or this part of it, to pynetdicom"
    WRITE = "take the part of the image in"
    COMMIT = "make the image durable, and answer"
    ABANDON = "forget the image, remember why"
    DISCARD = "let the part of a refused data set go"
    HAND_BACK = "forget what was begun, and let pynetdicom read the PDU"
    ABORT = "forget what was begun, and send A-ABORT"
    CLOSE = "forget what was begun, and close the connection"


class Step(NamedTuple):
    """An entry of the table."""

    action: Action
    then: State


def _table() -> Mapping[tuple[State, Input], Step]:
    """Return every pair of state and input with what follows."""
    table: dict[tuple[State, Input], Step] = {}
    for state in State:
        for input_ in Input:
            table[state, input_] = Step(Action.ABORT, State.OVER)
        table[state, Input.OTHER_PDU] = Step(Action.HAND_BACK, State.OVER)
        table[state, Input.LOST] = Step(Action.CLOSE, State.OVER)
    for state in (State.IDLE, State.COMMAND):
        table[state, Input.COMMAND_PIECE] = Step(Action.COLLECT, State.COMMAND)
        table[state, Input.STORE] = Step(Action.BEGIN, State.STORING)
        table[state, Input.REFUSED_STORE] = Step(Action.COLLECT, State.DRAINING)
        table[state, Input.EMPTY_STORE] = Step(Action.ANSWER, State.IDLE)
        table[state, Input.ECHO] = Step(Action.ECHO, State.IDLE)
        table[state, Input.FOREIGN] = Step(Action.FORWARD, State.IDLE)
        table[state, Input.FOREIGN_WITH_DATA] = Step(Action.FORWARD, State.FOREIGN)
    table[State.STORING, Input.DATA_PIECE] = Step(Action.WRITE, State.STORING)
    table[State.STORING, Input.DATA_END] = Step(Action.COMMIT, State.IDLE)
    table[State.STORING, Input.REFUSAL] = Step(Action.ABANDON, State.DRAINING)
    table[State.DRAINING, Input.DATA_PIECE] = Step(Action.DISCARD, State.DRAINING)
    table[State.DRAINING, Input.DATA_END] = Step(Action.ANSWER, State.IDLE)
    table[State.FOREIGN, Input.DATA_PIECE] = Step(Action.FORWARD, State.FOREIGN)
    table[State.FOREIGN, Input.DATA_END] = Step(Action.FORWARD, State.IDLE)
    return MappingProxyType(table)


TABLE = _table()
