"""DCMTK's `wlmscpfs`: a worklist SCP that answers from a folder of files, one an entry."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.peers.echo import answers
from tests.peers.program import Program, Server, dcmtk_environment

WLMSCPFS = "/usr/bin/wlmscpfs"


class Wlmscpfs(Server):
    """`wlmscpfs`; its entries are the files `*.wl` in the folder that is called like the AE title."""

    def __init__(
        self, folder: Path, *, ae_title: str = "RIS", port: int = 0, options: Sequence[str] = (), nagle: bool = False
    ) -> None:
        super().__init__(folder, name="wlmscpfs", port=port)
        self.ae_title = ae_title
        self.entries = folder / "lists" / ae_title
        self._options = options
        self._nagle = nagle
        self.entries.mkdir(parents=True)
        (self.entries / "lockfile").touch()

    def launch(self) -> Program:
        """Start it on `self.port`."""
        argv = [WLMSCPFS, "--verbose", *self._options, "--data-files-path", str(self.entries.parent)]
        return Program(
            [*argv, str(self.port)], log=self._log_path, cwd=self.folder, env=dcmtk_environment(nagle=self._nagle)
        )

    def ready(self) -> bool:
        """Say whether it answers a C-ECHO, be it with a rejection."""
        return answers(self.host, self.port)
