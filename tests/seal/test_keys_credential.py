"""Reading a box key that somebody else made."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.errors import Invalid, Refused, StorageFailed
from capacitord.seal.boxkey import CREDENTIAL
from capacitord.seal.keys import BoxKey
from capacitord.seal.sources import credentials_directory, key_from_material, read_credential
from tests.seal.keying import install_credential, shows, told

SECRET = bytes(range(100, 132))


@pytest.mark.parametrize(
    "material", [SECRET, SECRET.hex().encode(), SECRET.hex().upper().encode(), SECRET.hex().encode() + b"\n"]
)
def test_takes_bytes_and_digits(material: bytes) -> None:
    assert key_from_material(material) == BoxKey(SECRET)


@pytest.mark.parametrize(
    "material", [b"", SECRET[:-1], SECRET + b"\n", SECRET.hex().encode()[:-1] + b"g", bytes(32), b"ab" * 32, b"0" * 64]
)
def test_refuses_what_is_no_key(material: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        key_from_material(material)
    assert "openssl rand -hex 32" in caught.value.hint


@given(st.binary(min_size=16, max_size=80).filter(lambda material: len(material) != 32 and not material.isascii()))
def test_refuses_in_words_that_show_nothing(material: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        key_from_material(material)
    assert not shows(told(caught.value), material)


def test_finds_systemds_directory() -> None:
    assert credentials_directory({"CREDENTIALS_DIRECTORY": "/run/credentials/x"}) == Path("/run/credentials/x")
    assert credentials_directory({"CREDENTIALS_DIRECTORY": ""}) is None
    assert credentials_directory({}) is None


def test_reads_the_credential(tmp_path: Path) -> None:
    key = BoxKey.new()
    assert read_credential(None) is None
    assert read_credential(tmp_path / "none") is None
    assert read_credential(tmp_path) is None
    assert read_credential(install_credential(tmp_path, key)) == key


def test_systemd_may_own_it_and_share_it_by_access_list(tmp_path: Path) -> None:
    key = BoxKey.new()
    install_credential(tmp_path, key)
    (tmp_path / CREDENTIAL).chmod(0o440)
    assert read_credential(tmp_path) == key
    (tmp_path / CREDENTIAL).chmod(0o444)
    with pytest.raises(Refused):
        read_credential(tmp_path)


def test_a_credential_that_cannot_be_read_is_no_missing_one(tmp_path: Path) -> None:
    (tmp_path / CREDENTIAL).mkdir()
    with pytest.raises(StorageFailed):
        read_credential(tmp_path)
