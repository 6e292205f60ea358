"""The storage SCU: images over one association, each acknowledged by name or not at all (PS3.4 annex B).

A `StoreAssociation` works on a connected socket, in one thread::

    new ──open──▶ negotiating ──▶ established ──release──▶ ended
                       │            │       ▲                ▲
                       │          store     │                │
                       │            ▼       │                │
                       │          sending ──┘                │
                       └────────────┴────── any trouble ─────┘

An association is used for nothing after a time-out, an abort, or a message that does not belong there. The bytes of an
image are forwarded exactly as they are handed in. While the peer works on an image, the next one is opened and the
beginning of it read, so that the two disks work at the same time. Whether it may still leave is asked when its turn
comes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from capacitord.dicom import classify, commands
from capacitord.dicom.classify import End
from capacitord.dicom.contexts import Agreement, Pair, Proposal
from capacitord.dicom.fragments import Buffer, data_set_pdus
from capacitord.dicom.pdu import AbortReason, data_pdus, fragment_limit
from capacitord.dicom.send import AssociationEnded, Line
from capacitord.errors import DamagedObject
from capacitord.model.outcome import Outcome, Verdict
from capacitord.model.states import advance

if TYPE_CHECKING:
    import socket

    from capacitord.model.destination import Destination

_PENDING: Final = frozenset({0xFF00, 0xFF01})
_STORED: Final = frozenset({Verdict.DONE, Verdict.DONE_WITH_WARNING})


class Sendable(Protocol):
    """An image as it is to be sent."""

    @property
    def sop_class_uid(self) -> str:
        """Its SOP class."""

    @property
    def sop_instance_uid(self) -> str:
        """Its SOP instance, which de-identification gives another UID than it was received with."""

    @property
    def transfer_syntax_uid(self) -> str:
        """The syntax its dataset is in."""

    @property
    def length(self) -> int:
        """The dataset's length in bytes."""

    def chunks(self) -> Iterator[memoryview]:
        """Yield the dataset's bytes in order, each piece valid until the next is taken.

        Raises `errors.DamagedObject` if they cannot be read as they were written.
        """


class State(enum.StrEnum):
    """Where an association is in its life."""

    NEW = "new"
    NEGOTIATING = "negotiating"
    ESTABLISHED = "established"
    SENDING = "sending"
    ENDED = "ended"


TABLE: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.NEW: frozenset({State.NEGOTIATING, State.ENDED}),
        State.NEGOTIATING: frozenset({State.ESTABLISHED, State.ENDED}),
        State.ESTABLISHED: frozenset({State.SENDING, State.ENDED}),
        State.SENDING: frozenset({State.ESTABLISHED, State.ENDED}),
        State.ENDED: frozenset(),
    }
)


@dataclass(frozen=True, slots=True)
class Opened:
    """The association is established. `agreement` says what the peer takes; that may be nothing."""

    agreement: Agreement


@dataclass(frozen=True, slots=True)
class NotOpened:
    """No association came about: how, and what that means, in words."""

    how: End
    outcome: Outcome


class Stop(enum.StrEnum):
    """Why `store` returned."""

    FINISHED = "finished"
    STOPPED = "stopped"
    DAMAGED = "damaged"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Report:
    """How far `store` got. After FINISHED and STOPPED the association is still good, otherwise it is gone.

    DAMAGED: `image` turned out to be damaged in the middle, so the association was aborted; the peer is not to blame.
    BROKEN: `how` and `outcome` say what became of the association, `image` is the one that was under way, if any. It
    is `in_doubt` if the peer was sent all of its bytes and only the answer is missing.
    """

    stop: Stop
    how: End | None = None
    outcome: Outcome | None = None
    image: Sendable | None = None
    in_doubt: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """A look at an association at work: images answered, bytes written in all, and how far the current image is."""

    images: int
    bytes: int
    sop_instance_uid: str = ""
    sent: int = 0
    length: int = 0


@dataclass(slots=True)
class _Prepared:
    """An image about to be sent: its first write and where the others come from, or why it cannot go."""

    image: Sendable
    refused: Outcome | None = None
    context_id: int = 0
    message_id: int = 0
    parts: Sequence[Buffer] = ()
    total: int = 0
    rest: Iterable[tuple[list[Buffer], int]] = ()


class _NotReady:
    """The next image is still being prepared."""


class _End:
    """There are no more images."""


_NOT_READY: Final = _NotReady()
_END: Final = _End()


class StoreAssociation:
    """One association to a destination.

    `connection` is connected already and belongs to the association from now on. `calling_ae_title` is what this box
    calls itself there. `destination.response_timeout` bounds every wait for the peer, in seconds.

    All but `stop`, `interrupt` and `progress` are for the one thread that owns it.
    """

    def __init__(
        self, connection: socket.socket, destination: Destination, calling_ae_title: str, proposal: Proposal
    ) -> None:
        self.agreement = Agreement(MappingProxyType({}))
        self._peer = destination.ae_title
        self._calling = calling_ae_title
        self._proposal = proposal
        self._max_pdu = destination.max_pdu
        self._line = Line(connection, self._peer, destination.response_timeout, destination.max_pdu)
        self._state = State.NEW
        self._limit = 0
        self._message_id = 0
        self._stopping = False
        self._under_way: Sendable | None = None
        self._sent_before = 0
        self._complete = False
        self._answers = 0

    @property
    def state(self) -> State:
        """Where the association is in its life."""
        return self._state

    def open(self) -> Opened | NotOpened:
        """Negotiate. Raises `Invalid` for an AE title that is none."""
        self._become(State.NEGOTIATING)
        try:
            self.agreement, max_pdu = self._line.associate(self._peer, self._calling, self._proposal, self._max_pdu)
        except AssociationEnded as end:
            self._become(State.ENDED)
            return NotOpened(end.how, end.outcome)
        except BaseException:
            self.abort()
            raise
        # The peer's bound and our own: the smaller one holds, and 0 stands for none.
        self._limit = min(fragment_limit(max_pdu), fragment_limit(self._max_pdu))
        self._become(State.ESTABLISHED)
        return Opened(self.agreement)

    def send(self, image: Sendable) -> Outcome:
        """Send one image and return what became of it. Look at `state` before sending another."""
        outcomes: list[Outcome] = []
        report = self.store([image], lambda _, outcome: outcomes.append(outcome))
        return outcomes[0] if outcomes else report.outcome or classify.ended(self._peer, End.STOPPED)

    def store(
        self,
        images: Iterable[Sendable | None],
        answered: Callable[[Sendable, Outcome], None],
        stands: Callable[[Sendable], bool] = lambda _: True,
    ) -> Report:
        """Send images until there are no more, and report.

        `answered` is called once for each image about which something is known: the peer answered, or does not take
        its kind, or it is damaged; never for an image that was cut off, that is `Report.image`. The association waits
        for it, so it should be quick. `images` is asked for the next image while an answer is due, so it should end
        rather than wait for more; one that is still being prepared is waited for a moment only, and then None says to
        ask again.

        `stands` is asked right before the first byte of an image leaves, as much may have happened since `images` gave
        it. One that does not stand is not sent, nothing is said about it, and `images` is asked for another.

        What `images`, `chunks`, `stands` and `answered` raise goes through, after an answer that was due was read and
        handed over; the association stays established. Only in the middle of an image it is aborted: a `DamagedObject`
        gives a report then, and anything else goes through.
        """
        self._become(State.SENDING)
        upcoming = iter(images)
        try:
            current = self._prepare(upcoming)
            while current is not None and not self._stopping:
                if isinstance(current, _NotReady):
                    self._line.expect_silence()
                    current = self._prepare(upcoming)
                elif not stands(current.image):
                    current = self._prepare(upcoming)
                else:
                    current = self._exchange(current, upcoming, answered)
        except AssociationEnded as end:
            self._become(State.ENDED)
            return Report(Stop.BROKEN, end.how, end.outcome, self._under_way, in_doubt=self._complete)
        except DamagedObject:
            image = self._under_way
            if image is None:
                self._become(State.ESTABLISHED)
                raise
            self.abort()
            answered(image, classify.damaged_image())
            return Report(Stop.DAMAGED, image=image)
        except BaseException:
            if self._under_way is None:
                self._become(State.ESTABLISHED)
            else:
                self.abort()
            raise
        self._become(State.ESTABLISHED)
        return Report(Stop.STOPPED if self._stopping else Stop.FINISHED)

    def release(self) -> bool:
        """End the association in good order; return whether the peer took part. On one that has ended: False."""
        established = self._state is State.ESTABLISHED
        self._become(State.ENDED)
        if established:
            return self._line.release()
        self._line.close()
        return False

    def abort(self) -> None:
        """End the association with an A-ABORT, if it has not ended."""
        if self._state is not State.ENDED:
            self._become(State.ENDED)
            self._line.give_up(End.STOPPED)

    def stop(self) -> None:
        """Let `store` return after the answer to the image under way. For any thread."""
        self._stopping = True

    def interrupt(self) -> None:
        """Cut the association off now, in the middle of an image if need be. For any thread."""
        self._stopping = True
        self._line.interrupt()

    def progress(self) -> Progress:
        """Return how far it is. For any thread."""
        image, written = self._under_way, self._line.sent
        if image is None:
            return Progress(self._answers, written)
        sent = min(max(0, written - self._sent_before), image.length)
        return Progress(self._answers, written, image.sop_instance_uid, sent, image.length)

    def _exchange(
        self,
        current: _Prepared,
        upcoming: Iterator[Sendable | None],
        answered: Callable[[Sendable, Outcome], None],
    ) -> _Prepared | _NotReady | None:
        """Send one image, look ahead while the peer works on it, hand over its answer; return the next."""
        following: _Prepared | _NotReady | None = None
        error: Exception | None = None
        early = current.refused is None and self._transmit(current)
        try:
            following = self._prepare(upcoming)
        except Exception as caught:  # noqa: BLE001 the answer on its way comes first; raised again below
            error = caught
        outcome = current.refused or self._await_answer(current, early=early)
        self._under_way, self._complete = None, False
        answered(current.image, outcome)
        if error is not None:
            raise error
        return following

    def _prepare(self, upcoming: Iterator[Sendable | None]) -> _Prepared | _NotReady | None:
        image = _END if self._stopping else next(upcoming, _END)
        if image is None:
            return _NOT_READY
        if isinstance(image, _End):
            return None
        pair = Pair(image.sop_class_uid, image.transfer_syntax_uid)
        context_id = self.agreement.accepted.get(pair)
        if context_id is None:
            refusal = self.agreement.refusal(pair)
            return _Prepared(image, classify.context_refused(self._peer, pair, refusal))
        try:
            rest = data_set_pdus(image.chunks(), image.length, context_id, self._limit)
            parts, total = next(rest)
        except DamagedObject:
            return _Prepared(image, classify.damaged_image())
        self._message_id = self._message_id % 0xFFFF + 1
        request = data_pdus(
            context_id,
            commands.store_request(self._message_id, image.sop_class_uid, image.sop_instance_uid),
            command=True,
            max_pdu=self._limit + 6,
        )
        return _Prepared(image, None, context_id, self._message_id, [request, *parts], len(request) + total, rest)

    def _transmit(self, current: _Prepared) -> bool:
        """Write an image; return whether the peer had begun to answer before all of it had left this program."""
        self._line.expect_silence()
        self._sent_before = self._line.sent
        self._under_way = current.image
        self._line.write(current.parts, current.total)
        for parts, total in current.rest:
            self._line.listen()
            self._line.write(parts, total)
        self._complete = True
        return self._line.has_unread()

    def _await_answer(self, current: _Prepared, *, early: bool) -> Outcome:
        answer = self._line.read_command(current.context_id)
        status = answer.status
        if (
            answer.field != commands.CommandField.C_STORE_RSP
            or answer.responded_to != current.message_id
            or answer.has_data_set
            or status is None
            or status in _PENDING
        ):
            raise self._line.give_up(End.PROTOCOL, AbortReason.UNEXPECTED_PARAMETER)
        outcome = classify.store_answer(self._peer, status, answer.error_comment)
        if outcome.verdict in _STORED and (early or self._line.on_its_way()):
            # It cannot have stored what it had not received: an answer acknowledges all that was read before it.
            raise self._line.give_up(End.EARLY_SUCCESS)
        self._answers += 1
        if answer.sop_instance_uid in {"", current.image.sop_instance_uid}:
            return outcome
        return classify.other_instance(outcome, self._peer)

    def _become(self, state: State) -> None:
        self._state = advance(TABLE, self._state, state)
