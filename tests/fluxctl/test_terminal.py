"""What happens at a terminal: questions, the live page, and that the terminal is put back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capacitord.api import messages as m
from fluxctl import exits
from tests.fluxctl import samples, worklist_samples
from tests.fluxctl.conftest import Run
from tests.fluxctl.daemon import Daemon, steadily
from tests.fluxctl.terminal import Terminal

At = Callable[..., Terminal]


@pytest.mark.usefixtures("daemon")
def test_a_page_has_colours_at_a_terminal(at_terminal: At) -> None:
    terminal = at_terminal("status")
    assert terminal.end() == 0
    assert "\x1b[1;32m✔ READY TO SCAN — St. Mary's Hospital\x1b[0m" in terminal.output


def test_discard_shows_asks_and_deletes(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("study", "discard", "3f2")
    terminal.wait_for("Why is it discarded? (No patient names: it stays in the audit log.) ")
    assert "DOE, JANE A" in terminal.output
    terminal.press("phantom\n")
    terminal.wait_for("Type 3f2a9c to delete it for ever: ")
    terminal.press("3f2a9c\n")
    assert terminal.end() == 0
    assert daemon.asked("study.discard") == [m.Discard("3f2a9c", "phantom", "3f2a9c")]


@pytest.mark.parametrize("typed", ["3f2\n", "\n", "yes\n"])
def test_discard_is_not_confirmed_by_anything_else(daemon: Daemon, at_terminal: At, typed: str) -> None:
    terminal = at_terminal("study", "discard", "3f2", "--reason", "phantom")
    terminal.wait_for("for ever: ")
    terminal.press(typed)
    assert terminal.end() == exits.REFUSED
    assert "nothing was done" in terminal.output
    assert daemon.asked("study.discard") == []


def test_a_question_is_answered_by_ctrl_c(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("resend", "3f2")
    terminal.wait_for("Send all 120 images of study 3f2a9c again where it was to go? [y/N] ")
    terminal.press("\x03")
    assert terminal.end() == exits.INTERRUPTED
    assert "Traceback" not in terminal.output
    assert daemon.asked("study.resend") == []


def test_with_json_nobody_is_asked(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("resend", "3f2", "--json")
    assert terminal.end() == exits.REFUSED
    assert daemon.asked("study.resend") == []


def test_yes_and_no(daemon: Daemon, at_terminal: At) -> None:
    for answer, code in (("n\n", exits.REFUSED), ("\n", exits.REFUSED), ("y\n", 0)):
        terminal = at_terminal("resend", "3f2", "--to", "pacs")
        terminal.wait_for("[y/N] ")
        terminal.press(answer)
        assert terminal.end() == code
    assert daemon.asked("study.resend") == [m.Resend("3f2a9c", ("pacs",))]


def test_what_is_released_is_what_the_question_named(daemon: Daemon, at_terminal: At) -> None:
    given = ("--to", "pacs", "--reason", "trauma")
    terminal = at_terminal("release", "77ac", *given, "--match", "A-1001")
    said = terminal.wait_for("[y/N] ")
    assert "(entry 5be10c77)" in " ".join(said.split())
    terminal.press("y\n")
    assert terminal.end() == 0
    (request,) = daemon.asked("held.release")
    assert (request.study, request.match, request.images) == ("77ac01d2e9", "5be10c77", 3)
    unknown = at_terminal("release", "77ac", *given, "--match", "A-9999")
    assert unknown.end() == exits.NOT_FOUND
    assert "[y/N]" not in unknown.output


def test_a_new_passphrase_is_typed_twice_and_never_shown(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("key", "init", "--source", "passphrase")
    terminal.wait_for("Passphrase of the box key: ")
    terminal.press("correct horse battery\n")
    terminal.wait_for("Once more: ")
    terminal.press("correct horse battery\n")
    assert terminal.end() == 0
    assert "horse" not in terminal.output
    assert daemon.asked("key.init")[0].passphrase.value == "correct horse battery"


def test_two_different_passphrases_are_none(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("key", "init", "--source", "passphrase")
    terminal.wait_for("box key: ")
    terminal.press("correct horse battery\n")
    terminal.wait_for("Once more: ")
    terminal.press("correct house battery\n")
    assert terminal.end() == exits.INVALID
    assert "the two passphrases differ" in terminal.output
    assert terminal.is_sane()
    assert daemon.asked("key.init") == []


def test_unlocking_asks_once(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("key", "unlock")
    terminal.wait_for("box key: ")
    terminal.press("correct horse battery\n")
    assert terminal.end() == 0
    assert daemon.asked("key.unlock")[0].passphrase.value == "correct horse battery"


def test_restoring_asks_for_the_files_passphrase_once(daemon: Daemon, at_terminal: At, tmp_path: Path) -> None:
    path = tmp_path / "recovery"
    path.write_text("the text")
    terminal = at_terminal("key", "restore", str(path))
    terminal.wait_for("Passphrase of the recovery file: ")
    terminal.press("correct horse battery\n")
    assert terminal.end() == 0
    assert "horse" not in terminal.output
    assert daemon.asked("key.restore")[0].recovery.value == "correct horse battery"


def test_keys_are_not_printed_to_a_terminal(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("key", "export", "--recovery", "-")
    assert terminal.end() == exits.REFUSED
    assert daemon.requests == []


@pytest.mark.usefixtures("daemon")
def test_exporting_shows_how_far_it_is_and_cleans_up_its_line(at_terminal: At, tmp_path: Path) -> None:
    terminal = at_terminal("study", "export", "c77", str(tmp_path / "out"))
    assert terminal.end() == 0
    assert "Exporting 1 of 5 images" in terminal.output
    assert terminal.output.rindex("\r\x1b[K") < terminal.output.index("✔ Study c77e02 is in")


# --- the live page

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("Q", 0), ("\x03", exits.INTERRUPTED)])
def test_the_live_page_ends_by_a_key_and_leaves_the_terminal_sane(
    daemon: Daemon, at_terminal: At, key: str, code: int
) -> None:
    daemon.answers["events"] = steadily(daemon)
    terminal = at_terminal("watch")
    terminal.wait_for("q quits")
    assert ENTER in terminal.output
    assert "\x1b[1;32m✔ READY TO SCAN" in terminal.output
    assert "██████████░░░░░░░░░░  31.0 MiB of 60.0 MiB" in terminal.output
    assert not terminal.is_sane()
    terminal.press(key)
    assert terminal.end() == code
    assert terminal.output.rindex(LEAVE) > terminal.output.rindex(ENTER)
    assert terminal.output.rindex("\x1b[?25h") > terminal.output.rindex("\x1b[?25l")
    assert terminal.is_sane()
    assert "Traceback" not in terminal.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_live_page_leaves_the_terminal_sane_when_it_is_ended(
    daemon: Daemon, at_terminal: At, number: signal.Signals
) -> None:
    daemon.answers["events"] = steadily(daemon)
    terminal = at_terminal("watch")
    terminal.wait_for("q quits")
    terminal.process.send_signal(number)
    assert terminal.end() == 128 + number
    assert LEAVE in terminal.output
    assert terminal.is_sane()


def test_the_live_page_claims_nothing_while_the_daemon_is_away(daemon: Daemon, at_terminal: At) -> None:
    daemon.answers["events"] = steadily(daemon)
    terminal = at_terminal("watch")
    terminal.wait_for("READY TO SCAN")
    daemon.stop()
    terminal.wait_for("UNKNOWN")
    terminal.output = ""
    daemon.start()
    terminal.wait_for("READY TO SCAN")
    terminal.press("q")
    assert terminal.end() == 0


def test_the_live_page_without_a_daemon_is_an_ordinary_error(at_terminal: At) -> None:
    terminal = at_terminal("watch")
    assert terminal.end() == exits.UNREACHABLE
    assert ENTER not in terminal.output
    assert terminal.is_sane()


def profile(folder: Path) -> str:
    """Return the name of a file with a profile that changes a port."""
    path = folder / "st-marys.toml"
    path.write_text(samples.PROFILE_TOML + 'timezone = "UTC"\n')
    return str(path)


def test_an_import_shows_what_it_changes_and_asks(daemon: Daemon, at_terminal: At, tmp_path: Path) -> None:
    for answer, code, asked in (("n\n", exits.REFUSED, [True]), ("y\n", 0, [True, True, False])):
        terminal = at_terminal("profile", "import", profile(tmp_path))
        terminal.wait_for("Put this in force? [y/N] ")
        assert "timezone" in terminal.output
        terminal.press(answer)
        assert terminal.end() == code
        assert [request.dry_run for request in daemon.asked("profile.import")] == asked


def test_an_import_that_changes_nothing_or_was_agreed_to_asks_nothing(
    daemon: Daemon, at_terminal: At, tmp_path: Path
) -> None:
    terminal = at_terminal("profile", "import", profile(tmp_path), "--yes")
    assert terminal.end() == 0
    text = (tmp_path / "st-marys.toml").read_text()
    daemon.answers["profile.show"] = lambda _: samples.changed(samples.PROFILE, text=text)
    terminal = at_terminal("profile", "import", profile(tmp_path))
    assert terminal.end() == 0
    assert [request.dry_run for request in daemon.asked("profile.import")] == [False, True, False]


def test_a_site_is_activated_for_a_reason(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("site", "activate", "lakeside")
    terminal.wait_for("Why does the box go over to lakeside? ")
    terminal.press("Tuesday\n")
    terminal.wait_for("Serve lakeside from now on? [y/N] ")
    terminal.press("y\n")
    assert terminal.end() == 0
    assert daemon.asked("site.activate") == [m.SiteActivate("lakeside", "Tuesday")]


def test_a_rollback_shows_what_it_changes(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("profile", "rollback", "st-marys", "--reason", "the PACS moved")
    terminal.wait_for("Put this in force? [y/N] ")
    assert "say the same" in terminal.output
    terminal.press("y\n")
    assert terminal.end() == 0
    assert daemon.asked("profile.rollback") == [m.ProfileRollback("st-marys", "the PACS moved", 6)]


@pytest.mark.parametrize(("typed", "code"), [("lakeside\n", 0), ("y\n", exits.REFUSED)])
def test_a_site_is_erased_by_its_id(daemon: Daemon, at_terminal: At, typed: str, code: int) -> None:
    terminal = at_terminal("site", "erase", "lakeside", "--reason", "the contract ended")
    terminal.wait_for("Type lakeside to destroy its key and all its data on this box: ")
    terminal.press(typed)
    assert terminal.end() == code
    asked = [m.SiteErase("lakeside", "lakeside", "the contract ended")]
    assert daemon.asked("site.erase") == (asked if code == 0 else [])


@pytest.mark.parametrize(("typed", "code"), [("lakeside\n", 0), ("y\n", exits.REFUSED)])
def test_a_site_is_removed_by_its_id(daemon: Daemon, at_terminal: At, typed: str, code: int) -> None:
    terminal = at_terminal("profile", "remove", "lakeside")
    terminal.wait_for("Type lakeside to remove it from this box: ")
    terminal.press(typed)
    assert terminal.end() == code
    assert len(daemon.asked("profile.remove")) == (code == 0)


def test_whoever_waits_for_the_worklist_sees_whom_the_box_asks_and_for_how_long(
    daemon: Daemon, at_terminal: At
) -> None:
    answered = threading.Event()

    def slowly(_: Any) -> Any:
        assert answered.wait(20)
        return worklist_samples.REFRESHED

    daemon.answers["worklist.refresh"] = slowly
    terminal = at_terminal("worklist", "refresh")
    terminal.wait_for("Asking STM_RIS, 1 s (given up after 40 s of silence)")
    answered.set()
    assert terminal.end() == 0
    assert "\x1b[K" in terminal.output.rpartition("of silence)")[2], "the line is gone at the end"


def test_nothing_is_said_of_waiting_where_nobody_looks(daemon: Daemon, run: Run) -> None:
    assert run("worklist", "refresh").err == ""
    assert [name for name, _ in daemon.requests] == ["worklist.refresh"]
