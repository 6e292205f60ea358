"""What a profile says through files beside it."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from capacitord.config import profile
from capacitord.config.file_names import is_plain
from capacitord.config.profile import Checked
from capacitord.location import geofence
from capacitord.model.transform import Map
from fluxctl.validation import Folder
from tests.config.test_profile import SMALL
from tests.location.test_geofence import SQUARE

FENCE = "[location]\nnetwork = 'none'\ngeofence = { file = 'site.geojson' }\n"
MAP = "[[transform]]\nmap = { BodyPartExamined = { file = 'parts.csv', default = 'X' } }\n"
TLS = "tls = { ca = 'ca.pem', certificate = 'box.pem', key = 'box.key' }\n"
POLYGON = {"type": "Polygon", "coordinates": [SQUARE]}


def checked(folder: Path, rest: str) -> Checked:
    return profile.check(SMALL + rest, "p.toml", beside=Folder(folder), further=geofence.check)


def problems(folder: Path, rest: str) -> list[str]:
    return [f"{each.key}: {each.message}" for each in checked(folder, rest).problems]


@pytest.mark.parametrize(
    "content",
    [
        POLYGON,
        {"type": "Feature", "properties": {}, "geometry": POLYGON},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": POLYGON}]},
    ],
)
def test_a_geofence_comes_from_geojson(tmp_path: Path, content: object) -> None:
    (tmp_path / "site.geojson").write_text(json.dumps(content))
    found = checked(tmp_path, FENCE).profile
    assert found is not None
    assert found.location is not None
    assert found.location.geofence == POLYGON


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "geofence.file: there is no file site.geojson beside the profile"),
        (b"{", "geofence.file: is not JSON"),
        (b"\xff", "geofence.file: site.geojson is not UTF-8"),
        (b"[" * 100_000, "geofence.file: is not JSON"),
        (b'{"type": "FeatureCollection", "features": []}', "geofence.file: holds several features, or none"),
        (b'{"type": "Point", "coordinates": [1, 2]}', "geofence.type: must be Polygon or MultiPolygon"),
        (b"5", "geofence: must be a GeoJSON geometry"),
    ],
)
def test_what_is_no_geofence_is_said(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "site.geojson").write_bytes(content)
    (found,) = problems(tmp_path, FENCE)
    assert words in found


def test_a_table_comes_from_csv(tmp_path: Path) -> None:
    (tmp_path / "parts.csv").write_text('HEAD,BRAIN\n"NECK, SOFT",NECK\n\n')
    found = checked(tmp_path, MAP).profile
    assert found is not None
    (operation,) = found.transform[0].operations
    assert isinstance(operation, Map)
    assert operation.table == {"HEAD": "BRAIN", "NECK, SOFT": "NECK"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("HEAD,BRAIN\nNECK\n", "row 2 has 1 columns"),
        ("HEAD,BRAIN\nHEAD,NECK\n", "row 2 repeats 'HEAD'"),
        ('"HEAD,BRAIN\n', "is not CSV"),
        ("", "must be a table of texts that is not empty"),
        ("A,B\n" * 300_000, "parts.csv is larger than 1 MiB"),
    ],
)
def test_what_is_no_table_is_said(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "parts.csv").write_text(content)
    found = problems(tmp_path, MAP)
    assert any(words in each for each in found), found


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", ""])
def test_files_lie_beside_the_profile(tmp_path: Path, name: str) -> None:
    found = problems(tmp_path, FENCE.replace("site.geojson", name))
    assert any("is not the name of a file beside the profile" in each for each in found), found


def test_a_profile_that_comes_alone_cannot_depend_on_a_file() -> None:
    found = profile.check(SMALL + FENCE + MAP, "p.toml")
    assert found.profile is None
    assert [each.message for each in found.problems] == [
        "site.geojson did not come with the profile",
        "parts.csv did not come with the profile",
    ]


def make_certificate(folder: Path, name: str) -> None:
    subprocess.run(
        [
            *("/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-days", "90", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"),
        ],
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("box", "ca"):
        make_certificate(folder, name)
    return folder


def test_certificates_that_fit_are_taken(certificates: Path) -> None:
    found = checked(certificates, TLS)
    assert (found.problems, found.warnings) == ((), ())


def self_signed(begins: timedelta, ends: timedelta) -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now + begins, now + ends)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [
        (-90, -2, "ca.pem expired on {ends}"),
        (2, 90, "ca.pem is not valid before {begins}"),
        (-90, 29, "ca.pem expires on {ends}"),
        (-90, 31, ""),
    ],
)
def test_a_certificate_that_is_not_valid_now_or_not_much_longer_is_pointed_out(
    tmp_path: Path, begins: int, ends: int, words: str
) -> None:
    dates = {"begins": timedelta(days=begins), "ends": timedelta(days=ends)}
    sound = self_signed(timedelta(days=-1), timedelta(days=90))
    (tmp_path / "ca.pem").write_bytes(sound + self_signed(**dates))
    found = checked(tmp_path, "tls = { ca = 'ca.pem' }\n")
    assert found.problems == ()
    told = {name: f"{datetime.now(UTC) + span:%Y-%m-%d}" for name, span in dates.items()}
    assert [each.message for each in found.warnings] == ([words.format(**told)] if words else [])
    assert all(each.key.endswith(".tls.ca") and each.hint for each in found.warnings)


def test_certificates_that_are_not_there_are_a_warning_only(tmp_path: Path) -> None:
    found = checked(tmp_path, TLS)
    assert found.problems == ()
    assert [each.key.rpartition(".")[2] for each in found.warnings] == ["ca", "certificate", "key"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("'box.key'", "'ca.key'", "tls.key: ca.key is not the key of box.pem"),
        ("'box.key'", "'box.pem'", "tls.key: box.pem is not a private key in PEM"),
        ("'ca.pem'", "'box.key'", "tls.ca: box.key is not a certificate in PEM"),
        ("'ca.pem'", "'bad.pem'", "tls.ca: bad.pem holds a certificate that can't be read"),
        ("'box.key'", "'locked.key'", "tls.key: locked.key is encrypted"),
    ],
)
def test_certificates_that_do_not_fit_are_refused(certificates: Path, old: str, new: str, words: str) -> None:
    (certificates / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (certificates / "locked.key").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    found = problems(certificates, TLS.replace(old, new))
    assert any(words in each for each in found), found


@pytest.mark.parametrize(("token", "good"), [(b"abc\n", True), (b"", False), (b"a b", False), (b"\xff", False)])
def test_a_token_is_one_word(tmp_path: Path, token: bytes, good: bool) -> None:
    (tmp_path / "t").write_bytes(token)
    web = "[[destination]]\nname = 'web'\nstow = 'https://example.org/'\ntoken_file = 't'\n"
    assert (problems(tmp_path, web) == []) is good


@pytest.mark.parametrize("name", ["my table.csv", "köln.csv", "a/b/c/d/e/parts.csv"])
def test_files_may_be_called_as_people_call_them(tmp_path: Path, name: str) -> None:
    assert is_plain(name)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("A,B\n")
    assert not problems(tmp_path, MAP.replace("parts.csv", name))


@pytest.mark.parametrize(
    "name", ["", "/a", "a//b", "../a", "a/..", "./a", ".a", "a/.b", " a", "a\\b", "a\x1b", "x" * 256]
)
def test_files_are_not_called_like_this(name: str) -> None:
    assert not is_plain(name)


@pytest.mark.parametrize("rest", [MAP, FENCE.replace("site.geojson", "parts.csv"), TLS.replace("ca.pem", "parts.csv")])
def test_no_file_takes_the_place_of_the_profile(tmp_path: Path, rest: str) -> None:
    site = profile.parse(SMALL, "p.toml").id
    (tmp_path / f"{site}.toml").write_text("A,B\n")
    found = problems(tmp_path, rest.replace("parts.csv", f"{site}.toml"))
    assert any(f"{site}.toml is what the profile itself is called" in each for each in found)
