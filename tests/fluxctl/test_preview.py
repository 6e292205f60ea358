"""`fluxctl study preview`: at terminals that answer in their own ways, and into files."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from capacitord.api.preview import Preview, labelled
from capacitord.dicom.preview import png
from capacitord.errors import CapacitordError, NotFound
from fluxctl import exits
from fluxctl.files import write_private
from tests.fluxctl.conftest import Run
from tests.fluxctl.daemon import Daemon
from tests.fluxctl.picture_samples import GREY, GREY_PNG, PICTURED
from tests.fluxctl.terminal import Terminal

At = Callable[..., Terminal]
ASKED = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c"
CAPTION = "CT series 2, image 57 (0f02ab120f02) · 64 by 48 · window 40/400 (BRAIN)"


@pytest.mark.parametrize(
    ("answer", "shown", "size"),
    [
        ("\x1b_Gi=31;OK\x1b\\\x1b[6;20;10t\x1b[?62;c", "\x1b_Ga=T,f=100,t=d,q=2,c=26,m=0;iVBOR", 800),
        ("\x1b[6;18;9t\x1b[?62;4;6;22c", '\x1bP0;1;0q"1;1;256;192#0;2;0;0;0#0', 720),
        ("\x1b[?64;1;2;6c", "\x1b[38;5;16;48;5;16m▀", 80),
    ],
    ids=["kitty", "sixel", "half blocks"],
)
def test_a_terminal_is_asked_and_gets_what_it_can(
    daemon: Daemon, at_terminal: At, answer: str, shown: str, size: int
) -> None:
    terminal = at_terminal("study", "preview", "3f2a9c")
    terminal.wait_for(ASKED)
    terminal.press(answer)
    terminal.wait_for(CAPTION)
    assert terminal.end() == 0
    picture = terminal.output.partition(ASKED + "\r\x1b[K")[2]
    assert picture.startswith(shown)
    # Its answer is not shown, and nothing of it is left to be read as typing.
    assert "?62" not in picture
    assert terminal.is_sane()
    assert daemon.asked("study.preview") == [Preview("3f2a9c", size=size)]


def test_a_terminal_that_says_nothing_gets_half_blocks_after_a_moment(daemon: Daemon, at_terminal: At) -> None:
    began = time.monotonic()
    terminal = at_terminal("study", "preview", "3f2a9c")
    terminal.wait_for(CAPTION, within=20)
    assert time.monotonic() - began > 1
    assert terminal.end() == 0
    assert "▀" in terminal.output
    assert terminal.is_sane()
    assert len(daemon.asked("study.preview")) == 1


def test_a_terminal_is_left_sane_by_an_interrupt(daemon: Daemon, at_terminal: At) -> None:
    terminal = at_terminal("study", "preview", "3f2a9c")
    terminal.wait_for(ASKED)
    terminal.press("\x03")
    assert terminal.end() == exits.INTERRUPTED
    assert terminal.is_sane()
    assert daemon.requests == []


def test_a_reason_is_told_at_a_terminal(daemon: Daemon, at_terminal: At) -> None:
    daemon.refuse("study.preview", NotFound("There is no picture of it. It has no pixels.", hint="See its images."))
    terminal = at_terminal("study", "preview", "3f2a9c", "--image", "0f02")
    terminal.wait_for(ASKED)
    terminal.press("\x1b[?62;4c")
    assert terminal.end() == exits.NOT_FOUND
    assert "It has no pixels." in terminal.output
    assert terminal.is_sane()


def test_without_a_terminal_nothing_is_drawn_or_asked(daemon: Daemon, run: Run) -> None:
    result = run("study", "preview", "3f2a9c")
    assert result.code == exits.REFUSED
    assert "there is no terminal to draw a picture at" in result.err
    assert "--png FILE" in result.err
    assert (result.out, daemon.requests) == ("", [])
    assert run("study", "preview", "3f2a9c", "--json").code == exits.REFUSED
    assert run("study", "preview", "3f2a9c", "--json", "--png", "-").code == exits.REFUSED
    assert daemon.requests == []


def test_a_file_is_for_its_owner_and_never_replaced_unasked(daemon: Daemon, run: Run, tmp_path: Path) -> None:
    name = "a-picture-whose-path-is-longer-than-any-line-of-a-terminal-that-is-eighty-wide.png"
    file = tmp_path / name
    line = ("study", "preview", "3f2a9c", "--png", str(file), "--size", "512", "--window", "2", "--frame", "3")
    result = run(*line)
    assert (result.code, file.read_bytes()) == (0, GREY_PNG)
    assert f"✔ A picture is in {file}" in result.out.splitlines()
    assert CAPTION in result.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert daemon.asked("study.preview") == [Preview("3f2a9c", size=512, window="2", frame=3)]
    file.write_bytes(b"mine")
    again = run(*line)
    assert (again.code, file.read_bytes()) == (exits.REFUSED, b"mine")
    assert "--force" in again.err
    assert len(daemon.asked("study.preview")) == 1
    other = labelled(png.encoded(GREY[::-1]), PICTURED)
    daemon.answers["study.preview"] = lambda _: other
    assert (run(*line, "--force").code, file.read_bytes()) == (0, other)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_no_file_takes_no_picture(run: Run, daemon: Daemon) -> None:
    result = run("study", "preview", "3f2a9c", "--png", "/dev/null")
    assert result.code == exits.REFUSED
    assert "--force" not in result.err
    assert daemon.asked("study.preview") == []


def test_a_link_is_not_followed(run: Run, daemon: Daemon, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "link.png").symlink_to(elsewhere)
    assert run("study", "preview", "3f2a9c", "--png", str(tmp_path / "link.png")).code == exits.REFUSED
    assert run("study", "preview", "3f2a9c", "--png", str(tmp_path / "link.png"), "--force").code == 0
    assert not elsewhere.exists()
    assert not (tmp_path / "link.png").is_symlink()
    assert len(daemon.asked("study.preview")) == 1


def test_a_refusal_leaves_no_file(daemon: Daemon, run: Run, tmp_path: Path) -> None:
    daemon.refuse("study.preview", NotFound("There is no picture of it.", hint="See its images."))
    assert run("study", "preview", "3f2a9c", "--png", str(tmp_path / "picture.png")).code == exits.NOT_FOUND
    daemon.answers["study.preview"] = lambda _: b"no PNG file"
    odd = run("study", "preview", "3f2a9c", "--png", str(tmp_path / "picture.png"))
    assert (odd.code, "cannot be read" in odd.err) == (exits.FAILED, True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(run: Run, daemon: Daemon) -> None:
    result = run("study", "preview", "3f2a9c", "--png", "/nowhere/picture.png")
    assert result.code == exits.FAILED
    assert "/nowhere" in result.err
    assert "Traceback" not in result.err
    assert daemon.asked("study.preview") == [], "nobody has looked at a picture"


def test_a_picture_to_standard_output_is_nothing_else(spawn: Run, daemon: Daemon) -> None:
    result = spawn("study", "preview", "3f2a9c", "--png", "-")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("�PNG")
    assert "✔" not in result.out
    assert result.out.count("series 2") == 1
    assert len(daemon.asked("study.preview")) == 1


def test_a_held_study_and_its_picture_are_not_mixed_in_standard_output(run: Run, daemon: Daemon) -> None:
    result = run("held", "show", "3f2a9c", "--png", "-")
    assert (result.code, result.out) == (exits.REFUSED, "")
    assert "fluxctl study preview STUDY --png -" in " ".join(result.err.split())
    assert not daemon.asked("study.preview")


def test_a_file_whose_folder_is_missing_or_shut_is_refused_by_its_own_name(
    daemon: Daemon, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "nodir" / "x.png"
    for line in (("study", "preview", "3f2a9c"), ("held", "show", "3f2a9c")):
        result = run(*line, "--png", str(file))
        said = "".join(result.err.split())
        assert result.code == exits.FAILED
        assert ".fluxctl-" not in result.err
        assert str(file) in said
        assert f"mkdir-p{file.parent}" in said
    assert daemon.asked("study.preview") == []


def test_a_disk_that_takes_no_file_is_told_by_the_name_that_was_given() -> None:
    with pytest.raises(CapacitordError, match="cannot be written") as refusal:
        write_private(Path("/sys/x.png"), b"", replace=True)
    assert (refusal.value.where, "another folder" in refusal.value.hint) == ("/sys/x.png", True)
