"""Each table of a profile: what it takes, and what is said of what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from capacitord.config import profile
from capacitord.config.diagnostics import Rejected, key_text
from capacitord.config.fields import host
from capacitord.config.in_force import in_force
from capacitord.config.tables.completeness import Closing
from capacitord.config.tables.destination import TlsTable
from capacitord.config.tables.review import Rematch
from capacitord.config.transfer_syntaxes import TRANSFER_SYNTAXES
from capacitord.location import geofence
from capacitord.model.completeness import Event
from capacitord.model.compression import CAN_COMPRESS, Compression
from capacitord.model.delivery import Batch, Inactive, Policy, Send, WhenInactive
from capacitord.model.location import Agreement
from capacitord.model.matching import MatchKey
from capacitord.model.routes import Priority
from capacitord.model.schedule import Window
from capacitord.model.worklist import Code, Source
from tests.config.test_profile import SMALL

FENCE = "[[[-87.63, 41.88], [-87.62, 41.88], [-87.62, 41.886], [-87.63, 41.886], [-87.63, 41.88]]]"
DIGEST = ":".join(["9F"] * 32)
WHOLE = f"""{SMALL}
calling_ae_title = "$calling"
tls = {{ ca = "ca.pem", certificate = "box.pem", key = "box.key" }}
commitment = true
associations = 4
batch = {{ images = 50 }}
transfer_syntaxes = ["JPEG2000Lossless", "ExplicitVRLittleEndian"]
compress = "JPEG2000Lossless"
[[destination]]
name = "cloud"
stow = "https://dicom.example.org/studies"
token_file = "cloud.token"
[location]
geofence = {{ type = "Polygon", coordinates = {FENCE} }}
dwell = "2m"
network = "all"
[[location.evidence]]
subnet = "10.20.0.0/16"
[[location.evidence]]
gateway_mac = "00-11-22-AA-BB-CC"
[[location.evidence]]
ssid = "StMarys-Imaging"
[[location.evidence]]
dns_suffix = ".STM.example."
[[location.evidence]]
endpoint = {{ host = "10.20.1.10", port = 2762, certificate_sha256 = "{DIGEST}" }}
[[location.evidence]]
echo = {{ ae_title = "STM_PACS", host = "10.20.1.10", port = 104 }}
[preflight]
required = true
[worklist]
source = {{ ae_title = "STM_RIS", host = "10.20.1.11", port = 104 }}
refresh = "1m"
window = {{ past = "2d", future = "3d" }}
stale_after = "1h"
[[worklist.correct]]
match = {{ Modality = "CT" }}
set = {{ ScheduledStationAETitle = "COACHCT" }}
[[worklist.correct]]
clean = ["PatientName"]
codes = {{ RequestedProcedureCodeSequence = {{ "CTHD" = {{ value = "CTHEAD", scheme = "99STM", meaning = "CT" }} }} }}
[review]
match = ["AccessionNumber", ["PatientID", "Modality", "ScheduledDate"]]
unmatched = {{ release-to = ["pacs"] }}
rematch = "release"
[completeness]
study_closes = ["commitment", "mpps", "quiet 1m30s"]
send = "study"
[[route]]
match = {{ Modality = "CT" }}
to = ["pacs", "cloud"]
priority = "stat"
[[route]]
to = ["pacs"]
else_to = ["cloud"]
else_after = "5m"
[[transform]]
on = "inbound"
set = {{ InstitutionName = "X" }}
[delivery]
policy = ["docked", "scheduled"]
networks = ["StMarys-Imaging", "eth0"]
windows = ["Mon-Fri 19:00-06:00"]
rate_limit = "8 Mbit/s"
order = ["priority", "StudyDate", "SeriesNumber"]
when_inactive = "drain"
keep_delivered = "36h"
"""


def findings(text: str) -> list[str]:
    found = profile.check(text, "p.toml", further=geofence.check)
    return [f"{each.key}: {each.message} / {each.hint}" for each in (*found.problems, *found.warnings)]


def test_everything_can_be_said() -> None:
    assert findings(WHOLE) == []
    found = profile.parse(WHOLE, "p.toml")
    pacs, cloud = found.destination
    assert pacs.tls == TlsTable(ca="ca.pem", certificate="box.pem", key="box.key")
    assert (pacs.commitment, pacs.batch, cloud.stow) == (True, Batch(images=50), "https://dicom.example.org/studies")
    assert pacs.compress == Compression(TRANSFER_SYNTAXES["JPEG2000Lossless"])
    assert found.location is not None
    assert (found.location.dwell, found.location.network) == (120, Agreement.ALL)
    assert found.location.evidence[1].gateway_mac == "00:11:22:aa:bb:cc"
    assert found.location.evidence[3].dns_suffix == "stm.example"
    endpoint = found.location.evidence[4].endpoint
    assert endpoint is not None
    assert endpoint.certificate_sha256 == "9f" * 32
    assert found.worklist is not None
    assert found.worklist.window.future == 3 * 86400
    (recode,) = found.worklist.correct[1].codes
    assert recode.codes == {"CTHD": Code("CTHEAD", "99STM", "CT")}
    acting = in_force(found).worklist
    assert acting is not None
    assert acting.source == Source("STM_RIS", "10.20.1.11", 104)
    assert [each.name for each in acting.corrections] == ["worklist.correct[0]", "worklist.correct[1]"]
    assert found.review is not None
    assert found.review.match[1] == (MatchKey.PATIENT_ID, MatchKey.MODALITY, MatchKey.SCHEDULED_DATE)
    assert found.review.unmatched is not None
    assert (found.review.unmatched.release_to, found.review.rematch) == (["pacs"], Rematch.RELEASE)
    assert found.completeness is not None
    assert found.completeness.study_closes[2] == Closing(Event.QUIET, 90)
    assert found.completeness.send is Send.STUDY
    first, second = found.routes
    assert (first.to, first.priority) == (("pacs", "cloud"), Priority.STAT)
    assert (second.else_to, second.else_after) == (("cloud",), 300)
    assert found.delivery.policy == (Policy.DOCKED, Policy.SCHEDULED)
    assert found.delivery.windows == [Window((0, 1, 2, 3, 4), 19 * 60, 6 * 60)]
    assert (found.delivery.rate_limit, found.delivery.when_inactive) == (8_000_000, Inactive(WhenInactive.DRAIN))


def test_what_compresses_is_a_transfer_syntax() -> None:
    assert CAN_COMPRESS.keys() <= TRANSFER_SYNTAXES.keys()


@pytest.mark.parametrize(
    ("text", "compression"),
    [
        ('{ transfer_syntax = "JPEG2000", ratio = 10 }', {"ratio": 10}),
        ('{ transfer_syntax = "JPEG2000", quality = 90 }', {"quality": 90}),
        ('{ transfer_syntax = "JPEGBaseline8Bit", quality = 90 }', {"quality": 90}),
        ('{ transfer_syntax = "JPEGLSNearLossless", near = 2 }', {"near": 2}),
        (
            '{ transfer_syntax = "JPEG2000", ratio = 8.5, lossy_mammography = true }',
            {"ratio": 8.5, "lossy_mammography": True},
        ),
        ('"RLELossless"', {}),
    ],
)
def test_compression(text: str, compression: dict[str, Any]) -> None:
    found = profile.parse(f"{SMALL}compress = {text}\n", "p.toml").destination[0].compress
    assert found is not None
    assert {name: getattr(found, name) for name in compression} == compression
    assert found.lossy is bool(compression)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("batch = { images = 50 }", "batch = { images = 0 }", "batch.images: must be between 1 and 100000"),
        ("batch = { images = 50 }", 'batch = { size = "1 kB" }', "batch.size: must be at least 1 MiB"),
        ("batch = { images = 50 }", "batch = { size = 5 }", "destination[0].batch.size: must be a size"),
        ("batch = { images = 50 }", 'batch = "series"', "destination[0].batch: must be one of images, size and study"),
        ("batch = { images = 50 }", "batch = { image = 5 }", "destination[0].batch.image: is not known here"),
        ('"JPEG2000Lossless"\n', '"JPEG2000Losless"\n', "'JPEG2000Losless' / Did you mean JPEG2000Lossless?"),
        ('"JPEG2000Lossless"\n', '"JPEG2000"\n', "destination[0].compress: JPEG2000 loses something"),
        (
            '"JPEG2000Lossless"\n',
            '{ transfer_syntax = "RLELossless", ratio = 2 }\n',
            "ratio: RLELossless loses nothing",
        ),
        ('"JPEG2000Lossless"\n', '{ transfer_syntax = "JPEG2000", ratio = 1 }\n', "ratio: must be a number from 1.1"),
        ('"JPEG2000Lossless"\n', '{ transfer_syntax = "JPEG2000", near = 1 }\n', "takes ratio or quality"),
        (
            '"JPEG2000Lossless"\n',
            '{ transfer_syntax = "JPEG2000", ratio = 9, quality = 9 }\n',
            "either ratio or quality",
        ),
        ('"JPEG2000Lossless"\n', "{ quality = 5 }\n", "compress.transfer_syntax: is missing"),
        ('ca = "ca.pem"', 'ca = "/etc/ca.pem"', "tls.ca: leads out of the folder of the profile"),
        ('ca = "ca.pem"', 'ca = "../ca.pem"', "tls.ca: leads out of the folder of the profile"),
        (', key = "box.key"', "", "destination[0].tls: certificate and key go together"),
        ("https://dicom", "http://dicom", "stow: would send images in the clear"),
        ("https://dicom.example.org/studies", "https://me:pw@dicom.example.org/", "stow: has a user name"),
        ("https://dicom.example.org/studies", "dicom.example.org", "stow: is not a URL"),
        ("https://dicom.example.org/studies", "https://dicom.example.org:x/", "stow: is not a URL"),
        ('token_file = "cloud.token"', "port = 5", "destination[1].port: does not go with stow"),
        ('stow = "https://dicom.example.org/studies"\n', "", "destination[1].ae_title: is missing"),
        ('dwell = "2m"', 'dwell = "2h"', "location.dwell: must be between one second and one hour"),
        ('network = "all"', 'network = "some"', "location.network: must be 'any', 'all' or 'none'"),
        ('subnet = "10.20.0.0/16"', 'subnet = "10.20.0.1/16"', "subnet: has bits of a host"),
        ('subnet = "10.20.0.0/16"', 'subnet = "10.20.0.0/16"\nssid = "x"', "evidence[0]: must have exactly one of"),
        ('".STM.example."', '"10.20.1.1"', "dns_suffix: is not the name of a domain"),
        ('".STM.example."', '"."', "dns_suffix: is neither a host name nor an IP address"),
        ('"9F:', '"9G:', "certificate_sha256: is not a SHA-256 digest"),
        ("port = 2762, certificate", "certificate", "endpoint.port: is missing"),
        ("00-11-22-AA-BB-CC", "00-11-22-AA-BB", "gateway_mac: is not a MAC address"),
        ("00-11-22-AA-BB-CC", "01:11:22:AA:BB:CC", "gateway_mac: is a group's MAC address"),
        ("00-11-22-AA-BB-CC", "00:11-22:AA:BB:CC", "gateway_mac: is not a MAC address"),
        ('ssid = "StMarys-Imaging"', 'ssid = "0123456789012345678901234567890123"', "ssid: must have 1 to 32 octets"),
        ("required = true", 'required = "yes"', "preflight.required: must be true or false"),
        ('refresh = "1m"', 'refresh = "1x"', "worklist.refresh: '1x' is not a duration"),
        ('"CTHD" = {', '"CTHD" = { valu = "x",', "CTHD.valu: is not known here"),
        ('scheme = "99STM", ', "", "CTHD.scheme: is missing"),
        ("{ RequestedProcedureCodeSequence =", "{ Modality =", "codes.Modality: Modality is not a code sequence"),
        ('"AccessionNumber", [', '"AccessionNo", [', "'AccessionNo' is nothing that a study and a worklist"),
        ('"AccessionNumber", [', '"AccessionNo", [', "Did you mean AccessionNumber?"),
        ('{ release-to = ["pacs"] }', '"release"', "review.unmatched: 'release' is not known here"),
        ('{ release-to = ["pacs"] }', '{ release-to = ["pasc"] }', "'pasc' / Did you mean pacs?"),
        ('"quiet 1m30s"', '"quiet"', "study_closes[2]: says not for how long it must be quiet"),
        ('"quiet 1m30s"', '"mpp"', "'mpp' does not tell that a study is complete / Did you mean mpps?"),
        ('"quiet 1m30s"', '"mpps 5s"', "mpps takes no duration"),
        ('send = "study"', 'send = "all"', "completeness.send: must be 'study' or 'image'"),
        ('to = ["pacs", "cloud"]', 'to = ["pacs", "pacs"]', "route[0].to[1]: 'pacs' is in this list already"),
        ('to = ["pacs", "cloud"]', "to = []", "route[0].to: must not be empty"),
        ('priority = "stat"', 'priority = "now"', "route[0].priority: must be 'stat', 'high', 'routine' or 'low'"),
        ('else_after = "5m"', 'else_after = "0s"', "route[1].else_after: must be at least one second"),
        ('["docked", "scheduled"]', '["docked", "realtime"]', "delivery.policy: realtime goes with no other policy"),
        ('["docked", "scheduled"]', '"sceduled"', "'sceduled' is not a delivery policy / Did you mean scheduled?"),
        ('"Mon-Fri 19:00-06:00"', '"Mon-Fir 19:00-06:00"', "delivery.windows[0]: 'Fir' is not a day of the week"),
        ('"Mon-Fri 19:00-06:00"', '"19:00-19:00"', "delivery.windows[0]: '19:00-19:00' begins when it ends"),
        ('"Mon-Fri 19:00-06:00"', '"24:00-06:00"', "begins at the end of a day"),
        ('"8 Mbit/s"', '"8 Mb/s"', "delivery.rate_limit: '8 Mb/s' is not a rate"),
        ('"8 Mbit/s"', '"1 bit/s"', "delivery.rate_limit: '1 bit/s' is not a rate"),
        ('"priority", "StudyDate"', '"priority", "StudyDat"', "Did you mean StudyDate?"),
        ('keep_delivered = "36h"', 'keep_delivered = "11y"', "delivery.keep_delivered: '11y' is not a duration"),
    ],
)
def test_what_is_refused(old: str, new: str, words: str) -> None:
    assert old in WHOLE
    found = findings(WHOLE.replace(old, new, 1))
    assert any(words in each for each in found), found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("10.20.0.0/16", "10.20.1.5/16", "subnet: has bits of a host / Write 10.20.0.0/16 for the range"),
        ("10.20.0.0/16", "0.0.0.0/0", "subnet: holds an address of every machine"),
        ("10.20.0.0/16", "127.0.0.0/8", "subnet: holds an address of every machine"),
        ("00-11-22-AA-BB-CC", "0011.22AA.BBCC", "is not a MAC address / Write it like 00:11:22:aa:bb:cc."),
        ("America/Chicago", "CST", "'CST' is not a time zone this machine knows / Zones are named by a city"),
        ("America/Chicago", "Chicago", "Did you mean America/Chicago?"),
        ("America/Chicago", "New York", "Did you mean America/New_York?"),
        ("America/Chicago", "Europe", "Zones are named by a city"),
        ("America/Chicago", "localtime", "is not a time zone"),
        ("America/Chicago", "x" * 5000, "…' is not a time zone"),
        ('refresh = "1m"', 'refresh = "0s"', "worklist.refresh: must be at least ten seconds"),
        ('"quiet 1m30s"', '"quiet 1m30s", "mpp", "quiet"', "study_closes[3]: 'mpp' does not tell"),
        ('"quiet 1m30s"', '"quiet 1m30s", "mpps"', "study_closes[3]: mpps is in this list already"),
        ('"priority", "StudyDate"', '"prioriy", "StudyDate"', "order[0]: 'prioriy' is not the keyword"),
        ('"priority", "StudyDate"', '"StudyDate", "StudyDate"', "order[1]: 'StudyDate' is in this list already"),
    ],
)
def test_each_mistake_is_said_once_with_what_is_meant(old: str, new: str, words: str) -> None:
    assert old in WHOLE
    found = findings(WHOLE.replace(old, new, 1))
    assert sum(words in each for each in found) == 1, found
    assert not any("String should" in each or "constrained" in each for each in found)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("10.20.1.10:104", 'host = "10.20.1.10" and port = 104'),
        ("[fd00::1]:104", 'host = "fd00::1" and port = 104'),
        ("[fd00::1]", "brackets"),
        ("0.0.0.0", "at which the node listens"),
        ("239.1.2.3", "at which the node listens"),
        ("dicom://pacs", "without a port"),
    ],
)
def test_a_host_is_one_node(value: str, hint: str) -> None:
    with pytest.raises(Rejected) as refused:
        host(value)
    assert hint in refused.value.hint


def test_keys_with_odd_letters_are_written_as_in_the_file() -> None:
    assert key_text(("map", "(0009,xx01,ME)", 0, "a-b", "Ä")) == 'map."(0009,xx01,ME)"[0].a-b."Ä"'
