"""Who may do what, what is refused and how, and what slow or greedy callers cost."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import time
from collections.abc import Iterator

import pytest

from tests.peers.privilege import root_prefix
from tests.supervisor.daemon import PROFILE, Answer, Daemon, running
from tests.wait import wait_for

SETPRIV = "/usr/bin/setpriv"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """One daemon for all that changes nothing: `daemon` may look, `bin` may change things."""
    with running(
        "--export-pieces", "100", slow_request=0.5, idle=0.5, connections=16, slow_reader=0.5, streams=2
    ) as started:
        started.post("/v1/key/init")
        text = PROFILE.format(version=1, port=9) + "# " + "long " * 90_000
        assert started.ask("POST", "/v1/profiles", {"text": text}).status == 200
        started.until("open")
        yield started


def as_user(daemon: Daemon, user: str, group: str, method: str, path: str) -> Answer:
    """Ask as another user with one group, which takes root."""
    prefix = root_prefix()
    assert prefix is not None, "asking as other users takes root or sudo"
    command = (*prefix, SETPRIV, f"--reuid={user}", f"--regid={group}", "--clear-groups")
    return daemon.ask(method, path, {} if method == "POST" else None, prefix=command)


@pytest.mark.parametrize(
    ("user", "group", "looks", "changes"),
    [
        ("nobody", "nogroup", 403, 403),
        ("nobody", "daemon", 200, 403),
        ("nobody", "bin", 200, 200),
        ("daemon", "nogroup", 200, 403),  # a member by the user database, whatever group it came with
        ("bin", "nogroup", 200, 200),
        ("root", "nogroup", 200, 200),
    ],
)
def test_groups_decide_who_may_look_and_who_may_change(
    daemon: Daemon, user: str, group: str, looks: int, changes: int
) -> None:
    looked = as_user(daemon, user, group, "GET", "/v1/status")
    changed = as_user(daemon, user, group, "POST", "/v1/queue/pause")
    assert looked.status == looks
    # Whoever may, gets as far as hearing that the body lacks the destination.
    assert changed.status == (400 if changes == 200 else 403)


def test_whoever_may_look_may_have_a_study_explained_and_hears_why_a_code_is_for_operators(daemon: Daemon) -> None:
    explained = as_user(daemon, "nobody", "daemon", "GET", "/v1/studies/3f2a9c/explain")
    assert explained.status != 403
    assert [each["action"] for each in daemon.get("/v1/audit?action=study.explain")["entries"]]
    resolved = as_user(daemon, "nobody", "daemon", "POST", "/v1/studies/resolve")
    assert resolved.status == 403
    assert resolved.error["message"] == (
        "user nobody may not do this: it needs the right to operate, since it shows who is behind a code"
    )


def test_a_refused_user_hears_which_group_to_join_and_the_log_who_asked(daemon: Daemon) -> None:
    refused = as_user(daemon, "nobody", "nogroup", "POST", "/v1/key/rotate")
    assert refused.error["reference"] == "not-permitted"
    assert refused.error["exit_code"] == 4
    assert "usermod -aG bin nobody" in refused.error["hint"]
    looked = as_user(daemon, "nobody", "nogroup", "GET", "/v1/status")
    assert "usermod -aG daemon nobody" in looked.error["hint"]
    assert f"refused nobody (uid {pwd.getpwnam('nobody').pw_uid}) key.rotate" in daemon.log.read_text()
    assert daemon.get("/v1/audit?action=key.rotate")["entries"] == []


def test_a_refusal_comes_before_any_word_about_the_request(daemon: Daemon) -> None:
    assert as_user(daemon, "nobody", "nogroup", "GET", "/v1/audit?limit=nonsense").status == 403
    assert as_user(daemon, "nobody", "nogroup", "GET", "/v1/openapi.json").status == 403


def test_the_audit_log_names_who_changed_something(daemon: Daemon) -> None:
    as_user(daemon, "bin", "bin", "POST", "/v1/key/export")
    daemon.ask("POST", "/v1/key/rotate", {"passphrase": None})
    as_user(daemon, "nobody", "bin", "POST", "/v1/key/rotate")
    users = [(e["uid"], e["user"]) for e in daemon.get("/v1/audit?action=key.rotate")["entries"]]
    nobody = pwd.getpwnam("nobody").pw_uid
    own = (os.geteuid(), pwd.getpwuid(os.geteuid()).pw_name)
    assert users == [own, own, (nobody, "nobody"), (nobody, "nobody")]


@pytest.mark.parametrize(
    ("request_", "body", "status", "words"),
    [
        ("GET /v2/status", None, 404, "nothing at this path"),
        ("GET /", None, 404, "nothing at this path"),
        ("DELETE /v1/status", None, 405, "DELETE is not for this path"),
        ("POST /v1/queue/pause", b"[]", 400, "not a JSON object"),
        ("POST /v1/queue/pause", b"{", 400, "not a JSON object"),
        ("POST /v1/queue/pause", b"\xff\xfe", 400, "not a JSON object"),
        ("POST /v1/queue/pause", b"", 400, "destination"),
        ("POST /v1/queue/pause", {"destination": 3}, 400, "$.destination"),
        ("POST /v1/queue/pause", {"destination": "a", "force": True}, 400, "force"),
        ("POST /v1/queue/pause?destination=a", {}, 400, "does not take a query"),
        ("GET /v1/audit?limit=3&limit=4", None, 400, "twice"),
        ("GET /v1/audit?limit=0", None, 400, "$.limit"),
        ("GET /v1/audit?limt=3", None, 400, "limt"),
        ("GET /v1/status", {"a": 1}, 400, "does not take a body"),
        ("POST /v1/studies/x/resend", {"study": "y"}, 400, "in the path"),
        ("POST /v1/profiles", b"x" * (17 << 20), 413, "larger than 16 MiB"),
        ("POST /v1/key/unlock", b"x" * (2 << 20), 413, "larger than 1 MiB"),
        ("POST /v1/studies/x/resend", b'{"image": "%s"}' % (b"x" * 70_000), 413, "more than 65536 bytes"),
    ],
)
def test_what_is_not_a_request_is_refused_in_words(
    daemon: Daemon, request_: str, body: object, status: int, words: str
) -> None:
    method, path = request_.split(" ", 1)
    refused = daemon.ask(method, path, body)
    assert refused.status == status
    assert words in refused.error["message"] + refused.error["hint"]
    assert refused.error["hint"]
    assert refused.json["schema"] == "fluxctl.error/1"


def test_a_wrong_method_hears_the_right_one(daemon: Daemon) -> None:
    answer = daemon.ask("DELETE", "/v1/status", None, "-D", "/dev/stderr")
    assert answer.error["hint"] == "It takes GET."


@contextlib.contextmanager
def raw(daemon: Daemon) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(daemon.socket))
        yield peer


def everything(peer: socket.socket) -> bytes:
    """Read to the end, however it comes."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := peer.recv(1 << 16):
            got += piece
    return got


def test_what_is_not_http_is_told_so(daemon: Daemon) -> None:
    with raw(daemon) as peer:
        peer.sendall(b"\x00\x01\x02 PATIENT^NAME\r\n\r\n")
        head, _, body = everything(peer).partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert json.loads(body)["error"]["reference"] == "invalid"
    assert "PATIENT" not in daemon.log.read_text()


def test_headers_have_a_bound(daemon: Daemon) -> None:
    with raw(daemon) as peer:
        peer.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
        assert b" 400 " in everything(peer).splitlines()[0]


@pytest.mark.parametrize(
    "start", [b"", b"GET /v1/status HT", b"GET /v1/status HTTP/1.1\r\nHost: x\r\n"], ids=["silent", "line", "headers"]
)
def test_a_caller_that_never_finishes_its_head_is_hung_up_on(daemon: Daemon, start: bytes) -> None:
    with raw(daemon) as peer:
        peer.sendall(start)
        began = time.monotonic()
        everything(peer)
        assert time.monotonic() - began < 5


def test_a_body_that_never_comes_is_refused(daemon: Daemon) -> None:
    with raw(daemon) as peer:
        peer.sendall(b"POST /v1/key/init HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        assert b" 408 " in everything(peer).splitlines()[0]


def test_a_connection_can_be_used_again_and_ends_when_idle(daemon: Daemon) -> None:
    with raw(daemon) as peer:
        for _ in range(3):
            peer.sendall(b"GET /v1/key HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in peer.recv(1 << 16).splitlines()[0]
        began = time.monotonic()
        assert everything(peer) == b""
        assert time.monotonic() - began < 5


def test_one_user_cannot_have_all_connections(daemon: Daemon) -> None:
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(raw(daemon)) for _ in range(16)]
        answers = []
        for peer in peers:
            with contextlib.suppress(BrokenPipeError):
                peer.sendall(b"GET /v1/key HTTP/1.1\r\nHost: x\r\n\r\n")
            answers.append(peer.recv(1 << 16).splitlines()[0])
        turned_away = [answer for answer in answers if b" 503 " in answer]
        assert len(turned_away) == 12, answers
        if root_prefix() is not None:
            assert as_user(daemon, "daemon", "daemon", "GET", "/v1/key").status == 200
    wait_for(lambda: daemon.ask("GET", "/v1/key").status == 200, what="room again")


# --- events -----------------------------------------------------------------------------------------------


def test_events_begin_with_the_status_and_go_on() -> None:
    with running() as daemon, raw(daemon) as peer:
        peer.sendall(b"GET /v1/events?interval=0.05 HTTP/1.1\r\nHost: x\r\n\r\n")
        with peer.makefile("rb") as stream:

            def hear(reference: str) -> None:
                """Read on until a line of that kind, or a note of that reference, has come."""
                for line in stream:
                    event = json.loads(line) if line.startswith(b"{") else {}
                    if reference in {event.get("kind"), event.get("reference")}:
                        return
                pytest.fail(f"the stream ended before {reference}")

            hear("status")
            hear("status")
            daemon.serve()
            hear("profile-imported")
            daemon.import_profile(version=2)
            hear("updated")
            assert daemon.stop() == 0
            assert stream.read().endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("route", "path"), [("study.export", "studies/a/export"), ("profile.show", "profiles/st-marys")]
)
def test_a_reader_that_does_not_read_is_hung_up_on(daemon: Daemon, route: str, path: str) -> None:
    with raw(daemon) as peer:
        peer.sendall(f"GET /v1/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_for(lambda: f"{route} broke off: the reader was too slow" in daemon.log.read_text(), what="an end")
        assert len(everything(peer)) < 1 << 20


def test_streams_are_counted(daemon: Daemon) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            peer = stack.enter_context(raw(daemon))
            peer.sendall(b"GET /v1/events?interval=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in peer.recv(1 << 12)
        refused = daemon.ask("GET", "/v1/events")
        assert (refused.status, refused.error["exit_code"]) == (503, 75)
