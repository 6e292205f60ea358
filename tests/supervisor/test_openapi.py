"""The OpenAPI document: complete, honest, and kept by the daemon (schemathesis asks)."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from capacitord.api import wire
from capacitord.api.routes import ROUTES
from capacitord.supervisor.openapi import document
from tests.supervisor.daemon import Daemon, running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


def test_every_route_is_in_the_document_with_all_its_fields() -> None:
    paths = document()["paths"]
    for route in ROUTES:
        operation = paths[route.path][route.method.lower()]
        assert operation["operationId"] == route.name
        assert operation["x-permission"] == route.permission.value
        told = {parameter["name"] for parameter in operation.get("parameters", ())}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        told |= set(body.get("properties", ()))
        assert told == set(route.request.__struct_fields__)
        assert set(wire.path_parameters(route)) <= told
        assert route.form.value in operation["responses"]["200"]["content"]
        assert ("audit log" in operation["description"]) is route.is_audited
    assert sum(len(operations) for operations in paths.values()) == len(ROUTES)


def test_whoever_says_why_can_say_who_she_is() -> None:
    for route in ROUTES:
        fields = {field.name: field for field in msgspec.structs.fields(route.request)}
        if route.is_audited and "reason" in fields:
            assert fields["operator"].default == "", route.name


def test_every_reference_leads_somewhere() -> None:
    whole = document()

    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            for name, value in part.items():
                if name == "$ref":
                    yield value
                else:
                    yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    known = {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}
    assert set(references(whole)) <= known


class Doorway:
    """A TCP port that leads to a Unix socket, as schemathesis speaks TCP."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                outside, _ = self._listener.accept()
                outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                inside = socket.socket(socket.AF_UNIX)
                inside.connect(str(self._path))
                threading.Thread(target=_pass, args=(outside, inside), daemon=True).start()
                threading.Thread(target=_pass, args=(inside, outside), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with running() as started:
        started.serve()
        yield started


@pytest.fixture(scope="module")
def url(daemon: Daemon) -> Iterator[str]:
    doorway = Doorway(daemon.socket)
    yield f"http://127.0.0.1:{doorway.port}"
    doorway.close()


def test_the_daemon_gives_its_document(daemon: Daemon) -> None:
    assert daemon.get("/v1/openapi.json") == json.loads(msgspec.json.encode(document()))


# A stream of events has no end to wait for; tests of its own read it.
schema = schemathesis.openapi.from_dict(document()).exclude(operation_id="events")


@schema.parametrize()
@hypothesis.settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_the_daemon_keeps_its_document(case: schemathesis.Case[Any], url: str, daemon: Daemon) -> None:
    case.call_and_validate(base_url=url, checks=CHECKS, timeout=20)
    if case.operation.path.startswith("/v1/sites/"):
        # The others are to find a site that is served.
        daemon.post("/v1/sites/st-marys/activate", {"reason": "it was parked"})
