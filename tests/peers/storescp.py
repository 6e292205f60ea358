"""DCMTK's `storescp`: a PACS that only stores, and can be told to behave badly."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.images import Image, read_image
from tests.peers.echo import answers
from tests.peers.program import Program, Server, dcmtk_environment
from tests.wait import wait_for

STORESCP = "/usr/bin/storescp"


class Storescp(Server):
    """`storescp`, storing bit for bit what it receives in every transfer syntax it knows.

    `options` replaces the only option that is not as installed: `("--fork",)` serves associations side by side in
    the uncompressed syntaxes only, `("--sleep-during", "1")` is a slow PACS, `("--abort-after",)` a hostile one.
    One image is one file, named after its instance: a second copy replaces the first unless `keep_copies`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ae_title: str = "STORESCP",
        port: int = 0,
        options: Sequence[str] = ("--accept-all",),
        keep_copies: bool = False,
        nagle: bool = False,
    ) -> None:
        super().__init__(folder, name="storescp", port=port)
        self.ae_title = ae_title
        self.received_path = folder / "received"
        self._nagle = nagle
        self._options = [*options, *(["--unique-filenames"] if keep_copies else [])]

    def launch(self) -> Program:
        """Start it on `self.port`."""
        self.received_path.mkdir(exist_ok=True)
        argv = [STORESCP, "--verbose", "--bit-preserving", "-aet", self.ae_title, *self._options]
        return Program(
            [*argv, "-od", self.received_path, str(self.port)],
            log=self._log_path,
            cwd=self.folder,
            env=dcmtk_environment(nagle=self._nagle),
        )

    def ready(self) -> bool:
        """Say whether it answers a C-ECHO, be it with a rejection."""
        return answers(self.host, self.port)

    def received(self) -> list[Path]:
        """Return the files it has finished writing, by name. What was cut off it deletes itself."""
        listed = sorted(p for p in self.received_path.iterdir() if p.is_file())
        writing = set(_open_files(self.program)) if self.program.running else set()
        return [p for p in listed if p not in writing and p.exists()]

    def images(self) -> list[Image]:
        """Return what `received` returns, read."""
        return [read_image(path) for path in self.received()]

    def wait_for_images(self, count: int, within: float = 30.0) -> list[Image]:
        """Wait until it has stored that many files, and return them; fails if there are more."""
        found = wait_for(lambda: _at_least(self.received(), count), within=within, what=f"{count} images")
        assert len(found) == count, f"expected {count} images, got {len(found)}"
        return [read_image(path) for path in found]

    def requests(self) -> int:
        """Return how many C-STORE requests it has seen over all its runs."""
        return len(re.findall(r"Received Store Request", self.log))

    def associations(self) -> int:
        """Return how many associations were opened over all its runs, including those of the ready check."""
        return len(re.findall(r"Association Received", self.log))


def _at_least(found: list[Path], count: int) -> list[Path]:
    return found if len(found) >= count else []


def _open_files(program: Program) -> Iterator[Path]:
    """Yield the files that a program or a child of it has open (proc(5))."""
    for process in (program.pid, *program.descendants()):
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    yield descriptor.readlink()
