"""The recovery file: from one box to another, on paper or as a file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacitord.errors import CapacitordError, DamagedObject, Invalid, Refused, WrongKey
from capacitord.seal.armour import LARGEST, armour, unarmour
from capacitord.seal.boxkey import Source
from capacitord.seal.keys import BoxKey, KeyRing, SiteKey
from capacitord.seal.keystore import KeyStore
from capacitord.seal.recovery import export_recovery, open_recovery
from tests.seal.keying import CHEAP, OTHER_PHRASE, PHRASE, install_credential, shows, told

SITES = tuple(SiteKey(f"site-{i}", bytes([i]) * 32) for i in range(1, 6))
RING = KeyRing(BoxKey(bytes(range(32))), SITES, 4, datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC))
SECRETS = (RING.box.secret, *(key.secret for key in SITES))
TEXT = export_recovery(RING, PHRASE, cost=CHEAP)


def store_at(directory: Path, credentials: Path | None = None) -> KeyStore:
    return KeyStore(directory, credentials=credentials, cost=CHEAP)


def test_gives_back_every_key() -> None:
    assert open_recovery(TEXT, PHRASE) == RING


def test_holds_a_box_without_sites() -> None:
    ring = KeyRing(RING.box, (), 1, RING.created)
    assert open_recovery(export_recovery(ring, PHRASE, cost=CHEAP), PHRASE) == ring


def test_opens_with_its_passphrase_only() -> None:
    with pytest.raises(WrongKey) as caught:
        open_recovery(TEXT, OTHER_PHRASE)
    assert OTHER_PHRASE not in told(caught.value)


def test_a_weak_passphrase_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        export_recovery(RING, "password", cost=CHEAP)
    assert "words" in caught.value.hint


def test_is_fit_for_printing() -> None:
    text = TEXT.decode("ascii")
    assert max(len(line) for line in text.splitlines()) <= 80
    assert text.isprintable() or set(text) - set(map(chr, range(32, 127))) == {"\n"}
    for words in ("what this is", "how to use it", RING.box.id.hex(), "sites    5"):
        assert words in text.lower()
    for secret in SECRETS:
        assert not shows(text, secret)
    assert export_recovery(RING, PHRASE, cost=CHEAP) != TEXT


def test_survives_mail_programs_and_typists() -> None:
    crlf = TEXT.replace(b"\n", b"\r\n")
    lines = TEXT[TEXT.index(b"-----BEGIN") :]
    quoted = b"\n\n".join(b"  " + line.replace(b" ", b"   ") + b"  " for line in lines.splitlines())
    joined = b"\n".join(b" ".join(_joined(line)) for line in lines.splitlines())
    for spelling in (crlf, lines, quoted, joined, b"\xef\xbb\xbfDear colleague,\n\n" + TEXT + b"\nRegards"):
        assert open_recovery(spelling, PHRASE) == RING


def _joined(line: bytes) -> list[bytes]:
    words = line.split()
    return words if line.startswith(b"-") else [words[0], b"".join(words[1:-1]), words[-1].upper()]


@given(st.binary(max_size=400))
def test_armour_gives_back_any_bytes(data: bytes) -> None:
    assert unarmour(armour(data).encode()) == data


@given(st.data())
def test_a_typing_mistake_is_found_in_its_line(data: st.DataObject) -> None:
    lines = TEXT.decode().splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("-----BEGIN"))
    number = data.draw(st.integers(1, len(lines) - begin - 2))
    line = lines[begin + number]
    place = data.draw(st.integers(4, 60).filter(lambda at: at < len(line) and line[at].isalnum()))
    wrong = data.draw(st.sampled_from("0O1lIabcXYZ+/").filter(lambda letter: letter != line[place]))
    lines[begin + number] = line[:place] + wrong + line[place + 1 :]
    with pytest.raises(Invalid) as caught:
        open_recovery("\n".join(lines).encode(), PHRASE)
    assert f"Line {number} " in caught.value.message


def test_missing_and_swapped_lines_are_named() -> None:
    lines = TEXT.decode().splitlines()
    second = next(i for i, line in enumerate(lines) if line.startswith("02 "))
    swapped = [*lines[:second], lines[second + 1], lines[second], *lines[second + 2 :]]
    for wrong in (lines[:second] + lines[second + 1 :], swapped):
        with pytest.raises(Invalid, match="Line 2 "):
            unarmour("\n".join(wrong).encode())
    for wrong, words in ((lines[:-1], "stops before"), (lines[:-2] + lines[-1:], "should have")):
        with pytest.raises(Invalid, match=words):
            unarmour("\n".join(wrong).encode())


@pytest.mark.parametrize("text", [b"", b"hello", b"\xff" * 100, TEXT[:200], bytes(LARGEST + 1)])
def test_what_is_no_recovery_file_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(Invalid):
        open_recovery(text, PHRASE)


changes: st.SearchStrategy[Callable[[bytes], bytes]] = st.one_of(
    st.builds(
        lambda at, new: lambda t: t[: at % len(t)] + new + t[at % len(t) + 1 :], st.integers(0, 3000), st.binary()
    ),
    st.builds(lambda at: lambda t: t[: at % len(t)], st.integers(0, 3000)),
)


@settings(max_examples=200, deadline=None)
@given(changes)
def test_a_changed_text_gives_the_same_keys_or_a_typed_error(change: Callable[[bytes], bytes]) -> None:
    try:
        assert open_recovery(change(TEXT), PHRASE) == RING
    except CapacitordError as error:
        seen = told(error)
        assert not any(shows(seen, secret) for secret in SECRETS)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 3000), st.integers(1, 255))
def test_changed_contents_never_open(place: int, bits: int) -> None:
    inside = bytearray(unarmour(TEXT))
    inside[place % len(inside)] ^= bits
    if b"memory_kib\xcd\x20\x00" in inside:
        with pytest.raises(CapacitordError):
            open_recovery(armour(bytes(inside)).encode(), PHRASE)


@pytest.mark.parametrize(("name", "value"), [("memory_kib", 100 * 2**20), ("iterations", 10**6), ("lanes", 99)])
def test_a_doctored_file_does_not_choose_what_it_costs(name: str, value: int) -> None:
    head, nonce, sealed = msgspec.msgpack.decode(unarmour(TEXT))
    head[1][name] = value
    with pytest.raises(DamagedObject):
        open_recovery(armour(msgspec.msgpack.encode([head, nonce, sealed])).encode(), PHRASE)


@pytest.mark.parametrize("source", list(Source))
def test_another_machine_reads_the_same_spools(tmp_path: Path, source: Source) -> None:
    lost = store_at(tmp_path / "lost")
    lost.init(Source.FILE)
    sites = {site: lost.create_site(site) for site in ("a", "b")}
    lost.rotate()
    text = export_recovery(lost.keys(), PHRASE, cost=CHEAP)

    credentials = install_credential(tmp_path / "credentials", BoxKey.new())
    phrase = OTHER_PHRASE if source is Source.PASSPHRASE else None
    status = store_at(tmp_path / "new", credentials).restore(open_recovery(text, PHRASE), source, phrase)
    assert (status.source, status.generation, status.created) == (source, 3, lost.status().created)
    assert (status.id == lost.status().id) == (source is not Source.CREDENTIAL)
    again = store_at(tmp_path / "new", credentials)
    again.unlock(phrase)
    assert {site: again.site_key(site) for site in sites} == sites


def test_restoring_replaces_no_keys(tmp_path: Path) -> None:
    store = store_at(tmp_path / "keys")
    store.init(Source.FILE)
    site = store.create_site("a")
    with pytest.raises(Refused):
        store_at(tmp_path / "keys").restore(RING, Source.FILE)
    assert store.site_key("a") == site
