"""A site is erased with its key and all of its data, or not at all; and once it was begun it is ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capacitord.errors import NotFound, Refused, StorageFailed
from capacitord.seal.boxkey import Source
from capacitord.seal.keystore import KeyStore
from capacitord.supervisor.erasing import Erasures
from tests.supervisor.daemon import Answer, Daemon, running
from tests.supervisor.test_sites import activate, runtimes, served, sites, take, text

SITE = "lakeside"


class Box:
    """The folders of a box with two sites, each with a key and a spool."""

    def __init__(self, folder: Path) -> None:
        self.spools, self.keys = folder / "sites", KeyStore(folder / "keys")
        self.keys.init(Source.FILE)
        for site in (SITE, "st-marys"):
            self.keys.create_site(site)
            (self.spools / site / "objects/ab").mkdir(parents=True)
            (self.spools / site / "objects/ab/1").write_text("sealed")
            (self.spools / site / "catalog.db").write_text("sealed")
        self.keys_folder = folder / "keys"
        self.broken = False
        self.erasures = Erasures(folder / "erasing", self.spools, self.erase_key)

    async def erase_key(self, site: str) -> None:
        if self.broken:
            raise StorageFailed("the disk refused: Input/output error")
        self.keys.erase_site(site)

    def everything_is_gone(self) -> bool:
        assert self.keys.site_key("st-marys")
        assert (self.spools / "st-marys/objects/ab/1").exists()
        names = [path.name for path in self.keys_folder.rglob("*")]
        return (
            not (self.spools / SITE).exists()
            and not self.erasures.begun()
            and not [name for name in names if SITE in name]
        )


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_the_key_and_the_data_are_destroyed(box: Box) -> None:
    asyncio.run(box.erasures.erase(SITE, "anna"))
    assert box.everything_is_gone()
    with pytest.raises(NotFound):
        box.keys.site_key(SITE)
    assert asyncio.run(box.erasures.resume()) == ()


@pytest.mark.parametrize("reached", ["nothing", "the key", "some of the data", "all of the data"])
def test_what_was_cut_short_is_ended_by_the_next_start(box: Box, reached: str) -> None:
    box.broken = True
    with pytest.raises(StorageFailed):
        asyncio.run(box.erasures.erase(SITE, "anna"))
    box.broken = False
    assert box.erasures.begun() == (SITE,)
    assert (box.spools / SITE / "catalog.db").exists(), "without the key destroyed the data is there"
    with pytest.raises(Refused, match="is being erased"):
        box.erasures.demand_none(SITE)
    box.erasures.demand_none("st-marys")
    if reached != "nothing":
        box.keys.erase_site(SITE)
    if reached == "some of the data":
        (box.spools / SITE / "catalog.db").unlink()
    if reached == "all of the data":
        for name in ("catalog.db", "objects/ab/1"):
            (box.spools / SITE / name).unlink()
        for name in ("objects/ab", "objects", ""):
            (box.spools / SITE / name).rmdir()
    assert asyncio.run(box.erasures.resume()) == (SITE,)
    assert box.everything_is_gone()


CHANGES = {"os.remove", "os.rename", "os.rmdir", "os.truncate", "os.chmod"}


def killed_before(box: Box, change: int) -> bool:
    """Erase in a process that is killed before the change of that number to the disk; return whether it was."""

    def count(event: str, told: tuple[Any, ...]) -> None:
        nonlocal change
        writes = event == "open" and isinstance(told[2], int) and told[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            change -= 1
            if change < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        sys.addaudithook(count)
        asyncio.run(box.erasures.erase(SITE, "anna"))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, -signal.SIGKILL}
    return status != 0


def test_wherever_it_is_killed_it_is_done_whole_or_not_begun(tmp_path: Path) -> None:
    changes, outcomes = 0, set()
    while True:
        folder = tmp_path / str(changes)
        folder.mkdir()
        box = Box(folder)
        killed = killed_before(box, changes)
        begun = box.erasures.begun()
        assert asyncio.run(box.erasures.resume()) == begun
        if begun or not killed:
            assert box.everything_is_gone()
        else:
            # Nothing is lost of what was not begun, and nothing left over of what was ended.
            whole = box.spools.joinpath(SITE, "objects/ab/1").exists() and SITE in box.keys.status().sites
            assert whole or box.everything_is_gone()
        outcomes.add((killed, bool(begun)))
        if not killed:
            break
        changes += 1
    assert changes >= 8
    assert outcomes == {(True, False), (True, True), (False, False)}


def test_what_cannot_be_ended_is_tried_again_by_every_start(box: Box) -> None:
    box.broken = True
    with pytest.raises(StorageFailed):
        asyncio.run(box.erasures.erase(SITE, "anna"))
    assert asyncio.run(box.erasures.resume()) == ()
    assert box.erasures.begun() == (SITE,)
    box.broken = False
    assert asyncio.run(box.erasures.resume()) == (SITE,)


def test_a_folder_that_is_deeper_than_programs_go_is_removed(box: Box) -> None:
    """As a runtime can leave behind that somebody took over; a start that stumbles over it would serve nobody."""
    here = os.open(box.spools / SITE, os.O_DIRECTORY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    asyncio.run(box.erasures.erase(SITE, "anna"))
    assert box.everything_is_gone()


def test_what_a_link_in_the_spool_points_to_is_not_touched(box: Box, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_text("stays")
    (box.spools / SITE / "link").symlink_to(tmp_path / "elsewhere")
    asyncio.run(box.erasures.erase(SITE, "anna"))
    assert box.everything_is_gone()
    assert (tmp_path / "elsewhere/file").read_text() == "stays"


# --- by a daemon


@pytest.fixture
def two() -> Iterator[Daemon]:
    with running() as daemon:
        daemon.post("/v1/key/init")
        assert take(daemon, text("st-marys")).status == 200
        assert take(daemon, text(SITE)).status == 200
        activate(daemon, SITE)
        served(daemon)
        activate(daemon, "st-marys")
        served(daemon)
        yield daemon


def erase(daemon: Daemon, site: str, **body: str) -> Answer:
    return daemon.ask("POST", f"/v1/sites/{site}/erase", {"confirm": site, "reason": "the contract ended", **body})


def test_a_site_is_erased_and_gets_a_new_key_when_it_is_served_again(two: Daemon) -> None:
    folder = two.state / "sites" / SITE
    (folder / "catalog.db").write_text("sealed")
    answer = erase(two, SITE)
    assert answer.status == 200, answer
    assert "Recovery files" in answer.json["message"]
    assert not folder.exists()
    assert SITE not in two.get("/v1/key")["sites"]
    assert SITE in sites(two)
    again = erase(two, SITE)
    assert (again.status, "nothing to destroy" in again.json["message"]) == (200, True)
    entry = two.get("/v1/audit?action=site.erase")["entries"][-1]
    assert (entry["subjects"], entry["detail"], entry["result"]) == ([SITE], "reason: the contract ended", "done")
    activate(two, SITE)
    assert served(two) == SITE
    assert SITE in two.get("/v1/key")["sites"]


def test_a_site_whose_profile_was_removed_is_erased_unless_something_waits(two: Daemon) -> None:
    folder = two.state / "sites" / SITE
    (folder / "catalog.db").write_text("sealed")
    assert "fluxctl site erase" in two.post(f"/v1/profiles/{SITE}/remove", {"confirm": SITE})["message"]
    (folder / "held").write_text("held0001")
    assert erase(two, SITE).error["message"] == "1 study of lakeside waits here"
    assert SITE in two.get("/v1/key")["sites"]
    (folder / "held").unlink()
    assert erase(two, SITE).status == 200
    assert not folder.exists()
    assert SITE not in two.get("/v1/key")["sites"]
    again = erase(two, SITE)
    assert (again.status, again.error["exit_code"]) == (404, 5)
    assert SITE not in sites(two)


def test_what_is_refused_leaves_everything_as_it_was(two: Daemon) -> None:
    folder = two.state / "sites" / SITE
    assert "is the active site" in erase(two, "st-marys").error["message"]
    assert "was not repeated" in erase(two, SITE, confirm="st-marys").error["message"]
    assert erase(two, "nowhere").status == 404
    (folder / "held").write_text("held0001")
    (folder / "undelivered").write_text("ab0001 ab0002")
    refused = erase(two, SITE)
    assert refused.status == 409
    assert refused.error["exit_code"] == 6
    assert refused.error["message"] == "3 studies of lakeside wait here"
    assert refused.error["candidates"] == ["held0001  held", "ab0001  undelivered", "ab0002  undelivered"]
    assert (folder / "held").exists()
    assert SITE in two.get("/v1/key")["sites"]
    assert len(runtimes(two)) == 1


def test_a_runtime_that_answers_without_end_costs_the_supervisor_nothing() -> None:
    """As one may that was taken over by what is in its spool, which is a reason to erase it."""
    with running("--endless") as box:
        box.post("/v1/key/init")
        assert take(box, text("st-marys"), text(SITE)).status == 200
        activate(box, SITE)
        served(box)
        folder = box.state / "sites" / SITE
        (folder / "held").write_text("held0001")
        box.post("/v1/sites/deactivate", {"reason": "a test"})
        refused = erase(box, SITE)
        assert (refused.status, refused.error["exit_code"]) == (503, 75)
        assert "did not say which studies it has" in refused.error["message"]
        assert (folder / "held").exists()


def test_a_start_ends_what_a_kill_has_cut_short(two: Daemon) -> None:
    folder = two.state / "sites" / SITE
    (folder / "catalog.db").write_text("sealed")
    two.stop(signal.SIGKILL)
    (two.state / "erasing").mkdir(mode=0o700)
    (two.state / "erasing" / SITE).write_text("anna\n")
    two.start()
    two.up()
    assert SITE not in two.get("/v1/key")["sites"]
    assert not folder.exists()
    (entry,) = two.get("/v1/audit?action=site.erase")["entries"]
    assert "before this start" in entry["detail"]
    assert served(two) == "st-marys"
