"""`profile try`: real files and real profiles, on this machine, without a daemon."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pydicom
import pytest

from capacitord.dicom.part10 import File
from fluxctl import exits
from tests.fluxctl.conftest import Run
from tests.images import shipped

EXAMPLES = sorted((Path(__file__).parent.parent.parent / "examples" / "profiles").glob("*.toml"))
IMAGES = {image.path.name: image for image in shipped()}
CT, MR = IMAGES["CT_small.dcm"], IMAGES["MR_small.dcm"]
SLICES = 60
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
[[destination]]
name = "night"
ae_title = "NIGHT"
host = "10.20.1.11"
port = 104
[[route]]
match = { Modality = "CT", time = "18:00-07:00" }
to = ["night"]
[[route]]
match = { Modality = "CT" }
to = ["pacs"]
[[route]]
match = { calling_ae_title = "COACH*" }
to = ["pacs"]
[[transform]]
to = ["pacs"]
set = { InstitutionName = "St. Mary's Hospital" }
hash = ["StudyID"]
"""


@pytest.fixture
def profile(tmp_path: Path) -> str:
    (tmp_path / "st-marys.toml").write_text(PROFILE)
    return str(tmp_path / "st-marys.toml")


def document(run: Run, *arguments: str, code: int = exits.DONE) -> Any:
    result = run("profile", "try", *arguments, "--json")
    assert result.code == code, result.err
    return json.loads(result.out)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_no_file_of_pydicom_is_too_odd(run: Run, example: Path) -> None:
    """Whatever is in a file, something is said of it: where it goes, or why not."""
    files = [str(image.path) for image in IMAGES.values()]
    result = run("profile", "try", str(example), *files, "--json")
    assert result.code in {exits.DONE, exits.REFUSED}, result.err
    found = json.loads(result.out)
    assert [each["file"] for each in found["files"]] == files
    for each in found["files"]:
        trial = each["trial"]
        assert trial is not None, each["problem"]
        assert trial["held"] or trial["to"]
        for leaving in trial["destinations"]:
            assert leaving["reason"] if leaving["fate"] != "leaves" else leaving["bytes"]


def test_the_clock_on_the_wall_of_the_site_decides(run: Run, profile: str) -> None:
    for at, route, to in (("2026-07-01 17:59", 2, "pacs"), ("2026-07-01 18:00", 1, "night")):
        (found,) = document(run, profile, str(CT.path), "--at", at)["files"]
        assert (found["trial"]["route"], found["trial"]["to"]) == (route, [to])
        assert found["trial"]["local"].endswith("-05:00")


def test_who_sent_it_is_as_asked_or_as_the_file_says(run: Run, profile: str) -> None:
    (found,) = document(run, profile, str(MR.path), code=exits.REFUSED)["files"]
    assert found["trial"]["calling_ae_title"] == File(MR.path).source_ae_title
    assert "no route" in found["trial"]["held"]
    (found,) = document(run, profile, str(MR.path), "--calling", "COACH_MR", "--called", "BOX")["files"]
    assert (found["trial"]["route"], found["trial"]["called_ae_title"]) == (3, "BOX")


def test_a_page_says_it_all_to_a_person(run: Run, profile: str) -> None:
    result = run("profile", "try", profile, str(CT.path), "--at", "2026-07-01 12:00")
    assert (result.code, result.err) == (exits.DONE, "")
    for words in (
        "✔ It goes to pacs by route 2",
        "✘ route 1 does not: time is Wed 12:00, wanted: 18:00-07:00",
        "JFK IMAGING CENTER → St. Mary's Hospital",
        "Codes and pseudonyms are made with a key of this run",
        "✔ pacs (STM_PACS): leaves in Explicit VR Little Endian",
    ):
        assert words in result.out


def test_the_slices_of_a_series_are_one_group(run: Run, profile: str, tmp_path: Path) -> None:
    folder = tmp_path / "cd" / "series"
    folder.mkdir(parents=True)
    dataset = pydicom.dcmread(CT.path)
    dataset.PixelData = dataset.PixelData[:2]
    dataset.Rows = dataset.Columns = 1
    for number in range(1, SLICES + 1):
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        dataset.InstanceNumber = number
        dataset.SliceLocation = number / 3
        dataset.save_as(folder / f"IM{number:04}")
    (tmp_path / "cd" / "README").write_text("hello")
    at = ("--at", "2026-07-01 12:00")
    page = run("profile", "try", profile, str(tmp_path / "cd"), *at)
    assert page.code == exits.DONE
    assert page.out.count("It goes to pacs") == 1
    assert f"{SLICES} images dealt with alike (CT)" in page.out
    assert "1 file is no image" in page.out
    assert len(page.out.splitlines()) < 40
    lines = run("profile", "try", profile, str(tmp_path / "cd"), *at, "--jsonl").out.splitlines()
    assert {json.loads(line)["group"] for line in lines} == {None, 1}
    assert [json.loads(line)["schema"] for line in lines] == ["fluxctl.profile.try.line/1"] * (SLICES + 1)
    each = run("profile", "try", profile, str(folder / "IM0001"), str(folder / "IM0002"), *at, "--each")
    assert each.out.count("It goes to pacs") == 2


def test_what_would_leave_is_written_for_its_owner_and_over_nothing(run: Run, profile: str, tmp_path: Path) -> None:
    other = tmp_path / "other" / CT.path.name
    other.parent.mkdir()
    shutil.copy(CT.path, other)
    arguments = (profile, str(CT.path), str(other), "--at", "2026-07-01 12:00", "--write", str(tmp_path / "out"))
    found = document(run, *arguments)
    written = [Path(name) for each in found["files"] for name in each["written"]]
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "out/pacs/CT_small.dcm",
        "out/pacs/CT_small-2.dcm",
    ]
    for path in written:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        dataset = pydicom.dcmread(path)
        assert dataset.InstitutionName == "St. Mary's Hospital"
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.PixelData == pydicom.dcmread(CT.path).PixelData
    before = written[0].read_bytes()
    again = run("profile", "try", *arguments)
    assert again.code == exits.REFUSED
    assert "not overwritten" in again.err
    assert written[0].read_bytes() == before


def test_a_deidentified_copy_is_not_called_like_its_original(run: Run, tmp_path: Path) -> None:
    original, profile = tmp_path / "Doe-John.dcm", tmp_path / "research.toml"
    shutil.copy(CT.path, original)
    profile.write_text(PROFILE + '[[transform]]\nto = ["pacs"]\ndeidentify = { profile = "basic" }\n')
    found = document(run, str(profile), str(original), "--at", "2026-07-01 12:00", "--write", str(tmp_path / "out"))
    (written,) = (Path(name) for each in found["files"] for name in each["written"])
    new = pydicom.dcmread(written).SOPInstanceUID
    assert written.name == f"{new}.dcm"
    assert new != pydicom.dcmread(original).SOPInstanceUID


def test_what_has_no_identity_is_told_and_not_written_and_holds_up_nothing(run: Run, tmp_path: Path) -> None:
    odd, to_all = CT.path.parent / "empty_charset_LEI.dcm", tmp_path / "all.toml"
    to_all.write_text(PROFILE.partition("[[route]]")[0])
    arguments = (str(to_all), str(odd), str(CT.path), "--at", "2026-07-01 12:00", "--write", str(tmp_path / "out"))
    first, second = document(run, *arguments, code=exits.REFUSED)["files"]
    assert first["written"] == []
    assert "it has no" in first["trial"]["held"]
    assert len(second["written"]) == 2


def test_the_same_value_has_the_same_code_in_one_run_and_another_in_the_next(run: Run, profile: str) -> None:
    def codes() -> set[str]:
        found = document(run, profile, str(CT.path), str(CT.path), "--at", "2026-07-01 12:00")
        assert found["made_up_key"]
        changes = [change for each in found["files"] for change in each["trial"]["destinations"][0]["changes"]]
        return {change["after"] for change in changes if change["operation"] == "hash"}

    first, second = codes(), codes()
    assert (len(first), len(second), first & second) == (1, 1, set())


def test_a_copy_that_was_not_asked_for_is_not_made(run: Run, profile: str) -> None:
    result = run("profile", "try", profile, str(CT.path), "--at", "2026-07-01 12:00", "--to", "night")
    assert result.code == exits.REFUSED
    assert "It goes to pacs" in result.out
    assert "It has no copy for what --to names" in result.out


def test_how_many_have_a_copy_for_what_was_asked_for_is_said(run: Run, profile: str) -> None:
    files = (str(CT.path), str(MR.path))
    asked = (profile, *files, "--calling", "COACH_MR", "--at", "2026-07-01 19:00")
    for to, code, words in (
        (("night",), exits.DONE, "✔ 2 images: 1 has a copy for night, 1 would leave there."),
        (("pacs", "night"), exits.DONE, "1 has a copy for pacs, 1 would leave there; 1 has a copy for night"),
        ((), exits.DONE, "✔ 2 images would leave for all destinations."),
    ):
        result = run("profile", "try", *asked, *(word for name in to for word in ("--to", name)))
        assert (result.code, words in " ".join(result.out.split())) == (code, True), result.out
    noon = ("--calling", "COACH_MR", "--at", "2026-07-01 12:00")
    result = run("profile", "try", profile, *files, *noon, "--to", "night")
    assert result.code == exits.REFUSED
    assert "✘ 2 images: 0 have a copy for night, 0 would leave there." in " ".join(result.out.split())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("{profile}", "nothing.dcm"), exits.NOT_FOUND, "there is no such file"),
        (("nothing.toml", str(CT.path)), exits.NOT_FOUND, "there is no such file"),
        (("{wrong}", str(CT.path)), exits.INVALID, "wrong.toml"),
        (("{profile}", str(CT.path), "--to", "elsewhere"), exits.NOT_FOUND, "no destination elsewhere"),
        (("{profile}", str(CT.path), "--at", "teatime"), exits.USAGE, "is not a time"),
        (("{profile}", str(CT.path), "--at", "0001-01-01"), exits.USAGE, "is not a time"),
        (("{profile}", str(CT.path), "--calling", "A" * 20), exits.INVALID, "must have 1 to 16 characters"),
        (("{profile}", str(CT.path), "--called", "A" * 17), exits.INVALID, "must have 1 to 16 characters"),
        (("{profile}", str(CT.path), "--at", "2026-03-08 02:30"), exits.INVALID, "clocks are put forward"),
        (("{profile}", str(CT.path), "--at", "2026-11-01 01:30"), exits.DONE, ""),
        (("{profile}", "/dev/null"), exits.PARTLY, ""),
        (("{profile}", "{empty}"), exits.NOT_FOUND, "there is no DICOM image"),
        (("{profile}", "{profile}"), exits.PARTLY, ""),
    ],
)
def test_what_cannot_be_tried_is_said(
    run: Run, profile: str, arguments: tuple[str, ...], code: int, words: str
) -> None:
    tmp_path = Path(profile).parent
    (tmp_path / "wrong.toml").write_text(PROFILE.replace('to = ["night"]', 'to = ["nigth"]'))
    (tmp_path / "empty").mkdir()
    names = {"profile": profile, "wrong": str(tmp_path / "wrong.toml"), "empty": str(tmp_path / "empty")}
    result = run("profile", "try", *(word.format(**names) for word in arguments))
    assert result.code == code, result.err
    assert words in result.err


def test_a_file_that_is_no_image_is_named_and_the_others_are_tried(run: Run, profile: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not DICOM")
    files = (str(tmp_path / "notes.txt"), str(CT.path))
    found = document(run, profile, *files, "--at", "2026-07-01 12:00", code=exits.PARTLY)
    assert ["no DICOM image" in each["problem"] for each in found["files"]] == [True, False]


def test_images_without_meta_information_are_tried(run: Run, profile: str, tmp_path: Path) -> None:
    (tmp_path / "bare").write_bytes(CT.dataset())
    (found,) = document(run, profile, str(tmp_path / "bare"), "--at", "2026-07-01 12:00")["files"]
    assert found["trial"]["sop_instance_uid"] == pydicom.dcmread(CT.path).SOPInstanceUID
    assert found["remark"]
