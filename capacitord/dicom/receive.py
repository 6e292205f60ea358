"""The messages of one association, from fragments to answers: C-STORE, C-ECHO, all else handed on.

It has no socket: fragments come in by `fragment`, or past the reader's buffer by `direct` and `directed`; answers
go out by a callable. What may follow what is decided by `capacitord.dicom.dialogue`. Success is answered in one
place only, after `Incoming.commit` has returned.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from capacitord.dicom import commands
from capacitord.dicom.accept import VERIFICATION
from capacitord.dicom.arriving import Arriving
from capacitord.dicom.commands import LONGEST_COMMAND, Command, CommandField, MalformedCommand
from capacitord.dicom.dialogue import TABLE, Action, Input, State
from capacitord.dicom.intake import Announced
from capacitord.dicom.pdu import COMMAND, LAST, AbortReason, data_pdus
from capacitord.dicom.reader import ProtocolViolation
from capacitord.dicom.statuses import Refusal, Status, refusal_of_request
from capacitord.model.image import Arrival

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from capacitord.dicom.accept import StorageSettings
    from capacitord.dicom.intake import Intake
    from capacitord.dicom.reader import Fragment

LOG = logging.getLogger(__name__)

_SERVED = frozenset({CommandField.C_STORE_RQ, CommandField.C_ECHO_RQ})


class Context(NamedTuple):
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax_uid: str


class Correspondents(NamedTuple):
    """Who talks to whom, as the association request said; goes into each image's `Arrival`."""

    calling_ae: str
    called_ae: str
    peer: str


@dataclass(slots=True)
class Tally:
    """What an association has brought so far. Written by its thread, read by any."""

    images: int = 0
    bytes: int = 0
    refused: int = 0


@dataclass(slots=True)
class Receiver:
    """Takes the fragments of one association in their order.

    `answer(pdus)` sends bytes to the peer; `forward(context_id, control, fragment)` hands a fragment to
    pynetdicom. `max_pdu` is what the peer announced, 0 for no maximum. Methods that take bytes raise
    `ProtocolViolation`. At the end, however it comes, `close` must be called.
    """

    contexts: Mapping[int, Context]
    storage_classes: frozenset[str]
    intake: Intake
    between: Correspondents
    settings: StorageSettings
    answer: Callable[[bytes], None]
    forward: Callable[[int, int, bytes], None]
    max_pdu: int = 0
    tally: Tally = field(default_factory=Tally)
    refused: Callable[[Refusal], None] = lambda _: None
    state: State = State.IDLE
    _context_id: int = 0
    _collected: bytearray = field(default_factory=bytearray)
    _arriving: Arriving | None = None
    _foreign: int = 0

    def fragment(self, fragment: Fragment) -> bool:
        """Take a piece of a PDV; return whether some of it was forwarded, so that pynetdicom has work to do."""
        if self.state is State.IDLE:
            if fragment.context_id not in self.contexts:
                self._violated("a fragment is of no accepted presentation context", AbortReason.INVALID_PARAMETER)
            self._context_id = fragment.context_id
        elif fragment.context_id != self._context_id:
            self._violated("fragments of two messages are mixed", AbortReason.UNEXPECTED_PARAMETER)
        if fragment.control & COMMAND:
            return self._command_piece(fragment)
        return self._data_piece(fragment)

    @property
    def takes_directly(self) -> bool:
        """Whether the fragment under way may go past the reader's buffer."""
        return self.state is State.STORING or self.state is State.DRAINING

    @property
    def may_wait(self) -> bool:
        """Whether the peer may take its time: no part of a request that is served here is outstanding."""
        return self.state is State.IDLE or self.state is State.FOREIGN

    def direct(self, left: int) -> memoryview:
        """Return where up to `left` bytes of the fragment under way belong; never empty."""
        return self._image().space(left)

    def directed(self, count: int, control: int, *, ends: bool) -> None:
        """Take note that `count` bytes were put where `direct` said; `ends` if they complete their PDV."""
        self._image().advance(count)
        self._after_data(ended=ends and bool(control & LAST))

    def over(self, happened: Input) -> None:
        """Take note that nothing more is served here: another PDU came, or the connection is lost."""
        self._step(happened)
        self.close()

    def close(self) -> None:
        """Forget what was begun: nothing is kept of an image without its end."""
        self.state = State.OVER
        if self._arriving is not None:
            self._arriving.abandon()
            self._arriving = None

    def _step(self, happened: Input) -> Action:
        action, self.state = TABLE[self.state, happened]
        if action is Action.ABORT:
            self._violated(f"out of order: {happened.value}", AbortReason.UNEXPECTED_PARAMETER)
        return action

    def _violated(self, message: str, reason: AbortReason) -> NoReturn:
        self.close()
        raise ProtocolViolation(message, reason)

    def _image(self) -> Arriving:
        if self._arriving is None:
            self._violated("a data set without a request", AbortReason.UNEXPECTED_PARAMETER)
        return self._arriving

    def _data_piece(self, fragment: Fragment) -> bool:
        if self.takes_directly:
            self._image().write(fragment.data)
            self._after_data(ended=fragment.last)
            return False
        self._step(Input.DATA_END if fragment.last else Input.DATA_PIECE)
        self._foreign += len(fragment.data)
        if self._foreign > self.settings.foreign_limit:
            self._violated("a message is too long to be held in memory", AbortReason.NOT_SPECIFIED)
        self.forward(fragment.context_id, LAST if fragment.last else 0, bytes(fragment.data))
        return True

    def _after_data(self, *, ended: bool) -> None:
        image = self._image()
        if image.refusal is not None and self.state is State.STORING:
            self._step(Input.REFUSAL)
        action = self._step(Input.DATA_END if ended else Input.DATA_PIECE)
        if action is Action.COMMIT or action is Action.ANSWER:
            refusal = image.finish()
            self._arriving = None
            if refusal is None:
                self.tally.images += 1
                self.tally.bytes += image.length
                self._respond(image.request, Refusal(Status.SUCCESS, ""))
            else:
                self._refused(image.request, refusal)

    def _command_piece(self, fragment: Fragment) -> bool:
        if not fragment.last or self._collected:
            self._collected += fragment.data
            if len(self._collected) > LONGEST_COMMAND:
                self._violated("a command set is too long", AbortReason.INVALID_PARAMETER)
            if not fragment.last:
                self._step(Input.COMMAND_PIECE)
                return False
        data = bytes(self._collected or fragment.data)
        self._collected.clear()
        try:
            command = commands.decode(data)
        except MalformedCommand as error:
            self._violated(str(error), AbortReason.INVALID_PARAMETER)
        return self._command(command, data)

    def _command(self, command: Command, data: bytes) -> bool:
        if command.field in _SERVED and command.message_id is None:
            self._violated("a request has no message id", AbortReason.INVALID_PARAMETER)
        if command.field == CommandField.C_STORE_RQ:
            self._store(command)
            return False
        if command.field == CommandField.C_ECHO_RQ and not command.has_data_set:
            self._step(Input.ECHO)
            known = self.contexts[self._context_id].abstract_syntax == VERIFICATION
            status = Status.SUCCESS if known else Status.SOP_CLASS_NOT_SUPPORTED
            self._respond(command, Refusal(status, "" if known else "this presentation context is not Verification's"))
            return False
        self._step(Input.FOREIGN_WITH_DATA if command.has_data_set else Input.FOREIGN)
        self._foreign = 0
        self.forward(self._context_id, COMMAND | LAST, data)
        return True

    def _store(self, request: Command) -> None:
        context = self.contexts[self._context_id]
        refusal = refusal_of_request(request, context.abstract_syntax, self.storage_classes)
        if not request.has_data_set:
            self._step(Input.EMPTY_STORE)
            self._refused(request, refusal or Refusal(Status.CANNOT_UNDERSTAND, "the request has no data set"))
            return
        self._step(Input.STORE if refusal is None else Input.REFUSED_STORE)
        self._arriving = image = Arriving(request, self.settings.drain_limit, refusal)
        if refusal is None:
            image.begin(self.intake, self._announced(request, context))
            if image.refusal is not None:
                self._step(Input.REFUSAL)

    def _announced(self, request: Command, context: Context) -> Announced:
        return Announced(
            request.sop_class_uid,
            request.sop_instance_uid,
            context.transfer_syntax_uid,
            Arrival(*self.between, time.time_ns(), self.settings.profile_version),
        )

    def _refused(self, request: Command, refusal: Refusal) -> None:
        self.tally.refused += 1
        self.refused(refusal)
        LOG.warning(
            "an image from %r at %s is refused with 0x%04X: %s",
            self.between.calling_ae,
            self.between.peer,
            refusal.status,
            refusal.comment,
        )
        self._respond(request, refusal)

    def _respond(self, request: Command, answer: Refusal) -> None:
        response = commands.response(request, answer.status, comment=answer.comment)
        self.answer(data_pdus(self._context_id, response, command=True, max_pdu=self.max_pdu))
