"""The receiver: fragments in, answers out, an image kept only when all of it is there and durable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capacitord import errors
from capacitord.dicom import commands
from capacitord.dicom.accept import VERIFICATION, StorageSettings, storage_classes
from capacitord.dicom.commands import Command, CommandField
from capacitord.dicom.dialogue import Input, State
from capacitord.dicom.pdu import COMMAND, LAST, PDU_HEADER, PDV_HEADER, AbortReason
from capacitord.dicom.reader import Fragment, ProtocolViolation
from capacitord.dicom.receive import Context, Correspondents, Receiver
from tests.dicom.memory_intake import MemoryIntake, Trouble
from tests.dicom.samples import CT, EXPLICIT, dataset
from tests.fuzz.strategies import cuts, pieces

UID = "1.2.3.4.5"
IMAGE = dataset(CT, UID)
CT_CONTEXT, ECHO_CONTEXT, FIND_CONTEXT = 1, 3, 5
WORKLIST = "1.2.840.10008.5.1.4.31"
BETWEEN = Correspondents("SCANNER", "CAPACITOR", "10.0.0.7")
STORE = Command(
    CommandField.C_STORE_RQ, message_id=7, sop_class_uid=CT, sop_instance_uid=UID, priority=0, has_data_set=True
)


@dataclass
class Association:
    """A receiver with what it is connected to."""

    intake: MemoryIntake = field(default_factory=MemoryIntake)
    settings: StorageSettings = field(default_factory=StorageSettings)
    answers: list[Command] = field(default_factory=list)
    forwarded: list[tuple[int, int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.receiver = Receiver(
            contexts={
                CT_CONTEXT: Context(CT, EXPLICIT),
                ECHO_CONTEXT: Context(VERIFICATION, EXPLICIT),
                FIND_CONTEXT: Context(WORKLIST, EXPLICIT),
            },
            storage_classes=storage_classes(),
            intake=self.intake,
            between=BETWEEN,
            settings=self.settings,
            answer=self._answered,
            forward=lambda *fragment: self.forwarded.append(fragment),
        )

    def _answered(self, stream: bytes) -> None:
        _, context_id, control = PDV_HEADER.unpack_from(stream, PDU_HEADER.size)
        assert control == COMMAND | LAST
        assert context_id in self.receiver.contexts
        self.answers.append(commands.decode(stream[12:]))

    def command(self, command: Command, context_id: int = CT_CONTEXT) -> bool:
        return self.send(context_id, COMMAND | LAST, commands.encode(command))

    def data(self, data: bytes, context_id: int = CT_CONTEXT, *, last: bool = True) -> bool:
        return self.send(context_id, LAST if last else 0, data)

    def send(self, context_id: int, control: int, data: bytes, *, ends: bool = True) -> bool:
        return self.receiver.fragment(Fragment(context_id, control, memoryview(data), ends))

    def send_all(self, fragments: Iterable[tuple[int, int, bytes]]) -> None:
        for fragment in fragments:
            self.send(*fragment)

    def store(self, data: Iterable[bytes] = (IMAGE,), command: Command = STORE) -> Command:
        self.command(command)
        *most, last = data
        for piece in most:
            self.data(piece, last=False)
        self.data(last)
        return self.answers[-1]


@pytest.fixture(name="association")
def an_association() -> Association:
    return Association()


def test_an_image_is_kept_and_answered(association: Association) -> None:
    answer = association.store()
    assert answer == Command(CommandField.C_STORE_RSP, responded_to=7, sop_class_uid=CT, sop_instance_uid=UID, status=0)
    (kept,) = association.intake.kept
    assert kept.data == IMAGE
    assert kept.announced.sop_instance_uid == UID
    assert kept.announced.transfer_syntax_uid == EXPLICIT
    arrival = kept.announced.arrival
    assert (arrival.calling_ae, arrival.called_ae, arrival.peer) == BETWEEN
    assert (association.receiver.tally.images, association.receiver.tally.bytes) == (1, len(IMAGE))


def test_success_waits_for_the_commit() -> None:
    answered_before: list[int] = []
    association = Association(MemoryIntake(committing=lambda _: answered_before.append(len(association.answers))))
    association.store()
    assert answered_before == [0]


@given(cuts, cuts, st.integers(1, 64))
def test_every_fragmentation_gives_the_same_image(command_cuts: list[int], data_cuts: list[int], chunk: int) -> None:
    association = Association(MemoryIntake(chunk_size=chunk))
    for control, message, where in ((COMMAND, commands.encode(STORE), command_cuts), (0, IMAGE, data_cuts)):
        *most, last = pieces(message, where)
        for piece in most:
            association.send(CT_CONTEXT, control, piece)
        association.send(CT_CONTEXT, control | LAST, last)
    assert [answer.status for answer in association.answers] == [0]
    assert [kept.data for kept in association.intake.kept] == [IMAGE]


def test_empty_fragments_change_nothing(association: Association) -> None:
    association.send(CT_CONTEXT, COMMAND, b"")
    association.command(STORE)
    association.data(b"", last=False)
    association.data(IMAGE, last=False)
    association.data(b"")
    assert association.answers[-1].status == 0
    assert association.intake.kept[0].data == IMAGE


def test_a_fragment_in_pieces_ends_with_its_last_piece(association: Association) -> None:
    association.command(STORE)
    association.send(CT_CONTEXT, LAST, IMAGE[:100], ends=False)
    assert association.answers == []
    association.send(CT_CONTEXT, LAST, IMAGE[100:], ends=True)
    assert association.answers[-1].status == 0


def test_bytes_may_go_past_the_buffer(association: Association) -> None:
    association.command(STORE)
    assert association.receiver.takes_directly
    rest = IMAGE
    while rest:
        space = association.receiver.direct(len(rest))
        count = min(len(space), 50)
        space[:count] = rest[:count]
        rest = rest[count:]
        association.receiver.directed(count, LAST, ends=not rest)
    assert association.answers[-1].status == 0
    assert association.intake.kept[0].data == IMAGE


def directly(association: Association, data: bytes) -> None:
    while data:
        count = len(association.receiver.direct(min(len(data), 50)))
        association.receiver.direct(count)[:] = data[:count]
        data = data[count:]
        association.receiver.directed(count, LAST, ends=not data)


UNFORESEEN = ZeroDivisionError("Doe^John")
TROUBLES = [
    (errors.OutOfSpace("full"), 0xA700),
    (errors.StorageFailed("EIO"), 0xA700),
    (errors.TryAgain("busy"), 0xA700),
    (errors.Locked("no key"), 0xA700),
    (errors.Refused("closing"), 0x0124),
    (errors.NotPermitted("no"), 0x0124),
    (errors.CapacitordError("?"), 0x0110),
    (UNFORESEEN, 0x0110),
    (OSError(5, "EIO"), 0x0110),
]


@pytest.mark.parametrize(
    ("error", "status"), TROUBLES, ids=lambda v: type(v).__name__ if isinstance(v, Exception) else ""
)
@pytest.mark.parametrize("when", ["begin", "space", "advance", "commit"])
@pytest.mark.parametrize("send", [lambda a, d: a.data(d), directly], ids=["buffered", "past the buffer"])
def test_an_error_becomes_its_status_and_leaves_nothing(
    error: Exception, status: int, when: str, send: Callable[[Association, bytes], None]
) -> None:
    association = Association(MemoryIntake(trouble=Trouble(error, when)))
    association.command(STORE)
    send(association, IMAGE)
    assert association.answers[-1].status == status
    assert association.answers[-1].error_comment
    assert association.intake.kept == []
    assert association.intake.open == set()
    assert association.receiver.tally.refused == 1
    association.intake.trouble = None
    assert association.store().status == 0


def test_the_text_of_an_unforeseen_error_is_neither_logged_nor_sent(caplog: pytest.LogCaptureFixture) -> None:
    association = Association(MemoryIntake(trouble=Trouble(UNFORESEEN, "commit")))
    with caplog.at_level(logging.DEBUG):
        answer = association.store()
    assert "Doe" not in answer.error_comment
    assert "Doe" not in caplog.text
    assert "ZeroDivisionError at troubled" in caplog.text


def test_an_image_that_cannot_be_abandoned_does_not_end_the_association() -> None:
    association = Association(MemoryIntake(trouble=Trouble(OSError(5, "EIO"), "abandon")))
    assert association.store([b""]).status == 0xC000
    association.intake.trouble = None
    assert association.store().status == 0


def test_after_a_refusal_the_rest_is_let_go_by() -> None:
    association = Association(MemoryIntake(trouble=Trouble(errors.OutOfSpace("full"), "advance", after=100)))
    association.command(STORE)
    for start in range(0, len(IMAGE), 50):
        association.data(IMAGE[start : start + 50], last=False)
        assert association.receiver.state is (State.STORING if start < 100 else State.DRAINING)
    assert association.answers == []
    association.data(b"")
    assert association.answers[-1].status == 0xA700


def test_a_refused_data_set_without_end_ends_the_association() -> None:
    association = Association(
        MemoryIntake(trouble=Trouble(errors.OutOfSpace("full"), "begin")), StorageSettings(drain_limit=1000)
    )
    association.command(STORE)
    association.data(bytes(1000), last=False)
    with pytest.raises(ProtocolViolation, match="does not end"):
        association.data(bytes(1), last=False)


REFUSED = {
    "a SOP class that is not the context's": ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4"}, IMAGE, 0x0122),
    "no SOP class": ({"sop_class_uid": ""}, IMAGE, 0x0122),
    "no SOP instance": ({"sop_instance_uid": ""}, IMAGE, 0x0117),
    "a SOP instance that is no UID": ({"sop_instance_uid": "1.2.x"}, IMAGE, 0x0117),
    "a SOP instance that is too long": ({"sop_instance_uid": "1." * 32 + "1"}, IMAGE, 0x0117),
    "an empty data set": ({}, b"", 0xC000),
}
KEPT_ALL_THE_SAME = {
    "of another class": (dataset("1.2.840.10008.5.1.4.1.1.4", UID), "other-class"),
    "of another instance": (dataset(CT, "1.2.3"), "other-instance"),
    "without class": (dataset("", UID), "other-class"),
    "without instance": (dataset(CT, ""), "other-instance"),
    "that is none": (b"\1" * 100, "other-class"),
    "that ends too early": (IMAGE[:60], "unreadable|it ends inside an attribute"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(association: Association, what: str) -> None:
    change, data, status = REFUSED[what]
    request = Command(**{**{f: getattr(STORE, f) for f in STORE.__struct_fields__}, **change})
    answer = association.store([data], request)
    assert answer.status == status
    assert answer.error_comment
    assert association.intake.kept == []
    assert association.intake.open == set()
    assert association.store().status == 0, "and the association goes on"


@pytest.mark.parametrize("what", KEPT_ALL_THE_SAME)
def test_a_data_set_that_is_wrong_is_kept_as_what_the_request_says(association: Association, what: str) -> None:
    data, finding = KEPT_ALL_THE_SAME[what]
    assert association.store([data]).status == 0
    (kept,) = association.intake.kept
    assert (kept.facts.sop_class_uid, kept.facts.sop_instance_uid) == (CT, UID)
    assert finding in kept.facts.findings
    assert bytes(kept.data) == data


def test_a_request_without_data_set_is_answered_at_once(association: Association) -> None:
    association.command(Command(CommandField.C_STORE_RQ, message_id=1, sop_class_uid=CT, sop_instance_uid=UID))
    assert association.answers[-1].status == 0xC000
    assert association.store().status == 0


def test_a_store_on_a_context_that_is_not_for_storage(association: Association) -> None:
    association.command(STORE, ECHO_CONTEXT)
    association.data(IMAGE, ECHO_CONTEXT)
    assert association.answers[-1].status == 0x0211
    assert association.intake.kept == []


def test_a_uid_of_other_characters_is_refused(association: Association) -> None:
    odd = commands.encode(STORE).replace(UID.encode(), b"1.2.\xff.4.5")
    association.send(CT_CONTEXT, COMMAND | LAST, odd)
    association.data(IMAGE)
    assert association.answers[-1].status == 0x0117


@pytest.mark.parametrize(("context_id", "status"), [(ECHO_CONTEXT, 0), (CT_CONTEXT, 0x0122)])
def test_echo(association: Association, context_id: int, status: int) -> None:
    echo = Command(CommandField.C_ECHO_RQ, message_id=9, sop_class_uid=VERIFICATION)
    assert not association.command(echo, context_id)
    (answer,) = association.answers
    assert (answer.field, answer.responded_to, answer.status) == (CommandField.C_ECHO_RSP, 9, status)


def test_another_message_is_forwarded_as_it_came(association: Association) -> None:
    find = Command(CommandField.C_FIND_RQ, message_id=1, sop_class_uid=WORKLIST, priority=0, has_data_set=True)
    assert association.command(find, FIND_CONTEXT)
    assert association.data(b"key", FIND_CONTEXT, last=False)
    assert association.data(b"s", FIND_CONTEXT)
    cancel = Command(CommandField.C_CANCEL_RQ, responded_to=1)
    assert association.command(cancel, FIND_CONTEXT)
    assert association.forwarded == [
        (FIND_CONTEXT, COMMAND | LAST, commands.encode(find)),
        (FIND_CONTEXT, 0, b"key"),
        (FIND_CONTEXT, LAST, b"s"),
        (FIND_CONTEXT, COMMAND | LAST, commands.encode(cancel)),
    ]
    assert association.answers == []
    assert association.store().status == 0


def test_a_forwarded_message_is_bounded() -> None:
    association = Association(settings=StorageSettings(foreign_limit=100))
    find = Command(CommandField.C_FIND_RQ, message_id=1, sop_class_uid=WORKLIST, has_data_set=True)
    for _ in range(2):
        association.command(find, FIND_CONTEXT)
        association.data(bytes(100), FIND_CONTEXT)
    association.command(find, FIND_CONTEXT)
    association.data(bytes(60), FIND_CONTEXT, last=False)
    with pytest.raises(ProtocolViolation, match="too long"):
        association.data(bytes(60), FIND_CONTEXT)


ECHO_WITH_DATA = Command(CommandField.C_ECHO_RQ, message_id=1, has_data_set=True)
WITHOUT_ID = Command(CommandField.C_STORE_RQ, sop_class_uid=CT, sop_instance_uid=UID, has_data_set=True)
VIOLATIONS: dict[str, tuple[list[tuple[int, int, bytes]], AbortReason]] = {
    "a context nobody accepted": ([(99, 3, commands.encode(STORE))], AbortReason.INVALID_PARAMETER),
    "a data set without command set": ([(1, 2, IMAGE)], AbortReason.UNEXPECTED_PARAMETER),
    "a data set inside a command set": (
        [(1, 1, commands.encode(STORE)[:20]), (1, 2, IMAGE)],
        AbortReason.UNEXPECTED_PARAMETER,
    ),
    "a command set inside a data set": (
        [(1, 3, commands.encode(STORE)), (1, 0, IMAGE[:50]), (1, 3, commands.encode(STORE))],
        AbortReason.UNEXPECTED_PARAMETER,
    ),
    "a part of a command set inside a data set": (
        [(1, 3, commands.encode(STORE)), (1, 1, commands.encode(STORE)[:20])],
        AbortReason.UNEXPECTED_PARAMETER,
    ),
    "another context inside a data set": (
        [(1, 3, commands.encode(STORE)), (1, 0, IMAGE[:50]), (3, 2, IMAGE[50:])],
        AbortReason.UNEXPECTED_PARAMETER,
    ),
    "another context inside a command set": (
        [(1, 1, commands.encode(STORE)[:20]), (3, 3, commands.encode(STORE)[20:])],
        AbortReason.UNEXPECTED_PARAMETER,
    ),
    "a command set that is none": ([(1, 3, b"garbage")], AbortReason.INVALID_PARAMETER),
    "an empty command set": ([(1, 3, b"")], AbortReason.INVALID_PARAMETER),
    "a request that cannot be answered": ([(1, 3, commands.encode(WITHOUT_ID))], AbortReason.INVALID_PARAMETER),
    "a command set without end": ([(1, 1, bytes(40000)), (1, 1, bytes(40000))], AbortReason.INVALID_PARAMETER),
    "one long command set": ([(1, 1, b""), (1, 3, bytes(70000))], AbortReason.INVALID_PARAMETER),
}


@pytest.mark.parametrize("what", VIOLATIONS)
def test_violations_end_the_association_and_leave_nothing(association: Association, what: str) -> None:
    fragments, reason = VIOLATIONS[what]
    with pytest.raises(ProtocolViolation) as raised:
        association.send_all(fragments)
    assert raised.value.reason is reason
    assert association.receiver.state is State.OVER
    assert association.intake.kept == []
    assert association.intake.open == set()
    assert association.answers == []


def test_an_echo_that_announces_a_data_set_is_pynetdicoms_to_judge(association: Association) -> None:
    assert association.command(ECHO_WITH_DATA, ECHO_CONTEXT)
    assert association.answers == []


@pytest.mark.parametrize("happened", [Input.OTHER_PDU, Input.LOST])
def test_an_end_in_the_middle_abandons_the_image(association: Association, happened: Input) -> None:
    association.command(STORE)
    association.data(IMAGE[:-1], last=False)
    association.receiver.over(happened)
    assert association.intake.abandoned == 1
    assert association.intake.open == set()
    association.receiver.close()
    assert association.intake.abandoned == 1
    with pytest.raises(ProtocolViolation):
        association.data(IMAGE[-1:])
    assert association.intake.kept == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 3, 5, 7]),
            st.integers(0, 3),
            st.sampled_from([b"", IMAGE, IMAGE[:40], commands.encode(STORE), commands.echo_request(1), b"\0" * 9]),
        ),
        max_size=12,
    )
)
@example([(1, 3, commands.encode(STORE)), (1, 2, IMAGE[:40])])
def test_nothing_is_answered_with_success_that_is_not_kept(fragments: list[tuple[int, int, bytes]]) -> None:
    association = Association()
    try:
        association.send_all(fragments)
    except ProtocolViolation:
        assert association.receiver.state is State.OVER
    association.receiver.close()
    stores = [a for a in association.answers if a.field == CommandField.C_STORE_RSP and a.status == 0]
    assert len(stores) == len(association.intake.kept)
    # What is cut off is kept as well, and held: the scanner may have no other copy.
    sent = tuple(piece for _, _, piece in fragments if piece)
    assert all(kept.data.endswith(sent) for kept in association.intake.kept)
    assert association.intake.open == set()
