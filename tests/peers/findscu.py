"""C-FIND by DCMTK's `findscu`: a scanner that asks for its worklist."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers.program import PATIENCE, dcmtk_environment

FINDSCU = "/usr/bin/findscu"


@dataclass(frozen=True)
class Found:
    """What `findscu` was answered: the bytes of each match as a file, the status of the last response, and its log."""

    files: tuple[bytes, ...]
    status: int | None
    log: str
    code: int

    @property
    def pending(self) -> list[int]:
        """The statuses of the matches."""
        return [status for status in _statuses(self.log) if status in {0xFF00, 0xFF01}]


def findscu(
    folder: Path,
    port: int,
    *,
    query: Path | None = None,
    keys: tuple[str, ...] = (),
    called: str = "CAPACITOR",
    calling: str = "SCANNER",
    options: tuple[str, ...] = (),
    host: str = "127.0.0.1",
    within: float = PATIENCE,
) -> Found:
    """Ask for the worklist with a query file or keys (`-k`); answers are written into `folder`, which is made."""
    folder.mkdir(parents=True)
    bound = str(max(1, round(within)))
    argv = [FINDSCU, "-W", "-d", "-to", bound, "-ta", bound, "-td", bound, "-aec", called, "-aet", calling]
    asked = [word for key in keys for word in ("-k", key)] + ([str(query)] if query is not None else [])
    done = subprocess.run(
        [*argv, *options, "-X", "-od", str(folder), host, str(port), *asked],
        capture_output=True,
        env=dcmtk_environment(nagle=False),
        check=False,
        timeout=4 * within + 10,
    )
    log = (done.stdout + done.stderr).decode(errors="replace")
    files = tuple(path.read_bytes() for path in sorted(folder.glob("rsp*.dcm")))
    statuses = _statuses(log)
    return Found(files, statuses[-1] if statuses else None, log, done.returncode)


def _statuses(log: str) -> list[int]:
    return [int(status, 16) for status in re.findall(r"DIMSE Status\s*: 0x([0-9a-f]{4})", log)]
