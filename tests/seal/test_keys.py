"""Site keys and box keys: what they derive, and what they never show."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from capacitord.errors import Invalid
from capacitord.seal.keys import BoxKey, KeyRing, SiteKey
from tests.seal.keying import shows, told

SECRET = bytes(range(32))
secrets = st.binary(min_size=32, max_size=32)


def test_ids_and_derived_keys_stay_what_they_are() -> None:
    key = SiteKey("st-marys", SECRET)
    assert key.id.hex() == "835531e13674cef5"
    assert BoxKey(SECRET).id.hex() == "ab6ab620f1ed568d"
    assert key.derive(b"object", b"salt").hex() == "cc6bb8bffafb9568c3afa10e889d7ed0ee94a01eb38561b374673ca493102324"


def test_derive_is_hkdf_of_rfc_5869() -> None:
    extracted = hmac.digest(bytes(32), SECRET, "sha256")
    first = hmac.digest(extracted, b"purpose\x01", "sha256")
    second = hmac.digest(extracted, first + b"purpose\x02", "sha256")
    assert SiteKey("a", SECRET).derive(b"purpose", length=40) == (first + second)[:40]


@given(secrets, st.binary(max_size=80), st.binary(max_size=80), st.integers(1, 100))
def test_derive_is_what_the_library_derives(secret: bytes, purpose: bytes, salt: bytes, length: int) -> None:
    library = HKDF(algorithm=SHA256(), length=length, salt=salt, info=purpose)
    assert SiteKey("a", secret).derive(purpose, salt, length) == library.derive(secret)


@given(secrets, secrets)
def test_keys_are_equal_when_their_secrets_are(one: bytes, two: bytes) -> None:
    assert (SiteKey("a", one) == SiteKey("a", two)) == (one == two)
    assert (BoxKey(one) == BoxKey(two)) == (one == two)
    assert (SiteKey("a", one).id == SiteKey("a", two).id) == (one == two)
    assert SiteKey("a", one) != SiteKey("b", one)
    assert hash(SiteKey("a", one)) == hash(SiteKey("a", bytes(one)))


def test_a_box_key_is_no_site_key() -> None:
    assert SiteKey("a", SECRET) != BoxKey(SECRET)
    assert SiteKey("a", SECRET).id != BoxKey(SECRET).id


def test_new_keys_differ() -> None:
    assert len({SiteKey.new("a") for _ in range(50)} | {BoxKey.new() for _ in range(50)}) == 100


@given(secrets)
def test_nothing_shows_the_secret(secret: bytes) -> None:
    site, box = SiteKey("st-marys", secret), BoxKey(secret)
    for thing in (site, box, KeyRing(box, (site,), 1, datetime.now(UTC))):
        assert not shows(f"{thing!r} {thing}", secret)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_has_32_bytes(length: int) -> None:
    for make in (BoxKey, lambda secret: SiteKey("a", secret)):
        with pytest.raises(Invalid) as caught:
            make(SECRET[:1] * length)
        assert caught.value.hint
        assert str(length) in told(caught.value)


def test_keys_do_not_change() -> None:
    with pytest.raises(AttributeError):
        SiteKey("a", SECRET).secret = bytes(32)  # type: ignore[misc]
