"""Every command against a daemon: what it asks, what it prints, how it ends."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from pydicom.data import get_testdata_file

from capacitord.api import messages as m
from capacitord.api import schemas
from capacitord.api.departure import Departure
from capacitord.api.preflight import Preflight, RunPreflight
from capacitord.api.review import Release
from capacitord.api.routes import ROUTES, Answers
from capacitord.api.schemas import DOCUMENTS
from capacitord.config import idle, profile
from capacitord.errors import Ambiguous, CapacitordError, Invalid, Locked, NotFound, NotPermitted, Refused, TryAgain
from capacitord.model.states import StudyState
from fluxctl.command import options
from fluxctl.manual import walk
from tests.fluxctl import departure_samples as d
from tests.fluxctl import held_samples
from tests.fluxctl import preflight_samples as f
from tests.fluxctl import samples as s
from tests.fluxctl import worklist_samples as w
from tests.fluxctl.conftest import Run
from tests.fluxctl.daemon import BrokenOff, Daemon, archive

PROFILE = """
schema = 1
id = "st-marys"
name = "St. Mary's Hospital"
version = 7
timezone = "America/Chicago"
[[destination]]
name = "pacs"
ae_title = "STM_PACS"
host = "10.20.1.10"
port = 104
"""
LINES: dict[str, list[str]] = {
    "audit.show": ["audit", "show"],
    "audit.verify": ["audit", "verify"],
    "destination.echo": ["destination", "echo", "pacs"],
    "destination.list": ["destination", "list"],
    "doctor": ["doctor"],
    "geofence.check": ["geofence", "check", "dock=41.8851,-87.6278"],
    "geofence.map": ["geofence", "map"],
    "geofence.test": ["geofence", "test", "41.8851", "-87.6278", "--accuracy", "10"],
    "held.discard": ["held", "discard", "77ac01", "--reason", "phantom", "--name-stdin"],
    "held.list": ["held", "list"],
    "held.restore": ["held", "restore", "77ac01"],
    "held.show": ["held", "show", "77ac01"],
    "key.export": ["key", "export", "--recovery", "{tmp}/recovery", "--passphrase-stdin"],
    "key.init": ["key", "init"],
    "key.restore": ["key", "restore", "{tmp}/recovery.txt", "--passphrase-stdin"],
    "key.rotate": ["key", "rotate", "--yes"],
    "key.status": ["key", "status"],
    "key.unlock": ["key", "unlock", "--passphrase-stdin"],
    "preflight": ["preflight", "lakeside"],
    "profile.diff": ["profile", "diff", "{tmp}/profile.toml", "st-marys"],
    "profile.export": ["profile", "export", "st-marys", "{tmp}/out"],
    "profile.history": ["profile", "history", "st-marys"],
    "profile.import": ["profile", "import", "{tmp}/profile.toml"],
    "profile.list": ["profile", "list"],
    "profile.remove": ["profile", "remove", "st-marys", "--yes"],
    "profile.rollback": ["profile", "rollback", "st-marys", "--reason", "phantom", "--yes"],
    "profile.show": ["profile", "show"],
    "profile.try": ["profile", "try", "{tmp}/profile.toml", str(get_testdata_file("CT_small.dcm"))],
    "profile.validate": ["profile", "validate", "{tmp}/profile.toml"],
    "queue.flush": ["queue", "flush", "pacs"],
    "queue.list": ["queue", "list"],
    "queue.pause": ["queue", "pause", "pacs"],
    "queue.resume": ["queue", "resume", "ALL"],
    "queue.show": ["queue", "show", "3f2a9c"],
    "release": ["release", "77ac01", "--to", "pacs", "--reason", "trauma", "--yes"],
    "resend": ["resend", "3f2a9c", "--yes"],
    "site.activate": ["site", "activate", "lakeside", "--reason", "Tuesday", "--yes"],
    "site.erase": ["site", "erase", "lakeside", "--reason", "the end", "--yes"],
    "site.deactivate": ["site", "deactivate", "--yes"],
    "site.departure": ["site", "departure"],
    "site.follow": ["site", "follow", "--yes"],
    "site.list": ["site", "list"],
    "site.location": ["site", "location"],
    "status": ["status"],
    "study.discard": ["study", "discard", "3f2a9c", "--reason", "phantom", "--yes"],
    "study.explain": ["study", "explain", "3f2a9c"],
    "study.export": ["study", "export", "c77e02", "{tmp}/out"],
    "study.list": ["study", "list"],
    "study.preview": ["study", "preview", "3f2a9c", "--png", "{tmp}/picture.png"],
    "study.resolve": ["study", "resolve", "TP7PQWGYQGBF", "--to", "research"],
    "study.show": ["study", "show", "3f2a9c"],
    "version": ["version"],
    "worklist.list": ["worklist", "list"],
    "worklist.refresh": ["worklist", "refresh"],
    "worklist.show": ["worklist", "show", "5be10c77"],
}
"""A command line for every document, but for the endless watch and the demo, which plays a whole box."""
ENDLESS = {"watch", "demo"}


@pytest.fixture
def line(tmp_path: Path, stdin: Path) -> Any:
    (tmp_path / "profile.toml").write_text(PROFILE)
    (tmp_path / "recovery.txt").write_text(s.RECOVERY.text)
    stdin.write_text("correct horse battery staple\n")
    return lambda command: [word.format(tmp=tmp_path) for word in LINES[command]]


@pytest.fixture
def stdin(tmp_path: Path) -> Any:
    """Standard input from a file; what a test writes there is read."""
    path = tmp_path / "stdin"
    path.touch()
    kept = os.dup(0)
    before = sys.stdin
    with path.open("rb") as opened:
        os.dup2(opened.fileno(), 0)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    yield path
    sys.stdin = before
    os.dup2(kept, 0)
    os.close(kept)


def test_every_document_has_a_command_line() -> None:
    assert set(LINES) | ENDLESS == set(DOCUMENTS)


def test_every_command_with_json_has_a_document() -> None:
    with_json = {
        found.name.replace(" ", ".")
        for found in walk.verbs()
        if any("--json" in param.opts for param in found.command.params)
    }
    assert with_json == set(DOCUMENTS)


def valid(document: Any, command: str, *, of_line: bool = False) -> None:
    """Fail unless a document is what its JSON Schema says, and has its name first."""
    jsonschema_rs.Draft202012Validator(schemas.json_schema(command, line=of_line)).validate(document)
    name = "fluxctl.error/1" if command == "error" else schemas.schema_name(command, line=of_line)
    assert next(iter(document.items())) == ("schema", name)


@pytest.mark.parametrize("command", LINES)
@pytest.mark.usefixtures("daemon")
def test_json(run: Run, line: Any, command: str) -> None:
    result = run(*line(command), "--json")
    assert (result.code, result.err) == (0, "")
    valid(json.loads(result.out), command)


@pytest.mark.parametrize("command", [command for command in LINES if DOCUMENTS[command].rows])
@pytest.mark.usefixtures("daemon")
def test_jsonl(run: Run, line: Any, command: str) -> None:
    result = run(*line(command), "--jsonl")
    assert (result.code, result.err) == (0, "")
    rows = [json.loads(row) for row in result.out.splitlines()]
    assert rows
    for row in rows:
        valid(row, command, of_line=True)


@pytest.mark.parametrize("command", LINES)
@pytest.mark.usefixtures("daemon")
def test_human(run: Run, line: Any, command: str) -> None:
    result = run(*line(command))
    assert (result.code, result.err) == (0, "")
    assert result.out.strip()
    assert "\x1b" not in result.out
    assert not result.out.startswith("{")


@pytest.mark.parametrize(
    "error",
    [NotFound("no site is active"), Locked("the box key is away"), TryAgain("the site's runtime does not run")],
    ids=lambda error: error.reference,
)
@pytest.mark.parametrize("command", LINES)
def test_what_the_site_cannot_answer_ends_with_a_code_that_the_help_has(
    daemon: Daemon, run: Run, line: Any, command: str, error: CapacitordError
) -> None:
    for route in ROUTES:
        if route.answers is Answers.SITE:
            daemon.refuse(route.name, error)
    result = run(*line(command))
    (guide,) = [each.command.guide for each in walk.verbs() if each.name == command.replace(".", " ")]
    assert result.code in guide.codes


@pytest.mark.parametrize("command", sorted(set(LINES) - {"profile.try", "profile.validate", "version"}))
def test_without_a_daemon(run: Run, line: Any, command: str) -> None:
    result = run(*line(command), "--json")
    document = json.loads(result.out)
    assert result.code == 3
    if command == "doctor":
        valid(document, "doctor")
        assert document["checks"][0]["level"] == "failure"
        return
    valid(document, "error")
    assert document["error"]["reference"] == "daemon-unreachable"
    assert "capacitord is not running" in result.err
    assert "next:" in result.err


def test_without_a_daemon_nobody_is_to_scan(run: Run) -> None:
    result = run("status")
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("✘ DO NOT SCAN — capacitord is not running")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotPermitted("user kim may not look here", hint="Join the group capacitord-read"), 4),
        (Ambiguous("this names several studies", candidates=("3f2a9c", "3f2b01"), hint="Give more"), 5),
        (Refused("the gate says no", hint="Wait"), 6),
        (Invalid("3 problems", where="a.toml", candidates=("a.toml:2: id: is not an id", "a.toml:3: …")), 7),
        (TryAgain("the runtime is being started", hint="Wait a moment"), 75),
    ],
)
def test_refusals_in_words_and_as_a_document(daemon: Daemon, run: Run, error: Any, code: int) -> None:
    daemon.refuse("study.show", error)
    result = run("study", "show", "3f2", "--json")
    assert result.code == code
    document = json.loads(result.out)
    valid(document, "error")
    assert document["error"] == {
        "reference": error.reference,
        "message": error.message,
        "where": error.where,
        "hint": error.hint,
        "exit_code": code,
        "candidates": list(error.candidates),
    }
    for text in (error.message, error.hint, *error.candidates, f"({error.reference}, exit {code})"):
        assert text in result.err
    assert run("study", "show", "3f2") == (code, "", result.err)


@pytest.mark.usefixtures("daemon")
def test_references_to_studies(run: Run) -> None:
    for reference in ("3f2", "A-1001", "1.2.826.0.1.3680043.8.498.1001"):
        assert json.loads(run("study", "show", reference, "--json").out)["study"]["id"] == "3f2a9c"
    assert run("study", "show", "zzz").code == 5


@pytest.mark.usefixtures("daemon")
def test_status_is_the_page(run: Run) -> None:
    result = run("status")
    assert result.out.splitlines()[0] == "✔ READY TO SCAN — St. Mary's Hospital"
    assert "pacs             820   410 MiB   4 min  ▸ sending at 12.3 MiB/s      33 s" in result.out


def test_study_list_asks_for_what_it_is_asked(daemon: Daemon, run: Run) -> None:
    run("study", "list", "--undelivered", "--state", "receiving", "-n", "7")
    assert daemon.asked("study.list") == [m.StudyQuery(state=StudyState.RECEIVING, undelivered=True, limit=7)]


@pytest.mark.usefixtures("daemon")
def test_study_list_says_what_it_leaves_out(run: Run) -> None:
    assert "1 of 3 studies; the others: --all" in run("study", "list", "--limit", "1").out


def test_study_list_all_follows_every_page(daemon: Daemon, run: Run) -> None:
    pages = {
        "": m.StudyList("", (s.HEAD,), 3, "b"),
        "b": m.StudyList("", (s.CHEST,), 3, "c"),
        "c": m.StudyList("", (s.BREAST,), 3, ""),
    }
    daemon.answers["study.list"] = lambda request: pages[request.after]
    document = json.loads(run("study", "list", "--all", "--json").out)
    assert [study["id"] for study in document["studies"]] == ["3f2a9c", "8b01d4", "c77e02"]
    assert document["next"] == ""


@pytest.mark.usefixtures("stdin")
def test_discard_needs_a_reason_even_from_a_script(daemon: Daemon, run: Run) -> None:
    result = run("study", "discard", "3f2", "--yes")
    assert result.code == 6
    assert "for a reason only" in result.err
    assert daemon.asked("study.discard") == []


def test_discard_repeats_the_short_id(daemon: Daemon, run: Run) -> None:
    assert run("study", "discard", "A-1001", "--yes", "--reason", "phantom").code == 0
    assert daemon.asked("study.discard") == [m.Discard("3f2a9c", "phantom", "3f2a9c")]


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "discard", "3f2", "--reason", "phantom"),
        ("resend", "3f2"),
        ("key", "rotate"),
        ("key", "unlock"),
        ("key", "init", "--source", "passphrase"),
        ("key", "export", "--recovery", "/nowhere/recovery"),
        ("key", "restore", __file__),
    ],
)
@pytest.mark.usefixtures("stdin")
def test_questions_are_refused_where_there_is_nobody_to_ask(
    daemon: Daemon, run: Run, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments)
    assert result.code == 6
    assert "no terminal to ask at" in result.err
    changed = {name for name, _ in daemon.requests} - {"study.show", "key.status"}
    assert changed == set()


def test_resend_asks_for_what_it_is_asked(daemon: Daemon, run: Run) -> None:
    run("resend", "3f2", "--to", "pacs", "--to", "backup", "--image", "1.2.3", "--yes")
    assert daemon.asked("study.resend") == [m.Resend("3f2", ("pacs", "backup"), "1.2.3")]


@pytest.mark.parametrize(
    ("words", "route"),
    [
        ("resend 3f2 --yes", "study.resend"),
        ("study discard 3f2 --yes", "study.discard"),
        ("site activate lakeside --yes", "site.activate"),
        ("site deactivate --yes", "site.deactivate"),
        ("profile rollback st-marys --yes", "profile.rollback"),
    ],
)
def test_who_shares_a_login_says_who_she_is(daemon: Daemon, run: Run, words: str, route: str) -> None:
    assert run(*words.split(), "--reason", "a test", "--operator", "Dr Ann").code == 0
    ((asked),) = daemon.asked(route)
    assert (asked.reason, asked.operator) == ("a test", "Dr Ann")


def test_every_command_that_takes_a_reason_takes_an_operator() -> None:
    for verb in walk.verbs():
        names = {name for option in options(verb.command) for name in option.opts}
        assert ("--reason" in names) <= ("--operator" in names), verb.name


@pytest.mark.parametrize(("destination", "code"), [("pacs", 0), ("backup", 1), ("ALL", 8)])
@pytest.mark.usefixtures("daemon")
def test_echo_says_by_its_exit_code_who_answers(run: Run, destination: str, code: int) -> None:
    result = run("destination", "echo", destination, "--json")
    assert result.code == code
    valid(json.loads(result.out), "destination.echo")


def test_preflight_says_by_its_exit_code_whether_it_is_clean(daemon: Daemon, run: Run) -> None:
    daemon.answers["preflight.run"] = lambda _: (f.DIRTY,)
    dirty = run("preflight")
    assert dirty.code == 6
    assert "Vermeer" in dirty.out
    assert daemon.asked("preflight.run") == [RunPreflight()]
    daemon.answers["preflight.run"] = lambda _: ()
    assert run("preflight", "--json").code == 8


@pytest.mark.parametrize(
    ("answer", "code"),
    [(d.CLEAR, 0), (d.DRAINING, 6), (d.NOT_YET, 6), (d.PARKED_CLEAR, 0), (d.PARKED_DRAINING, 6), (d.PARKED, 6)],
)
def test_departure_says_by_its_exit_code_whether_nothing_is_open(
    daemon: Daemon, run: Run, answer: Departure, code: int
) -> None:
    daemon.answers["site.departure"] = lambda _: answer
    said, parsed = run("site", "departure"), run("site", "departure", "--json")
    assert (said.code, parsed.code) == (code, code)
    assert said.out.split()[1] == ("NO," if answer in (d.NOT_YET, d.PARKED) else "YES,")
    document = json.loads(parsed.out)
    assert document["leave"] == answer.leave
    valid(document, "site.departure")


def test_a_preflight_is_watched_until_it_turns(daemon: Daemon, run: Run) -> None:
    daemon.answers["preflight.run"] = lambda _: (f.DIRTY, f.DIRTY, f.UNSURE, f.CLEAN)
    watched = run("preflight", "lakeside", "--watch")
    assert watched.code == 0
    assert [line.partition(" — ")[0] for line in watched.out.splitlines()] == ["✘ NOT CLEAN", "✘ NOT CLEAN", "✔ CLEAN"]
    assert "Vermeer" not in watched.out
    assert daemon.asked("preflight.run") == [RunPreflight("lakeside", watch=True)]
    lines = run("preflight", "--watch", "--json").out.splitlines()
    assert [json.loads(line)["clean"] for line in lines] == [False, False, False, True]
    assert "Vermeer" in lines[0]


def test_a_preflight_that_is_watched_into_a_log_says_each_number_once(daemon: Daemon, run: Run) -> None:
    both = s.changed(f.DIRTY, scanners=(f.DIRTY.scanners[0], s.changed(f.DIRTY.scanners[0], ae_title="MR_COACH")))
    daemon.answers["preflight.run"] = lambda _: (f.DIRTY, both, f.CLEAN)
    assert run("preflight", "lakeside", "--watch").out.splitlines()[:3] == [
        "✘ NOT CLEAN — CT_COACH still has 2 studies of 2 patients",
        "✘ NOT CLEAN — 2 of 2 scanners may still have patients (4 studies)",
        "✔ CLEAN — no patient is on any of 2 scanners",
    ]


def test_a_preflight_is_watched_through_a_restart_of_the_daemon(daemon: Daemon, run: Run) -> None:
    def breaks_off(_: RunPreflight) -> Iterator[Preflight]:
        yield f.DIRTY
        raise BrokenOff

    def starts(_: RunPreflight) -> tuple[Preflight, ...]:
        raise TryAgain("the box is starting")

    said: Iterator[Callable[[RunPreflight], Iterable[Preflight]]] = iter(
        [breaks_off, starts, lambda _: (f.DIRTY,), lambda _: (f.CLEAN,)]
    )
    daemon.answers["preflight.run"] = lambda request: next(said)(request)  # noqa: PLW0108 - one for each time
    watched = run("preflight", "--watch")
    assert watched.code == 0
    assert [line.partition(" — ")[0] for line in watched.out.splitlines()] == [
        "✘ NOT CLEAN",
        "⚠ capacitord does not answer: the answer broke off in the middle. It is asked again.",
        "⚠ capacitord does not answer: the box is starting. It is asked again.",
        "✘ NOT CLEAN",
        "⚠ capacitord does not answer: it ended the conversation; it may be restarting. It is asked again.",
        "✔ CLEAN",
    ]
    again: Iterator[Callable[[RunPreflight], Iterable[Preflight]]] = iter([breaks_off, lambda _: (f.CLEAN,)])
    daemon.answers["preflight.run"] = lambda request: next(again)(request)  # noqa: PLW0108 - as before
    lines = run("preflight", "--watch", "--json").out.splitlines()
    assert [json.loads(line)["clean"] for line in lines] == [False, True]


def test_a_watched_preflight_that_nobody_answers_at_all_is_an_error(daemon: Daemon, run: Run) -> None:
    daemon.answers["preflight.run"] = lambda _: ()
    assert run("preflight", "--watch").code == 8


def test_a_watched_preflight_says_in_the_end_whether_the_box_opened(daemon: Daemon, run: Run) -> None:
    gates = iter([s.BLOCKED, s.OPEN])
    daemon.answers["preflight.run"] = lambda _: (s.changed(f.CLEAN, site="st-marys"),)
    daemon.answers["status"] = lambda _: s.changed(s.STATUS, gate=next(gates))
    watched = run("preflight", "--watch")
    assert (watched.code, watched.out.splitlines()[-1]) == (0, "✔ READY TO SCAN — St. Mary's Hospital")
    # Nothing follows for a site that is not the active one.
    daemon.answers["preflight.run"] = lambda _: (f.CLEAN,)
    daemon.answers["status"] = lambda _: s.STATUS
    assert "READY" not in run("preflight", "--watch").out


def test_a_waiver_is_asked_for_by_name(daemon: Daemon, run: Run) -> None:
    run("site", "activate", "lakeside", "--reason", "Tuesday", "--yes", "--waive-preflight")
    assert daemon.asked("site.activate") == [m.SiteActivate("lakeside", "Tuesday", waive_preflight=True)]


@pytest.mark.usefixtures("daemon")
def test_all_is_literal(run: Run) -> None:
    assert run("queue", "pause", "all").code == 5
    assert run("queue", "pause", "ALL").code == 0
    assert run("queue", "pause").code == 2


def test_audit_show_asks_for_what_it_is_asked(daemon: Daemon, run: Run) -> None:
    run(
        "audit",
        "show",
        "--json",
        "--limit",
        "5",
        "--action",
        "study.discard",
        "--subject",
        "77ac01",
        "--since",
        "2025-11-21T20:02:11Z",
    )
    assert daemon.asked("audit.show") == [m.AuditQuery(5, "study.discard", "77ac01", s.NOW)]


def test_audit_show_has_as_many_rows_as_are_asked_for(daemon: Daemon, run: Run) -> None:
    begun = s.AUDIT.entries[0]
    made = [
        s.changed(begun, number=number, result="done" if number % 2 == 0 else "begun", subjects=(f"3f2a9c{number:04}",))
        for number in range(1, 21)
    ]
    pairs = [s.changed(each, subjects=(f"3f2a9c{(each.number + 1) // 2:04}",)) for each in made]
    daemon.answers["audit.show"] = lambda query: s.changed(s.AUDIT, entries=tuple(pairs[-query.limit :]))
    out = run("audit", "show", "-n", "8").out
    assert [line.split()[0] for line in out.splitlines()[1:]] == [str(number) for number in range(6, 21, 2)]
    assert len(json.loads(run("audit", "show", "-n", "8", "--json").out)["entries"]) == 8


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.usefixtures("daemon")
def test_a_time_that_is_none_is_wrong_usage(run: Run, option: str) -> None:
    wrong = run("audit", "show", option, "xyz")
    assert (wrong.code, f"{option}: 'xyz' is not a time" in " ".join(wrong.err.split())) == (2, True)


def test_audit_show_knows_every_action_and_what_was_meant(daemon: Daemon, run: Run) -> None:
    assert run("audit", "show", "--action", "study.rematch").code == 0
    wrong = run("audit", "show", "--action", "study.discrad")
    assert (wrong.code, "did you mean study.discard?" in " ".join(wrong.err.split())) == (2, True)
    assert len(daemon.asked("audit.show")) == 1


def test_a_refresh_that_fails_is_an_error_to_a_script(daemon: Daemon, run: Run) -> None:
    failed = msgspec.structs.replace(w.REFRESHED, ok=False, reason="nobody answers")
    daemon.answers["worklist.refresh"] = lambda _: failed
    assert run("worklist", "refresh").code == 75
    result = run("worklist", "refresh", "--json")
    assert result.code == 75
    told = json.loads(result.out)
    assert told["schema"] == "fluxctl.error/1"
    assert "nobody answers" in told["error"]["message"]
    assert told["error"]["exit_code"] == 75


def test_audit_verify_ends_with_1_if_an_entry_was_changed(daemon: Daemon, run: Run) -> None:
    daemon.answers["audit.verify"] = lambda _: s.AUDIT_BAD
    result = run("audit", "verify")
    assert result.code == 1
    assert result.out.startswith("✘ THE AUDIT LOG IS NOT WHOLE")


def test_audit_verify_proves_nothing_while_the_key_is_away(daemon: Daemon, run: Run) -> None:
    daemon.answers["audit.verify"] = lambda _: s.AUDIT_AWAY
    result = run("audit", "verify")
    assert result.code == 6
    assert result.out.startswith("⚠ The audit log is not proven: the box key is away")
    assert "next: Unlock it: fluxctl key unlock" in " ".join(result.out.split())
    told = json.loads(run("audit", "verify", "--json").out)
    assert (told["ok"], told["reason"]) == (False, "locked")


def test_doctor_ends_with_1_if_something_is_broken(daemon: Daemon, run: Run) -> None:
    assert run("doctor").code == 0
    broken = m.Check("disk", m.Level.FAILURE, "full", "make room")
    daemon.answers["doctor.check"] = lambda _: m.DoctorReport("", (*s.DOCTOR.checks, broken))
    result = run("doctor")
    assert result.code == 1
    assert "✘ 1 failure and 1 warning in 5 checks." in result.out


def test_doctor_notices_a_daemon_of_another_version(daemon: Daemon, run: Run) -> None:
    daemon.answers["status"] = lambda _: s.changed(s.STATUS, version="9.9")
    assert "capacitord is 9.9, and this is fluxctl" in run("doctor").out


def test_doctor_verify_reads_to_the_end(daemon: Daemon, run: Run) -> None:
    result = run("doctor", "--verify", "--json")
    document = json.loads(result.out)
    assert result.code == 1
    valid(document, "doctor")
    assert document["verify"]["damaged"] == 1
    assert document["verify"]["damage"][0]["study"] == "3f2a9c"
    assert document["checks"][-1]["level"] == "failure"
    assert run("doctor", "--verify").out.splitlines()[-1] == "✘ 1 failure and 1 warning in 5 checks."
    daemon.answers["doctor.verify"] = lambda _: s.VERIFY[:2]
    assert run("doctor", "--verify").code == 75


def test_profiles_are_checked_without_a_daemon(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "st.toml"
    path.write_text(PROFILE.replace("version = 7", "version = 0").replace("104", "70000"))
    result = run("profile", "validate", str(path))
    assert (result.code, result.err) == (7, "")
    assert "5:11 version: must be at least 1\n        version = 0\n                  ^\n" in result.out
    assert "11:8 destination[0].port: must be at most 65535\n        port = 70000\n               ^^^^^\n" in result.out


def test_what_is_wrong_with_profiles_is_data_as_well(run: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(PROFILE)
    bad.write_text(PROFILE.replace("104", "70000") + "[[route]]\nto = ['pasc']\n")
    result = run("profile", "validate", str(good), str(bad), "--json")
    assert (result.code, result.err) == (7, "")
    document = json.loads(result.out)
    valid(document, "profile.validate")
    first, second = document["profiles"]
    assert (first["valid"], first["id"], first["findings"]) == (True, "st-marys", [])
    assert (second["valid"], second["id"]) == (False, "")
    assert [(each["level"], each["key"], each["line"], each["column"]) for each in second["findings"]] == [
        ("error", "destination[0].port", 11, 8),
        ("error", "route[0].to[0]", 13, 7),
        ("warning", "destination[0].name", 8, 8),
    ]


def test_a_file_that_is_not_there_hides_nothing_of_the_others(run: Run, tmp_path: Path) -> None:
    good, bad, missing = tmp_path / "good.toml", tmp_path / "bad.toml", tmp_path / "missing.toml"
    good.write_text(PROFILE)
    bad.write_text(PROFILE.replace("104", "70000"))
    for files, code in (((missing, good), 5), ((good, missing, bad), 7)):
        result = run("profile", "validate", *map(str, files), "--json")
        assert (result.code, result.err) == (code, "")
        found = {each["file"]: each for each in json.loads(result.out)["profiles"]}
        assert found[str(missing)]["findings"][0]["message"] == "there is no such file"
        assert found[str(good)]["valid"]


def test_a_file_that_can_not_be_read_hides_nothing_of_the_others(run: Run, tmp_path: Path) -> None:
    latin, good, large = tmp_path / "latin.toml", tmp_path / "good.toml", tmp_path / "large.toml"
    latin.write_bytes(PROFILE.replace("Mary", "Märy").encode("latin-1"))
    good.write_text(PROFILE)
    large.write_text(PROFILE + "#" * (1 << 20))
    result = run("profile", "validate", *map(str, (latin, tmp_path, good, large)), "--json")
    assert (result.code, result.err) == (7, "")
    document = json.loads(result.out)
    valid(document, "profile.validate")
    assert [each["valid"] for each in document["profiles"]] == [False, False, True, False]
    assert [each["findings"][0]["message"] for each in document["profiles"] if not each["valid"]] == [
        "has a character that is not UTF-8",
        "this is a folder",
        "this is too large to be a profile",
    ]
    finding = document["profiles"][0]["findings"][0]
    line = next(line for line in PROFILE.splitlines() if "Mary" in line).replace("Mary", "M\ufffdry")
    assert (finding["excerpt"], finding["mark"]) == (line, line.index("\ufffd"))
    assert (finding["line"], finding["column"]) == (
        PROFILE[: PROFILE.index("Mary")].count("\n") + 1,
        finding["mark"] + 1,
    )
    assert finding["hint"] == "Save it as UTF-8."
    assert run("profile", "validate", str(good), str(tmp_path / "none.toml")).code == 5


def test_a_destination_that_nothing_is_sent_to_is_no_stand_in(run: Run, tmp_path: Path) -> None:
    web = "[[destination]]\nname = 'web'\nstow = 'https://example.org/studies'\n"
    (tmp_path / "p.toml").write_text(PROFILE + web + "[[route]]\nto = ['pacs']\nelse_to = ['web']\n")
    result = run("profile", "validate", str(tmp_path / "p.toml"), "--json")
    assert result.code == 0
    said = [each for each in json.loads(result.out)["profiles"][0]["findings"] if each["level"] == "warning"]
    found = profile.parse((tmp_path / "p.toml").read_text(), "p.toml")
    assert [(each["key"], each["message"]) for each in said] == [
        ("route[0].else_to[0]", f"web can't stand in: {reason}") for reason in idle.barred(found).values()
    ]


def test_areas_of_sites_that_overlap_are_told_with_each(run: Run, tmp_path: Path) -> None:
    square = "[[0.0, 0.0], [{0}, 0.0], [{0}, 0.001], [0.0, 0.001], [0.0, 0.0]]"
    for name, side in (("a", "0.001"), ("b", "0.002")):
        fence = (
            f"[location]\nnetwork = 'none'\ngeofence = {{ type = 'Polygon', coordinates = [{square.format(side)}] }}\n"
        )
        profile = PROFILE.replace("st-marys", name).replace("America/Chicago", "UTC")
        (tmp_path / f"{name}.toml").write_text(profile + fence)
    files = [str(tmp_path / f"{name}.toml") for name in "ab"]
    result = run("profile", "validate", *files, "--json")
    assert result.code == 0
    for profile, other in zip(json.loads(result.out)["profiles"], reversed(files), strict=True):
        (warning,) = [each for each in profile["findings"] if each["level"] == "warning"]
        assert f"overlaps with that of {other}" in warning["message"]


def test_a_new_profile_is_valid_as_it_is(run: Run, tmp_path: Path) -> None:
    made = run("profile", "new", "lakeside", "--name", "Lakeside Clinic")
    assert (made.code, made.err) == (0, "")
    (tmp_path / "lakeside.toml").write_text(made.out)
    assert run("profile", "validate", str(tmp_path / "lakeside.toml")).code == 0
    refused = run("profile", "new", "Lake Side")
    assert refused.code == 7
    assert "is not an id" in refused.err


def test_the_schema_of_profiles_is_one(run: Run) -> None:
    result = run("profile", "schema")
    assert (result.code, result.err) == (0, "")
    schema = json.loads(result.out)
    jsonschema_rs.Draft202012Validator(schema).validate(tomllib.loads(PROFILE))


def test_profiles_come_from_standard_input(daemon: Daemon, run: Run, stdin: Path) -> None:
    stdin.write_text(PROFILE)
    assert run("profile", "import", "-", "--dry-run", "--allow-older").code == 0
    assert daemon.asked("profile.import") == [m.ProfileImport(PROFILE, "-", allow_older=True, dry_run=True)]


def test_many_profiles_go_in_one_request_with_the_files_they_name(daemon: Daemon, run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text(f"{PROFILE}tls = {{ ca = 'tls/ca.pem' }}\n")
    second.write_text(PROFILE)
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "ca.pem").write_text("none of the daemon's")
    (tmp_path / "stray.key").write_text("nobody names this")
    assert run("profile", "import", str(first), str(second)).code == 0
    (request,) = daemon.asked("profile.import")
    assert request.files == (m.EnclosedFile("tls/ca.pem", b"none of the daemon's"),)
    assert request.others == (m.ProfileSource(PROFILE, "b.toml"),)
    assert "daemon's" not in repr(request)


def test_a_dry_run_shows_what_would_change(daemon: Daemon, run: Run, tmp_path: Path) -> None:
    daemon.answers["profile.show"] = lambda _: s.changed(s.PROFILE, text=PROFILE.replace("104", "105"))
    (tmp_path / "a.toml").write_text(PROFILE)
    result = run("profile", "import", str(tmp_path / "a.toml"), "--dry-run")
    assert "destination pacs, port  105     104" in result.out
    assert "can be imported" in result.out


def test_differences_of_two_files_need_no_daemon(daemon: Daemon, run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.toml"
    first.write_text(PROFILE)
    second.write_text(PROFILE.replace("104", "105"))
    daemon.stop()
    result = run("profile", "diff", str(first), str(second), "--json")
    document = json.loads(result.out)
    valid(document, "profile.diff")
    change = {"key": "destination[0].port", "where": "destination pacs", "name": "port", "old": "104", "new": "105"}
    assert document["changes"] == [change]
    assert "say the same." in run("profile", "diff", str(first), str(first)).out.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("st-marys@6", "st-marys@7"), [("st-marys", 6), ("st-marys", 7)]),
        (("lakeside", "st-marys@7"), [("lakeside", None), ("st-marys", 7)]),
        (("st-marys",), [("st-marys", None), ("st-marys", 6)]),
    ],
)
def test_which_versions_are_compared(daemon: Daemon, run: Run, arguments: tuple[str, ...], asked: Any) -> None:
    assert run("profile", "diff", *arguments).code == 0
    assert [(request.profile, request.version) for request in daemon.asked("profile.show")] == asked


def test_a_file_is_compared_with_the_version_in_force_of_its_site(daemon: Daemon, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PROFILE)
    result = run("profile", "diff", str(tmp_path / "a.toml"))
    assert result.out.startswith("st-marys@7 →")
    assert [(request.profile, request.version) for request in daemon.asked("profile.show")] == [("st-marys", None)]


@pytest.mark.usefixtures("daemon")
def test_an_export_gives_the_folder_back_and_overwrites_nothing(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert run("profile", "export", "lakeside", str(target)).code == 0
    found = {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert found == {
        "lakeside.toml": s.FOLDER.text.encode(),
        "tls/ca.pem": b"certificate",
        "box.key": b"key",
    }
    assert (target / "box.key").stat().st_mode & 0o777 == 0o600
    (target / "lakeside.toml").unlink()
    again = run("profile", "export", "lakeside", str(target))
    assert again.code == 6
    assert not (target / "lakeside.toml").exists()


@pytest.mark.parametrize("name", ["../key", "/etc/key", "a/../../key"])
def test_an_export_leads_nowhere_else(daemon: Daemon, run: Run, tmp_path: Path, name: str) -> None:
    folder = s.changed(s.FOLDER, files=(m.EnclosedFile(name, b"key"),))
    daemon.answers["profile.export"] = lambda _: folder
    assert run("profile", "export", "lakeside", str(tmp_path / "out")).code == 6
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("site", "activate", "lakeside", "--reason", "Tuesday"),
        ("site", "activate", "lakeside", "--yes"),
        ("site", "deactivate"),
        ("profile", "remove", "lakeside"),
        ("profile", "rollback", "lakeside", "--reason", "x"),
        ("profile", "rollback", "lakeside", "--yes"),
    ],
)
def test_a_script_says_what_it_means(daemon: Daemon, run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.code == 6
    assert "--yes" in result.err or "--reason" in result.err
    assert daemon.requests == []


@pytest.mark.parametrize(("content", "code"), [(None, 5), (b"\xff", 7), (b"#" * (1 << 20) + b"#", 7)])
def test_files_that_are_no_profiles(daemon: Daemon, run: Run, tmp_path: Path, content: bytes | None, code: int) -> None:
    path = tmp_path / "profile.toml"
    if content is not None:
        path.write_bytes(content)
    result = run("profile", "import", str(path))
    assert result.code == code
    assert str(path) in result.err.replace("\n", "")
    assert daemon.requests == []


def test_profile_show_prints_the_file_itself(daemon: Daemon, run: Run) -> None:
    assert run("profile", "show", "st-marys").out == s.PROFILE_TOML
    assert run("profile", "show").out == s.PROFILE_TOML
    daemon.answers["profile.list"] = lambda _: m.ProfileList("", (s.OTHER_SUMMARY,))
    assert run("profile", "show").code == 5


def test_passphrases_come_from_standard_input(daemon: Daemon, run: Run, stdin: Path) -> None:
    stdin.write_text("correct horse\nnot this\n")
    assert run("key", "unlock", "--passphrase-stdin").code == 0
    assert daemon.asked("key.unlock")[0].passphrase.value == "correct horse"


@pytest.mark.usefixtures("daemon", "stdin")
def test_an_empty_passphrase_is_none(run: Run) -> None:
    result = run("key", "unlock", "--passphrase-stdin")
    assert result.code == 7
    assert "passphrase is empty" in result.err


def test_rotating_asks_for_what_the_key_needs(daemon: Daemon, run: Run, stdin: Path, tmp_path: Path) -> None:
    stdin.write_text("correct horse battery\n")
    daemon.answers["key.status"] = lambda _: s.changed(s.KEY, source=m.KeySource.PASSPHRASE)
    assert run("key", "rotate", "--passphrase-stdin").code == 0
    daemon.answers["key.status"] = lambda _: s.changed(s.KEY, source=m.KeySource.CREDENTIAL)
    assert run("key", "rotate", "--yes").code == 6
    (tmp_path / "new").write_text("ab" * 32 + "\n")
    assert run("key", "rotate", "--new-key", str(tmp_path / "new")).code == 0
    first, second = daemon.asked("key.rotate")
    assert first.passphrase.value == "correct horse battery"
    assert second.new_key.value == "ab" * 32


def test_the_recovery_file_is_for_its_owner_and_never_replaces_another(
    daemon: Daemon, run: Run, stdin: Path, tmp_path: Path
) -> None:
    stdin.write_text("correct horse battery\n")
    path = tmp_path / "recovery"
    assert run("key", "export", "--recovery", str(path), "--passphrase-stdin").code == 0
    assert path.read_text() == s.RECOVERY.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    asked = len(daemon.requests)
    result = run("key", "export", "--recovery", str(path), "--passphrase-stdin")
    assert result.code == 6
    assert "is not overwritten" in result.err
    assert len(daemon.requests) == asked


@pytest.mark.parametrize(("sites", "warns"), [((), True), (("st-marys",), False)])
def test_a_recovery_file_without_a_site_key_is_said_to_be_one(
    daemon: Daemon, line: Any, run: Run, sites: tuple[str, ...], warns: bool
) -> None:
    daemon.answers["key.status"] = lambda _: s.changed(s.KEY, sites=sites)
    result = run(*line("key.export"))
    assert result.code == 0
    assert ("it opens no images" in " ".join(result.out.split())) is warns


@pytest.mark.parametrize(
    "given",
    [
        ("study", "list", "--limit", "0"),
        ("audit", "show", "--limit", "-4"),
        ("watch", "--interval", "-1"),
    ],
)
def test_a_number_that_makes_no_sense_is_a_usage_error(daemon: Daemon, run: Run, given: tuple[str, ...]) -> None:
    result = run(*given)
    assert result.code == 2
    assert "is less than" in result.err
    assert daemon.requests == []


def test_what_cannot_be_asked_for_is_named(daemon: Daemon, run: Run, tmp_path: Path) -> None:
    result = run("key", "export", "--recovery", str(tmp_path / "recovery"))
    assert result.code == 6
    assert "this asks for a passphrase, and there is no terminal" in result.err
    assert daemon.requests == []


def test_restoring_takes_one_passphrase_or_two(daemon: Daemon, run: Run, stdin: Path, tmp_path: Path) -> None:
    path = tmp_path / "recovery"
    path.write_text(s.RECOVERY.text)
    stdin.write_text("of the file\nof the box key\n")
    assert run("key", "restore", str(path), "--source", "passphrase", "--passphrase-stdin").code == 0
    (asked,) = daemon.asked("key.restore")
    assert (asked.text, asked.source) == (s.RECOVERY.text, m.KeySource.PASSPHRASE)
    assert (asked.recovery.value, asked.passphrase.value) == ("of the file", "of the box key")


@pytest.mark.parametrize(("name", "code"), [("nowhere", 5), ("-", 6)])
def test_only_a_file_is_restored_from(daemon: Daemon, run: Run, name: str, code: int) -> None:
    assert run("key", "restore", name, "--passphrase-stdin").code == code
    assert daemon.requests == []


@pytest.mark.usefixtures("daemon")
def test_the_recovery_file_may_go_to_a_pipe(run: Run, stdin: Path) -> None:
    stdin.write_text("correct horse battery\n")
    assert run("key", "export", "--recovery", "-", "--passphrase-stdin").out == s.RECOVERY.text


def test_version_works_without_a_daemon(run: Run) -> None:
    result = run("version", "--json")
    document = json.loads(result.out)
    assert result.code == 0
    valid(document, "version")
    assert document["daemon"] is None
    assert "not running" in document["reason"]


def test_schemas_can_be_had(run: Run) -> None:
    names = run("schema").out.split()
    assert "fluxctl.study.list/1" in names
    assert "fluxctl.error/1" in names
    for name in names:
        result = run("schema", name)
        assert result.code == 0
        assert json.loads(result.out)["title"] == name
    assert run("schema", "study.list.line").code == 0
    assert run("schema", "nonsense").code == 5
    assert run("schema", "status.line").code == 5


def test_export_writes_what_came(daemon: Daemon, run: Run, tmp_path: Path) -> None:
    daemon.answers["study.export"] = lambda _: archive({f"{n}.dcm": b"x" * n for n in range(1, 6)})
    result = run("study", "export", "c77", str(tmp_path / "a" / "b"), "--json")
    document = json.loads(result.out)
    assert document["images"] == 5
    assert document["bytes"] == 15
    assert (tmp_path / "a" / "b" / "5.dcm").read_bytes() == b"xxxxx"


@pytest.mark.parametrize("verb", ["show", "export", "diff"])
@pytest.mark.parametrize("version", ["0", "99999999999"])
def test_a_version_that_cannot_be_is_one_that_there_is_not(daemon: Daemon, run: Run, verb: str, version: str) -> None:
    result = run("profile", verb, f"alpha@{version}")
    assert result.code == 5
    assert f"there is no version {version} of alpha" in result.err
    assert "fluxctl profile history alpha" in result.err
    assert daemon.asked("profile.show") == []


def test_what_is_neither_a_file_nor_a_site_is_called_that(run: Run) -> None:
    result = run("profile", "diff", "ALPHA")
    assert result.code == 5
    assert "there is neither a file nor a site that is called so" in result.err


def test_only_options_that_a_command_has_are_hinted_at(run: Run) -> None:
    removed = run("profile", "remove", "site-c")
    assert removed.code == 6
    assert "Say so beforehand with --yes." in removed.err
    assert "--reason" not in removed.err


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("Doe, Jane A", "DOE^JANE^A^DR=山田^花子"),
        ("doe,  jane a ", "DOE^JANE^A^DR=山田^花子"),
        ("DOE^JANE^A^DR=山田^花子", "DOE^JANE^A^DR=山田^花子"),
        ("Doe, Jane", "Doe^Jane"),
        ("  ", ""),
    ],
)
def test_a_name_may_be_typed_as_it_is_shown(daemon: Daemon, spawn: Run, typed: str, sent: str) -> None:
    study = msgspec.structs.replace(held_samples.DETAIL.held.study, patient_name="DOE^JANE^A^DR=山田^花子")
    whose = msgspec.structs.replace(held_samples.WHOSE, name=study.patient_name)
    held = msgspec.structs.replace(held_samples.DETAIL.held, study=study, patients=(whose,))
    daemon.answers["held.show"] = lambda _: msgspec.structs.replace(held_samples.DETAIL, held=held)
    assert spawn("held", "discard", study.id, "--reason", "x", "--name-stdin", stdin=f"{typed}\n").code == 0
    assert daemon.asked("held.discard")[-1].patient_name.value == sent


def test_a_discard_hints_at_the_options_that_it_has(daemon: Daemon, run: Run) -> None:
    refused = run("held", "discard", "77ac01")
    assert refused.code == 6
    assert "Say so beforehand with --name-stdin and --reason." in " ".join(refused.err.split())
    assert daemon.asked("held.discard") == []


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_entry_is_none_that_a_script_can_mean(daemon: Daemon, run: Run, empty: str) -> None:
    result = run("release", "77ac01", "--to", "pacs", "--reason", "trauma", "--match", empty, "--yes")
    assert result.code == 2
    assert "--match is empty" in result.err
    assert daemon.asked("held.release") == []
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"study": "77ac01", "destinations": ["pacs"], "reason": "x", "match": empty.strip()}, Release)
