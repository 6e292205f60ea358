"""Responses to a C-FIND put together from fragments: command sets, each with the data set it announces (PS3.7 §9.3.2).

Pure and bounded; a peer that sends anything else is refused with `MalformedMessage`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from capacitord.dicom import commands
from capacitord.dicom.commands import LONGEST_COMMAND, Command, MalformedCommand
from capacitord.dicom.fragments import MalformedMessage
from capacitord.dicom.pdu import COMMAND, LAST, PDV_HEADER

LONGEST_IDENTIFIER: Final = 1 << 20
"""Bytes of a data set; that of a worklist's entry has a few thousand."""


class Message(NamedTuple):
    """A command set, and its data set if it has one."""

    command: Command
    data: bytes | None


class MessageReader:
    """Takes the bodies of P-DATA-TF PDUs in their order, all of one presentation context."""

    def __init__(self, context_id: int, longest: int = LONGEST_IDENTIFIER) -> None:
        """`longest` bounds a data set, in bytes."""
        self._context_id = context_id
        self._longest = longest
        self._gathered = bytearray()
        self._command: Command | None = None

    def feed(self, body: bytes) -> Iterator[Message]:
        """Yield the messages that are complete with these fragments. Raises `MalformedMessage`."""
        if not body:
            msg = "a P-DATA-TF is empty"
            raise MalformedMessage(msg)
        position = 0
        while position < len(body):
            if len(body) - position < PDV_HEADER.size:
                msg = "a P-DATA-TF ends inside the header of a presentation data value"
                raise MalformedMessage(msg)
            length, context_id, control = PDV_HEADER.unpack_from(body, position)
            start, position = position + PDV_HEADER.size, position + 4 + length
            if context_id != self._context_id or not start <= position <= len(body):
                msg = "a presentation data value is of another context, or longer than what holds it"
                raise MalformedMessage(msg)
            message = self._fragment(body[start:position], control)
            if message is not None:
                yield message

    def _fragment(self, fragment: bytes, control: int) -> Message | None:
        is_last, in_command = bool(control & LAST), self._command is None
        if bool(control & COMMAND) != in_command or not (fragment or is_last):
            msg = "a presentation data value belongs to another message, or is empty"
            raise MalformedMessage(msg)
        self._gathered += fragment
        if len(self._gathered) > (LONGEST_COMMAND if in_command else self._longest):
            msg = "a message is too long"
            raise MalformedMessage(msg)
        if not is_last:
            return None
        whole = bytes(self._gathered)
        self._gathered.clear()
        if self._command is not None:
            command, self._command = self._command, None
            return Message(command, whole)
        try:
            command = commands.decode(whole)
        except MalformedCommand as error:
            raise MalformedMessage(str(error)) from None
        if command.has_data_set:
            self._command = command
            return None
        return Message(command, None)
