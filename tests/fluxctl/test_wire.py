"""Requests there and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.api import messages as m
from capacitord.api import wire
from capacitord.api.codes import Resolve
from capacitord.api.preflight import RunPreflight
from capacitord.api.preview import LARGEST, Preview
from capacitord.api.review import DiscardHeld, ListHeld, Release, RestoreHeld
from capacitord.api.routes import ROUTES, Route, route
from capacitord.api.trial import Explain
from capacitord.api.worklist import EntryRef, ListEntries
from capacitord.errors import Invalid
from capacitord.model.states import StudyState
from tests.fluxctl.daemon import _pattern

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name not in {".", ".."})
SHORT = NAMES.filter(lambda name: len(name) <= 64)
SECRETS = st.builds(m.Secret, value=NAMES)
VERSIONS = st.none() | st.integers(1, 2**31 - 1)
FILES = st.lists(st.builds(m.EnclosedFile, NAMES, st.binary()), max_size=2).map(tuple)
REQUESTS: dict[type, st.SearchStrategy[Any]] = {
    m.Empty: st.just(m.Empty()),
    m.AuditQuery: st.builds(
        m.AuditQuery,
        limit=st.integers(1, 10_000),
        action=NAMES,
        subject=NAMES,
        since=st.none() | st.datetimes(timezones=st.just(UTC)),
    ),
    m.DestinationRef: st.builds(m.DestinationRef, NAMES),
    m.EventQuery: st.builds(m.EventQuery, interval=st.floats(0.05, 3600)),
    m.KeyExport: st.builds(m.KeyExport, SECRETS),
    m.KeyInit: st.builds(m.KeyInit, st.sampled_from(m.KeySource), st.none() | SECRETS),
    m.KeyRestore: st.builds(
        m.KeyRestore,
        text=NAMES,
        recovery=SECRETS,
        source=st.sampled_from(m.KeySource),
        passphrase=st.none() | SECRETS,
    ),
    m.KeyRotate: st.builds(m.KeyRotate, passphrase=st.none() | SECRETS, new_key=st.none() | SECRETS),
    m.KeyUnlock: st.builds(m.KeyUnlock, SECRETS),
    m.ProfileImport: st.builds(
        m.ProfileImport,
        text=NAMES,
        name=NAMES,
        allow_older=st.booleans(),
        dry_run=st.booleans(),
        files=FILES,
        others=st.lists(st.builds(m.ProfileSource, NAMES, NAMES, FILES), max_size=2).map(tuple),
    ),
    m.ProfileRef: st.builds(m.ProfileRef, NAMES, VERSIONS),
    m.ProfileRemove: st.builds(m.ProfileRemove, NAMES, NAMES),
    m.ProfileRollback: st.builds(m.ProfileRollback, NAMES, NAMES, VERSIONS),
    m.ProfileSite: st.builds(m.ProfileSite, NAMES),
    RunPreflight: st.builds(RunPreflight, SHORT, st.booleans()),
    m.SiteActivate: st.builds(m.SiteActivate, NAMES, NAMES, NAMES, st.booleans()),
    m.SiteErase: st.builds(m.SiteErase, NAMES, NAMES, NAMES),
    m.SiteFollow: st.builds(m.SiteFollow, NAMES),
    m.SiteDeactivate: st.builds(m.SiteDeactivate, NAMES),
    m.StudyRef: st.builds(m.StudyRef, NAMES),
    Explain: st.builds(Explain, study=NAMES, image=NAMES),
    Preview: st.builds(
        Preview,
        study=NAMES,
        image=NAMES,
        frame=st.integers(0, 1 << 20),
        size=st.integers(16, LARGEST),
        window=SHORT,
    ),
    Resolve: st.builds(Resolve, code=NAMES, destinations=st.lists(NAMES).map(tuple)),
    m.Export: st.builds(m.Export, NAMES),
    m.Discard: st.builds(m.Discard, study=NAMES, reason=NAMES, confirm=NAMES),
    m.Resend: st.builds(m.Resend, study=NAMES, destinations=st.lists(NAMES).map(tuple), image=NAMES),
    m.QueueSelect: st.builds(m.QueueSelect, NAMES),
    m.StudyQuery: st.builds(
        m.StudyQuery,
        state=st.none() | st.sampled_from(StudyState),
        undelivered=st.booleans(),
        limit=st.integers(1, 1000),
        after=NAMES,
    ),
    DiscardHeld: st.builds(
        DiscardHeld, study=NAMES, reason=NAMES, patient_name=st.builds(m.Secret, NAMES), operator=SHORT
    ),
    ListHeld: st.builds(ListHeld, limit=st.integers(1, 1000), after=NAMES),
    Release: st.builds(
        Release,
        study=NAMES,
        destinations=st.lists(NAMES, min_size=1, max_size=3).map(tuple),
        reason=NAMES,
        match=NAMES,
        operator=SHORT,
    ),
    RestoreHeld: st.builds(RestoreHeld, study=NAMES, operator=SHORT),
    ListEntries: st.builds(ListEntries, vanished=st.booleans()),
    EntryRef: st.builds(EntryRef, NAMES),
}


@pytest.mark.parametrize("wanted", ROUTES, ids=lambda wanted: wanted.name)
@given(st.data())
def test_every_request_arrives_as_it_was_sent(wanted: Route, data: st.DataObject) -> None:
    message = data.draw(REQUESTS[wanted.request])
    sent = wire.encode(wanted, message)
    parts = urlsplit(sent.target)
    match = _pattern(wanted).fullmatch(parts.path)
    assert match is not None
    path = {name: unquote(value) for name, value in match.groupdict().items()}
    query = parse_qsl(parts.query, keep_blank_values=True)
    assert wire.decode(wanted, path, query, sent.body or b"") == message
    assert (sent.body is None) == (sent.method == "GET")


def test_defaults_stay_at_home() -> None:
    assert wire.encode(route("study.list"), m.StudyQuery()).target == "/v1/studies"
    assert wire.encode(route("study.list"), m.StudyQuery(undelivered=True)).target == "/v1/studies?undelivered=true"


def test_a_time_travels_in_a_query() -> None:
    since = datetime(2025, 11, 21, 14, 2, tzinfo=UTC)
    target = wire.encode(route("audit.show"), m.AuditQuery(since=since)).target
    assert target == "/v1/audit?since=2025-11-21T14%3A02%3A00Z"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_names_that_no_path_can_hold(name: str) -> None:
    with pytest.raises(Invalid, match="is not a name"):
        wire.encode(route("study.show"), m.StudyRef(name))


@pytest.mark.parametrize(
    ("name", "path", "query", "body"),
    [
        ("study.list", {}, [("limit", "2"), ("limit", "3")], b""),
        ("study.list", {}, [("limit", "many")], b""),
        ("study.list", {}, [("limmit", "2")], b""),
        ("study.show", {"study": "1"}, [("study", "2")], b""),
        ("study.discard", {"study": "1"}, [], b'{"reason":"x","confirm":"1","force":true}'),
        ("study.discard", {"study": "1"}, [], b'{"reason":"x"}'),
        ("study.discard", {"study": "1"}, [], b'{"study":"2","reason":"x","confirm":"2"}'),
        ("study.resend", {"study": "1"}, [], b"[]"),
        ("study.resend", {"study": "1"}, [], b"{"),
        ("study.resend", {"study": "1"}, [], b'{"image":7}'),
        ("study.resend", {"study": "1"}, [], b"\xff"),
    ],
)
def test_what_is_refused(name: str, path: dict[str, str], query: list[tuple[str, str]], body: bytes) -> None:
    with pytest.raises(Invalid):
        wire.decode(route(name), path, query, body)


def test_secrets_do_not_show_themselves() -> None:
    assert "hunter2" not in repr(m.KeyUnlock(m.Secret("hunter2")))
    assert msgspec.json.decode(wire.encode(route("key.unlock"), m.KeyUnlock(m.Secret("hunter2"))).body or b"") == {
        "passphrase": {"value": "hunter2"}
    }
