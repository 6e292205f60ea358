"""The worklist: where it comes from, what its entries are called by, and what they are corrected with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import msgspec


class Code(msgspec.Struct, frozen=True):
    """A coded entry (PS3.3 §8.1): value, coding scheme, and what it means."""

    value: str
    scheme: str
    meaning: str


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """The worklist SCP of the site. Time-outs are in seconds: `fetch_timeout` bounds a whole fetch."""

    ae_title: str
    host: str
    port: int
    calling_ae_title: str = "FLUXBOX"
    connect_timeout: float = 10.0
    response_timeout: float = 30.0
    fetch_timeout: float = 120.0
    max_pdu: int = 131072


class Days(msgspec.Struct, frozen=True):
    """From the first to the last day, both inclusive."""

    first: dt.date
    last: dt.date


def days(now: dt.datetime, past: float, future: float) -> Days:
    """Return the days that a window around `now`, which is in the site's time zone, touches; in seconds."""
    return Days((now - dt.timedelta(seconds=past)).date(), (now + dt.timedelta(seconds=future)).date())


class Sought(msgspec.Struct, frozen=True, omit_defaults=True):
    """One patient or one order, as a scanner asks for it: values by the tag of their attribute, without wildcards.

    `characters` is the Specific Character Set that the scanner asked in.
    """

    keys: tuple[tuple[int, str], ...]
    characters: str = ""

    def __repr__(self) -> str:
        return "Sought()"


class EntryKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """What tells one entry of a list from another. `copy` counts those that are alike in all of it and yet differ."""

    step: str
    study: str
    accession: str
    procedure: str
    patient: str
    copy: int = 0

    def __repr__(self) -> str:
        return "EntryKey()"


class Listed(msgspec.Struct, frozen=True):
    """An entry as the source sent it: its dataset in bytes, and the transfer syntax these are in."""

    key: EntryKey
    data: bytes
    transfer_syntax_uid: str

    def __repr__(self) -> str:
        return f"Listed({len(self.data)} bytes)"


def distinct(listed: Iterable[Listed]) -> tuple[Listed, ...]:
    """Return entries with a key of its own for each, in their order; what was sent twice is there once.

    Entries whose keys are the same are counted in the order of their bytes, so that they are called the same when the
    source sends them in another order.
    """
    found = list(dict.fromkeys(listed))
    alike: dict[EntryKey, list[bytes]] = {}
    for each in found:
        alike.setdefault(each.key, []).append(each.data)
    ranks = {key: {data: rank for rank, data in enumerate(sorted(all_data))} for key, all_data in alike.items()}
    return tuple(
        msgspec.structs.replace(each, key=msgspec.structs.replace(each.key, copy=ranks[each.key][each.data]))
        for each in found
    )
