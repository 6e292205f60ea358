"""Which presentation contexts to propose for what is queued, and what the peer's answer to them means (PS3.8 §7.1.1).

One context is proposed for each pair of SOP class and transfer syntax. A context with several syntaxes would let
the peer choose one that an image does not have; a context with one lets it only say yes or no. Where an image can be
written in other syntaxes than its own, all of them are proposed for it, and the choice is made here.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from pydicom.uid import UID

MOST_CONTEXTS: Final = 128
"""Context ids are odd numbers from 1 to 255 (PS3.8 §9.3.2.2)."""

LONGEST_UID: Final = 64
"""Bytes a UID may have (PS3.5 §9.1)."""

_UID_CHARACTERS = frozenset("0123456789.")

_SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "1.2.840.10008.1.2.4.50": "JPEG Baseline",
        "1.2.840.10008.1.2.4.51": "JPEG Extended",
        "1.2.840.10008.1.2.4.57": "JPEG Lossless",
        "1.2.840.10008.1.2.4.70": "JPEG Lossless (first-order prediction)",
        "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
        "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
        "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
        "1.2.840.10008.1.2.4.91": "JPEG 2000",
        "1.2.840.10008.1.2.4.201": "HTJ2K Lossless",
        "1.2.840.10008.1.2.4.202": "HTJ2K Lossless RPCL",
        "1.2.840.10008.1.2.4.203": "HTJ2K",
    }
)
"""The standard's names of these run over half a line; people know them by the ones here."""


class Pair(NamedTuple):
    """What one presentation context is about, as UIDs."""

    sop_class_uid: str
    transfer_syntax_uid: str


VERIFICATION: Final = Pair("1.2.840.10008.1.1", "1.2.840.10008.1.2")
"""C-ECHO, in the syntax every implementation has to know (PS3.5 §10.1)."""


def sop_class_name(uid: str) -> str:
    """Return what people call a SOP class: "CT Image Storage"; a private one keeps its UID."""
    return _name(uid, "SOP class")


def syntax_name(uid: str) -> str:
    """Return what people call a transfer syntax: "JPEG 2000 Lossless"; a private one keeps its UID."""
    return _SHORT_NAMES.get(uid) or _name(uid, "transfer syntax")


def _name(uid: str, kind: str) -> str:
    name = UID(uid).name
    return name if name != uid else f"the private {kind} {uid}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much of a pair is queued. A higher `urgency` goes first, then the higher `count` of images.

    `syntaxes` are those it can be sent in, preferred first; empty stands for its own.
    """

    pair: Pair
    count: int
    urgency: int = 0
    syntaxes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """The contexts of one A-ASSOCIATE-RQ, by context id, at most 128; `serves` are the queued pairs they are for.

    `as_scp` are SOP classes of which this side is the provider, though it asks for the association (PS3.7 §D.3.3.4).
    """

    contexts: Mapping[int, Pair]
    serves: frozenset[Pair] = frozenset()
    as_scp: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.contexts) <= MOST_CONTEXTS:
            msg = f"an association has 1 to {MOST_CONTEXTS} presentation contexts, not {len(self.contexts)}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Plan:
    """One proposal for each association that is needed, the most urgent first.

    `unfit` are pairs that no association can carry, because one of their UIDs is none.
    """

    proposals: tuple[Proposal, ...] = ()
    unfit: tuple[Pair, ...] = ()


def propose(pairs: Iterable[Pair], serves: Iterable[Pair] | None = None) -> Proposal:
    """Return a proposal of these pairs in this order; ValueError unless there are 1 to 128.

    It serves them themselves unless `serves` says otherwise.
    """
    contexts = {2 * n + 1: pair for n, pair in enumerate(pairs)}
    return Proposal(MappingProxyType(contexts), frozenset(contexts.values() if serves is None else serves))


def plan(queued: Iterable[Wanted], *, verification: bool = False) -> Plan:
    """Return the associations that are needed to send what is queued.

    Each pair is served by exactly one of them, and is as far to the front as its urgency and then its count put it;
    the rest is decided by the UIDs, so that the same queue gives the same plan. With `verification` each of them
    carries a context for C-ECHO too.
    """
    urgency: dict[Pair, int] = {}
    count: dict[Pair, int] = {}
    syntaxes: dict[Pair, tuple[str, ...]] = {}
    for wanted in queued:
        urgency[wanted.pair] = max(wanted.urgency, urgency.get(wanted.pair, wanted.urgency))
        count[wanted.pair] = count.get(wanted.pair, 0) + wanted.count
        syntaxes.setdefault(wanted.pair, wanted.syntaxes)
    ordered = sorted(count, key=lambda pair: (-urgency[pair], -count[pair], pair))
    always = [VERIFICATION] if verification else []
    fit = [pair for pair in ordered if is_fit(pair) and not (verification and pair == VERIFICATION)]
    groups = _grouped(fit, syntaxes, MOST_CONTEXTS - len(always)) or ([({}, [])] if always else [])
    return Plan(
        proposals=tuple(propose([*contexts, *always], serves) for contexts, serves in groups),
        unfit=tuple(pair for pair in ordered if not is_fit(pair)),
    )


def _grouped(
    pairs: Iterable[Pair], syntaxes: Mapping[Pair, tuple[str, ...]], room: int
) -> list[tuple[dict[Pair, None], list[Pair]]]:
    """Return the contexts of each association, in order, and the pairs they are for."""
    groups: list[tuple[dict[Pair, None], list[Pair]]] = []
    for pair in pairs:
        others = (Pair(pair.sop_class_uid, syntax) for syntax in syntaxes[pair])
        needed = dict.fromkeys(filter(is_fit, others)) or {pair: None}
        if not groups or len(groups[-1][0] | needed) > room:
            groups.append(({}, []))
        groups[-1][0].update(needed)
        groups[-1][1].append(pair)
    return groups


def is_fit(pair: Pair) -> bool:
    """Return whether both are UIDs, which alone can be proposed (PS3.5 §9.1)."""
    return all(0 < len(uid) <= LONGEST_UID and set(uid) <= _UID_CHARACTERS for uid in pair)


class Refusal(enum.Enum):
    """Why a context cannot be used. The first four are the peer's words (PS3.8 table 9-18)."""

    BY_USER = 1
    NO_REASON = 2
    SOP_CLASS = 3
    TRANSFER_SYNTAX = 4
    NOT_ANSWERED = "not answered"
    OTHER_SYNTAX = "answered with a syntax that was not proposed"
    NOT_PROPOSED = "not proposed"
    UNFIT = "unfit"


class Answer(NamedTuple):
    """What an A-ASSOCIATE-AC says of one context: its result, and a syntax that counts only if the result is 0."""

    result: int
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """What may be sent on an association: context ids of accepted pairs, and why the others were not."""

    accepted: Mapping[Pair, int]
    refused: Mapping[Pair, Refusal] = field(default_factory=lambda: MappingProxyType({}))

    def refusal(self, pair: Pair) -> Refusal:
        """Return why `pair`, which is not accepted, cannot be sent here."""
        return self.refused.get(pair, Refusal.NOT_PROPOSED)


def agree(proposal: Proposal, answers: Mapping[int, Answer]) -> Agreement:
    """Return what a peer's answer amounts to.

    A context counts as accepted only with exactly the syntax that was proposed for it. Answers to contexts
    that were not proposed are ignored; a context without an answer is refused.
    """
    accepted: dict[Pair, int] = {}
    refused: dict[Pair, Refusal] = {}
    for context_id, pair in proposal.contexts.items():
        answer = answers.get(context_id)
        if answer is None:
            refused[pair] = Refusal.NOT_ANSWERED
        elif answer.result == 0 and answer.transfer_syntax_uid == pair.transfer_syntax_uid:
            accepted[pair] = context_id
        elif answer.result == 0:
            refused[pair] = Refusal.OTHER_SYNTAX
        else:
            refused[pair] = _BY_RESULT.get(answer.result, Refusal.NO_REASON)
    return Agreement(MappingProxyType(accepted), MappingProxyType(refused))


_BY_RESULT: Mapping[int, Refusal] = MappingProxyType(
    {
        1: Refusal.BY_USER,
        2: Refusal.NO_REASON,
        3: Refusal.SOP_CLASS,
        4: Refusal.TRANSFER_SYNTAX,
    }
)
