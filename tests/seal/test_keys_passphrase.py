"""Passphrases: which will do, and what becomes of them."""

from __future__ import annotations

import contextlib
import unicodedata

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capacitord.errors import Invalid
from capacitord.seal.passphrase import RECOVERY_COST, UNLOCK_COST, Argon2id, Cost, check, fresh, stretch
from tests.seal.keying import CHEAP, PHRASE, told


@pytest.mark.parametrize(
    "weak",
    [
        "",
        "password",
        "12345678901",
        "aaaaaaaaaaaaaaaa",
        "abababababab",
        "123456789012",
        "abcdefghijkl",
        "zyxwvutsrqponm",
        "qwertyuiopas",
        "short word  ",
        "   a b c d     ",
    ],
)
def test_weak_passphrases_are_refused_with_advice(weak: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(weak)
    assert "words" in caught.value.hint
    assert len(weak) < 12 or weak.strip() not in told(caught.value)


@pytest.mark.parametrize("strong", [PHRASE, "Fährhaus am Kai", "t7Rk-2pQx-9mWz"])
def test_good_passphrases_will_do(strong: str) -> None:
    check(strong)


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    with contextlib.suppress(Invalid):
        check(text)


def test_what_is_no_text_is_refused() -> None:
    for step in (check, lambda text: stretch(text, fresh(CHEAP))):
        with pytest.raises(Invalid):
            step("a lone surrogate \ud800 in it")
        with pytest.raises(Invalid):
            step("long " * 1000)


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_each_passphrase_gives_its_own_key(one: str, two: str) -> None:
    how = fresh(CHEAP)
    same = unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", two)
    assert (stretch(one, how) == stretch(two, how)) == same
    assert stretch(one, how) != stretch(one, fresh(CHEAP))


def test_stretching_is_argon2id_of_rfc_9106() -> None:
    # Made with argon2-cffi, which binds the reference implementation.
    how = Argon2id("argon2id", 8192, 2, 1, b"0123456789abcdef")
    assert stretch(PHRASE, how).hex() == "b054554d1b007921df84181b7b0e54552da5e937e0153215cc5a3d86b8f4ba54"


@pytest.mark.parametrize("cost", [UNLOCK_COST, RECOVERY_COST])
def test_the_costs_in_use_are_within_what_is_read(cost: Cost) -> None:
    how = fresh(cost)
    assert msgspec.json.decode(msgspec.json.encode(how), type=Argon2id) == how
    assert cost.memory_kib >= 64 * 1024
