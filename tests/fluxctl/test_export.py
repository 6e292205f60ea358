"""A study into files: carefully, because the names come from outside and the disk is not ours."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacitord.api import messages as m
from capacitord.api.client import Client
from capacitord.errors import CapacitordError, NotFound, PartlyDone, Refused, TryAgain
from fluxctl.export import export, export_profile, safe_name
from tests.fluxctl import samples
from tests.fluxctl.conftest import command
from tests.fluxctl.daemon import EXPORTED, Daemon, archive


def tar(add: Callable[[tarfile.TarFile], None]) -> bytes:
    """Return an archive that `add` fills."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as opened:
        add(opened)
    return held.getvalue()


def special(kind: bytes, name: str = "0002.dcm") -> bytes:
    """Return an archive with a good file and then something that is no file."""

    def add(opened: tarfile.TarFile) -> None:
        good = tarfile.TarInfo("0001.dcm")
        good.size = 4
        opened.addfile(good, io.BytesIO(b"DICM"))
        bad = tarfile.TarInfo(name)
        bad.type = kind
        bad.linkname = "/etc/passwd"
        opened.addfile(bad)

    return tar(add)


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_files_are_for_their_owner_only(daemon: Daemon, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        answer = export(Client(daemon.path), "c77", tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert {name: (tmp_path / "a" / "b" / name).read_bytes() for name in answer.files} == EXPORTED
    assert answer.images == len(EXPORTED)
    assert answer.bytes == sum(map(len, EXPORTED.values()))
    for path in everything(tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_folders_in_the_archive_are_made(daemon: Daemon, tmp_path: Path) -> None:
    daemon.answers["study.export"] = lambda _: archive({f"series-{n}/{n}.dcm": b"x" for n in range(5)})
    assert export(Client(daemon.path), "c77", tmp_path).images == 5
    assert (tmp_path / "series-3" / "3.dcm").read_bytes() == b"x"


EVIL: dict[str, bytes] = {
    "parent": archive({"0001.dcm": b"x", "../evil.dcm": b"x"}),
    "deep parent": archive({"0001.dcm": b"x", "a/../../evil.dcm": b"x"}),
    "absolute": archive({"0001.dcm": b"x", "/evil.dcm": b"x"}),
    "hidden": archive({".bashrc": b"x"}),
    "control": archive({"a\x1b[2J.dcm": b"x"}),
    "blank": archive({" ": b"x"}),
    "deep": archive({"a/b/c/d/e/f.dcm": b"x"}),
    "long": archive({"x" * 200: b"x"}),
    "symlink": special(tarfile.SYMTYPE),
    "hard link": special(tarfile.LNKTYPE),
    "device": special(tarfile.CHRTYPE),
    "pipe": special(tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("name", EVIL)
def test_nothing_is_kept_of_an_archive_that_is_not_safe(daemon: Daemon, tmp_path: Path, name: str) -> None:
    daemon.answers["study.export"] = lambda _: EVIL[name]
    folder = tmp_path / "out" / "here"
    with pytest.raises(Refused):
        export(Client(daemon.path), "c77", folder)
    assert everything(tmp_path) == []


def test_a_link_on_our_side_is_not_followed(daemon: Daemon, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0003.dcm").symlink_to(target)
    with pytest.raises(Refused, match="not overwritten"):
        export(Client(daemon.path), "c77", tmp_path / "out")
    assert target.read_text() == "precious"
    assert [path.name for path in everything(tmp_path / "out")] == ["0003.dcm"]


def test_what_was_there_stays(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "0004.dcm").write_text("mine")
    with pytest.raises(Refused, match="not overwritten"):
        export(Client(daemon.path), "c77", tmp_path)
    assert [path.name for path in everything(tmp_path)] == ["0004.dcm"]
    assert (tmp_path / "0004.dcm").read_text() == "mine"


@pytest.mark.parametrize("kept", [0, 1, 511, 512, 600, 4608, 5000, 20_000, 62_976])
def test_what_an_archive_that_breaks_off_has_brought_is_removed(daemon: Daemon, tmp_path: Path, kept: int) -> None:
    whole = archive(EXPORTED)
    daemon.answers["study.export"] = lambda _: whole[:kept]
    with pytest.raises(CapacitordError):
        export(Client(daemon.path), "c77", tmp_path / "out")
    assert everything(tmp_path) == []


def test_a_study_that_is_not_there_leaves_no_folder(daemon: Daemon, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        export(Client(daemon.path), "zzz", tmp_path / "out")
    assert everything(tmp_path) == []


def test_a_refusal_leaves_no_folder(daemon: Daemon, tmp_path: Path) -> None:
    daemon.refuse("study.export", TryAgain("the runtime is being restarted"))
    with pytest.raises(TryAgain):
        export(Client(daemon.path), "c77", tmp_path / "out")
    assert everything(tmp_path) == []


def test_missing_images_are_told_and_the_others_kept(daemon: Daemon, tmp_path: Path) -> None:
    daemon.answers["study.export"] = lambda _: archive({"0001.dcm": b"x", "0002.dcm": b"y"})
    with pytest.raises(PartlyDone, match="2 of 5 images were exported") as caught:
        export(Client(daemon.path), "c77", tmp_path)
    assert "fluxctl study show c77e02 --images" in caught.value.hint
    assert len(everything(tmp_path)) == 2


def test_a_folder_that_cannot_be_made_is_named(daemon: Daemon) -> None:
    with pytest.raises(OSError, match="/proc/nowhere"):
        export(Client(daemon.path), "c77", Path("/proc/nowhere"))


def test_a_full_disk_is_told_and_nothing_kept(daemon: Daemon, tmp_path: Path) -> None:
    line = " ".join(command("--socket", str(daemon.path), "study", "export", "c77", str(tmp_path / "out")))
    done = subprocess.run(
        ["/bin/bash", "-c", f"ulimit -f 12; exec {line}"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "it cannot be written: File too large" in done.stderr
    assert str(tmp_path / "out" / "0004.dcm") in done.stderr.replace("\n", "")
    assert everything(tmp_path) == []


@given(st.text(max_size=40) | st.from_regex(r"([a-zA-Z0-9._-]{1,9}/){0,5}[a-zA-Z0-9._-]{1,9}", fullmatch=True))
def test_a_safe_name_stays_where_it_is(name: str) -> None:
    with contextlib.suppress(Refused):
        path = safe_name(name)
        root = PurePosixPath("/root/of/it")
        joined = os.path.normpath(root / path)
        assert joined.startswith(f"{root}/")
        assert name.isascii()
        assert name.isprintable()
        assert not any(part.startswith((".", "-")) for part in path.parts)


@pytest.mark.parametrize("name", ["my table.csv", "köln.csv", "a/b/c/d/e/parts.csv"])
def test_what_may_lie_beside_a_profile_can_be_exported(daemon: Daemon, tmp_path: Path, name: str) -> None:
    folder = msgspec.structs.replace(samples.FOLDER, files=(m.EnclosedFile(name, b"A,B"),))
    daemon.answers["profile.export"] = lambda _: folder
    assert name in export_profile(Client(daemon.path), "st-marys", None, tmp_path).files
    assert (tmp_path / name).read_bytes() == b"A,B"


@pytest.mark.parametrize("name", ["st-marys.toml", "ST-MARYS.toml", ".profile", "../x"])
def test_no_file_takes_the_place_of_the_profile_nor_leads_out(daemon: Daemon, tmp_path: Path, name: str) -> None:
    folder = msgspec.structs.replace(samples.FOLDER, files=(m.EnclosedFile(name, b"A,B"),))
    daemon.answers["profile.export"] = lambda _: folder
    with pytest.raises(Refused, match="a file beside the profile has a name"):
        export_profile(Client(daemon.path), "st-marys", None, tmp_path)
    assert everything(tmp_path) == []
