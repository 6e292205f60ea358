"""capacitord-spool(5) tells enough to read a spool without this program: here is a reader that follows the page."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from capacitord.seal import sealed
from capacitord.spool import catalog, segment, space
from tests.spool.kit import KEY, LARGE, content, opened, sop_uid, study_uid, take

TOP = Path(__file__).parent.parent.parent
PAGE = TOP / "man" / "man5" / "capacitord-spool.5"
OLD = TOP / "tests" / "spool" / "old" / "v1"


def derived(info: bytes, salt: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(KEY.secret)


def read_object(data: bytes) -> tuple[dict[str, dict[str, object]], bytes]:
    """Return the description and the dataset of the sealed object at the start of `data`, as the page says."""
    magic, chunk_size, length, object_id, fingerprint, zero = struct.unpack(">8sIQ16s8sI", data[:48])
    assert (magic, chunk_size, zero) == (b"CAPSEAL\x01", 131_072, 0)
    assert fingerprint == derived(b"capacitord site key id", b"", 8)
    cipher = AESGCM(derived(b"capacitord sealed object 1", object_id, 32))
    plain = cipher.decrypt(bytes(7) + b"\xff\xff\xff\xff\x02", data[48:4096], data[:48])
    (size,) = struct.unpack(">H", plain[:2])
    assert not any(plain[2 + size :])
    bound = data[:12] + object_id + fingerprint
    assert len(bound) == 36
    dataset, last = b"", length // 131_056
    for number in range(last + 1):
        start = 4096 + number * 131_072
        sealed = data[start : start + min(131_072, length - number * 131_056 + 16)]
        nonce = bytes(7) + number.to_bytes(4) + (b"\1" if number == last else b"\0")
        dataset += cipher.decrypt(nonce, sealed, bound)
    return msgspec.msgpack.decode(plain[2 : 2 + size]), dataset


def objects(root: Path) -> dict[str, bytes]:
    """Return every dataset in the segments of a folder by its UID."""
    found = {}
    for path in sorted((root / "objects").glob("*/*/*.seg")):
        assert path.parent.name == path.name[4:6]
        assert path.parent.parent.name == path.name[2:4]
        data = path.read_bytes()
        for place in range(0, len(data), 4096):
            if data[place : place + 8] == b"CAPSEAL\x01":
                described, dataset = read_object(data[place:])
                found[str(described["facts"]["sop_instance_uid"])] = dataset
                assert described["arrival"]["calling_ae"] == "SCANNER"
    return found


def test_an_old_spool_can_be_read_by_the_page() -> None:
    found = objects(OLD)
    assert found[sop_uid(2, 1)] == content(sop_uid(2, 1), 150_000)
    assert sop_uid(4, 1) not in found


def test_a_spool_of_now_can_be_read_by_the_page(tmp_path: Path) -> None:
    sizes = {1: 0, 2: 131_055, 3: 131_056, 4: 131_057, 5: 1_048_447, 6: LARGE}
    with opened(tmp_path) as spool:
        for number, size in sizes.items():
            receipt = take(spool, 1, number, size=size)
    assert objects(tmp_path) == {sop_uid(1, n): content(sop_uid(1, n), size) for n, size in sizes.items()}
    assert receipt.study == derived(b"capacitord study id 1", study_uid(1).encode(), 5).hex()
    text = f"capacitord spool 1\nsite key {derived(b'capacitord site key id', b'', 8).hex()}\n"
    assert (tmp_path / "format").read_text() == text
    assert sorted(path.name for path in (tmp_path / "objects/00/00").iterdir()) == ["00000000.seg", "00000001.seg"]


@pytest.mark.parametrize(
    "number",
    ["131,072", "131,056", "1,048,448", "4,032", "64 MiB", "16 MiB", "FFFFFFFF", "capacitord catalog 1"],
)
def test_the_page_has_the_numbers_of_the_program(number: str) -> None:
    known = {
        "131,072": sealed.CHUNK_SIZE,
        "131,056": sealed.PAYLOAD_SIZE,
        "1,048,448": LARGE,
        "4,032": sealed.HEADER_SIZE - 48 - sealed.TAG_SIZE,
        "64 MiB": segment.SEGMENT_SIZE,
        "16 MiB": space.BALLAST_SIZE,
        "FFFFFFFF": sealed._DESCRIPTION_NUMBER,
        "capacitord catalog 1": catalog._PURPOSE,
    }[number]
    assert number in PAGE.read_text()
    match number.split():
        case [amount, "MiB"]:
            assert known == int(amount) << 20
        case ["FFFFFFFF"]:
            assert known == int(number, 16)
        case ["capacitord", *_]:
            assert known == number.encode()
        case _:
            assert known == int(number.replace(",", ""))


def test_every_file_of_a_spool_is_on_the_page(tmp_path: Path) -> None:
    page = PAGE.read_text().replace("\\-", "-")
    with opened(tmp_path) as spool:
        take(spool)
        spool.settle()
        for path in tmp_path.iterdir():
            assert f"\\fB{path.name}" in page
    for name in ("catalog.damaged", ".part", ".seal", ".seg"):
        assert name in page


def test_the_page_is_well_formed() -> None:
    checked = subprocess.run(["/usr/bin/mandoc", "-Tlint", str(PAGE)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")
